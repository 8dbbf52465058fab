"""MineRL v0 streams: <env>/<stream>/{recording.mp4, rendered.npz, metadata.json}. Imports nothing of wmkit."""
import json
import warnings
import zipfile
from pathlib import Path

import numpy as np

from . import Spoilt, cut_off, write_video

BUTTONS = "forward back left right jump sneak sprint attack".split()
EXTRA = dict()


def write(folder, play, env="MineRLNavigate-v0", stream="v1_calm_oak-3_120-180", skip=7, fps=20, still=False, **arrays):
    """`skip` frames (the flight to the start) come before the play; `still` repeats the last frame but one, as some recordings do.
    `arrays` are added to rendered.npz (None: left out)."""
    folder = Path(folder)/env/stream
    folder.mkdir(parents=True)
    names, steps = list(play["names"]), len(play["frames"]) - 1
    taken = play["actions"][:steps]
    held = {n: taken[:, names.index(n)] != 0 if n in names else np.zeros(steps) for n in BUTTONS}
    npz = {f"action${n}": v.astype(np.int64) for n, v in held.items()}
    npz["action$camera"] = taken[:, [names.index("pitch"), names.index("yaw")]].astype(np.float32)
    npz["reward"] = np.zeros(steps, np.float32)
    npz["observation$compassAngle"] = np.linspace(-90, 90, steps + 1)
    npz["observation$inventory$dirt"] = np.zeros(steps + 1, np.int64)
    npz = {k: v for k, v in (npz | arrays).items() if v is not None}
    np.savez_compressed(folder/"rendered.npz", **npz)
    before = np.repeat(play["frames"][-1:], skip, 0)//2  # unlike anything in the play
    after = play["frames"][-2:-1] if still else play["frames"][-1:]
    write_video(folder/"recording.mp4", np.concatenate([before, play["frames"][:-1], after]), fps)
    about = dict(success=True, duration_ms=50*steps, duration_steps=steps, total_reward=0., stream_name=stream, true_video_frame_count=skip + steps + 1)
    (folder/"metadata.json").write_text(json.dumps(about))
    return folder


def _file(folder, name): return next(Path(folder).rglob(name))


def _change(**arrays):
    "Spoil arrays of rendered.npz: a function of the old one, or None to leave it out; `_` in names stands for `$`."
    def spoil(folder):
        path = _file(folder, "rendered.npz")
        npz = dict(np.load(path))
        for key, change in arrays.items():
            key = key.replace("action_", "action$")
            old = npz.pop(key, None)
            if change is not None: npz[key] = change(old)
        np.savez(path, **npz)
    return spoil


def _about(**values):
    def spoil(folder):
        path = _file(folder, "metadata.json")
        about = json.loads(path.read_text()) | values
        path.write_text(json.dumps({k: v for k, v in about.items() if v is not None}))
    return spoil


def _set(row, value):
    def change(old):
        new = old.copy()
        new[row] = value
        return new
    return change


def _hostile(folder):
    path = _file(folder, "rendered.npz")
    npz = dict(np.load(path))

    class Bomb:
        def __reduce__(self): return Path.touch, (path.parent/"was_run",)
    np.savez(path, **npz | {"action$equip": np.array([Bomb()], dtype=object)})


def _hostile_camera(folder):
    path = _file(folder, "rendered.npz")
    npz = dict(np.load(path))
    np.savez(path, **npz | {"action$camera": npz["action$camera"].astype(object)})


def _more_frames(folder):
    path = _file(folder, "recording.mp4")
    count = json.loads(_file(folder, "metadata.json").read_text())["true_video_frame_count"]
    write_video(path, np.zeros((count + 4, 120, 160, 3), np.uint8), 20)


def _other_rate(folder):
    import av
    path = _file(folder, "recording.mp4")
    with av.open(str(path)) as container: frames = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    write_video(path, frames, 30)


def _member(name, data):
    "Put one more member into rendered.npz."
    def spoil(folder):
        with warnings.catch_warnings(), zipfile.ZipFile(_file(folder, "rendered.npz"), "a") as npz:
            warnings.simplefilter("ignore")
            npz.writestr(name, data)
    return spoil


