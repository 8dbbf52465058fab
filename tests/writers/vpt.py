"""VPT and BASALT recordings (openai/Video-Pre-Training): `<name>.mp4` and `<name>.jsonl`, a line a tick of 1/20 s, as MineRL's PlayRecorder writes them:
a tick's picture, inputs and state together, before the inputs act; at the end the last picture once more."""
import json
from pathlib import Path

import numpy as np

from . import Spoilt, cut_off, write_video

DEGREES_A_PIXEL = 360/2400
LETTERS = dict(forward="w", back="s", left="a", right="d", jump="space", sneak="left.shift", sprint="left.control", inventory="e")
NAME = "cheeky-cornflower-setter-02e496ce4abb-20220421-0926{:02}"


def write(folder, play, recordings=2, states=True, gui=None, stuck=None, twice=True, index=False, version="9.0"):
    """Play as VPT recordings; `gui`: (first, end) rows with a screen open, `stuck`: rows with attack stuck from the start,
    `twice`: the last picture once more, `states=False`: stripped as BASALT's; slot 2 by key in row 8, slot 6 by wheel in row 12."""
    folder = Path(folder)/(version if index else "")
    folder.mkdir(parents=True, exist_ok=True)
    rows = len(play["frames"])//recordings
    for number in range(recordings):
        part = slice(number*rows, (number + 1)*rows)
        name = NAME.format(number)
        frames = play["frames"][part]
        write_video(folder/f"{name}.mp4", np.concatenate([frames, frames[-1:]]) if twice else frames, 20)
        lines = tick_lines(play, part, states, gui, stuck)
        (folder/f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (folder/f"{name}-options.json").write_text(json.dumps(dict(windowWidth=1280, windowHeight=720)))
    if index:
        listed = dict(basedir="https://example.org/data/", relpaths=[f"{version}/{NAME.format(n)}" for n in range(recordings)])
        (folder.parent/"index.json").write_text(json.dumps(listed))
    return folder.parent if index else folder


def tick_lines(play, part, states, gui, stuck):
    "The lines of one recording."
    lines, held, buttons_held, yaw, pitch, slot = [], set(), set(), -112.35, 8.1, 0
    for tick, (values, state) in enumerate(zip(play["actions"][part], play["states"][part])):
        action, place = dict(zip(play["names"], values)), dict(zip(play["state_names"], state))
        keys = {f"key.keyboard.{letter}" for name, letter in LETTERS.items() if action.get(name, 0) > .5}
        buttons = {number for number, name in ((0, "attack"), (1, "use")) if action.get(name, 0) > .5}
        new_buttons = buttons - buttons_held
        if stuck is not None and tick < stuck: buttons, new_buttons = buttons | {0}, {0} if tick == 0 else new_buttons - {0}
        if stuck is not None and tick == stuck: buttons, new_buttons = buttons | {0}, new_buttons | {0}  # pressed for real
        dx, dy = (float(round(action[name]/DEGREES_A_PIXEL)) for name in ("yaw", "pitch"))
        opened = gui is not None and gui[0] <= tick < gui[1]
        if tick == 8: keys.add("key.keyboard.2")
        mouse = dict(x=640. + dx, y=360. + dy, dx=dx, dy=dy, scaledX=dx, scaledY=dy, dwheel=float(tick == 12), buttons=sorted(buttons), newButtons=sorted(new_buttons))
        line = dict(mouse=mouse, keyboard=dict(keys=sorted(keys), newKeys=sorted(keys - held), chars=""), isGuiOpen=opened, isGuiInventory=opened, hotbar=slot)
        if states:
            line |= dict(yaw=yaw, pitch=pitch, xpos=float(place["x"]), ypos=float(place["z"]), zpos=float(place["y"]))
            line |= dict(inventory=[dict(type="oak_door", quantity=3)], stats={"minecraft.custom:minecraft.jump": 4})
        lines.append(line | dict(tick=tick, milli=1649575088006 + 50*tick, serverTick=6001 + tick, serverTickDurationMs=36.3))
        held, buttons_held = keys, buttons
        if not opened: yaw, pitch = yaw + dx*DEGREES_A_PIXEL, float(np.clip(pitch + dy*DEGREES_A_PIXEL, -90, 90))
        slot = {8: 1, 12: 5}.get(tick, slot)
    return lines


# ---- damage


def first(folder, ending): return sorted(Path(folder).rglob(f"*{ending}"))[0]


def edit(change):
    "A spoiler that changes the list of lines (objects or text) of the first recording."
    def spoil(folder):
        path = first(folder, ".jsonl")
        lines = [json.loads(text) for text in path.read_text().splitlines()]
        lines = change(lines) or lines
        path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return spoil


def set_mouse(row, **values): return edit(lambda lines: lines[row]["mouse"].update(values))


def scale_mouse(lines):
    for line in lines: line["mouse"].update(dx=line["mouse"]["dx"]*2, dy=line["mouse"]["dy"]*2)


def swap_mouse(lines):
    for line in lines: line["mouse"].update(dx=line["mouse"]["dy"], dy=line["mouse"]["dx"])


def flip_mouse(lines):
    for line in lines: line["mouse"].update(dx=-line["mouse"]["dx"], dy=-line["mouse"]["dy"])


def strip_states(lines):
    for line in lines:
        for key in "yaw pitch xpos ypos zpos".split(): del line[key]


def at_thirty(folder):
    frames = np.random.default_rng(0).integers(0, 255, (30, 64, 64, 3), dtype=np.uint8)
    write_video(first(folder, ".mp4"), frames, 30)


def another_last(folder):
    write_video(first(folder, ".mp4"), np.random.default_rng(0).integers(0, 255, (31, 120, 160, 3), dtype=np.uint8), 20, crf="40")


SPOILT = [
    Spoilt("keys as text", edit(lambda lines: lines[5]["keyboard"].update(keys="key.keyboard.w")), error=r"\.jsonl: line 6: keys is 'key\.keyboard\.w'; expected a list"),
    Spoilt("a mouse of 400 digits", set_mouse(7, dx=10**400), error=r"\.jsonl: line 8: dx"),
    Spoilt("the last picture is no copy", another_last, error=r"\.mp4 has one frame more.*not the last one again"),
    Spoilt("a line is missing", edit(lambda lines: lines[:10] + lines[11:]), error=r"\.jsonl: line 11.*tick 11"),
    Spoilt("a line stands twice", edit(lambda lines: lines[:11] + lines[10:]), error=r"\.jsonl: line 12.*tick 10"),
    Spoilt("a line is no JSON", edit(lambda lines: [*lines[:4], '{"mouse": ', *lines[5:]]), error=r"\.jsonl: line 5\b.*JSON"),
    Spoilt("a line without inputs", edit(lambda lines: lines[3].pop("mouse") and None), error=r"\.jsonl: line 4\b.*mouse"),
    Spoilt("dx is NaN", set_mouse(7, dx=float("nan")), error=r"\.jsonl: line 8\b.*dx"),
    Spoilt("lines end early", edit(lambda lines: lines[:-5]), error=r"\.mp4.*frames.*\.jsonl.*lines"),
    Spoilt("no lines", lambda folder: first(folder, ".jsonl").unlink(), error=r"no .*\.jsonl"),
    Spoilt("no video", lambda folder: first(folder, ".mp4").unlink(), error=r"no .*\.mp4"),
    Spoilt("empty lines file", lambda folder: first(folder, ".jsonl").write_text(""), error=r"\.jsonl.*no line"),
    Spoilt("video cut off", lambda folder: cut_off(first(folder, ".mp4")), error=r"\.mp4"),
    Spoilt("video of no length", lambda folder: first(folder, ".mp4").write_bytes(b""), error=r"\.mp4"),
    Spoilt("30 frames a second", at_thirty, error=r"\.mp4.*30.*20"),
    Spoilt("another mouse scale", edit(scale_mouse), error=r"\.jsonl.*degrees_per_pixel"),
    Spoilt("mouse axes swapped", edit(swap_mouse), error=r"\.jsonl.*dx.*dy"),
    Spoilt("mouse flipped", edit(flip_mouse), error=r"\.jsonl.*-1\.00"),
    Spoilt("states in one recording alone", edit(strip_states), error=r"yaw"),
    Spoilt("the inputs of a tick are null", edit(lambda lines: lines[6].update(mouse=None)), repair=r"1 row.*not known"),
    Spoilt("a turn beyond half a circle", set_mouse(9, dx=5000.), repair=r"1 row.*not known"),
    Spoilt("a paused game", edit(lambda lines: [line.update(milli=line["milli"] + 9000*(n >= 20)) for n, line in enumerate(lines)] and None), repair=r"paused"),
    Spoilt("attack is stuck", edit(lambda lines: [line["mouse"].update(buttons=[0], newButtons=[0]*(n == 0)) for n, line in enumerate(lines)] and None), repair=r"attack"),
]
EXTRA = {}
