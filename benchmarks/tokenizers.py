"""The three tokenizers on the same recorded play and CPU-seconds (one thread), worst of three seeds against their bars; and beside PyPI's dreamer4: PSNR, and the time of a train step.

    python benchmarks/tokenizers.py                              our three, three seeds: about 45 minutes on one core
    python benchmarks/tokenizers.py --only vq conv --seeds 0     some of it
    python benchmarks/tokenizers.py --peer FOLDER --only peer step    FOLDER: pip install --target FOLDER dreamer4==0.20.2 (its packages stay out of wmkit's)

The peer runs beside ours in one process, each in its best setting here: fp32 or bf16 autocast, whichever is faster, its own learning rate.
"""
import argparse, sys, time
from pathlib import Path
from types import SimpleNamespace
import torch
from torch import nn
from wmkit.core import settings
from wmkit.data.clips import Clips, build_frames, to_float
from wmkit.data.record import record
from wmkit.tokenizers.conv import ConvTokenizer
from wmkit.tokenizers.protocol import TokenizerLoss
from wmkit.tokenizers.transformer import TransformerTokenizer
from wmkit.tokenizers.vq import VQTokenizer

# what is trained: (model, its arguments, seconds, bar in dB, learning rate, clips a step, frames a clip)
CASES = dict(
    conv=(ConvTokenizer, {}, 120, 30., 2e-3, 16, 1),
    vq=(VQTokenizer, {}, 120, 28., 3e-3, 8, 1),
    transformer=(TransformerTokenizer, dict(mask_steps=1000), 600, 26., 2e-3, 4, 4),
)
SHAPE = dict(width=256, depth=4, heads=4, every=4)  # of the train steps that are compared: 64 patches and 32 latents of 16 a frame, 2 clips of 8 frames

def play():
    "Clips of train and test frames, recorded once."
    source = settings().data/"bench_tokenizers"
    store = build_frames(record(source, episodes=20, frames=400, test=4), settings().data/"bench_tokenizers_frames")
    return lambda split, length: Clips(store, split, length)

def optimizer(model, lr):
    groups = [[p for p in model.parameters() if p.requires_grad and (p.ndim >= 2) == matrix] for matrix in (True, False)]
    return torch.optim.AdamW([dict(params=groups[0], weight_decay=.01), dict(params=groups[1], weight_decay=0.)], lr, betas=(.9, .95), fused=True)

def decibels(again, truth): return float(-10*torch.log10((again.float().clamp(-1, 1) - truth).square().mean()/4))

def fit(model, draw, loss, seconds, lr):
    "Train for so many CPU-seconds of this process, in float32; steps taken."
    model.to(memory_format=torch.channels_last)
    model.train()
    steps, adam, begun = 0, optimizer(model, lr), time.process_time()
    while (share := (time.process_time() - begun)/seconds) < 1:
        for group in adam.param_groups: group["lr"] = lr*min(1, (steps + 1)/100)*min(1, 2*(1 - share))
        loss(model, draw()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.)
        adam.step()
        adam.zero_grad()
        steps += 1
    model.eval()
    return steps

@torch.no_grad()
def train_ours(kind, clips, seed):
    "Held-out PSNR and what else the kind is judged by."
    make, given, seconds, _, lr, batch, frames = CASES[kind]
    torch.manual_seed(seed)
    model, loss, data = make((64, 64), **given), TokenizerLoss(perceptual=0), clips("train", frames)
    chance, noise = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed + 1)
    with torch.enable_grad():
        steps = fit(model, lambda: SimpleNamespace(data=to_float(data.sample(batch, chance).data)), lambda m, clip: loss(m, clip, noise)[0], seconds, lr)
    held = held_out(clips)
    found = dict(steps=steps, psnr=decibels(torch.cat([model.decode(model.encode(x)) for x in held.split(8)]), held))
    if kind == "vq": found["used"] = float(len(torch.cat([model.encode(x).flatten() for x in held.split(8)]).unique())/model.codes)
    if kind == "transformer": found["half_hidden"] = decibels(model.reconstruct(held, model.hide_patches(.5, *held.shape[:2], torch.Generator().manual_seed(0))), held)
    return found

def held_out(clips):
    test = clips("test", 8)
    return to_float(test.get(test.windows(8, 40)).data)

