"""`make clean` removes what make made, and nothing that git does not ignore."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MINE = ["nbs/explore/mine.ipynb", "nbs/my/thesis.ipynb", "nbs/my notes/a.ipynb", "build/mine.txt",
        "nbs/it's \"quoted\"/b.ipynb", "nbs/explore copy/.ipynb_checkpoints/c-checkpoint.ipynb",
        "wmkit/mine.py", "data/doom/meta/info.json", "outputs/run/run.json", "checkpoints/r/x.bin"]
MADE = [".venv/bin/python", "build/docs/index.html", ".ruff_cache/x", "wmkit.egg-info/PKG-INFO",
        "nbs/my notes/__pycache__/a.pyc", "nbs/it's \"quoted\"/__pycache__/b.pyc",
        "wmkit/data/__pycache__/c.pyc", "tests/__pycache__/d.pyc"]


@pytest.fixture
def clone(tmp_path):
    "A repository with our Makefile and .gitignore, files of a user, and what make makes."
    root = tmp_path/"a clone"
    (root/"nbs/explore").mkdir(parents=True)
    for name in ("Makefile", ".gitignore"):
        shutil.copy(ROOT/name, root/name)
    (root/"nbs/explore/open_a_run.ipynb").write_text("{}")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    for command in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *command], cwd=root, check=True, env=environment)
    (root/"benchmarks").mkdir()
    for name in MINE + MADE:
        (root/name).parent.mkdir(parents=True, exist_ok=True)
        (root/name).write_text("x")
    (root/"nbs/linked").symlink_to(tmp_path/"elsewhere")
    (tmp_path/"elsewhere/__pycache__").mkdir(parents=True)
    (tmp_path/"elsewhere/__pycache__/theirs.pyc").write_text("x")
    return root


def test_clean_removes_what_make_made_alone(clone):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "MAKE"))}
    subprocess.run(["make", "clean"], cwd=clone, check=True, env=environment)
    assert [name for name in MINE if not (clone/name).is_file()] == []
    assert [name for name in MADE if (clone/name).exists()] == []
    assert (clone/"nbs/explore/open_a_run.ipynb").is_file()
    assert (clone/"nbs/linked/__pycache__/theirs.pyc").is_file()


def test_make_removes_fixed_names_that_git_ignores(clone):
    lines = (clone/"Makefile").read_text().splitlines()
    rules = [line.strip() for line in lines if line.startswith("\t")]
    assert [line for line in rules if "xargs" in line or "-delete" in line] == []
    names = [name for line in rules if line.startswith("rm ") for name in line.split()[1:]]
    inside = [f"{name}/x" for name in names if name != "-rf"]
    ignored = subprocess.run(["git", "check-ignore", "--no-index", *inside], cwd=clone,
                             capture_output=True, text=True)
    assert ignored.stdout.split() == inside
