"""Sources as a game made with Unreal writes them, in the three layouts of kristofe/Matrix-Game; see nbs/14_import_unreal.ipynb."""
import json
import re
import shutil
from pathlib import Path

import numpy as np

from . import Spoilt, cut_off, play, write_video

LETTERS = dict(forward="W", left="A", back="S", right="D")
WORDS = dict(jump="Space", use="E", attack="LeftMouseButton")


def columns(source): return {name: source["actions"][:, i] for i, name in enumerate(source["names"])}


def save(frame, path):
    from PIL import Image
    Image.fromarray(np.ascontiguousarray(frame)).save(path)


def write(folder, play, version=1, **variants):
    "Write the play below `folder`: version 1 (`data`: pictures below data/, `combined`: W+A as 'WA' or as two rows, `suffix`), 2 (`runs`) or 3."
    Path(folder).mkdir(parents=True, exist_ok=True)
    return {1: write_session, 2: write_runs, 3: write_sequence}[version](Path(folder), play, **variants)


def write_session(folder, play, data=False, combined=True, suffix="png"):
    pictures = folder/"data" if data else folder
    pictures.mkdir(exist_ok=True)
    of, lines = columns(play), []
    for t, frame in enumerate(play["frames"]):
        save(frame, pictures/f"frame_{t + 1:04d}.{suffix}")
        letters = [key for name, key in LETTERS.items() if name in of and of[name][t]]
        texts = (["".join(letters)] if letters else []) if combined else letters
        texts += [key for name, key in WORDS.items() if name in of and of[name][t]]
        lines += [f"{text},{(t + 1)/float(play['fps']):.4f},{t + 1}" for text in texts or ["="]]
    (folder/"input.csv").write_text("\n".join(lines) + "\n")


def driving(play):
    "Steering, throttle and brake of the play, from turning and walking."
    of = columns(play)
    return dict(steering=of["yaw"]/20, throttle=of["forward"]*.8, brake=of["back"]*.5)


def write_runs(folder, play, runs=2, session="2025-11-03_14-20-31"):
    "The play, cut into runs of the same length."
    levels, length = driving(play), len(play["frames"])//runs
    for r in range(runs):
        run = folder/session/f"Run_{r + 1:06d}"
        run.mkdir(parents=True)
        lines = []
        for f in range(length):
            t = r*length + f
            save(play["frames"][t], run/f"frame_{f:06d}.png")
            lines += [f"{name},{f/float(play['fps']):.4f},{f},{float(value[t])!r}" for name, value in levels.items() if value[t] or name != "brake"]
        (run/"input.csv").write_text("\n".join(lines) + "\n")
        (run/"info.txt").write_text(f"FPS: {float(play['fps']):g}\nNumFrame: {length}\n")


def write_sequence(folder, play, name="sequence_001", order="up,right", degrees=15.):
    of, n = columns(play), len(play["frames"])
    view = dict(up=-of["pitch"]/degrees, down=of["pitch"]/degrees, right=of["yaw"]/degrees, left=-of["yaw"]/degrees)
    first, second = (view[side] for side in order.split(","))
    keyboard = ["".join(key for c, key in LETTERS.items() if of[c][t]).lower() + "space"*bool(of["jump"][t]) or "q" for t in range(n)]
    write_video(folder/"videos"/f"{name}.mp4", play["frames"], play["fps"])
    (folder/"actions").mkdir(exist_ok=True)
    sequence = dict(keyboard=keyboard, mouse=[f"{float(a)!r},{float(b)!r}" for a, b in zip(first, second)],
                    timestamps=[round(t/float(play["fps"]), 4) for t in range(n)], video_length=round(n/float(play["fps"]), 4), frame_count=n)
    (folder/"actions"/f"{name}.json").write_text(json.dumps({name: sequence}))

# ---- damage


def anew(version, spoil):
    "Spoil a source of another version."
    def spoilt(folder):
        shutil.rmtree(folder)
        write(folder, play(), version)
        spoil(Path(folder))
    return spoilt


def edit(pattern, change):
    "Rewrite the text of the first file that matches."
    def spoil(folder):
        path = sorted(Path(folder).glob(pattern))[0]
        path.write_text(change(path.read_text()))
    return spoil


def edit_sequence(change):
    def changed(text):
        sequences = json.loads(text)
        change(sequences["sequence_001"])
        return json.dumps(sequences)
    return edit("actions/*.json", changed)


def line(index, new):
    "Replace one line of a text."
    def change(text):
        lines = text.splitlines()
        lines[index] = new(lines[index]) if callable(new) else new
        return "\n".join(lines) + "\n"
    return change


