"""`wmkit data` as a user meets it: every format named, bad input refused, kills survived."""
import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import writers
from wmkit.cli import main
from wmkit.data.episodes import Dataset, join_datasets, toy_dataset
from wmkit.data.reshape import inspect_folder

ROOT = Path(__file__).resolve().parents[1]
FORMATS = sorted(file.stem for file in Path(writers.__file__).parent.glob("[!_]*.py"))
UNREAL = [("unreal", dict(version=version)) for version in (1, 2, 3)]


@pytest.fixture
def place(tmp_path, monkeypatch):
    "A folder with a small data set, which is the current one."
    monkeypatch.chdir(tmp_path)
    toy_dataset("toy", episodes=3, frames=60)
    return tmp_path


def said(capsys, *words):
    "(exit code, stdout, stderr) of a command."
    try:
        code = main(list(words))
    except SystemExit as e:
        code = e.code
    return code, *capsys.readouterr()


@pytest.mark.parametrize("name, form", [*((name, {}) for name in FORMATS if name != "unreal"),
                                        *UNREAL])
def test_inspect_names_the_format(name, form, tmp_path):
    folder = tmp_path/"source"
    folder.mkdir()
    writer = importlib.import_module(f"writers.{name}")
    writer.write(folder, writers.play(), **form)
    found, name = inspect_folder(folder), getattr(writer, "FORMAT", name)
    assert found.what == f"recordings, format {name}"
    assert f"wmkit import {name} {folder} data/source" in str(found)


def test_inspect_prints_everything(place, capsys):
    code, out, _ = said(capsys, "data", "inspect", "toy")
    assert code == 0
    lines = dict(line.split(maxsplit=1) for line in out.splitlines() if line)
    assert lines["episodes"] == "3 (2 train, 1 test)"
    assert lines["frames"] == "180: 0.3 minutes at 35/4 a second"
    assert lines["fingerprint"] == Dataset("toy").fingerprint()
    assert lines["states"] == "angle" and lines["each"] == "48x64, h264"
    assert lines["yaw"].split()[:3] == ["delta", "degrees", "per"]


def spoil_actions(root, episode, row, value):
    "Write a value into a row's first channel."
    import pyarrow as pa
    import pyarrow.parquet as pq
    path = Dataset(root).path(episode, "data")
    table = pq.read_table(path)
    rows = np.stack(table["action"].to_pylist()).astype(np.float32)
    rows[row, 0] = value
    size = rows.shape[1]
    column = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), size)
    place = table.column_names.index("action")
    pq.write_table(table.set_column(place, "action", column), path)


def test_inspect_goes_on_past_broken_episodes(place, capsys):
    Dataset("toy").path(0).write_bytes(b"")
    spoil_actions("toy", 1, 60 + 7, np.nan)  # one file holds all rows
    code, out, _ = said(capsys, "data", "inspect", "toy")
    assert code == 0 and "3 (2 train, 1 test), 2 of them broken" in out
    assert re.search(r"^0 +.*is empty \(0 bytes\)", out, re.M), out
    assert re.search(r"^1 +.*row 7, channel 'forward' is nan", out, re.M), out
    assert "60: 0.1 minutes" in out


def test_inspect_of_an_hour_takes_seconds(place):
    toy_dataset("piece", episodes=1, frames=400, test=0)
    join_datasets(["piece"]*80, "hour", 8)
    start = time.process_time()
    found = inspect_folder("hour")
    assert float(found.frames/found.fps) > 3600
    assert time.process_time() - start < 10


