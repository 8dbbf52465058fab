"""Kills, stops and full disks at random moments: what goes on afterwards comes to the same end.

    python benchmarks/kills.py [--only record import tokenizer dynamics] [--count N] [--seed N]

Each trial starts a command in a house of its own (folders, TMPDIR), breaks it off, gives the same
command again, and compares with a twin that was left alone: data sets by fingerprint and files,
trainings by the bytes of their last weights and of metrics.jsonl. Then no process and no temporary
file may be left; a kernel whose launcher was killed ends by itself, once it has saved and reported.
20 SIGKILL and 10 SIGTERM, to the process alone or to its whole tree at once, and 5 full disks: a
small tmpfs where this may be mounted, else a limit on the size of files. --count takes the first N
trials. Linux; about 40 minutes on two cores. Exit code 1 if a trial fails.
"""
import argparse
import contextlib
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from wmkit.checkpoints import latest
from wmkit.core import Progress
from wmkit.data.episodes import Dataset, toy_dataset

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT/"nbs/runs"
PROGRAM = "import sys; from wmkit.cli import main; sys.exit(main())"
SETTINGS = "[run]\ndevice = cpu\n"
MARK = "WMKIT_KILLS"  # in the environment of every process of a trial
TOKENIZER = dict(dataset="toy", model=dict(width=8), steps=60, batch=8, warmup=5,
                 evaluate_every=20, save_every=7)
DYNAMICS = dict(dataset="toy", tokenizer="coder/tokenizer", kind="transformer",
                model=dict(width=32, depth=2, every=2, window=3, registers=1), steps=40, batch=8,
                evaluate_every=10, save_every=7, K=1, horizon=4, shown=10)


class Job(NamedTuple):
    "A command that is broken off, how it is continued, and what it makes."
    words: list
    again: list  # where `made` exists already
    made: str
    kind: str    # data, or the name of the model that is trained


def run_job(notebook, model, params):
    pairs = [part for k, v in params.items() for part in ("-p", k, str(v))]
    words = ["run", str(NOTEBOOKS/f"{notebook}.ipynb"), "--name", "one", *pairs]
    return Job(words, ["run", "--resume", "one"], "outputs/one/run.json", model)


def data_job(*words): return Job(words, words, "data/new/meta/info.json", "data")


JOBS = dict(
    record=data_job("record", "data/new", "--episodes", "3", "--frames", "150", "--test", "1"),
    tokenizer=run_job("train_tokenizer", "tokenizer", TOKENIZER),
    **{"import": data_job("import", "video", "source", "data/new", "--workers", "2")},
    dynamics=run_job("train_dynamics", "dynamics", DYNAMICS))


def fill(house):
    "Make what the commands need: a data set to train on, and videos to import."
    house.mkdir()
    (house/"settings.ini").write_text(SETTINGS)
    toy_dataset(house/"data/toy", episodes=5, frames=80, test=2, size=(64, 64))
    play = toy_dataset(house.parent/"play", episodes=5, frames=300, test=0)
    (house/"source").mkdir()
    for e in range(5):
        shutil.copy(play.path(e), house/f"source/{e}.mp4")
    shutil.rmtree(play.root)


