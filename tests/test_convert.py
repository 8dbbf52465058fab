"""Conversion as a user meets it: killed, by a pool, through Ray; its workers end with it."""
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
READER = """
import os, time
from wmkit.data.actions import DOOM
from wmkit.data.episodes import video_info
from wmkit.importers.convert import Recording, Row, Source, convert, video_frames

def read(notes, video, wait, die):
    def rows():
        if notes.name == die:
            os._exit(9)  # as a lack of memory or a crash in a decoder would end it
        for t, frame in enumerate(video_frames(video)):
            time.sleep(wait)
            yield Row(frame, DOOM.vector(yaw=t % 5))
    return Recording(video_info(video).fps, rows(), video_info(video).frames)

def items(folder): return {f.stem: dict(video=f) for f in sorted(folder.rglob("*.mp4"))}
"""
MAIN = """
import sys
from pathlib import Path
from reader import DOOM, Source, convert, items, read
if __name__ == "__main__":
    dest, folder, wait, workers, engine, die = sys.argv[1:]
    options = dict(wait=float(wait), die=die)
    source = Source("turns", items(Path(folder)), read, DOOM, options=options)
    convert(dest, source, workers=int(workers), engine=engine)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    "A folder with a source of four videos, a reader and a program."
    from wmkit.data.episodes import toy_dataset
    folder = tmp_path_factory.mktemp("convert")
    toy_dataset(folder/"source", episodes=4, frames=40, test=0)
    (folder/"reader.py").write_text(textwrap.dedent(READER))
    (folder/"main.py").write_text(textwrap.dedent(MAIN))
    return folder


def start(place, dest, wait=0., workers=0, engine="pool", die=""):
    words = place/"main.py", place/dest, place/"source", wait, workers, engine, die
    path = os.pathsep.join([str(place), str(ROOT)])
    own = dict(OMP_NUM_THREADS="1", RAY_DEDUP_LOGS="0", PYTHONPATH=path)
    return subprocess.Popen([sys.executable, *map(str, words)], env=os.environ | own, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            start_new_session=True)


def finish(process):
    said = process.communicate(timeout=200)[0]
    assert process.returncode == 0, said
    return said


def fingerprint(place, dest):
    from wmkit.data.episodes import Dataset
    return Dataset(place/dest).validate().fingerprint()


def parts(place, dest):
    found = (place/f".{dest}.import").glob("part_*")
    return {f.name: f.stat().st_mtime_ns for f in found}


def group(pid):
    "The live processes of a session."
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder/"stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(status[3]) == pid and status[0] != "Z":
            found.append(int(folder.name))
    return found


@pytest.fixture(scope="module")
def whole(place):
    finish(start(place, "whole", .01))
    return fingerprint(place, "whole")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_conversion_goes_on(place, whole, workers):
    dest = f"killed_{workers}"
    process = start(place, dest, .01, workers)
    deadline = time.monotonic() + 60
    while not parts(place, dest) and time.monotonic() < deadline:
        time.sleep(.01)
    before = parts(place, dest)
    assert 0 < len(before) < 4 and not (place/dest).exists()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    while group(process.pid) and time.monotonic() < deadline:
        time.sleep(.05)
    assert not group(process.pid), "the workers of a killed conversion live on"
    kept = parts(place, dest)
    assert before.items() <= kept.items() and not (place/dest).exists()
    said = finish(start(place, dest, .01, workers))
    assert f"{len(kept)} of 4 recordings were finished before" in said
    assert fingerprint(place, dest) == whole and not (place/f".{dest}.import").exists()


def test_ray_runs_the_same_function(place, whole):
    finish(start(place, "ray", .01, 2, "ray"))
    assert fingerprint(place, "ray") == whole


def test_a_worker_that_dies_is_reported(place):
    process = start(place, "dies", 0, 2, die="file-002")
    said = process.communicate(timeout=100)[0]
    assert process.returncode == 1
    why = "a worker process died: out of memory, or a crash in a decoder. What is finished is kept"
    assert why in said
    assert not (place/"dies").exists()
