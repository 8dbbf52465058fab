"""GF-Minecraft (KwaiVGI/GameFactory): metadata/<name>.json, video/<name>.mp4, annotation.csv.

Entry i is the input that led to frame i. Imports nothing of wmkit."""
import json
from pathlib import Path

import numpy as np

from . import Spoilt, cut_off, write_video

EXTRA = dict()
NAMES = ("seed_1_part_1", "seed_1_part_2")
HEADER = "Original video name,Start frame index,End frame index,Prompt"


def enum(values, *names):
    "The number of the first name that is pressed; 0 for none."
    return next((i for i, name in enumerate(names, 1) if values[name]), 0)


def entries(play, factor=15.):
    """The dict of entries: keys as enums, turns in units of `factor` degrees, and the view's
    absolute angles, which add up (pitch stops at 90)."""
    names, found = list(play["names"]), {}
    yaw, pitch = 170., 0.
    for i, state in enumerate(play["states"]):
        nothing = dict.fromkeys(names, 0.)
        before = dict(zip(names, play["actions"][i - 1].astype(float))) if i else nothing
        place = dict(zip(play["state_names"], state.astype(float)))
        yaw = (yaw + before["yaw"] + 180) % 360 - 180
        pitch = min(max(pitch + before["pitch"], -90), 90)
        found[str(i)] = dict(
            ws=enum(before, "forward", "back"), ad=enum(before, "left", "right"),
            scs=enum(before, "jump"), pitch=pitch, yaw=yaw,
            pitch_delta=before["pitch"]/factor, yaw_delta=before["yaw"]/factor,
            pos=[place["x"], place["z"], place["y"]])
    return found


def write(folder, play, factor=15., names=NAMES, data="data_2003", fps=16, change=None):
    """One recording a name, all of the same play; `factor`: degrees of one unit of a delta;
    `change(entries)` is called before they are written."""
    folder, rows = Path(folder)/data, [HEADER]
    (folder/"metadata").mkdir(parents=True)
    for name in names:
        found = entries(play, factor)
        if change:
            change(found)
        about = dict(biome="plains", initial_weather="rain", start_time="Sunset", actions=found)
        (folder/"metadata"/f"{name}.json").write_text(json.dumps(about))
        write_video(folder/"video"/f"{name}.mp4", play["frames"], fps)
        for start in (0, 20):
            text = f"A walk, over a plain, part {start}"
            rows.append(f'{name}.mp4,{start},{start + 20},"{text}"')
    (folder/"annotation.csv").write_text("\n".join(rows) + "\n")
    return folder


# ---- damages

def metadata(folder):
    return next(Path(folder).rglob(f"metadata/{NAMES[0]}.json"))


def video(folder):
    return next(Path(folder).rglob(f"video/{NAMES[0]}.mp4"))


def annotation(data):
    "Write other bytes into annotation.csv."
    return lambda folder: next(Path(folder).rglob("annotation.csv")).write_bytes(data)


def edit(change):
    "Change the entries of the first recording in place."
    def spoil(folder):
        path = metadata(folder)
        about = json.loads(path.read_text())
        change(about["actions"])
        path.write_text(json.dumps(about))
    return spoil


def change_entry(entry, **values):
    return edit(lambda found: found[entry].update(values))


def factor(field, factor):
    def change(found):
        for entry in found.values():
            entry[field] *= factor
    return edit(change)


def early(found):
    "Every turn is an entry too early: entry i is what is done AT frame i."
    for i in range(len(found) - 1):
        for key in ("yaw_delta", "pitch_delta"):
            found[str(i)][key] = found[str(i + 1)][key]


def lose(*fields):
    def change(found):
        for entry in found.values():
            for field in fields:
                del entry[field]
    return edit(change)


def twice(folder):
    path = metadata(folder)
    path.write_text(path.read_text().replace('"18": {', '"17": {', 1))


def other_turns(found):
    "A tenth of the turns are other ones."
    for i in range(5, 55, 5):
        found[str(i)]["yaw_delta"] += 1


def other_size(folder):
    write_video(video(folder), np.zeros((60, 96, 128, 3), np.uint8), 16)


def other_rate(folder):
    import av
    with av.open(str(video(folder))) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    write_video(video(folder), np.stack(frames), 20)