class Started:
    "A command in a house, with its whole family of processes."
    def __init__(self, house, words, limit=None):
        self.house, self.mark = house, f"{os.getpid()}_{time.monotonic_ns()}"
        (house/"tmp").mkdir(exist_ok=True)
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        own = dict(TMPDIR=str(house/"tmp"), OMP_NUM_THREADS="1", PYTHONPATH=path)
        own[MARK] = self.mark
        self.log = open(house.parent/f"{house.name}.txt", "a+")
        self.start = self.log.tell()

        def limited():
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *words], cwd=house, env=os.environ | own,
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True,
            preexec_fn=limited)

    def said(self):
        self.log.seek(self.start)
        return self.log.read()

    def family(self):
        "The live processes of the command."
        mark, found = f"{MARK}={self.mark}".encode(), []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                dead = (folder/"stat").read_text().rpartition(")")[2].split()[0] == "Z"
                if not dead and mark in (folder/"environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        return found

    def signal(self, number, tree):
        for pid in self.family() if tree else [self.process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def wait(self, grace=20):
        "Its exit code, and how many processes outlived it by `grace` seconds; they are killed."
        code = self.process.wait(1200)
        end = time.monotonic() + grace
        while (left := self.family()) and time.monotonic() < end:
            time.sleep(.1)
        self.signal(signal.SIGKILL, True)
        return code, len(left)


def finish(house, job):
    "(exit code, processes left) of the command, given again until the end."
    words = job.again if (house/job.made).exists() else job.words
    started = Started(house, words)
    code, left = started.wait()
    if job.kind != "data" and "there is nothing to continue" in started.said():
        code = 0  # it was done before it was broken off
    return code, left, started.said()


def result(house, job):
    "What must be equal: {name: bytes or text}."
    if job.kind == "data":
        dataset = Dataset(house/"data/new").validate()
        videos = {str(e.index): dataset.path(e.index).read_bytes() for e in dataset.episodes}
        rows = [dataset.rows(e.index).to_pydict() for e in dataset.episodes]
        return videos | dict(fingerprint=dataset.fingerprint(), rows=str(rows))
    weights = latest(house/"checkpoints/one"/job.kind)/"weights.safetensors"
    curve = house/"outputs/one/metrics.jsonl"
    return dict(step=weights.parent.name, weights=weights.read_bytes(), curve=curve.read_bytes())


EXTRA = re.compile(r"outputs/one/notebook\.\d+\.ipynb|checkpoints/one/\w+/step_\d+(/.*)?")


def tree(house):
    "The files and folders of a house, without what a continued run has more of."
    found = {str(f.relative_to(house)) for f in house.rglob("*")}
    return {name for name in found if not EXTRA.fullmatch(name)} - {"tmp"}


def shared_memory():
    "Engines' shared memory of no process that lives."
    found = {name for name in os.listdir("/dev/shm") if name.startswith("ViZDoom")}
    words = b""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words += file.read_bytes()
    return {name for name in found if name[-10:].encode() not in words}


class Twin(NamedTuple):
    "A command that was left alone."
    seconds: float
    result: dict
    tree: set
    grown: int     # bytes that it writes
    largest: int   # bytes of its largest file


def sizes(house): return [f.stat().st_size for f in house.rglob("*") if f.is_file()]


def make_twin(house, job):
    before, start = sum(sizes(house)), time.monotonic()
    code, left, said = finish(house, job)
    if code or left:
        raise SystemExit(f"the twin failed ({code}, {left} processes left):\n{said[-3000:]}")
    seconds, after = time.monotonic() - start, sizes(house)
    return Twin(seconds, result(house, job), tree(house), sum(after) - before, max(after))


@dataclass
class Trial:
    "One command, broken off and continued."
    job: str
    how: str     # SIGKILL, SIGTERM, tmpfs or limit
    tree: bool   # the signal goes to all processes at once
    share: float # of the twin's time, or of its bytes
    late: bool = False  # it was over before

    def break_off(self, house, job, twin):
        "(exit code, processes left, words) of the command that is broken off."
        if self.how in ("SIGKILL", "SIGTERM"):
            started = Started(house, job.words)
            with contextlib.suppress(subprocess.TimeoutExpired):
                started.process.wait(self.share*twin.seconds)
            self.late = started.process.poll() is not None
            started.signal(getattr(signal, self.how), self.tree)
            grace = 20 if job.kind == "data" else 300
            return *started.wait(grace), started.said()
        limit = int(twin.largest**self.share) if self.how == "limit" else None
        started = Started(house, job.words, limit)
        return *started.wait(), started.said()

    def name(self):
        return f"{self.how} to all" if self.tree else self.how


@contextlib.contextmanager
def small_disk(house, size):
    "While the block runs, the house lies on a disk of its own, where `grow()` makes room."
    place = house.parent/f"{house.name}_disk"
    house.rename(place)
    house.mkdir()
    used = sum(s + 8192 for s in sizes(place))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={used + size}", "none", str(house)]
    subprocess.run(mount, check=True)
    try:
        shutil.copytree(place, house, dirs_exist_ok=True)
        yield lambda: subprocess.run(["mount", "-o", "remount,size=1g", str(house)], check=True)
    finally:
        subprocess.run(["umount", "-l", str(house)], check=True)
        shutil.rmtree(place)


def may_mount(folder):
    "May this process mount a tmpfs?"
    (folder/"mounted").mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder/"mounted")]
    try:
        able = subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False
    if able:
        subprocess.run(["umount", str(folder/"mounted")], check=True)
    return able


class Row(NamedTuple):
    "What became of a trial."
    job: str
    how: str
    moment: str
    ended: str       # exit code of the command that was broken off; over: it had come to its end
    continued: bool
    equal: bool
    left: str        # behind

    def good(self): return self.continued and self.equal and not self.left


