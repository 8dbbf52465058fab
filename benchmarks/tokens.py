"""Token worlds after 300 CPU-seconds from recorded codes, both heads, and a train step's cost.

    python benchmarks/tokens.py [--seeds N ...] [--seconds 300] [--only worlds|step] [--peer]
        what is there already (play, tokenizer, measured worlds) is not made again
        --peer: another's world model beside them, on the same codes and seconds; it wants
            pip install --no-deps improving-transformers-world-model rotary-embedding-torch einx
            hyper-connections hl-gauss-pytorch jaxtyping frozendict torch-einops-utils
            wadler-lindig assoc-scan adam-atan2-pytorch ema-pytorch
            evolutionary-policy-optimization
"""
import argparse
import json
import math
import resource
import subprocess
import sys
import time
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import nn

from first_world import Bar, show
from worlds import call, train as make_run
from wmkit.core import settings
from wmkit.data.actions import ActionSpace, Channel
from wmkit.dynamics.convgru import ConvGRUDynamics
from wmkit.dynamics.maskgit import MaskGITDynamics
from wmkit.files import write_json
from wmkit.objectives.token_losses import TokenLoss
from wmkit.training.setups import encode_frames, open_tokenizer
from wmkit.training.trainer import Recipe, make_ema, make_optimizer
from wmkit.worlds.measures import (
    Evaluation, measure_perceptual, measure_sharpness, measure_summary)
from wmkit.worlds.rollouts import moving_windows
from wmkit.worlds.tokens import measure_code_churn, measure_factorisation
from wmkit.worlds.world import World

EYES = ('-p kind vq -p steps 2400 -p batch 16 '
        '-p model "{stride: 8, width: 96, depth: 3, dim: 16, codes: 512}"')
LENGTH, BATCH, CONTEXT, WARMUP = 8, 8, 4, 30


def off_by(churn):
    "How far a world's flips of codes at rest are from the truth's: 0 is as many."
    return abs(math.log(churn["ratio"]))


def less(measure):
    "By how much the joint head's number is below the factorised one's."
    return lambda r: measure(r["factorised"]) - measure(r["joint"])


def detail(frame):
    "Of the joint head's dream, over real frames as the tokenizer shows them."
    return lambda r: r["joint"]["sharpness"]["ratio"][frame - 1]


BARS = [
    Bar("true minus shuffled, next frame, dB", lambda r: r["joint"]["action_gap"], 1.5),
    Bar("true minus shuffled, lower end of interval, dB",
        lambda r: r["joint"]["action_gap_interval"][0], .5),
    Bar("above copy, median over 12 horizons, dB", lambda r: r["joint"]["above_copy_median"], 0.),
    Bar("no-op churn nearer to the truth than factorised, |log ratio|",
        less(lambda r: off_by(r["churn"])), 0.),
    Bar("ST-LPIPS at frame 12, less than factorised", less(lambda r: r["perceptual"]["true"][11]),
        0.),
    Bar("detail of the dream over real, frame 1", detail(1), .6),
    Bar("detail of the dream over real, frame 12", detail(12), .5)]
STEP_BARS = [Bar("time of a train step, plain over ConvGRU", lambda r: r["time"], 1.5),
             Bar("its peak memory, plain over ConvGRU", lambda r: r["memory"], 1.)]


# the recorded play, its codes, and what the worlds are held against

def prepare(seed):
    "(frames of the play, tokenizer, training codes), made if they are not there."
    name, data = f"doom_{seed}", settings().data
    if not (data/name).exists():
        call(f"record {data/name} --game doom --episodes 40 --frames 400 --test 8 --seed {seed}")
    make_run(f'train_tokenizer -f train_tokenizer_vq {EYES}', name, seed, f"{name}_eyes")
    run = SimpleNamespace(data=data, leave_if_asked=lambda: None)
    trained = open_tokenizer(f"{name}_eyes/tokenizer")
    coded = encode_frames(run, trained.frames(run, name), trained)
    return coded.frames, trained.model.cpu().eval(), coded.codes(LENGTH)


