"""The Python of docs/recipes.md and of the README works as it stands there."""
import csv
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from notebooks import SETTINGS
from writers import write_video

from wmkit.checkpoints import MODELS, model_hash, save_model
from wmkit.data.clips import Clips, build_frames
from wmkit.data.episodes import Dataset, toy_dataset
from wmkit.dynamics.conv import ConvDynamics
from wmkit.findings import CHECKS, judge
from wmkit.tokenizers.conv import ConvTokenizer
from wmkit.worlds.evaluate import take
from wmkit.worlds.measures import MEASURES, Evaluation
from wmkit.worlds.world import World

PAGE = Path(__file__).resolve().parents[1]/"docs/recipes.md"


def blocks(title):
    "The Python blocks below a heading."
    text = PAGE.read_text(encoding="utf-8")
    section = re.split(r"^## ", text.split(f"\n## {title}\n")[1], flags=re.M)[0]
    found = re.findall(r"```python\n(.*?)```", section, re.S)
    assert found, f"{title}: no Python"
    return found


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    "A working tree with toy play and an untrained world of it."
    root = tmp_path_factory.mktemp("house")
    (root/"settings.ini").write_text(SETTINGS)
    play = toy_dataset(root/"data/toy", episodes=4, frames=40, test=2, size=(32, 32))
    store = build_frames(play, root/"data/toy_frames", (32, 32))
    torch.manual_seed(0)
    tokenizer = ConvTokenizer((32, 32), width=8).eval()
    save_model(root/"checkpoints/my_world/tokenizer/step_000001", tokenizer, {})
    dynamics = ConvDynamics(play.space.to_dict(), tokenizer.channels, tokenizer.grid,
                            tokenizer.fine, width=16, depth=1, paint=8, heads=2)
    card = dict(dataset=store.name, tokenizer="my_world/tokenizer/step_000001", K=2,
                tokenizer_hash=model_hash(tokenizer), context_noise=.1, steps_done=1)
    save_model(root/"checkpoints/my_world/dynamics/step_000001", dynamics, card)
    return root


def test_open_a_checkpoint_in_a_script(house, monkeypatch):
    monkeypatch.chdir(house)
    names = {}
    for block in blocks("Open a checkpoint in a script"):
        exec(block, names)
    world = names["world"]
    assert (world.K, world.context_noise) == (2, .1)
    assert names["dream"].shape == (1, 8, 3, 32, 32)
    assert names["frame"].shape == (1, 3, 32, 32)
    assert (house/"dream.mp4").stat().st_size > 1000


def test_the_readme_opens_a_world_in_three_lines(house, monkeypatch):
    monkeypatch.chdir(house)
    readme = (PAGE.parents[1]/"README.md").read_text(encoding="utf-8")
    code, = re.findall(r"```python\n(.*?)```", readme, re.S)
    *lines, last = code.strip().split("\n")
    assert lines[0] == "import wmkit" and len(lines) < 4
    names = {}
    exec("\n".join(lines), names)
    assert eval(last, names).size == (4*32, 4*32)


def test_add_an_importer(tmp_path):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (30, 48, 64, 3), dtype=np.uint8)
    turns = rng.integers(-9, 10, 30)
    for name in ("monday", "tuesday"):
        write_video(tmp_path/f"play/{name}.mp4", frames, 10)
        with open(tmp_path/f"play/{name}.csv", "w", newline="") as file:
            csv.writer(file).writerows([["w", "turn"], *[[1, turn] for turn in turns]])
    names = {}
    exec(blocks("Add an importer")[0], names)
    names["import_mine"](tmp_path/"play", tmp_path/"data", workers=0)
    dataset = Dataset(tmp_path/"data").validate()
    assert [e.length for e in dataset.episodes] == [30, 30]
    found = dataset.actions(0)[:, dataset.space.index("yaw")]
    assert found[:-1].tolist() == turns[1:].tolist()  # the source's rows led to their frames
    assert dataset.known(0).tolist() == [True]*29 + [False]
    refused = {"w,turn\n1,2\n": "expected a line for each frame",
               "w,turn\n1,\n": "monday.csv, column turn, row 0",
               "w\n1\n": "monday.csv, column turn"}
    for text, said in refused.items():
        (tmp_path/"play/monday.csv").write_text(text)
        with pytest.raises(ValueError, match=said):
            names["import_mine"](tmp_path/"play", tmp_path/"other", workers=0)


def test_add_a_dynamics():
    names = dict(__name__="recipe")
    try:
        for block in blocks("Add a dynamics"):
            exec(block, names)
    finally:
        MODELS.pop("MyDynamics", None)


@pytest.fixture
def registers():
    "Takes out again what a recipe registers."
    before = dict(MEASURES), dict(CHECKS)
    yield
    for register, old in zip((MEASURES, CHECKS), before):
        register.clear()
        register.update(old)


def test_add_a_measure_and_a_check(house, monkeypatch, registers):
    monkeypatch.chdir(house)
    names = dict(__name__="recipe")
    for block in blocks("Add a measure and a check"):
        exec(block, names)
    train, test = (Clips(house/"data/toy_frames", split, 1) for split in ("train", "test"))
    world = untrained(train)
    windows = test.windows(world.context + 3)[:4]
    measured = take(Evaluation(world, train, test, windows, 3), ("brightness",))
    judged = {f.check: f for f in judge(measured.records, "evaluation", measured.missing)}
    assert judged["brightness"].verdict in ("ok", "fail")
    assert judged["brightness"].value == measured.records["brightness"].dream


def untrained(clips):
    torch.manual_seed(0)
    tokenizer = ConvTokenizer((32, 32), width=8)
    dynamics = ConvDynamics(clips.space.to_dict(), tokenizer.channels, tokenizer.grid,
                            tokenizer.fine, width=16, depth=1, paint=8, heads=2)
    return World(tokenizer, dynamics, K=1)
