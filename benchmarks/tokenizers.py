"""The three tokenizers on the same play in the same CPU-seconds; beside PyPI's dreamer4.

    python benchmarks/tokenizers.py                              ours, three seeds: about 45 minutes
    python benchmarks/tokenizers.py --only vq conv --seeds 0     some of it
    python benchmarks/tokenizers.py --peer FOLDER --only peer step
        FOLDER: pip install --target FOLDER dreamer4==0.20.2 (its packages stay out of wmkit's)

One thread; the worst of the seeds is held against its bar. The peer runs beside ours in one
process, each in its best setting here: fp32 or bf16 autocast, whichever is faster, its own
learning rate.
"""
import argparse
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple
import torch
from torch import nn
from wmkit.core import settings
from wmkit.data.clips import Clips, build_frames, to_float
from wmkit.data.record import record
from wmkit.tokenizers.conv import ConvTokenizer
from wmkit.tokenizers.protocol import TokenizerLoss
from wmkit.tokenizers.transformer import TransformerTokenizer
from wmkit.tokenizers.vq import VQTokenizer


class Case(NamedTuple):
    "What is trained, and its bar."
    make: type
    given: dict    # arguments of its constructor
    seconds: int   # of this process
    bar: float     # dB
    lr: float
    batch: int     # clips a step
    frames: int    # in a clip


CASES = dict(
    conv=Case(ConvTokenizer, {}, 120, 30., 2e-3, 16, 1),
    vq=Case(VQTokenizer, {}, 120, 28., 3e-3, 8, 1),
    transformer=Case(TransformerTokenizer, dict(mask_steps=1000), 600, 26., 2e-3, 4, 4),
)
PEER_SECONDS, PEER_LR = 600, 3e-4
# of the train steps that are compared, on 2 clips of 8 frames of 64 patches and 32 latents of 16
SHAPE = dict(patch=8, grid=(4, 8), channels=16, width=256, depth=4, heads=4, every=4)
PEER_SHAPE = dict(dim=256, dim_latent=16, patch_size=8, image_height=64, image_width=64,
                  num_latent_tokens=32, encoder_depth=4, decoder_depth=4, attn_heads=4,
                  attn_dim_head=64, time_block_every=4, lpips_loss_weight=0.)


class Result(NamedTuple):
    name: str
    value: float
    bar: float = 0.

    @property
    def met(self): return self.value >= self.bar


def seeded(seed): return torch.Generator().manual_seed(seed)


def play():
    "clips(split, length) of frames that are recorded once."
    data = settings().data
    dataset = record(data/"bench_tokenizers", episodes=20, frames=400, test=4)
    store = build_frames(dataset, data/"bench_tokenizers_frames", (64, 64), "stretch")
    return lambda split, length: Clips(store, split, length)


def held_out(clips):
    test = clips("test", 8)
    return to_float(test.get(test.windows(8, 40)).data)


def make_optimizer(model, lr):
    "AdamW with weight decay on matrices alone."
    trained = [p for p in model.parameters() if p.requires_grad]
    matrices, rest = [p for p in trained if p.ndim >= 2], [p for p in trained if p.ndim < 2]
    groups = dict(params=matrices, weight_decay=.01), dict(params=rest, weight_decay=0.)
    return torch.optim.AdamW(groups, lr, betas=(.9, .95), fused=True)


def decibels(again, truth):
    error = (again.float().clamp(-1, 1) - truth).square().mean()
    return float(-10*torch.log10(error/4))


def fit(model, loss, seconds, lr):
    "Train on loss() for so many CPU-seconds of this process, in float32; steps taken."
    model.to(memory_format=torch.channels_last)
    model.train()
    steps, adam, begun = 0, make_optimizer(model, lr), time.process_time()
    while (share := (time.process_time() - begun)/seconds) < 1:
        for group in adam.param_groups:
            group["lr"] = lr*min(1, (steps + 1)/100)*min(1, 2*(1 - share))
        loss().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.)
        adam.step()
        adam.zero_grad()
        steps += 1
    model.eval()
    return steps


@torch.no_grad()
def judge_ours(kind, model, held):
    "Held-out PSNR and what else the kind is judged by."
    parts = held.split(8)
    coded = [model.encode(x) for x in parts]
    found = dict(psnr=decibels(torch.cat([model.decode(z) for z in coded]), held))
    if kind == "vq":
        used = torch.cat([z.flatten() for z in coded]).unique()
        found["used"] = len(used)/model.codes
    if kind == "transformer":
        hidden = model.hide_patches(.5, *held.shape[:2], seeded(0))
        found["half_hidden"] = decibels(model.reconstruct(held, hidden), held)
    return found


def train_ours(kind, clips, seed):
    case, chance, noise = CASES[kind], seeded(seed), seeded(seed + 1)
    torch.manual_seed(seed)
    model, loss = case.make((64, 64), **case.given), TokenizerLoss(perceptual=0)
    data = clips("train", case.frames)

    def step():
        clip = SimpleNamespace(data=to_float(data.sample(case.batch, chance).data))
        return loss(model, clip, noise)[0]
    steps = fit(model, step, case.seconds, case.lr)
    return dict(steps=steps) | judge_ours(kind, model, held_out(clips))


