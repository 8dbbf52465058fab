"""The scrubber as people meet it: in JupyterLab, in a saved notebook, in a page on a disk."""
import json
import os
import shutil
import subprocess
import sys

import pytest
from clip import CONTEXT, LENGTH, notebook, scrubber

ROOT = ".wmkit-scrub"


def frame(page): return int(page.get_attribute(ROOT, "data-frame"))
def playing(page): return page.get_attribute(ROOT, "data-playing") == "true"


def ready(page): page.wait_for_selector(f"{ROOT}[data-ready]")


def focus(page): page.locator(f"{ROOT} .head").first.click()


def shown(page, number):
    "Wait until the lanes are painted at this frame."
    page.wait_for_selector(f"{ROOT}[data-shown='{number}']")


def goes_on(page, frames=5):
    "Wait until this many different frames have been painted while it plays."
    page.wait_for_function("""frames => new Promise(done => {
        const root = document.querySelector('.wmkit-scrub'), seen = new Set();
        const look = () => { seen.add(root.dataset.shown); seen.size > frames ? done(true) : requestAnimationFrame(look); };
        look(); })""", arg=frames)


def colour(page, lane, x, y):
    "The pixel of the lane's canvas, which has the frame's own size."
    return page.evaluate("""([lane, x, y]) => [...document.querySelectorAll('.wmkit-scrub canvas')[lane]
        .getContext('2d').getImageData(x, y, 1, 1).data].slice(0, 3)""", [lane, x, y])


@pytest.fixture(scope="module")
def live(lab, books):
    "The scrubber of a notebook that was run in JupyterLab."
    notebook(books / "live.ipynb", "# A dream", "from clip import scrubber\nshown = scrubber()\nshown", "# The end")
    opened = lab("live.ipynb")
    opened.run()
    ready(opened.page)
    return opened


def test_it_renders_in_jupyterlab(live, shots):
    page = live.page
    assert page.locator(f"{ROOT} .lane .head > span:first-child").all_inner_texts() == ["truth", "dream", "error ×4"]
    assert page.locator(f"{ROOT} .badge").inner_text() == "context"
    truth, dream = (scrubber().lanes[name] for name in ("truth", "dream"))
    focus(page)
    page.keyboard.press("End")
    shown(page, LENGTH - 1)
    assert page.locator(f"{ROOT} .badge").inner_text() == "dream"
    for lane, frames in enumerate((truth, dream)):  # the browser shows the very pixels
        assert colour(page, lane, 20, 40) == frames[LENGTH - 1, :, 40, 20].tolist()
    page.screenshot(path=shots / "lab_light.png")


def test_play_advances_and_space_stops_it(live):
    page = live.page
    focus(page)
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    goes_on(page)
    assert playing(page)
    page.keyboard.press("Space")
    stopped = frame(page)
    assert not playing(page) and 0 < stopped < LENGTH
    page.wait_for_timeout(300)
    assert frame(page) == stopped
    page.locator(f"{ROOT} button.play").click()  # the button does what the key does
    goes_on(page, 3)
    page.locator(f"{ROOT} button.play").click()
    assert not playing(page)


def test_play_keeps_time_and_stops_at_the_end_without_loop(live):
    page = live.page
    focus(page)
    page.select_option(f"{ROOT} select", "60")
    page.keyboard.press("l")
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    page.wait_for_function(f"() => document.querySelector('{ROOT}').dataset.playing === 'false'")
    assert frame(page) == LENGTH - 1
    page.keyboard.press("l")
    page.keyboard.press("Space")  # from the end it starts again, and goes round
    page.wait_for_timeout(1500)
    assert playing(page)
    page.keyboard.press("Space")
    assert live.kernel("print(shown.loop, shown.fps)") == "True 60.0"


def test_keys_move_the_cursor_and_touch_no_cell(live):
    page, cells = live.page, live.cells()
    page.locator(f"{ROOT} button.next").click()  # a click on a button leaves the keys with the widget
    page.keyboard.press("Home")
    for key, wanted in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", LENGTH - 1), ("ArrowRight", LENGTH - 1), ("Home", 0), ("ArrowLeft", 0)):
        page.keyboard.press(key)
        assert frame(page) == wanted, key
    for key in ("d", "d", "a", "b", "x", "m", "Enter", "ArrowRight", "ArrowDown", "j"): page.keyboard.press(key)
    page.wait_for_timeout(300)
    assert live.cells() == cells
    assert frame(page) == 1  # the widget still has the focus


def test_a_click_on_the_strip_seeks(live):
    page = live.page
    box = page.locator(f"{ROOT} .plot").bounding_box()
    for wanted in (30, CONTEXT - 1, CONTEXT, LENGTH - 1, 0):
        page.mouse.click(box["x"] + box["width"] * (wanted + 0.5) / LENGTH, box["y"] + box["height"] / 2)
        assert frame(page) == wanted
        assert page.locator(f"{ROOT} .badge").inner_text() == ("dream" if wanted >= CONTEXT else "context")
    cursor, border = (page.locator(f"{ROOT} .{name}").bounding_box() for name in ("cursor", "border"))
    assert abs(cursor["x"] + 1 - box["x"] - box["width"] * 0.5 / LENGTH) < 1.5
    assert abs(border["x"] - box["x"] - box["width"] * CONTEXT / LENGTH) < 1.5
    page.mouse.move(box["x"] + 5, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 20.5 / LENGTH, box["y"] + 10, steps=4)
    page.mouse.up()
    assert frame(page) == 20


