"""Data, as ratios in one run.

decord against PyAV on the same files, the ways to windows for training against each other, latent
windows against a plain memory copy, a pool against one process, and the memory that the import of
hours of play takes against that of minutes.

    python benchmarks/data.py [--hours 2]

One torch thread; some ten minutes on one core, most of them for the two hours.
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from wmkit.files import read_json
from wmkit.data.actions import DOOM
from wmkit.data.clips import Clips, build_frames, write_store
from wmkit.data.episodes import Dataset, read_pyav
from wmkit.data.record import record
from wmkit.data.reshape import reshape_dataset

WINDOW, REPEATS = 64, 5


def best(*functions):
    "The least seconds of each function, taken in turns."
    times = [[] for _ in functions]
    for _ in range(REPEATS):
        for found, function in zip(times, functions):
            start = time.perf_counter()
            function()
            found.append(time.perf_counter() - start)
    return [min(found) for found in times]


def say(name, value, bar=None, larger=True):
    "Print a line; True if the bar holds."
    line = f"{name:76} {value:10.2f}"
    if bar is None:
        print(line, flush=True)
        return True
    good = value >= bar if larger else value <= bar
    sign, verdict = ">=" if larger else "<=", "ok" if good else "MISSED"
    print(f"{line}   bar {sign} {bar:g} {verdict}", flush=True)
    return good


def decoding(folder):
    "Random windows of 64 frames by decord (through Dataset) and by PyAV, from the same files."
    for size in ((120, 160), (240, 320)):
        dataset = record(folder/f"play{size[0]}", episodes=2, frames=500, test=0, size=size)
        starts = np.random.default_rng(0).integers(0, 500 - WINDOW, 12).tolist()
        def by_decord(start): return dataset.frames(0, start, start + WINDOW)
        def by_pyav(start):
            found = read_pyav(dataset.path(0), start, start + WINDOW, dataset.fps)
            return torch.from_numpy(found).permute(0, 3, 1, 2).contiguous()
        def difference(start):
            return float((by_decord(start).int() - by_pyav(start).int()).abs().float().mean())
        first, second = best(lambda: [by_decord(s) for s in starts],
                             lambda: [by_pyav(s) for s in starts])
        worst = max(difference(start) for start in starts[:3])
        name = f"decord, {size[0]}x{size[1]}, random windows of {WINDOW}: frames/s"
        say(name, len(starts)*WINDOW/first)
        say("  times PyAV's rate on the same windows", second/first)
        say("  mean difference of the two decoders' pixels, of 255", worst, 2, larger=False)


def write_latents(folder, frames):
    "A store of random latents, 8x8 of 16 channels (2 kB a frame), beside a frame store."
    generator = torch.Generator().manual_seed(0)
    def episodes():
        for e, length in frames.episodes.items():
            latents = torch.randn(length, 64, 16, generator=generator).half()
            stored = frames.episode(e)
            rows = dict(latents=latents, actions=stored.actions, known=stored.known)
            yield e, frames.splits[e], rows
    write_store(folder, "latents", dict(benchmark=1), frames.space, frames.fps, episodes())
    return Clips(folder, "all", 8)


def decoded(dataset, batch, length, size=None):
    "A batch of windows out of the videos."
    return torch.stack([dataset.frames(e, s, s + length, size=size) for e, s in batch])


def converted(folder, play, size):
    "The data set at another size, and how fast that was."
    start = time.perf_counter()
    small = reshape_dataset(play.root, folder/"small", size=size, workers=0)
    total, took = sum(e.length for e in play.episodes), time.perf_counter() - start
    say(f"conversion of {play.height}x{play.width} to {size[0]}x{size[1]}, one process: frames/s",
        total/took)
    return small


def routes(folder):
    "Windows for training by every way that there is, at several lengths and batches."
    play, size = Dataset(folder/"play240"), (60, 80)
    small = converted(folder, play, size)
    frames = Clips(build_frames(play, folder/"frames", size), "all", 8)
    latents = write_latents(folder/"some_latents", frames)
    print(f"windows/s, {size[0]}x{size[1]} out of {play.height}x{play.width}; in brackets: times "
          "the first", flush=True)
    names = "decoded and shrunk", "decoded small copy", "frame store", "latent store"
    print(f"{'frames':>6} {'batch':>6} " + " ".join(f"{name:>22}" for name in names))
    ratios = []
    for length in (8, 32, 96):
        for batch in (4, 16):
            chosen = frames.sample(batch, torch.Generator().manual_seed(batch), length).index
            times = best(lambda: decoded(play, chosen, length, size),
                         lambda: decoded(small, chosen, length),
                         lambda: [frames.get(chosen, length) for _ in range(10)],
                         lambda: [latents.get(chosen, length) for _ in range(10)])
            rates = [batch*n/t for n, t in zip((1, 1, 10, 10), times)]
            cells = [f"{rate:12.0f} ({rate/rates[0]:7.1f})" for rate in rates]
            print(f"{length:6} {batch:6} " + " ".join(f"{cell:>22}" for cell in cells), flush=True)
            ratios.append([rate/rates[0] for rate in rates])
    _, copy, store, latent = map(min, zip(*ratios))
    good = say("  decoding a small copy, times decoding and shrinking, at least", copy, 2)
    good &= say("  a frame store, times decoding and shrinking, at least", store, 100)
    return good & say("  a latent store, times decoding and shrinking, at least", latent, 100)


def latent_windows(folder):
    "Batches of 16 windows of 64 frames of 16 kB: through Clips, and copied out of tensors."
    episodes, length, shape = 16, 1000, (64, 128)  # 16 kB a frame in float16, 262 MB in all
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(length, *shape, generator=generator).half() for _ in range(episodes)]
    rows = dict(actions=torch.zeros(length, DOOM.size), known=torch.ones(length, dtype=torch.bool))
    written = ((e, "train", dict(latents=z, **rows)) for e, z in enumerate(tensors))
    stamp = dict(benchmark=1)
    write_store(folder/"latents", "latents", stamp, DOOM, 20, written, episodes*length)
    clips = Clips(folder/"latents", "train", WINDOW)
    batches = [clips.sample(16, generator).index for _ in range(30)]
    def copied(batch): return torch.stack([tensors[e][s:s + WINDOW] for e, s in batch])
    ours, plain = best(lambda: [clips.get(b) for b in batches],
                       lambda: [copied(b) for b in batches])
    assert all(torch.equal(clips.get(b).data, copied(b)) for b in batches[:3])
    say(f"latent windows of {WINDOW} frames of 16 kB: windows/s", 16*len(batches)/ours)
    return say("  share of a plain memory copy's rate", plain/ours, .8)


MAPPING = """videos: videos/*.mp4
actions: actions/*.csv
convention: at
rows: one per frame
channels:
  forward: {kind: button, from: forward}
  yaw: {kind: delta, unit: degrees per frame, low: -20, high: 20, sign: right, from: yaw}
"""


def encode(path, frames, rate):
    "An H.264 file of frames uint8 [t h w 3] with a key frame every 50."
    import av
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=rate)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        stream.options = dict(crf="20", g="50", bf="0", sc_threshold="0")
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())


def repeat(piece, path, total, rate):
    "`total` frames at `path`: the packets of `piece` again and again; how many it has."
    import av
    with av.open(str(piece)) as source, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        packets = [(bytes(p), p.is_keyframe) for p in source.demux(video=0) if p.size]
        for count in range(total):
            data, key = packets[count % len(packets)]
            packet = av.Packet(data)
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, rate), key
            packet.pts = packet.dts = count
            out.mux(packet)
    return len(packets)


def write_source(folder, play, seconds, rate=20):
    "One recording of real play, repeated packet by packet, with a CSV of its actions."
    frames, actions = play.frames(0).permute(0, 2, 3, 1).numpy(), play.actions(0).numpy()
    (folder/"videos").mkdir(parents=True)
    (folder/"actions").mkdir()
    piece, total = folder.parent/"piece.mp4", int(seconds*rate)
    encode(piece, frames, rate)
    length = repeat(piece, folder/"videos/long.mp4", total, rate)
    forward, yaw = (actions[:, DOOM.index(name)] for name in ("forward", "yaw"))
    lines = [f"{int(f)},{y:.3f}\n" for f, y in zip(forward, yaw)]
    with open(folder/"actions/long.csv", "w") as table:
        table.write("forward,yaw\n")
        for count in range(total):
            table.write(lines[count % length])
    (folder/"mapping.yaml").write_text(MAPPING)
    return total


MEASURE = """
import re, sys
from wmkit.importers.folder import import_folder
import_folder(sys.argv[1], sys.argv[2], workers=0)
print('PEAK', int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])/1024)
"""  # not getrusage, which begins with the memory of the process that started this one


def peak_memory(source, dest):
    "MB that an import takes at most, in a process of its own."
    command = [sys.executable, "-c", MEASURE, source, dest]
    env = os.environ | dict(OMP_NUM_THREADS="1")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    peak = None
    for line in process.stdout:
        if line.startswith("PEAK"):
            peak = float(line.split()[1])
        elif "frames/s" in line or "left" in line:
            print("  " + line.rstrip(), flush=True)
    if process.wait():
        raise SystemExit("the import failed")
    return peak


def long_import(folder, hours):
    "Peak memory of the import of hours of 160x120, 20 a second, against that of two minutes."
    play = Dataset(folder/"play120")
    peaks = []
    for seconds in (120, hours*3600):
        source, start = folder/f"source_{seconds}", time.perf_counter()
        total = write_source(source, play, seconds)
        took, minutes = time.perf_counter() - start, seconds/60
        print(f"a source of {minutes:g} minutes written in {took:.0f} s", flush=True)
        start = time.perf_counter()
        peaks.append(peak_memory(source, folder/f"long_{seconds}"))
        took = time.perf_counter() - start
        name = f"import of {minutes:g} minutes ({total} frames of 160x120), one process: frames/s"
        say(name, total/took)
        say("  peak memory, MB", peaks[-1])
        report = read_json(folder/f"long_{seconds}/meta/import.json", dict)
        assert report["frames"] in (total, total - 1), report["frames"]
        shutil.rmtree(folder/f"long_{seconds}")
    return say("  above the peak of two minutes, MB", peaks[1] - peaks[0], 400, larger=False)


def pooled(folder):
    "Eight recordings of 500 frames by one process and by a pool of two."
    (folder/"many/videos").mkdir(parents=True)
    play = Dataset(folder/"play120")
    for i in range(8):
        shutil.copy(play.path(i % 2), folder/f"many/videos/{i}.mp4")
    from wmkit.importers.video import import_video
    times = []
    for workers in (0, 2):
        start = time.perf_counter()
        import_video(folder/"many/videos", folder/f"pool_{workers}", workers=workers)
        times.append(time.perf_counter() - start)
    say("conversion of 8 recordings of 500 frames, one process: frames/s", 4000/times[0])
    say("  a pool of two against it (with its start)", times[0]/times[1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--hours", type=float, default=2.)
    hours = parser.parse_args().hours
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp())
    try:
        decoding(folder)
        good = routes(folder)
        good &= latent_windows(folder)
        pooled(folder)
        good &= long_import(folder, hours)
    finally:
        shutil.rmtree(folder)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
