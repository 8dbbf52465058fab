"""Seed 002's collapse in small: which check fires on a transformer tokenizer that gives one mean image, when, and on how many healthy ones.

    python benchmarks/collapse.py [broken] [between] [healthy]     default: all, 19 runs of about 22 CPU-seconds

Every run: 32 x 32 frames of ViZDoom, 16 patches and 16 latents a frame, one thread. A check fires when its verdict is `fail` at any look; a look every 20 steps.
"""
import contextlib
import io
import sys
import tempfile
import time
from pathlib import Path
import torch
from wmkit.data.clips import Clip, Clips, build_frames, to_float
from wmkit.data.record import record
from wmkit.doctor.attention import AttentionWatch
from wmkit.tokenizers.transformer import TransformerTokenizer
from wmkit.training.trainer import Recipe, train
from wmkit.worlds.metrics import psnr, squared_error

STEPS, LR, CHECKS = 400, 6e-3, ("input_dependence", "attention_uniform", "attention_peaked", "attention_rank")
CURRICULUM, EARLY = dict(mask_start=0., curriculum=.8), .2   # the limit of masking rises over 80 % of the steps; what counts as early

class AlwaysMasked(TransformerTokenizer):
    "Hides the same share of every frame, `mask`, instead of a share drawn below it."
    def hide_patches(self, share, clips, frames, generator): return TransformerTokenizer.hide_patches(self, self.mask_limit(), clips, frames, generator)

BROKEN = {
    **{f"90 % from the start, seed {s}": dict(cls=AlwaysMasked, mask_start=.9, seed=s) for s in range(3)},
    "90 % from the start, lr 0.012": dict(cls=AlwaysMasked, mask_start=.9, lr=.012), "curriculum, lr 0.04": dict(CURRICULUM, lr=.04),
}
BETWEEN = {  # neither well nor surely ill: reported, not counted
    "U(0, 90 %) from the start": dict(mask_start=.9),  # what the seed's log describes
    "90 % from the start, lr 0.003": dict(cls=AlwaysMasked, mask_start=.9, lr=.003),
    "curriculum, lr 0.012, seed 1": dict(CURRICULUM, lr=.012, seed=1), "curriculum, lr 0.04, seed 1": dict(CURRICULUM, lr=.04, seed=1),
}
HEALTHY = {
    **{f"curriculum, seed {s}": dict(CURRICULUM, seed=s) for s in range(5)},
    "curriculum, lr 0.004": dict(CURRICULUM, lr=.004), "curriculum, lr 0.003": dict(CURRICULUM, lr=.003), "no masking": dict(mask=0., mask_start=0.),
    "curriculum, lr 0.003, width 64": dict(CURRICULUM, lr=.003, width=64, depth=3), "curriculum, lr 0.003, soft cap": dict(CURRICULUM, lr=.003, soft_cap=30., kv_heads=2),
}
BETWEEN = {
    "U(0, 90 %) hidden from the start": dict(mask_start=.9),  # what the seed's log describes
    **{f"90 % from the start, lr {lr:g}": dict(cls=AlwaysMasked, mask_start=.9, lr=lr) for lr in (.003, .012)},
    "curriculum, lr 0.012, seed 1": dict(CURRICULUM, lr=.012, seed=1),  # twice the learning rate of the healthy ones
}

def make_data(folder):
    "(training clips, held-out frames [b t 3 h w], probe frames) of two minutes of play."
    with contextlib.redirect_stdout(io.StringIO()):
        store = build_frames(record(folder/"play", episodes=8, frames=120, size=(60, 80), test=2), folder/"frames", size=(32, 32))
    test = Clips(store, "test", 2)
    return Clips(store, "train", 2), to_float(test.get(test.windows(2, 8)).data), to_float(test.get(test.windows(2, 28)[:8]).data)

def run(data, cls=TransformerTokenizer, seed=0, lr=LR, width=48, depth=2, mask=.9, mask_start=.9, curriculum=0., **how):
    "Train one tokenizer; returns its watch, and the PSNR of whole held-out frames."
    clips, held_out, frames = data
    torch.manual_seed(seed)
    model = cls((32, 32), 8, width=width, depth=depth, mask=mask, mask_start=mask_start, mask_steps=int(curriculum*STEPS), **how)
    def batches(generator):
        clip = clips.sample(8, generator)
        return Clip(to_float(clip.data), clip.actions, clip.known, clip.index)
    def loss(model, clip, generator): return (model(clip.data, generator).float() - clip.data).pow(2).mean(), {}
    watch = AttentionWatch(frames, every=20, grace=EARLY, budget=1)   # in so small a model a look costs as much as three steps
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        recipe = Recipe(STEPS, lr=lr, warmup=30, ema=None, seed=seed, precision="fp32", device="cpu")
        learnt = train(model, batches, loss, recipe, callbacks=[watch])
    with torch.no_grad(): return watch, psnr(squared_error(learnt.model.reconstruct(held_out), held_out).mean())

def main():
    torch.set_num_threads(1)
    kinds = dict(broken=BROKEN, between=BETWEEN, healthy=HEALTHY)
    if strange := set(sys.argv[1:]) - set(kinds): sys.exit(f"no kind {', '.join(sorted(strange))}; there are {', '.join(kinds)}")
    with tempfile.TemporaryDirectory() as folder:
        data = make_data(Path(folder))
        mean = data[0].get(data[0].windows(2, 6))
        print(f"mean image of the training frames: {psnr(squared_error(to_float(mean.data).mean((0, 1)).expand_as(data[1]), data[1]).mean()):.2f} dB on held-out frames; {STEPS} steps")
        print(f"{'':36}{'PSNR':>7}{'variance':>10}{'CPU s':>7}   first step at which a check fails")
        missed = []
        for kind, runs in kinds.items():
            if sys.argv[1:] and kind not in sys.argv[1:]: continue
            alarms = []
            for name, how in runs.items():
                began = time.process_time()
                watch, quality = run(data, **how)
                early = {check: step for check, step in watch.first.items() if step <= EARLY*STEPS}
                alarms.append(early if kind == "broken" else watch.first)
                print(f"{name:36}{quality:7.2f}{watch.rows[-1]['input_dependence']:10.3f}{time.process_time() - began:7.0f}   {', '.join(f'{c} {s}' for c, s in watch.first.items()) or '-'}", flush=True)
            said = "in the first 20 % of the steps" if kind == "broken" else "at any step"
            print(f"  {kind}: " + ", ".join(f"{c} {sum(c in a for a in alarms)}" for c in CHECKS) + f", any {sum(map(bool, alarms))} of {len(runs)} {said}\n")
            if (kind == "broken" and not all(alarms)) or (kind == "healthy" and any(alarms)): missed.append(kind)
    sys.exit(f"MISSED: {', '.join(missed)}" if missed else 0)

if __name__ == "__main__": main()