SPOILT = [
    Spoilt("half a button", _change(action_forward=lambda old: old/2), error=r"rendered\.npz: row \d+.*forward.*0\.5.*whole"),
    Spoilt("an action stands twice", _member("action$jump.npy", b""), error=r"rendered\.npz.*action\$jump stands twice"),
    Spoilt("an action that is no array", _member("action$fly", b"hello"), error=r"rendered\.npz.*action\$fly is no array"),
    Spoilt("an array larger than any memory", _member("action$fly.npy", b"\x93NUMPY\x01\x00\x60\x00" + b"{'descr': '<f8', 'fortran_order': False, 'shape': (9000000000000,)}".ljust(96)), error=r"rendered\.npz is not readable"),
    Spoilt("metadata without end", lambda folder: _file(folder, "metadata.json").write_text("["*100_000), error=r"metadata\.json"),
    Spoilt("an action is one row short", _change(action_jump=lambda old: old[:-1]), error=r"rendered\.npz.*action\$jump.*\[58\].*59"),
    Spoilt("the camera has three columns", _change(action_camera=lambda old: np.repeat(old[:, :1], 3, 1)), error=r"rendered\.npz.*action\$camera.*\[59, 3\]"),
    Spoilt("NaN camera", _change(action_camera=_set(5, np.nan)), error=r"rendered\.npz: row 5.*nan"),
    Spoilt("a camera beyond half a turn", _change(action_camera=_set((4, 1), 500.)), error=r"rendered\.npz: row 4.*yaw.*500"),
    Spoilt("a button of 2", _change(action_forward=_set(3, 2)), error=r"rendered\.npz: row 3.*forward.*2"),
    Spoilt("no forward", _change(action_forward=None), error=r"rendered\.npz lacks action\$forward"),
    Spoilt("no reward", _change(reward=None), error=r"rendered\.npz lacks reward"),
    Spoilt("object array that would run code", _hostile, repair=r"action\$equip \(holds pickled objects"),
    Spoilt("the camera is an object array", _hostile_camera, error=r"rendered\.npz.*action\$camera.*pickle"),
    Spoilt("rendered.npz is not a zip", lambda folder: _file(folder, "rendered.npz").write_bytes(b"\x80\x04K\x01."), error=r"rendered\.npz"),
    Spoilt("rendered.npz is cut off", lambda folder: cut_off(_file(folder, "rendered.npz")), error=r"rendered\.npz"),
    Spoilt("unknown action", _change(action_teleport=lambda _: np.zeros(59, np.int64)), repair=r"action\$teleport \(no such channel"),
    Spoilt("an enum of words", _change(action_craft=lambda _: np.array(["none"]*59)), repair=r"action\$craft \(holds words"),
    Spoilt("other duration", _about(duration_steps=40), error=r"metadata\.json.*duration_steps.*40.*59"),
    Spoilt("fewer frames than steps by metadata", _about(true_video_frame_count=30), error=r"metadata\.json.*true_video_frame_count.*30.*60"),
    Spoilt("more frames by metadata than there are", _about(true_video_frame_count=90), error=r"recording\.mp4.*67.*90"),
    Spoilt("no frame count", _about(true_video_frame_count=None), error=r"metadata\.json.*true_video_frame_count"),
    Spoilt("another video", _more_frames, error=r"recording\.mp4 holds more than 67"),
    Spoilt("wrong fps", _other_rate, repair=r"30 frames a second.*20 was taken"),
    Spoilt("truncated video", lambda folder: cut_off(_file(folder, "recording.mp4")), error=r"recording\.mp4"),
    Spoilt("zero-length video", lambda folder: _file(folder, "recording.mp4").write_bytes(b""), error=r"recording\.mp4"),
    Spoilt("no video", lambda folder: _file(folder, "recording.mp4").unlink(), error=r"recording\.mp4.*missing"),
    Spoilt("no metadata", lambda folder: _file(folder, "metadata.json").unlink(), error=r"metadata\.json.*missing"),
    Spoilt("no actions", lambda folder: _file(folder, "rendered.npz").unlink(), error=r"rendered\.npz.*missing"),
    Spoilt("metadata is a list", lambda folder: _file(folder, "metadata.json").write_text("[1]"), error=r"metadata\.json"),
]
