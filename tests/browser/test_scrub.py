"""The scrubber as people meet it: in JupyterLab, in a saved notebook, in a page on a disk.

The notebooks are opened one after the other, so the tests of the live one come first.
"""
import json
import os
import shutil
import subprocess
import sys
import time

import pytest
from clip import CONTEXT, LENGTH, notebook, scrubber

from wmkit.runs import Run
from wmkit.widgets.scrub import scrub_html

ROOT = ".wmkit-scrub"


def frame(page): return int(page.get_attribute(ROOT, "data-frame"))
def playing(page): return page.get_attribute(ROOT, "data-playing") == "true"
def ready(page): page.wait_for_selector(f"{ROOT}[data-ready]")
def focus(page): page.locator(f"{ROOT} .head").first.click()


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def shown(page, number):
    "Wait until the lanes are painted at this frame."
    page.wait_for_selector(f"{ROOT}[data-shown='{number}']")


PAINTED = """until => new Promise(done => {
  const root = document.querySelector('.wmkit-scrub'), seen = new Set();
  let last = -1, rounds = 0, painted = 0;
  const look = () => {
    const now = Number(root.dataset.shown);
    seen.add(now);
    rounds += now < last;
    last = now;
    painted += 1;
    const over = seen.size > until.frames && rounds >= until.rounds && painted > until.painted;
    over ? done(true) : requestAnimationFrame(look);
  };
  look();
})"""


def goes_on(page, frames=5, rounds=0):
    "Wait until so many different frames were painted, and it began anew so many times."
    page.evaluate(PAINTED, dict(frames=frames, rounds=rounds, painted=0))


def paints(page, times=20):
    "Wait until the browser has painted so many times, whatever it shows."
    page.evaluate(PAINTED, dict(frames=0, rounds=0, painted=times))


def until(true, seconds=20):
    "Ask until it is true; each question waits for its answer."
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "this did not become true in time"


def colour(page, lane, x, y):
    "The pixel of the lane's canvas, which has the frame's own size."
    return page.evaluate("""([lane, x, y]) => {
      const canvas = document.querySelectorAll('.wmkit-scrub canvas')[lane];
      return [...canvas.getContext('2d').getImageData(x, y, 1, 1).data].slice(0, 3);
    }""", [lane, x, y])


@pytest.fixture(scope="module")
def live(lab, books):
    "The scrubber of a notebook that was run in JupyterLab."
    code = "from clip import scrubber\nshown = scrubber()\nshown"
    notebook(books/"live.ipynb", "# A dream", code, "# The end")
    opened = lab("live.ipynb")
    opened.command("notebook:run-all-cells")
    ready(opened.page)
    return opened


def test_it_renders_in_jupyterlab(live, shots):
    page = live.page
    names = page.locator(f"{ROOT} .lane .head > span:first-child").all_inner_texts()
    assert names == ["truth", "dream", "error ×4"]
    assert page.locator(f"{ROOT} .badge").inner_text() == "context"
    truth, dream = (scrubber().lanes[name] for name in ("truth", "dream"))
    focus(page)
    press(page, "End")
    shown(page, LENGTH - 1)
    assert page.locator(f"{ROOT} .badge").inner_text() == "dream"
    for lane, frames in enumerate((truth, dream)):  # the browser shows the very pixels
        assert colour(page, lane, 20, 40) == frames[LENGTH - 1, :, 40, 20].tolist()
    page.screenshot(path=shots/"lab_light.png")


def test_play_advances_and_space_stops_it(live):
    page = live.page
    focus(page)
    press(page, "Home", "Space")
    goes_on(page)
    assert playing(page)
    press(page, "Space")
    stopped = frame(page)
    assert not playing(page) and 0 < stopped < LENGTH
    paints(page)
    assert frame(page) == stopped
    page.locator(f"{ROOT} button.play").click()  # the button does what the key does
    goes_on(page, 3)
    page.locator(f"{ROOT} button.play").click()
    assert not playing(page)


def test_play_keeps_time_and_stops_at_the_end_without_loop(live):
    page = live.page
    focus(page)
    page.select_option(f"{ROOT} select", "60")
    press(page, "l", "Home", "Space")
    page.wait_for_selector(f"{ROOT}[data-playing='false']")
    assert frame(page) == LENGTH - 1
    press(page, "l", "Space")  # from the end it starts again, and goes round
    goes_on(page, rounds=2)
    assert playing(page)
    press(page, "Space")
    assert live.kernel("print(shown.loop, shown.fps)") == "True 60.0"


def test_keys_move_the_cursor_and_touch_no_cell(live):
    page, sources = live.page, live.sources()
    page.locator(f"{ROOT} button.next").click()
    press(page, "Home")  # a click on a button leaves the keys with the widget
    last = LENGTH - 1
    moves = [("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", last),
             ("ArrowRight", last), ("Home", 0), ("ArrowLeft", 0)]
    for key, wanted in moves:
        press(page, key)
        assert frame(page) == wanted, key
    press(page, *"ddabxm", "Enter", "ArrowRight", "ArrowDown", "j")
    paints(page)
    assert live.sources() == sources
    assert frame(page) == 1  # the widget still has the focus


