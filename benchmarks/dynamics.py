"""Dynamics beside PyPI's dreamer4 ("the peer"), on one thread.

    step       a training step of the same width, depth, tokens and batch
    rollout    a cached rollout at that shape
    learn      what both learn from the same latents in the same CPU-seconds

    python benchmarks/dynamics.py --peer FOLDER
    python benchmarks/dynamics.py --peer FOLDER --only step rollout
    python benchmarks/dynamics.py --peer FOLDER --only learn --seeds 0    one of the pairs
    python benchmarks/dynamics.py --only learn --rows conv plain shape    our other bodies, no bars

FOLDER: pip install --target FOLDER dreamer4==0.20.2 (its packages stay out of wmkit's).

The same shape is not the same work. As it ships, the peer also pools its layers by attention, gates
its values, has belief attention and caps its attention scores; `step` and `rollout` therefore time
it a second time, "extras off". Operations and parameters of each model are printed. In `learn` the
CPU-seconds and the latents are the same; sizes, optimizers, batches and so the frames seen are not,
and they are printed too.

The result of each training in `learn` is kept in outputs/bench_dynamics with its weights and a
picture of all curves; remove its file to train it anew.
"""
import argparse
import json
import sys
import time
from collections import deque
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple
from unittest.mock import MagicMock, patch
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from wmkit.checkpoints import load_model, save_model
from wmkit.core import settings
from wmkit.files import read_json, write_json
from wmkit.data.actions import ActionSpace, Channel
from wmkit.data.clips import Clip, Clips, build_frames, to_float
from wmkit.data.latents import build_latents, open_latents
from wmkit.data.record import record
from wmkit.dynamics.conv import ConvDynamics
from wmkit.dynamics.protocol import cached
from wmkit.dynamics.transformer import TransformerDynamics
from wmkit.objectives.sampler import sample
from wmkit.objectives.shortcut import NoiseSchedule, ShortcutLoss
from wmkit.tokenizers.conv import ConvTokenizer
from wmkit.tokenizers.protocol import TokenizerLoss
from wmkit.training.trainer import Recipe, make_optimizer
from wmkit.worlds.measures import Record, Summary, summarize
from wmkit.worlds.rollouts import moving_windows, rollout_errors
from wmkit.worlds.world import World

CONTEXT, HORIZON, K = 4, 12, 4  # frames given, frames dreamed, sampling steps a frame
NEAR, FAR = 32, 24              # held-out windows that move: for the next frame, for HORIZON frames
ENDLESS = 10**9                 # optimizer steps: CPU-seconds end a training here


class Result(NamedTuple):
    "One line of the verdict."
    name: str
    value: float
    bar: float | None = 0.  # least value that is good; None: every value is

    @property
    def ok(self): return self.bar is None or self.value >= self.bar

    def __str__(self):
        bar = "no bar" if self.bar is None else f"{self.bar:.2f}"
        verdict = "ok" if self.ok else "MISSED"
        return f"{self.name:80}{self.value:8.2f}{bar:>8}  {verdict}"


def mean(values):
    return sum(values)/len(values)


def parameters(model):
    return sum(p.numel() for p in model.parameters())


# ---- what is trained

@dataclass(frozen=True)
class Row:
    "A model of `learn`, and how it is trained."
    dynamics: type | None  # None: the peer
    batch: int             # clips a step
    frames: int            # of a clip
    recipe: Recipe
    model: dict = field(default_factory=dict)     # arguments of the dynamics
    schedule: dict = field(default_factory=dict)  # of its NoiseSchedule

    def describe(self):
        "What a kept result must agree in, as JSON gives it back."
        shown = asdict(replace(self, dynamics=None))
        return json.loads(json.dumps(shown))


