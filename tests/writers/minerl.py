"""MineRL v0 streams: <env>/<stream>/{recording.mp4, rendered.npz, metadata.json}.

Imports nothing of wmkit."""
import json
import warnings
import zipfile
from pathlib import Path

import numpy as np

from . import Spoilt, column, cut_off, write_video

BUTTONS = "forward back left right jump sneak sprint attack".split()
EXTRA = dict()


def write(folder, play, env="MineRLNavigate-v0", stream="v1_calm_oak-3_120-180", skip=7, fps=20,
          still=False, **arrays):
    """`skip` frames (the flight to the start) come before the play; `still` repeats the last frame
    but one, as some recordings do. `arrays` are added to rendered.npz."""
    folder, steps = Path(folder)/env/stream, len(play["frames"]) - 1
    folder.mkdir(parents=True)
    np.savez_compressed(folder/"rendered.npz", **action_arrays(play, steps) | arrays)
    before = np.repeat(play["frames"][-1:], skip, 0)//2  # unlike anything in the play
    after = play["frames"][-2:-1] if still else play["frames"][-1:]
    frames = np.concatenate([before, play["frames"][:-1], after])
    write_video(folder/"recording.mp4", frames, fps)
    about = dict(success=True, duration_ms=50*steps, duration_steps=steps, total_reward=0.,
                 stream_name=stream, true_video_frame_count=skip + steps + 1)
    (folder/"metadata.json").write_text(json.dumps(about))
    return folder


def action_arrays(play, steps):
    found = {}
    for name in BUTTONS:
        there = name in play["names"]
        held = column(play, name)[:steps] != 0 if there else np.zeros(steps)
        found[f"action${name}"] = held.astype(np.int64)
    camera = np.stack([column(play, "pitch"), column(play, "yaw")], 1)[:steps]
    found["action$camera"] = camera.astype(np.float32)
    found["reward"] = np.zeros(steps, np.float32)
    found["observation$compassAngle"] = np.linspace(-90, 90, steps + 1)
    found["observation$inventory$dirt"] = np.zeros(steps + 1, np.int64)
    return found


# ---- damages

def numbers(folder):
    return next(Path(folder).rglob("rendered.npz"))


def about(folder):
    return next(Path(folder).rglob("metadata.json"))


def video(folder):
    return next(Path(folder).rglob("recording.mp4"))


def change(**changes):
    """Change arrays of rendered.npz: a function of the old one, or None to leave it out.

    `action_` in names stands for `action$`."""
    def spoil(folder):
        npz = dict(np.load(numbers(folder)))
        for key, new in changes.items():
            key = key.replace("action_", "action$")
            old = npz.pop(key, None)
            if new is not None:
                npz[key] = new(old)
        np.savez(numbers(folder), **npz)
    return spoil


def metadata(**values):
    "Change entries of metadata.json; None takes one away."
    def spoil(folder):
        found = json.loads(about(folder).read_text()) | values
        found = {key: value for key, value in found.items() if value is not None}
        about(folder).write_text(json.dumps(found))
    return spoil


def put(row, value):
    def changed(old):
        new = old.copy()
        new[row] = value
        return new
    return changed


def hostile(folder):
    path = numbers(folder)

    class Bomb:
        def __reduce__(self): return Path.touch, (path.parent/"was_run",)
    bomb = np.array([Bomb()], dtype=object)
    np.savez(path, **dict(np.load(path)) | {"action$equip": bomb})


def hostile_camera(folder):
    npz = dict(np.load(numbers(folder)))
    camera = npz["action$camera"].astype(object)
    np.savez(numbers(folder), **npz | {"action$camera": camera})


def more_frames(folder):
    count = json.loads(about(folder).read_text())["true_video_frame_count"]
    write_video(video(folder), np.zeros((count + 4, 120, 160, 3), np.uint8), 20)


def other_rate(folder):
    import av
    with av.open(str(video(folder))) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    write_video(video(folder), np.stack(frames), 30)


def member(name, data):
    "Put one more member into rendered.npz."
    def spoil(folder):
        with warnings.catch_warnings(), zipfile.ZipFile(numbers(folder), "a") as npz:
            warnings.simplefilter("ignore")
            npz.writestr(name, data)
    return spoil


