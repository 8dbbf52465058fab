"""owl-control recordings: a folder with recording.mp4, inputs.csv (time, type, JSON arguments) and metadata.json. Imports nothing of wmkit."""
import json
from pathlib import Path

import numpy as np

from . import Spoilt, cut_off, write_video
from .owamcap import inputs

CODES = {0xA0: 0x10, 0xA2: 0x11}  # raw input does not tell left from right
EXTRA = dict()
ORIGIN = 1_763_700_000.25  # unix time of VIDEO_START


def lines(play, seed=0, start=True, hook=0, unfocus=None):
    "The rows of inputs.csv; `hook`: the frame from which the game is seen, `unfocus`: frames (from, to) in which another window is in front."
    rng, n = np.random.default_rng(seed), len(play["frames"])
    stamps = (np.arange(n + 1)*1e9/float(play["fps"])).astype(np.int64)
    switches, moves = inputs(play, stamps, rng)
    down = sorted({CODES.get(c, c) for t, c, d in switches if t < stamps[1] and d and c > 6})[:1]  # held from the start on
    early = [s for s in switches if CODES.get(s[1], s[1]) in down][:1]
    said = [(-1.5, "START", dict(inputs=dict(keyboard=down, mouse=[]))), (0, "VIDEO_START", []), (stamps[hook]/1e9 + .001, "HOOK_START", [])]
    said += [(t/1e9, "MOUSE_BUTTON" if c <= 6 else "KEYBOARD", [CODES.get(c, c), d]) for t, c, d in switches if (t, c, d) not in early]
    said += [(t/1e9, "MOUSE_MOVE", [dx, dy]) for t, dx, dy in moves]
    said += [(stamps[3]/1e9 + .01, "SCROLL", [120]), (stamps[5]/1e9 + .01, "GAMEPAD_AXIS", [0, .75, 1]), (stamps[6]/1e9 + .01, "KEYBOARD", [0x4D, True]),
             (stamps[6]/1e9 + .02, "KEYBOARD", [0x4D, False]), (stamps[-1]/1e9 - .0001, "VIDEO_END", []), (stamps[-1]/1e9 + .05, "END", [])]
    if unfocus: said += [(stamps[k]/1e9 - .001, name, []) for k, name in zip(unfocus, ("UNFOCUS", "FOCUS"))]
    said = [(t, name, args) for t, name, args in said if name != "HOOK_START" or hook]
    said = [(t, name, args) for t, name, args in said if name != "VIDEO_START" or start]
    return [(float(ORIGIN + t), name, args) for t, name, args in sorted(said, key=lambda m: m[0])]


def save(path, said):
    text = "".join(f'{t!r},{name},"{args if isinstance(args, str) else json.dumps(args, separators=(",", ":"))}"\n' for t, name, args in said)
    Path(path).write_text("timestamp,event_type,event_args\n" + text)


def write(folder, play, name="1763700000", **variants):
    folder = Path(folder)/name
    folder.mkdir(parents=True)
    write_video(folder/"recording.mp4", play["frames"], play["fps"])
    save(folder/"inputs.csv", lines(play, **variants))
    seconds = len(play["frames"])/float(play["fps"])
    (folder/"metadata.json").write_text(json.dumps(dict(game_exe="doom.exe", game_resolution=[1920, 1080], owl_control_version="1.3.0", session_id="6f0c", hardware_id="9a1d",
        hardware_specs=None, start_timestamp=ORIGIN - 1.5, end_timestamp=ORIGIN + seconds + .1, duration=seconds + 1.6), indent=2))
    return folder


def _file(folder, name): return next(Path(folder).rglob(name))


def _line(number, change):
    "Spoil a line of inputs.csv (0 is the header)."
    def spoil(folder):
        path = _file(folder, "inputs.csv")
        text = path.read_text().split("\n")
        text[number] = change(text[number])
        path.write_text("\n".join(text))
    return spoil


def _replace(old, new, count=1):
    def spoil(folder):
        path = _file(folder, "inputs.csv")
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, count))
    return spoil


def _time(value):
    def change(line): return ",".join([value, *line.split(",", 1)[1:]])
    return change


def _without(name):
    def spoil(folder):
        path = _file(folder, "inputs.csv")
        path.write_text("".join(line + "\n" for line in path.read_text().splitlines() if f",{name}," not in line))
    return spoil


def _end_early(folder):
    path = _file(folder, "inputs.csv")
    text = path.read_text().splitlines()
    end = next(i for i, line in enumerate(text) if ",VIDEO_END," in line)
    text[end] = f'{ORIGIN + 60!r},VIDEO_END,"[]"'
    text[end + 1] = f'{ORIGIN + 61!r},END,"[]"'
    path.write_text("\n".join(text) + "\n")


def _cut_line(folder):
    path = _file(folder, "inputs.csv")
    path.write_text(path.read_text()[:-5])


SPOILT = [
    Spoilt("no VIDEO_START", _without("VIDEO_START"), error=r"inputs\.csv has 0 VIDEO_START"),
    Spoilt("two VIDEO_START", _replace("MOUSE_MOVE", "VIDEO_START"), error=r"inputs\.csv has 2 VIDEO_START"),
    Spoilt("no header", _line(0, lambda line: "1,2,3"), error=r"inputs\.csv.*timestamp,event_type,event_args"),
    Spoilt("a time that is NaN", _line(9, _time("NaN")), error=r"inputs\.csv, line 10.*'NaN'"),
    Spoilt("a negative time", _line(9, _time("-1.5")), error=r"inputs\.csv, line 10.*'-1.5'"),
    Spoilt("arguments too deep", _line(9, lambda line: ",".join([*line.split(",")[:2], '"' + "["*100_000 + '"'])), error=r"inputs\.csv, line 10.*no JSON"),
    Spoilt("time goes back", _line(9, _time(repr(ORIGIN - 40))), error=r"inputs\.csv, line 10.*before"),
    Spoilt("arguments that are no JSON", _replace("MOUSE_MOVE,\"[", "MOUSE_MOVE,\"["+"oops,"), error=r"inputs\.csv, line \d+.*MOUSE_MOVE.*oops"),
    Spoilt("too few arguments", _replace("[77,true]", "[77]"), error=r"inputs\.csv, line \d+.*KEYBOARD.*\[77\]"),
    Spoilt("a key code that is no number", _replace("[77,true]", '["w",true]'), error=r"inputs\.csv, line \d+.*KEYBOARD"),
    Spoilt("the last line is cut", _cut_line, repair="last line is cut off"),
    Spoilt("video cut off", lambda folder: cut_off(_file(folder, "recording.mp4")), error=r"recording\.mp4"),
    Spoilt("video of zero length", lambda folder: _file(folder, "recording.mp4").write_bytes(b""), error=r"recording\.mp4 is empty"),
    Spoilt("video is gone", lambda folder: _file(folder, "recording.mp4").unlink(), error=r"recording\.mp4 is missing"),
    Spoilt("events go on for long after the video", _end_early, error=r"recording\.mp4 lasts 3\.4 s.*60\.0 s"),
    Spoilt("the game is never seen", _replace("VIDEO_END", "HOOK_START"), error=r"recording\.mp4: the game is never seen"),
    Spoilt("no metadata", lambda folder: _file(folder, "metadata.json").unlink(), repair=r"metadata\.json is missing"),
    Spoilt("metadata is cut off", lambda folder: cut_off(_file(folder, "metadata.json")), error=r"metadata\.json"),
    Spoilt("marked as invalid", lambda folder: (_file(folder, "inputs.csv").parent/".invalid").write_text("too few inputs\n"), repair="too few inputs"),
]
