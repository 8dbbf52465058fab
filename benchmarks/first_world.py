"""The quickstart with three seeds (recording, training and evaluation), the worst of each measure against its bar.

    python benchmarks/first_world.py [runs ...]    names of finished quickstart runs to judge instead of running anew
"""
import sys
from wmkit.core import read_json, settings
from wmkit.cli import read_yaml
from wmkit.runs import Run, run_notebook

SEEDS = (0, 1, 2)
# measure: (how to read it from result.json, bar, whether larger is better)
BARS = {
    "tokenizer, dB": (lambda r: r["tokenizer"]["psnr"], 30., True),
    "above copy, least over 12 horizons, dB": (lambda r: r["above_copy_least"], 0., True),
    "above copy, median over 12 horizons, dB": (lambda r: r["above_copy_median"], 1., True),
    "true minus shuffled, next frame, dB": (lambda r: r["action_gap"], 1.2, True),
    "true minus shuffled, lower end of interval, dB": (lambda r: r["action_gap_interval"][0], .5, True),
    "yaw read back, share of the estimator's on true video": (lambda r: r["yaw"]["ratio"], .9, True),
    "rollout with decoding, frames/s": (lambda r: r["speed"]["frames_per_second"], 40., True),
    "second half of the rollout against the first, time": (lambda r: r["speed"]["first_half"]/r["speed"]["second_half"], 1.2, False),
    "held-out episodes": (lambda r: r["episodes"], 6, True),
}

def finished(names):
    "The runs to judge: those named, or three new ones."
    if names: return [Run.open(name) for name in names]
    params = read_yaml(settings().root/"configs/quickstart.yaml")
    runs = []
    for seed in SEEDS:
        run = f"first_world_{seed}"
        if run_notebook("quickstart", params | dict(seed=seed, dataset=f"first_world_{seed}"), run=run): sys.exit(f"seed {seed} failed: see outputs/{run}/log.txt")
        runs.append(Run.open(run))
    return runs

def main():
    results = {run.name: read_json(run.folder/"result.json") for run in finished(sys.argv[1:])}
    print(f"\n{'':58}" + "".join(f"{name[-16:]:>18}" for name in results) + f"{'worst':>10}{'bar':>8}")
    failed = []
    for name, (read, bar, larger) in BARS.items():
        values = [read(r) for r in results.values()]
        worst = min(values) if larger else max(values)
        good = worst >= bar if larger else worst <= bar
        if not good: failed.append(name)
        print(f"{name:58}" + "".join(f"{v:18.2f}" for v in values) + f"{worst:10.2f}{bar:8.1f}  {'ok' if good else 'MISSED'}")
    sys.exit(1 if failed else 0)

if __name__ == "__main__": main()
