"""A folder as anybody has it: videos or numbered images, action files, and a mapping.

Shares no code with the importer."""
import csv
import json
import pickle
from pathlib import Path

import numpy as np

from . import Spoilt, column, cut_off, play, write_video
from .video import write_uneven

EXTRA = {}
KEYS = dict(forward="W", back="S", left="A", right="D", jump="Space", use="E", attack="Mouse1")
DELIMITERS = dict(csv=",", tsv="\t")
COUNT = .15  # degrees of one count of the mouse


def save_table(path, columns):
    "Columns {name: list} as the suffix says."
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [dict(zip(columns, row)) for row in zip(*columns.values(), strict=True)]
    kind = path.suffix[1:]
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif kind == "json":
        path.write_text(json.dumps(columns))
    elif kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq
        pq.write_table(pa.table(columns), path)
    else:
        save_csv(path, columns, rows, DELIMITERS[kind])


def save_csv(path, columns, rows, delimiter):
    with open(path, "w", newline="") as file:
        out = csv.writer(file, delimiter=delimiter)
        out.writerow(columns)
        for row in rows:
            out.writerow([json.dumps(v) if isinstance(v, list) else v for v in row.values()])


def pressed(play, row, keys):
    "The keys that are down at a row."
    return [key for name, key in keys.items() if column(play, name)[row]]


def heading(play):
    "An absolute angle, degrees [0, 360), at every frame: the yaws up to it added up."
    turns = column(play, "yaw").astype(np.float64)
    return (90 + np.concatenate([[0], np.cumsum(turns)[:-1]])) % 360


