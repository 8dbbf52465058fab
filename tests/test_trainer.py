"""What a notebook cannot do to itself: a training that is killed, told to stop, or spread over processes."""
import os, signal, subprocess, sys, time
from pathlib import Path

import pytest, torch
from torch import nn

from wmkit.checkpoints import latest, list_checkpoints, model_hash
from wmkit.runs import Run
from wmkit.training.trainer import train

STEPS, ENV = 120, os.environ | dict(OMP_NUM_THREADS="1")


class Line(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.config = dict(width=width)
        self.layers = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Dropout(.1), nn.Linear(width, 1))

    def forward(self, x): return self.layers(x)


class Halt:
    "Asks to stop after a step."
    def __init__(self, at): self.at = at
    def on_step(self, training): training.stop = training.step == self.at


def fit(run, pause=0., **kw):
    def draw(generator):
        time.sleep(pause)
        x = torch.randn(16, 3, generator=generator)
        return x, x[:, :1] - 2*x[:, 1:2]

    def loss(model, batch, generator):
        x, y = batch
        return (model(x + .01*torch.randn(x.shape, generator=generator)) - y).square().mean(), {}

    def evaluate(model): return dict(size=sum(p.square().sum() for p in model.parameters()))

    torch.manual_seed(0)
    return train(Line(), draw, loss, STEPS, run=run, name="dynamics", evaluate=evaluate, evaluate_every=15, save_every=20, device="cpu",
                 precision="fp32", best="higher size", **kw)


def start(run, *before):
    "This file as a program that trains into `run`."
    return subprocess.Popen([*(before or [sys.executable]), __file__, str(run.folder)], env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for_rows(run, rows, process, timeout=60):
    file, end = run.folder/"metrics.jsonl", time.monotonic() + timeout
    while time.monotonic() < end:
        if file.exists() and file.read_bytes().count(b"\n") >= rows: return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(.02)
    raise TimeoutError(process.communicate()[0])


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
    process = start(killed)
    wait_for_rows(killed, 50, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    reached = latest(killed.checkpoints/"dynamics").name
    assert "step_000045" <= reached < f"step_{STEPS:06}"
    with open(killed.folder/"metrics.jsonl", "a") as f: f.write('{"model": "dynamics", "st')  # a line cut short
    expected, result = fit(whole), fit(Run.open(killed.folder))
    assert curve(killed) == curve(whole)
    assert model_hash(result.model) == model_hash(expected.model)
    names = [[f.name for f in list_checkpoints(r.checkpoints/"dynamics")] for r in (killed, whole)]
    assert names[0] == names[1]


def test_sigterm_writes_a_checkpoint_and_goes_on_to_the_report(new_run):
    whole, stopped = new_run("whole"), new_run("stopped")
    process = start(stopped)
    wait_for_rows(stopped, 30, process)
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=30)[0]
    assert process.returncode == 0, output
    last = len(stopped.metrics())
    assert 30 <= last < STEPS
    assert latest(stopped.checkpoints/"dynamics").name == f"step_{last:06}"
    assert f"report: stopped at {last}" in output
    fit(whole), fit(Run.open(stopped.folder))
    assert curve(stopped) == curve(whole)


def test_two_processes_learn_one_model(new_run):
    run = new_run("ddp")
    process = start(run, sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 0, output
    reports = [(run.folder/f"rank{r}.txt").read_text().split() for r in (0, 1)]
    assert reports[0] == reports[1] and len(run.metrics()) == STEPS


def alone(run):
    result = fit(run, pause=.01)
    print(f"report: stopped at {result.step}" if result.stopped else "report: done")


def together(run):
    "Under torchrun: stop all processes through the first one, continue, and compare with a training that was not stopped."
    rank = int(os.environ["RANK"])
    stopped = fit(run, callbacks=[Halt(23)])
    assert (stopped.stopped, stopped.step) == (True, 24)
    torch.manual_seed(rank)
    result, whole = fit(run), fit(None, seed=0)
    assert result.history == whole.history and model_hash(result.model) == model_hash(whole.model)
    assert all(row["loss"] < 100 for row in result.history)
    (run.folder/f"rank{rank}.txt").write_text(model_hash(result.model))


if __name__ == "__main__":
    torch.set_num_threads(1)
    (together if "RANK" in os.environ else alone)(Run.open(Path(sys.argv[1])))