FIRST = r"seed_1_part_1\.json"
SPOILT = [
    Spoilt("a turn of 400 digits", change_entry("9", yaw_delta=10**400),
           error=FIRST + r": entry 9, yaw_delta"),
    Spoilt("a position beyond float32", change_entry("9", pos=[1e200, 0., 0.]),
           error=r"seed_1_part_1: a state of frame 9.*1e\+200"),
    Spoilt("ws of 7", change_entry("12", ws=7), error=FIRST + ": entry 12, ws is 7"),
    Spoilt("scs as text", change_entry("12", scs="jump"),
           error=FIRST + ": entry 12, scs is 'jump'"),
    Spoilt("NaN turn", change_entry("9", yaw_delta=float("nan")),
           error=FIRST + ": entry 9, yaw_delta is nan"),
    Spoilt("a position of two numbers", change_entry("9", pos=[1., 2.]),
           error=FIRST + ": entry 9, pos"),
    Spoilt("an entry lacks ad", edit(lambda found: found["30"].pop("ad")),
           error=FIRST + ": entry 30 lacks ad"),
    Spoilt("the last entry is missing", edit(lambda found: found.pop("59")),
           error=FIRST + r".*59.*seed_1_part_1\.mp4.*60"),
    Spoilt("entries are missing", edit(lambda found: [found.pop(k) for k in ("20", "21")]),
           repair=r"entries 20 to 21 are missing"),
    Spoilt("an entry appears twice", twice, error=FIRST + ".*'17' appears twice"),
    Spoilt("an entry that is no number", edit(lambda found: found.update(last=found["59"])),
           error=FIRST + ".*'last'"),
    Spoilt("an entry far away", edit(lambda found: found.update({"99999999999": found["59"]})),
           error=FIRST + " has entries up to 99999999999"),
    Spoilt("unknown field", change_entry("3", fov=70), repair=r"fov"),
    Spoilt("no actions", lambda folder: metadata(folder).write_text('{"biome": "plains"}'),
           error=FIRST + ".*actions"),
    Spoilt("torn json", lambda folder: cut_off(metadata(folder)), error=FIRST + ".*JSON"),
]
def few_turns(count):
    "A view that turns `count` times alone, by units of a degree."
    def change(found):
        yaw = 0.
        for i in range(len(found)):
            turn = 4. + i/10 if i in range(10, 10 + 5*count, 5) else 0.
            yaw += turn
            found[str(i)].update(yaw=yaw, yaw_delta=turn)
    return edit(change)


SPOILT += [  # turns
    Spoilt("four turns in degrees", few_turns(4),
           error=FIRST + r": a unit of yaw_delta is 1 degrees.*not 15.*scale=1.*in 4 turns"),
    Spoilt("three turns in degrees", few_turns(3),
           repair=r"15 degrees is not verified \(3 turns\); 3 of them .*unit is 1 degree"),
    Spoilt("turns are in degrees already", factor("yaw_delta", 15.),
           error=FIRST + ": .*yaw_delta.*15.*scale"),
    Spoilt("the sign of yaw is turned", factor("yaw_delta", -1.),
           error=FIRST + ": .*yaw_delta.*-15"),
    Spoilt("pitch in other units", factor("pitch_delta", 3.),
           error=FIRST + ": .*pitch_delta.*scale"),
    Spoilt("entries are an entry early", edit(early), error=FIRST + ": .*entry.*early"),
    Spoilt("a sixth of the turns are others", edit(other_turns),
           error=FIRST + r": .*yaw_delta.*entry \d+"),
    Spoilt("no absolute angles", lose("yaw", "pitch"), repair=r"not verified"),
]
SPOILT += [  # videos and prompts
    Spoilt("no video", lambda folder: video(folder).unlink(),
           error=r"seed_1_part_1\.mp4 is missing"),
    Spoilt("no metadata", lambda folder: metadata(folder).unlink(), error=FIRST + " is missing"),
    Spoilt("truncated video", lambda folder: cut_off(video(folder)),
           error=r"seed_1_part_1\.mp4"),
    Spoilt("zero-length video", lambda folder: video(folder).write_bytes(b""),
           error=r"seed_1_part_1\.mp4 is empty"),
    Spoilt("other size", other_size,
           repair=r"1 of 2 recordings 120x160 to 96x128"),
    Spoilt("other fps", other_rate, error=r"16.*20|20.*16"),
    Spoilt("annotation in Latin-1", annotation(b"seed_1_part_1.mp4,0,20,B\xe4r\n"),
           error=r"annotation\.csv.*UTF-8"),
    Spoilt("annotation row of two fields", annotation(b"seed_1_part_1,0\n"),
           error=r"annotation\.csv.*row 1"),
]
