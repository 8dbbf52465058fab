"""VPT and BASALT recordings (openai/Video-Pre-Training): `<name>.mp4` and `<name>.jsonl`.

A line a tick of 1/20 s, as MineRL's PlayRecorder writes them: a tick's picture, inputs and state
together, before the inputs act; at the end the last picture once more."""
import json
from pathlib import Path

import numpy as np

from . import Spoilt, cut_off, write_video

DEGREES_A_PIXEL = 360/2400
LETTERS = dict(forward="w", back="s", left="a", right="d", jump="space", sneak="left.shift",
               sprint="left.control", inventory="e")
NAME = "cheeky-cornflower-setter-02e496ce4abb-20220421-0926{:02}"
SLOTS = {8: 1, 12: 5}  # slot 2 by key in row 8, slot 6 by wheel in row 12


def write(folder, play, recordings=2, states=True, gui=None, stuck=None, twice=True, index=False,
          version="9.0"):
    """Play as VPT recordings; `gui`: (first, end) rows with a screen open, `stuck`: rows with
    attack stuck from the start, `twice`: the last picture once more, `states=False`: stripped as
    BASALT's."""
    folder = Path(folder)/(version if index else "")
    folder.mkdir(parents=True, exist_ok=True)
    rows = len(play["frames"])//recordings
    for number in range(recordings):
        part, name = slice(number*rows, (number + 1)*rows), NAME.format(number)
        frames = play["frames"][part]
        shown = np.concatenate([frames, frames[-1:]]) if twice else frames
        write_video(folder/f"{name}.mp4", shown, 20)
        lines = tick_lines(play, part, states, gui, stuck)
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder/f"{name}.jsonl").write_text(text)
        window = dict(windowWidth=1280, windowHeight=720)
        (folder/f"{name}-options.json").write_text(json.dumps(window))
    if index:
        paths = [f"{version}/{NAME.format(n)}" for n in range(recordings)]
        listed = dict(basedir="https://example.org/data/", relpaths=paths)
        (folder.parent/"index.json").write_text(json.dumps(listed))
    return folder.parent if index else folder


def mouse_buttons(action, before, tick, stuck):
    "(buttons that are down, those that went down)."
    down = {number for number, name in ((0, "attack"), (1, "use")) if action.get(name, 0) > .5}
    new = down - before
    if stuck is not None and tick < stuck:
        down, new = down | {0}, {0} if tick == 0 else new - {0}
    if stuck is not None and tick == stuck:  # pressed for real
        down, new = down | {0}, new | {0}
    return down, new


def keys_down(action, tick):
    keys = {f"key.keyboard.{key}" for name, key in LETTERS.items() if action.get(name, 0) > .5}
    return keys | {"key.keyboard.2"} if tick == 8 else keys


class View:
    "Where the player looks; a turn with a screen open does not turn him."
    def __init__(self):
        self.yaw, self.pitch = -112.35, 8.1

    def turn(self, dx, dy):
        self.yaw += dx*DEGREES_A_PIXEL
        self.pitch = float(np.clip(self.pitch + dy*DEGREES_A_PIXEL, -90, 90))


def state_fields(view, place):
    found = dict(yaw=view.yaw, pitch=view.pitch)
    found |= dict(xpos=float(place["x"]), ypos=float(place["z"]), zpos=float(place["y"]))
    found |= dict(inventory=[dict(type="oak_door", quantity=3)])
    return found | dict(stats={"minecraft.custom:minecraft.jump": 4})


def tick_lines(play, part, states, gui, stuck):
    "The lines of one recording."
    lines, held, buttons_before, view, slot = [], set(), set(), View(), 0
    for tick, (values, state) in enumerate(zip(play["actions"][part], play["states"][part])):
        action, place = dict(zip(play["names"], values)), dict(zip(play["state_names"], state))
        buttons, new_buttons = mouse_buttons(action, buttons_before, tick, stuck)
        keys = keys_down(action, tick)
        dx, dy = (float(round(action[name]/DEGREES_A_PIXEL)) for name in ("yaw", "pitch"))
        opened = gui is not None and gui[0] <= tick < gui[1]
        mouse = dict(x=640. + dx, y=360. + dy, dx=dx, dy=dy, scaledX=dx, scaledY=dy,
                     dwheel=float(tick == 12), buttons=sorted(buttons),
                     newButtons=sorted(new_buttons))
        keyboard = dict(keys=sorted(keys), newKeys=sorted(keys - held), chars="")
        line = dict(mouse=mouse, keyboard=keyboard, isGuiOpen=opened, isGuiInventory=opened,
                    hotbar=slot)
        if states:
            line |= state_fields(view, place)
        lines.append(line | dict(tick=tick, milli=1649575088006 + 50*tick,
                                 serverTick=6001 + tick, serverTickDurationMs=36.3))
        held, buttons_before = keys, buttons
        if not opened:
            view.turn(dx, dy)
        slot = SLOTS.get(tick, slot)
    return lines


# ---- damages

def first(folder, ending):
    return sorted(Path(folder).rglob(f"*{ending}"))[0]


