"""Commands that are killed, stopped or meet a full disk; benchmarks/kills.py does it at length."""
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = "import sys; from wmkit.cli import main; sys.exit(main())"
RECORD = "record", "new", "--episodes", "1", "--frames", "2000", "--test", "0"


def start(place, *words, program=PROGRAM):
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    (place/"tmp").mkdir(exist_ok=True)
    own = dict(OMP_NUM_THREADS="1", PYTHONPATH=path, TMPDIR=str(place/"tmp"))
    return subprocess.Popen([sys.executable, "-c", program, *words], cwd=place, text=True,
                            env=os.environ | own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            start_new_session=True)


def wait_for(condition, what, seconds=100):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(.05)


def engines(place):
    "The names of the engines' shared memory of a recording."
    return [f.read_text() for f in (place/"tmp").glob(".wmkit_engine.*/instance")]


def lives(name):
    "The processes with this word among their arguments."
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if name.encode() in file.read_bytes().split(b"\0"):
                found.append(int(file.parent.name))
    return found


@pytest.fixture
def recording(tmp_path):
    "(folder, process, name of the engine) of a recording that has begun."
    process = start(tmp_path, *RECORD)
    wait_for(lambda: any(tmp_path.glob(".new.*.wmkit/new/videos/**/*.mp4")), "the first frames")
    yield tmp_path, process, engines(tmp_path)[0]
    process.kill()
    process.communicate()


def memory(name): return [f for f in os.listdir("/dev/shm") if f.endswith(name)]


def hidden(place): return [f.name for f in place.iterdir() if f.name.startswith(".")]


def test_a_killed_recording_takes_its_engine_along(recording):
    place, process, engine = recording
    assert lives(engine)
    process.kill()
    process.wait()
    wait_for(lambda: not lives(engine), "the engine to end", 10)
    assert memory(engine) and len(hidden(place)) == 1
    words = list(RECORD)
    words[5] = "30"
    again = start(place, *words)
    said = again.communicate(timeout=200)[0]
    assert again.returncode == 0, said
    assert said.count("removed what a killed call had left of new") == 1
    assert not memory(engine) and not hidden(place) and not os.listdir(place/"tmp")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_stopped_recording_leaves_nothing(recording, number):
    place, process, engine = recording
    os.killpg(process.pid, number)  # to the engine, too
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 128 + number, said
    assert f"wmkit: stopped by {number.name}; nothing is left of it" in said
    assert not lives(engine) and not memory(engine)
    assert not hidden(place) and not os.listdir(place/"tmp")


def test_an_engine_that_dies_is_reported(recording):
    place, process, engine = recording
    os.kill(lives(engine)[0], signal.SIGKILL)  # as a lack of memory does
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 2 and "Traceback" not in said, said
    assert "wmkit: the engine ended: killed, out of memory, or a crash" in said
    assert not memory(engine) and not hidden(place) and not os.listdir(place/"tmp")


def test_a_call_that_never_comes_back_ends_the_recording(tmp_path):
    "ViZDoom waits for ever for a lock that its engine held when it was killed."
    waits = "import time, vizdoom; vizdoom.DoomGame.make_action = lambda *a: time.sleep(900); "
    process = start(tmp_path, *RECORD, program=waits + PROGRAM)
    wait_for(lambda: engines(tmp_path) and lives(engines(tmp_path)[0]), "the engine")
    engine = engines(tmp_path)[0]
    time.sleep(3)  # it is asked for its first frame
    os.kill(lives(engine)[0], signal.SIGKILL)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 2 and "the engine ended: killed" in said, said
    assert not memory(engine) and not hidden(tmp_path) and not os.listdir(tmp_path/"tmp")


def test_a_living_recording_is_left_alone(recording):
    place, process, engine = recording
    other = start(place, "record", "new", "--episodes", "1", "--frames", "8", "--test", "0")
    said = other.communicate(timeout=200)[0]
    assert other.returncode == 0, said  # it was quicker
    assert lives(engine) and len(hidden(place)) == 1 and "removed" not in said
    assert process.poll() is None


@pytest.mark.slow
def test_at_random_moments():
    command = [sys.executable, ROOT/"benchmarks/kills.py", "--only", "record", "import"]
    done = subprocess.run([*command, "--count", "7"], text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "7 continued, 7 equal, 7 left nothing behind" in done.stdout


IMPORT = "import", "video", "source", "new", "--workers", "2"


@pytest.fixture
def place(tmp_path):
    "A folder with three videos."
    from wmkit.data.episodes import toy_dataset
    play = toy_dataset(tmp_path/"play", episodes=3, frames=900, test=0)
    (tmp_path/"source").mkdir()
    for e in range(3):
        play.path(e).rename(tmp_path/f"source/{e}.mp4")
    return tmp_path


def same_import(place, expected):
    again = start(place, *IMPORT)
    said = again.communicate(timeout=300)[0]
    assert again.returncode == 0 and expected in said, said
    from wmkit.data.episodes import Dataset
    assert [e.length for e in Dataset(place/"new").validate().episodes] == [900, 900, 900]
    assert not hidden(place) and not os.listdir(place/"tmp")


def begun(place): return any(place.glob(".new.import/.part*"))


def test_a_stopped_import_keeps_what_is_finished(place):
    process = start(place, *IMPORT)
    wait_for(lambda: begun(place) or process.poll() is not None, "the workers", 200)
    assert begun(place), process.communicate()[0]
    os.killpg(process.pid, signal.SIGTERM)  # as a batch system: to the workers, too
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 143, said
    assert "wmkit: stopped by SIGTERM; finished recordings are kept" in said
    assert "Traceback" not in said and not (place/"new").exists()
    assert not list(place.glob(".new.import/.part*"))
    same_import(place, "imported 3 recordings")


@pytest.mark.parametrize("workers", ["0", "2"])
def test_an_import_meets_a_full_disk(place, workers):
    words = "import", "video", "source", "new", "--workers", workers, "--skip-bad"
    limited = ["bash", "-c", 'ulimit -f 20; exec "$@"', "-", sys.executable, "-c", PROGRAM, *words]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(limited, cwd=place, text=True, capture_output=True,
                          env=os.environ | dict(PYTHONPATH=path))
    assert done.returncode == 2, done.stdout + done.stderr
    assert "takes no file of this size" in done.stderr and "left out" not in done.stdout
    assert not (place/"new").exists() and not hidden(place)
    (place/"tmp").mkdir()
    same_import(place, "imported 3 recordings")
