"""Writers of tiny sources in other projects' formats, from play of known truth. They import nothing of wmkit but its recorder, and share no code with the importers."""
import functools
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np


@functools.cache
def play(frames=60, seed=0, size=(120, 160), skip=2):
    "Real play: frames uint8 [t h w 3], actions float [t a] taken AT each frame (named by `names`), states [t s] (named by `state_names`), fps."
    from wmkit.core import threads
    from wmkit.data.record import record
    folder = Path(tempfile.mkdtemp())
    try:
        with threads(1):
            dataset = record(folder/"play", episodes=1, frames=frames, test=0, seed=seed, size=size, skip=skip)
            found = dict(frames=dataset.frames(0).permute(0, 2, 3, 1).numpy(), actions=dataset.actions(0).numpy(), names=dataset.space.names,
                         states=dataset.states(0).numpy(), state_names=list(dataset.states_names), fps=dataset.fps)
    finally: shutil.rmtree(folder)
    for array in (found["frames"], found["actions"], found["states"]): array.flags.writeable = False
    return found


def write_video(path, frames, fps, codec="libx264", **options):
    "A video of frames uint8 [t h w 3]; near-lossless unless `options` say otherwise."
    import av
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        stream.options = dict(crf="10", preset="veryfast", threads="1") | options
        for frame in frames: container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())


def cut_off(path, share=.6):
    "Truncate a file to a share of its bytes."
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[:int(len(data)*share)])


@dataclass
class Spoilt:
    "A damaged source: `spoil(folder)` damages a fresh one in place; its import must raise `error` or report `repair` (regular expressions)."
    name: str
    spoil: Callable
    error: str = None
    repair: str = None
