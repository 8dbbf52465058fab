"""The quickstart with three seeds, the worst of each measure against its bar.

    python benchmarks/first_world.py [runs ...]
        runs: names of finished quickstart runs to judge instead of running anew
"""
import math
import sys
from collections.abc import Callable
from typing import NamedTuple
from wmkit.cli import read_yaml
from wmkit.core import settings
from wmkit.runs import Run, run_notebook

SEEDS = (0, 1, 2)


class Bar(NamedTuple):
    "What result.json must show."
    name: str
    read: Callable       # of the result
    bar: float
    larger: bool = True  # is better

    def worst(self, values): return min(values) if self.larger else max(values)

    def met(self, values):
        worst = self.worst(values)
        return worst >= self.bar if self.larger else worst <= self.bar


def slowdown(result):
    "Time of the second half of the rollout against the first."
    return result["speed"]["first_half"]/result["speed"]["second_half"]


def read_back(result):
    "Of the channels that can be read on true video."
    ratios = [row["ratio"] for row in result["inverse"].values()]
    return min(ratio for ratio in ratios if math.isfinite(ratio))


BARS = [
    Bar("tokenizer, dB", lambda r: r["tokenizer"]["psnr"], 30.),
    Bar("above copy, least over 12 horizons, dB", lambda r: r["above_copy_least"], 0.),
    Bar("above copy, median over 12 horizons, dB", lambda r: r["above_copy_median"], 1.),
    Bar("true minus shuffled, next frame, dB", lambda r: r["action_gap"], 1.2),
    Bar("true minus shuffled, lower end of interval, dB",
        lambda r: r["action_gap_interval"][0], .5),
    Bar("yaw read back, share of what is read on true video",
        lambda r: r["inverse"]["yaw"]["ratio"], .9),
    Bar("commands read back, share of what is read on true video, worst channel", read_back, .8),
    Bar("rollout with decoding, frames/s", lambda r: r["speed"]["frames_per_second"], 40.),
    Bar("second half of the rollout against the first, time", slowdown, 1.2, larger=False),
    Bar("held-out episodes", lambda r: r["episodes"], 6),
]


def new_run(seed, params):
    "A quickstart with this seed."
    name = f"first_world_{seed}"
    if run_notebook("quickstart", params | dict(seed=seed, dataset=name), run=name):
        sys.exit(f"seed {seed} failed: see outputs/{name}/log.txt")
    return Run.open(name)


def finished(names):
    "The runs to judge: those named, or three new ones."
    if names:
        return [Run.open(name) for name in names]
    params = read_yaml(settings().root/"configs/quickstart.yaml")
    return [new_run(seed, params) for seed in SEEDS]


def show(title, bars, results):
    "Print a table of {name: result.json} against the bars; how many are missed, NaN among them."
    names = "".join(f"{name[-16:]:>18}" for name in results)
    print(f"\n{title:58}{names}{'worst':>10}{'bar':>8}")
    missed = 0
    for bar in bars:
        values = [bar.read(result) for result in results.values()]
        met = all(map(math.isfinite, values)) and bar.met(values)
        missed += not met
        verdict = "ok" if met else "MISSED"
        numbers = "".join(f"{value:18.2f}" for value in values)
        print(f"{bar.name:58}{numbers}{bar.worst(values):10.2f}{bar.bar:8.1f}  {verdict}")
    return missed


def main():
    missed = show("", BARS, {run.name: run.result() for run in finished(sys.argv[1:])})
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
