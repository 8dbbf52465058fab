"""Files that somebody spoilt, opened by every door that a user has.

A small house (tests/spoiling.py) holds everything that wmkit reads back. One file of it is damaged,
and all doors that lead to it are tried: each works, or says in a ValueError or an OSError which
file is wrong. Nothing else: no other exception, no hang, no gigabyte, nothing read or written
outside, and who reads changes nothing. WMKIT_FUZZ=30 tries thirty times as much.
"""
import contextlib
import faulthandler
import hashlib
import io
import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
import spoiling
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.configuration import set_hypothesis_home_dir

TIMES = float(os.environ.get("WMKIT_FUZZ", 1))
SEED = int(os.environ.get("WMKIT_FUZZ_SEED", 0))
SECONDS, MEMORY = 10, 2**30  # of one door, of the processor
WAIT = 30                    # seconds by the clock: whoever waits so long waits for ever
SHOWN = 60                   # kinds of problems


# ---- the doors


def silent(*args):
    "An entry into the command, as a process would see it: (exit code, output, errors)."
    from wmkit.cli import main
    out, errors = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in "oe")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            code = main([str(a) for a in args])
        except SystemExit as e:
            code = e.code
    said = (file.buffer.getvalue().decode() for file in (out, errors))
    return SimpleNamespace(code=code, out=next(said), errors=next(said))


def resume(place):
    "`wmkit run --resume`, up to where a kernel would start."
    from wmkit import runs
    keep = runs._execute
    runs._execute = lambda run, notebook: 0
    try:
        return silent("run", "--resume", place.name)
    finally:
        runs._execute = keep


def begin(place, *args):
    "A command that would start runs."
    from wmkit import runs
    keep = runs._execute, runs.run_notebook
    runs._execute = runs.run_notebook = lambda *args, **kwargs: 0
    try:
        return silent(*args)
    finally:
        runs._execute, runs.run_notebook = keep


def facts(place):
    "All that a run can be asked."
    from wmkit.runs import Run
    run, errors = Run.open(place.name), []
    for name in ("info", "params", "status", "active", "metrics", "result", "checkpoints", "data"):
        try:
            found = getattr(run, name)
            found() if callable(found) else found
        except (ValueError, OSError) as e:
            errors.append(e)
    if errors:
        raise errors[0]


def html(place):
    from wmkit.runs import Run
    return Run.open(place.name)._repr_html_()


def report(place):
    from wmkit.findings import Report
    found = Report.load(place)
    return f"{found._repr_html_()}{found}"


def page(place):
    "The page of a run, written elsewhere."
    from wmkit.findings import Report
    from wmkit.runs import Run
    run = Run.open(place.name)
    written = Run(scratch()).page(run.name, run, Report.load(place))
    return written.read_text()


def model(place):
    from wmkit.worlds.load import open_model
    return open_model(place)


def world(place):
    from wmkit.worlds.load import open_world
    return open_world(place)


def play(place):
    "A world that opens shows its clips and dreams."
    import torch
    opened = world(place)
    clips = [clips.sample(2, generator(), 3) for clips in opened.clips()]
    k = opened.context
    frames, actions = torch.zeros(1, k, 3, 32, 32), torch.zeros(1, k + 1, opened.space.size)
    return clips, opened.dream(frames, actions)


def state(place):
    from wmkit.checkpoints import load_state
    return load_state(place/"state.pt")


def lists(place):
    from wmkit.checkpoints import best, latest
    return best(place.parent, "psnr"), latest(place.parent)


def generator():
    import torch
    return torch.Generator().manual_seed(0)


def scratch():
    "A new folder for what a door writes."
    return Path(tempfile.mkdtemp(dir=os.environ["WMKIT_FUZZ_SCRATCH"]))


def data(place):
    from wmkit.data.episodes import Dataset
    return Dataset(place)


def rows(place):
    "Each part of each episode."
    found = data(place)
    shown = repr(found)
    for e in found.episodes:
        for read in (found.rows, found.actions, found.known, found.states):
            read(e.index)
        found.frames(e.index, 0, min(2, e.length))
    return shown