# the peer has no local mixing
SHAPE = dict(width=256, depth=4, heads=4, registers=8, every=4, mixing=False)
SMALL = dict(flows=4, window=6, width=96, depth=4, heads=4, registers=2, every=4)
MUON = Recipe(ENDLESS, optimizer="muon", lr=4e-3, warmup=100, ema=.995)
OURS = Row(TransformerDynamics, 8, 6, MUON, SMALL,
           dict(targets="every", bootstrap=.125, clean=.5))
ROWS = dict(
    ours=OURS,
    conv=Row(ConvDynamics, 64, 4, Recipe(ENDLESS, lr=2e-3, warmup=100)),
    plain=replace(OURS, model=SMALL | dict(mixing=False, flows=0)),
    shape=Row(TransformerDynamics, 2, 8, Recipe(ENDLESS, lr=1e-3, warmup=50), SHAPE,
              dict(targets="every")),
    # of 3e-4, 1e-3, 3e-3: training loss .165, .137, .153 after 200 CPU-seconds
    peer=Row(None, 2, 8, Recipe(ENDLESS, lr=1e-3, warmup=30)),
)


# ---- training: the same loop for all

class Training:
    "The trainer's loop, ended by CPU-seconds; what happens between two calls is not counted."
    def __init__(self, model, loss, seconds, recipe):
        self.model, self.loss, self.seconds, self.recipe = model.train(), loss, seconds, recipe
        self.optimizer = make_optimizer(model, recipe)
        self.weights = {k: p for k, p in model.named_parameters() if p.requires_grad}
        self.average = self._copy()
        self.spent, self.steps_done, self.losses = 0., 0, deque(maxlen=50)

    def _copy(self):
        return {k: p.detach().clone() for k, p in self.weights.items()}

    def until(self, seconds):
        "Train until so many CPU-seconds are spent."
        while self.spent < seconds:
            begun = time.process_time()
            self._step()
            self.spent += time.process_time() - begun

    def _step(self):
        rise = min(1, (self.steps_done + 1)/self.recipe.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.lr*rise*(1 - self.spent/self.seconds)
        value = self.loss(self.steps_done)
        value.backward()
        nn.utils.clip_grad_norm_(self.weights.values(), self.recipe.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.steps_done += 1
        decay = min(self.recipe.ema, (1 + self.steps_done)/(10 + self.steps_done))
        now = [p.detach() for p in self.weights.values()]
        torch._foreach_lerp_(list(self.average.values()), now, 1 - decay)
        self.losses.append(value.item())

    @contextmanager
    def averaged(self):
        "The model in eval mode with its averaged weights; afterwards as it was."
        now = self._copy()
        self.model.eval().load_state_dict(self.average, strict=False)
        yield self.model
        self.model.train().load_state_dict(now, strict=False)


# ---- the data

class Play(NamedTuple):
    "Recorded play."
    tokenizer: nn.Module
    frames: Path   # frame store
    latents: Path  # latent store


def train_tokenizer(frames, folder, seconds=120):
    "Train a tokenizer for so many CPU-seconds and save it."
    torch.manual_seed(0)
    model = ConvTokenizer((64, 64)).to(memory_format=torch.channels_last)
    objective, clips = TokenizerLoss(perceptual=0), Clips(frames, "train", 1)
    chance, noise = torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)
    def loss(steps_done):
        batch = SimpleNamespace(data=to_float(clips.sample(16, chance).data))
        return objective(model, batch, noise)[0]
    training = Training(model, loss, seconds, Recipe(ENDLESS, lr=2e-3, warmup=100))
    training.until(seconds)
    some = to_float(clips.get(clips.windows(1, 40)).data)
    with training.averaged(), torch.no_grad():
        model.statistics.fit(model.raw(some))
        model.to(memory_format=torch.contiguous_format)
        save_model(folder, model, dict(steps_done=training.steps_done))


def recorded_play():
    "Play that is recorded once, and a tokenizer that is trained once."
    name, data = "bench_dynamics", settings().data
    episodes = record(data/name, episodes=40, frames=400, test=8)
    folder = data/f"{name}_tokenizer"
    frames = build_frames(episodes, data/f"{name}_frames", (64, 64), "stretch")
    if not folder.exists():
        train_tokenizer(frames, folder)
    tokenizer = load_model(folder)
    return Play(tokenizer, frames, build_latents(frames, tokenizer, data/f"{name}_latents"))


# ---- the peer

@dataclass(frozen=True)
class Form:
    "The peer with some of its public options, and how far ahead of it we claim to be."
    name: str
    title: str  # in the verdict
    options: dict = field(default_factory=dict)
    # bars, or None
    best: float | None = None     # time of its training step over ours, each at its best
    fp32: float | None = None     # the same, both in float32
    rollout: float | None = None  # our frames a second over its


EXTRAS_OFF = dict(transformer_kwargs=dict(use_attn_pool=False), attn_softclamp_value=None,
                  attn_kwargs=dict(belief_attn=False, gate_values=False))
FORMS = (Form("peer", "the peer's", best=2., fp32=1.3, rollout=3.),
         Form("peer, extras off", "the peer's, extras off", EXTRAS_OFF))
AGENT_HEADS = ("policy_head", "value_head", "to_agent_embed_reward_pred",
               "to_latent_state_reward_pred")


def find_peer(folder):
    "Let `dreamer4` be imported from this folder, after all of wmkit's packages."
    sys.path.append(str(folder))
    try:
        import torchvision  # noqa: F401
    except (ImportError, OSError, RuntimeError):
        # PyPI's does not load beside the CPU's torch; the peer's dynamics imports it, unused
        for name in ("torchvision", "torchvision.models", "torchvision.transforms"):
            sys.modules[name] = MagicMock(__spec__=ModuleSpec(name, None))


def new_peer(**options):
    "Its DynamicsWorldModel without what only an agent needs: heads, and losses on actions."
    from dreamer4 import DynamicsWorldModel
    shape = dict(dim=256, depth=4, time_block_every=4, attn_heads=4, attn_dim_head=64,
                 num_register_tokens=8, max_steps=64)
    losses = dict(predict_terminals=False, discrete_action_loss_weight=0.,
                  continuous_action_loss_weight=0.)
    model = DynamicsWorldModel(**shape, **losses, **options)
    for name in AGENT_HEADS:
        setattr(model, name, nn.Identity())
    return model


def peer_for(space):
    """The peer for 64 tokens of 48 numbers.

    As 64 views of one token: only views get a learned place, without which it cannot tell where a
    token lies."""
    kinds = [c.kind for c in space.channels]
    actions = dict(num_discrete_actions=(2,)*kinds.count("button"),
                   num_continuous_actions=kinds.count("delta"))
    return new_peer(dim_latent=48, num_video_views=64, num_latent_tokens=1, num_spatial_tokens=1,
                    **actions)


def peer_actions(space, actions):
    """The peer's arguments for actions [b t a] that led to their frames.

    It takes the t - 1 actions at frames 0 to t - 2, and shifts them itself."""
    def columns(kind):
        return [i for i, c in enumerate(space.channels) if c.kind == kind]
    buttons, deltas = columns("button"), columns("delta")
    ends = [(space.channels[i].low, space.channels[i].high) for i in deltas]
    size = torch.tensor([max(abs(low), abs(high))/3 for low, high in ends])
    at = actions[:, 1:]
    return dict(discrete_actions=at[..., buttons].long(), continuous_actions=at[..., deltas]/size)


class PeerWorld:
    "As much of a World as `rollout_errors` needs."
    context, device = CONTEXT, torch.device("cpu")

    def __init__(self, tokenizer, model, space):
        self.tokenizer, self.model, self.space = tokenizer, model.eval(), space

    def _cache(self, latents, actions):
        "Of the context, computed once; `generate` would do so in every step of the first frame."
        steps = self.model.max_steps
        clean = dict(signal_levels=steps - 1, step_sizes=steps//K, latent_is_noised=True)
        _, (_, cache) = self.model(latents=latents, latent_has_view_dim=True, **clean,
                                   return_intermediates=True, **peer_actions(self.space, actions))
        return cache

    @torch.no_grad()
    def dream(self, frames, actions, known=None, seed=0):
        latents = self.tokenizer.encode(frames).unflatten(2, (-1, 1))
        rows = peer_actions(self.space, actions)
        prompt = {f"prompt_{name}": row for name, row in rows.items()}
        prompt |= dict(prompt_latents=latents,
                       time_cache=self._cache(latents, actions[:, :CONTEXT]))
        torch.manual_seed(seed)
        # it clips what it returns to [-1, 1], where its own tokenizer's latents lie
        with patch.object(torch.Tensor, "clamp_", lambda x, *_: x):
            out = self.model.generate(actions.shape[1], K, len(latents), **prompt,
                                      return_decoded_video=False, store_agent_embed=False)
        return self.tokenizer.decode(out[:, CONTEXT:].flatten(2, 3))


# ---- learn

class Learner(NamedTuple):
    "What a row of ROWS trains."
    model: nn.Module
    loss: object   # (steps done) -> tensor
    world: object  # of the model: a World or a PeerWorld


def our_learner(row, draw, noise, space, tokenizer):
    sizes = space.to_dict(), tokenizer.channels, tokenizer.grid, tokenizer.fine
    model = row.dynamics(*sizes, **row.model)
    objective = ShortcutLoss(NoiseSchedule(**row.schedule), rms=False)
    world = World(tokenizer, model, K)
    world.context = CONTEXT  # all are given the same frames, whatever they could see
    def loss(steps_done):
        return objective(model, draw(), noise, steps_done)[0]
    return Learner(model, loss, world)


def peer_learner(draw, space, tokenizer):
    model = peer_for(space)
    def loss(steps_done):
        clip = draw()
        rows = peer_actions(space, clip.actions)
        return model(latents=clip.data.unflatten(2, (-1, 1)), **rows)
    return Learner(model, loss, PeerWorld(tokenizer, model, space))


def new_learner(row, seed, play):
    "The Learner of a row."
    data = open_latents(play.latents, play.tokenizer, "train", 8)
    torch.manual_seed(seed)
    chance, noise = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed + 1)
    def draw():
        clip = data.sample(row.batch, chance, row.frames)
        return replace(clip, data=clip.data.float())
    if row.dynamics is None:
        return peer_learner(draw, data.space, play.tokenizer)
    return our_learner(row, draw, noise, data.space, play.tokenizer)


@dataclass(frozen=True)
class Mark(Record):
    "A model after some CPU-seconds of training."
    seconds: int
    steps_done: int
    frames: int          # seen in training, each as often as it was seen
    loss: float          # mean of the last 50
    next_frame: Summary  # of NEAR windows

    @property
    def true(self): return self.next_frame.psnr["true"][0]
    @property
    def copy(self): return self.next_frame.psnr["copy"][0]
    @property
    def gap(self): return self.next_frame.action_gap


@dataclass(frozen=True)
class Learnt(Record):
    "What one training found."
    parameters: int
    marks: list   # of Mark
    far: Summary  # at the end, of FAR windows of HORIZON frames

    @classmethod
    def from_dict(cls, found):
        marks = [Mark.from_dict(mark) for mark in found["marks"]]
        return super().from_dict(found | dict(marks=marks))

    @property
    def compared(self):
        "{what is compared with the peer: dB}."
        last = self.marks[-1]
        return {"next frame": last.true, f"mean of {HORIZON} frames": mean(self.far.psnr["true"]),
                "true minus shuffled": last.gap}


class Windows:
    "Held-out windows that move."
    def __init__(self, frames):
        self.test = Clips(frames, "test", 8)
        train = Clips(frames, "train", 8)
        self.moving = moving_windows(train, self.test, CONTEXT, HORIZON).windows

    def measure(self, world, count, horizon):
        "Summary of the dreams of `count` of them, spread over all."
        chosen = [self.moving[i*len(self.moving)//count] for i in range(count)]
        return summarize(rollout_errors(world, self.test, chosen, horizon))


def take_mark(training, row, seconds, next_frame):
    steps = training.steps_done
    seen = steps*row.batch*row.frames
    return Mark(seconds, steps, seen, mean(training.losses), next_frame)


def train_row(name, seed, seconds, play, weights):
    "Train a row of ROWS and measure it at each of these CPU-seconds; saves its weights."
    row, windows = ROWS[name], Windows(play.frames)
    model, loss, world = new_learner(row, seed, play)
    training, marks = Training(model, loss, seconds[-1], row.recipe), []
    for mark in seconds:
        training.until(mark)
        with training.averaged():
            marks.append(take_mark(training, row, mark, windows.measure(world, NEAR, 1)))
        m = marks[-1]
        print(f"{name}, seed {seed}, {mark} s: {m.steps_done} steps, {m.frames} frames, "
              f"loss {m.loss:.3f}, next frame {m.true:.2f} dB, gap {m.gap:.2f} dB", flush=True)
    with training.averaged():
        torch.save(model.state_dict(), weights)
        far = windows.measure(world, FAR, HORIZON)
    curve = " ".join(f"{v:.2f}" for v in far.psnr["true"])
    print(f"{name}, seed {seed}, PSNR by horizon: {curve}", flush=True)
    return Learnt(parameters(model), marks, far)


def learn(name, seed, seconds, play):
    "What a row of ROWS learns; read from its file where it was trained like this before."
    kept = settings().outputs/"bench_dynamics"/f"{name}_{seed}.json"
    how = dict(row=ROWS[name].describe(), seconds=seconds, windows=[NEAR, FAR],
               context=CONTEXT, K=K)
    if kept.is_file() and read_json(kept, dict)["how"] == how:
        return Learnt.from_dict(read_json(kept, dict)["learnt"])
    kept.parent.mkdir(parents=True, exist_ok=True)
    learnt = train_row(name, seed, seconds, play, kept.with_suffix(".pt"))
    write_json(kept, dict(how=how, learnt=learnt.to_dict()))
    return learnt


def print_table(runs):
    "All runs {(name, seed): Learnt}, a line for each mark."
    far = f"mean of {HORIZON}, dB"
    print(f"\n{'':10}{'seed':>5}{'parameters':>12}{'seconds':>9}{'steps':>8}{'frames':>9}"
          f"{'next frame, dB':>16}{'gap, dB':>9}{far:>16}")
    for (name, seed), learnt in runs.items():
        for m in learnt.marks:
            last = m is learnt.marks[-1]
            end = f"{mean(learnt.far.psnr['true']):16.2f}" if last else ""
            print(f"{name:10}{seed:5}{learnt.parameters/1e6:10.2f} M{m.seconds:9}{m.steps_done:8}"
                  f"{m.frames:9}{m.true:16.2f}{m.gap:9.2f}{end}")
    copy = f"{learnt.marks[-1].copy:16.2f}{'':9}{mean(learnt.far.psnr['copy']):16.2f}"
    print(f"{'copy of the last frame':53}{copy}")


def draw_run(axes, learnt, style):
    seconds, horizons = [m.seconds for m in learnt.marks], range(1, HORIZON + 1)
    axes[0].plot(seconds, [m.true for m in learnt.marks], "o-", **style)
    axes[1].plot(seconds, [m.gap for m in learnt.marks], "o-", **style)
    axes[2].plot(horizons, learnt.far.psnr["true"], "o-", **style)


def draw_curves(runs, file):
    "All runs {(name, seed): Learnt} as curves: one colour a row, labelled at its first run."
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
    labelled = set()
    for (name, seed), learnt in runs.items():
        label = None if name in labelled else name
        labelled.add(name)
        color = f"C{list(ROWS).index(name)}"
        draw_run(axes, learnt, dict(ms=3, lw=1, color=color, label=label))
    grey = dict(color="grey", lw=.8)
    axes[0].axhline(learnt.marks[-1].copy, **grey)
    copy = learnt.far.psnr["copy"]
    axes[2].plot(range(1, HORIZON + 1), copy, label="copy of the last frame", **grey)
    spent, ahead = "CPU-seconds of training", "frames ahead"
    axes[0].set(xlabel=spent, title="next frame, dB")
    axes[1].set(xlabel=spent, title="next frame, true minus shuffled actions, dB")
    axes[2].set(xlabel=ahead, title="at the end, dB")
    axes[2].legend(fontsize=7)
    figure.savefig(file, dpi=110)


def compare_learning(args):
    play, runs = recorded_play(), {}
    for name in args.rows:
        seeds = args.seeds if name in ("ours", "peer") else args.seeds[:1]
        for seed in seeds:
            runs[name, seed] = learn(name, seed, args.seconds, play)
    print_table(runs)
    draw_curves(runs, settings().outputs/"bench_dynamics"/"curves.png")
    pairs = [s for s in args.seeds if ("ours", s) in runs and ("peer", s) in runs]
    if not pairs:
        return []
    ours, peers = ([runs[who, s].compared for s in pairs] for who in ("ours", "peer"))
    ending = f"dB above the peer's, least of {len(pairs)} pairs"
    return [Result(f"{what}: {ending}", min(a[what] - b[what] for a, b in zip(ours, peers)))
            for what in ours[0]]


# ---- step, at the shape of the peer's example: 32 tokens of 16 numbers a frame, a choice of 4

CLIPS, FRAMES = 2, 8
KINDS = dict(flow=0., shortcut=1.)  # share of the clips that learn larger steps
PRECISIONS = ("fp32", "bf16")


def ours_at_shape(**options):
    space = ActionSpace([Channel("move", "choice", low=0, high=3)])
    return TransformerDynamics(space.to_dict(), 16, (4, 8), **SHAPE, **options)


def peer_at_shape(form):
    return new_peer(dim_latent=16, num_latent_tokens=32, num_spatial_tokens=32,
                    num_discrete_actions=4, **form.options)


def least(calls, repeats):
    "Least CPU-seconds of each of {name: call}, called in turn; the first turn warms up."
    best = dict.fromkeys(calls, float("inf"))
    for turn in range(repeats + 1):
        for name, call in calls.items():
            begun = time.process_time()
            call()
            spent = time.process_time() - begun
            if turn:
                best[name] = min(best[name], spent)
    return best


class Case(NamedTuple):
    "A training step that is timed."
    kind: str       # of KINDS
    model: str      # ours, or a form of the peer
    precision: str  # of PRECISIONS

    def __str__(self): return f"{self.kind}, {self.model} {self.precision}"


class TrainingStep:
    "Loss, gradient and optimizer of one step."
    def __init__(self, model, loss, precision):
        self.model, self.loss, self.bf16 = model.train(), loss, precision == "bf16"
        self.adam = make_optimizer(model, Recipe(1, lr=3e-4))

    def __call__(self):
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            value = self.loss(self.model)
        value.backward()
        self.adam.step()
        self.adam.zero_grad()


def our_loss(share, clip):
    "loss(model), where this share of the clips learns larger steps."
    generator = torch.Generator().manual_seed(0)
    objective = ShortcutLoss(NoiseSchedule(finest=64, bootstrap=share, step_of="clip", pure=0.,
                                           targets="every"))
    def loss(model):
        return objective(model, clip, generator)[0]
    return loss


def peer_loss(share, clip):
    "loss(model) of the peer, with this chance of learning larger steps."
    def loss(model):
        model.prob_shortcut_train = share
        return model(latents=clip.data, discrete_actions=clip.actions.long())
    return loss


def training_steps(forms):
    "{Case: TrainingStep} of ours and of these forms of the peer."
    moves = torch.randint(0, 4, (CLIPS, FRAMES, 1)).float()
    known = torch.ones(CLIPS, FRAMES, dtype=torch.bool)
    clip, steps = Clip(torch.randn(CLIPS, FRAMES, 32, 16), moves, known, None), {}
    for kind, share in KINDS.items():
        ours, theirs = our_loss(share, clip), peer_loss(share, clip)
        for precision in PRECISIONS:
            model = ours_at_shape(finest=64)
            steps[Case(kind, "ours", precision)] = TrainingStep(model, ours, precision)
            for form in forms:
                model = peer_at_shape(form)
                steps[Case(kind, form.name, precision)] = TrainingStep(model, theirs, precision)
    return steps


def plain_mask(queries, keys):
    "What torch's `causal_lower_right` stands for, as a boolean tensor."
    return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)


def count_operations(call):
    "Operations of matrix products, convolutions and attention."
    with ExitStack() as around:
        if "dreamer4" in sys.modules:  # its masks cannot be made while the counter looks on
            around.enter_context(patch("dreamer4.dreamer4.causal_lower_right", plain_mask))
        counter = around.enter_context(FlopCounterMode(display=False))
        call()
    return counter.get_total_flops()


def print_steps(steps, seconds, operations):
    "Time, operations and parameters of each step; of operations also how many times ours."
    frames = CLIPS*FRAMES
    print(f"a step sees {CLIPS} clips of {FRAMES} frames, {frames} in all, whichever the model")
    print(f"{'':36}{'ms':>8}{'GFLOP':>8}{'of ours':>9}{'parameters':>12}")
    for case, step in steps.items():
        count = operations[case]
        times = count/operations[case._replace(model="ours")]
        print(f"{case!s:36}{seconds[case]*1000:8.1f}{count/1e9:8.1f}{times:9.2f}"
              f"{parameters(step.model)/1e6:10.2f} M")
    print(f"{'matmul':36}{seconds['matmul']*1000:8.1f}")


def step_ratios(kind, form, seconds):
    "Results: the time of this form of the peer over ours."
    def ratio(precisions):
        ours, theirs = (min(seconds[kind, model, p] for p in precisions)
                        for model in ("ours", form.name))
        return theirs/ours
    name = f"{kind} step against {form.title}"
    return [Result(f"{name}, each at its best", ratio(PRECISIONS), form.best),
            Result(f"{name}, both fp32", ratio(["fp32"]), form.fp32)]


def compare_steps(args):
    forms = FORMS if args.peer else ()
    steps = training_steps(forms)
    a, b = torch.randn(2, 1024, 1024)
    seconds = least(steps | dict(matmul=lambda: a@b), args.repeats)
    operations = {case: count_operations(step) for case, step in steps.items()}
    print_steps(steps, seconds, operations)
    rate, results = 2*1024**3/seconds["matmul"], []
    for kind in KINDS:
        for form in forms:
            results += step_ratios(kind, form, seconds)
        ours = Case(kind, "ours", "fp32")
        share = operations[ours]/seconds[ours]/rate
        limit = f"the core's matmul rate ({rate/1e9:.0f} GFLOP/s)"
        results.append(Result(f"{kind} step: share of {limit}", share, None))
    return results


# ---- rollout, at the same shape

LENGTHS = (8, 16, 32, 64, 128, 256)


def our_rollout(model):
    "roll(frames) -> the clock after each frame."
    generator, known = torch.Generator().manual_seed(0), torch.ones(1, dtype=torch.bool)
    def roll(frames):
        empty = torch.zeros(1, 0)
        state = model.start(empty.reshape(1, 0, 32, 16), empty[..., None], empty.bool(), empty)
        clock = []
        for _ in range(frames):
            action = torch.randint(0, 4, (1, 1), generator=generator).float()
            predict = model.predictor(state, action, known)
            latents = sample(predict, (1, 32, 16), K, generator)
            state = model.push(state, latents, action, known, torch.zeros(1))
            clock.append(time.process_time())
        return clock
    return roll


def peer_rollout(model):
    "roll(frames) -> the clock after each frame."
    def roll(frames):
        clock = []
        def tick(*_):
            clock.append(time.process_time())
        hook = model.transformer.register_forward_hook(tick)
        model.generate(frames, num_steps=K, return_decoded_video=False, store_agent_embed=False)
        hook.remove()
        return clock[K::K + 1]  # the transformer is called K + 1 times a frame
    return roll


def frame_rates(rolls):
    "{(name, frames): frames a second}, the better of two, of {name: roll}."
    rates = {}
    for name, roll in [*rolls.items()]*2:
        roll(2)  # warms up
        begun = time.process_time()
        clock = roll(LENGTHS[-1])
        for n in LENGTHS:
            rates[name, n] = max(rates.get((name, n), 0.), n/(clock[n - 1] - begun))
    return rates


def print_rates(models, rates):
    for name, model in models.items():
        shown = ", ".join(f"{rates[name, n]:.1f} frames/s of {n}" for n in LENGTHS)
        print(f"rollout, {name} ({parameters(model)/1e6:.2f} M parameters): {shown}", flush=True)


def cache_error(model):
    "Largest difference of cached predictions from those of the full pass, over 28 frames."
    clip = [torch.randn(1, 32, 32, 16), torch.randint(0, 4, (1, 32, 1)).float(),
            torch.ones(1, 32, dtype=torch.bool), torch.rand(1, 32),
            torch.full((1, 32), 1/model.finest)]
    return (cached(model, *clip, first=4) - model(*clip, first=4)).abs().max().item()


@torch.no_grad()
def compare_rollouts(args):
    ours, forms = ours_at_shape(window=256).eval(), FORMS if args.peer else ()
    nn.init.normal_(ours.head.weight, std=.05)  # a fresh head gives almost 0, which hides errors
    peers = {form.name: peer_at_shape(form).eval() for form in forms}
    rolls = dict(ours=our_rollout(ours)) | {k: peer_rollout(m) for k, m in peers.items()}
    rates = frame_rates(rolls)
    print_rates(dict(ours=ours) | peers, rates)
    error = cache_error(ours)
    print(f"cached against the full pass: {error:.1e} apart")
    flat, exact = rates["ours", 256]/rates["ours", 8], 1e-5/max(error, 1e-12)
    results = [Result("rollout: frames/s of 256 over frames/s of 8", flat, .8),
               Result("cached equals uncached: 1e-5 over the largest difference", exact, 1.)]
    for form in forms:
        ratio = min(rates["ours", n]/rates[form.name, n] for n in LENGTHS)
        name = f"rollout against {form.title}, least of all lengths"
        results.append(Result(name, ratio, form.rollout))
    return results


# ----

PARTS = dict(step=compare_steps, rollout=compare_rollouts, learn=compare_learning)


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--only", nargs="+", default=list(PARTS), choices=list(PARTS))
    add("--rows", nargs="+", default=["ours", "peer"], choices=list(ROWS),
        help="what `learn` trains; others than ours and the peer with the first seed")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--seconds", nargs="+", type=int, default=[60, 120, 300, 600],
        help="CPU-seconds of training at which it is measured; the last ends it")
    add("--repeats", type=int, default=6, help="of a training step")
    add("--peer", type=Path, help="folder with PyPI's dreamer4")
    return parser.parse_args()


def main():
    args = read_arguments()
    if args.peer:
        find_peer(args.peer)
    else:
        args.rows = [row for row in args.rows if row != "peer"]
    torch.set_num_threads(1)
    results = [result for name in args.only for result in PARTS[name](args)]
    print()
    for result in results:
        print(result)
    sys.exit(not all(result.ok for result in results))


if __name__ == "__main__":
    main()
