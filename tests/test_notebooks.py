"""Every notebook runs, and its values have the words that are stored in it.

Each is executed in a fork of a process that has imported torch once for all of them, and nothing
else: a fork of this one may hang on what other tests did (drawing with MuJoCo starts threads).
One alone: `pytest tests/test_notebooks.py -k 62_attention`.
"""
import json
import multiprocessing
import os
import signal
import traceback
from pathlib import Path

import notebooks
import pytest

NBS = Path(__file__).resolve().parents[1]/"nbs"
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


@pytest.fixture(scope="session")
def clean_process():
    "What makes forks of a process that has imported what nearly every notebook needs."
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["notebooks", *notebooks.NEEDED])
    return found


def execute(file, slow, report):
    "In the child: run the notebook, write what is wrong into `report`, and end."
    os.setsid()
    try:
        wrong = notebooks.run(file, slow=slow)
    except BaseException:
        wrong = traceback.format_exc()
    report.write_text(wrong or "")
    os._exit(bool(wrong))


def check(clean_process, file, folder, slow=False):
    report = folder/"wrong.txt"
    child = clean_process.Process(target=execute, args=(file, slow, report))
    child.start()
    child.join(SECONDS)
    if child.exitcode is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.join()
        pytest.fail(f"{name(file)} took longer than {SECONDS} s")
    wrong = report.read_text() if report.exists() else ""
    assert child.exitcode == 0, wrong or f"{name(file)} died with status {child.exitcode}"


@pytest.mark.parametrize("file", FILES, ids=name)
def test_notebook(clean_process, file, tmp_path):
    check(clean_process, file, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("file", SLOW, ids=name)
def test_slow_cells(clean_process, file, tmp_path):
    check(clean_process, file, tmp_path, slow=True)