def validate(place):
    return data(place).validate()


def covered(place):
    from wmkit.data.coverage import coverage
    return coverage(data(place))


def stored(place):
    "The frame store that training makes of it."
    from wmkit.data.clips import Clips, build_frames
    folder = build_frames(data(place), scratch()/"frames", (16, 16))
    batch = Clips(folder, "all", 4).sample(8, generator())
    assert batch.actions.isfinite().all(), "actions that are not finite reached the frame store"
    return batch


def joined(place):
    from wmkit.data.episodes import join_datasets
    return join_datasets([place, place], scratch()/"joined")


def windows(place):
    from wmkit.data.clips import Clips, event_weights
    found = Clips(place, "all", 4)
    batch = found.sample(8, generator())
    for e in found.episodes:
        found.episode(e)
    weights = event_weights(found)
    return repr(found), batch, found.sample(4, generator(), weights=weights)


def latents(place):
    from wmkit.data.latents import open_latents
    return open_latents(place, EYES["eyes"], "all", 4).sample(4, generator())


def again(place):
    "A store that is asked for once more."
    from wmkit.data.clips import build_frames
    return build_frames(data(place.parent/"toy"), place, (32, 32))


def importing(place):
    return silent("import", "folder", place, scratch()/"new", "--workers", "0")


def house_settings(place):
    from wmkit.core import settings
    return settings()


EYES = {}  # the tokenizer of the latents, opened once


def command(*args):
    return lambda place: silent(*args)


def on_place(*args):
    return lambda place: silent(*args, place)


DOORS = dict(
    run=dict(runs=command("runs"), compare=command("runs", "--compare"),
             compare_one=lambda place: silent("runs", "--compare", place.name), resume=resume,
             facts=facts, html=html, report=report, page=page),
    sweep=dict(runs=command("runs"), compare=lambda place: silent("runs", "--compare", place.name),
               resume=lambda place: begin(place, "sweep", "--resume", place.name)),
    model=dict(model=model, lists=lists, state=state, doctor=on_place("doctor")),
    world=dict(play=play),
    data=dict(rows=rows, validate=validate, coverage=covered,
              frames=stored, joined=joined, inspect=on_place("data", "inspect"),
              doctor=on_place("doctor")),
    store=dict(windows=windows, again=again, inspect=on_place("data", "inspect")),
    latents=dict(windows=windows, latents=latents, inspect=on_place("data", "inspect")),
    source=dict(importing=importing),
    house=dict(settings=house_settings, runs=command("runs"), world=lambda place: world("conv")),
    sweep_file=dict(sweep=lambda place: begin(place, "sweep", "train", "-f", "sweep.yaml")),
    params_file=dict(run=lambda place: begin(place, "run", "train", "-f", "params.yaml")),
    notebook=dict(resume=resume))
HEAVY = ("doctor", "importing")   # seconds where the file is sound: one in HEAVY_SHARE is tried
HEAVY_SHARE = 16
WRITES = ("sweep", "run", "resume")  # doors that begin something: they may change the house


def doors_of(file):
    "[(name of a door, the place that it is asked for)] for a file of the house."
    parts = Path(file).parts
    if parts[0] == "outputs":
        kind = "sweep" if file.endswith("sweep.json") else "run"
        return doors("/".join(parts[:2]), kind)
    if parts[0] == "checkpoints":
        own = doors("/".join(parts[:4]), "model")
        return state_alone(file, own + doors(parts[1], "world"))
    if parts[0] == "world":
        return state_alone(file, doors("/".join(parts[:3]), "model") + doors("world", "world"))
    if parts[0] == "data":
        kind = dict(toy="data", toy_frames="store", toy_latents="latents")[parts[1]]
        last = doors("conv", "world") if kind == "store" else []
        return doors("/".join(parts[:2]), kind) + last
    if parts[0] in ("mine", "nbs"):
        return doors("mine", "source") if parts[0] == "mine" else doors("conv", "notebook")
    kind = {"settings.ini": "house", "sweep.yaml": "sweep_file", "params.yaml": "params_file"}
    return doors(".", kind[file])


