"""From a folder of one's own to a trained world: the very lines that `wmkit import --help` and the README show."""
import importlib.util
import re
import shlex
from pathlib import Path

import pytest
from writers import play
from writers.folder import write

from wmkit.checkpoints import list_checkpoints
from wmkit.cli import COMMANDS, FORMATS, MAPPING, import_help, main
from wmkit.core import read_json
from wmkit.data.clips import Clips
from wmkit.data.episodes import Dataset
from wmkit.runs import Run

ROOT = Path(__file__).resolve().parents[1]
SMOKE = dict(train_tokenizer=dict(model=dict(width=8), steps=6, batch=4), train_dynamics=dict(model=dict(width=16, depth=1), steps=6, batch=8, horizon=2, shown=8, K=1))
MORE = "  left: {kind: button, from: keys, key: A}\n  right: {kind: button, from: keys, key: D}\n"  # a line for each


def test_every_format_has_its_notebook():
    notebooks = {file.stem.removeprefix("14_import_") for file in (ROOT/"nbs").glob("14_import_*.ipynb")}
    assert set(FORMATS) == notebooks
    for name, (module, function) in FORMATS.items():
        assert f"\ndef {function}(" in Path(importlib.util.find_spec(module).origin).read_text(), f"{module} has no {function}"
        assert re.search(rf"^  {name} +\S.{{20,}}", import_help(), re.M), f"the docstring of {function} has no first line"


def test_the_readme_shows_the_same_lines():
    readme = (ROOT/"README.md").read_text()
    assert f"```yaml\n{MAPPING}```" in readme and f"```sh\n{COMMANDS}```" in readme, "copy MAPPING and COMMANDS of nbs/90_cli.ipynb into nbs/index.ipynb"


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    "A working tree with a folder of real play, 16:9, 17.5 frames a second, and the mapping that is shown."
    root = tmp_path_factory.mktemp("house")
    (root/"settings.ini").write_text("[paths]\ndata = data\ncheckpoints = checkpoints\noutputs = outputs\n[run]\ndevice = cpu\n")
    for name in ("nbs", "configs"): (root/name).symlink_to(ROOT/name)
    found = play(frames=300)
    write(root/"my_game", found | dict(frames=found["frames"][:, 15:105]), turn="scaled", recordings=3)
    (root/"my_game/mapping.yaml").write_text(MAPPING + MORE)
    return root


def run(command):
    "Execute a shown line, with smoke sizes added."
    program, *words = shlex.split(command)
    assert program == "wmkit"
    if words[0] == "run": words += [text for name, value in SMOKE[words[1]].items() for text in ("-p", name, str(value))]
    if words[0] == "import": words += ["--workers", "0"]
    assert main(words) in ((0, 1) if words[0] == "doctor" else (0,)), command  # the doctor may find so little play wanting


def test_from_a_folder_to_a_world(house, monkeypatch, capsys):  # most of the time goes into the two kernels' imports, the preflight and the reports
    monkeypatch.chdir(house)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for command in COMMANDS.splitlines(): run(command)
    said = capsys.readouterr().out
    dataset = Dataset("data/my_game").validate()
    assert (dataset.space.names, dataset.fps, dataset.height, dataset.width) == (["forward", "yaw", "left", "right"], 10, 144, 256)
    report = read_json(dataset.root/"meta/import.json")
    assert report["recordings"] == 3 and report["held_out"] == 1 and report["dropped"]["key S"] > 0 and "alignment" in report
    assert "no channel for: column pos_x (300)" in said and str(dataset) in said
    eyes, world = Run(house/"outputs/my_eyes"), Run(house/"outputs/my_world")
    for trained, model in ((eyes, "tokenizer"), (world, "dynamics")):
        assert trained.status == "done" and trained.result()["steps_done"] == 6
        assert [f.name for f in list_checkpoints(house/"checkpoints"/trained.name/model)] == ["step_000006"]
        assert (trained.folder/"report.html").stat().st_size > 10_000
    assert world.result()["tokenizer"].startswith("my_eyes/tokenizer/") and "yaw" in world.result()
    assert Clips(house/"data/my_game_frames", "test").space == dataset.space
