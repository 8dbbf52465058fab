"""What a notebook cannot do to itself: be killed, told to stop, or spread over processes."""
import errno
import json
import multiprocessing
import os
import pickle
import resource
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import SafetensorError
from torch import nn

from wmkit import checkpoints, files
from wmkit.checkpoints import latest, list_checkpoints, load_model, load_state, load_weights
from wmkit.checkpoints import model_hash
from wmkit.data.actions import ActionSpace, Channel
from wmkit.data.clips import Clip
from wmkit.dynamics.transformer import TransformerDynamics
from wmkit.files import DiskFull
from wmkit.objectives.schedules import Lengths
from wmkit.objectives.shortcut import NoiseSchedule, ShortcutLoss
from wmkit.runs import Run
from wmkit.training.trainer import Checkpoints, Recipe, train

STEPS, ENVIRONMENT = 80, os.environ | dict(OMP_NUM_THREADS="1")


class Line(nn.Module):
    def __init__(self, width=8, dropout=.1):
        super().__init__()
        self.config = dict(width=width, dropout=dropout)
        self.layers = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Dropout(dropout),
                                    nn.Linear(width, 1))

    def forward(self, x): return self.layers(x)


class Halt:
    "Asks to stop after a step."
    def __init__(self, at): self.at = at
    def on_step(self, training): training.stop = training.steps_done == self.at


def fit(run, pause=0., dropout=.1, callbacks=(), **numbers):
    def draw(generator):
        time.sleep(pause)
        x = torch.randn(16, 3, generator=generator)
        return x, x[:, :1] - 2*x[:, 1:2]

    def loss(model, batch, generator):
        x, y = batch
        noise = .01*torch.randn(x.shape, generator=generator)
        return (model(x + noise) - y).square().mean(), {}

    def evaluate(model):
        return dict(size=sum(p.square().sum() for p in model.parameters()))

    torch.manual_seed(0)
    recipe = Recipe(STEPS, device="cpu", precision="fp32", **numbers)
    asked = Checkpoints(15, 20, best="higher size")
    model = Line(dropout=dropout)
    return train(model, draw, loss, recipe, run, "dynamics", evaluate, callbacks, asked)


def start(run, *before):
    "This file as a program that trains into `run`."
    command = [*(before or [sys.executable]), __file__, str(run.folder)]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)


def start_fork(run):
    "A training into `run` in a fork of this process, which has imported torch already."
    process = multiprocessing.get_context("fork").Process(target=alone, args=(run,))
    process.start()
    return process


def wait_for_rows(run, rows, process, timeout=600):
    file, end = run.folder/"metrics.jsonl", time.monotonic() + timeout
    while not file.exists() or file.read_bytes().count(b"\n") < rows:
        assert process.is_alive(), f"the training ended after {len(run.metrics())} rows"
        assert time.monotonic() < end, f"waited {timeout} s for {rows} rows"
        time.sleep(.01)


def curve(run): return (run.folder/"metrics.jsonl").read_bytes()


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def new_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda name: Run.create(name, {}, root=tmp_path/"outputs")


def test_killed_training_continues_bit_for_bit(new_run):
    whole, killed = new_run("whole"), new_run("killed")
    process = start_fork(killed)
    wait_for_rows(killed, 50, process)
    process.kill()
    process.join()
    reached = latest(killed.checkpoints/"dynamics").name
    assert "step_000045" <= reached < f"step_{STEPS:06}"
    with open(killed.folder/"metrics.jsonl", "a") as f:
        f.write('{"model": "dynamics", "st')  # a line cut short
    expected, result = fit(whole), fit(Run.open(killed.folder))
    assert curve(killed) == curve(whole)
    assert model_hash(result.model) == model_hash(expected.model)
    names = [[f.name for f in list_checkpoints(r.checkpoints/"dynamics")] for r in (killed, whole)]
    assert names[0] == names[1]