def measure(world, frames, seed):
    "Every measure of the bars and of the tables, of held-out windows that move."
    moving = moving_windows(frames.train, frames.test, world.context, 12)
    windows = moving.windows[::max(1, math.ceil(len(moving.windows)/160))]
    asked = Evaluation(world, frames.train, frames.test, windows, 12, seed, moving=moving)
    found = measure_summary(asked).to_dict()
    more = dict(sharpness=measure_sharpness, perceptual=measure_perceptual,
                churn=measure_code_churn, factorisation=measure_factorisation)
    return found | {name: take(asked).to_dict() for name, take in more.items()}


# the training: CPU-seconds of one thread, of the steps alone

def train_for(seconds, model, batches, loss, seed, lr=3e-3):
    "(averaged model, steps) after so many CPU-seconds."
    recipe = Recipe(10**6, lr=lr, seed=seed)
    model = model.to(memory_format=torch.channels_last).train()
    optimizer, averaged = make_optimizer(model, recipe), make_ema(model, recipe.ema)
    chance, used, steps = torch.Generator().manual_seed(seed), 0., 0
    while used < seconds:
        begin = time.process_time()
        fall = .05 + .95*(1 + math.cos(math.pi*used/seconds))/2
        for group in optimizer.param_groups:
            group["lr"] = lr*fall*min(1, (steps + 1)/WARMUP)
        clip = batches.sample(BATCH, chance)
        with torch.autocast("cpu", torch.bfloat16):
            value = loss(model, clip, chance, steps)[0]
        model.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        averaged.update_parameters(model)
        steps, used = steps + 1, used + time.process_time() - begin
    return averaged.module, steps


# a train step at the seed's size, against one written frame by frame

class PlainCell(nn.Module):
    "A ConvGRU's cell as it is usually written: two convolutions of what is seen and remembered."
    def __init__(self, width, condition):
        super().__init__()
        self.norm, self.film = nn.GroupNorm(8, width), nn.Linear(condition, 2*width)
        self.gates = nn.Conv2d(2*width, 2*width, 3, padding=1)
        self.candidate = nn.Conv2d(2*width, width, 3, padding=1)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, x, state, condition):
        scale, shift = self.film(condition)[..., None, None].chunk(2, 1)
        seen = self.norm(x)*(1 + scale) + shift
        update, reset = self.gates(torch.cat([seen, state], 1)).sigmoid().chunk(2, 1)
        written = torch.tanh(self.candidate(torch.cat([seen, reset*state], 1)))
        state = update*state + (1 - update)*written
        return x + self.out(state), state


class Plain(nn.Module):
    "The whole of it step by step: embedding, FiLM, cells, head, cross-entropy."
    def __init__(self, actions, codes, grid, width, depth, condition=128):
        super().__init__()
        self.codes, self.width = codes, width
        self.embed = nn.Embedding(codes + 1, width)
        self.place = nn.Parameter(torch.randn(width, *grid)*.1)
        self.act = nn.Sequential(nn.Linear(actions, condition), nn.SiLU(),
                                 nn.Linear(condition, condition), nn.SiLU())
        self.cells = nn.ModuleList(PlainCell(width, condition) for _ in range(depth))
        self.norm, self.head = nn.GroupNorm(8, width), nn.Conv2d(width, codes, 1)

    def forward(self, codes, actions):
        "The loss of clips [b t h w]."
        (b, t, h, w), losses = codes.shape, []
        state = [torch.zeros(b, self.width, h, w).to(memory_format=torch.channels_last)
                 for _ in self.cells]
        last = torch.full((b, h, w), self.codes)
        for i in range(t):
            condition = self.act(actions[:, i])
            x = self.embed(last).permute(0, 3, 1, 2) + self.place
            for j, cell in enumerate(self.cells):
                x, state[j] = cell(x, state[j], condition)
            logits = self.head(F.silu(self.norm(x)))
            losses.append(F.cross_entropy(logits.float(), codes[:, i]))
            last = codes[:, i]
        return torch.stack(losses).mean()


class Ours(nn.Module):
    "The loss of a ConvGRUDynamics."
    def __init__(self, *given):
        super().__init__()
        self.model = ConvGRUDynamics(*given)

    def forward(self, codes, actions):
        known = torch.ones(actions.shape[:2], dtype=torch.bool)
        logits = self.model(codes, actions[..., :-1], known)
        return F.cross_entropy(logits.flatten(0, -2), codes.flatten())


