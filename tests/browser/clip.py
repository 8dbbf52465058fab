"""What the browser tests look at: a heading that turns and a dream that turns too slowly."""
import math

import numpy as np

LENGTH, CONTEXT = 48, 12
TIME = np.arange(LENGTH)


def horizon():
    "A panorama to turn in: sky, hills, ground and towers; [64 512 3]."
    y, x = np.mgrid[0:64, 0:512]/64
    hills = .5 + .1*np.sin(x*np.pi/2) + .05*np.sin(x*2*np.pi)
    sky = np.stack([90 + 90*y, 140 + 70*y, 215 + 20*y], -1)
    ground = np.stack([70 + 50*y, 110 - 10*y, 60 + 0*y], -1)
    wide = np.where((y < hills)[..., None], sky, ground)
    colours = (200, 80, 60), (225, 190, 90), (120, 90, 170)
    for i, left in enumerate(range(10, 512, 64)):
        wide[18 + 5*(i % 3):48, left:left + 14] = colours[i % 3]
    return wide


def film(yaw):
    "Frames uint8 [t 3 64 64] of someone who turns by `yaw` degrees a frame."
    wide = horizon()
    frames = [np.roll(wide, -int(round(heading)), 1)[:, :64] for heading in yaw.cumsum()]
    return np.stack(frames).astype(np.uint8).transpose(0, 3, 1, 2)


def clip():
    "(truth, dream, actions [t 9], psnr); the actions are columns of wmkit's DOOM."
    yaw = 5*np.sin(TIME/7)
    truth, dream = film(yaw), film(np.where(TIME < CONTEXT, yaw, .7*yaw))
    actions = np.zeros((LENGTH, 9), np.float32)
    actions[:, 7], actions[:, 8] = yaw, 2*np.cos(TIME/4)
    actions[:, 0], actions[:, 6] = TIME % 16 < 11, TIME % 9 < 3
    error = ((truth/255. - dream/255.)**2).mean((1, 2, 3))
    psnr = [float(-10*np.log10(e)) if e else math.nan for e in error]
    return truth, dream, actions, psnr


def scrubber():
    from wmkit.data.actions import DOOM
    from wmkit.widgets.scrub import scrub
    truth, dream, actions, psnr = clip()
    title = "a dream that turns too slowly"
    return scrub(truth, dream, actions, DOOM, CONTEXT, {"psnr dB": psnr}, title=title)


def notebook(path, *cells):
    "Write a notebook of code cells (a cell that starts with # is markdown)."
    import nbformat
    make = nbformat.v4
    kinds = [make.new_markdown_cell if c.startswith("# ") else make.new_code_cell for c in cells]
    book = make.new_notebook(cells=[kind(source) for kind, source in zip(kinds, cells)])
    book.metadata.kernelspec = dict(name="python3", display_name="python3", language="python")
    nbformat.write(book, path)
    return path