def write(folder, play, recordings=2, **form):
    """Recordings of a play's halves. `keys`: words, letters, list or columns; `rows`: order, frame
    or time (in ms, a row for each frame and another half way); `turn`: angle, or scaled (in counts
    of 0.15 degrees); `frames`: video or images; `table`: the suffix of the action files."""
    usual = dict(table="csv", keys="words", rows="order", convention="at", turn="angle",
                 frames="video", video=".mp4", first=0)
    assert set(form) <= set(usual), form
    folder, form, total = Path(folder), usual | form, len(play["frames"])
    for i in range(recordings):
        part = range(i*total//recordings, (i + 1)*total//recordings)
        pictures = play["frames"][part.start:part.stop]
        place = folder/f"videos/run_{i:03d}"
        if form["frames"] == "video":
            write_video(place.with_suffix(form["video"]), pictures, play["fps"])
        else:
            write_images(place, pictures, form["first"])
        save_table(folder/f"actions/run_{i:03d}.{form['table']}", columns_of(play, part, form))
    (folder/"mapping.yaml").write_text(mapping_text(play, form))


def write_images(folder, frames, first):
    from PIL import Image
    folder.mkdir(parents=True)
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(folder/f"frame_{i + first:05d}.png")


def keys_down(play, keys):
    "{channel: key} of the keys that are written."
    found = {name: key for name, key in KEYS.items() if name in play["names"]}
    return found if keys != "letters" else {n: k for n, k in found.items() if len(k) == 1}


def columns_of(play, part, form):
    "The columns of one recording; `part`: its frames."
    names, fps, order = keys_down(play, form["keys"]), float(play["fps"]), list(part)
    # of each row: the frame at which its action was taken
    acted = order if form["convention"] == "at" else [None, *order[:-1]]
    columns = {}
    if form["rows"] == "frame":
        columns["frame"] = [r - part.start + form["first"] for r in order]
    if form["rows"] == "time":
        columns["ms"] = [round((r - part.start)*1000/fps, 1) for r in order]
    held = [[] if a is None else pressed(play, a, names) for a in acted]
    columns |= key_columns(held, names, form["keys"])
    if form["turn"] == "angle":
        columns["heading"] = [float(heading(play)[r]) for r in order]
    else:
        yaw = column(play, "yaw")
        columns["dx"] = [0. if a is None else float(yaw[a])/COUNT for a in acted]
    for j, name in enumerate(play["state_names"][:2]):
        columns[f"pos_{name}"] = [float(play["states"][r, j]) for r in order]
    columns["comment"] = ["-"]*len(order)
    return halved(columns, fps, form) if form["rows"] == "time" else columns


def key_columns(held, names, keys):
    "The keys that are held, in one column or one for each."
    if keys == "columns":
        return {name: [int(key in h) for h in held] for name, key in names.items()}
    if keys == "list":
        return dict(keys=held)
    return dict(keys=[("" if keys == "letters" else "+").join(h) for h in held])


def halved(columns, fps, form):
    """Two rows a frame, half a frame apart. The other one comes after it, or before it where rows
    hold what led to a frame. Of a turn in counts each holds half."""
    twice = {k: [v for value in values for v in (value, value)] for k, values in columns.items()}
    other, shift = (1, 500/fps) if form["convention"] == "at" else (0, -500/fps)
    twice["ms"] = [round(t + shift*(i % 2 == other), 1) for i, t in enumerate(twice["ms"])]
    if form["turn"] == "scaled":
        twice["dx"] = [v/2 for v in twice["dx"]]
    return twice


FROM = {"words": ", from: keys, key: {}", "list": ", from: keys, key: {}",
        "letters": ", from: keys, key: {}, letters: true", "columns": ""}
TURN = dict(angle="from: heading, difference: true", scaled=f"from: dx, scale: {COUNT}")


def mapping_text(play, form):
    images, table = form["frames"] == "images", form["table"]
    number = "{frame: frame}" if images else f"{{frame: frame, first: {form['first']}}}"
    rows = dict(order="one per frame", frame=number, time="{time: ms, unit: ms}")[form["rows"]]
    suffix = "" if images else form["video"]
    lines = [f'videos: "videos/*{suffix}"', f'actions: "actions/*.{table}"',
             f"convention: {form['convention']}", f"rows: {rows}"]
    if images:
        lines.append(f"fps: {play['fps']}")
    source = FROM[form["keys"]]
    lines.append("channels:")
    for name, key in keys_down(play, form["keys"]).items():
        lines.append(f"  {name}: {{kind: button{source.format(key)}}}")
    degrees = "unit: degrees per frame, low: -20, high: 20, sign: right"
    lines.append(f"  yaw: {{kind: delta, {degrees}, {TURN[form['turn']]}}}")
    lines += ["states:", *(f"  {n}: pos_{n}" for n in play["state_names"][:2])]
    return "\n".join(lines) + "\n"


# ---- damages: functions of the source's folder

TABLE = "actions/run_000.csv"


def changed(folder, name, change):
    "Rewrite a text file of the source."
    path = Path(folder)/name
    path.write_text(change(path.read_text()))


def text(change):
    "Change the text of run_000's action file."
    return lambda folder: changed(folder, TABLE, change)


def lines(change):
    "Change the lines of run_000's action file (line 0 is the header)."
    return text(lambda found: "\n".join(change(found.splitlines())) + "\n")


def line(number, change):
    "Change one line; `change` gives the lines that stand in its place."
    return lines(lambda all: [*all[:number], *change(all[number]), *all[number + 1:]])


def cell(number, column, value):
    "Change a cell of run_000's action file."
    def change(found):
        cells = found.split(",")
        cells[column] = value
        return [",".join(cells)]
    return line(number, change)


def mapping(old, new):
    "Change a line of the mapping."
    def spoil(folder):
        assert old in (Path(folder)/"mapping.yaml").read_text()
        changed(folder, "mapping.yaml", lambda found: found.replace(old, new))
    return spoil


def remove(name):
    return lambda folder: (Path(folder)/name).unlink()


def with_column(folder, name, value):
    "Add a first column to every action file."
    for file in (Path(folder)/"actions").glob("*.csv"):
        head, *rows = file.read_text().splitlines()
        new = [f"{name},{head}", *(f"{value(i)},{row}" for i, row in enumerate(rows))]
        file.write_text("\n".join(new) + "\n")


def by_number(spoil):
    "The same damage where rows find their frames by number, in the first column."
    def damage(folder):
        mapping("one per frame", "{frame: frame}")(folder)
        with_column(folder, "frame", str)
        spoil(folder)
    return damage


def by_time(spoil):
    "The same damage where rows find their frames by time in ms, in the first column."
    def damage(folder):
        mapping("one per frame", "{time: ms, unit: ms}")(folder)
        step = 1000/float(play()["fps"])
        with_column(folder, "ms", lambda i: f"{i*step:.1f}")
        spoil(folder)
    return damage


def hole(folder):
    "Five seconds without a frame in the first video."
    stamps = np.arange(30)*2 + 175*(np.arange(30) >= 15)
    write_uneven(Path(folder)/"videos/run_000.mp4", play()["frames"][:30], stamps, 35)


def pickled(folder):
    (Path(folder)/TABLE).write_bytes(pickle.dumps(dict(keys=["W"])))


def broken_line_ends(folder):
    file = Path(folder)/TABLE
    file.write_bytes(file.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\0"))


def renumbered(all):
    "Frame numbers that begin with 1."
    return [all[0], *(f"{i},{row.split(',', 1)[1]}" for i, row in enumerate(all[1:], 1))]


def other_comment(found):
    return [found, found.rsplit(",", 1)[0] + ",changed"]


def twice(found):
    return [found, found]


def nothing(found):
    return []


SPOILT = [
    Spoilt("a row too few", line(7, nothing),
           error=r"run_000\.csv has 29 rows.*30 frames.*rows: \{frame: COLUMN\}"),
    Spoilt("a row that appears twice", line(7, twice),
           error=r"run_000\.csv has 31 rows.*30 frames"),
    Spoilt("no header", line(0, nothing), error=r"run_000\.csv.*(no header|no column)"),
    Spoilt("an angle that is empty", cell(9, 1, ""),
           error=r"run_000\.csv, column 'heading', row 8 .*empty or NaN"),
    Spoilt("an angle that is NaN", cell(9, 1, "NaN"),
           error=r"run_000\.csv, column 'heading', row 8 .*empty or NaN"),
    Spoilt("an angle that is a word", cell(9, 1, "north"),
           error=r"run_000\.csv, column 'heading', row 8 .*'north' is not a number"),
    Spoilt("a turn outside of its range", cell(9, 1, "270"),
           error=r"run_000\.csv, column 'heading', row \d+ .*'yaw' is .*widen the range"),
    Spoilt("a row with a cell too few", line(9, lambda found: [found.rsplit(",", 1)[0]]),
           error=r"run_000\.csv is not a table of 5 columns.*got 4"),
    Spoilt("a key in another case", text(lambda found: found.replace("W", "w", 1)),
           error=r"run_000\.csv, column 'keys', row \d+ .*key 'w'; the mapping has 'W'"),
    Spoilt("keys with another sign between them",
           line(7, lambda found: ["W/A," + found.split(",", 1)[1]]),
           error=r"run_000\.csv, column 'keys', row 6 .*'W/A' is no key of the mapping, "
                 r"but its parts are"),
    Spoilt("a number with an underscore", cell(9, 1, "1_0"),
           error=r"run_000\.csv, column 'heading', row 8 .*'1_0' is not a number"),
    Spoilt("line ends that are no line ends", broken_line_ends, error=r"run_000\.csv"),
    Spoilt("a pickle with the name of a table", pickled, error=r"run_000\.csv"),
]
SPOILT += [  # the mapping
    Spoilt("an unknown word in the mapping", mapping("kind: button", "kind: button, speed: 2"),
           error=r"mapping\.yaml: channel 'forward': unknown 'speed'; known: kind"),
    Spoilt("a line of the mapping twice",
           mapping("convention: at", "convention: at\nconvention: led_to"),
           error=r"mapping\.yaml.*'convention' is given twice"),
    Spoilt("no convention", mapping("convention: at\n", ""),
           error=r"mapping\.yaml lacks convention"),
    Spoilt("no mapping", remove("mapping.yaml"), error=r"mapping\.yaml is missing"),
    Spoilt("a column that is not there", mapping("from: heading", "from: bearing"),
           error=r"run_000\.csv has no column 'bearing'; it has keys, heading"),
    Spoilt("a pattern that leads out", mapping("videos/*.mp4", "../videos/*.mp4"),
           error=r"mapping\.yaml: videos: .*not a pattern below the folder"),
    Spoilt("a scale of 0", mapping("difference: true", "scale: 0"),
           error=r"mapping\.yaml: channel 'yaw': scale is 0"),
    Spoilt("a scale that is no number", mapping("difference: true", "scale: .nan"),
           error=r"mapping\.yaml: channel 'yaw': scale is nan"),
    Spoilt("a yaw that is + down", mapping("sign: right", "sign: down"),
           error=r"mapping\.yaml: channel 'yaw': sign 'down'; expected right or left"),
    Spoilt("a rate of 1/0", mapping("convention: at", "convention: at\nfps: 1/0"),
           error=r"mapping\.yaml: fps is '1/0'"),
    Spoilt("a column that is a list", mapping("one per frame", "{frame: [a]}"),
           error=r"mapping\.yaml: rows: \['a'\] is not the name of a column"),
]
SPOILT += [  # videos
    Spoilt("a video without actions", remove("actions/run_001.csv"),
           error=r"run_001\.mp4 has no action file"),
    Spoilt("actions without a video", remove("videos/run_001.mp4"),
           error=r"run_001\.csv has no video"),
    Spoilt("a truncated video", lambda folder: cut_off(folder/"videos/run_000.mp4"),
           error=r"run_000\.mp4"),
    Spoilt("an empty video", lambda folder: (folder/"videos/run_001.mp4").write_bytes(b""),
           error=r"run_001\.mp4 is empty"),
    Spoilt("a hole of five seconds in the video", hole, repair=r"run_000: no frame for 5"),
]
SPOILT += [  # rows that find their frames by number or by time
    Spoilt("a hole in numbered rows", by_number(line(7, nothing)),
           repair=r"run_000\.csv: frames 6 have no row"),
    Spoilt("a numbered row twice", by_number(line(7, twice)),
           repair=r"run_000\.csv: row 7 appears twice"),
    Spoilt("two rows of one number that differ", by_number(line(7, other_comment)),
           error=r"run_000\.csv: rows 6 and 7 .*differ in comment"),
    Spoilt("numbers that begin with 1", by_number(lines(renumbered)),
           error=r"run_000\.csv, column 'frame', row 29 .*frame 30; .*has 0 to 29 .*first"),
    Spoilt("numbers out of order", by_number(lines(lambda all: [all[0], *reversed(all[1:])])),
           repair=r"run_000\.csv: rows are not in the order"),
    Spoilt("a hole in timed rows", by_time(lines(lambda all: all[:9] + all[16:])),
           repair=r"run_000\.csv: frames 8 to 14 have no row in a table"),
    Spoilt("a timed row twice", by_time(line(7, twice)),
           repair=r"run_000\.csv: row 7 has the time and all values of another row"),
]