def state_alone(file, found):
    "Nobody but who trains reads the state."
    alone = file.endswith("state.pt")
    return [d for d in found if not alone or d[0] in ("state", "lists", "model")]


def doors(place, kind):
    return [(name, door, place) for name, door in DOORS[kind].items()]


# ---- what is held against them


class Hang(BaseException):
    "Took too long."


@dataclass
class Found:
    "What a campaign found, and what it counted."
    spoilt: set = field(default_factory=set)      # digests of the damaged files
    ways: dict = field(default_factory=dict)
    doors: int = 0
    seconds: dict = field(default_factory=dict)   # of the processor, by door
    refused: int = 0
    problems: dict = field(default_factory=dict)  # {what: [how often, doors, first example]}
    slowest: tuple = (0., "")
    largest: tuple = (0, "")

    def problem(self, what, door, example):
        "Count one; `example()` tells the first of its kind."
        seen = self.problems.setdefault(what, [0, {}, None])
        seen[0] += 1
        seen[1][door] = seen[1].get(door, 0) + 1
        seen[2] = seen[2] or example()


def peak():
    "The largest resident memory so far, in bytes."
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])*1024


def last_line(error):
    "Where in wmkit an exception came from."
    codes = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
    own = [c for c in codes if "/wmkit/" in c.co_filename] or codes
    return f"{Path(own[-1].co_filename).name}:{own[-1].co_name}"


def names_a_file(said, spoil, place):
    "Does a message say where to look?"
    words = Path(spoil.file).name, str(Path.cwd()), Path(place).name, Path(spoil.file).parent.name
    return any(word and word in said for word in words)


def call(door, place):
    "(what came out or the exception, seconds, bytes by which the peak of the memory grew)."
    before, start, begun = peak(), time.monotonic(), time.process_time()
    signal.setitimer(signal.ITIMER_REAL, WAIT)
    faulthandler.dump_traceback_later(4*WAIT, exit=True)
    try:
        result = door(Path(place))
    except BaseException as e:  # whatever a user would see
        result = e
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
    seconds, grown = time.monotonic() - start, peak() - before
    if grown > MEMORY//4:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    return result, seconds, grown, time.process_time() - begun


def judge(found, spoil, name, place, called):
    "Write down what is wrong with how a door answered."
    result, seconds, memory, work = called
    found.seconds[name] = found.seconds.get(name, 0) + work
    found.slowest = max(found.slowest, (seconds, f"{name} {spoil}"))
    found.largest = max(found.largest, (memory, f"{name} {spoil}"))
    wrong = faults(result, spoil, place)
    if isinstance(result, Hang) or work > SECONDS or seconds > WAIT:
        where = f" in {last_line(result)}" if isinstance(result, BaseException) else ""
        wrong.append(f"takes over {SECONDS} s{where}")
    if memory > MEMORY:
        wrong.append("over a gigabyte")
    for what in wrong:
        found.problem(what, name, lambda: f"{spoil}: {DONE[0]}\n{told(result)}")


def told(result):
    "What a user saw, in full."
    if isinstance(result, SimpleNamespace):
        return result.errors[-300:] or result.out[-300:]
    return "".join(traceback.format_exception(result))[-1500:] \
        if isinstance(result, BaseException) else ""


DONE = [""]  # what was damaged, in words


def faults(result, spoil, place):
    "What is wrong with a result."
    looked, OPENED[:] = list(OPENED), []
    outside = ["opens what lies outside"] if looked and not spoil.is_link else []
    wrong = outside + faults_of(result, spoil, place)
    # what a user's own link shows may be quoted in an error, but is in no page
    quoted = spoil.is_link and not isinstance(result, str)
    return [w for w in wrong if not (quoted and spoiling.CANARY in w)]


OPENED = []  # what Python opened outside of the house


