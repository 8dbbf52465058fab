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
NOTEBOOK_LIMIT, PYTEST_LIMIT = 400, 600  # seconds; a blocking call outlives nbdev's own limit per cell
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
    "The notebooks with code; run notebooks first, as they take longest."
    found = [file.relative_to(ROOT) for file in sorted((ROOT/"nbs").rglob("*.ipynb"))]
    found = [file for file in found if not any(part.startswith((".", "_")) for part in file.parts)]
    has_code = {file: any(cell["cell_type"] == "code" for cell in json.loads((ROOT/file).read_text(encoding="utf-8"))["cells"]) for file in found}
    return sorted((file for file in found if has_code[file]), key=lambda file: len(file.parts) == 2)


def test_notebook(file):
    code, said = run([BIN/"nbdev-test", file], NOTEBOOK_LIMIT)
    if code == 0 and "Success." not in said: said += "\nnbdev-test did not run it"
    return None if code == 0 and "Success." in said else said


def tell(name, wrong, began):
    print(f"{'FAILED' if wrong else 'ok':6} {name:34} {time.monotonic() - began:6.1f} s", flush=True)
    if wrong: print(f"{wrong.strip()}\n", flush=True)
    return not wrong


def run_checks():
    "Whether each check of the tree as a whole passed."
    results = []
    for name, call in dict(ruff=lint, clean=lambda: check("nbdev-clean"), export=lambda: check("nbdev-export")).items():
        began = time.monotonic()
        results.append(tell(f"{name} check", call(), began))
    return results


def run_notebooks():
    "How many passed and failed; two at a time."
    def one(file):
        began = time.monotonic()
        return tell(str(file), test_notebook(file), began)
    with ThreadPoolExecutor(2) as pool: passed = list(pool.map(one, notebooks()))
    return sum(passed), len(passed) - sum(passed)


def run_pytest():
    "How many passed and failed, and the lines that name what was not run."
    not_run = []
    with tempfile.TemporaryDirectory() as temporary:
        report = Path(temporary)/"report.xml"
        began = time.monotonic()
        process = start([sys.executable, "-m", "pytest", "tests", "-p", "no:cacheprovider", "--durations=5", f"--junitxml={report}"])
        with ThreadPoolExecutor(1) as pool:
            def watch():
                try: process.wait(PYTEST_LIMIT)
                except subprocess.TimeoutExpired:
                    print(f"pytest ended after {PYTEST_LIMIT} s", flush=True)
                    end(process)
            pool.submit(watch)
            for line in process.stdout:
                print(line, end="", flush=True)
                if line.startswith("NOT RUN"): not_run.append(line.strip())
        end(process)
        print(f"pytest took {time.monotonic() - began:.0f} s", flush=True)
        if not report.exists(): return 0, 1, not_run
        cases = list(xml.parse(report).iter("testcase"))
    bad = sum(case.find("failure") is not None or case.find("error") is not None for case in cases)
    left_out = [case for case in cases if case.find("skipped") is not None]
    not_run += [f"NOT RUN ({case.find('skipped').get('message')}): {case.get('classname')}.{case.get('name')}" for case in left_out]
    passed = len(cases) - bad - len(left_out)
    return passed, bad + (process.returncode != 0 and bad == 0), not_run


def main():
    began = time.monotonic()
    results = run_checks()
    books = run_notebooks()
    tests = run_pytest()
    passed, failed = sum(results) + books[0] + tests[0], results.count(False) + books[1] + tests[1]
    print(f"\n{len(results)} checks, {sum(books)} notebooks and {tests[0] + tests[1]} tests in {(time.monotonic() - began) / 60:.1f} minutes")
    for line in tests[2]: print(line)
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


def stop(number, frame):
    "End every process with its kernels and workers, and do not wait for the queue."
    for process in list(running): end(process)
    os._exit(128 + number)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, stop)
    sys.exit(main())
