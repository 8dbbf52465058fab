"""owl-control recordings: a folder with recording.mp4, inputs.csv and metadata.json.

Imports nothing of wmkit."""
import json
from pathlib import Path

import numpy as np

from . import Spoilt, cut_off, write_video
from .owamcap import inputs

CODES = {0xA0: 0x10, 0xA2: 0x11}  # raw input does not tell left from right
EXTRA = dict()
ORIGIN = 1_763_700_000.25  # unix time of VIDEO_START


def mark_lines(stamps, down, start, hook, unfocus):
    "What starts and ends, with a wheel, a gamepad and a key that nobody knows."
    seconds, end = stamps/1e9, stamps[-1]/1e9
    found = [(-1.5, "START", dict(inputs=dict(keyboard=down, mouse=[]))),
             (seconds[3] + .01, "SCROLL", [120]),
             (seconds[5] + .01, "GAMEPAD_AXIS", [0, .75, 1]),
             (seconds[6] + .01, "KEYBOARD", [0x4D, True]),
             (seconds[6] + .02, "KEYBOARD", [0x4D, False]),
             (end - .0001, "VIDEO_END", []), (end + .05, "END", [])]
    if start:
        found.append((0, "VIDEO_START", []))
    if hook:
        found.append((seconds[hook] + .001, "HOOK_START", []))
    if unfocus:
        found.append((seconds[unfocus[0]] - .001, "UNFOCUS", []))
        found.append((seconds[unfocus[1]] - .001, "FOCUS", []))
    return found


def lines(play, seed=0, start=True, hook=0, unfocus=None):
    """The rows of inputs.csv; `hook`: the frame from which the game is seen, `unfocus`: frames
    (from, to) in which another window is in front."""
    rng, n = np.random.default_rng(seed), len(play["frames"])
    stamps = (np.arange(n + 1)*1e9/float(play["fps"])).astype(np.int64)
    switches, moves = inputs(play, stamps, rng)
    coded = [(t, CODES.get(code, code), down) for t, code, down in switches]
    # one key is held from the start on
    down = sorted({c for t, c, d in coded if t < stamps[1] and d and c > 6})[:1]
    early = [switch for switch in coded if switch[1] in down][:1]
    found = mark_lines(stamps, down, start, hook, unfocus)
    for t, code, pressed in coded:
        if (t, code, pressed) not in early:
            kind = "MOUSE_BUTTON" if code <= 6 else "KEYBOARD"
            found.append((t/1e9, kind, [code, pressed]))
    found += [(t/1e9, "MOUSE_MOVE", [dx, dy]) for t, dx, dy in moves]
    return [(float(ORIGIN + t), kind, args) for t, kind, args in sorted(found, key=lambda m: m[0])]


def save(path, found):
    text = "timestamp,event_type,event_args\n"
    for t, kind, args in found:
        text += f'{t!r},{kind},"{json.dumps(args, separators=(",", ":"))}"\n'
    Path(path).write_text(text)


def write(folder, play, name="1763700000", **form):
    "One recording; `form`: of `lines`."
    folder = Path(folder)/name
    folder.mkdir(parents=True)
    write_video(folder/"recording.mp4", play["frames"], play["fps"])
    save(folder/"inputs.csv", lines(play, **form))
    seconds = len(play["frames"])/float(play["fps"])
    about = dict(game_exe="doom.exe", game_resolution=[1920, 1080], owl_control_version="1.3.0",
                 session_id="6f0c", hardware_id="9a1d", hardware_specs=None,
                 start_timestamp=ORIGIN - 1.5, end_timestamp=ORIGIN + seconds + .1,
                 duration=seconds + 1.6)
    (folder/"metadata.json").write_text(json.dumps(about, indent=2))
    return folder


# ---- damages

def find(folder, name):
    return next(Path(folder).rglob(name))


def edit(change):
    "Change the text of inputs.csv."
    def spoil(folder):
        path = find(folder, "inputs.csv")
        path.write_text(change(path.read_text()))
    return spoil


def line(number, change):
    "Change a line of inputs.csv (0 is the header)."
    def spoil(text):
        all = text.split("\n")
        all[number] = change(all[number])
        return "\n".join(all)
    return edit(spoil)


def replace(old, new):
    def spoil(text):
        assert old in text
        return text.replace(old, new, 1)
    return edit(spoil)