def watch_opens(root):
    "From now on `OPENED` fills."
    outside = str(root/"outside")
    def hook(event, args):
        if event == "open" and isinstance(args[0], (str, os.PathLike)):
            if os.path.abspath(os.fspath(args[0])).startswith(outside):
                OPENED.append(args[0])
    sys.addaudithook(hook)


def faults_of(result, spoil, place):
    if isinstance(result, SimpleNamespace):
        return command_faults(result, spoil, place)
    if isinstance(result, Hang):
        return []
    if isinstance(result, BaseException):
        return error_faults(result, spoil, place)
    text = result if isinstance(result, str) else ""
    return text_faults(text) + (["html that is not escaped"] if spoiling.SCRIPT in text else [])


def text_faults(text):
    "What no output may hold."
    words = "Traceback", spoiling.CANARY, "root:x:0"
    return [f"shows {word!r}" for word in words if word in text]


def error_faults(error, spoil, place):
    wrong = text_faults(str(error)[:10_000])
    if not isinstance(error, (ValueError, OSError)) or isinstance(error, UnicodeError):
        return [f"{type(error).__name__} at {last_line(error)}", *wrong]
    if len(str(error)) > 3000:
        wrong.append(f"a message of {len(str(error))//1000}000 characters at {last_line(error)}")
    if not names_a_file(str(error), spoil, place):
        wrong.append(f"an error without a file at {last_line(error)}")
    return wrong


def command_faults(result, spoil, place):
    wrong = text_faults(result.out) + text_faults(result.errors)
    if result.code not in (0, 1, 2):
        wrong.append(f"exit code {result.code}")
    lines = result.errors.split("\n\n")[0].strip().splitlines()  # below: a mapping to begin with
    if result.code == 2 and (len(lines) != 1 or not lines[0].startswith("wmkit: ")):
        wrong.append(f"{len(lines)} lines of errors: {lines[:2]}")
    if result.code == 2 and not names_a_file(result.errors, spoil, place):
        wrong.append("an error without a file")
    if len(result.errors) > 5000:
        wrong.append("over 5000 characters of errors")
    raised = re.search(r"raised (Key|Type|Attribute|Index|Runtime|ZeroDivision|Assertion|Overflow|"
                       r"Recursion|Memory)Error[^\n]{0,60}", result.out)
    return wrong + ([f"a finding says: {raised[0]}"] if raised else [])


# ---- a campaign


def listing(folder):
    "{path below it: what is there} of everything in a folder."
    found = {}
    for path, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            file = os.path.join(path, name)
            stat = os.lstat(file)
            known = name in files and (stat.st_size, stat.st_mtime_ns)
            found[os.path.relpath(file, folder)] = stat.st_mode, known
    return found


@contextlib.contextmanager
def unblocked(file):
    "A named pipe gets a writer after a while, so that whoever waits for one goes on."
    if not file.is_fifo():
        yield
        return
    helper = os.fork()
    if not helper:
        signal.setitimer(signal.ITIMER_REAL, 0)
        with contextlib.suppress(OSError):
            for _ in range(20):
                time.sleep(WAIT + 1)
                os.close(os.open(file, os.O_RDWR | os.O_NONBLOCK))
        os._exit(0)
    try:
        yield
    finally:
        os.kill(helper, signal.SIGKILL)
        os.waitpid(helper, 0)


