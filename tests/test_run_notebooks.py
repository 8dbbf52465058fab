"""The run notebooks: every choice of every parameter, and trainings that are killed and continued.

A choice is run in this process, without a kernel; the launcher, papermill and signals are real
where they are what is tested.
"""
import ast
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import notebooks
import pytest
import torch
from fastcore.docments import docments
from fastcore.nbio import read_nb

from wmkit.checkpoints import latest, list_checkpoints, load_model, model_hash, save_model
from wmkit.cli import main, read_yaml
from wmkit.files import read_json
from wmkit.data.actions import DOOM
from wmkit.data.clips import Clips, build_frames, to_float
from wmkit.data.episodes import toy_dataset
from wmkit.data.latents import build_latents
from wmkit.doctor.report import doctor_checkpoint
from wmkit.dynamics.conv import ConvDynamics
from wmkit.dynamics.transformer import SIZES
from wmkit.findings import Report
from wmkit.objectives.schedules import Lengths, OwnSamples
from wmkit.objectives.shortcut import NoiseSchedule
from wmkit.objectives.token_losses import TokenTerms
from wmkit.runs import Run, check_params, read_parameters
from wmkit.tokenizers.conv import ConvTokenizer
from wmkit.tokenizers.vq import VQTokenizer
from wmkit.training.setups import DYNAMICS, TOKENIZERS
from wmkit.training.tokens import TokenSetup
from wmkit.training.trainer import Recipe
from wmkit.worlds.load import open_model, open_world

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT/"nbs/runs"
ENVIRONMENT = os.environ | dict(OMP_NUM_THREADS="1")
TINY = dict(dataset="toy", tokenizer="coder/tokenizer", kind="transformer",
            model=dict(width=32, depth=2, every=2, window=3, registers=1),
            lengths=dict(short=4, long=6, share=.3),
            recipe=dict(optimizer="muon", schedule="wsd"),
            steps=32, batch=8, evaluate_every=10, save_every=7, K=1, horizon=4, shown=10)
TINY_TOKENS = dict(dataset="toy", tokenizer="codes/tokenizer", kind="maskgit",
                   model=dict(width=8, condition=8, context=2, head_depth=1, heads=2),
                   own=dict(longest=4, start=4, ramp=16, low=.2, high=.9, middle=16, steepness=4.),
                   terms=dict(semantic=1.), lengths=dict(short=4, long=6, share=.3),
                   steps=32, batch=4, evaluate_every=10, save_every=7, K=3, horizon=4, shown=10)


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    "A working tree with a data set, an untrained tokenizer and its latents."
    root = tmp_path_factory.mktemp("house")
    (root/"settings.ini").write_text(notebooks.SETTINGS)
    toy = toy_dataset(root/"data/toy", episodes=5, frames=80, test=2, size=(64, 64))
    store = build_frames(toy, root/"data/toy_frames")
    torch.manual_seed(0)
    tokenizer = ConvTokenizer((64, 64), width=8).eval()
    frames = to_float(Clips(store, "train", 80).get([(0, 0)]).data)
    with torch.no_grad():
        tokenizer.statistics.fit(tokenizer.raw(frames))
    card = dict(dataset=store.name, metrics=dict(psnr=9.))
    save_model(root/"checkpoints/coder/tokenizer/step_000000", tokenizer, card)
    build_latents(store, tokenizer, root/f"data/toy_latents_{model_hash(tokenizer)}")
    codes = VQTokenizer((64, 64), stride=16, codes=16, width=8).eval()
    save_model(root/"checkpoints/codes/tokenizer/step_000000", codes, card)
    return root