def peer(**options):
    from dreamer4 import VideoTokenizer
    shape = dict(dim=256, dim_latent=16, patch_size=8, image_height=64, image_width=64, num_latent_tokens=32, encoder_depth=4, decoder_depth=4, attn_heads=4, attn_dim_head=64, time_block_every=4, lpips_loss_weight=0.)
    return VideoTokenizer(**shape | options)

def theirs(frames): return (frames.transpose(1, 2)/2 + .5).contiguous()  # b c t h w in [0, 1]

@torch.no_grad()
def train_peer(clips, seed, seconds, **options):
    torch.manual_seed(seed)
    model, data, chance = peer(**options), clips("train", 4), torch.Generator().manual_seed(seed)
    with torch.enable_grad(): steps = fit(model, lambda: theirs(to_float(data.sample(4, chance).data)), lambda m, video: m(video), seconds, 3e-4)
    held = held_out(clips)
    return dict(steps=steps, psnr=decibels(model.decode(model.tokenize(theirs(held))).transpose(1, 2)*2 - 1, held))

def compare_steps(repeats):
    "Least CPU-seconds of a train step, all cases in turn."
    video, generator, loss = torch.rand(2, 8, 3, 64, 64)*2 - 1, torch.Generator().manual_seed(0), TokenizerLoss(perceptual=0)
    def ours(m): return loss(m, SimpleNamespace(data=video), generator)[0]
    def other(m): return m(theirs(video))
    def new(): return TransformerTokenizer((64, 64), patch=8, grid=(4, 8), channels=16, **SHAPE)
    cases = {"ours fp32": (new(), ours, False), "ours bf16": (new(), ours, True), "peer fp32": (peer(), other, False), "peer bf16": (peer(), other, True)}
    adams, least = {name: optimizer(model.train(), 3e-4) for name, (model, *_) in cases.items()}, dict.fromkeys(cases, float("inf"))
    for turn in range(repeats + 1):  # the first warms up
        for name, (model, forward, bf16) in cases.items():
            begun = time.process_time()
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16): value = forward(model)
            value.backward()
            adams[name].step()
            adams[name].zero_grad()
            if turn: least[name] = min(least[name], time.process_time() - begun)
    for name, seconds in least.items(): print(f"train step, {name}: {seconds:.3f} s, {sum(p.numel() for p in cases[name][0].parameters())/1e6:.1f} million parameters")
    best = {who: min(v for k, v in least.items() if k.startswith(who)) for who in ("ours", "peer")}
    return [("train step against the peer's, each at its best", best["peer"]/best["ours"], 1.5), ("train step against the peer's, both fp32 (no bar)", least["peer fp32"]/least["ours fp32"], 0.)]

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(CASES), choices=[*CASES, "peer", "step"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--peer", type=Path, help="folder with PyPI's dreamer4")
    args = parser.parse_args()
    if args.peer: sys.path.append(str(args.peer))
    elif {"peer", "step"} & set(args.only): sys.exit("--only peer and step need --peer FOLDER; see the head of this file")
    torch.set_num_threads(1)
    clips, results = play(), []
    def told(name, found):
        print(f"{name}: " + ", ".join(f"{k} {v:.4g}" for k, v in found.items()), flush=True)
        return found
    for kind in [k for k in CASES if k in args.only]:
        found = [told(f"{kind}, seed {seed}", train_ours(kind, clips, seed)) for seed in args.seeds]
        results.append((f"{kind}: dB after {CASES[kind][2]} CPU-seconds, worst of {len(found)}", min(f["psnr"] for f in found), CASES[kind][3]))
        if kind == "vq": results.append((f"vq: share of codes used, worst of {len(found)}", min(f["used"] for f in found), .95))
    if "peer" in args.only:
        found = [told(f"peer, seed {seed}", train_peer(clips, seed, 600)) for seed in args.seeds]
        results.append((f"peer: dB after 600 CPU-seconds, best of {len(found)} (no bar)", max(f["psnr"] for f in found), 0.))
    if "step" in args.only: results += compare_steps(repeats=6)
    print()
    for name, value, bar in results: print(f"{name:66}{value:8.2f}{bar:8.2f}  {'ok' if value >= bar else 'MISSED'}")
    sys.exit(any(value < bar for _, value, bar in results))

if __name__ == "__main__": main()
