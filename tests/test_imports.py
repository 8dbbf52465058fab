"""Every importer against damaged sources of known truth, and against a kill.

The writers and the damages stand in tests/writers, one file a format."""
import importlib
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import writers
from writers import play

HERE = Path(__file__).parent
FORMATS = sorted(file.stem for file in Path(writers.__file__).parent.glob("[!_]*.py"))
WRITERS = {name: importlib.import_module(f"writers.{name}") for name in FORMATS}
CASES = [(name, spoilt) for name in FORMATS for spoilt in WRITERS[name].SPOILT]
# a recording that is finished, and the mark of the folder that keeps it
PART = re.compile(r"data/\.new\.import/((part|unpacked)_\w+(/|$)|owner\.txt$)")


def format_of(name):
    "The importer of a writer: of its own name, unless it says another."
    return getattr(WRITERS[name], "FORMAT", name)


def importer(name):
    name = format_of(name)
    return getattr(importlib.import_module(f"wmkit.importers.{name}"), f"import_{name}")


@pytest.fixture(scope="session")
def sources(tmp_path_factory):
    "Where each format's source is written once, to be copied."
    return tmp_path_factory.mktemp("sources")


def fresh(name, folder, sources):
    "A source of that format, and the keyword arguments of its import."
    if not (sources/name).exists():
        (sources/name).mkdir()
        WRITERS[name].write(sources/name, play())
    shutil.copytree(sources/name, folder)
    return dict(source=folder, workers=0) | WRITERS[name].EXTRA


def everything(report):
    "All that an import report says, as text."
    lines = [f"{name}: {line}" for name, notes in report["notes"].items()
             for kind in ("repairs", "breaks") for line in notes.get(kind, [])]
    lines += [f"{key} ({count})" for key, count in report["dropped"].items()]
    return "\n".join([*lines, *(f"{key} {value}" for key, value in report["facts"].items())])


def test_every_importer_has_a_writer():
    notebooks = (HERE.parent/"nbs").glob("14_import_*.ipynb")
    names = {file.stem.removeprefix("14_import_") for file in notebooks}
    assert names == set(map(format_of, FORMATS))
    assert len(CASES) >= 40 and all(len(WRITERS[name].SPOILT) >= 5 for name in FORMATS)


def check_refused(name, spoilt, dest, arguments):
    "One clear error that names the file, and nothing left but recordings that were finished."
    with pytest.raises((ValueError, OSError)) as caught:
        importer(name)(dest=dest, **arguments)
    assert re.search(spoilt.error, str(caught.value), re.S), str(caught.value)
    assert not dest.exists()
    left = [file for file in dest.parent.rglob("*") if file.name != ".new.import"]
    names = [file.relative_to(dest.parents[1]).as_posix() for file in left]
    assert all(map(PART.match, names)), names


def check_mended(name, spoilt, dest, arguments):
    "A whole data set, and the repair in its report."
    from wmkit.files import read_json
    from wmkit.data.episodes import Dataset
    importer(name)(dest=dest, **arguments)
    Dataset(dest).validate()
    text = everything(read_json(dest/"meta/import.json", dict))
    assert re.search(spoilt.repair, text), text
    assert [file.name for file in dest.parent.iterdir()] == ["new"]


@pytest.mark.parametrize("name, spoilt", CASES, ids=[f"{n}: {c.name}" for n, c in CASES])
def test_spoilt(name, spoilt, tmp_path, sources):
    arguments, dest = fresh(name, tmp_path/"source", sources), tmp_path/"data/new"
    spoilt.spoil(arguments["source"])
    assert bool(spoilt.error) != bool(spoilt.repair)
    check = check_refused if spoilt.error else check_mended
    check(name, spoilt, dest, arguments)


def linked_out(file, outside):
    "The file becomes a link to a place outside of its source."
    outside.mkdir()
    shutil.move(file, outside/file.name)
    file.symlink_to(outside/file.name)


def kinds(folder):
    "One file of each kind below a folder."
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    found = {(file.suffix, re.sub(r"\d+", "", file.name)): file for file in files}
    return [file.relative_to(folder) for file in found.values()]


@pytest.mark.parametrize("name", FORMATS)
def test_no_link_leads_out(name, tmp_path, sources):
    "A file that an importer reads may not be a link out of the source; the source itself may."
    arguments = fresh(name, tmp_path/"clean", sources)
    (tmp_path/"mine").symlink_to(tmp_path/"clean")
    arguments["source"] = tmp_path/"mine"
    whole, refused = importer(name)(dest=tmp_path/"whole", **arguments), 0
    for i, file in enumerate(kinds(tmp_path/"clean")):
        arguments = fresh(name, tmp_path/f"source_{i}", sources)
        linked_out(arguments["source"]/file, tmp_path/f"outside_{i}")
        try:
            found = importer(name)(dest=tmp_path/f"new_{i}", **arguments)
        except ValueError as e:
            assert "leads out of" in str(e), (file, e)
            refused += 1
        else:  # a file that is never read
            shutil.rmtree(tmp_path/f"outside_{i}")
            again = importer(name)(dest=tmp_path/f"again_{i}", **arguments)
            assert found.fingerprint() == again.fingerprint() == whole.fingerprint(), file
    assert refused >= 1


def no_folder(file):
    file.unlink()
    file.mkdir()


def no_pipe(file):
    file.unlink()
    os.mkfifo(file)


class WaitsForEver(BaseException):
    "No Exception: an importer must not take it for damage."


def too_long(number, frame):
    raise WaitsForEver


