"""One JupyterLab and one Chromium for all browser tests; without a Chromium they are left out."""
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(HERE)]  # wmkit need not be installed

from clip import notebook  # noqa: E402

LEFT_OUT = pytest.StashKey[int]()
WAIT = 60_000  # milliseconds, for anything in the page
SECONDS = 120  # for processes to start or end


def find_chromium():
    "Path of a Chromium or Chrome, or None; WMKIT_CHROMIUM goes first."
    chosen = os.environ.get("WMKIT_CHROMIUM")
    if chosen is not None:
        return shutil.which(chosen)
    names = "chromium", "chromium-browser", "google-chrome"
    return next(filter(None, map(shutil.which, names)), None)


def pytest_collection_modifyitems(config, items):
    if find_chromium():
        return
    left_out = [item for item in items if HERE in item.path.parents]
    if left_out:
        items[:] = [item for item in items if HERE not in item.path.parents]
        config.hook.pytest_deselected(items=left_out)
        config.stash[LEFT_OUT] = len(left_out)


def pytest_terminal_summary(terminalreporter, config):
    if LEFT_OUT in config.stash:
        count = f"{config.stash[LEFT_OUT]} browser tests"
        terminalreporter.write_line(f"NOT RUN (no Chromium found): {count}", yellow=True)


@pytest.fixture(scope="session")
def shots(tmp_path_factory):
    "Where screenshots go: WMKIT_SHOTS, or a temporary folder."
    folder = Path(os.environ.get("WMKIT_SHOTS") or tmp_path_factory.mktemp("shots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_settings(folder):
    "JupyterLab fetches no news, and saves the state of widgets."
    news = dict(fetchNews="false", checkForUpdates=False)
    settings = {"@jupyterlab/apputils-extension/notification": news,
                "@jupyter-widgets/jupyterlab-manager/plugin": dict(saveState=True)}
    for name, value in settings.items():
        file = folder/f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value))


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    "Nothing of the user's JupyterLab is read or changed; kernels find wmkit and these tests."
    config = tmp_path_factory.mktemp("jupyter")
    write_settings(config/"settings")
    paths = [str(ROOT), str(HERE), os.environ.get("PYTHONPATH")]
    folders = dict(JUPYTER_CONFIG_DIR="", JUPYTERLAB_SETTINGS_DIR="settings", IPYTHONDIR="ipython",
                   JUPYTERLAB_WORKSPACES_DIR="workspaces", JUPYTER_DATA_DIR="data",
                   JUPYTER_RUNTIME_DIR="runtime")
    ours = {name: str(config/folder) for name, folder in folders.items()}
    ours |= dict(PYTHONPATH=os.pathsep.join(filter(None, paths)), OMP_NUM_THREADS="1")
    return os.environ | ours


@pytest.fixture(scope="session")
def books(tmp_path_factory):
    "The folder that JupyterLab shows."
    return tmp_path_factory.mktemp("books")


PAPERMILL = """import sys, nbformat, papermill, nbformat.sign as sign
papermill.execute_notebook('plain.ipynb', sys.argv[1], progress_bar=False)
sign.NotebookNotary().sign(nbformat.read(sys.argv[1], 4))"""


@pytest.fixture(scope="session")
def executed(books, environment):
    "Starts papermill on a notebook while JupyterLab starts; call it to wait for the signed result."
    notebook(books/"plain.ipynb", "# A run", "from clip import scrubber\nshown = scrubber()\nshown")
    command = [sys.executable, "-c", PAPERMILL, "executed.ipynb"]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    process = subprocess.Popen(command, cwd=books, env=environment, **pipes)

    def wait():
        if process.returncode is None:
            output, _ = process.communicate(timeout=SECONDS)
            assert process.returncode == 0, output
        return books/"executed.ipynb"
    yield wait
    if process.poll() is None:
        process.kill()


def read_until(process, text):
    "Wait until the process prints a line with `text`; what it prints is read to its end."
    lines, found = [], threading.Event()

    def read():
        for line in process.stdout:
            lines.append(line)
            if text in line:
                found.set()
        found.set()
    threading.Thread(target=read, daemon=True).start()
    if not found.wait(SECONDS) or not any(text in line for line in lines):
        pytest.fail("".join([f"no line with {text!r}:\n", *lines]))


@pytest.fixture(scope="session")
def server(books, environment, executed):
    "Address of a JupyterLab on a free port."
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", f"--port={port}",
               "--ServerApp.port_retries=0", "--IdentityProvider.token=",
               "--ServerApp.disable_check_xsrf=True", "--LabApp.expose_app_in_browser=True",
               f"--ServerApp.root_dir={books}"]
    command = [sys.executable, "-m", "jupyterlab", *options]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    process = subprocess.Popen(command, env=environment, **pipes)
    try:
        read_until(process, "is running at")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()


QUIET = ["--no-sandbox", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run", "--disable-default-apps",
         "--disable-domain-reliability",
         "--disable-features=OptimizationHints,MediaRouter,Translate"]


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=find_chromium(), args=QUIET)
        yield chromium
        chromium.close()


# What was open is closed without a question. A kernel that is not yet there makes JupyterLab ask
# for one in a dialog, so it is awaited.
OPEN = """async path => {
  const app = window.jupyterapp;
  await app.restored;
  for (const widget of [...app.shell.widgets("main")]) {
    await widget.sessionContext?.shutdown();
    widget.dispose();
  }
  const panel = await app.commands.execute("docmanager:open", { path, factory: "Notebook" });
  app.shell.activateById(panel.id);
  await panel.context.ready;
  await panel.sessionContext.ready;
  await panel.sessionContext.session.kernel.info;
}"""
KERNEL = """async code => {
  const panel = window.jupyterapp.shell.currentWidget;
  const future = panel.sessionContext.session.kernel.requestExecute({ code });
  let output = "";
  future.onIOPub = message => {
    if (message.header.msg_type === "stream") output += message.content.text;
  };
  await future.done;
  return output.trim();
}"""
CELLS = "() => window.jupyterapp.shell.currentWidget.content.model.toJSON().cells"


class Lab:
    "JupyterLab in one page of the browser, with one notebook open."
    def __init__(self, page, address):
        self.page = page
        page.set_default_timeout(WAIT)
        page.goto(f"{address}/lab?reset")
        page.wait_for_function("() => window.jupyterapp")

    def open(self, name):
        "Close what is open, with its kernel, and open this notebook with a new one."
        self.page.evaluate(OPEN, name)
        self.page.wait_for_selector(".jp-Notebook .jp-Cell")
        return self

    def command(self, name, **arguments):
        code = "([name, args]) => window.jupyterapp.commands.execute(name, args).then(() => null)"
        self.page.evaluate(code, [name, arguments])

    def kernel(self, code): return self.page.evaluate(KERNEL, code)
    def cells(self): return self.page.evaluate(CELLS)
    def sources(self): return [cell["source"] for cell in self.cells()]
    def execution_counts(self): return [cell.get("execution_count") for cell in self.cells()]


@pytest.fixture(scope="session")
def lab(server, browser):
    "open(name) -> Lab: one page, in which one notebook is open at a time."
    page = browser.new_page(viewport=dict(width=1280, height=960))
    yield Lab(page, server).open
    page.close()
