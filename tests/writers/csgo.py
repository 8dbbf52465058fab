"""Counter-Strike recordings (TeaPearce/Counter-Strike_Behavioural_Cloning).

`hdf5_dm_july2021_<n>.hdf5` with `frame_<i>_x`, `_y`, `_xaux`, `_helperarr` for each frame, 16
a second, pictures in BGR, actions one-hot as config.py and dm_pretrain_process.py lay them out."""
import math
import os
from pathlib import Path

import numpy as np

from . import Spoilt, cut_off

ORDER = ("forward left back right jump sneak walk "  # w a s d space ctrl shift
         "hotbar_1 hotbar_2 hotbar_3 reload attack scope").split()  # 1 2 3 r, left and right click
BINS_X = [-1000, -500, -300, -200, -100, -60, -30, -20, -10, -4, -2, 0,
          2, 4, 10, 20, 30, 60, 100, 200, 300, 500, 1000]
BINS_Y = [-200, -100, -50, -20, -10, -4, -2, 0, 2, 4, 10, 20, 50, 100, 200]
RADIANS_A_PIXEL = .00096


def nearest(value, bins):
    return min(range(len(bins)), key=lambda i: abs(bins[i] - value))


def write(folder, play, files=2, dead=None, size=(150, 280), name="hdf5_dm_july2021_{}.hdf5"):
    """`dead`: (row of each file in which the player dies, row in which he is back).

    Channels that the play lacks are never pressed."""
    import h5py
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = len(play["frames"])//files
    for number in range(files):
        part = slice(number*rows, (number + 1)*rows)
        health = np.ones(rows)
        if dead:
            health[dead[0]:dead[1]] = 0
        labels, mouse = labelled(play["actions"][part], list(play["names"]), health)
        with h5py.File(folder/name.format(number + 1), "w") as file:
            for i, frame in enumerate(play["frames"][part]):
                file[f"frame_{i}_x"] = resized(frame, size)[..., ::-1]
                file[f"frame_{i}_y"] = labels[i]
                file[f"frame_{i}_xaux"] = history(i, labels, mouse, health)
                dies = bool(dead) and i == dead[0]
                file[f"frame_{i}_helperarr"] = [float(i % 9 == 5), float(dies)]
    return folder


def resized(frame, size):
    tall, wide = (np.arange(n)*frame.shape[axis]//n for axis, n in enumerate(size))
    return frame[tall][:, wide]


def history(i, labels, mouse, health):
    "What happened in the three steps before frame i."
    steps = np.zeros((3, 18))
    for j in range(min(i, 3)):
        t = i - j - 1
        steps[j] = [*labels[t][:13], *mouse[t], health[t], .5, 1]
    return steps.reshape(-1)


def labelled(actions, names, health):
    """(labels [t 51], mouse as a share of its limits [t 2]).

    Nothing is labelled in row 0 and while the player is dead."""
    labels, mouse = np.zeros((len(actions), 51)), np.zeros((len(actions), 2))
    for i, values in enumerate(actions):
        alive = i and health[i] and health[i-1]
        action = dict(zip(names, values)) if alive else {}
        labels[i, :13] = [action.get(key, 0) > .5 for key in ORDER]
        x = nearest(math.radians(action.get("yaw", 0))/RADIANS_A_PIXEL, BINS_X)
        y = nearest(math.radians(action.get("pitch", 0))/RADIANS_A_PIXEL, BINS_Y)
        labels[i, 13 + x] = labels[i, 36 + y] = 1
        mouse[i] = BINS_X[x]/1000, BINS_Y[y]/200
    return labels, mouse


# ---- damages

KINDS = ("x", "y", "xaux", "helperarr")


def first(folder):
    return sorted(Path(folder).rglob("*.hdf5"))[0]


def edit(change):
    "Change the first file, opened by h5py."
    def spoil(folder):
        import h5py
        with h5py.File(first(folder), "a") as file:
            change(file)
    return spoil


def replace(key, change):
    "Change one array of the first file."
    def spoil(file):
        old = file[key][()]
        del file[key]
        file[key] = change(old)
    return edit(spoil)


def put(at, value):
    def change(old):
        old[at] = value
        return old
    return change


def drop(*keys):
    def change(file):
        for key in keys:
            del file[key]
    return edit(change)


def link_out(file):
    import h5py
    other = Path(file.filename).with_name("other.bin")
    with h5py.File(other, "w") as secret:
        secret["frame_4_x"] = file["frame_4_x"][()]
    del file["frame_4_x"]
    file["frame_4_x"] = h5py.ExternalLink(os.fspath(other), "frame_4_x")


def raw_outside(file):
    picture = file["frame_4_x"][()]
    other = Path(file.filename).with_name("other.bin")
    other.write_bytes(picture.tobytes())
    del file["frame_4_x"]
    bytes_elsewhere = [(os.fspath(other), 0, picture.nbytes)]
    file.create_dataset("frame_4_x", picture.shape, "uint8", external=bytes_elsewhere)


SPOILT = [
    Spoilt("health is NaN", replace("frame_9_xaux", put(15, np.nan)),
           error=r"1\.hdf5: frame_9_xaux: health is nan"),
    Spoilt("one frame lacks xaux", drop("frame_9_xaux"),
           error=r"1\.hdf5: frame_9_xaux is missing"),
    Spoilt("three frames are missing",
           drop(*(f"frame_{i}_{kind}" for i in (10, 11, 12) for kind in KINDS)),
           repair=r"frames 10 to 12 are missing"),
    Spoilt("a picture is missing", drop("frame_7_x"), repair=r"frame 7 is missing"),
    Spoilt("a label is missing", drop("frame_7_y"), error=r"1\.hdf5.*frame_7_y"),
    Spoilt("two mouse bins", replace("frame_9_y", put(slice(13, 15), 1)),
           error=r"1\.hdf5: frame_9_y.*mouse_x"),
    Spoilt("no mouse bin", replace("frame_9_y", put(slice(36, 51), 0)),
           error=r"1\.hdf5: frame_9_y.*mouse_y"),
    Spoilt("half a key", replace("frame_9_y", put(2, .5)),
           error=r"1\.hdf5: frame_9_y.*back.*0\.5"),
    Spoilt("a key is NaN", replace("frame_9_y", put(0, np.nan)),
           error=r"1\.hdf5: frame_9_y.*forward.*nan"),
    Spoilt("labels of another layout", replace("frame_9_y", lambda old: old[:50]),
           error=r"1\.hdf5: frame_9_y.*51"),
    Spoilt("pictures as floats", replace("frame_3_x", lambda old: old/255),
           error=r"1\.hdf5: frame_3_x.*uint8"),
    Spoilt("a picture of another size", replace("frame_3_x", lambda old: old[:100]),
           error=r"1\.hdf5: frame_3_x.*100"),
    Spoilt("no HDF5", lambda folder: first(folder).write_text("frame_0_x"),
           error=r"1\.hdf5.*HDF5"),
    Spoilt("cut off", lambda folder: cut_off(first(folder)), error=r"1\.hdf5"),
    Spoilt("empty", lambda folder: first(folder).write_bytes(b""), error=r"1\.hdf5.*HDF5"),
    Spoilt("a link to another file", edit(link_out), error=r"1\.hdf5: frame_4_x.*link"),
    Spoilt("bytes of another file", edit(raw_outside),
           error=r"1\.hdf5: frame_4_x.*another file"),
    Spoilt("an unknown key", edit(lambda file: file.create_dataset("frame_3_depth", data=[1.])),
           repair=r"frame_3_depth|frame_\*_depth"),
]
EXTRA = {}