@pytest.fixture
def alarm():
    "A function that ends the test in so many seconds."
    before = signal.signal(signal.SIGALRM, too_long)
    yield signal.alarm
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("instead", [no_pipe, no_folder])
@pytest.mark.parametrize("name", FORMATS)
def test_no_file_in_a_files_place(name, instead, tmp_path, sources, alarm):
    "A pipe or a folder in the place of a file is refused, or reported, by its name."
    from wmkit.files import read_json
    whole = importer(name)(dest=tmp_path/"whole", **fresh(name, tmp_path/"clean", sources))
    refused = 0
    for i, file in enumerate(kinds(tmp_path/"clean")):
        arguments = fresh(name, tmp_path/f"source_{i}", sources)
        instead(arguments["source"]/file)
        alarm(20)
        try:
            found = importer(name)(dest=tmp_path/f"new_{i}", **arguments)
        except (ValueError, OSError) as e:
            assert file.stem in str(e) and not str(e).startswith("[Errno"), (file, e)
            refused += 1
        else:  # a file that is never read, or one of many pictures
            same = found.fingerprint() == whole.fingerprint()
            assert same or file.stem in everything(read_json(found.root/"meta/import.json", dict))
        alarm(0)
    assert refused >= 1


def test_the_source_is_a_pipe(tmp_path, alarm):
    for name in ("pipe", "pipe.zip", "pipe.tar.gz", "pipe.mp4"):
        os.mkfifo(tmp_path/name)
        for format in FORMATS:
            alarm(20)
            with pytest.raises(ValueError, match="is a pipe, a socket or a device"):
                importer(format)(tmp_path/name, tmp_path/"new", **WRITERS[format].EXTRA)
    assert not (tmp_path/"new").exists() and not (tmp_path/".new.import").exists()


def one_full(notes, number, flag):
    "A reader: in a worker the second recording meets a full disk, then the first goes on."
    import errno
    from fractions import Fraction
    from wmkit.files import DiskFull
    from wmkit.importers.convert import Recording, Row
    if number == 1 and multiprocessing.parent_process() and not flag.exists():
        flag.touch()
        raise DiskFull(errno.ENOSPC, "the disk is full", "here")
    end = time.monotonic() + 60
    while multiprocessing.parent_process() and not flag.exists() and time.monotonic() < end:
        time.sleep(.05)
    time.sleep(1 if multiprocessing.parent_process() else 0)
    action = np.zeros(1, np.float32)
    frames = (Row(np.full((32, 32, 3), 10*i, np.uint8), action) for i in range(4))
    return Recording(Fraction(10), frames, 4)


def test_workers_end_before_the_work_folder_is_left(tmp_path):
    from wmkit.data.actions import ActionSpace, Channel
    from wmkit.files import DiskFull
    from wmkit.importers.convert import Source, convert
    space = ActionSpace([Channel("jump", "button")])
    items = {f"rec_{i}": dict(number=i, flag=tmp_path/"flag") for i in range(2)}
    source = Source("test", items, one_full, space)
    with pytest.raises(DiskFull, match="1 of 2 recordings are finished and kept"):
        convert(tmp_path/"new", source, workers=2)
    assert (tmp_path/".new.import/owner.txt").exists()
    (tmp_path/"flag").touch()
    assert len(convert(tmp_path/"new", source, workers=2)) == 2
    assert sorted(file.name for file in tmp_path.iterdir()) == ["flag", "new"]


KILL = """
import importlib, os, signal, sys
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
import wmkit.importers.convert as convert
from pathlib import Path
write, written = convert.Cutter.write, [0]

def dying(self, row):
    write(self, row)
    written[0] += 1
    if written[0] == 40:
        os.kill(os.getpid(), signal.SIGKILL)

for name in sys.argv[3:]:
    writer, place = importlib.import_module(f"writers.{name}"), Path(sys.argv[2])/name
    format = getattr(writer, "FORMAT", name)
    run = getattr(importlib.import_module(f"wmkit.importers.{format}"), f"import_{format}")
    if not os.fork():
        convert.Cutter.write = dying
        run(place/"source", place/"new", workers=0, **writer.EXTRA)
        os._exit(0)
    print(name, os.WTERMSIG(os.wait()[1]), flush=True)
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory, sources):
    "Imports of every format that were killed after 40 frames: {format: (folder, signal)}."
    place = tmp_path_factory.mktemp("killed")
    for name in FORMATS:
        fresh(name, place/name/"source", sources)
    command = [sys.executable, "-c", textwrap.dedent(KILL), str(HERE), str(place), *FORMATS]
    one_thread = os.environ | dict(OMP_NUM_THREADS="1")
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=one_thread)
    ends = dict(re.findall(r"^(\w+) (\d+)$", done.stdout, re.M))
    assert set(ends) == set(FORMATS), done.stdout + done.stderr
    return {name: (place/name, int(ends[name])) for name in FORMATS}


@pytest.mark.parametrize("name", FORMATS)
def test_killed(name, killed):
    from wmkit.data.episodes import Dataset
    place, number = killed[name]
    arguments = dict(source=place/"source", workers=0) | WRITERS[name].EXTRA
    assert number == signal.SIGKILL
    assert not (place/"new").exists() and (place/".new.import").exists()
    importer(name)(dest=place/"new", **arguments)
    importer(name)(dest=place/"whole", **arguments)
    taken_up, whole = Dataset(place/"new").validate(), Dataset(place/"whole")
    assert taken_up.fingerprint() == whole.fingerprint()
    assert sorted(file.name for file in place.iterdir()) == ["new", "source", "whole"]
