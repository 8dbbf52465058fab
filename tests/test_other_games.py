"""No game but Doom hears of Doom: a car and an arcade game walk the whole row, and all that is
shown on the way is searched for words that are not theirs."""
import json
import re
from pathlib import Path

import notebooks
import numpy as np
import pytest
import torch
from fastcore.nbio import read_nb

from known_worlds import glide_episode, glided
from wmkit.cli import main
from wmkit.data.actions import ActionSpace, Channel
from wmkit.data.episodes import Dataset, EpisodeWriter
from wmkit.files import read_json
from wmkit.training.publish import what_if
from wmkit.worlds.load import open_world

ROOT = Path(__file__).resolve().parents[1]
FOREIGN = re.compile(r"\b(\w*doom\w*|yaw|pitch|cameras?|mouse|mouse_[xy]|degrees?|strafe|forwards?|"
                     r"turn(s|ed) (to|the)|players? eyes?|walls?|shooters?|attack|jump)\b", re.I)
CAR = ActionSpace([Channel("steer", "level", low=-1, high=1, sign="right"),
                   Channel("throttle", "level"), Channel("brake", "level")])
PAD = ActionSpace([Channel("action", "choice", high=3, values=("NOOP", "FIRE", "RIGHT", "LEFT"))])


def car_episode(seed, t):
    "A picture that glides as it is steered; the pedals do nothing here."
    frames, led_to, _ = glide_episode(seed, t)
    steer = torch.cat([led_to[1:, 0], torch.zeros(1)])
    pedals = torch.rand(2, t, generator=torch.Generator().manual_seed(seed))
    return frames, torch.stack([steer, pedals[0], pedals[1]*(pedals[1] > .8)], 1)


