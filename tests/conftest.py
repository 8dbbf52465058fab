"""How the tests are run: what takes longest goes first, and under CI nothing may be left out."""
import os
import signal
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]  # wmkit need not be installed

# Whole files and single notebooks that take longest, so that no core idles at the end.
LONGEST = ("test_run_notebooks", "test_fuzz", "test_convert", "test_runs", "test_kills", "browser",
           "quickstart", "open_a_run", "test_import_path", "test_imports", "train_dynamics",
           "test_trainer", "guides")


def pytest_configure():
    "What nohup or a background shell ignores, the commands under test would ignore, too."
    for number, handler in ((signal.SIGHUP, signal.SIG_DFL),
                            (signal.SIGINT, signal.default_int_handler)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)


def _place(item):
    "The rank of an item: its place in `LONGEST`, or after them."
    found = [i for i, name in enumerate(LONGEST) if name in item.nodeid]
    return found[0] if found else len(LONGEST)


def pytest_collection_modifyitems(items):
    "Tests of one file share fixtures and stay on one core; each notebook goes where there is room."
    for item in items:
        if not item.get_closest_marker("xdist_group") and item.path.name != "test_notebooks.py":
            name = "browser" if "browser" in item.path.parts else item.path.name
            item.add_marker(pytest.mark.xdist_group(name))
    items.sort(key=_place)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    "On a CI machine a skipped test is a failed one."
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"every test must run here, but this one was skipped: {report.longrepr}"