def judge(trial, house, job, twin, grow=lambda: None):
    "The row of a trial."
    before = shared_memory()
    code, orphans, said = trial.break_off(house, job, twin)
    full = trial.how in ("tmpfs", "limit")
    silent = full and code and not re.search("the disk of|No space left|too large", said)
    grow()
    again, more, _ = finish(house, job)
    found, equal = set(), False
    if not again:
        equal = result(house, job) == twin.result
        found = tree(house) - twin.tree
    left = [f"{orphans + more} processes"] if orphans + more else []
    left += sorted(found)[:3]
    if trial.job == "record":  # a game that somebody else kills is not counted
        left += sorted(shared_memory() - before)
    left += ["no word of the disk"] if silent else []
    unit = f"{trial.share*twin.seconds:.1f} of {twin.seconds:.0f} s"
    if full:
        unit, trial.late = f"{trial.share:.0%} of its bytes", code == 0
    ended = "over" if trial.late else str(code)
    return Row(trial.job, trial.name(), unit, ended, again == 0, equal, " ".join(left))


def run_trial(trial, number, folder, twin):
    "The row of a trial in a house of its own; the house of a good one is removed."
    house, job = folder/f"house_{number:02d}", JOBS[trial.job]
    shutil.copytree(folder/"first", house)
    if trial.how == "tmpfs":
        with small_disk(house, int(trial.share*twin.grown)) as grow:
            row = judge(trial, house, job, twin, grow)
    else:
        row = judge(trial, house, job, twin)
    if row.good():
        shutil.rmtree(house)
    return row


def plan(seed, jobs, disk):
    "All trials in the order in which they are tried."
    dice, names = random.Random(seed), list(jobs)
    kinds = ["SIGKILL", "SIGTERM", "SIGKILL", "disk", "SIGKILL", "SIGTERM", "SIGKILL"]*5
    trials, counts = [], dict.fromkeys(kinds, 0)
    for kind in kinds:
        job = names[counts[kind] % len(names)]
        tree = kind != "disk" and dice.random() < .5
        how = disk if kind == "disk" else kind
        share = dice.uniform(.1, .7 if kind == "disk" else .9)
        trials.append(Trial(job, how, tree, share))
        counts[kind] += 1
    return trials


def show(row, widths=(10, 16, 18, 6, 10, 6)):
    marks = {True: "yes", False: "NO"}
    cells = [marks.get(v, v) if isinstance(v, bool) else v for v in row]
    line = "".join(f"{cell:{width}}" for cell, width in zip(cells, widths)) + (cells[-1] or "-")
    print(line, flush=True)


def summary(rows, seconds):
    good = [row.good() for row in rows]
    counts = {how: sum(row.how.startswith(how) for row in rows)
              for how in ("SIGKILL", "SIGTERM", "tmpfs", "limit")}
    kinds = ", ".join(f"{n} {how}" for how, n in counts.items() if n)
    continued, equal = (sum(getattr(row, k) for row in rows) for k in ("continued", "equal"))
    clean, late = sum(not row.left for row in rows), sum(row.ended == "over" for row in rows)
    print(f"{len(rows)} trials ({kinds}; {late} too late): {continued} continued, "
          f"{equal} equal, {clean} left nothing behind; {seconds/60:.0f} minutes", flush=True)
    return all(good)


def prepare(folder, jobs):
    "{job: its twin}; the house that every trial begins with is `folder/first`."
    fill(folder/"first")
    if "dynamics" in jobs:
        coder = run_job("train_tokenizer", "tokenizer", TOKENIZER)
        words = ["coder" if word == "one" else word for word in coder.words]
        code, _ = Started(folder/"first", words).wait()
        if code:
            raise SystemExit((folder/"first.txt").read_text()[-3000:])
    twins = {}
    for name in jobs:
        shutil.copytree(folder/"first", folder/f"twin_{name}")
        twins[name] = make_twin(folder/f"twin_{name}", JOBS[name])
        shutil.rmtree(folder/f"twin_{name}")
        print(f"left alone, {name} takes {twins[name].seconds:.0f} s", flush=True)
    return twins


def measure(args, folder):
    "The rows of all trials, shown as they come."
    twins = prepare(folder, args.only)
    trials = plan(args.seed, args.only, "tmpfs" if may_mount(folder) else "limit")[:args.count]
    bar, rows = Progress(len(trials), "kills", "trial", every=0), []
    show(Row("what", "how", "moment", "ended", "continued", "equal", "left behind"))
    for number, trial in enumerate(trials):
        rows.append(run_trial(trial, number, folder, twins[trial.job]))
        show(rows[-1])
        bar.update()
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=JOBS, default=list(JOBS), metavar="JOB")
    parser.add_argument("--count", type=int, default=35)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="keep the folder with what failed")
    args = parser.parse_args()
    folder, start = Path(tempfile.mkdtemp(prefix="kills_")).resolve(), time.monotonic()
    try:
        rows = measure(args, folder)
        good = summary(rows, time.monotonic() - start)
    finally:
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
