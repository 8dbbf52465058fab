"""The launcher with real kernels and real signals.

A kernel costs seconds: where only what follows is tested, a plain process executes the cells.
"""
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from fastcore.nbio import mk_cell, new_nb, write_nb

from wmkit import runs
from wmkit.cli import main
from wmkit.files import read_json, write_json
from wmkit.runs import Run, list_runs, run_notebook

PARAMETERS = """\
steps = 20      # how many
delay = 0.01    # seconds a step takes
lr = 0.5
fail = False"""

# what a run notebook does, without torch: continue, loop, log, save, leave gently
TRAIN = """\
import time
from wmkit.files import read_json, write_json
from wmkit.runs import StopFlag, start_run
run = start_run()
state = run.checkpoints/"state.json"
step, value = read_json(state, list) if state.exists() else (0, 1.)
run.rewind(step)
with StopFlag(run.folder) as stop:
    while step < steps and not stop.requested:
        step, value = step + 1, value*lr
        run.log(step=step, value=value)
        print(f"step {step}", flush=True)
        if step % 5 == 0: write_json(state, (step, value))
        if fail and step == 3: raise ValueError("diverged at step 3")
        time.sleep(delay)
write_json(state, (step, value))"""

REPORT = "run.result(dict(step=step, value=value))"

# what papermill does, without a kernel: parameters, the cells one by one, the first error kept
PLAIN = """\
import sys, traceback, yaml
from fastcore.nbio import read_nb, write_nb
source, dest, params = sys.argv[1:]
notebook, values, failed = read_nb(source), {}, False
for cell in notebook.cells:
    try: exec(cell.source, values)
    except Exception as e:
        traceback.print_exc()
        error = dict(output_type="error", ename=type(e).__name__, evalue=str(e), traceback=[])
        cell.outputs, failed = [error], True
        break
    if "parameters" in cell.metadata.get("tags", []): values |= yaml.safe_load(open(params))
write_nb(notebook, dest)
sys.exit(failed)"""


def start_plainly(run, notebook, log):
    "Stands for `runs._start_papermill`."
    files = notebook, run.folder/"notebook.ipynb", run.folder/"params.yaml"
    own = dict(WMKIT_RUN=str(run.folder), WMKIT_LAUNCHER=str(os.getpid()))
    return subprocess.Popen([sys.executable, "-c", PLAIN, *map(str, files)], stdout=log, stderr=log,
                            start_new_session=True, env=os.environ | own)


@pytest.fixture
def house(tmp_path, monkeypatch):
    "A working tree of its own with one run notebook."
    (tmp_path/"settings.ini").write_text("[paths]\noutputs = outputs\n")
    (tmp_path/"nbs/runs").mkdir(parents=True)
    tagged = mk_cell(PARAMETERS, metadata=dict(tags=["parameters"]))
    kernel = dict(display_name="python3", language="python", name="python3")
    notebook = new_nb([tagged, mk_cell(TRAIN), mk_cell(REPORT)], meta=dict(kernelspec=kernel))
    write_nb(notebook, tmp_path/"nbs/runs/train.ipynb")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def launch():
    "Start `wmkit ...` as a process; what a failing test leaves is killed."
    started = []

    def launch(*args, largest=None):
        limit = f"resource.setrlimit(resource.RLIMIT_FSIZE, ({largest}, -1)); " if largest else ""
        program = f"import resource, sys; {limit}from wmkit.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", program, *args]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True))
        return started[-1]
    yield launch
    for process in started:
        process.kill()
        process.wait()


def wait_for(condition, what, seconds=600):
    "Poll until `condition()` is true."
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(.05)


def started(name, steps=7):
    "The run, once it has logged so many steps."
    def ready():
        begun = Path("outputs", name, "run.json").exists()
        return begun and len(Run.open(name).metrics()) >= steps
    wait_for(ready, f"{name} to train")
    return Run.open(name)


def said(process):
    return process.communicate(timeout=600)[0]


def record(steps, lr=.5):
    "The metrics of a run that nobody interrupted."
    return [dict(step=i, value=lr**i) for i in range(1, steps + 1)]


