"""Bare videos: play without its actions, in several containers, with cuts, black and frozen stretches and uneven time stamps; see nbs/14_import_video.ipynb."""
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np

from . import Spoilt, cut_off, play, write_video

CODECS = dict(mp4="libx264", mkv="libx264", mov="libx264", ts="libx264", avi="mpeg4", webm="libvpx-vp9")


def write(folder, play, kind="mp4", name="replay", scenes=1, black=0, frozen=0):
    "One video of the play; with `scenes`, so many equal parts in reverse order, with `black` frames between them and the last frame of each standing still for `frozen` more."
    parts = np.array_split(play["frames"], scenes)[::-1]
    still = [np.concatenate([part, np.repeat(part[-1:], frozen, 0)]) for part in parts]
    dark = np.zeros((black, *play["frames"].shape[1:]), np.uint8)
    frames = np.concatenate([piece for part in still for piece in (part, dark)])[:sum(map(len, still)) + black*(scenes - 1)]
    options = {} if CODECS[kind] == "libx264" else dict(crf="20", cpu_used="8", deadline="realtime") if kind == "webm" else dict(qmin="2", qmax="3", b="8000000")
    write_video(Path(folder)/f"{name}.{kind}", frames, Fraction(play["fps"]), CODECS[kind], **options)
    return frames


def write_uneven(path, frames, stamps, rate=1000):
    "A video whose frame i is shown at `stamps[i]`, in units of 1/rate seconds."
    import av
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, rate)
        stream.options = dict(crf="10", preset="veryfast", threads="1")
        for image, stamp in zip(frames, stamps):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = int(stamp), Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def another(folder, **variants):
    shutil.rmtree(folder)
    write(folder, play(), **variants)


def two_sizes(folder): write_video(folder/"small.mp4", play()["frames"][:, ::2, ::2], play()["fps"])


def uneven(folder):
    (folder/"replay.mp4").unlink()
    stamps = np.delete(np.arange(60)*57, [20, 21, 40])  # three frames are shown twice as long, or longer
    write_uneven(folder/"replay.mp4", np.delete(play()["frames"], [20, 21, 40], 0), stamps)


def hole(folder):
    (folder/"replay.mp4").unlink()
    write_uneven(folder/"replay.mp4", play()["frames"], np.arange(60)*57 + 5000*(np.arange(60) >= 30))


SPOILT = [
    Spoilt("empty folder", lambda folder: (folder/"replay.mp4").unlink(), error=r"no video in .*source"),
    Spoilt("zero bytes", lambda folder: (folder/"replay.mp4").write_bytes(b""), error=r"replay\.mp4 is empty"),
    Spoilt("truncated mp4", lambda folder: cut_off(folder/"replay.mp4"), error=r"replay\.mp4"),
    Spoilt("truncated ts", lambda folder: (another(folder, kind="ts"), cut_off(folder/"replay.ts", .9)), error=r"replay\.ts.*cannot be decoded.*cut off"),
    Spoilt("a text with the name of a video", lambda folder: (folder/"replay.mp4").write_text("not found"), error=r"replay\.mp4 cannot be opened as a video"),
    Spoilt("two sizes", two_sizes, error=r"[Ss]ize|joined"),
    Spoilt("black between scenes", lambda folder: another(folder, scenes=2, black=8), repair=r"8 black frames"),
    Spoilt("all black", lambda folder: write_video(folder/"replay.mp4", np.zeros((40, 96, 128, 3), np.uint8), 20), error=r"no frame"),
    Spoilt("loading screen", lambda folder: another(folder, scenes=2, frozen=60), repair=r"stood still"),
    Spoilt("uneven time stamps", uneven, repair=r"repeated"),
    Spoilt("a hole of five seconds", hole, repair=r"no frame for 5"),
    Spoilt("a single frame", lambda folder: write_video(folder/"replay.mp4", play()["frames"][:1], 20), error=r"replay\.mp4: a single frame without a neighbour"),
]
EXTRA = {}
