"""Sources as FastVideo's Matrix-Game recipes read them: clips, one .npy of actions each, and an index; see nbs/14_import_fastvideo.ipynb."""
import json
import os
import shutil
from pathlib import Path

import numpy as np

from . import Spoilt, cut_off, write_video

KEYS = ("forward", "back", "left", "right", "turn_left", "turn_right")


def write(folder, play, clips=2, columns=4, mouse=True, index="videos2caption.json", order="up,right", degrees=15., bare=False, extra=0):
    "The play cut into clips: videos/000000.mp4, 000000_action.npy and an index (None: without one); `bare`: arrays of keys alone; `extra` rows too many."
    of = {name: np.array(play["actions"][:, i], np.float32) for i, name in enumerate(play["names"])}
    of |= dict(turn_left=of["yaw"] < -2, turn_right=of["yaw"] > 2)
    view = dict(up=-of["pitch"]/degrees, down=of["pitch"]/degrees, right=of["yaw"]/degrees, left=-of["yaw"]/degrees)
    keyboard = np.stack([of[name] for name in KEYS[:columns]], 1).astype(np.float32)
    moved = np.stack([view[side] for side in order.split(",")], 1).astype(np.float32)
    folder, length, entries = Path(folder), len(play["frames"])//clips, []
    (folder/"videos").mkdir(parents=True)
    for c in range(clips):
        frames = play["frames"][c*length:(c + 1)*length]
        rows = slice(c*length, (c + 1)*length + extra)
        write_video(folder/f"videos/{c:06d}.mp4", frames, play["fps"])
        put(folder/f"videos/{c:06d}_action.npy", keyboard[rows] if bare else dict(keyboard=keyboard[rows]) | (dict(mouse=moved[rows]) if mouse else {}))
        entries.append(dict(path=f"{c:06d}.mp4", cap=[""], action_path=f"{c:06d}_action.npy", num_frames=length, fps=float(play["fps"]),
                            resolution=dict(width=frames.shape[2], height=frames.shape[1]), duration=round(length/float(play["fps"]), 2)))
    if index: (folder/index).write_text(json.dumps(entries, indent=1))


def put(path, actions): np.save(path, actions, allow_pickle=True)


class Call:
    "Pickles as a call of `what` with `arguments`, then with `state`."
    def __init__(self, what, *arguments, state=None): self.made = (what, arguments) if state is None else (what, arguments, state)
    def __reduce__(self): return self.made


RECONSTRUCT = np.zeros(0).__reduce__()[0]


def promise(shape, kind="f4", data=bytes(64)):
    "Pickles as an array of `shape`, whatever it holds."
    return Call(RECONSTRUCT, np.ndarray, (0,), b"b", state=(1, shape, np.dtype(kind), False, data))


# ---- damage


def actions(folder): return Path(folder)/"videos/000001_action.npy"


def instead(make):
    "Other contents for the second clip's actions: an object to be saved, or bytes, made from what is there."
    def spoil(folder):
        made = make(np.load(actions(folder), allow_pickle=True).item())
        if isinstance(made, bytes): actions(folder).write_bytes(made)
        else: put(actions(folder), made)
    return spoil


def marked(of, key, place, value):
    of[key][place] = value
    return of


