"""What the browser tests look at: a heading that turns and a dream that turns too slowly, and notebooks that show it."""
import math

import numpy as np

LENGTH, CONTEXT = 48, 12


def clip():
    "(truth, dream, actions [t 9], psnr) as in nbs/70_scrub.ipynb; the actions are columns of wmkit's DOOM."
    y, x = np.mgrid[0:64, 0:512] / 64
    hills = 0.5 + 0.1 * np.sin(x * np.pi / 2) + 0.05 * np.sin(x * 2 * np.pi)
    sky = np.stack([90 + 90 * y, 140 + 70 * y, 215 + 20 * y], -1)
    ground = np.stack([70 + 50 * y, 110 - 10 * y, 60 + 0 * y], -1)
    wide = np.where((y < hills)[..., None], sky, ground)
    for i, left in enumerate(range(10, 512, 64)):
        wide[18 + 5 * (i % 3):48, left:left + 14] = [(200, 80, 60), (225, 190, 90), (120, 90, 170)][i % 3]
    time = np.arange(LENGTH)
    yaw = 5 * np.sin(time / 7)
    slow = np.where(time < CONTEXT, yaw, 0.7 * yaw)
    truth, dream = (np.stack([np.roll(wide, -int(round(h)), 1)[:, :64] for h in heading.cumsum()]).astype(np.uint8).transpose(0, 3, 1, 2)
                    for heading in (yaw, slow))
    actions = np.zeros((LENGTH, 9), np.float32)
    actions[:, 7], actions[:, 8] = yaw, 2 * np.cos(time / 4)
    actions[:, 0], actions[:, 6] = time % 16 < 11, time % 9 < 3
    error = ((truth / 255.0 - dream / 255.0) ** 2).mean((1, 2, 3))
    return truth, dream, actions, [float(-10 * np.log10(e)) if e else math.nan for e in error]


def scrubber():
    from wmkit.data.actions import DOOM
    from wmkit.widgets.scrub import scrub
    truth, dream, actions, psnr = clip()
    return scrub(truth, dream, actions, DOOM, context=CONTEXT, metrics={"psnr dB": psnr}, title="a dream that turns too slowly")


def notebook(path, *cells):
    "Write a notebook of code cells (a cell that starts with # is markdown)."
    import nbformat
    make = nbformat.v4
    book = make.new_notebook(cells=[(make.new_markdown_cell if c.startswith("# ") else make.new_code_cell)(c) for c in cells])
    book.metadata.kernelspec = dict(name="python3", display_name="python3", language="python")
    nbformat.write(book, path)
    return path
