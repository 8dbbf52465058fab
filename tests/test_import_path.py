"""From a folder of one's own to a trained world, by the very lines that help and pages show."""
import importlib.util
import re
import shlex
from pathlib import Path

import pytest
from notebooks import SETTINGS
from writers import play
from writers.folder import write

from wmkit.checkpoints import list_checkpoints
from wmkit.cli import COMMANDS, FORMATS, MAPPING, import_help, main
from wmkit.files import read_json
from wmkit.data.clips import Clips
from wmkit.data.episodes import Dataset
from wmkit.runs import Run

ROOT = Path(__file__).resolve().parents[1]
SMOKE = dict(
    train_tokenizer=dict(model=dict(width=8), steps=6, batch=4),
    train_dynamics=dict(model=dict(width=16, depth=1), steps=6, batch=8, horizon=2, shown=8, K=1))
MORE = """  left: {kind: button, from: keys, key: A}
  right: {kind: button, from: keys, key: D}
"""


def test_every_format_has_its_notebook():
    notebooks = (ROOT/"nbs").glob("14_import_*.ipynb")
    assert set(FORMATS) == {file.stem.removeprefix("14_import_") for file in notebooks}
    for name, (module, function) in FORMATS.items():
        source = Path(importlib.util.find_spec(module).origin).read_text()
        assert f"\ndef {function}(" in source, f"{module} has no {function}"
        line = re.search(rf"^  {name} +\S.{{20,}}", import_help(), re.M)
        assert line, f"the docstring of {function} has no first line"


def test_the_pages_show_the_same_lines():
    readme, yours = ((ROOT/page).read_text() for page in ("README.md", "docs/your-game.md"))
    again = "copy MAPPING and COMMANDS of 90_cli into nbs/index.ipynb and docs/your-game.md"
    assert f"```yaml\n{MAPPING}```" in yours and f"```sh\n{COMMANDS}```" in yours, again
    assert f"```sh\n{COMMANDS}```" in readme, again


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    "A working tree with a folder of real play, 16:9, 17.5 a second, and the mapping that is shown."
    root = tmp_path_factory.mktemp("house")
    (root/"settings.ini").write_text(SETTINGS)
    for name in ("nbs", "configs"):
        (root/name).symlink_to(ROOT/name)
    found = play(frames=300)
    wide = found | dict(frames=found["frames"][:, 15:105])
    write(root/"my_game", wide, turn="scaled", recordings=3)
    (root/"my_game/mapping.yaml").write_text(MAPPING + MORE)
    return root


def run(command):
    "Execute a shown line, with smoke sizes added."
    program, *words = shlex.split(command)
    assert program == "wmkit"
    if words[0] == "run":
        for name, value in SMOKE[words[1]].items():
            words += ["-p", name, str(value)]
    if words[0] == "import":
        words += ["--workers", "0"]
    fine = (0, 1) if words[0] == "doctor" else (0,)  # the doctor may find fault with so little play
    assert main(words) in fine, command


def check_data(said):
    dataset = Dataset("data/my_game").validate()
    assert dataset.space.names == ["forward", "yaw", "left", "right"]
    assert (dataset.fps, dataset.height, dataset.width) == (10, 144, 256)
    report = read_json(dataset.root/"meta/import.json", dict)
    assert report["recordings"] == 3 and report["held_out"] == 1 and report["dropped"]["key S"] > 0
    assert "alignment" in report
    assert "no channel for: column pos_x (300)" in said and str(dataset) in said
    return dataset


def check_run(house, name, model):
    trained = Run(house/"outputs"/name)
    assert trained.status == "done" and trained.result()["steps_done"] == 6
    found = list_checkpoints(house/"checkpoints"/trained.name/model)
    assert [f.name for f in found] == ["step_000006"]
    assert (trained.folder/"report.html").stat().st_size > 10_000
    return trained


def test_from_a_folder_to_a_world(house, monkeypatch, capsys):
    "Most of the time goes into the two kernels' imports, the preflight and the reports."
    monkeypatch.chdir(house)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for command in COMMANDS.splitlines():
        run(command)
    dataset = check_data(capsys.readouterr().out)
    check_run(house, "my_eyes", "tokenizer")
    result = check_run(house, "my_world", "dynamics").result()
    assert result["tokenizer"].startswith("my_eyes/tokenizer/")
    assert result["action_effect"]["by_horizon"]
    own = house/"data/my_game_frames_144x256"  # the data set's size, not 64x64
    assert Clips(own, "test").space == dataset.space
