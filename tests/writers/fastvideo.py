"""Sources as FastVideo's Matrix-Game recipes read them; see nbs/14_import_fastvideo.ipynb.

Clips, one .npy of actions each, and an index."""
import json
import os
import shutil
from pathlib import Path

import numpy as np

from . import Spoilt, column, cut_off, write_video

KEYS = ("forward", "back", "left", "right", "turn_left", "turn_right")
INDEX = "videos2caption.json"


def keyboard_rows(play, columns):
    yaw = column(play, "yaw")
    found = {name: column(play, name) for name in KEYS[:4]}
    found |= dict(turn_left=yaw < -2, turn_right=yaw > 2)
    return np.stack([found[name] for name in KEYS[:columns]], 1).astype(np.float32)


def mouse_rows(play, order, degrees):
    yaw, pitch = (np.array(column(play, name), np.float32)/degrees for name in ("yaw", "pitch"))
    view = dict(up=-pitch, down=pitch, right=yaw, left=-yaw)
    return np.stack([view[side] for side in order.split(",")], 1).astype(np.float32)


def index_entry(name, frames, fps):
    n, (height, width) = len(frames), frames.shape[1:3]
    return dict(path=f"{name}.mp4", cap=[""], action_path=f"{name}_action.npy", num_frames=n,
                fps=fps, resolution=dict(width=width, height=height), duration=round(n/fps, 2))


def write(folder, play, clips=2, columns=4, index=INDEX, order="up,right", degrees=15., bare=False,
          extra=0):
    """The play cut into clips: videos/000000.mp4, 000000_action.npy and an index (None: without
    one); `bare`: arrays of keys alone; `extra` rows too many."""
    keyboard, mouse = keyboard_rows(play, columns), mouse_rows(play, order, degrees)
    folder, length, entries = Path(folder), len(play["frames"])//clips, []
    (folder/"videos").mkdir(parents=True)
    for c in range(clips):
        frames, name = play["frames"][c*length:(c + 1)*length], f"{c:06d}"
        rows = slice(c*length, (c + 1)*length + extra)
        write_video(folder/f"videos/{name}.mp4", frames, play["fps"])
        made = dict(keyboard=keyboard[rows], mouse=mouse[rows])
        put(folder/f"videos/{name}_action.npy", made["keyboard"] if bare else made)
        entries.append(index_entry(name, frames, float(play["fps"])))
    if index:
        (folder/index).write_text(json.dumps(entries, indent=1))


def put(path, actions):
    np.save(path, actions, allow_pickle=True)


class Call:
    "Pickles as a call of `what` with `arguments`, then with `state`."
    def __init__(self, what, *arguments, state=None):
        self.made = (what, arguments) if state is None else (what, arguments, state)

    def __reduce__(self):
        return self.made


RECONSTRUCT = np.zeros(0).__reduce__()[0]


def promise(shape, kind="f4", data=bytes(64)):
    "Pickles as an array of `shape`, whatever it holds."
    state = (1, shape, np.dtype(kind), False, data)
    return Call(RECONSTRUCT, np.ndarray, (0,), b"b", state=state)