REFUSED = [(dict(step=1), "no parameter 'step'; it has steps, delay, lr, fail"),
           (dict(steps="many"), "steps = 'many' is text"),
           (dict(steps=2.5), "is float, but its default 20 is int"),
           (dict(lr="1e-4"), "write 1.0e-4")]


def test_refused_before_anything_starts(house, capsys):
    for params, message in REFUSED:
        with pytest.raises(ValueError) as refused:
            run_notebook("train", params)
        assert message in str(refused.value)
    assert not Path("outputs").exists()
    Run.create("taken")
    assert main(["run", "train", "--name", "taken"]) == 2
    assert "--resume taken" in capsys.readouterr().err
    files = sorted(f.name for f in Path("outputs/taken").iterdir())
    assert files == ["params.yaml", "run.json"]


def create(_): return Run.create(notebook="train.ipynb").name


def test_names_of_runs_that_begin_together(house):
    with ProcessPoolExecutor(4) as pool:
        names = list(pool.map(create, range(20)))
    assert len(set(names)) == 20
    assert len(list_runs()) == 20


def test_stop_gently_and_continue(house, launch):
    process = launch("run", "train", "--name", "gentle", "-p", "delay", "0.05", "-p", "steps", "60")
    run = started("gentle")
    assert run.status == "running"
    assert main(["run", "--resume", "gentle"]) == 2  # still running
    process.send_signal(signal.SIGTERM)
    output = said(process)
    assert process.returncode == 0, output
    assert "step 7\n" in output and "gentle stopped" in output
    assert run.status == "stopped"
    stopped_at = run.result()["step"]  # the cell after the loop ran
    assert 7 <= stopped_at < 60
    assert read_json(run.checkpoints/"state.json", list)[0] == stopped_at

    shutil.move("outputs/gentle", "elsewhere")  # to another disk, and linked back
    Path("outputs/gentle").symlink_to(house/"elsewhere")
    assert run_notebook(None, dict(steps=60), str(house/"elsewhere"), resume=True) == 0
    assert run.status == "done"
    assert run.metrics() == record(60)
    assert [s["status"] for s in run.info["sessions"]] == ["stopped", "done"]
    assert run.result() == dict(step=60, value=.5**60)
    assert (run.folder/"notebook.1.ipynb").exists()
    assert f"step {stopped_at + 1}\n" in (run.folder/"log.txt").read_text()
    assert main(["run", "--resume", "gentle"]) == 2  # done

    import nbformat
    from nbformat.sign import NotebookNotary
    notebook = nbformat.read(run.folder/"notebook.ipynb", as_version=4)
    assert NotebookNotary().check_signature(notebook)


def test_killed_kernel_and_continue(house, launch, monkeypatch):
    process = launch("run", "train", "--name", "killed", "-p", "delay", "0.05", "-p", "steps", "40")
    run = started("killed")
    os.kill(int((run.folder/"kernel.pid").read_text()), signal.SIGKILL)
    output = said(process)
    assert process.returncode == 1, output
    assert run.status == "failed" and "kernel died" in run.info["error"]
    assert run.result() == {}
    rows, saved = len(run.metrics()), read_json(run.checkpoints/"state.json", list)[0]
    assert 5 <= saved <= rows
    with (run.folder/"metrics.jsonl").open("a") as f:
        f.write('{"step": 9')  # as a kill leaves it

    monkeypatch.setattr(runs, "_start_papermill", start_plainly)
    assert run_notebook("train", None, "killed", resume=True) == 0
    assert run.metrics() == record(40)
    assert run.status == "done" and run.info["error"] is None


def test_killed_launcher_then_two_signals(house, launch):
    slowly = "-p", "delay", "0.05", "-p", "steps", "400"
    process = launch("run", "train", "--name", "orphan", *slowly)
    run = started("orphan")
    process.kill()
    process.wait()
    wait_for(lambda: not run.active, "the kernel to notice and to stop")
    assert run.status == "interrupted"
    stopped_at = run.result()["step"]  # it saved and reported nevertheless
    assert stopped_at == read_json(run.checkpoints/"state.json", list)[0] < 400

    process = launch("run", "--resume", "orphan")
    started("orphan", stopped_at + 3)
    kernel = int((run.folder/"kernel.pid").read_text())
    os.kill(kernel, signal.SIGSTOP)  # a kernel that cannot answer
    process.send_signal(signal.SIGINT)
    wait_for((run.folder/"STOP").exists, "the first signal")
    time.sleep(1.1)  # within a second it would be the same request
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    output = said(process)
    assert process.returncode == 1 and "second signal" in output
    assert run.status == "interrupted" and not run.active