def test_the_overlay_shows_the_action_of_the_frame(live):
    page, actions = live.page, scrubber().actions
    focus(page)
    page.keyboard.press("Home")
    for at in (0, 1, 2, 3, 4, 11, 12):
        while frame(page) < at: page.keyboard.press("ArrowRight")
        lit = set(page.locator(f"{ROOT} .action .lit").evaluate_all("nodes => nodes.map(n => n.dataset.channel)"))
        assert lit == {name for name, column in (("forward", 0), ("attack", 6)) if actions[at][column]}
        assert f"yaw {actions[at][7]:+.1f}°" in page.locator(f"{ROOT} .words").inner_text() or not actions[at][7]
    page.keyboard.press("k")
    assert not page.locator(f"{ROOT} .action").is_visible()
    page.keyboard.press("k")


def test_the_frame_reaches_the_kernel_and_comes_back(live):
    page = live.page
    live.kernel("heard = []; shown.observe(lambda change: heard.append(change['new']), 'frame')")
    focus(page)
    page.keyboard.press("Home")
    for _ in range(7): page.keyboard.press("ArrowRight")
    for _ in range(50):
        if live.kernel("print(shown.frame, heard[-1:])") == "7 [7]": break
        page.wait_for_timeout(100)
    else: pytest.fail("the kernel never heard of frame 7: " + live.kernel("print(shown.frame, heard)"))
    live.kernel("shown.frame = 33")
    shown(page, 33)


def test_it_looks_right_in_the_dark(live, shots):
    page = live.page
    focus(page)
    page.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Dark' })")
    page.wait_for_selector("body[data-jp-theme-light='false']", state="attached")
    page.wait_for_timeout(500)
    ink, paper = page.evaluate(f"() => {{ const s = getComputedStyle(document.querySelector('{ROOT}')); return [s.color, s.backgroundColor]; }}")
    page.screenshot(path=shots / "lab_dark.png")
    page.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Light' })")
    page.wait_for_selector("body[data-jp-theme-light='true']", state="attached")
    light = lambda text: sum(map(float, text.split("(")[1].rstrip(")").split(",")[:3])) > 384
    assert light(ink) and not light(paper)


def test_a_run_notebook_plays_with_nothing_run(lab, executed, shots):
    executed()
    opened = lab("executed.ipynb")
    page, counts = opened.page, opened.execution_counts()
    ready(page)
    focus(page)
    page.keyboard.press("Space")
    goes_on(page)
    page.keyboard.press("Space")
    page.screenshot(path=shots / "lab_executed.png")
    assert opened.execution_counts() == counts
    assert opened.kernel("print('shown' in globals())") == "False"  # this kernel has run nothing


def test_a_notebook_saved_in_jupyterlab_plays(live, lab, books):
    live.kernel("shown.frame = 21")
    shown(live.page, 21)
    live.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    shutil.copy(books / "live.ipynb", books / "saved.ipynb")  # another name: not the session that made it
    opened = lab("saved.ipynb")
    ready(opened.page)
    shown(opened.page, 21)
    focus(opened.page)
    opened.page.keyboard.press("Space")
    goes_on(opened.page, 3)
    assert opened.kernel("print('shown' in globals())") == "False"


def test_an_untrusted_notebook_shows_the_still(lab, executed, books, shots):
    book = json.loads(executed().read_text())
    book["cells"][0]["source"] = "# Not mine"  # no longer what was signed
    (books / "foreign.ipynb").write_text(json.dumps(book))
    page = lab("foreign.ipynb").page
    page.wait_for_selector(".jp-OutputArea img")
    assert page.locator(ROOT).count() == 0
    page.screenshot(path=shots / "lab_untrusted.png")


def test_without_chromium_they_are_left_out_and_it_is_said():
    here = os.path.dirname(__file__)
    told = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", here], capture_output=True, text=True,
                          env=os.environ | dict(WMKIT_CHROMIUM="no-such-chromium"), timeout=60).stdout
    assert "NOT RUN (no Chromium found): " in told and " browser tests" in told
    assert "skipped" not in told and "failed" not in told


def test_a_saved_page_plays_offline(browser, tmp_path, shots):
    scrubber().save_html(tmp_path / "dream.html")
    context = browser.new_context(offline=True, viewport=dict(width=900, height=640))
    page, asked, wrong = context.new_page(), [], []
    page.set_default_timeout(10_000)
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text))
    page.goto((tmp_path / "dream.html").as_uri())
    ready(page)
    focus(page)
    page.keyboard.press("Space")
    goes_on(page)
    page.keyboard.press("Space")
    page.keyboard.press("End")
    shown(page, LENGTH - 1)
    page.screenshot(path=shots / "page.png")
    assert asked == [(tmp_path / "dream.html").as_uri()] and wrong == []
    context.close()
