"""GF-Minecraft (KwaiVGI/GameFactory): metadata/<name>.json, video/<name>.mp4, annotation.csv. Entry i is the input that led to frame i. Imports nothing of wmkit."""
import json
from pathlib import Path

import numpy as np

from . import Spoilt, cut_off, write_video

EXTRA = dict()
NAMES = ("seed_1_part_1", "seed_1_part_2")


def entries(play, factor=15.):
    "The dict of entries: keys as enums, turns in units of `factor` degrees, and the view's absolute angles, which add up (pitch stops at 90)."
    names, state_names, found = list(play["names"]), list(play["state_names"]), {}
    yaw, pitch = 170., 0.
    for i, state in enumerate(play["states"]):
        before = dict(zip(names, play["actions"][i - 1].astype(float))) if i else dict.fromkeys(names, 0.)
        place = dict(zip(state_names, state.astype(float)))
        yaw = (yaw + before["yaw"] + 180) % 360 - 180
        pitch = min(max(pitch + before["pitch"], -90), 90)
        found[str(i)] = dict(
            ws=1 if before["forward"] else 2 if before["back"] else 0, ad=1 if before["left"] else 2 if before["right"] else 0, scs=1 if before["jump"] else 0,
            pitch=pitch, yaw=yaw, pitch_delta=before["pitch"]/factor, yaw_delta=before["yaw"]/factor, pos=[place["x"], place["z"], place["y"]])
    return found


def write(folder, play, factor=15., names=NAMES, data="data_2003", fps=16, change=None, annotation=True):
    "One recording a name, all of the same play; `factor`: degrees of one unit of a delta; `change(entries)` is called before they are written."
    folder = Path(folder)/data
    (folder/"metadata").mkdir(parents=True)
    for name in names:
        found = entries(play, factor)
        if change: change(found)
        about = dict(biome="plains", initial_weather="rain", start_time="Sunset", actions=found)
        (folder/"metadata"/f"{name}.json").write_text(json.dumps(about))
        write_video(folder/"video"/f"{name}.mp4", play["frames"], fps)
    if annotation:
        rows = [f'{name}.mp4,{start},{start + 20},"A walk, over a plain, part {start}"' for name in names for start in (0, 20)]
        (folder/"annotation.csv").write_text("\n".join(["Original video name,Start frame index,End frame index,Prompt", *rows]) + "\n")
    return folder


def _json(folder): return next(Path(folder).rglob(f"metadata/{NAMES[0]}.json"))
def _video(folder): return next(Path(folder).rglob(f"video/{NAMES[0]}.mp4"))


def edit(change):
    "Spoil the entries of the first recording: `change(entries)` in place."
    def spoil(folder):
        path = _json(folder)
        about = json.loads(path.read_text())
        change(about["actions"])
        path.write_text(json.dumps(about))
    return spoil


def _set(entry, **values): return edit(lambda found: found[entry].update(values))


def _factor(field, factor):
    def change(found):
        for entry in found.values(): entry[field] *= factor
    return edit(change)


def _shift(found):
    "Every turn stands an entry too early: entry i is what is done AT frame i."
    for i in range(len(found) - 1):
        for key in ("yaw_delta", "pitch_delta"): found[str(i)][key] = found[str(i + 1)][key]


def _lose(*fields):
    def change(found):
        for entry in found.values():
            for field in fields: del entry[field]
    return edit(change)


def _twice(folder):
    path = _json(folder)
    text = path.read_text()
    path.write_text(text.replace('"18": {', '"17": {', 1))


def _turns(found):
    "A tenth of the turns are other ones."
    for i in range(5, 55, 5): found[str(i)]["yaw_delta"] += 1


def _other_size(folder):
    path = _video(folder)
    write_video(path, np.zeros((60, 96, 128, 3), np.uint8), 16)


def _other_rate(folder):
    import av
    with av.open(str(_video(folder))) as container: frames = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    write_video(_video(folder), frames, 20)