def time_step(which, precision, repeats=3):
    "(least CPU-seconds of a train step, peak memory in MB), in a process of its own."
    width, depth, grid, codes, frames = 256, 3, (18, 32), 1024, 20
    space = ActionSpace([Channel(name, "button") for name in "abcdefgh"])
    torch.manual_seed(0)
    if which == "plain":
        model = Plain(space.size + 1, codes, grid, width, depth)
    else:
        model = Ours(space.to_dict(), codes, grid, 8, width, depth)
    model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)
    clip = torch.randint(codes, (1, frames, *grid)), torch.rand(1, frames, space.size + 1).round()
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = model(*clip)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        times.append(time.process_time() - begin)
    return min(times), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024


def step_costs(precision, rounds=3):
    "{which: (seconds, MB)} of both, in turns, each in a process of its own; the least of all."
    found = dict(plain=[], convgru=[])
    for _ in range(rounds):
        for which, costs in found.items():
            words = [sys.executable, __file__, "--one-step", which, precision]
            done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
            costs.append(json.loads(done.stdout.splitlines()[-1]))
    return {which: [min(column) for column in zip(*costs)] for which, costs in found.items()}


def show_steps():
    "The table of a train step's cost; how many bars are missed."
    costs = {precision: step_costs(precision) for precision in ("bf16", "fp32")}
    for precision, rows in costs.items():
        for which, (seconds, megabytes) in rows.items():
            print(f"a train step, {precision}, {which:8}{seconds:8.2f} s{megabytes:8.0f} MB")
    ratios = {precision: [a/b for a, b in zip(rows["plain"], rows["convgru"])]
              for precision, rows in costs.items()}
    print("fp32: plain takes {:.2f} times as long, {:.2f} of the memory".format(*ratios["fp32"]))
    result = dict(bf16=dict(zip(("time", "memory"), ratios["bf16"])))
    return show("256 wide, 3 layers, 18x32, 20 frames, 1024 codes", STEP_BARS, result)


# another's token world on the same codes: a block-causal transformer with a factorised head

class Peer(nn.Module):
    """`improving-transformers-world-model`, played as a dynamics of ours is.

    Its actions stand one frame later than they act, so they are given to it one frame early."""
    joint = False

    def __init__(self, space, codes, grid, context):
        super().__init__()
        from improving_transformers_world_model import WorldModel
        self.config, self.grid, self.context = dict(codes=codes), tuple(grid), context
        self.codes, self.actions = codes, SimpleNamespace(space=space)
        bins = [21 if channel.kind == "delta" else 1 for channel in space.channels]
        self.first = torch.tensor([0, *bins]).cumsum(0)
        body = dict(dim=128, depth=3, block_size=math.prod(grid), heads=4, dim_head=32,
                    num_residual_streams=1, dropout_attn=0., dropout_ff=0.)
        stand_in = nn.Module()  # codes come from our tokenizer
        stand_in.max_codes = codes
        self.model = WorldModel(grid[0], 1, 3, int(self.first[-1]), tokenizer=stand_in,
                                transformer=body, dropout_embed=0.)

    def check_sampling(self, sampling): pass

    def words(self, actions, known):
        "Actions [b t a] as its numbers: one a pressed button, one a bin of a turn; -1: none."
        columns = []
        for i, channel in enumerate(self.actions.space.channels):
            x = actions[..., i]
            if channel.kind == "delta":
                reach = max(abs(channel.low), abs(channel.high))/3
                word = ((x/reach).clamp(-1, 1)*10).round().long() + 10
            else:
                word = torch.where(x > 0, 0, -10**6)
            columns.append((word + self.first[i]).clamp_min(-1))
        return torch.where(known[..., None], torch.stack(columns, -1), -1)

    def forward(self, codes, words):
        "Logits [b t h w codes] of the frame after each; of words [b t+1 w], t led to frame t."
        ahead = F.pad(words[:, 2:], (0, 0, 0, 1), value=-1)  # its own shift is one frame too many
        return self.model(codes, actions=ahead, return_loss=False)[0]

    def begin(self, codes, actions, known, sampling, generator):
        return codes[:, 1 - LENGTH:], self.words(actions, known)[:, 1 - LENGTH:]

    def logits_of(self, state, action, known, shown=None):
        codes, words = state
        ahead = self.words(action[:, None], known[:, None])
        return self(codes, torch.cat([words, ahead], 1))[:, -1].float()

    def draw(self, state, action, known, sampling, generator):
        def predict(shown):
            return self.logits_of(state, action, known)
        return sampling.sample(predict, (len(action), *self.grid), self.codes, generator)

    def keep(self, state, codes, action, known, sampling=None, generator=None):
        new = codes[:, None], self.words(action[:, None], known[:, None])
        return tuple(torch.cat(pair, 1)[:, 1 - LENGTH:] for pair in zip(state, new))