HUGE = b"{'descr': '<f8', 'fortran_order': False, 'shape': (9000000000000,)}"
PROMISE = b"\x93NUMPY\x01\x00\x60\x00" + HUGE.ljust(96)  # more than any memory
SPOILT = [
    Spoilt("half a button", change(action_forward=lambda old: old/2),
           error=r"rendered\.npz: row \d+.*forward.*0\.5.*whole"),
    Spoilt("an action appears twice", member("action$jump.npy", b""),
           error=r"rendered\.npz.*action\$jump appears twice"),
    Spoilt("an action that is no array", member("action$fly", b"hello"),
           error=r"rendered\.npz.*action\$fly is no array"),
    Spoilt("an array larger than any memory", member("action$fly.npy", PROMISE),
           error=r"rendered\.npz is not readable"),
    Spoilt("an action is one row short", change(action_jump=lambda old: old[:-1]),
           error=r"rendered\.npz.*action\$jump.*\[58\].*59"),
    Spoilt("the camera has three columns",
           change(action_camera=lambda old: np.repeat(old[:, :1], 3, 1)),
           error=r"rendered\.npz.*action\$camera.*\[59, 3\]"),
    Spoilt("NaN camera", change(action_camera=put(5, np.nan)),
           error=r"rendered\.npz: row 5.*nan"),
    Spoilt("a camera beyond half a turn", change(action_camera=put((4, 1), 500.)),
           error=r"rendered\.npz: row 4.*yaw.*500"),
    Spoilt("a button of 2", change(action_forward=put(3, 2)),
           error=r"rendered\.npz: row 3.*forward.*2"),
    Spoilt("no forward", change(action_forward=None),
           error=r"rendered\.npz lacks action\$forward"),
    Spoilt("no reward", change(reward=None), error=r"rendered\.npz lacks reward"),
    Spoilt("object array that would run code", hostile,
           repair=r"action\$equip \(holds pickled objects"),
    Spoilt("the camera is an object array", hostile_camera,
           error=r"rendered\.npz.*action\$camera.*pickle"),
    Spoilt("rendered.npz is not a zip",
           lambda folder: numbers(folder).write_bytes(b"\x80\x04K\x01."), error=r"rendered\.npz"),
    Spoilt("rendered.npz is cut off", lambda folder: cut_off(numbers(folder)),
           error=r"rendered\.npz"),
    Spoilt("unknown action", change(action_teleport=lambda _: np.zeros(59, np.int64)),
           repair=r"action\$teleport \(no such channel"),
    Spoilt("an enum of words", change(action_craft=lambda _: np.array(["none"]*59)),
           repair=r"action\$craft \(holds words"),
]
SPOILT += [  # metadata and video
    Spoilt("metadata without end", lambda folder: about(folder).write_text("["*100_000),
           error=r"metadata\.json"),
    Spoilt("metadata is a list", lambda folder: about(folder).write_text("[1]"),
           error=r"metadata\.json"),
    Spoilt("other duration", metadata(duration_steps=40),
           error=r"metadata\.json.*duration_steps.*40.*59"),
    Spoilt("fewer frames than steps by metadata", metadata(true_video_frame_count=30),
           error=r"metadata\.json.*true_video_frame_count.*30.*60"),
    Spoilt("more frames by metadata than there are", metadata(true_video_frame_count=90),
           error=r"recording\.mp4.*67.*90"),
    Spoilt("no frame count", metadata(true_video_frame_count=None),
           error=r"metadata\.json.*true_video_frame_count"),
    Spoilt("another video", more_frames, error=r"recording\.mp4 holds more than 67"),
    Spoilt("wrong fps", other_rate, repair=r"30 frames a second.*20 was taken"),
    Spoilt("truncated video", lambda folder: cut_off(video(folder)), error=r"recording\.mp4"),
    Spoilt("zero-length video", lambda folder: video(folder).write_bytes(b""),
           error=r"recording\.mp4"),
    Spoilt("no video", lambda folder: video(folder).unlink(), error=r"recording\.mp4.*missing"),
    Spoilt("no metadata", lambda folder: about(folder).unlink(),
           error=r"metadata\.json.*missing"),
    Spoilt("no actions", lambda folder: numbers(folder).unlink(),
           error=r"rendered\.npz.*missing"),
]
