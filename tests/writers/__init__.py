"""Writers of tiny sources in other projects' formats, from play of known truth.

They import nothing of wmkit but its recorder, and share no code with the importers.
"""
import functools
import io
import shutil
import tempfile
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np


@functools.cache
def play(frames=60, seed=0, size=(120, 160), skip=2):
    """Real play: `frames` uint8 [t h w 3], `actions` float [t a] taken AT each frame (named by
    `names`), `states` [t s] (named by `state_names`), `fps`."""
    from wmkit.core import threads
    from wmkit.data.record import record
    folder = Path(tempfile.mkdtemp())
    options = dict(episodes=1, frames=frames, test=0, seed=seed, size=size, skip=skip)
    try:
        with threads(1), redirect_stdout(io.StringIO()):
            found = as_arrays(record(folder/"play", **options))
    finally:
        shutil.rmtree(folder)
    for name in ("frames", "actions", "states"):
        found[name].flags.writeable = False
    return found


def as_arrays(dataset):
    "The first episode of a data set as `play` gives it."
    frames = dataset.frames(0).permute(0, 2, 3, 1).numpy()
    return dict(frames=frames, fps=dataset.fps,
                actions=dataset.actions(0).numpy(), names=dataset.space.names,
                states=dataset.states(0).numpy(), state_names=list(dataset.states_names))


def column(play, name):
    "One channel of a play's actions, [t]."
    return play["actions"][:, play["names"].index(name)]


def write_video(path, frames, fps, codec="libx264", **options):
    "A video of frames uint8 [t h w 3]; near-lossless unless `options` say otherwise."
    import av
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        stream.options = dict(crf="10", preset="veryfast", threads="1") | options
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def cut_off(path, share=.6):
    "Truncate a file to a share of its bytes."
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[:int(len(data)*share)])


@dataclass
class Spoilt:
    """A damaged source: `spoil(folder)` damages a fresh one in place.

    Its import must raise `error` or report `repair` (regular expressions)."""
    name: str
    spoil: Callable
    error: str = None
    repair: str = None
