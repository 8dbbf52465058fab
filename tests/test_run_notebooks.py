"""The training notebooks under the launcher: killed or told to stop in the middle, they continue to the same curve, bit for bit; a sweep outlives a member that fails."""
import os, signal, subprocess, sys, time
from pathlib import Path

import pytest, torch

from wmkit.checkpoints import latest, list_checkpoints, model_hash, save_model
from wmkit.cli import main, read_yaml
from wmkit.core import read_json
from wmkit.data.actions import DOOM
from wmkit.data.clips import Clips, build_frames, to_float
from wmkit.data.episodes import toy_dataset
from wmkit.data.latents import build_latents
from wmkit.doctor.report import doctor_checkpoint
from wmkit.dynamics.conv import ConvDynamics
from wmkit.dynamics.transformer import SIZES, TransformerDynamics
from wmkit.findings import Report
from wmkit.objectives.schedules import Lengths
from wmkit.objectives.shortcut import NoiseSchedule
from wmkit.runs import Run, check_params
from wmkit.tokenizers.conv import ConvTokenizer
from wmkit.tokenizers.transformer import TransformerTokenizer
from wmkit.tokenizers.vq import VQTokenizer
from wmkit.training.trainer import Recipe

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT/"nbs/runs"
ENVIRONMENT = os.environ | dict(OMP_NUM_THREADS="1")
TINY = dict(dataset="toy", tokenizer="coder/tokenizer", kind="transformer", model=dict(width=32, depth=2, every=2, window=3, registers=1), lengths=dict(short=4, long=6, share=.3),
            recipe=dict(optimizer="muon", schedule="wsd"), steps=48, batch=8, evaluate_every=15, save_every=10, K=1, horizon=4, shown=10)


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    "A working tree of its own, with a data set, an untrained tokenizer and its latents, so that runs side by side need not make them."
    root = tmp_path_factory.mktemp("house")
    (root/"settings.ini").write_text("[paths]\ndata = data\ncheckpoints = checkpoints\noutputs = outputs\n[run]\ndevice = cpu\n")
    store = build_frames(toy_dataset(root/"data/toy", episodes=5, frames=40, test=2, size=(64, 64)), root/"data/toy_frames")
    torch.manual_seed(0)
    tokenizer = ConvTokenizer((64, 64), width=8).eval()
    with torch.no_grad(): tokenizer.statistics.fit(tokenizer.raw(to_float(Clips(store, "train", 40).get([(0, 0)]).data)))
    save_model(root/"checkpoints/coder/tokenizer/step_000000", tokenizer, dict(dataset=store.name, metrics=dict(psnr=9.)))
    build_latents(store, tokenizer, root/f"data/toy_latents_{model_hash(tokenizer)}")
    return root