def make_peer():
    from dreamer4 import VideoTokenizer
    return VideoTokenizer(**PEER_SHAPE)


def as_theirs(frames):
    "b c t h w in [0, 1]"
    return (frames.transpose(1, 2)/2 + .5).contiguous()


def train_peer(clips, seed):
    torch.manual_seed(seed)
    model, data, chance = make_peer(), clips("train", 4), seeded(seed)
    def step(): return model(as_theirs(to_float(data.sample(4, chance).data)))
    steps, held = fit(model, step, PEER_SECONDS, PEER_LR), held_out(clips)
    with torch.no_grad():
        again = model.decode(model.tokenize(as_theirs(held))).transpose(1, 2)*2 - 1
    return dict(steps=steps, psnr=decibels(again, held))


class Step(NamedTuple):
    "One way to take a train step."
    model: nn.Module
    forward: object  # of the model: its loss
    bf16: bool


def step_cases():
    video, generator = torch.rand(2, 8, 3, 64, 64)*2 - 1, seeded(0)
    loss = TokenizerLoss(perceptual=0)
    def ours(model): return loss(model, SimpleNamespace(data=video), generator)[0]
    def peer(model): return model(as_theirs(video))
    def new(): return TransformerTokenizer((64, 64), **SHAPE)
    return {"ours fp32": Step(new(), ours, False), "ours bf16": Step(new(), ours, True),
            "peer fp32": Step(make_peer(), peer, False), "peer bf16": Step(make_peer(), peer, True)}


def take_step(step, adam):
    "CPU-seconds of one train step."
    begun = time.process_time()
    with torch.autocast("cpu", torch.bfloat16, enabled=step.bf16):
        value = step.forward(step.model)
    value.backward()
    adam.step()
    adam.zero_grad()
    return time.process_time() - begun


def compare_steps(repeats):
    "Least CPU-seconds of a train step, all cases in turn; the first turn warms up."
    cases = step_cases()
    adams = {name: make_optimizer(step.model.train(), 3e-4) for name, step in cases.items()}
    turns = [{name: take_step(step, adams[name]) for name, step in cases.items()}
             for _ in range(repeats + 1)]
    least = {name: min(turn[name] for turn in turns[1:]) for name in cases}
    for name, seconds in least.items():
        millions = sum(p.numel() for p in cases[name].model.parameters())/1e6
        print(f"train step, {name}: {seconds:.3f} s, {millions:.1f} million parameters")
    best = {who: min(least[f"{who} fp32"], least[f"{who} bf16"]) for who in ("ours", "peer")}
    ratio, plain = best["peer"]/best["ours"], least["peer fp32"]/least["ours fp32"]
    return [Result("train step against the peer's, each at its best", ratio, 1.5),
            Result("train step against the peer's, both fp32 (no bar)", plain)]


def each_seed(name, train, seeds):
    "What train(seed) finds; printed."
    found = []
    for seed in seeds:
        found.append(train(seed))
        numbers = ", ".join(f"{k} {v:.4g}" for k, v in found[-1].items())
        print(f"{name}, seed {seed}: {numbers}", flush=True)
    return found


def results_of(kind, clips, seeds):
    case, n = CASES[kind], len(seeds)
    found = each_seed(kind, lambda seed: train_ours(kind, clips, seed), seeds)
    name = f"{kind}: dB after {case.seconds} CPU-seconds, worst of {n}"
    results = [Result(name, min(f["psnr"] for f in found), case.bar)]
    if kind == "vq":
        used = min(f["used"] for f in found)
        results.append(Result(f"vq: share of codes used, worst of {n}", used, .95))
    return results


def results_of_peer(clips, seeds):
    found = each_seed("peer", lambda seed: train_peer(clips, seed), seeds)
    name = f"peer: dB after {PEER_SECONDS} CPU-seconds, best of {len(found)} (no bar)"
    return [Result(name, max(f["psnr"] for f in found))]


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(CASES), choices=[*CASES, "peer", "step"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--peer", type=Path, help="folder with PyPI's dreamer4")
    given = parser.parse_args()
    if given.peer:
        sys.path.append(str(given.peer))
    elif {"peer", "step"} & set(given.only):
        sys.exit("--only peer and step need --peer FOLDER; see the head of this file")
    return given


def main():
    given = arguments()
    torch.set_num_threads(1)
    clips, results = play(), []
    for kind in CASES:
        if kind in given.only:
            results += results_of(kind, clips, given.seeds)
    if "peer" in given.only:
        results += results_of_peer(clips, given.seeds)
    if "step" in given.only:
        results += compare_steps(repeats=6)
    print()
    for r in results:
        verdict = "ok" if r.met else "MISSED"
        print(f"{r.name:66}{r.value:8.2f}{r.bar:8.2f}  {verdict}")
    sys.exit(not all(r.met for r in results))


if __name__ == "__main__":
    main()
