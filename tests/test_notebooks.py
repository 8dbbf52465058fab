"""Every notebook runs, and its values have the words that are stored in it.

Each is executed in a fork of this process, which has imported torch once for all of them.
One alone: `pytest tests/test_notebooks.py -k 62_attention`.
"""
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

import notebooks
import pytest

NBS = Path(__file__).resolve().parents[1]/"nbs"
OURS = ("wmkit", "known_worlds", "writers")  # all of them, as they hold each other's classes
SECONDS = 600  # for a notebook: a blocked call outlives the limit of a cell


def code_of(file):
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    return ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]


def is_ours(file):
    return not any(part.startswith((".", "_")) for part in file.relative_to(NBS).parts)


FILES = [file for file in sorted(NBS.rglob("*.ipynb")) if is_ours(file) and code_of(file)]
SLOW = [file for file in FILES if any("#| slow" in source for source in code_of(file))]


def name(file):
    return str(file.relative_to(NBS).with_suffix(""))


@pytest.fixture(scope="session", autouse=True)
def prepared():
    notebooks.prepare()


def in_fork(file, slow, report):
    "In the child: run the notebook, write what is wrong into `report`, and end."
    os.setsid()
    for module in [m for m in sys.modules if m.split(".")[0] in OURS]:
        del sys.modules[module]  # a notebook begins without what other tests imported
    try:
        wrong = notebooks.run(file, slow=slow)
    except BaseException:
        wrong = traceback.format_exc()
    report.write_text(wrong or "")
    os._exit(bool(wrong))


def wait(child):
    "The exit status of the child; None when its time is over and it was ended."
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)


def check(file, folder, slow=False):
    report = folder/"wrong.txt"
    child = os.fork()
    if not child:
        in_fork(file, slow, report)
    status = wait(child)
    assert status is not None, f"{name(file)} took longer than {SECONDS} s"
    wrong = report.read_text() if report.exists() else ""
    assert status == 0, wrong or f"{name(file)} died with status {status}"


@pytest.mark.parametrize("file", FILES, ids=name)
def test_notebook(file, tmp_path):
    check(file, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("file", SLOW, ids=name)
def test_slow_cells(file, tmp_path):
    check(file, tmp_path, slow=True)
