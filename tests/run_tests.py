"""All tests, in the order in which they are cheap: `make test`. The last line is `N passed, M failed`; exit code 1 unless M is 0."""
import contextlib
import filecmp
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
ENVIRONMENT = os.environ | dict(OMP_NUM_THREADS="1", PYTHONUNBUFFERED="1", PATH=f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}")
LIMIT = 400  # seconds for a notebook or a file of tests; a blocking call outlives nbdev's own limit per cell
running = set()


def start(command, **options):
    "A process in its own session, so that its kernels and workers can be ended with it."
    process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, errors="replace", env=ENVIRONMENT, start_new_session=True, **{"cwd": ROOT} | options)
    running.add(process)
    return process


def end(process):
    with contextlib.suppress(ProcessLookupError): os.killpg(process.pid, signal.SIGKILL)
    running.discard(process)


def run(command, limit, **options):
    "Exit code and output; None for the code when the time was over."
    process = start(command, **options)
    try: said, code = process.communicate(timeout=limit)[0], process.returncode
    except subprocess.TimeoutExpired:
        end(process)
        said, code = process.communicate()[0] + f"\nended after {limit} s", None
    finally: end(process)
    return code, said


def copy_tree(dest):
    "What clean and export read and write, so that the tree itself is never touched."
    skip = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", ".virtual_documents")
    for name in ("nbs", "wmkit"): shutil.copytree(ROOT/name, dest/name, ignore=skip)
    shutil.copy(ROOT/"pyproject.toml", dest)


def changed(dest):
    "The files of the copy that now differ from the tree."
    files = [file for file in sorted(dest.rglob("*")) if file.is_file() and "__pycache__" not in file.parts]
    names = [file.relative_to(dest) for file in files]
    return [str(name) for name in names if not (ROOT/name).exists() or not filecmp.cmp(ROOT/name, dest/name, shallow=False)]


def check(name):
    "Would nbdev's command `name` change a file? What is wrong, or None."
    with tempfile.TemporaryDirectory() as temporary:
        dest = Path(temporary)
        copy_tree(dest)
        code, said = run([BIN/name], 200, cwd=dest)
        if code != 0: return said
        files = changed(dest)
    return f"{name} would change {', '.join(files)}; run it and commit what it writes" if files else None


def lint():
    folders = [name for name in ("nbs", "tests", "benchmarks") if (ROOT/name).exists()]
    code, said = run([BIN/"ruff", "check", "--output-format", "concise", *folders], 100)
    return None if code == 0 else said


def notebooks():
    "The notebooks with code."
    found = [file.relative_to(ROOT) for file in sorted((ROOT/"nbs").rglob("*.ipynb"))]
    found = [file for file in found if not any(part.startswith((".", "_")) for part in file.parts)]
    return [file for file in found if any(cell["cell_type"] == "code" for cell in json.loads((ROOT/file).read_text(encoding="utf-8"))["cells"])]


def test_notebook(file):
    "(what is wrong or None, passed, failed, lines about what was not run)"
    code, said = run([BIN/"nbdev-test", file], LIMIT)
    if code == 0 and "Success." not in said: said += "\nnbdev-test did not run it"
    good = code == 0 and "Success." in said
    return None if good else said, int(good), int(not good), []


def test_file(file):
    "The same of a file of tests."
    with tempfile.TemporaryDirectory() as temporary:
        report = Path(temporary)/"report.xml"
        code, said = run([sys.executable, "-m", "pytest", file, "-p", "no:cacheprovider", "--durations=3", f"--junitxml={report}"], LIMIT)
        cases = list(xml.parse(report).iter("testcase")) if report.exists() else []
    not_run = [line for line in said.splitlines() if line.startswith("NOT RUN")]
    bad = sum(case.find("failure") is not None or case.find("error") is not None for case in cases)
    left_out = [case for case in cases if case.find("skipped") is not None]
    good = code == 0 or (code == 5 and not cases and not_run)  # 5: nothing to run
    not_run += [f"NOT RUN ({case.find('skipped').get('message')}): {case.get('classname')}.{case.get('name')}" for case in left_out]
    return None if good else said, len(cases) - bad - len(left_out), bad or int(not good), not_run


def tell(name, wrong, began, of=""):
    print(f"{'FAILED' if wrong else 'ok':6} {name:34} {time.monotonic() - began:6.1f} s{of}", flush=True)
    if wrong: print(f"{wrong.strip()}\n", flush=True)
    return not wrong


def run_checks():
    "Whether each check of the tree as a whole passed."
    results = []
    for name, call in dict(ruff=lint, clean=lambda: check("nbdev-clean"), export=lambda: check("nbdev-export")).items():
        began = time.monotonic()
        results.append(tell(f"{name} check", call(), began))
    return results


def run_files():
    "(passed, failed, lines about what was not run) of each notebook and each file of tests, two at a time, those first that take longest."
    files = [file.relative_to(ROOT) for file in sorted((ROOT/"tests").rglob("test_*.py"))]
    found = sorted([*files, *notebooks()], key=lambda file: (file.suffix == ".ipynb") + (file.suffix == ".ipynb" and len(file.parts) == 2))
    def one(file):
        began = time.monotonic()
        wrong, passed, failed, not_run = (test_file if file.suffix == ".py" else test_notebook)(file)
        tell(str(file), wrong, began, f", {passed} passed" if file.suffix == ".py" else "")
        return passed, failed, not_run
    with ThreadPoolExecutor(2) as pool: return list(pool.map(one, found))


def main():
    began = time.monotonic()
    results = run_checks()
    files = run_files()
    passed, failed = results.count(True) + sum(f[0] for f in files), results.count(False) + sum(f[1] for f in files)
    print(f"\n{passed + failed} checks, notebooks and tests in {(time.monotonic() - began) / 60:.1f} minutes")
    for line in [line for f in files for line in f[2]]: print(line)
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


def stop(number, frame):
    "End every process with its kernels and workers, and do not wait for the queue."
    for process in list(running): end(process)
    os._exit(128 + number)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, stop)
    sys.exit(main())