def test_a_click_on_the_strip_seeks(live):
    page = live.page
    box = page.locator(f"{ROOT} .plot").bounding_box()
    def x(number): return box["x"] + box["width"]*number/LENGTH
    for wanted in (30, CONTEXT - 1, CONTEXT, LENGTH - 1, 0):
        page.mouse.click(x(wanted + .5), box["y"] + box["height"]/2)
        assert frame(page) == wanted
        badge = "dream" if wanted >= CONTEXT else "context"
        assert page.locator(f"{ROOT} .badge").inner_text() == badge
    places = [page.locator(f"{ROOT} .{name}").bounding_box()["x"] for name in ("cursor", "border")]
    assert abs(places[0] + 1 - x(.5)) < 1.5
    assert abs(places[1] - x(CONTEXT)) < 1.5
    page.mouse.move(box["x"] + 5, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(x(20.5), box["y"] + 10, steps=4)
    page.mouse.up()
    assert frame(page) == 20


def test_the_overlay_shows_the_action_of_the_frame(live):
    page, actions = live.page, scrubber().actions
    lit_keys = "nodes => nodes.map(n => n.dataset.channel)"
    focus(page)
    press(page, "Home")
    for at in (0, 1, 2, 3, 4, 11, 12):
        while frame(page) < at:
            press(page, "ArrowRight")
        lit = set(page.locator(f"{ROOT} .action .lit").evaluate_all(lit_keys))
        assert lit == {name for name, i in (("forward", 0), ("attack", 6)) if actions[at][i]}
        yaw, words = actions[at][7], page.locator(f"{ROOT} .words").inner_text()
        assert f"yaw {yaw:+.1f}°" in words or not yaw
    press(page, "k")
    assert not page.locator(f"{ROOT} .action").is_visible()
    press(page, "k")


def test_the_frame_reaches_the_kernel_and_comes_back(live):
    page = live.page
    live.kernel("seen = []; shown.observe(lambda change: seen.append(change['new']), 'frame')")
    focus(page)
    press(page, "Home", *["ArrowRight"]*7)
    until(lambda: live.kernel("print(shown.frame, seen[-1:])") == "7 [7]")
    live.kernel("shown.frame = 33")
    shown(page, 33)


IS_DARK = """() => {
  const style = getComputedStyle(document.querySelector('.wmkit-scrub'));
  const light = colour => colour.match(/[\\d.]+/g).slice(0, 3).reduce((a, b) => a + +b, 0) > 384;
  return light(style.color) && !light(style.backgroundColor);
}"""


def test_it_looks_right_in_the_dark(live, shots):
    page = live.page
    focus(page)
    live.command("apputils:change-theme", theme="JupyterLab Dark")
    page.wait_for_selector("body[data-jp-theme-light='false']", state="attached")
    page.wait_for_function(IS_DARK)
    page.screenshot(path=shots/"lab_dark.png")
    live.command("apputils:change-theme", theme="JupyterLab Light")
    page.wait_for_selector("body[data-jp-theme-light='true']", state="attached")
    page.wait_for_function(f"() => !({IS_DARK})()")


def test_a_notebook_saved_in_jupyterlab_plays(live, lab, books):
    live.kernel("shown.frame = 21")
    shown(live.page, 21)
    live.command("docmanager:save")
    # another name: not the session that made it
    shutil.copy(books/"live.ipynb", books/"saved.ipynb")
    opened = lab("saved.ipynb")
    ready(opened.page)
    shown(opened.page, 21)
    focus(opened.page)
    press(opened.page, "Space")
    goes_on(opened.page, 3)
    assert opened.kernel("print('shown' in globals())") == "False"


def test_a_run_notebook_plays_with_nothing_run(lab, executed, shots):
    executed()
    opened = lab("executed.ipynb")
    page, counts = opened.page, opened.execution_counts()
    ready(page)
    focus(page)
    press(page, "Space")
    goes_on(page)
    press(page, "Space")
    page.screenshot(path=shots/"lab_executed.png")
    assert opened.execution_counts() == counts
    assert opened.kernel("print('shown' in globals())") == "False"  # this kernel has run nothing


def test_an_untrusted_notebook_shows_the_still(lab, executed, books, shots):
    book = json.loads(executed().read_text())
    book["cells"][0]["source"] = "# Not mine"  # no longer what was signed
    (books/"foreign.ipynb").write_text(json.dumps(book))
    page = lab("foreign.ipynb").page
    page.wait_for_selector(".jp-OutputArea img")
    assert page.locator(ROOT).count() == 0
    page.screenshot(path=shots/"lab_untrusted.png")


def test_without_chromium_they_are_left_out_and_it_is_said():
    # a process of its own, without the plugins that it does not need
    plain = dict(WMKIT_CHROMIUM="no-such-chromium", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only"]
    result = subprocess.run([*command, os.path.dirname(__file__)], capture_output=True, text=True,
                            env=os.environ | plain, timeout=60)
    output = result.stdout
    assert "NOT RUN (no Chromium found): " in output and " browser tests" in output, result
    assert "skipped" not in output and "failed" not in output


def saved_page(folder):
    scrubber().save_html(folder/"dream.html")
    return folder/"dream.html"


def report_page(folder):
    return Run.create("shown", root=folder).page("A report", "<p>words</p>", scrub_html(scrubber()))


@pytest.mark.parametrize("make", [saved_page, report_page])
def test_a_saved_page_plays_offline(browser, tmp_path, shots, make):
    file = make(tmp_path)
    context = browser.new_context(offline=True, viewport=dict(width=900, height=640))
    page, asked, wrong = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text))
    page.goto(file.as_uri())
    ready(page)
    focus(page)
    press(page, "Space")
    goes_on(page)
    press(page, "Space", "End")
    shown(page, LENGTH - 1)
    page.screenshot(path=shots/f"{make.__name__}.png")
    assert asked == [file.as_uri()] and wrong == []
    context.close()
