"""Sources as a game made with Unreal writes them; see nbs/14_import_unreal.ipynb.

Three layouts, those of kristofe/Matrix-Game."""
import json
import re
import shutil
from pathlib import Path

import numpy as np

from . import Spoilt, column, cut_off, play, write_video

LETTERS = dict(forward="W", left="A", back="S", right="D")
WORDS = dict(jump="Space", use="E", attack="LeftMouseButton")
SESSION = "2025-11-03_14-20-31"


def save(frame, path):
    from PIL import Image
    Image.fromarray(np.ascontiguousarray(frame)).save(path)


def write(folder, play, version=1, **form):
    "Write the play below `folder` as `write_session`, `write_runs` or `write_sequence`."
    Path(folder).mkdir(parents=True, exist_ok=True)
    writers = {1: write_session, 2: write_runs, 3: write_sequence}
    return writers[version](Path(folder), play, **form)


def pressed(play, t, keys):
    "The keys that are down at frame t."
    there = {name: key for name, key in keys.items() if name in play["names"]}
    return [key for name, key in there.items() if column(play, name)[t]]


def write_session(folder, play, data=False, combined=True, suffix="png"):
    "`data`: pictures below data/; `combined`: W+A as 'WA', or as two rows."
    pictures, lines = folder/"data" if data else folder, []
    pictures.mkdir(exist_ok=True)
    for t, frame in enumerate(play["frames"]):
        save(frame, pictures/f"frame_{t + 1:04d}.{suffix}")
        letters = pressed(play, t, LETTERS)
        texts = ["".join(letters)] if combined and letters else letters
        seconds = (t + 1)/float(play["fps"])
        for text in [*texts, *pressed(play, t, WORDS)] or ["="]:
            lines.append(f"{text},{seconds:.4f},{t + 1}")
    (folder/"input.csv").write_text("\n".join(lines) + "\n")


def driving(play):
    "Steering, throttle and brake of the play, from turning and walking."
    return dict(steering=column(play, "yaw")/20, throttle=column(play, "forward")*.8,
                brake=column(play, "back")*.5)


def write_runs(folder, play, runs=2):
    "The play, cut into runs of the same length."
    levels, length, fps = driving(play), len(play["frames"])//runs, float(play["fps"])
    for r in range(runs):
        run, lines = folder/SESSION/f"Run_{r + 1:06d}", []
        run.mkdir(parents=True)
        for f in range(length):
            t = r*length + f
            save(play["frames"][t], run/f"frame_{f:06d}.png")
            for name, value in levels.items():
                if value[t] or name != "brake":
                    lines.append(f"{name},{f/fps:.4f},{f},{float(value[t])!r}")
        (run/"input.csv").write_text("\n".join(lines) + "\n")
        (run/"info.txt").write_text(f"FPS: {fps:g}\nNumFrame: {length}\n")


def keyboard_text(play, t):
    letters = "".join(pressed(play, t, LETTERS)).lower()
    return letters + "space"*bool(column(play, "jump")[t]) or "q"


def write_sequence(folder, play, name="sequence_001", order="up,right", degrees=15.):
    n, fps = len(play["frames"]), float(play["fps"])
    yaw, pitch = column(play, "yaw")/degrees, column(play, "pitch")/degrees
    view = dict(up=-pitch, down=pitch, right=yaw, left=-yaw)
    mouse = zip(*(view[side] for side in order.split(",")))
    write_video(folder/"videos"/f"{name}.mp4", play["frames"], play["fps"])
    (folder/"actions").mkdir(exist_ok=True)
    sequence = dict(keyboard=[keyboard_text(play, t) for t in range(n)],
                    mouse=[f"{float(a)!r},{float(b)!r}" for a, b in mouse],
                    timestamps=[round(t/fps, 4) for t in range(n)],
                    video_length=round(n/fps, 4), frame_count=n)
    (folder/"actions"/f"{name}.json").write_text(json.dumps({name: sequence}))


# ---- damages

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
    return anew(3, edit("actions/*.json", changed))


def table(change):
    "Change the table of a session."
    return edit("input.csv", change)


def run_table(change):
    return anew(2, edit("*/Run_*/input.csv", change))


def run_info(change):
    return anew(2, edit("*/Run_*/info.txt", change))