def pad_episode(seed, t):
    "A picture that is moved at once, right by 2 and left by 3; FIRE makes it bright."
    g = torch.Generator().manual_seed(seed)
    actions = torch.randint(4, (t//4 + 1,), generator=g).repeat_interleave(4)[:t]
    at = torch.tensor([0., 0., 2., -3.])[actions].cumsum(0).roll(1)
    at[0] = 0
    picture = glide_episode(seed, 1)[0].float()/127.5 - 1
    bright = .2*(actions.roll(1) == 1)[:, None, None, None]
    frames = glided(picture.expand(t, -1, -1, -1), at) + bright
    return ((frames + 1)*127.5).clamp(0, 255).round().to(torch.uint8), actions[:, None].float()


GAMES = dict(car=(CAR, car_episode), pad=(PAD, pad_episode))


def write(folder, space, episode, episodes=9, frames=64):
    "A data set of that game, its last third for the test."
    with EpisodeWriter(folder, space, 10, 32, 32) as writer:
        for i in range(episodes):
            writer.start()
            pictures, actions = episode(i, frames)
            for picture, action in zip(pictures, actions):
                writer.add(np.ascontiguousarray(picture.permute(1, 2, 0)), action.numpy())
            writer.end()
        writer.finish(test=episodes//3)


@pytest.fixture
def play(tmp_path, monkeypatch):
    "Run the cells of a notebook here, as somebody would in JupyterLab: what it shows."
    (tmp_path/"settings.ini").write_text(notebooks.SETTINGS)
    for name in ("IN_TEST", "WMKIT_RUN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def execute(notebook, **params):
        monkeypatch.setenv("JPY_SESSION_NAME", str(ROOT/notebook))
        shell, shown = notebooks.new_shell(ROOT/notebook), []
        for cell in read_nb(ROOT/notebook).cells:
            if cell.cell_type != "code":
                shown.append(cell.source)
                continue
            for name, value in params.items():
                line = rf"^{name} = .*$"
                cell.source = re.sub(line, f"{name} = {value!r}", cell.source, flags=re.M)
            shell.cell(cell)
            assert not shell.exc, shell.prettytb(fname=notebook)
            shown.append(json.dumps(cell.outputs))
        return shown

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield execute
    torch.set_num_threads(threads)


def words(text):
    "Foreign words in a text, each with what stands around it; pictures and scripts are left out."
    beside = r"[A-Za-z0-9+/=]{200,}|<script.*?</script>|<style.*?</style>"
    text = re.sub(beside, " ", text, flags=re.S)
    return {f"...{text[max(0, m.start() - 60):m.end() + 40]}..." for m in FOREIGN.finditer(text)}


def show_all(game, play, root, capsys, further):
    "What a data set, a training, its report and the doctor show of a game, and the run's folder."
    space, episode = GAMES[game]
    write(root/f"data/{game}", space, episode)
    main(["doctor", f"data/{game}"])
    shown = play("nbs/runs/train_dynamics.ipynb", dataset=game, steps=12, batch=8, horizon=12,
                 shown=12, warmup=4)
    run = next((root/"outputs").iterdir())
    if further:
        shown += play("nbs/explore/open_a_run.ipynb", name=run.name)
        main(["doctor", run.name])
    world = open_world(run, device="cpu")
    shown += [repr(what_if(world, world.clips()[1], 4)), *capsys.readouterr()]
    files = ("result.json", "doctor.json", "report.html", "log.txt", "params.yaml")
    return shown + [(run/file).read_text() for file in files if (run/file).exists()], run


NAMES = dict(car=("steer +", "steer -", "throttle +", "brake +"),
             pad=("action NOOP", "action FIRE", "action RIGHT", "action LEFT"))


@pytest.mark.parametrize("game", ["pad", pytest.param("car", marks=pytest.mark.slow)])
def test_nothing_speaks_of_another_game(game, play, tmp_path, capsys):
    shown, run = show_all(game, play, tmp_path, capsys, further=game == "car")
    found = set().union(*map(words, shown))
    assert not found, "\n".join(sorted(found))
    result, lanes = read_json(run/"result.json", dict), NAMES[game]
    assert set(result["gap_by_action"]) == set(lanes)
    assert set(result["inverse"]) == set(GAMES[game][0].names)
    assert result["inverse"][GAMES[game][0].names[0]]["real"] > .4
    assert result["action_effect"]["units"] == 3 and not result["action_effect"]["clear_from"]
    asked = next(text for text in shown if text.startswith("Scrubber") and "as played" in text)
    assert all(name in asked for name in lanes)


REAL = {"CarRacing-v3": dict(frames=32), "ALE/Pong-v5": dict(frames=40),
        "Hopper-v5": dict(frames=32, size=[48, 48])}


@pytest.mark.slow
@pytest.mark.parametrize("game", REAL)
def test_a_real_game_walks_the_whole_row(game, play, tmp_path, capsys):
    "Record, train, evaluate, doctor, scrub, page, film; Doom does it among the notebooks."
    small = dict(episodes=6, test=2, tokenizer_seconds=1., dynamics_seconds=1., shown=12)
    shown = play("nbs/runs/quickstart.ipynb", dataset="played", game=game, **small | REAL[game])
    run = next((tmp_path/"outputs").iterdir())
    result, doctor = (read_json(run/f"{name}.json", dict) for name in ("result", "doctor"))
    space = Dataset(tmp_path/"data/played").validate().space
    assert set(result["psnr"]) >= {"true", "shuffled", "copy", "ceiling"} and doctor
    assert len(result["psnr"]["true"]) == 6 and (run/"media/dream.gif").stat().st_size
    page = (run/"report.html").read_text()
    assert all(channel.name in page for channel in space.channels)
    for folder in ("data/played", run.name):
        assert main(["doctor", folder]) in (0, 1)
    shown += [page, *capsys.readouterr()]
    found = set().union(*map(words, shown))
    assert not found, "\n".join(sorted(found))


def test_doom_is_found_where_it_is():
    assert words("the yaw of a Camera") and words("vizdoom") and not words("a NOOP, turn grey")
