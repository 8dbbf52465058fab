"""One JupyterLab and one Chromium for all browser tests; without a Chromium they are left out and said to be."""
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(HERE)]  # wmkit need not be installed

from clip import notebook  # noqa: E402

LEFT_OUT = pytest.StashKey[int]()
WAIT = 40_000  # milliseconds, for anything in the page

# A kernel that is not yet there makes JupyterLab ask for one in a dialog, so it is awaited first.
READY = "async () => { const s = window.jupyterapp.shell.currentWidget.sessionContext; await s.ready; await s.session.kernel.info; }"
RUN = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"
KERNEL = """async code => {
  const future = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute({ code });
  let said = "";
  future.onIOPub = message => { if (message.header.msg_type === "stream") said += message.content.text; };
  await future.done;
  return said.trim();
}"""


def find_chromium():
    "Path of a Chromium or Chrome, or None; WMKIT_CHROMIUM goes first."
    chosen = os.environ.get("WMKIT_CHROMIUM")
    if chosen is not None: return shutil.which(chosen)
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def pytest_collection_modifyitems(config, items):
    if find_chromium(): return
    left_out = [item for item in items if HERE in item.path.parents]
    if not left_out: return
    items[:] = [item for item in items if HERE not in item.path.parents]
    config.hook.pytest_deselected(items=left_out)
    config.stash[LEFT_OUT] = len(left_out)


def pytest_terminal_summary(terminalreporter, config):
    if LEFT_OUT in config.stash:
        terminalreporter.write_line(f"NOT RUN (no Chromium found): {config.stash[LEFT_OUT]} browser tests", yellow=True)


@pytest.fixture(scope="session")
def shots(tmp_path_factory):
    "Where screenshots go: WMKIT_SHOTS, or a temporary folder."
    folder = Path(os.environ.get("WMKIT_SHOTS") or tmp_path_factory.mktemp("shots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    "Nothing of the user's JupyterLab is read or changed; kernels find wmkit and these tests."
    config = tmp_path_factory.mktemp("jupyter")
    settings = {"apputils-extension/notification": dict(fetchNews="false", checkForUpdates=False)}
    for name, value in settings.items():
        file = config / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value))
    saved = config / "settings" / "@jupyter-widgets" / "jupyterlab-manager" / "plugin.jupyterlab-settings"
    saved.parent.mkdir(parents=True)
    saved.write_text(json.dumps(dict(saveState=True)))
    path = os.pathsep.join(filter(None, [str(ROOT), str(HERE), os.environ.get("PYTHONPATH")]))
    return os.environ | dict(JUPYTER_CONFIG_DIR=str(config), JUPYTERLAB_SETTINGS_DIR=str(config / "settings"), PYTHONPATH=path,
                             JUPYTERLAB_WORKSPACES_DIR=str(config / "workspaces"), JUPYTER_DATA_DIR=str(config / "data"),
                             JUPYTER_RUNTIME_DIR=str(config / "runtime"), IPYTHONDIR=str(config / "ipython"), OMP_NUM_THREADS="1")


@pytest.fixture(scope="session")
def books(tmp_path_factory):
    "The folder that JupyterLab shows."
    return tmp_path_factory.mktemp("books")


@pytest.fixture(scope="session")
def executed(books, environment):
    "Starts papermill on a notebook in its own process while JupyterLab starts; call it to wait for the signed result."
    notebook(books / "plain.ipynb", "# A run", "from clip import scrubber\nshown = scrubber()\nshown")
    sign = "import nbformat, nbformat.sign as s, sys; s.NotebookNotary().sign(nbformat.read(sys.argv[1], 4))"
    code = f"import papermill, sys; papermill.execute_notebook('plain.ipynb', sys.argv[1], progress_bar=False)\n{sign}"
    process = subprocess.Popen([sys.executable, "-c", code, "executed.ipynb"], cwd=books, env=environment,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def wait():
        said, _ = process.communicate(timeout=120) if process.returncode is None else ("", None)
        assert process.returncode == 0, said
        return books / "executed.ipynb"
    yield wait
    if process.poll() is None: process.kill()


@pytest.fixture(scope="session")
def server(books, environment, executed):
    "Address of a JupyterLab on a free port."
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0",
               "--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True", "--LabApp.expose_app_in_browser=True",
               f"--ServerApp.root_dir={books}"]
    log = books.parent / f"{books.name}.log"
    with open(log, "w") as said:
        process = subprocess.Popen([sys.executable, "-m", "jupyterlab", *options], stdout=said, stderr=subprocess.STDOUT, env=environment)
    try:
        for _ in range(600):
            assert process.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=1)
                break
            except OSError: time.sleep(0.1)
        else: pytest.fail(f"JupyterLab did not answer within a minute:\n{log.read_text()}")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try: process.wait(15)
        except subprocess.TimeoutExpired: process.kill()


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright
    quiet = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
             "--disable-default-apps", "--disable-domain-reliability", "--disable-features=OptimizationHints,MediaRouter,Translate"]
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=find_chromium(), args=quiet)
        yield chromium
        chromium.close()


class Lab:
    "A notebook open in JupyterLab."
    def __init__(self, page, address, name):
        self.page = page
        page.set_default_timeout(WAIT)
        page.goto(f"{address}/lab/tree/{name}?reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel")
        page.evaluate(READY)

    def run(self): self.page.evaluate(RUN)
    def kernel(self, code): return self.page.evaluate(KERNEL, code)
    def cells(self): return self.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.model.toJSON().cells.map(c => c.source)")
    def execution_counts(self):
        return self.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.model.toJSON().cells.map(c => c.execution_count)")


@pytest.fixture(scope="session")
def lab(server, browser):
    "open(name) -> Lab"
    pages = []

    def open_notebook(name):
        pages.append(browser.new_page(viewport=dict(width=1280, height=960)))
        return Lab(pages[-1], server, name)
    yield open_notebook
    for page in pages: page.close()