def line(index, new):
    "Replace one line of a text."
    def change(text):
        lines = text.splitlines()
        lines[index] = new
        return "\n".join(lines) + "\n"
    return change


def half_size(path):
    from PIL import Image
    with Image.open(path) as picture:
        small = picture.resize((picture.width//2, picture.height//2))
    small.save(path)


def take_out(pattern, *numbers):
    def spoil(folder):
        for n in numbers:
            next(Path(folder).glob(pattern % n)).unlink()
    return spoil


def renumber(folder):
    "Files counted from 1 where rows count from 0."
    run = sorted(Path(folder).glob("*/Run_*"))[0]
    for path in sorted(run.glob("frame_*.png"), reverse=True):
        path.rename(run/f"frame_{int(path.stem[6:]) + 1:06d}.png")


def second_session(folder):
    "Pictures beside a session, without a table."
    shutil.copytree(folder, Path(folder)/"more", ignore=lambda *_: ["input.csv", "more"])


def counted_from_0(text):
    return re.sub(r"\d+$", lambda m: str(int(m[0]) - 1), text, flags=re.M)


def half_the_rate(text):
    return re.sub(r",([\d.]+),", lambda m: f",{float(m[1])*2},", text)


def swap_times(text):
    "Rows sorted by their times, whose frames go back once."
    rows = [row.split(",") for row in text.splitlines()]
    frame = rows[10][2]
    rows[10][2] = rows[-1][2]
    rows[-1][2] = frame
    return "".join(",".join(row) + "\n" for row in rows)


def linked_out(pattern):
    "The first file that matches becomes a link to another folder."
    def spoil(folder):
        file = sorted(Path(folder).glob(pattern))[0]
        outside = Path(folder).parent/f"outside_{file.name}"
        shutil.move(file, outside)
        file.symlink_to(outside)
    return spoil


def frames_folder(folder):
    "The pictures in frames/, of which the last one is lost."
    (Path(folder)/"frames").mkdir()
    for file in sorted(Path(folder).glob("frame_*.png"))[:-1]:
        file.rename(file.parent/"frames"/file.name)
    (Path(folder)/"frame_0060.png").unlink()


EXTRA = dict(source_fps="35/2")
SPOILT = [
    Spoilt("v1 frames missing", take_out("frame_%04d.png", 20, 21, 22),
           repair="frames 20 to 22 are missing"),
    Spoilt("v1 torn picture", lambda folder: cut_off(folder/"frame_0030.png"),
           repair=r"frame_0030\.png cannot be read"),
    Spoilt("v1 empty picture", lambda folder: (folder/"frame_0001.png").write_bytes(b""),
           repair=r"frame_0001\.png cannot be read"),
    Spoilt("v1 header", table(lambda text: "key,time,frame\n" + text), repair="row 1 is a header"),
    Spoilt("v1 header in another order", table(lambda text: "frame,time,key\n" + text),
           error=r"input\.csv.*key,time,frame"),
    Spoilt("v1 counted from 0", table(counted_from_0),
           error=r"input\.csv.*frames 0 to 59.*1 to 60.*one off"),
    Spoilt("v1 empty table", table(lambda text: ""), error=r"input\.csv holds no row"),
    Spoilt("v1 a session beside it without a table", second_session,
           error=r"more/input\.csv is missing"),
    Spoilt("v1 another rate", table(half_the_rate), repair="8.75 frames a second"),
    Spoilt("v1 row for no frame", table(lambda text: text + "W,9.9,999\n"), repair="frame 999"),
    Spoilt("v1 keys that run together", table(line(9, "WE,0.5,10")), repair="'WE'"),
    Spoilt("v1 NaN", table(line(4, "W,nan,5")), error=r"input\.csv, row 5.*nan"),
    Spoilt("v1 frame that is no number", table(line(6, "W,0.2,seven")),
           error=r"input\.csv, row 7.*seven"),
    Spoilt("v1 too many fields", table(line(6, "W,0.2,7,1")),
           error=r"input\.csv, row 7.*key,time,frame"),
    Spoilt("v1 mixed sizes", lambda folder: half_size(folder/"frame_0040.png"),
           error=r"frame_0040\.png is 60x80"),
    Spoilt("v1 one frame twice",
           lambda folder: shutil.copy(folder/"frame_0007.png", folder/"frame_07.png"),
           error=r"both frame 7"),
    Spoilt("v1 pictures in frames/", frames_folder, repair="do not exist left out: frame 60"),
    Spoilt("v1 a picture linked out", linked_out("frame_0003.png"), error=r"frame_0003.*leads out"),
    Spoilt("v2 a picture linked out", anew(2, linked_out("*/Run_*/frame_000003.png")),
           error=r"frame_000003.*leads out"),
    Spoilt("v3 a video linked out", anew(3, linked_out("videos/*.mp4")), error=r"leads out"),
    Spoilt("v1 a plus for a key", table(line(9, "+,0.5,10")), repair=r"'\+' \(row 10\)"),
    Spoilt("v1 times run backwards", table(line(9, "W,0.01,10")),
           repair=r"times run backwards once \(first: 0\.01 in row 10"),
    Spoilt("v1 no table", lambda folder: (folder/"input.csv").unlink(), error=r"input\.csv"),
]
SPOILT += [
    Spoilt("v2 frame missing at the end", anew(2, take_out("*/Run_000001/frame_%06d.png", 29)),
           repair="frame 29 is missing"),
    Spoilt("v2 duplicate row", run_table(lambda text: text + text.splitlines()[0] + "\n"),
           repair="appears? twice"),
    Spoilt("v2 times run backwards", run_table(line(6, "steering,0.0001,3,0.5")),
           repair=r"times run backwards once \(first: 0\.0001 in row 7"),
    Spoilt("v2 times of other frames", run_table(swap_times),
           repair="frames against the times run backwards"),
    Spoilt("v2 steering too far", run_table(line(6, "steering,0.1,3,1.5")),
           error=r"input\.csv, row 7.*1\.5"),
    Spoilt("v2 counted from 1", anew(2, renumber), error=r"frame_000030\.png"),
    Spoilt("v2 wrong count",
           run_info(lambda text: re.sub(r"NumFrame: \d+", "NumFrame: 12", text)),
           error=r"info\.txt.*12"),
    Spoilt("v2 rate that is none", run_info(lambda text: re.sub("FPS: .*", "FPS: fast", text)),
           error=r"info\.txt.*fast"),
    Spoilt("v2 no rate", run_info(lambda text: text.replace("FPS", "fps")),
           repair=r"35/2 frames a second.*taken for true"),
    Spoilt("v2 two rates", run_info(lambda text: text + "FPS: 30\n"),
           error=r"info\.txt: FPS is 17\.5 and 30"),
]
SPOILT += [
    Spoilt("v3 a time beyond all numbers",
           edit_sequence(lambda s: s["timestamps"].__setitem__(-1, 10**400)),
           error=r"sequence_001\.json: timestamps"),
    Spoilt("v3 a blank beside a key", edit_sequence(lambda s: s["keyboard"].__setitem__(8, "w ")),
           repair=r"'w ' \(row 8\)"),
    Spoilt("v3 blanks for a key", edit_sequence(lambda s: s["keyboard"].__setitem__(8, "\t")),
           repair=r"1 action is not known.*\(row 8\)"),
    Spoilt("v3 half a character", edit_sequence(lambda s: s.update(game="\ud800")),
           error=r"sequence_001\.json.*Unicode"),
    Spoilt("v3 torn video", anew(3, lambda folder: cut_off(folder/"videos/sequence_001.mp4")),
           error=r"sequence_001\.mp4"),
    Spoilt("v3 too few keys", edit_sequence(lambda s: s["keyboard"].pop()),
           error=r"sequence_001\.json.*keyboard.*59.*60"),
    Spoilt("v3 another rate",
           edit_sequence(lambda s: s.update(timestamps=[t*.7 for t in s["timestamps"]])),
           error=r"timestamps"),
    Spoilt("v3 mouse in pixels", edit_sequence(lambda s: s["mouse"].__setitem__(8, "0,240.0")),
           error=r"sequence_001\.json.*row 8"),
    Spoilt("v3 mouse not a number", edit_sequence(lambda s: s["mouse"].__setitem__(8, "nan,0")),
           error=r"sequence_001\.json.*row 8"),
    Spoilt("v3 half of a JSON", anew(3, lambda folder: cut_off(folder/"actions/sequence_001.json")),
           error=r"sequence_001\.json"),
]
