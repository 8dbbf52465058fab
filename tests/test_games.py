"""Any game: recorded, opened, checked and looked at, as a stranger does with one of their own."""
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from wmkit.cli import main, parser
from wmkit.data.episodes import Dataset
from wmkit.data.games import Game, GameError, GymGame
from wmkit.data.record import record
from wmkit.data.reshape import inspect_folder

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.xdist_group("games")
DEFAULTS = dict(episodes=30, frames=400, seed=0)

OWN = '''
import gymnasium as gym, numpy as np
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete

class Lamps(gym.Env):
    "Switches light lamps; reward: how many are lit. Over after `most` steps."
    metadata = dict(render_modes=["rgb_array"], render_fps=10)
    observation_space = Discrete(5)
    def __init__(self, space, most=25, render_mode=None):
        self.action_space, self.most, self.render_mode = space, most, render_mode
    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.lit = 0, np.zeros(4)
        self.wall = self.np_random.integers(0, 60, (40, 64, 3), dtype=np.uint8)
        return 0, {}
    def step(self, action):
        assert self.action_space.contains(action), action
        self.steps += 1
        self.lit = np.resize(np.atleast_1d(action), 4)
        return int((self.lit > 0).sum()), float(self.lit.sum()), False, self.steps == self.most, {}
    def render(self):
        picture = self.wall.copy()
        for i, value in enumerate(self.lit):
            picture[8:32, 4 + 16*i:12 + 16*i] = 80*value
        return picture

def no_picture(**options):
    class Blind(Lamps):
        metadata = dict(render_modes=[], render_fps=10)
        def __init__(self): super().__init__(Discrete(2))
        def render(self): return None
    return Blind()

def registered(name, space, **options):
    gym.register(name, Lamps, kwargs=dict(space=space), **options)

registered("Keys-v0", MultiBinary(4))
registered("Dials-v0", MultiDiscrete([2, 3, 2]))
registered("From-v0", Discrete(3, start=2))
registered("Endless-v0", Box(-np.inf, np.inf, (4,)))
registered("Words-v0", gym.spaces.Text(4))
gym.register("Blind-v0", no_picture)

class Boom(Lamps):
    "Fails at step `at` of its `late`th life; its picture has an odd size, and may shrink."
    lives = 0
    def __init__(self, where="step", at=7, late=3, shape=(41, 65), then=None, scale=1, **options):
        super().__init__(Discrete(3), most=1000, **options)
        self.where, self.at, self.late, self.shape, self.then = where, at, late, shape, then
        self.scale = scale
        Boom.lives += 1
        self.life = Boom.lives
    def reset(self, seed=None, options=None):
        if self.where == "reset":
            raise RuntimeError("no level")
        return super().reset(seed=seed)
    def step(self, action):
        if self.where == "step" and self.life == self.late and self.steps == self.at:
            raise RuntimeError("boom")
        return super().step(action)
    def render(self):
        picture = np.full((*self.shape, 3), 9, np.uint8)
        if self.then and self.steps >= 6:
            picture = np.full((*self.then, 3), 200, np.uint8)
        return picture if self.scale == 1 else picture*self.scale

gym.register("Boom-v0", Boom)

def loses(frame, state, rng):
    raise KeyError("lost")

def bare(frame, state, rng):
    return 1

def keep_lit(frame, state, rng):
    assert frame.shape == (40, 64, 3) and state.shape == (1,)
    return [1, 1, 0, 0]
'''


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    "A folder with a module of one's own games, which can be imported from here."
    folder = tmp_path_factory.mktemp("own")
    (folder/"lamps.py").write_text(OWN)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    sys.modules.pop("lamps", None)


def whole_row(dest, game, **options):
    "A recording that was validated, inspected, and recorded again to the same bits."
    data = record(dest, game=game, **options).validate()
    again = record(dest.with_name(f"{dest.name}_again"), game=game, **options)
    assert again.fingerprint() == data.fingerprint()
    for e in data.episodes:
        assert again.rewards(e.index).tolist() == data.rewards(e.index).tolist()
        done = data.dones(e.index)
        assert not done[:-1].any() and len(done) == e.length
        assert bool(done[-1]) or e.length == options["frames"] or e.index == len(data) - 1
    said = str(inspect_folder(dest))
    assert "next.reward, next.done" in said and all(name in said for name in data.space.names)
    assert {e.split for e in data.episodes} == {"train", "test"}
    return data