class House:
    "A house of which one file at a time is spoilt."
    def __init__(self, root):
        self.root, self.house, self.good = root, root/"house", root/"good/house"
        self.found = Found()
        self.restore()
        self.beside = listing(root/"outside")

    def restore(self):
        os.chdir(self.root)
        shutil.rmtree(self.house, ignore_errors=True)
        shutil.copytree(self.good, self.house, symlinks=True)
        os.chdir(self.house)

    def mend(self, file):
        "Put the file back."
        path = self.house/file
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        shutil.copy2(self.good/file, path)

    def digest(self, file):
        path = self.house/file
        if not path.is_file() or path.is_symlink() or path.stat().st_size > 10**8:
            return f"{file} {os.path.lexists(path) and os.lstat(path).st_mode} {DONE[0]}"
        return f"{file} {hashlib.sha256(path.read_bytes()).hexdigest()}"

    def same(self, file):
        path = self.house/file
        return path.is_file() and not path.is_symlink() and path.stat().st_size < 10**8 \
            and path.read_bytes() == (self.good/file).read_bytes()

    def try_one(self, spoil):
        "Spoil a file and try all doors."
        PROGRESS.write_text(str(spoil))
        try:
            DONE[0] = spoil.apply(self.house, self.good)
        except Exception as e:
            self.mend(spoil.file)
            self.found.problem(f"{type(e).__name__} at {last_line(e)}", "(spoiling)",
                               lambda e=e: f"{spoil}\n{told(e)}")
            return
        digest = self.digest(spoil.file)
        if not self.same(spoil.file) and digest not in self.found.spoilt:
            self.found.spoilt.add(digest)
            self.found.ways[spoil.way] = self.found.ways.get(spoil.way, 0) + 1
            with unblocked(self.house/spoil.file):
                self.try_doors(spoil)
        else:
            self.mend(spoil.file)

    def try_doors(self, spoil):
        "First who reads, then who begins something; at last the house is as it was."
        damaged, refused = self.house/spoil.file, False
        before, tried = own_state(damaged), doors_of(spoil.file)
        for name, door, place in tried:
            if name not in WRITES and not (name in HEAVY and not refused
                                           and spoil.what % HEAVY_SHARE):
                refused |= self.try_door(spoil, name, door, place)
        self.check_unchanged(spoil, before == own_state(damaged), "who reads", ())
        writers = [one for one in tried if one[0] in WRITES]
        for name, door, place in writers:
            refused |= self.try_door(spoil, name, door, place)
        self.mend(spoil.file)
        if writers:
            self.check_unchanged(spoil, True, "who writes", ("outputs",))
        self.found.refused += refused

    def try_door(self, spoil, name, door, place):
        "Was the file refused there?"
        called = call(door, place)
        self.found.doors += 1
        judge(self.found, spoil, name, place, called)
        os.chdir(self.house)
        clear(self.root/"scratch")
        result = called[0]
        return isinstance(result, BaseException) or getattr(result, "code", 0) != 0

    def check_unchanged(self, spoil, same, who, allowed):
        "Nothing in the house or beside it was changed, but the spoilt file."
        good, now = listing(self.good), listing(self.house)
        changed = [f for f in good.keys() | now.keys() if good.get(f) != now.get(f)
                   and f != spoil.file and not f.startswith(spoil.file + "/")]
        if listing(self.root/"outside") != self.beside:
            changed.append("../outside")
        if not same:
            changed.append(spoil.file)
        if not set(changed) <= {f for f in changed if f.startswith(allowed)} - {spoil.file}:
            self.found.problem("changes files", who, lambda: f"{spoil}: {DONE[0]}: "
                               f"{[(f, good.get(f), now.get(f)) for f in changed[:3]]}")
        if set(changed) - {spoil.file}:
            self.restore()
            if not allowed:
                spoil.apply(self.house, self.good)


def own_state(file):
    stat = os.lstat(file) if os.path.lexists(file) else None
    return stat and (stat.st_mode, stat.st_size, stat.st_mtime_ns, stat.st_ino)


def clear(folder):
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def campaign(root, folders, examples):
    "What became of so many damages to the files of these folders."
    import torch
    torch.set_num_threads(1)
    from wmkit.worlds.load import import_models, open_model
    house = House(root)
    import_models()
    EYES["eyes"] = open_model(house.house/"world/tokenizer")
    for name, door, place in {d for f in house_files(house, folders) for d in doors_of(f)}:
        result = call(door, place)[0]   # everything is well before anything is spoilt
        if isinstance(result, BaseException):
            raise RuntimeError(f"{name} at {place} does not work on sound files") from result
        clear(root/"scratch")
    house.restore()
    watch_opens(root)
    wide = settings(max_examples=examples, deadline=None, database=None, derandomize=not SEED,
                    phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck))
    try_all = wide(given(spoiling.spoils(house.good, folders))(house.try_one))
    (seed(SEED)(try_all) if SEED else try_all)()
    return house.found


