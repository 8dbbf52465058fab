"""What a notebook cannot do to itself: be killed, told to stop, or spread over processes."""
import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from wmkit.checkpoints import latest, list_checkpoints, load_model, model_hash
from wmkit.data.actions import ActionSpace, Channel
from wmkit.data.clips import Clip
from wmkit.dynamics.transformer import TransformerDynamics
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


STEPS_DREAM = 10
DOOM = ActionSpace([Channel("forward", "button"),
                    Channel("yaw", "delta", "degrees per frame", -10, 10)])


def dream(run, accumulate=1, callbacks=(), shard=False, evaluate=None, every=None):
    """A transformer with everything that a long training has.

    Clips of two lengths, micro-batches, Muon, the average, a loss that remembers, recomputation."""
    lengths = Lengths(3, 6, share=.4, long_from=8, batch=4, long_batch=2, accumulate=accumulate,
                      long_accumulate=2*accumulate)

    def draw(generator, steps_done):
        now = lengths.at(steps_done)
        data = torch.randn(now.batch, now.length, 4, 4, generator=generator)
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


if __name__ == "__main__":
    torch.set_num_threads(1)
    together(Run.open(Path(sys.argv[1])))