def tree(pid):
    "The process and all its descendants."
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # ended meanwhile
            continue
        parents.setdefault(parent, []).append(int(stat.parent.name))
    found = [pid]
    for process in found:
        found += parents.get(process, [])
    return found


def send(process, *numbers):
    "Signals to every process of a command, as a batch system sends them."
    everybody = tree(process.pid)
    for number in numbers:
        for pid in everybody:
            os.kill(pid, number)
    return len(everybody)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_signals_to_every_process(house, launch, monkeypatch):
    process = launch("run", "train", "--name", "batch", "-p", "delay", "0.05", "-p", "steps", "60")
    wait_for(lambda: len(tree(process.pid)) == 3, "the kernel to start")
    send(process, signal.SIGTERM, signal.SIGTERM)  # `start_run` was not called yet
    output = said(process)
    run = Run.open("batch")
    assert (process.returncode, run.status, run.metrics()) == (0, "stopped", []), output
    assert "TCP" not in output and "WARN" not in output and "ERROR" not in output

    process = launch("run", "--resume", "batch")
    started("batch")
    process.stdout.close()  # the terminal is gone
    assert send(process, signal.SIGHUP, signal.SIGTERM, signal.SIGINT) == 3
    assert process.wait(600) == 0
    assert run.status == "stopped"
    stopped_at = read_json(run.checkpoints/"state.json", list)[0]
    assert 7 <= stopped_at < 60 and len(run.metrics()) == stopped_at
    monkeypatch.setattr(runs, "_start_papermill", start_plainly)
    assert run_notebook(None, None, "batch", resume=True) == 0
    assert run.metrics() == record(60)
    assert not [file.name for file in run.folder.iterdir() if file.name in (".room", "kernel.pid")]


PREPARE = """\
import os, time
from wmkit.runs import StopFlag, start_run
run = start_run()
print("preparing with", os.environ["OMP_NUM_THREADS"], os.environ["WMKIT_PROCESSES"], flush=True)
try:
    for _ in range(600): time.sleep(.1)
finally: print("cleaned up", flush=True)"""


def test_stopped_while_it_prepares(house, launch, monkeypatch):
    "A recording or an encoding that nothing has been trained on: the run ends at once."
    (house/"settings.ini").write_text("[run]\nthreads = 3\n")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    kernel = dict(display_name="python3", language="python", name="python3")
    cells = [mk_cell("size = [64, 64]", metadata=dict(tags=["parameters"])), mk_cell(PREPARE)]
    write_nb(new_nb(cells, meta=dict(kernelspec=kernel)), house/"nbs/runs/slow.ipynb")
    new = "slow", "--name", "slow", "--processes", "2"
    for words, ask in ((new, lambda process: process.send_signal(signal.SIGINT)),
                       (("--resume", "slow"), lambda process: Path("outputs/slow/STOP").touch())):
        log = Path("outputs/slow/log.txt")
        before = log.read_text().count("preparing") if log.exists() else 0
        process = launch("run", *words)
        wait_for(lambda: log.exists() and log.read_text().count("preparing") > before, "the cell")
        asked = time.monotonic()
        ask(process)
        output = said(process)
        assert process.returncode == 0 and time.monotonic() - asked < 30, output
        assert "stopping slow after this step" in output and "cleaned up" in output
        assert "slow stopped after" in output and "TCP" not in output
        assert "preparing with 3 2\n" in output
        run = Run.open("slow")
        assert (run.status, run.info["error"]) == ("stopped", None)


def test_full_disk(house, launch, monkeypatch):
    slow = "-p", "delay", "0", "-p", "steps", "900"
    process = launch("run", "train", "--name", "full", *slow, largest=20_000)
    output, run = said(process), Run.open("full")
    assert process.returncode == 1 and run.status == "failed", output
    assert "DiskFull" in run.info["error"] and "metrics.jsonl" in run.info["error"], output
    assert "takes no file of this size" in output
    lines = (run.folder/"metrics.jsonl").read_bytes().split(b"\n")
    assert lines.pop() == b"" and run.metrics() == record(len(lines))
    monkeypatch.setattr(runs, "_start_papermill", start_plainly)
    assert run_notebook(None, None, "full", resume=True) == 0
    assert run.metrics() == record(900)


