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


FAKE = """#!/bin/sh
case "$*" in *requirements-cpu.lock*) exit ${NO_CPU_BUILD:-0};; esac
"""


@pytest.mark.parametrize("missing", ["0", "1"])
def test_setup_says_what_it_does(tmp_path, missing):
    "A Python that installs nothing: what is said before and after each step, without a terminal."
    for name in (".ci/setup", *(f"requirements{kind}.lock" for kind in ("", "-cpu", "-cuda"))):
        (tmp_path/name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT/name, tmp_path/name)
    python = tmp_path/".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(FAKE)
    python.chmod(0o755)
    environment = os.environ | dict(NO_CPU_BUILD=missing, PATH=f"{python.parent}:/usr/bin:/bin")
    said = subprocess.run(["sh", ".ci/setup"], cwd=tmp_path, capture_output=True, text=True,
                          env=environment)
    assert said.returncode == 0, said.stderr
    lines = said.stdout.splitlines()
    count = sum(line[:1].islower() for line in (ROOT/"requirements.lock").read_text().splitlines())
    assert f"wmkit: {count} packages of requirements.lock; downloads may take minutes" in lines
    assert any(line.startswith("wmkit: requirements.lock done after ") for line in lines)
    assert any(line.startswith("wmkit: .venv is ready after ") for line in lines)
    cuda = any("packages of requirements-cuda.lock" in line for line in lines)
    assert cuda == (missing == "1") or shutil.which("nvidia-smi")