@pytest.fixture(scope="module")
def launch(house):
    "Start `wmkit ...` in the house; what a failing test leaves is killed, and its kernels then stop by themselves."
    started = []
    def launch(*args, **params):
        given = [text for name, value in params.items() for text in ("-p", name, str(value))]
        program = "import sys; from wmkit.cli import main; sys.exit(main())"
        started.append(subprocess.Popen([sys.executable, "-c", program, *map(str, args), *given], cwd=house, env=ENVIRONMENT,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return started[-1]
    yield launch
    for process in started:
        process.kill()
        process.wait()


# These two take a core for themselves, beside the tests that come before theirs.
@pytest.fixture(scope="module")
def whole(launch): return launch("run", NOTEBOOKS/"train_dynamics.ipynb", "--name", "whole", **TINY)

@pytest.fixture(scope="module")
def sweep(house, launch):
    (house/"sweep.yaml").write_text("base: {dataset: toy, steps: 6, batch: 4}\ngrid:\n  model: [{width: 8}, {width: 8, fine: 64}]\n")
    return launch("sweep", NOTEBOOKS/"train_tokenizer.ipynb", "-f", "sweep.yaml", "--name", "two")


def wait_for(condition, what, process, seconds=120):
    "Poll until `condition()` is true."
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, f"ended before {what}: {process.communicate()[0]}"
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(.02)


def ended(process, code=0):
    said = process.communicate(timeout=300)[0]
    assert process.returncode == code, said
    return said


def begun(house, launch, name, rows, **params):
    "(process, run) of a training that has logged so many rows."
    process, run = launch("run", NOTEBOOKS/"train_dynamics.ipynb", "--name", name, **TINY | params), Run(house/"outputs"/name)
    file = run.folder/("metrics.jsonl" if rows else "kernel.pid")
    wait_for(lambda: file.exists() and file.read_bytes().count(b"\n") >= rows, f"{rows} rows of {name}", process)
    return process, run


def curve(run): return (run.folder/"metrics.jsonl").read_bytes()
def weights(house, name): return read_json(latest(house/"checkpoints"/name/"dynamics")/"card.json")["hash"]


def test_killed_stopped_and_resumed_bit_for_bit(house, launch, whole, sweep, monkeypatch):
    process, run = begun(house, launch, "halting", 13)
    os.killpg(int((run.folder/"kernel.pid").read_text()), signal.SIGKILL)
    process.kill()
    process.wait()
    while run.active: time.sleep(.05)  # papermill sees that its kernel is gone
    assert run.status in ("interrupted", "failed") and run.result() == {}
    assert 10 < len(run.metrics()) < TINY["steps"] and list_checkpoints(house/"checkpoints/halting/dynamics")

    process = launch("run", "--resume", "halting")
    wait_for(lambda: len(run.metrics()) >= 29, "29 rows", process)
    process.send_signal(signal.SIGTERM)
    assert "halting stopped" in ended(process)
    step = run.result()["steps_done"]
    assert run.result()["stopped"] and run.status == "stopped" and 29 <= step < TINY["steps"]
    assert [f.name for f in list_checkpoints(house/"checkpoints/halting/dynamics")][-1] == f"step_{step:06d}"
    assert all((run.folder/name).exists() for name in ("report.html", "media/training_dynamics.png")) and len(Report.load(run.folder)) > 10
    cells = [cell for cell in read_json(run.folder/"notebook.ipynb")["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in cells)

    ended(launch("run", "--resume", "halting"))
    ended(whole)
    assert curve(run) == curve(Run(house/"outputs/whole"))
    assert weights(house, "halting") == weights(house, "whole")
    assert run.status == "done" and run.result()["steps_done"] == TINY["steps"] and not run.result()["stopped"]

    monkeypatch.chdir(house)  # what the training leaves is all that the doctor needs
    report = doctor_checkpoint("checkpoints/halting/dynamics")
    expected = """codec_roundtrip latent_reality action_lag_scan action_statistics roundtrip_save
        batch_independence causality action_reach noise_reach step_reach param_coverage tau_support
        skill_copy action_effect yaw_readback""".split()
    assert set(expected) <= {f.check for f in report}
    assert "The card promises 9.0 dB" in report["codec_roundtrip"].message
    assert not [f for f in report if "raised" in f.message or "Not measured" in f.message], report


def test_stopped_before_the_first_step(house, launch):
    process, run = begun(house, launch, "early", 0, tokenizer="")
    process.send_signal(signal.SIGTERM)
    ended(process)
    result = run.result()
    assert (run.status, result["stopped"], result["steps_done"], result["checkpoint"]) == ("stopped", True, 0, None)
    assert run.metrics() == [] and (run.folder/"report.html").exists()


def test_sweep_names_the_member_that_failed(house, sweep, monkeypatch, capsys):
    ended(sweep, 1)
    monkeypatch.chdir(house)
    assert main(["runs", "--compare", "two"]) == 0
    _, *rows = capsys.readouterr().out.strip().split("\n")
    assert [row.split()[1] for row in rows] == ["done", "failed"]
    assert "64 x 64 do not divide into tokens of 128 pixels" in rows[1]
    assert Run.open("two_000").result()["psnr"] > 0


def test_configs_fit_their_notebooks():
    for file in (ROOT/"configs").glob("*.yaml"):  # train_tokenizer_vq.yaml is for train_tokenizer.ipynb
        notebook = max((n for n in NOTEBOOKS.glob("*.ipynb") if f"{file.stem}_".startswith(f"{n.stem}_")), key=lambda n: len(n.stem))
        params = check_params(notebook, read_yaml(file))
        if notebook.stem == "train_tokenizer": dict(conv=ConvTokenizer, vq=VQTokenizer, transformer=TransformerTokenizer)[params["kind"]](tuple(params["size"]), **params["model"])
        if notebook.stem == "train_dynamics":
            given = dict(SIZES[params["scale"]] if params["scale"] else {}) | params["model"]
            with torch.device("meta"): dict(conv=ConvDynamics, transformer=TransformerDynamics)[params["kind"]](DOOM.to_dict(), 48, (8, 8), 4, **given)
            NoiseSchedule(targets="every" if params["kind"] == "transformer" else "last", **params["schedule"])
            Recipe(params["steps"], lr=params["lr"], lengths=Lengths(**dict(short=4) | params["lengths"]), **params["recipe"])
