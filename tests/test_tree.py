"""The tree as a whole: what ruff says, and that export and clean would change nothing."""
import filecmp
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent


def run(command, folder):
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return said.returncode, said.stdout + said.stderr


def test_ruff():
    code, said = run([BIN/"ruff", "check", "--output-format", "concise"], ROOT)
    assert code == 0, said


@pytest.fixture
def copy(tmp_path):
    "What clean and export read and write, so that the tree itself is never touched."
    skip = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", ".virtual_documents")
    for name in ("nbs", "wmkit"):
        shutil.copytree(ROOT/name, tmp_path/name, ignore=skip)
    shutil.copy(ROOT/"pyproject.toml", tmp_path)
    return tmp_path


def changed(copy):
    "The files of the copy that now differ from the tree."
    names = [f.relative_to(copy) for f in sorted(copy.rglob("*")) if f.is_file()]
    names = [name for name in names if "__pycache__" not in name.parts]
    same = {name for name in names if (ROOT/name).exists()
            and filecmp.cmp(ROOT/name, copy/name, shallow=False)}
    return [str(name) for name in names if name not in same]


@pytest.mark.parametrize("command", ["nbdev-clean", "nbdev-export"])
def test_nbdev_changes_nothing(command, copy):
    code, said = run([BIN/command], copy)
    assert code == 0, said
    assert not changed(copy), f"run {command} and commit what it writes"
