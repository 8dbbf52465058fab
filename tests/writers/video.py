"""Bare videos: play without its actions; see nbs/14_import_video.ipynb.

In several containers, with cuts, black and frozen stretches and uneven time stamps."""
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np

from . import Spoilt, cut_off, play, write_video

CODECS = dict(mp4="libx264", mkv="libx264", mov="libx264", ts="libx264", avi="mpeg4",
              webm="libvpx-vp9")
OPTIONS = dict(avi=dict(qmin="2", qmax="3", b="8000000"),
               webm=dict(crf="20", cpu_used="8", deadline="realtime"))


def write(folder, play, kind="mp4", name="replay", scenes=1, black=0, frozen=0):
    """One video of the play; with `scenes`, so many equal parts in reverse order, with `black`
    frames between them and the last frame of each standing still for `frozen` more."""
    dark, pieces = np.zeros((black, *play["frames"].shape[1:]), np.uint8), []
    for part in np.array_split(play["frames"], scenes)[::-1]:
        pieces += [dark, part, np.repeat(part[-1:], frozen, 0)]
    frames, path = np.concatenate(pieces[1:]), Path(folder)/f"{name}.{kind}"
    write_video(path, frames, Fraction(play["fps"]), CODECS[kind], **OPTIONS.get(kind, {}))
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


# ---- damages

def another(**form):
    "The play in another form."
    def spoil(folder):
        shutil.rmtree(folder)
        write(folder, play(), **form)
    return spoil


def torn_ts(folder):
    another(kind="ts")(folder)
    cut_off(folder/"replay.ts", .9)


def two_sizes(folder):
    write_video(folder/"small.mp4", play()["frames"][:, ::2, ::2], play()["fps"])


def instead(frames):
    "Another video of 20 frames a second."
    return lambda folder: write_video(folder/"replay.mp4", frames(), 20)


def uneven(folder):
    "Three frames are missing: those before them are shown twice as long, or longer."
    missing = [20, 21, 40]
    (folder/"replay.mp4").unlink()
    stamps = np.delete(np.arange(60)*57, missing)
    write_uneven(folder/"replay.mp4", np.delete(play()["frames"], missing, 0), stamps)


def hole(folder):
    (folder/"replay.mp4").unlink()
    stamps = np.arange(60)*57 + 5000*(np.arange(60) >= 30)
    write_uneven(folder/"replay.mp4", play()["frames"], stamps)


SPOILT = [
    Spoilt("empty folder", lambda folder: (folder/"replay.mp4").unlink(),
           error=r"no video in .*source"),
    Spoilt("zero bytes", lambda folder: (folder/"replay.mp4").write_bytes(b""),
           error=r"replay\.mp4 is empty"),
    Spoilt("truncated mp4", lambda folder: cut_off(folder/"replay.mp4"), error=r"replay\.mp4"),
    Spoilt("truncated ts", torn_ts, error=r"replay\.ts.*cannot be decoded.*cut off"),
    Spoilt("a text with the name of a video",
           lambda folder: (folder/"replay.mp4").write_text("not found"),
           error=r"replay\.mp4 cannot be opened as a video"),
    Spoilt("two sizes", two_sizes, repair=r"1 of 2 recordings 60x80 to 120x160; enlarged"),
    Spoilt("black between scenes", another(scenes=2, black=8), repair=r"8 black frames"),
    Spoilt("all black", instead(lambda: np.zeros((40, 96, 128, 3), np.uint8)),
           error=r"no frame"),
    Spoilt("loading screen", another(scenes=2, frozen=60), repair=r"stood still"),
    Spoilt("uneven time stamps", uneven, repair=r"repeated"),
    Spoilt("a hole of five seconds", hole, repair=r"no frame for 5"),
    Spoilt("a single frame", instead(lambda: play()["frames"][:1]),
           error=r"replay\.mp4: a single frame without a neighbour"),
]
EXTRA = {}