def test_lost_checkpoints_are_refused_and_lost_rows_named(new_run, capsys):
    class Halt:
        def on_step(self, training): training.stop = training.steps_done == 25

    run = new_run("moved")
    fit(run, callbacks=[Halt()])
    rows = curve(run)
    (run.checkpoints/"dynamics").rename(run.folder/"elsewhere")
    with pytest.raises(ValueError, match="up to step_000026.*holds none"):
        fit(Run.open(run.folder))
    assert curve(run) == rows
    run.update(saved={})  # of a run that made no note of its checkpoints
    with pytest.raises(ValueError, match="took 26 steps of dynamics, but"):
        fit(Run.open(run.folder))
    (run.folder/"elsewhere").rename(run.checkpoints/"dynamics")
    Run(run.folder).truncate_metrics(3)
    with open(run.folder/"metrics.jsonl", "a") as f:
        f.write('{"model": "dynamics", "step": 4, "loss": "low"}\n')
    with pytest.raises(ValueError, match="metrics.jsonl: loss: expected a number, got text"):
        fit(Run.open(run.folder))
    Run(run.folder).truncate_metrics(3)
    assert fit(Run.open(run.folder)).steps_done == STEPS
    assert "lacks 23 of the 26 rows" in capsys.readouterr().out


def test_sigterm_writes_a_checkpoint_and_goes_on_to_the_report(new_run):
    whole, stopped = new_run("whole"), new_run("stopped")
    process = start_fork(stopped)
    wait_for_rows(stopped, 30, process)
    process.terminate()
    process.join()
    assert process.exitcode == 0
    last = len(stopped.metrics())
    assert 30 <= last < STEPS
    assert latest(stopped.checkpoints/"dynamics").name == f"step_{last:06}"
    assert (stopped.folder/"said.txt").read_text() == f"report: stopped at {last}"
    fit(whole), fit(Run.open(stopped.folder))
    assert curve(stopped) == curve(whole)


def test_two_processes_learn_one_model(new_run):
    run = new_run("ddp")
    launcher = "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"
    output = start(run, sys.executable, *launcher).communicate(timeout=600)[0]
    assert (run.folder/"rank1.txt").exists(), output
    reports = [(run.folder/f"rank{r}.txt").read_text().split() for r in (0, 1)]
    assert reports[0] == reports[1] and len(run.metrics()) == STEPS
    two = json.loads((run.folder/"losses.json").read_text())
    one = losses(fit(None, dropout=0., accumulate=2))
    torch.testing.assert_close(two, one, rtol=1e-4, atol=1e-6)  # the same global batch


def draw_line(generator):
    x = torch.randn(16, 3, generator=generator)
    return x, x[:, :1] - 2*x[:, 1:2]


def lose_line(model, batch, generator):
    x, y = batch
    if float(os.environ.get("LOST", -1)) == float(os.environ.get("RANK", 0)):
        os._exit(7)
    return (model(x) - y).square().mean(), {}


def fit_line(run, accumulate=1, steps=30, loss=lose_line):
    torch.manual_seed(0)
    recipe = Recipe(steps, device="cpu", precision="fp32", accumulate=accumulate)
    asked = Checkpoints(10, 10)
    return train(Line(dropout=0.), draw_line, loss, recipe, run, "line", size, (), asked)


def size(model): return dict(size=sum(p.square().sum() for p in model.parameters()))


def test_one_notebook_trains_with_two_processes(new_run, monkeypatch):
    "As `wmkit run --processes 2` does: the same global batch, and everything here as before."
    one = losses(fit_line(None, accumulate=2))
    monkeypatch.setenv("WMKIT_PROCESSES", "2")
    run, threads = new_run("helped"), torch.get_num_threads()
    result = fit_line(run)
    torch.testing.assert_close(losses(result), one, rtol=1e-4, atol=1e-6)
    assert len(run.metrics()) == 30 and "size" in run.metrics()[9]
    assert "RANK" not in os.environ and torch.get_num_threads() == threads
    assert not torch.distributed.is_initialized() and not multiprocessing.active_children()
    with pytest.raises(ValueError, match="defined in a module, not in the notebook"):
        fit_line(None, loss=lambda *_: 0)
    monkeypatch.setenv("WMKIT_PROCESSES", "1")
    with pytest.raises(ValueError, match="processes"):  # it began with two
        fit_line(Run.open(run.folder), steps=40)
    assert fit_line(new_run("alone")).steps_done == 30  # the same program goes on alone


def test_a_lost_helper_ends_the_training(new_run, monkeypatch):
    monkeypatch.setenv("WMKIT_PROCESSES", "2")
    monkeypatch.setenv("LOST", "1")
    with pytest.raises(RuntimeError):
        fit_line(new_run("lost"))
    assert "RANK" not in os.environ and not multiprocessing.active_children()