def peer_loss(model, clip, generator, steps):
    "Its cross-entropy of every frame that has a past."
    logits = model(clip.data[:, :-1], model.words(clip.actions, clip.known))
    return F.cross_entropy(logits.flatten(0, -2).float(), clip.data[:, 1:].flatten()), {}


KINDS = dict(
    joint=lambda *given: MaskGITDynamics(*given, head_depth=1, more=dict(depth=1)),
    factorised=lambda *given: ConvGRUDynamics(*given, depth=1),
    peer=lambda space, *given: Peer(ActionSpace.from_dict(space), *given))
PLAY = dict(joint=dict(K=8), factorised={}, peer={})  # beside temperature 1, as they were trained


def make(kind, space, tokenizer):
    "A fresh dynamics over these codes, which begins with what the codebook says of them."
    model = KINDS[kind](space.to_dict(), tokenizer.codes, tokenizer.grid, CONTEXT)
    if kind != "peer":
        model.start_from(tokenizer.codebook, torch.Generator().manual_seed(0))
    return model


def learn(kind, seed, seconds):
    "The measures of a world of that kind, kept in a file beside the runs."
    kept = settings().outputs/f"tokens_{seed}_{kind}_{seconds:g}.json"
    if kept.exists():
        return json.loads(kept.read_text())
    frames, tokenizer, codes = prepare(seed)
    torch.manual_seed(seed)
    model, loss = make(kind, codes.space, tokenizer), TokenLoss()
    if kind == "peer":
        loss = peer_loss
    size = sum(p.numel() for p in model.parameters())
    model, steps = train_for(seconds, model, codes, loss, seed)
    print(f"{kind}, seed {seed}: {size/1e6:.2f} M parameters, {steps} steps", flush=True)
    found = measure(World(tokenizer, model.eval(), **PLAY[kind]), frames, seed)
    write_json(kept, found | dict(steps=steps, parameters=size))
    return json.loads(kept.read_text())


# what was found

def show_worlds(seed, worlds):
    "Each world of a seed beside what it is held against."
    names = "next", "at 6", "at 12", "detail 1", "at 12", "ST-LPIPS 12", "churn", "true", "together"
    print(f"\nseed {seed:<10}" + "".join(f"{name:>12}" for name in names))
    psnr = worlds["joint"]["psnr"]
    looks = worlds["joint"]["perceptual"]
    for name in ("copy", "ceiling"):
        print_row(name, [psnr[name][h] for h in (0, 5, 11)] + [math.nan]*2 + [looks[name][11]])
    for kind, r in worlds.items():
        for name in ("true", "shuffled"):
            row = [r["psnr"][name][h] for h in (0, 5, 11)]
            if name == "true":
                row += [r["sharpness"]["ratio"][0], r["sharpness"]["ratio"][11],
                        r["perceptual"]["true"][11], r["churn"]["dream"], r["churn"]["real"],
                        r["factorisation"]["share"]]
            print_row(f"{kind[:10]} {name}", row)


def print_row(name, values):
    print(f"{name:20}" + "".join(f"{value:12.2f}" for value in values), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=300.)
    parser.add_argument("--only", choices=("worlds", "step"))
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--one-step", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.one_step:
        print(json.dumps(time_step(*given.one_step)))
        return
    missed = show_steps() if given.only != "worlds" else 0
    if given.only != "step":
        missed += learn_all(given)
    sys.exit(1 if missed else 0)


def learn_all(given):
    "Every world of every seed; how many bars are missed."
    kinds = ["joint", "factorised"] + ["peer"]*given.peer
    results = {}
    for seed in given.seeds:
        results[f"seed {seed}"] = {kind: learn(kind, seed, given.seconds) for kind in kinds}
        show_worlds(seed, results[f"seed {seed}"])
    return show(f"after {given.seconds:g} CPU-seconds", BARS, results)


if __name__ == "__main__":
    main()