def time(value):
    "Another time in a line."
    return line(9, lambda text: ",".join([value, *text.split(",", 1)[1:]]))


def without(kind):
    def spoil(text):
        kept = [found for found in text.splitlines() if f",{kind}," not in found]
        return "\n".join(kept) + "\n"
    return edit(spoil)


def end_late(text):
    "The events go on for a minute."
    all = text.splitlines()
    end = next(i for i, found in enumerate(all) if ",VIDEO_END," in found)
    all[end] = f'{ORIGIN + 60!r},VIDEO_END,"[]"'
    all[end + 1] = f'{ORIGIN + 61!r},END,"[]"'
    return "\n".join(all) + "\n"


def deep(text):
    "Arguments that are nested too deep."
    return ",".join([*text.split(",")[:2], '"' + "["*100_000 + '"'])


def invalid(folder):
    find(folder, "inputs.csv").with_name(".invalid").write_text("too few inputs\n")


def empty_video(folder):
    find(folder, "recording.mp4").write_bytes(b"")


def late_line(text):
    "A line 10 ms before the line above it."
    lines = text.split("\n")
    before = float(lines[20].split(",")[0])
    lines[21] = ",".join([repr(before - .01), *lines[21].split(",")[1:]])
    return "\n".join(lines)


SPOILT = [
    Spoilt("a line out of order", edit(late_line),
           repair=r"inputs\.csv: 1 line out of order \(first: line 22\), up to 10\.0 ms"),
    Spoilt("a line without end",
           lambda folder: find(folder, "inputs.csv").open("ab").write(b"x"*2**25),
           error=r"inputs\.csv: line \d+ has more than"),
    Spoilt("no VIDEO_START", without("VIDEO_START"), error=r"inputs\.csv has 0 VIDEO_START"),
    Spoilt("two VIDEO_START", replace("MOUSE_MOVE", "VIDEO_START"),
           error=r"inputs\.csv has 2 VIDEO_START"),
    Spoilt("no header", line(0, lambda text: "1,2,3"),
           error=r"inputs\.csv.*timestamp,event_type,event_args"),
    Spoilt("a time that is NaN", time("NaN"), error=r"inputs\.csv, line 10.*'NaN'"),
    Spoilt("a negative time", time("-1.5"), error=r"inputs\.csv, line 10.*'-1.5'"),
    Spoilt("arguments too deep", line(9, deep), error=r"inputs\.csv, line 10.*no JSON"),
    Spoilt("time goes back", time(repr(ORIGIN - 40)), error=r"inputs\.csv, line 10.*before"),
    Spoilt("arguments that are no JSON", replace('MOUSE_MOVE,"[', 'MOUSE_MOVE,"[oops,'),
           error=r"inputs\.csv, line \d+.*MOUSE_MOVE.*oops"),
    Spoilt("too few arguments", replace("[77,true]", "[77]"),
           error=r"inputs\.csv, line \d+.*KEYBOARD.*\[77\]"),
    Spoilt("a key code that is no number", replace("[77,true]", '["w",true]'),
           error=r"inputs\.csv, line \d+.*KEYBOARD"),
    Spoilt("the last line is cut", edit(lambda text: text[:-5]), repair="last line is cut off"),
    Spoilt("video cut off", lambda folder: cut_off(find(folder, "recording.mp4")),
           error=r"recording\.mp4"),
    Spoilt("video of zero length", empty_video, error=r"recording\.mp4 is empty"),
    Spoilt("video is gone", lambda folder: find(folder, "recording.mp4").unlink(),
           error=r"recording\.mp4 is missing"),
    Spoilt("events go on for long after the video", edit(end_late),
           error=r"recording\.mp4 lasts 3\.4 s.*60\.0 s"),
    Spoilt("the game is never seen", replace("VIDEO_END", "HOOK_START"),
           error=r"recording\.mp4: the game is never seen"),
    Spoilt("no metadata", lambda folder: find(folder, "metadata.json").unlink(),
           repair=r"metadata\.json is missing"),
    Spoilt("metadata is cut off", lambda folder: cut_off(find(folder, "metadata.json")),
           error=r"metadata\.json"),
    Spoilt("marked as invalid", invalid, repair="too few inputs"),
]