STEPS_DREAM = 10
DOOM = ActionSpace([Channel("forward", "button"),
                    Channel("yaw", "delta", "degrees per frame", -10, 10)])


def dream(run, accumulate=1, callbacks=(), shard=False, evaluate=None, every=None,
          spoil=None):
    """A transformer with everything that a long training has.

    Clips of two lengths, micro-batches, Muon, the average, a loss that remembers, recomputation."""
    lengths = Lengths(3, 6, share=.4, long_from=8, batch=4, long_batch=2, accumulate=accumulate,
                      long_accumulate=2*accumulate)

    def draw(generator, steps_done):
        now = lengths.at(steps_done)
        data = torch.randn(now.batch, now.length, 4, 4, generator=generator)
        if steps_done == spoil and os.environ["RANK"] == "1":
            data[0] = torch.nan
        actions = torch.rand(now.batch, now.length, 2, generator=generator).round()
        known = torch.ones(now.batch, now.length, dtype=torch.bool)
        return Clip(data, actions, known, [])

    # the first process' weights are everybody's
    torch.manual_seed(0 if run is None else int(os.environ.get("RANK", 0)))
    size = dict(width=16, depth=2, heads=2, registers=1, every=2)
    model = TransformerDynamics(DOOM.to_dict(), 4, (2, 2), window=4, recompute=True, **size)
    recipe = Recipe(STEPS_DREAM, lr=1e-2, warmup=4, schedule="wsd", lengths=lengths, ema=.9,
                    optimizer="muon", device="cpu", precision="fp32", shard=shard)
    loss = ShortcutLoss(NoiseSchedule(targets="every"))
    asked = Checkpoints(every, 5)
    return train(model, draw, loss, recipe, run, "dynamics", evaluate, callbacks, asked)


class Calls:
    "Counts the calls of a block with gradients: forward, and where it is computed again."
    def __init__(self): self.count = 0

    def on_start(self, training):
        def count(*_):
            self.count += torch.is_grad_enabled()
        training.model.stack.blocks[0].register_forward_pre_hook(count)


def losses(result): return [row["loss"] for row in result.history]


def dream_together(plain, parts, dest):
    "In each process of the launcher."
    torch.set_num_threads(1)
    ddp = dream(None)
    divided = dream(Run.open(plain), shard=True)
    torch.testing.assert_close(losses(divided), losses(ddp), rtol=1e-4, atol=1e-6)
    # a loss that is lost in one process: none asks for its gradients, and all go on
    lost = [dream(None, accumulate=2, shard=shard, spoil=3) for shard in (False, True)]
    assert [result.skipped for result in lost] == [1, 1]
    kept, same = ([x for x in losses(result) if x == x] for result in lost)
    assert len(kept) == STEPS_DREAM - 1
    torch.testing.assert_close(kept, same, rtol=1e-4, atol=1e-6)
    part = dream(Run.open(parts), shard=True, callbacks=[Halt(5)])
    assert (part.stopped, part.steps_done) == (True, 6)
    rest = dream(Run.open(parts), shard=True)
    assert curve(Run.open(parts)) == curve(Run.open(plain))
    assert model_hash(rest.model) == model_hash(divided.model)
    assert type(divided.model) is TransformerDynamics
    assert not any(hasattr(p, "full_tensor") for p in divided.model.parameters())
    if os.environ["RANK"] == "0":
        Path(dest).write_text(json.dumps(losses(ddp)))


def test_a_divided_model_learns_what_one_process_learns(new_run, tmp_path):
    from accelerate import notebook_launcher
    plain, parts, dest = new_run("plain"), new_run("parts"), tmp_path/"losses.json"
    calls = Calls()
    one = dream(None, accumulate=2, callbacks=[calls], evaluate=lambda model: {}, every=3)
    # nothing switches recomputation off
    assert calls.count == 2*sum(4 if row["length"] == 6 else 2 for row in one.history)
    notebook_launcher(dream_together, (plain.folder, parts.folder, dest), num_processes=2)
    torch.testing.assert_close(json.loads(dest.read_text()), losses(one), rtol=1e-4, atol=1e-6)
    kept = load_model(latest(plain.checkpoints/"dynamics"))
    a, b = (nn.utils.parameters_to_vector(model.parameters()) for model in (kept, one.model))
    # an optimizer's first steps make much of a gradient's last digit
    assert (a - b).norm() < .01*b.norm()


