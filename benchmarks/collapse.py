"""The collapse of the League log's tokenizer, small: which check fires, and when.

    python benchmarks/collapse.py [broken] [between] [healthy]     default: all

19 runs of about 22 CPU-seconds: 32 x 32 frames of ViZDoom, 16 patches and 16 latents a frame, one
thread. A check fires when its verdict is `fail` at any look; there is a look every 20 steps. Every
broken run must be found in the first fifth of its steps, and no healthy one may be accused.
"""
import contextlib
import io
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple
import torch
from wmkit.data.clips import Clip, Clips, build_frames, to_float
from wmkit.data.record import record
from wmkit.doctor.attention import AttentionWatch
from wmkit.tokenizers.transformer import TransformerTokenizer
from wmkit.training.trainer import Recipe, train
from wmkit.worlds.metrics import psnr, squared_error

STEPS, LR = 400, 6e-3
CHECKS = "input_dependence", "attention_uniform", "attention_peaked", "attention_rank"
CURRICULUM = dict(mask_start=0., curriculum=.8)  # the limit of masking rises over 80 % of the steps
EARLY = .2                                       # share of the steps that counts as early


class AlwaysMasked(TransformerTokenizer):
    "Hides the same share of every frame, `mask`, instead of a share drawn below it."
    def hide_patches(self, share, clips, frames, generator):
        return super().hide_patches(self.mask_limit(), clips, frames, generator)


BROKEN = {
    **{f"90 % from the start, seed {s}": dict(cls=AlwaysMasked, seed=s) for s in range(3)},
    "90 % from the start, lr 0.012": dict(cls=AlwaysMasked, lr=.012),
    "curriculum, lr 0.04": dict(CURRICULUM, lr=.04),
}
BETWEEN = {  # neither well nor surely ill: reported, not counted
    "U(0, 90 %) from the start": dict(),  # what the League log describes
    "90 % from the start, lr 0.003": dict(cls=AlwaysMasked, lr=.003),
    "curriculum, lr 0.012, seed 1": dict(CURRICULUM, lr=.012, seed=1),
    "curriculum, lr 0.04, seed 1": dict(CURRICULUM, lr=.04, seed=1),
}
HEALTHY = {
    **{f"curriculum, seed {s}": dict(CURRICULUM, seed=s) for s in range(5)},
    "curriculum, lr 0.004": dict(CURRICULUM, lr=.004),
    "curriculum, lr 0.003": dict(CURRICULUM, lr=.003),
    "no masking": dict(mask=0., mask_start=0.),
    "curriculum, lr 0.003, width 64": dict(CURRICULUM, lr=.003, width=64, depth=3),
    "curriculum, lr 0.003, soft cap": dict(CURRICULUM, lr=.003, soft_cap=30., kv_heads=2),
}
KINDS = dict(broken=BROKEN, between=BETWEEN, healthy=HEALTHY)


class Data(NamedTuple):
    train: Clips
    held_out: torch.Tensor  # b t 3 h w
    probe: torch.Tensor     # b t 3 h w: what the watch looks at


def make_data(folder):
    "Two minutes of play."
    with contextlib.redirect_stdout(io.StringIO()):
        play = record(folder/"play", episodes=8, frames=120, size=(60, 80), test=2)
        store = build_frames(play, folder/"frames", (32, 32), "stretch")
    test = Clips(store, "test", 2)
    held_out = to_float(test.get(test.windows(2, 8)).data)
    probe = to_float(test.get(test.windows(2, 28)[:8]).data)
    return Data(Clips(store, "train", 2), held_out, probe)


def run(data, cls=TransformerTokenizer, seed=0, lr=LR, curriculum=0., **model):
    "Train one tokenizer; its watch, and the PSNR of whole held-out frames."
    torch.manual_seed(seed)
    size = dict(width=48, depth=2, mask=.9, mask_start=.9, mask_steps=int(curriculum*STEPS))
    tokenizer = cls((32, 32), 8, **size | model)

    def batches(generator):
        clip = data.train.sample(8, generator)
        return Clip(to_float(clip.data), clip.actions, clip.known, clip.index)

    def loss(model, clip, generator):
        return (model(clip.data, generator).float() - clip.data).pow(2).mean(), {}

    # in so small a model a look costs as much as three steps
    watch = AttentionWatch(data.probe, every=20, grace=EARLY, budget=1)
    recipe = Recipe(STEPS, lr=lr, warmup=30, ema=None, seed=seed, precision="fp32", device="cpu")
    quiet = io.StringIO()
    with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        learnt = train(tokenizer, batches, loss, recipe, callbacks=[watch])
    with torch.no_grad():
        again = learnt.model.reconstruct(data.held_out)
    return watch, psnr(squared_error(again, data.held_out).mean())


def report(name, data, how):
    "Run one, print its line; {check: step of its first fail}."
    began = time.process_time()
    watch, quality = run(data, **how)
    seconds = time.process_time() - began
    fired = ", ".join(f"{check} {step}" for check, step in watch.first.items()) or "-"
    variance = watch.rows[-1]["input_dependence"]
    print(f"{name:36}{quality:7.2f}{variance:10.3f}{seconds:7.0f}   {fired}", flush=True)
    return watch.first


def judge(kind, alarms):
    "Print how often each check fired; is that what this kind of run should give?"
    counts = ", ".join(f"{check} {sum(check in a for a in alarms)}" for check in CHECKS)
    when = "in the first 20 % of the steps" if kind == "broken" else "at any step"
    print(f"  {kind}: {counts}, any {sum(map(bool, alarms))} of {len(alarms)} {when}\n")
    if kind == "broken":
        return all(alarms)
    return kind == "between" or not any(alarms)


def mean_image(data):
    "PSNR of the training frames' mean image on held-out frames."
    clip = data.train.get(data.train.windows(2, 6))
    mean = to_float(clip.data).mean((0, 1)).expand_as(data.held_out)
    return psnr(squared_error(mean, data.held_out).mean())


def main():
    torch.set_num_threads(1)
    wanted = sys.argv[1:] or list(KINDS)
    if strange := set(wanted) - set(KINDS):
        sys.exit(f"no kind {', '.join(sorted(strange))}; there are {', '.join(KINDS)}")
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        data = make_data(Path(folder))
        print(f"mean image of the training frames: {mean_image(data):.2f} dB; {STEPS} steps")
        print(f"{'':36}{'PSNR':>7}{'variance':>10}{'CPU s':>7}   first step at which a check fails")
        for kind in wanted:
            alarms = [report(name, data, how) for name, how in KINDS[kind].items()]
            if kind == "broken":
                alarms = [{c: s for c, s in a.items() if s <= EARLY*STEPS} for a in alarms]
            if not judge(kind, alarms):
                missed.append(kind)
    sys.exit(f"MISSED: {', '.join(missed)}" if missed else 0)


if __name__ == "__main__":
    main()