def test_an_atari_game(tmp_path):
    data = whole_row(tmp_path/"pong", "ALE/Pong-v5", episodes=3, frames=40)
    assert (data.height, data.width, data.fps) == (210, 160, 15)
    names = "NOOP FIRE RIGHT LEFT RIGHTFIRE LEFTFIRE"
    assert data.space["action"].values == tuple(names.split())
    assert f"0 to 5: {names.replace(' ', ', ')}" in str(inspect_folder(tmp_path/"pong"))
    assert data.about["settings"]["repeat_action_probability"] == .25
    assert data.about["settings"]["frameskip"] == 4


def test_a_game_that_is_often_over(tmp_path, capsys):
    data = whole_row(tmp_path/"lander", "LunarLander-v3", episodes=2, frames=50, size=(40, 60))
    lengths = [e.length for e in data.episodes]
    assert sum(lengths) == 100 and len(data) > 2
    assert data.space["action"].values == ("nothing", "left", "main", "right")
    assert len(data.states_names) == 8
    said = capsys.readouterr().out
    assert "400x600 to 40x60" in said and f"recorded {len(data)} episodes, 100 frames" in said
    assert f"the game ended {sum(n < 50 for n in lengths[:-1])} of them early" in said


def test_a_car(tmp_path):
    data = record(tmp_path/"car", game="CarRacing-v3", episodes=2, frames=4).validate()
    kinds = {c.name: (c.kind, c.low, c.high) for c in data.space.channels}
    assert kinds == dict(steer=("level", -1, 1), throttle=("level", 0, 1), brake=("level", 0, 1))
    assert (data.height, data.width) == (96, 96) and data.space["steer"].sign == "right"


def test_a_body_of_many_joints(tmp_path):
    "Drawn by MuJoCo, on a machine without a screen."
    data = record(tmp_path/"body", game="Humanoid-v5", episodes=2, frames=3, size=(48, 64))
    data.validate()
    assert data.space.size == 17 and {c.kind for c in data.space.channels} == {"level"}
    assert "right_knee" in data.space.names and (data.height, data.width) == (48, 64)
    assert data.frames(0).float().std() > 10


@pytest.mark.parametrize("id, kinds", [("Keys", ["button"]*4), ("Dials", ["choice"]*3),
                                       ("From", ["choice"])])
def test_a_game_of_ones_own(own, tmp_path, id, kinds):
    data = whole_row(tmp_path/id, f"lamps:{id}-v0", episodes=3, frames=20)
    assert [c.kind for c in data.space.channels] == kinds
    assert sum(e.length for e in data.episodes) == 60 and data.states_names == ["obs"]
    for e in data.episodes:
        lit = data.actions(e.index).numpy() + 2*(id == "From")
        sums = [np.resize(row, 4).sum() for row in lit]
        assert data.rewards(e.index).tolist() == sums
    if id == "From":
        assert data.space["action"].values == ("2", "3", "4")


def test_rewards_of_several_steps_are_one_frames(own, tmp_path):
    data = record(tmp_path/"keys", game="lamps:Keys-v0", episodes=2, frames=30, skip=2, most=25)
    assert data.fps == 5
    lengths = [e.length for e in data.episodes]
    assert lengths[0] == 13  # 12 frames of two steps, and one that the end cuts short
    held, rewards = data.actions(0).sum(1).tolist(), data.rewards(0).tolist()
    assert rewards == [2*n for n in held[:-1]] + [held[-1]]


def test_an_option_of_the_environment(own, tmp_path):
    words = "record", str(tmp_path/"keys"), "--game", "lamps:Keys-v0", "--option", "most=7"
    assert main([*words, "--episodes", "2", "--frames", "14"]) == 0
    data = Dataset(tmp_path/"keys")
    assert [e.length for e in data.episodes] == [7]*4 and data.about["settings"]["most"] == 7


def run(own, *words):
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    program = "import sys; from wmkit.cli import main; sys.exit(main())"
    return subprocess.run([sys.executable, "-c", program, "record", *map(str, words)], cwd=own,
                          env=os.environ | dict(PYTHONPATH=path, OMP_NUM_THREADS="1"),
                          capture_output=True, text=True, timeout=200)


def test_the_command_finds_games_and_policies_where_one_stands(own, tmp_path):
    words = "--game", "lamps:Keys-v0", "--policy", "lamps:keep_lit", "--episodes", 2, "--frames", 9
    done = run(own, tmp_path/"keys", *words)
    assert done.returncode == 0, done.stderr
    data = Dataset(tmp_path/"keys")
    assert data.actions(0).unique(dim=0).tolist() == [[1, 1, 0, 0]]
    assert data.about["explorer"] == "lamps:keep_lit"
    assert "key_0" not in done.stdout and "action_0" in done.stdout