def alone(run):
    torch.set_num_threads(1)
    result = fit(run, pause=.01)
    words = f"report: stopped at {result.steps_done}" if result.stopped else "report: done"
    (run.folder/"said.txt").write_text(words)


def together(run):
    "Under torchrun: stop all through the first one, continue, compare with a whole training."
    rank = int(os.environ["RANK"])
    stopped = fit(run, callbacks=[Halt(23)])
    assert (stopped.stopped, stopped.steps_done) == (True, 24)
    torch.manual_seed(rank)
    result, whole = fit(run), fit(None, seed=0)
    assert result.history == whole.history and model_hash(result.model) == model_hash(whole.model)
    assert all(row["loss"] < 100 for row in result.history)
    (run.folder/f"rank{rank}.txt").write_text(model_hash(result.model))
    steady = fit(None, dropout=0.)
    if rank == 0:
        (run.folder/"losses.json").write_text(json.dumps(losses(steady)))


# ---- disks that take no more


def whole_checkpoints(run):
    "The names of the checkpoints, each of which loads; nothing lies beside them."
    folder = run.checkpoints/"dynamics"
    found = list_checkpoints(folder)
    assert sorted(f.name for f in folder.iterdir()) == sorted(f.name for f in found)
    for checkpoint in found:
        load_weights(checkpoint, Line())
        assert load_state(checkpoint/"state.pt")["counters"]["steps_done"] > 0
    return [f.name for f in found]


class Half:
    "A file on a disk that takes `room` bytes."
    def __init__(self, file, room, code): self.file, self.room, self.code = file, room, code

    def __getattr__(self, name): return getattr(self.file, name)

    def write(self, data):
        self.room -= len(data)
        if self.room < 0:
            raise OSError(self.code, os.strerror(self.code))
        return self.file.write(data)


def fill(monkeypatch, what, code):
    "From now on, the disk takes no more of a checkpoint's weights, state, card, or no sync."
    def refuse(*_, **__):
        raise OSError(code, os.strerror(code))

    def refuse_weights(tensors, path):
        Path(path).write_bytes(b"half")
        raise SafetensorError(f"I/O error: {os.strerror(code)} (os error {code})")
    save = torch.save
    broken = dict(
        weights=(checkpoints, "save_file", refuse_weights),
        card=(checkpoints, "write_json", refuse),
        state=(torch, "save", lambda state, f: save(state, Half(f, 3000, code))),
        sync=(checkpoints.os, "fsync", refuse))
    monkeypatch.setattr(*broken[what])


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("what", ["weights", "state", "card", "sync"])
def test_full_disk_while_a_checkpoint_is_written(new_run, what, code):
    class Full:
        def on_step(self, training):
            if training.steps_done == 38:
                fill(patch, what, code)
    whole, full = new_run("whole"), new_run("full")
    fit(whole)
    with pytest.MonkeyPatch.context() as patch:
        with pytest.raises(DiskFull, match="step_000040: the disk of .* free") as error:
            fit(full, callbacks=[Full()])
    assert error.value.errno == code
    assert whole_checkpoints(full) == ["step_000020", "step_000030"]
    assert "the checkpoints before step_000030 (step_000020) take" in str(error.value)
    fit(Run.open(full.folder))
    assert curve(full) == curve(whole)
    assert whole_checkpoints(full) == whole_checkpoints(whole)


@pytest.mark.parametrize("asked", [True, False])
def test_a_limit_of_file_sizes(new_run, monkeypatch, tmp_path, asked):  # before it is begun?
    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    class Full:
        def on_step(self, training):
            if training.steps_done == 38:
                limit(12_000)

    def limited():
        torch.set_num_threads(1)
        try:
            fit(full, callbacks=[Full()])
        except DiskFull as e:
            limit(resource.RLIM_INFINITY)
            (tmp_path/"said.txt").write_text(f"{e.errno} {e}")
    whole, full = new_run("whole"), new_run("full")
    with monkeypatch.context() as patch:
        if not asked:
            patch.setattr(checkpoints, "require_room", lambda *_: None)
        process = multiprocessing.get_context("fork").Process(target=limited)
        process.start()
        process.join()
    said = (tmp_path/"said.txt").read_text()
    assert said.startswith(f"{errno.EFBIG} ") and "step_000040" in said, said
    assert ("are needed" in said) == asked and "takes no file of this size" in said
    assert whole_checkpoints(full) == ["step_000020", "step_000030"]
    fit(whole), fit(Run.open(full.folder))
    assert curve(full) == curve(whole)