def header(shape, kind, data=b""):
    "An .npy that promises `shape`."
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    text += " "*(-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + data


# ---- damages

def actions(folder):
    return Path(folder)/"videos/000001_action.npy"


def instead(make):
    "Other contents for the second clip's actions, made from what is there: an object, or bytes."
    def spoil(folder):
        made = make(np.load(actions(folder), allow_pickle=True).item())
        if isinstance(made, bytes):
            actions(folder).write_bytes(made)
        else:
            put(actions(folder), made)
    return spoil


def field(**changes):
    "The second clip's actions with fields changed."
    return instead(lambda of: of | changes)


def marked(key, value):
    "The second clip's actions with one number changed."
    def change(of):
        of[key][7, 1] = value
        return of
    return instead(change)


def each(change):
    "The second clip's actions with every array changed."
    return instead(lambda of: {key: change(array) for key, array in of.items()})


def edit_index(change):
    def spoil(folder):
        entries = json.loads((Path(folder)/INDEX).read_text())
        change(entries)
        (Path(folder)/INDEX).write_text(json.dumps(entries))
    return spoil


def outside(folder):
    shutil.copy(actions(folder), Path(folder).parent/"outside.npy")
    edit_index(lambda entries: entries[1].update(action_path="../../outside.npy"))(folder)


EXTRA = {}
FLAG = Path(__file__).parent/"never_written"  # what a pickle that runs would write
SHELL = Call(os.system, f"touch {FLAG}")
PAIRS = b"".join(b"\x94h" + bytes([i]) + b"\x86" for i in range(60))
BOMB = b"\x80\x04}(K\x01" + PAIRS + b"K\x01u."  # {a pair of pairs of pairs ...: 1}
SECOND = r"000001_action\.npy"
SPOILT = [
    Spoilt("pickle that calls the shell", field(mouse=SHELL),
           error=SECOND + r".*(posix|nt)\.system"),
    Spoilt("pickle that evaluates",
           instead(lambda of: Call(eval, f"open({str(FLAG)!r}, 'w')")),
           error=SECOND + r".*builtins\.eval"),
    Spoilt("pickle with calls inside calls",
           field(mouse=Call(RECONSTRUCT, SHELL, (0,), b"b")), error=r"(posix|nt)\.system"),
    Spoilt("pickle that calls a result",
           instead(lambda of: header("()", "|O", b"\x80\x04}(K\x01K\x02ut)R.")), error=SECOND),
    Spoilt("array of objects", field(keyboard=np.array([[1, None], [2, "x"]], object)),
           error=SECOND + ".*keyboard.*objects"),
    Spoilt("object array in place of a dict", instead(lambda of: np.array([of, of], object)),
           error=SECOND + ".*objects"),
    Spoilt("pickle that promises too much", field(keyboard=promise((10**12, 4))),
           error=SECOND + ".*1000000000000"),
    Spoilt("header that promises too much",
           instead(lambda of: header("(1000000000000, 4)", "<f4", bytes(64))),
           error=SECOND + ".*1000000000000"),
    Spoilt("key of 2**60 numbers", instead(lambda of: header("()", "|O", BOMB)),
           error=SECOND + ".*key that is no text"),
]
SPOILT += [  # rows and columns
    Spoilt("mouse at twice the rate",
           instead(lambda of: of | dict(mouse=np.repeat(of["mouse"], 2, 0))),
           error=SECOND + ".*30 rows, mouse 60"),
    Spoilt("half of an .npy", lambda folder: cut_off(actions(folder)), error=SECOND),
    Spoilt("no bytes at all", lambda folder: actions(folder).write_bytes(b""), error=SECOND),
    Spoilt("too few rows", each(lambda array: array[:-1]), error=SECOND + ".*29.*30"),
    Spoilt("too many rows", each(lambda array: np.concatenate([array, array[:5]])),
           repair="5 rows"),
    Spoilt("keys of another width",
           instead(lambda of: of | dict(keyboard=of["keyboard"][:, :3])),
           error=SECOND + ".*3 columns"),
    Spoilt("key half pressed", marked("keyboard", .5), error=SECOND + r".*row 7.*0\.5"),
    Spoilt("mouse not a number", marked("mouse", np.nan), error=SECOND + ".*row 7"),
    Spoilt("mouse in pixels", marked("mouse", 212), error=SECOND + ".*row 7.*yaw"),
    Spoilt("no mouse in one clip", instead(lambda of: dict(keyboard=of["keyboard"])),
           error=SECOND + ".*mouse"),
    Spoilt("unknown field", field(weather=np.zeros(3), tags=["fog", 1]), repair="field weather"),
]
SPOILT += [  # index and video
    Spoilt("actions outside of the folder", outside, error="leads out"),
    Spoilt("index counts other frames",
           edit_index(lambda entries: entries[1].update(num_frames=77)),
           error=r"000001\.mp4.*30.*77"),
    Spoilt("index of another rate", edit_index(lambda entries: entries[1].update(fps=25)),
           error=r"000001\.mp4.*25"),
    Spoilt("index without actions", edit_index(lambda entries: entries[1].pop("action_path")),
           error=r"videos2caption\.json.*action_path"),
    Spoilt("index twice", edit_index(lambda entries: entries.append(entries[0])),
           error=r"videos2caption\.json.*twice"),
    Spoilt("torn video", lambda folder: cut_off(Path(folder)/"videos/000001.mp4"),
           error=r"000001\.mp4"),
]