@pytest.mark.parametrize("words, said", [
    (["--game", "Pongg-v5"], "did you mean ALE/Pong-v5"),
    (["--game", "lamps:Keys-v1"], "`v1`"),
    (["--game", "lampss:Keys-v0"], "no module 'lampss'"),
    (["--game", "lamps:Endless-v0"], "RescaleAction"),
    (["--game", "lamps:Words-v0"], "is a Text; expected one of Discrete"),
    (["--game", "lamps:Blind-v0"], "'rgb_array'"),
    (["--game", "lamps:Keys-v0", "--maps", "MAP01"], "--maps"),
    (["--game", "lamps:Keys-v0", "--size", "41", "60"], "--size"),
    (["--game", "lamps:Keys-v0", "--fit", "squash"], "letterbox"),
    (["--game", "lamps:Keys-v0", "--policy", "lamps:nobody"], "no function 'nobody'"),
    (["--game", "lamps:Keys-v0", "--skip", "0"], "--skip"),
    (["--episodes", "2", "--frames", "50", "--test", "2"], "(--test); expected 0 to 1"),
    (["--game", "lamps:Keys-v0", "--option", "most"], "expected NAME=VALUE"),
    (["--game", "lamps:Keys-v0", "--option", "least=1"], "argument 'least'"),
    (["--fit", "crop"], "'doom' has no option fit")])
def test_what_cannot_be_recorded_is_refused_before_it_is_played(own, tmp_path, capsys, words, said):
    assert main(["record", str(tmp_path/"new"), *words]) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.splitlines()) == 1, error
    assert not list(tmp_path.iterdir())


BOOM = "--game", "lamps:Boom-v0", "--episodes", "6", "--frames", "10"


def test_a_game_that_fails_is_told_in_a_line(own, tmp_path):
    # the first life is that which is opened, so the third is that of episode 1
    done = run(own, tmp_path/"new", *BOOM)
    assert done.returncode == 2 and not list(tmp_path.iterdir())
    lines = done.stderr.splitlines()
    said = lines[-1]
    assert "Traceback" not in done.stderr and sum("wmkit: " in line for line in lines) == 1, lines
    assert said.startswith("wmkit: game lamps:Boom-v0: step 7 of episode 1 (from 0; its seed: ")
    assert "raised RuntimeError: boom (lamps.py, line " in said and "in step)" in said
    assert "nothing is left of this recording, not even the 1 whole episode before it" in said
    assert "the same command begins again, or record 1 (--episodes 1), which end before it" in said


@pytest.mark.parametrize("words, parts", [
    (["--option", "where=reset"], ["opening it raised RuntimeError: no level (lamps.py, line "]),
    (["--option", "where=nowhere", "--policy", "lamps:loses"],
     ["the policy at step 0 of episode 0 (", "raised KeyError: 'lost' (lamps.py", "in loses)"]),
    (["--option", "where=nowhere", "--policy", "lamps:bare"],
     ["step 0 of episode 0 (", "your policy returned an action of shape []; expected 1 number for "
      "action: return a list of 1"])])