def house_files(house, folders):
    return [str(p.relative_to(house.good)) for name in folders for p in house.good.glob(name)
            if p.is_file()]


def raise_hang(*_):
    raise Hang


def in_child(root, folders, examples):
    "A campaign in a process of its own, with limits."
    answer, log = root.with_suffix(".json"), root.with_suffix(".txt")
    child = os.fork()
    if not child:
        status = 1
        try:
            with open(log, "wb") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            sys.stdout, sys.stderr = open(1, "w"), open(2, "w")
            faulthandler.enable(sys.stderr)
            signal.signal(signal.SIGALRM, raise_hang)
            size = int(Path("/proc/self/statm").read_text().split()[0])*resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (size + 4*MEMORY,)*2)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            start = time.process_time()
            found = campaign(root, folders, examples)
            told = vars(found) | dict(spoilt=len(found.spoilt), total=time.process_time() - start)
            answer.write_text(json.dumps(told))
            status = 0
        except BaseException:
            log.with_suffix(".error").write_text(traceback.format_exc())
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(status)
    status = os.waitpid(child, 0)[1]
    said = log.read_text(errors="replace")[-6000:]
    if status:
        pytest.fail(f"the campaign ended with {status} at {PROGRESS.read_text()}\n{said}", False)
    return SimpleNamespace(**json.loads(answer.read_text()))


PROGRESS = Path(tempfile.gettempdir())/f"wmkit_fuzz_{os.getpid()}"
CAMPAIGNS = dict(
    runs=(["outputs/*/*.json*", "outputs/*/*.yaml", "outputs/*/log.txt", "outputs/*/media/*",
           "nbs/runs/*"], 620),
    house=(["settings.ini", "sweep.yaml", "params.yaml", "mine/**/*"], 400),
    models=(["checkpoints/**/*", "world/**/*"], 640),
    data=(["data/toy/**/*"], 560),
    stores=(["data/toy_frames/**/*", "data/toy_latents/**/*"], 330))


def by_door(found):
    "Seconds of each door, the most first."
    order = sorted(found.seconds.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {seconds:.1f}" for name, seconds in order)


@pytest.fixture(scope="session")
def houses(tmp_path_factory):
    "The house, built once; each campaign gets a copy."
    import torch
    torch.set_num_threads(1)
    root, before = tmp_path_factory.mktemp("fuzz"), Path.cwd()
    set_hypothesis_home_dir(root/"hypothesis")
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            spoiling.build_house(root/"first")
    finally:
        os.chdir(before)
    yield root
    PROGRESS.unlink(missing_ok=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.xdist_group(f"fuzz {name}"))
                                  for name in CAMPAIGNS])
def test_spoilt_files(name, houses, monkeypatch):
    folders, examples = CAMPAIGNS[name]
    root = houses/name
    shutil.copytree(houses/"first/outside", root/"outside")
    shutil.copytree(houses/"first/house", root/"good/house")
    (root/"scratch").mkdir()
    monkeypatch.setenv("WMKIT_FUZZ_SCRATCH", str(root/"scratch"))
    PROGRESS.write_text("the sound house")
    found = in_child(root, folders, int(examples*TIMES))
    print(f"{name}: {found.spoilt} spoilt files ({found.ways}), {found.refused} refused, "
          f"{found.doors} doors in {found.total:.0f} s ({by_door(found)}); "
          f"slowest {found.slowest[0]:.1f} s ({found.slowest[1]}), "
          f"largest {found.largest[0]/2**20:.0f} MiB ({found.largest[1]})")
    lines = [f"{n}x {what} {doors}\n    {example}" for what, (n, doors, example) in
             sorted(found.problems.items(), key=lambda item: -item[1][0])]
    if lines:
        pytest.fail(f"{len(lines)} kinds of problems:\n" + "\n".join(lines[:SHOWN]), pytrace=False)
    assert found.spoilt >= .6*min(1, TIMES)*examples, "too few of the damages made a new file"