def header(shape, kind, data=b""):
    "An .npy that promises `shape`."
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    text += " "*(-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + data


def edit_index(change):
    def spoil(folder):
        path = Path(folder)/"videos2caption.json"
        entries = json.loads(path.read_text())
        change(entries)
        path.write_text(json.dumps(entries))
    return spoil


def outside(folder):
    shutil.copy(actions(folder), Path(folder).parent/"outside.npy")
    edit_index(lambda entries: entries[1].update(action_path="../../outside.npy"))(folder)


EXTRA = {}
FLAG = Path(__file__).parent/"never_written"  # what a pickle that runs would write
BOMB = b"\x80\x04}(K\x01" + b"".join(b"\x94h" + bytes([i]) + b"\x86" for i in range(60)) + b"K\x01u."  # {a pair of pairs of pairs ...: 1}
SPOILT = [
    Spoilt("pickle that calls the shell", instead(lambda of: of | dict(mouse=Call(os.system, f"touch {FLAG}"))), error=r"000001_action\.npy.*(posix|nt)\.system"),
    Spoilt("pickle that evaluates", instead(lambda of: Call(eval, f"open({str(FLAG)!r}, 'w')")), error=r"000001_action\.npy.*builtins\.eval"),
    Spoilt("pickle with calls inside calls", instead(lambda of: of | dict(mouse=Call(RECONSTRUCT, Call(os.system, f"touch {FLAG}"), (0,), b"b"))), error=r"(posix|nt)\.system"),
    Spoilt("pickle that calls a result", instead(lambda of: header("()", "|O", b"\x80\x04}(K\x01K\x02ut)R.")), error=r"000001_action\.npy"),
    Spoilt("array of objects", instead(lambda of: of | dict(keyboard=np.array([[1, None], [2, "x"]], object))), error=r"000001_action\.npy.*keyboard.*objects"),
    Spoilt("object array in place of a dict", instead(lambda of: np.array([of, of], object)), error=r"000001_action\.npy.*objects"),
    Spoilt("pickle that promises too much", instead(lambda of: of | dict(keyboard=promise((10**12, 4)))), error=r"000001_action\.npy.*1000000000000"),
    Spoilt("header that promises too much", instead(lambda of: header("(1000000000000, 4)", "<f4", bytes(64))), error=r"000001_action\.npy.*1000000000000"),
    Spoilt("key of 2**60 numbers", instead(lambda of: header("()", "|O", BOMB)), error=r"000001_action\.npy.*key that is no text"),
    Spoilt("mouse at twice the rate", instead(lambda of: of | dict(mouse=np.repeat(of["mouse"], 2, 0))), error=r"000001_action\.npy.*30 rows, mouse 60"),
    Spoilt("half of an .npy", lambda folder: cut_off(actions(folder)), error=r"000001_action\.npy"),
    Spoilt("no bytes at all", lambda folder: actions(folder).write_bytes(b""), error=r"000001_action\.npy"),
    Spoilt("too few rows", instead(lambda of: {k: v[:-1] for k, v in of.items()}), error=r"000001_action\.npy.*29.*30"),
    Spoilt("too many rows", instead(lambda of: {k: np.concatenate([v, v[:5]]) for k, v in of.items()}), repair="5 rows"),
    Spoilt("keys of another width", instead(lambda of: of | dict(keyboard=of["keyboard"][:, :3])), error=r"000001_action\.npy.*3 columns"),
    Spoilt("key half pressed", instead(lambda of: marked(of, "keyboard", (7, 1), .5)), error=r"000001_action\.npy.*row 7.*0\.5"),
    Spoilt("mouse not a number", instead(lambda of: marked(of, "mouse", (7, 1), np.nan)), error=r"000001_action\.npy.*row 7"),
    Spoilt("mouse in pixels", instead(lambda of: marked(of, "mouse", (7, 1), 212)), error=r"000001_action\.npy.*row 7.*yaw"),
    Spoilt("no mouse in one clip", instead(lambda of: dict(keyboard=of["keyboard"])), error=r"000001_action\.npy.*mouse"),
    Spoilt("unknown field", instead(lambda of: of | dict(weather=np.zeros(3), tags=["fog", 1])), repair="field weather"),
    Spoilt("actions outside of the folder", outside, error="leads out"),
    Spoilt("index counts other frames", edit_index(lambda entries: entries[1].update(num_frames=77)), error=r"000001\.mp4.*30.*77"),
    Spoilt("index of another rate", edit_index(lambda entries: entries[1].update(fps=25)), error=r"000001\.mp4.*25"),
    Spoilt("index without actions", edit_index(lambda entries: entries[1].pop("action_path")), error=r"videos2caption\.json.*action_path"),
    Spoilt("index twice", edit_index(lambda entries: entries.append(entries[0])), error=r"videos2caption\.json.*twice"),
    Spoilt("torn video", lambda folder: cut_off(Path(folder)/"videos/000001.mp4"), error=r"000001\.mp4"),
]
