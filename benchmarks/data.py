"""Data, as ratios in one run: decord against PyAV on the same files, latent windows against a plain memory copy, a pool against one process,
and the memory that the import of hours of play takes against that of minutes.

    python benchmarks/data.py [--hours 2]      one torch thread; some eight minutes on one core, most of them the two hours
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
from wmkit.core import read_json
from wmkit.data.actions import DOOM
from wmkit.data.clips import Clips, write_store
from wmkit.data.episodes import Dataset, read_pyav
from wmkit.data.record import record

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
    good = bar is None or (value >= bar if larger else value <= bar)
    print(f"{name:76} {value:10.2f}" + ("" if bar is None else f"   bar {'>=' if larger else '<='} {bar:g} {'ok' if good else 'MISSED'}"), flush=True)
    return good


def decoding(folder):
    "Random windows of 64 frames by decord (through Dataset, with its guards) and by PyAV, from the same files."
    for size in ((120, 160), (240, 320)):
        dataset = record(folder/f"play{size[0]}", episodes=2, frames=500, test=0, size=size)
        starts = np.random.default_rng(0).integers(0, 500 - WINDOW, 12)
        first, second = best(lambda: [dataset.frames(0, int(s), int(s) + WINDOW) for s in starts],
                             lambda: [torch.from_numpy(read_pyav(dataset.path(0), int(s), int(s) + WINDOW, dataset.fps)).permute(0, 3, 1, 2).contiguous() for s in starts])
        worst = max(float((dataset.frames(0, int(s), int(s) + WINDOW).int() - torch.from_numpy(read_pyav(dataset.path(0), int(s), int(s) + WINDOW, dataset.fps)).permute(0, 3, 1, 2).int()).abs().float().mean()) for s in starts[:3])
        say(f"decord, {size[0]}x{size[1]}, random windows of {WINDOW}: frames/s", len(starts)*WINDOW/first)
        say("  times PyAV's rate on the same windows", second/first)
        say("  mean difference of the two decoders' pixels, of 255", worst, 2, larger=False)


def latent_windows(folder):
    "Batches of 16 windows of 64 frames of 16 kB: through Clips, and the same windows copied out of tensors in memory."
    episodes, length, shape = 16, 1000, (64, 128)  # 16 kB a frame in float16, 262 MB in all
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(length, *shape, generator=generator).half() for _ in range(episodes)]
    rows = dict(actions=torch.zeros(length, DOOM.size), known=torch.ones(length, dtype=torch.bool))
    write_store(folder/"latents", "latents", dict(benchmark=1), DOOM, 20, ((e, "train", dict(latents=z, **rows)) for e, z in enumerate(tensors)), episodes*length)
    clips = Clips(folder/"latents", "train", WINDOW)
    batches = [clips.sample(16, generator).index for _ in range(30)]
    ours, plain = best(lambda: [clips.get(b) for b in batches], lambda: [torch.stack([tensors[e][s:s + WINDOW] for e, s in b]) for b in batches])
    assert all(torch.equal(clips.get(b).data, torch.stack([tensors[e][s:s + WINDOW] for e, s in b])) for b in batches[:3])
    say(f"latent windows of {WINDOW} frames of 16 kB: windows/s", 16*len(batches)/ours)
    return say("  share of a plain memory copy's rate", plain/ours, .8)


def write_source(folder, play, seconds, rate=20):
    "One recording of real play, repeated packet by packet, with a CSV of its actions: what somebody's folder holds."
    import av
    frames, actions = play.frames(0).permute(0, 2, 3, 1).numpy(), play.actions(0).numpy()
    piece = folder.parent/"piece.mp4"
    with av.open(str(piece), "w") as out:
        stream = out.add_stream("libx264", rate=rate)
        stream.height, stream.width, stream.pix_fmt, stream.options = *frames.shape[1:3], "yuv420p", dict(crf="20", g="50", bf="0", sc_threshold="0")
        for frame in frames: out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())
    (folder/"videos").mkdir(parents=True)
    (folder/"actions").mkdir()
    total, count = int(seconds*rate), 0
    with av.open(str(piece)) as source, av.open(str(folder/"videos/long.mp4"), "w") as out, open(folder/"actions/long.csv", "w") as table:
        stream = out.add_stream_from_template(source.streams.video[0])
        packets = [(bytes(p), p.is_keyframe) for p in source.demux(video=0) if p.size]
        table.write("forward,yaw\n")
        while count < total:
            data, key = packets[count % len(packets)]
            packet = av.Packet(data)
            packet.stream, packet.pts, packet.dts, packet.time_base, packet.is_keyframe = stream, count, count, Fraction(1, rate), key
            out.mux(packet)
            row = actions[count % len(packets)]
            table.write(f"{int(row[DOOM.index('forward')])},{row[DOOM.index('yaw')]:.3f}\n")
            count += 1
    (folder/"mapping.yaml").write_text("videos: videos/*.mp4\nactions: actions/*.csv\nconvention: at\nrows: one per frame\nchannels:\n  forward: {kind: button, from: forward}\n"
                                       "  yaw: {kind: delta, unit: degrees per frame, low: -20, high: 20, sign: right, from: yaw}\n")
    return total


MEASURE = """
import re, sys
from wmkit.importers.folder import import_folder
import_folder(sys.argv[1], sys.argv[2], workers=0)
print('PEAK', int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])/1024)
"""  # not getrusage: what a process measures there begins with the memory of the one that started it


def long_import(folder, hours):
    "Peak memory of the import of hours of 160x120 at 20 frames a second, in a process of its own, against that of two minutes."
    play = Dataset(folder/"play120")
    peaks = []
    for seconds in (120, hours*3600):
        source, start = folder/f"source_{seconds}", time.perf_counter()
        total = write_source(source, play, seconds)
        print(f"a source of {seconds/60:g} minutes written in {time.perf_counter() - start:.0f} s", flush=True)
        start = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-c", MEASURE, source, folder/f"long_{seconds}"], stdout=subprocess.PIPE, text=True, env=os.environ | dict(OMP_NUM_THREADS="1"))
        for line in process.stdout:
            if line.startswith("PEAK"): peaks.append(float(line.split()[1]))
            elif "frames/s" in line or "left" in line: print("  " + line.rstrip(), flush=True)
        if process.wait(): raise SystemExit("the import failed")
        say(f"import of {seconds/60:g} minutes ({total} frames of 160x120), one process: frames/s", total/(time.perf_counter() - start))
        say("  peak memory, MB", peaks[-1])
        report = read_json(folder/f"long_{seconds}/meta/import.json")
        assert report["frames"] in (total, total - 1), report["frames"]
        shutil.rmtree(folder/f"long_{seconds}")
    return say("  above the peak of two minutes, MB", peaks[1] - peaks[0], 400, larger=False)


def pooled(folder):
    "Eight recordings of 500 frames by one process and by a pool of two."
    (folder/"many/videos").mkdir(parents=True)
    play = Dataset(folder/"play120")
    for i in range(8): shutil.copy(play.path(i % 2), folder/f"many/videos/{i}.mp4")
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
        good = latent_windows(folder)
        pooled(folder)
        good &= long_import(folder, hours)
    finally: shutil.rmtree(folder)
    sys.exit(0 if good else 1)


if __name__ == "__main__": main()