@pytest.fixture
def by_hand(house, monkeypatch):
    "Run the cells of a run notebook in the house, as somebody would in JupyterLab; its run."
    monkeypatch.chdir(house)
    for name in ("IN_TEST", "WMKIT_RUN"):
        monkeypatch.delenv(name, raising=False)

    def execute(notebook, params):
        monkeypatch.setenv("JPY_SESSION_NAME", str(notebook))
        shell = notebooks.new_shell(notebook)
        for cell in read_nb(notebook).cells:
            if "parameters" in cell.metadata.get("tags", []):
                cell.source += "".join(f"\n{name} = {value!r}" for name, value in params.items())
            if cell.cell_type == "code":
                cell.source += "\nNone"  # what is shown is shown by test_notebooks.py
                shell.cell(cell)
                assert not shell.exc, shell.prettytb(fname=notebook)
        return shell.user_ns["run"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield execute
    torch.set_num_threads(threads)

# ---- every choice of every parameter, found in the notebooks


RECORDS = dict(recipe=Recipe, schedule=NoiseSchedule)  # parameters that are a record's fields
HEAVY = {"thorough", "compile"}                        # choices that take minutes
MACHINE = {"device"}                                   # what this machine may not have
SMALL = dict(dataset="toy", tokenizer="coder/tokenizer", steps=4, batch=4, horizon=2, shown=4, K=1)
SMALL_OF = dict(train_tokens=SMALL | dict(tokenizer="codes/tokenizer"))  # where it is another one


def comments(notebook):
    "{parameter: its comment} of the cell tagged `parameters`."
    tagged = next(c for c in read_nb(notebook).cells if "parameters" in c.metadata.get("tags", []))
    return dict(re.findall(r"^(\w+) = .*?  # (.*)$", tagged.source, re.M))


def choices(default, comment):
    "Other values that a parameter may have, by its default and by what its comment lists."
    if isinstance(default, bool):
        return [not default]
    if example := re.search(r"e\.g\. (\{.*\})", comment):
        return [ast.literal_eval(example[1])]
    found = re.findall(r"\w+(?:, \w+)*,? or \w+", comment)
    lists = [re.split(r",? or |, ", words) for words in found]
    listed = next((names for names in lists if default in names), [])
    return [name for name in listed if name != default]


def choices_in(record):
    "{field: choices} of a record."
    fields = {f.name: f.default for f in record.__dataclass_fields__.values()}
    found = {name: choices(fields[name], comment or "")
             for name, comment in docments(record).items() if name in fields.keys() - MACHINE}
    return {name: values for name, values in found.items() if values}


def rounds(notebook):
    "[(parameters, heavy)]: the first takes the first choice of everything, and so on."
    said, defaults = comments(notebook), read_parameters(notebook)
    found = [((name,), value, i) for name, default in defaults.items()
             for i, value in enumerate(choices(default, said.get(name, "")))]
    found += [((name, field), value, i) for name in RECORDS if name in defaults
              for field, values in choices_in(RECORDS[name]).items()
              for i, value in enumerate(values)]
    plain = [choice for choice in found if choice[0][-1] not in HEAVY]
    light = [together([c for c in plain if c[2] == i]) for i in sorted({c[2] for c in plain})]
    heavy = [together([c]) for c in found if c[0][-1] in HEAVY]
    return [(params, False) for params in light] + [(params, True) for params in heavy]


def together(picked):
    "The parameters that make all these choices."
    params = {}
    for (name, *field), value, _ in picked:
        if field:
            params[name] = params.get(name, {}) | {field[0]: value}
        else:
            params.setdefault(name, value)
    return params


def cases():
    for notebook in sorted(NOTEBOOKS.glob("*.ipynb")):
        for params, heavy in rounds(notebook):
            words = ",".join(params)
            marks = [pytest.mark.slow] if heavy else []
            yield pytest.param(notebook, params, id=f"{notebook.stem}:{words}", marks=marks)


def test_choices_are_found():
    found = rounds(NOTEBOOKS/"train_dynamics.ipynb")
    light = [params for params, heavy in found if not heavy]
    assert {"kind", "rms", "balance", "lengths", "recipe", "schedule"} <= set(light[0])
    assert dict(thorough=True) in [params for params, heavy in found if heavy]
    schedules = {params["recipe"].get("schedule") for params in light if "recipe" in params}
    assert {"cosine", "wsd"} <= schedules
    (first, _), *_ = rounds(NOTEBOOKS/"train_tokens.ipynb")
    assert {"kind": "maskgit", "body": "transformer"}.items() <= first.items()
    assert {"terms", "own", "lengths", "recipe"} <= set(first)
    kinds = [params.get("kind") for params, _ in rounds(NOTEBOOKS/"train_tokenizer.ipynb")]
    assert kinds[:2] == ["vq", "transformer"]


@pytest.mark.parametrize("notebook, params", [*cases()])
def test_every_choice(by_hand, notebook, params):
    known = read_parameters(notebook)
    small = SMALL_OF.get(notebook.stem, SMALL)
    fits = [n for n, value in small.items() if type(value) is type(known.get(n))]
    small = {name: small[name] for name in fits if name != "dataset" or known[name]}
    run = by_hand(notebook, small | params)
    assert run.params == known | small | params  # none is lost, and none is added
    assert run.result() and (run.folder/"report.html").exists()

# ---- the launcher


@pytest.fixture(scope="module")
def launch(house):
    "Start `wmkit ...` in the house; what a failing test leaves is killed."
    started = []

    def launch(*args, **params):
        given = [text for name, value in params.items() for text in ("-p", name, str(value))]
        program = "import sys; from wmkit.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", program, *map(str, args), *given]
        started.append(subprocess.Popen(command, cwd=house, env=ENVIRONMENT, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
        return started[-1]
    yield launch
    for process in started:
        process.kill()
        process.wait()


def wait_for(condition, what, process=None, seconds=600):
    "Poll until `condition()` is true."
    end = time.monotonic() + seconds
    while not condition():
        if process is not None:
            assert process.poll() is None, f"ended before {what}: {process.communicate()[0]}"
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(.02)


def ended(process, code=0):
    said = process.communicate(timeout=600)[0]
    assert process.returncode == code, said
    return said


def begun(house, launch, name, rows, notebook="train_dynamics", **params):
    "(process, run) of a training that has logged so many rows."
    tiny = TINY_TOKENS if notebook == "train_tokens" else TINY
    process = launch("run", NOTEBOOKS/f"{notebook}.ipynb", "--name", name, **tiny | params)
    run = Run(house/"outputs"/name)
    file = run.folder/("metrics.jsonl" if rows else "kernel.pid")
    wait_for(lambda: file.exists() and file.read_bytes().count(b"\n") >= rows,
             f"{rows} rows of {name}", process)
    return process, run


def curve(run): return (run.folder/"metrics.jsonl").read_bytes()


def weights(folder): return read_json(latest(folder/"dynamics")/"card.json", dict)["hash"]


@pytest.mark.slow
def test_killed_stopped_and_resumed_bit_for_bit(house, launch, by_hand):
    process, run = begun(house, launch, "halting", 9)
    os.killpg(int((run.folder/"kernel.pid").read_text()), signal.SIGKILL)
    process.kill()
    process.wait()
    wait_for(lambda: not run.active, "papermill to see that its kernel is gone")
    assert run.status in ("interrupted", "failed") and run.result() == {}
    assert 7 < len(run.metrics()) < TINY["steps"] and list_checkpoints(run.checkpoints/"dynamics")

    process = launch("run", "--resume", "halting")
    wait_for(lambda: len(run.metrics()) >= 19, "19 rows", process)
    process.send_signal(signal.SIGTERM)
    assert "halting stopped" in ended(process)
    step = run.result()["steps_done"]
    assert run.result()["stopped"] and run.status == "stopped" and 19 <= step < TINY["steps"]
    assert list_checkpoints(run.checkpoints/"dynamics")[-1].name == f"step_{step:06d}"
    made = "report.html", "media/training_dynamics.png", "media/dream.mp4"
    assert all((run.folder/name).exists() for name in made)
    assert len(Report.load(run.folder)) > 10
    cells = read_json(run.folder/"notebook.ipynb", dict)["cells"]
    assert all(cell["execution_count"] for cell in cells if cell["cell_type"] == "code")

    ended(launch("run", "--resume", "halting"))
    whole = by_hand(NOTEBOOKS/"train_dynamics.ipynb", TINY)  # never interrupted
    assert curve(run) == curve(whole)
    assert weights(run.checkpoints) == weights(whole.checkpoints)
    assert run.status == "done" and run.result()["steps_done"] == TINY["steps"]
    assert not run.result()["stopped"]

    report = doctor_checkpoint("checkpoints/halting/dynamics")  # all that the doctor needs is there
    expected = """codec_roundtrip latent_reality action_lag_scan action_statistics roundtrip_save
        batch_independence causality action_reach noise_reach step_reach param_coverage
        tau_support skill_copy action_effect""".split()
    assert set(expected) <= {f.check for f in report}
    assert "The card promises 9.0 dB" in report["codec_roundtrip"].message
    assert not [f for f in report if "raised" in f.message or "Not measured" in f.message], report


@pytest.mark.slow
def test_a_token_world_is_killed_resumed_opened_and_sent(house, launch, by_hand, capsys):
    process, run = begun(house, launch, "tokens", 9, "train_tokens")
    os.killpg(int((run.folder/"kernel.pid").read_text()), signal.SIGKILL)
    process.kill()
    process.wait()
    wait_for(lambda: not run.active, "papermill to see that its kernel is gone")
    assert 7 < len(run.metrics()) < TINY_TOKENS["steps"]

    # the tokenizer is trained on: what it calls a code is another picture from now on
    torch.manual_seed(1)
    other = VQTokenizer((64, 64), stride=16, codes=16, width=8).eval()
    place = house/"checkpoints/codes/tokenizer/step_000001"
    save_model(place, other, {})
    said = ended(launch("run", "--resume", "tokens"), 1)
    shutil.rmtree(place)
    own = open_model(house/"checkpoints/codes/tokenizer").codebook_hash()
    assert own in said and other.codebook_hash() in said

    ended(launch("run", "--resume", "tokens"))
    whole = by_hand(NOTEBOOKS/"train_tokens.ipynb", TINY_TOKENS)  # never interrupted
    def rows(run): return [row for row in run.metrics() if "loss" in row and "watch" not in row]
    assert rows(run) == rows(whole) and len(rows(run)) == TINY_TOKENS["steps"]
    assert weights(run.checkpoints) == weights(whole.checkpoints)
    assert max(row["own_share"] for row in rows(run)) > 0
    assert run.status == "done" and run.result()["K"] == 3

    ended(launch("run", NOTEBOOKS/"evaluate.ipynb", "--name", "judged", checkpoint="tokens",
                 horizon=2, shown=4))
    assert set(Run(house/"outputs/judged").result()["by_K"]) == {"1", "3"}
    assert main(["export", "tokens", "sent"]) == 0
    sent = open_world("sent", device="cpu")
    card = sent.dynamics.card
    assert (sent.K, card["codebook"]) == (3, sent.tokenizer.codebook_hash())
    assert not [f for f in doctor_checkpoint("tokens") if "raised" in f.message]


@pytest.mark.slow
def test_the_batch_file_of_the_page_is_stopped_and_goes_on(house, tmp_path):
    "The file for Slurm of docs/your-game.md, with two processes on CPUs: TERM, then again."
    page = (ROOT/"docs/your-game.md").read_text()
    job, = re.findall(r"```sh\n(#!/bin/bash\n.*?)```", page, re.S)
    small = " ".join(f"-p {name} '{value}'" for name, value in (TINY | dict(steps=24)).items())
    for old, new in (("-f train_dynamics_16gb -p dataset my_game", small),
                     ("--processes 4", "--processes 2"), ("my_world", "batch_file"),
                     ("train_dynamics ", f"{NOTEBOOKS/'train_dynamics.ipynb'} ")):
        assert old in job, old
        job = job.replace(old, new)
    command = tmp_path/"wmkit"
    program = "import sys\nfrom wmkit.cli import main\nif __name__ == '__main__': sys.exit(main())"
    command.write_text(f"#!{sys.executable}\n{program}")
    command.chmod(0o755)
    (tmp_path/"job").write_text(job)
    path = dict(PATH=f"{tmp_path}:{os.environ['PATH']}", PYTHONPATH=str(ROOT))
    run = Run(house/"outputs/batch_file")

    def send():
        return subprocess.Popen(["bash", tmp_path/"job"], cwd=house, env=ENVIRONMENT | path,
                                text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    process = send()
    wait_for(lambda: (run.folder/"metrics.jsonl").exists() and len(run.metrics()) > 3, "rows",
             process)
    process.terminate()
    assert "batch_file stopped" in ended(process)
    stopped = run.result()
    assert run.status == "stopped" and 3 < stopped["steps_done"] < 24
    ended(send())
    assert run.status == "done" and [row["step"] for row in run.metrics() if "loss" in row
                                     and row.get("model") == "dynamics"] == [*range(1, 25)]
    card = read_json(latest(house/"checkpoints/batch_file/dynamics")/"card.json", dict)
    assert card["recipe"]["processes"] == 2


@pytest.mark.slow
def test_stopped_before_the_first_step(house, launch):
    process, run = begun(house, launch, "early", 0, tokenizer="")
    process.send_signal(signal.SIGTERM)
    ended(process)
    assert (run.status, run.result(), run.metrics()) == ("stopped", {}, [])
    assert run.info["error"] is None


@pytest.mark.slow
def test_a_run_is_opened_in_a_kernel(house, launch):
    "Jupyter shows less than the runner of the notebooks does."
    small = dict(dataset="toy", tokenizer="coder/tokenizer", steps=8, horizon=4, shown=10)
    ended(launch("run", NOTEBOOKS/"train_dynamics.ipynb", "--name", "whole", **small))
    opened = ROOT/"nbs/explore/open_a_run.ipynb"
    ended(launch("run", opened, "--name", "opened", "-p", "name", "whole"))


@pytest.mark.slow
def test_an_evaluation_is_stopped_and_continued(house, launch):
    torch.manual_seed(0)
    coder = load_model(latest(house/"checkpoints/coder/tokenizer"))
    size = dict(fine=coder.fine, width=16, depth=1, paint=8, heads=2)
    dynamics = ConvDynamics(DOOM.to_dict(), coder.channels, coder.grid, **size)
    card = dict(dataset="toy_frames", tokenizer="coder/tokenizer", tokenizer_hash=model_hash(coder))
    save_model(house/"checkpoints/slow/dynamics/step_000000", dynamics, card)
    asked = dict(checkpoint="slow/dynamics", K=[6, 7, 8], horizon=2, shown=4)

    process = launch("run", NOTEBOOKS/"evaluate.ipynb", "--name", "asked", **asked)
    log = house/"outputs/asked/log.txt"
    wait_for(lambda: log.exists() and b"evaluate" in log.read_bytes(), "the first windows", process)
    process.send_signal(signal.SIGTERM)
    assert "asked stopped" in ended(process)
    run = Run(house/"outputs/asked")
    stopped = run.result()
    assert run.status == "stopped" and stopped["stopped"]
    assert stopped["missing"]["speed"] == "stopped on request"
    assert (run.folder/"report.html").exists() and (run.folder/"media/dream.mp4").exists()

    ended(launch("run", "--resume", "asked"))
    found = run.result()
    assert run.status == "done" and not found["stopped"] and found["missing"] == {}
    assert stopped["windows"] <= found["windows"] and "speed" in found


@pytest.mark.slow
def test_sweep_names_the_member_that_failed(house, launch, monkeypatch, capsys):
    grid = "grid:\n  model: [{width: 8}, {width: 8, fine: 64}]\n"
    (house/"sweep.yaml").write_text("base: {dataset: toy, steps: 6, batch: 4}\n" + grid)
    sweep = "sweep", NOTEBOOKS/"train_tokenizer.ipynb", "-f", "sweep.yaml", "--name", "two"
    ended(launch(*sweep), 1)
    monkeypatch.chdir(house)
    assert main(["runs", "--compare", "two"]) == 0
    _, *rows = capsys.readouterr().out.strip().split("\n")
    assert [row.split()[1] for row in rows] == ["done", "failed"]
    assert "64 x 64 are smaller than a token of 128 pixels" in rows[1]
    assert Run.open("two_000").result()["psnr"] > 0

# ---- configurations


def notebook_of(config):
    "train_tokenizer_vq.yaml is for train_tokenizer.ipynb."
    fits = [n for n in NOTEBOOKS.glob("*.ipynb") if f"{config.stem}_".startswith(f"{n.stem}_")]
    return max(fits, key=lambda n: len(n.stem))


@pytest.mark.parametrize("config", sorted((ROOT/"configs").glob("*.yaml")), ids=lambda f: f.stem)
def test_config_fits_its_notebook(config):
    notebook = notebook_of(config)
    params = check_params(notebook, read_yaml(config))
    if notebook.stem == "train_tokenizer":
        TOKENIZERS[params["kind"]](tuple(params["size"] or (144, 256)), **params["model"])
    if notebook.stem == "train_tokens":
        setup = TokenSetup.from_params(params)
        with torch.device("meta"):
            model = setup.maker(DOOM, SimpleNamespace(codes=1024, grid=(18, 32)))()
        model.check_sampling(setup.sampling)
        TokenTerms(**params["terms"]), OwnSamples(**params["own"])
        lengths = Lengths(**dict(short=16) | params["lengths"])
        Recipe(params["steps"], lr=params["lr"], lengths=lengths, **params["recipe"])
    if notebook.stem == "train_dynamics":
        kind = DYNAMICS[params["kind"]]
        given = dict(SIZES[params["scale"]] if params["scale"] else {}) | params["model"]
        with torch.device("meta"):
            kind.make(DOOM.to_dict(), 48, (8, 8), 4, **kind.model | given)
        NoiseSchedule(**kind.schedule | params["schedule"])
        lengths = Lengths(**dict(short=4) | params["lengths"])
        Recipe(params["steps"], lr=params["lr"], lengths=lengths, **params["recipe"])