def test_room_is_asked_for_before_a_checkpoint_is_begun(new_run, monkeypatch):
    asked, run, small = [], new_run("asked"), new_run("small")
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "require_room", lambda path, *sizes: asked.append(sizes))
        fit(run)
    newest = latest(run.checkpoints/"dynamics")
    written = [f.stat().st_size for f in newest.iterdir()]
    size, largest = asked[-1]
    assert sum(written) <= size <= sum(written) + 2**17
    assert max(written) <= largest <= max(written) + 2**17
    monkeypatch.setattr(files.shutil, "disk_usage", lambda path: SimpleNamespace(free=5000))
    with pytest.raises(DiskFull, match="step_000015: the disk of .* is full: 0.0 MiB free"):
        fit(small)
    assert not (small.checkpoints/"dynamics").exists()


def test_states_of_somebody_else_are_refused(new_run):
    run = new_run("spoilt")
    fit(run, callbacks=[Halt(30)])
    file = latest(run.checkpoints/"dynamics")/"state.pt"
    state, data = load_state(file), file.read_bytes()
    wrong = {"stamp: expected named fields": dict(stamp=[1]), "logged: expected": dict(logged=-1),
             "counters: lacks the field 'steps_done'": dict(counters={}),
             "chance": dict(chance=[3]),
             "does not fit this training": dict(optimizer={}), "an unknown field": dict(more=1),
             "does not fit this training: RuntimeError": dict(model={"x": torch.ones(1)}),
             "does not fit this training: IndexError": dict(chance=[])}
    for message, changed in wrong.items():
        torch.save(state | changed, file)
        with pytest.raises(ValueError, match=f"state.pt.*{message}"):
            fit(Run.open(run.folder))
    for text in (b"", data[:500], b"x"*500, pickle.dumps(dict(a=1))):
        file.write_bytes(text)
        with pytest.raises(ValueError, match="state.pt is not a training state"):
            fit(Run.open(run.folder))
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0"*10**7)
    with pytest.raises(ValueError, match="its parts are larger than the file"):
        load_state(file)
    torch.save([1], file)
    with pytest.raises(ValueError, match="holds a list"):
        load_state(file)
    file.write_bytes(data)
    assert fit(Run.open(run.folder)).steps_done == STEPS


DIVERGED = """
import torch
from tests.test_trainer import DOOM, Clip, NoiseSchedule, Recipe, ShortcutLoss, train
from wmkit.doctor.step0 import wake
from wmkit.dynamics.conv import ConvDynamics
from wmkit.dynamics.transformer import TransformerDynamics
torch.set_num_threads(1)
def draw(generator, steps_done):
    data = torch.randn(2, 4, 4, 16, generator=generator)
    if steps_done == 1:
        data[0, 1] = float(VALUE)
    return Clip(data, torch.ones(2, 4, 2), torch.ones(2, 4, dtype=torch.bool), [])
models = (TransformerDynamics(DOOM.to_dict(), 16, (2, 2), width=16, depth=2, heads=2, flows=4),
          ConvDynamics(DOOM.to_dict(), 16, (2, 2), width=16, depth=1, paint=8))
for model in models:
    recipe = Recipe(3, device="cpu", precision="fp32")
    result = train(wake(model)[0].train(), draw, ShortcutLoss(NoiseSchedule()), recipe)
    print([(row["loss"] == row["loss"], row.get("skipped")) for row in result.history])
"""


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_flow_that_diverged_is_a_skipped_step(value):  # in PyTorch it ends the process
    code = DIVERGED.replace("VALUE", repr(value))
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT | dict(PYTHONPATH=root),
                          capture_output=True, text=True)
    assert done.returncode == 0, (done.returncode, done.stderr)
    rows = "[(True, None), (False, 1), (True, None)]"
    assert [line for line in done.stdout.splitlines() if line.startswith("[")] == [rows]*2


if __name__ == "__main__":
    torch.set_num_threads(1)
    together(Run.open(Path(sys.argv[1])))