def half_size(path):
    from PIL import Image
    with Image.open(path) as picture: small = picture.resize((picture.width//2, picture.height//2))
    small.save(path)


def take_out(pattern, *numbers):
    def spoil(folder):
        for n in numbers: next(Path(folder).glob(pattern % n)).unlink()
    return spoil


def renumber(folder):
    "Files counted from 1 where rows count from 0."
    run = sorted(Path(folder).glob("*/Run_*"))[0]
    for path in sorted(run.glob("frame_*.png"), reverse=True): path.rename(run/f"frame_{int(path.stem[6:]) + 1:06d}.png")


EXTRA = dict(source_fps="35/2")
SPOILT = [
    Spoilt("v1 frames missing", take_out("frame_%04d.png", 20, 21, 22), repair="frames 20 to 22 are missing"),
    Spoilt("v1 torn picture", lambda folder: cut_off(folder/"frame_0030.png"), repair=r"frame_0030\.png cannot be read"),
    Spoilt("v1 empty picture", lambda folder: (folder/"frame_0001.png").write_bytes(b""), repair=r"frame_0001\.png cannot be read"),
    Spoilt("v1 header", edit("input.csv", lambda text: "key,time,frame\n" + text), repair="row 1 is a header"),
    Spoilt("v1 header in another order", edit("input.csv", lambda text: "frame,time,key\n" + text), error=r"input\.csv.*key,time,frame"),
    Spoilt("v1 counted from 0", edit("input.csv", lambda text: re.sub(r"\d+$", lambda m: str(int(m[0]) - 1), text, flags=re.M)), error=r"input\.csv.*frames 0 to 59.*1 to 60.*one off"),
    Spoilt("v1 empty table", edit("input.csv", lambda text: ""), error=r"input\.csv holds no row"),
    Spoilt("v1 a session beside it without a table", lambda folder: shutil.copytree(folder, Path(folder)/"more", ignore=lambda *_: ["input.csv", "more"]), error=r"more/input\.csv is missing"),
    Spoilt("v1 another rate", edit("input.csv", lambda text: re.sub(r",([\d.]+),", lambda m: f",{float(m[1])*2},", text)), repair="8.75 frames a second"),
    Spoilt("v1 row for no frame", edit("input.csv", lambda text: text + "W,9.9,999\n"), repair="frame 999"),
    Spoilt("v1 keys that run together", edit("input.csv", line(9, "WE,0.5,10")), repair="'WE'"),
    Spoilt("v1 NaN", edit("input.csv", line(4, "W,nan,5")), error=r"input\.csv, row 5.*nan"),
    Spoilt("v1 frame that is no number", edit("input.csv", line(6, "W,0.2,seven")), error=r"input\.csv, row 7.*seven"),
    Spoilt("v1 too many fields", edit("input.csv", line(6, "W,0.2,7,1")), error=r"input\.csv, row 7.*key,time,frame"),
    Spoilt("v1 mixed sizes", lambda folder: half_size(folder/"frame_0040.png"), error=r"frame_0040\.png is 60x80"),
    Spoilt("v1 one frame twice", lambda folder: shutil.copy(folder/"frame_0007.png", folder/"frame_07.png"), error=r"both frame 7"),
    Spoilt("v1 no table", lambda folder: (folder/"input.csv").unlink(), error=r"input\.csv"),
    Spoilt("v2 frame missing at the end", anew(2, take_out("*/Run_000001/frame_%06d.png", 29)), repair="frame 29 is missing"),
    Spoilt("v2 duplicate row", anew(2, edit("*/Run_*/input.csv", lambda text: text + text.splitlines()[0] + "\n")), repair="stands? twice"),
    Spoilt("v2 steering too far", anew(2, edit("*/Run_*/input.csv", line(6, "steering,0.1,3,1.5"))), error=r"input\.csv, row 7.*1\.5"),
    Spoilt("v2 counted from 1", anew(2, renumber), error=r"frame_000030\.png"),
    Spoilt("v2 wrong count", anew(2, edit("*/Run_*/info.txt", lambda text: re.sub(r"NumFrame: \d+", "NumFrame: 12", text))), error=r"info\.txt.*12"),
    Spoilt("v2 rate that is none", anew(2, edit("*/Run_*/info.txt", lambda text: re.sub("FPS: .*", "FPS: fast", text))), error=r"info\.txt.*fast"),
    Spoilt("v2 no rate", anew(2, edit("*/Run_*/info.txt", lambda text: text.replace("FPS", "fps"))), repair=r"35/2 frames a second.*taken for true"),
    Spoilt("v2 two rates", anew(2, edit("*/Run_*/info.txt", lambda text: text + "FPS: 30\n")), error=r"info\.txt: FPS is 17\.5 and 30"),
    Spoilt("v3 a time beyond all numbers", anew(3, edit_sequence(lambda s: s["timestamps"].__setitem__(-1, 10**400))), error=r"sequence_001\.json: timestamps"),
    Spoilt("v3 torn video", anew(3, lambda folder: cut_off(folder/"videos/sequence_001.mp4")), error=r"sequence_001\.mp4"),
    Spoilt("v3 too few keys", anew(3, edit_sequence(lambda s: s["keyboard"].pop())), error=r"sequence_001\.json.*keyboard.*59.*60"),
    Spoilt("v3 another rate", anew(3, edit_sequence(lambda s: s.update(timestamps=[t*.7 for t in s["timestamps"]]))), error=r"timestamps"),
    Spoilt("v3 mouse in pixels", anew(3, edit_sequence(lambda s: s["mouse"].__setitem__(8, "0,240.0"))), error=r"sequence_001\.json.*row 8"),
    Spoilt("v3 mouse not a number", anew(3, edit_sequence(lambda s: s["mouse"].__setitem__(8, "nan,0"))), error=r"sequence_001\.json.*row 8"),
    Spoilt("v3 half of a JSON", anew(3, lambda folder: cut_off(folder/"actions/sequence_001.json")), error=r"sequence_001\.json"),
]