SPOILT = [
    Spoilt("a turn of 400 digits", _set("9", yaw_delta=10**400), error=r"seed_1_part_1\.json: entry 9, yaw_delta"),
    Spoilt("a position beyond float32", _set("9", pos=[1e200, 0., 0.]), error=r"seed_1_part_1: a state of frame 9.*1e\+200"),
    Spoilt("annotation in Latin-1", lambda folder: next(Path(folder).rglob("annotation.csv")).write_bytes(b"seed_1_part_1.mp4,0,20,B\xe4r\n"), error=r"annotation\.csv.*UTF-8"),
    Spoilt("ws of 7", _set("12", ws=7), error=r"seed_1_part_1\.json: entry 12, ws is 7"),
    Spoilt("scs as text", _set("12", scs="jump"), error=r"seed_1_part_1\.json: entry 12, scs is 'jump'"),
    Spoilt("NaN turn", _set("9", yaw_delta=float("nan")), error=r"seed_1_part_1\.json: entry 9, yaw_delta is nan"),
    Spoilt("a position of two numbers", _set("9", pos=[1., 2.]), error=r"seed_1_part_1\.json: entry 9, pos"),
    Spoilt("an entry lacks ad", edit(lambda found: found["30"].pop("ad")), error=r"seed_1_part_1\.json: entry 30 lacks ad"),
    Spoilt("the last entry is missing", edit(lambda found: found.pop("59")), error=r"seed_1_part_1\.json.*59.*seed_1_part_1\.mp4.*60"),
    Spoilt("entries are missing", edit(lambda found: [found.pop(k) for k in ("20", "21")]), repair=r"entries 20 to 21 are missing"),
    Spoilt("an entry stands twice", _twice, error=r"seed_1_part_1\.json.*'17' stands twice"),
    Spoilt("an entry that is no number", edit(lambda found: found.update(last=found["59"])), error=r"seed_1_part_1\.json.*'last'"),
    Spoilt("an entry far away", edit(lambda found: found.update({"99999999999": found["59"]})), error=r"seed_1_part_1\.json has entries up to 99999999999"),
    Spoilt("unknown field", _set("3", fov=70), repair=r"fov"),
    Spoilt("turns are in degrees already", _factor("yaw_delta", 15.), error=r"seed_1_part_1\.json: .*yaw_delta.*15.*scale"),
    Spoilt("the sign of yaw is turned", _factor("yaw_delta", -1.), error=r"seed_1_part_1\.json: .*yaw_delta.*-15"),
    Spoilt("pitch in other units", _factor("pitch_delta", 3.), error=r"seed_1_part_1\.json: .*pitch_delta.*scale"),
    Spoilt("entries are an entry early", edit(_shift), error=r"seed_1_part_1\.json: .*entry.*early"),
    Spoilt("a sixth of the turns are others", edit(_turns), error=r"seed_1_part_1\.json: .*yaw_delta.*entry \d+"),
    Spoilt("no absolute angles", _lose("yaw", "pitch"), repair=r"not verified"),
    Spoilt("no actions", lambda folder: _json(folder).write_text('{"biome": "plains"}'), error=r"seed_1_part_1\.json.*actions"),
    Spoilt("torn json", lambda folder: cut_off(_json(folder)), error=r"seed_1_part_1\.json.*JSON"),
    Spoilt("no video", lambda folder: _video(folder).unlink(), error=r"seed_1_part_1\.mp4 is missing"),
    Spoilt("no metadata", lambda folder: _json(folder).unlink(), error=r"seed_1_part_1\.json is missing"),
    Spoilt("truncated video", lambda folder: cut_off(_video(folder)), error=r"seed_1_part_1\.mp4"),
    Spoilt("zero-length video", lambda folder: _video(folder).write_bytes(b""), error=r"seed_1_part_1\.mp4 is empty"),
    Spoilt("other size", _other_size, error=r"seed_1_part_2: a frame of 120x160, the first recording begins with 96x128"),
    Spoilt("other fps", _other_rate, error=r"16.*20|20.*16"),
    Spoilt("annotation row of two fields", lambda folder: next(Path(folder).rglob("annotation.csv")).write_text("seed_1_part_1,0\n"), error=r"annotation\.csv.*row 1"),
]