def test_a_reset_or_a_policy_that_fails_is_told_in_a_line(own, tmp_path, capsys, words, parts):
    assert main(["record", str(tmp_path/"new"), *BOOM, *words]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("wmkit: game ") and "lamps:Boom-v0" in said
    assert all(part in said for part in parts), said
    assert not list(tmp_path.iterdir())


def test_an_error_of_a_game_is_the_cause_of_ours(own, tmp_path):
    with pytest.raises(GameError, match="the policy at step 0 of episode 0") as caught:
        record(tmp_path/"new", 2, 9, "lamps:Keys-v0", policy=lambda *seen: {}["left"])
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_picture_of_floats_is_refused_with_the_way_out(own):
    with pytest.raises(GameError, match=r"float64 \[41, 65, 3\].*scale it to 0..255 and cast it"):
        GymGame("lamps:Boom-v0", scale=.5)


def test_a_picture_of_an_odd_size_is_cut_and_that_is_said(own, tmp_path, capsys):
    data = record(tmp_path/"odd", 2, 9, "lamps:Boom-v0", where="nowhere")
    assert (data.height, data.width) == (40, 64)
    said = capsys.readouterr().out
    assert "frames of 41x65 to 40x64, without the last row and column" in said
    assert "other_sizes" not in data.about and "at another size" not in said


def test_a_picture_that_changes_its_size_is_counted(own, tmp_path, capsys):
    data = record(tmp_path/"shrinks", 2, 10, "lamps:Boom-v0", where="nowhere", then=[31, 65])
    data.validate()
    assert data.about["other_sizes"] == {"31x65": 8}  # the last four frames of both episodes
    bars = [float(data.frames(0)[t, :, 0].float().mean()) for t in (5, 6)]
    assert bars[0] > 5 > bars[1]
    said = " ".join(capsys.readouterr().out.split())
    assert ("the game drew 8 of the frames at another size than its first one (8 of 31x65): they "
            "were brought to 40x64 (fit: letterbox)") in said
    again = record(tmp_path/"shrinks", 2, 10, "lamps:Boom-v0", where="nowhere", then=[31, 65])
    assert again.fingerprint() == data.fingerprint()


def test_few_episodes_have_a_test_split(own, tmp_path, capsys):
    "A4: two episodes of fifty frames were recorded, refused and thrown away."
    for episodes, held in ((1, 0), (2, 1), (5, 1), (8, 2)):
        data = record(tmp_path/f"{episodes}", episodes, 10, "lamps:Keys-v0")
        assert sum(e.split == "test" for e in data.episodes) == held
        assert ("of one episode none is held out" in capsys.readouterr().out) == (episodes == 1)


def test_help_shows_the_defaults(capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["record", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    for name, default in DEFAULTS.items():
        assert f"--{name} N" in said and f"(default: {default})" in said
    import inspect
    parameters = inspect.signature(record).parameters
    assert {name: parameters[name].default for name in DEFAULTS} == DEFAULTS
    assert "ALE/Pong-v5" in said and "(default: doom)" in said
    assert "(frame uint8 [h w 3], state [s], rng) -> a list of numbers, one a channel" in said


@pytest.mark.parametrize("package, id, said", [
    ("gymnasium", "CartPole-v1", "gymnasium is not installed: pip install 'wmkit[games]'"),
    ("pygame", "CartPole-v1", "pip install 'wmkit[games]'"),
    ("OpenGL", "Humanoid-v5", "it needs EGL (sudo apt-get install libegl1")])
def test_a_package_that_is_missing_is_named_with_its_extra(package, id, said):
    program = (f"import sys; sys.modules[{package!r}] = None\n"
               "from wmkit.data.games import GymGame\n"
               f"try: GymGame({id!r})\nexcept (ImportError, ValueError) as e: print(e)")
    environ = os.environ | dict(PYTHONPATH=str(ROOT))
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True,
                          text=True, timeout=100)
    assert said in done.stdout, done.stdout + done.stderr


def test_a_screen_and_variables_of_ones_own_are_left_alone(own):
    program = ("import os; from wmkit.data.games import GymGame; g = GymGame('CartPole-v1'); "
               "print(os.environ['MUJOCO_GL'], os.environ['SDL_VIDEODRIVER'])")
    own_words = dict(MUJOCO_GL="osmesa", PYTHONPATH=str(ROOT))
    environ = {k: v for k, v in os.environ.items() if k != "SDL_VIDEODRIVER"} | own_words
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True,
                          text=True, timeout=100)
    assert done.stdout.split() == ["osmesa", "dummy"], done.stderr


def test_a_game_in_python_is_enough(tmp_path):
    from wmkit.data.actions import ActionSpace, Channel

    class Slide(Game):
        space = ActionSpace([Channel("move", "delta", "pixels", -3, 3, "right")])
        fps, size, states, about, rewards = 10, (16, 32), (), dict(game="slide"), False
        def look(self):
            frame = np.zeros((16, 32, 3), np.uint8)
            frame[:, self.place % 32] = 255
            return frame, ()
        def reset(self, seed):
            self.place = seed % 32
            return self.look()
        def step(self, action):
            self.place += round(float(action[0]))
            return *self.look(), 0., False

    data = record(tmp_path/"slide", 2, 20, Slide()).validate()
    assert data.outcomes == () and [e.length for e in data.episodes] == [20, 20]
    with pytest.raises(ValueError, match="has no rewards|has no next.reward"):
        data.rewards(0)


def test_an_environment_is_closed_when_its_picture_is_refused(own):
    with pytest.raises(ValueError, match="even height and width"):
        GymGame("lamps:Keys-v0", size=(3, 4))