def text_of(line):
    return line if isinstance(line, str) else json.dumps(line)


def edit(change):
    "Change the list of lines (objects or text) of the first recording."
    def spoil(folder):
        path = first(folder, ".jsonl")
        lines = [json.loads(text) for text in path.read_text().splitlines()]
        changed = change(lines)
        path.write_text("".join(text_of(line) + "\n" for line in changed or lines))
    return spoil


def each(change):
    "`change(number, line)` in place, for every line."
    def changed(lines):
        for number, line in enumerate(lines):
            change(number, line)
    return edit(changed)


def mouse(change):
    "`change(dx, dy)` gives the new motion of every line."
    def changed(_, line):
        dx, dy = change(line["mouse"]["dx"], line["mouse"]["dy"])
        line["mouse"].update(dx=dx, dy=dy)
    return each(changed)


def set_mouse(row, **values):
    return edit(lambda lines: lines[row]["mouse"].update(values))


def no_mouse(lines):
    del lines[3]["mouse"]


def no_states(_, line):
    for key in "yaw pitch xpos ypos zpos".split():
        del line[key]


def paused(number, line):
    line["milli"] += 9000*(number >= 20)


def set_back(number, line):
    line["milli"] -= 9000*(number >= 20)


def stuck(number, line):
    line["mouse"].update(buttons=[0], newButtons=[0]*(number == 0))


def noise(frames, height, width):
    return np.random.default_rng(0).integers(0, 255, (frames, height, width, 3), dtype=np.uint8)


def at_thirty(folder):
    write_video(first(folder, ".mp4"), noise(30, 64, 64), 30)


def another_last(folder):
    write_video(first(folder, ".mp4"), noise(31, 120, 160), 20, crf="40")


SPOILT = [
    Spoilt("keys as text",
           edit(lambda lines: lines[5]["keyboard"].update(keys="key.keyboard.w")),
           error=r"\.jsonl: line 6: keys is 'key\.keyboard\.w'; expected a list"),
    Spoilt("a mouse of 400 digits", set_mouse(7, dx=10**400), error=r"\.jsonl: line 8: dx"),
    Spoilt("a line is missing", edit(lambda lines: lines[:10] + lines[11:]),
           error=r"\.jsonl: line 11.*tick 11"),
    Spoilt("a line appears twice", edit(lambda lines: lines[:11] + lines[10:]),
           error=r"\.jsonl: line 12.*tick 10"),
    Spoilt("a line is no JSON",
           edit(lambda lines: [*lines[:4], '{"mouse": ', *lines[5:]]),
           error=r"\.jsonl: line 5\b.*JSON"),
    Spoilt("a line without inputs", edit(no_mouse), error=r"\.jsonl: line 4\b.*mouse"),
    Spoilt("dx is NaN", set_mouse(7, dx=float("nan")), error=r"\.jsonl: line 8\b.*dx"),
    Spoilt("lines end early", edit(lambda lines: lines[:-5]),
           error=r"\.mp4.*frames.*\.jsonl.*lines"),
    Spoilt("no lines", lambda folder: first(folder, ".jsonl").unlink(), error=r"no .*\.jsonl"),
    Spoilt("empty lines file", lambda folder: first(folder, ".jsonl").write_text(""),
           error=r"\.jsonl.*no line"),
]
SPOILT += [  # videos
    Spoilt("the last picture is no copy", another_last,
           error=r"\.mp4 has one frame more.*not the last one again"),
    Spoilt("no video", lambda folder: first(folder, ".mp4").unlink(), error=r"no .*\.mp4"),
    Spoilt("video cut off", lambda folder: cut_off(first(folder, ".mp4")), error=r"\.mp4"),
    Spoilt("video of no length", lambda folder: first(folder, ".mp4").write_bytes(b""),
           error=r"\.mp4"),
    Spoilt("30 frames a second", at_thirty, error=r"\.mp4.*30.*20"),
]
SPOILT += [  # the mouse
    Spoilt("another mouse scale", mouse(lambda dx, dy: (2*dx, 2*dy)),
           error=r"\.jsonl.*degrees_per_pixel"),
    Spoilt("mouse axes swapped", mouse(lambda dx, dy: (dy, dx)), error=r"\.jsonl.*dx.*dy"),
    Spoilt("mouse flipped", mouse(lambda dx, dy: (-dx, -dy)), error=r"\.jsonl.*-1\.00"),
    Spoilt("states in one recording alone", each(no_states), error=r"yaw"),
    Spoilt("the inputs of a tick are null", edit(lambda lines: lines[6].update(mouse=None)),
           repair=r"1 row.*not known"),
    Spoilt("a turn beyond half a circle", set_mouse(9, dx=5000.), repair=r"1 row.*not known"),
    Spoilt("a paused game", each(paused), repair=r"paused"),
    Spoilt("a clock that was set back", each(set_back),
           repair=r"the clock goes back by 8\.950 s before row \d+"),
    Spoilt("attack is stuck", each(stuck), repair=r"attack"),
]
EXTRA = {}