def statuses(): return {run.name: run.status for run in list_runs()}


def test_sweep_goes_on_after_a_failure(house, capsys, monkeypatch):
    monkeypatch.setattr(runs, "_start_papermill", start_plainly)
    grid = "grid:\n  lr: [0.5, 0.25]\n  fail: [false, true]\n"
    Path("sweep.yaml").write_text("base:\n  steps: 6\n" + grid)
    # one of the four fails: with lr 0.25 there is nothing to fail at
    path = house/"nbs/runs/train.ipynb"
    once = "if fail and lr == 0.5 and step == 3"
    path.write_text(path.read_text().replace("if fail and step == 3", once))
    assert main(["sweep", "train", "-f", "sweep.yaml", "--name", "four"]) == 1
    assert statuses() == dict(four_000="done", four_001="failed", four_002="done", four_003="done")
    capsys.readouterr()
    # nothing starts: done, and no --retry
    assert main(["sweep", "train", "-f", "sweep.yaml", "--resume", "four"]) == 1
    assert capsys.readouterr().out == ""

    assert main(["runs", "--compare", "four"]) == 0
    header, *rows = capsys.readouterr().out.strip().split("\n")
    assert header.split() == ["run", "status", "lr", "fail", "step", "value", "error"]
    assert "four_001  failed" in rows[1] and "ValueError: diverged at step 3" in rows[1]
    assert rows[3].split() == ["four_003", "done", "0.25", "True", "6", f"{.25**6:.5g}"]
    assert "Traceback" in (Run.open("four_001").folder/"log.txt").read_text()
    Run.open("four_003").update(status="stopped")  # as after a signal to the sweep
    assert main(["sweep", "--resume", "four", "--retry"]) == 1
    sessions = {run.name: [s["status"] for s in run.info["sessions"]] for run in list_runs()}
    assert sessions == dict(four_000=["done"], four_001=["failed", "failed"], four_002=["done"],
                            four_003=["done", "done"])
    assert main(["runs"]) == 0
    assert "diverged at step 3" in capsys.readouterr().out

    (Run.open("four_002").folder/"run.json").write_text("{}")
    assert main(["sweep", "--resume", "four"]) == 1  # goes past it
    assert main(["runs", "--compare", "four"]) == 0
    output = capsys.readouterr().out
    assert "four 3/4: is broken" in output and "four_002  broken" in output
    assert "four_003  done" in output
    assert main(["run", "--resume", "four_002"]) == 2
    assert "run.json: lacks the field 'name'" in capsys.readouterr().err


def test_a_closed_pipe_is_no_error(house):
    Run.create("one")
    program = "import sys; from wmkit.cli import main; sys.exit(main(['runs']))"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait(60) == 141


HOSTILE = "open('executed', 'w').close()"


def test_a_foreign_run_executes_nothing(house, capsys):
    run = Run.create("foreign", dict(steps=1), notebook="nbs/runs/train.ipynb")
    write_nb(new_nb([mk_cell(HOSTILE)]), run.folder/"train.ipynb")
    for name in ("outputs/foreign/train.ipynb", str(run.folder/"train.ipynb"),
                 "nbs/../outputs/foreign/train.ipynb"):
        run.update(notebook=name, status="stopped")
        assert main(["run", "--resume", "foreign"]) == 2
        assert "name it yourself" in capsys.readouterr().err
    assert not Path("executed").exists() and not (run.folder/"log.txt").exists()


def hostile_folder(folder):
    "A run's folder as a stranger may hand it over: settings and notebooks that execute something."
    (folder/"nbs/runs").mkdir(parents=True, exist_ok=True)
    (folder/"settings.ini").write_text("")
    write_nb(new_nb([mk_cell(HOSTILE)]), folder/"nbs/x.ipynb")
    write_nb(new_nb([mk_cell(HOSTILE)]), folder/"nbs/runs/train.ipynb")
    return folder