REFUSED = {
    "nowhere does not exist; expected the folder of a data set": "inspect nowhere",
    "gone does not exist (a link to away)": "inspect gone",
    "empty holds nothing that wmkit knows": "inspect empty",
    "notes.txt is a file; expected a folder": "inspect notes.txt",
    "nowhere does not exist": "convert nowhere new",
    "gone does not exist": "convert gone new",
    "empty is not a dataset: it has no meta/info.json": "convert empty new",
    "empty exists": "convert toy empty",
    "gone is a link to nothing": "convert toy gone",
    "notes.txt": "convert toy notes.txt",
    "toy/new lies inside of toy": "convert toy toy/new",
    "no channel 'fly'; this space has forward": "convert toy new --only fly",
    "channel names must differ": "convert toy new --only yaw yaw",
    "--fps 20: the source has 35/4 frames a second": "convert toy new --fps 20",
    "--fps 0; expected a number above 0": "convert toy new --fps 0",
    "--fps quick; expected a number above 0": "convert toy new --fps quick",
    "no recording holds an episode": "convert toy new --fps 1/100 --workers 0",
    "size (0, 0): expected an even height and width": "convert toy new --size 0 0",
    "size (23, 32): expected an even height and width": "convert toy new --size 23 32",
    "--size: expected 2 arguments": "convert toy new --size 64",
    "does not fit a frame of 48x64": "convert toy new --crop 0 0 99 9",
    "--test 3: toy has 3 episodes": "convert toy new --test 3",
    "--test -1: toy has 3 episodes": "convert toy new --test -1",
    "arguments are required: COMMAND": "",
    "invalid choice: 'show'": "show toy",
}


@pytest.mark.parametrize("error", REFUSED)
def test_refused_in_one_line(error, place, capsys):
    Path("empty").mkdir()
    os.symlink("away", "gone")
    Path("notes.txt").touch()
    before = sorted(path.name for path in place.iterdir())
    code, _, err = said(capsys, "data", *REFUSED[error].split())
    assert code == 2 and err.count("\n") == 1 and error in err, err
    assert sorted(path.name for path in place.iterdir()) == before


def test_help(capsys):
    code, out, _ = said(capsys, "data", "--help")
    assert code == 0 and "inspect" in out and "convert" in out
    code, out, _ = said(capsys, "data", "convert", "--help")
    for flag in "--size --fit --fps --crop --only --test --workers --skip-bad".split():
        assert f"  {flag} " in out or f"  {flag}\n" in out, flag


KILLED = """
import os, signal, sys
import wmkit.importers.convert as convert
from wmkit.cli import main
write, written = convert.Cutter.write, [0]

def dying(self, row):
    write(self, row)
    written[0] += 1
    if written[0] == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)

convert.Cutter.write = dying
main(sys.argv[2:])
"""


def test_a_killed_conversion_goes_on(place, capsys):
    words = "--fps 35/8 --size 24 24 --workers 0".split()
    own = dict(OMP_NUM_THREADS="1", PYTHONPATH=str(ROOT))
    command = [sys.executable, "-c", KILLED, "45", "data", "convert", "toy", "new", *words]
    process = subprocess.run(command, env=os.environ | own, capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert not Path("new").exists() and Path(".new.import").exists()
    code, out, err = said(capsys, "data", "convert", "toy", "new", *words)
    assert code == 0 and "1 of 3 recordings were finished before" in out, err
    assert said(capsys, "data", "convert", "toy", "whole", *words)[0] == 0
    assert Dataset("new").validate().fingerprint() == Dataset("whole").fingerprint()
    assert sorted(path.name for path in place.iterdir()) == ["new", "toy", "whole"]


def test_workers_make_the_same(place, capsys):
    for name, workers in (("alone", "0"), ("pool", "2")):
        words = "data", "convert", "toy", name, "--fps", "5", "--workers", workers
        assert said(capsys, *words)[0] == 0
    assert Dataset("alone").fingerprint() == Dataset("pool").fingerprint()
    assert "uneven" in said(capsys, "data", "inspect", "pool")[1]


def test_a_copy_of_an_import_remembers_what_was_mended(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    source = importlib.import_module("writers.video")
    Path("source").mkdir()
    source.write(Path("source"), writers.play(), scenes=2)
    assert said(capsys, "import", "video", "source", "first", "--workers", "0")[0] == 0
    assert said(capsys, "data", "convert", "first", "second", "--workers", "0")[0] == 0
    first, second = Dataset("first"), Dataset("second")
    assert second.episodes == first.episodes
    made = second.about["made_from"]
    assert made["name"] == "first" and made["fingerprint"] == first.fingerprint()
    assert made["import"]["recordings"] == 1 and made["import"]["gaps"] >= 1
    assert not second.known(0).any()
    assert "none is known" in said(capsys, "data", "inspect", "second")[1]
    shutil.rmtree("second")