def test_settings_in_a_foreign_run_are_not_ours(house, monkeypatch, capsys):
    run = Run.create("evil", dict(steps=1), notebook="nbs/x.ipynb")
    run.update(status="interrupted")
    folder = hostile_folder(run.folder)
    shutil.copytree(folder, house/"downloads/evil")
    inner = shutil.copytree(folder, folder/"outputs/inner")
    (inner/"run.json").write_text((folder/"run.json").read_text())
    for place, name, why in ((folder, ".", "its own folder"), (folder, "inner", "name it yourself"),
                             (folder/"nbs", "..", "its own folder"),
                             (house/"downloads/evil", ".", "its own folder")):
        monkeypatch.chdir(place)
        assert main(["run", "--resume", name]) == 2
        assert why in capsys.readouterr().err
    monkeypatch.chdir(folder)
    with pytest.raises(FileNotFoundError):
        runs.find_notebook("train")  # that of the run is not found by its name
    assert not list(house.rglob("executed"))


def test_a_foreign_sweep_executes_nothing(house, monkeypatch, capsys):
    spec, planned = dict(seeds=[0]), [dict(name="s_000", params=dict(seed=0))]
    for folder in (house/"outputs/s", house/"outputs/outer/outputs/s"):
        queue = dict(notebook="nbs/x.ipynb", spec=spec, created=runs.now(), runs=planned)
        write_json(folder/"sweep.json", queue)
    hostile_folder(house/"outputs/outer")  # not a run: a clone among our runs
    hostile_folder(house/"outputs/s")
    (house/"outputs/s/settings.ini").write_text("[paths]\noutputs = ..\n")
    for place in (house/"outputs/outer", house/"outputs/s"):
        monkeypatch.chdir(place)
        assert main(["sweep", "--resume", "s"]) == 2
        err = capsys.readouterr().err
        assert "name it yourself" in err or "its own folder" in err
    assert not list(house.rglob("executed"))


def test_nbs_without_a_clone_is_not_ours(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = Run.create("evil", notebook="nbs/x.ipynb")
    run.update(status="interrupted")
    (tmp_path/"nbs").mkdir()
    write_nb(new_nb([mk_cell(HOSTILE)]), tmp_path/"nbs/x.ipynb")
    assert main(["run", "--resume", "evil"]) == 2
    assert "name it yourself" in capsys.readouterr().err
    package = tmp_path/".venv/site-packages/wmkit"
    (package/"notebooks").mkdir(parents=True)
    monkeypatch.setattr(runs, "_PACKAGE", package)
    tagged = mk_cell(PARAMETERS, metadata=dict(tags=["parameters"]))
    write_nb(new_nb([tagged]), package/"notebooks/packaged.ipynb")
    run.update(notebook=str(runs.find_notebook("packaged")))  # the package's is ours
    with pytest.raises(ValueError, match="new parameters since"):
        run_notebook(None, run="evil", resume=True)


def test_modules_in_a_runs_folder_are_not_imported(house, monkeypatch):
    run = Run.create("evil", notebook="nbs/runs/train.ipynb")
    for name in ("yaml", "papermill", "numpy"):
        (run.folder/f"{name}.py").write_text(HOSTILE)
    monkeypatch.chdir(run.folder)
    with open("log.txt", "wb") as log:
        assert runs._start_papermill(run, house/"gone.ipynb", log).wait(120) != 0
    assert "gone.ipynb" in (run.folder/"log.txt").read_text()
    assert not list(house.rglob("executed"))


def test_a_foreign_run_writes_nowhere_else(house, capsys):
    mine = house/"mine"
    mine.write_text("precious")
    for name in (".room", "log.txt", "media", "deep/x"):
        run = Run.create(f"evil-{Path(name).name.strip('.')}", notebook="nbs/runs/train.ipynb")
        run.update(status="interrupted")
        (run.folder/name).parent.mkdir(exist_ok=True)
        (run.folder/name).symlink_to(mine)
        for notebook in ([], ["train"]):
            assert main(["run", *notebook, "--resume", run.name]) == 2
            assert f"{run.folder/name} is a link to" in capsys.readouterr().err
        (run.folder/name).unlink()
        os.mkfifo(run.folder/name)
        assert main(["run", "--resume", run.name]) == 2
        assert "neither a file nor a folder" in capsys.readouterr().err
    assert mine.read_text() == "precious"
