"""A folder as anybody has it: videos, or numbered images, an action file for each, and a mapping. Shares no code with the importer."""
import csv
import json
from pathlib import Path

import numpy as np

from . import Spoilt, cut_off, play, write_video
from .video import write_uneven

EXTRA = {}
KEYS = dict(forward="W", back="S", left="A", right="D", jump="Space", use="E", attack="Mouse1")
TABLES = dict(csv=",", tsv="\t")


def save_table(path, columns):
    "Columns {name: list} as the suffix says."
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [dict(zip(columns, row)) for row in zip(*columns.values(), strict=True)]
    kind = path.suffix[1:]
    if kind == "jsonl": path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif kind == "json": path.write_text(json.dumps(columns))
    elif kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq
        pq.write_table(pa.table(columns), path)
    else:
        with open(path, "w", newline="") as f:
            out = csv.writer(f, delimiter=TABLES[kind])
            out.writerow(columns)
            out.writerows([json.dumps(v) if isinstance(v, list) else v for v in row.values()] for row in rows)


def pressed(play, row, keys):
    "The keys that are down at a row."
    return [key for name, key in keys.items() if play["actions"][row, play["names"].index(name)]]


def heading(play):
    "An absolute angle, degrees [0, 360), at every frame: the yaws up to it added up."
    turns = play["actions"][:, play["names"].index("yaw")].astype(np.float64)
    return (90 + np.concatenate([[0], np.cumsum(turns)[:-1]])) % 360


def write(folder, play, table="csv", keys="words", rows="order", convention="at", turn="angle", frames="video", video=".mp4", recordings=2, first=0):
    """Recordings of a play's halves. `keys`: words, letters, list or columns; `rows`: order, frame or time (in ms, with a row for each frame and another half way);
    `turn`: angle or scaled (in counts of 0.15 degrees); `frames`: video or images."""
    folder, total = Path(folder), len(play["frames"])
    names = [n for n in KEYS if n in play["names"]]
    if keys == "letters": names = [n for n in names if len(KEYS[n]) == 1]
    down = {n: KEYS[n] for n in names}
    yaw, angle = play["actions"][:, play["names"].index("yaw")], heading(play)
    for i in range(recordings):
        start, stop = i*total//recordings, (i + 1)*total//recordings
        if frames == "video": write_video(folder/f"videos/run_{i:03d}{video}", play["frames"][start:stop], play["fps"])
        else: _write_images(folder/f"videos/run_{i:03d}", play["frames"][start:stop], first)
        columns = {}
        order = list(range(start, stop))
        acted = order if convention == "at" else [None, *order[:-1]]  # of each row: the frame at which its action was taken
        if rows == "frame": columns["frame"] = [r - start + first for r in order]
        if rows == "time": columns["ms"] = [round((r - start)*1000/float(play["fps"]), 1) for r in order]
        held = [[] if a is None else pressed(play, a, down) for a in acted]
        if keys == "columns": columns |= {n: [int(KEYS[n] in h) for h in held] for n in names}
        elif keys == "list": columns["keys"] = held
        else: columns["keys"] = [("" if keys == "letters" else "+").join(h) for h in held]
        if turn == "angle": columns["heading"] = [float(angle[r]) for r in order]
        else: columns["dx"] = [0. if a is None else float(yaw[a])/.15 for a in acted]
        for j, name in enumerate(play["state_names"][:2]): columns[f"pos_{name}"] = [float(play["states"][r, j]) for r in order]
        columns["comment"] = ["-"]*len(order)
        if rows == "time": columns = _halved(columns, float(play["fps"]), turn, convention)
        save_table(folder/f"actions/run_{i:03d}.{table}", columns)
    suffix = "" if frames == "images" else video
    (folder/"mapping.yaml").write_text(mapping_text(play, down, table, keys, rows, convention, turn, f"videos/*{suffix}", frames == "images", first))


def _write_images(folder, frames, first):
    from PIL import Image
    folder.mkdir(parents=True)
    for i, frame in enumerate(frames): Image.fromarray(frame).save(folder/f"frame_{i + first:05d}.png")


def _halved(columns, fps, turn, convention):
    "Two rows a frame, half a frame apart: the other one comes after it, or before it where rows tell what led to a frame. Of a turn in counts each tells half."
    twice = {k: [v for value in values for v in (value, value)] for k, values in columns.items()}
    other = (1, 500/fps) if convention == "at" else (0, -500/fps)
    twice["ms"] = [round(t + other[1]*(i % 2 == other[0]), 1) for i, t in enumerate(twice["ms"])]
    if turn == "scaled": twice["dx"] = [v/2 for v in twice["dx"]]
    return twice


def mapping_text(play, down, table, keys, rows, convention, turn, videos, images, first):
    key = {"words": ", from: keys, key: {}", "list": ", from: keys, key: {}", "letters": ", from: keys, key: {}, letters: true", "columns": ""}[keys]
    find = dict(order="one per frame", frame="{frame: frame}" if images else f"{{frame: frame, first: {first}}}", time="{time: ms, unit: ms}")[rows]
    how = "from: heading, difference: true" if turn == "angle" else "from: dx, scale: 0.15"
    lines = [f'videos: "{videos}"', f'actions: "actions/*.{table}"', f"convention: {convention}", f"rows: {find}"]
    if images: lines.append(f"fps: {play['fps']}")
    lines += ["channels:", *(f"  {n}: {{kind: button{key.format(k)}}}" for n, k in down.items()),
              f"  yaw: {{kind: delta, unit: degrees per frame, low: -20, high: 20, sign: right, {how}}}", "states:", *(f"  {n}: pos_{n}" for n in play["state_names"][:2])]
    return "\n".join(lines) + "\n"


def changed(folder, name, change):
    "Rewrite a text file of the source."
    path = Path(folder)/name
    path.write_text(change(path.read_text()))


def line(number, change):
    "Change one line of run_000's action file (0 is the header); None takes it away."
    def spoil(folder):
        def edit(text):
            lines = text.splitlines()
            new = change(lines[number])
            return "\n".join(lines[:number] + ([] if new is None else new if isinstance(new, list) else [new]) + lines[number + 1:]) + "\n"
        changed(folder, "actions/run_000.csv", edit)
    return spoil


def mapping(old, new):
    def spoil(folder):
        assert old in (Path(folder)/"mapping.yaml").read_text()
        changed(folder, "mapping.yaml", lambda text: text.replace(old, new))
    return spoil


def cell(number, column, value):
    "Change a cell of run_000's action file."
    def change(text):
        cells = text.split(",")
        cells[column] = value
        return ",".join(cells)
    return line(number, change)


def by_number(spoil):
    "The same damage where rows find their frames by number, the second column after the keys."
    def damage(folder):
        mapping("one per frame", "{frame: frame}")(folder)
        for file in (Path(folder)/"actions").glob("*.csv"):
            head, *rows = file.read_text().splitlines()
            file.write_text("\n".join([f"frame,{head}", *(f"{i},{row}" for i, row in enumerate(rows))]) + "\n")
        spoil(folder)
    return damage


def by_time(spoil):
    "The same damage where rows find their frames by time, in ms, the first column."
    def damage(folder):
        mapping("one per frame", "{time: ms, unit: ms}")(folder)
        rate = 1000/float(play()["fps"])
        for file in (Path(folder)/"actions").glob("*.csv"):
            head, *rows = file.read_text().splitlines()
            file.write_text("\n".join([f"ms,{head}", *(f"{i*rate:.1f},{row}" for i, row in enumerate(rows))]) + "\n")
        spoil(folder)
    return damage


def without(first, last):
    "Take lines of run_000's action file away."
    def change(text):
        lines = text.splitlines()
        return "\n".join(lines[:first] + lines[last:]) + "\n"
    return lambda folder: changed(folder, "actions/run_000.csv", change)


def hole(folder):
    "Five seconds without a frame in the first video."
    write_uneven(Path(folder)/"videos/run_000.mp4", play()["frames"][:30], np.arange(30)*2 + 175*(np.arange(30) >= 15), 35)


def pickled(folder):
    import pickle
    (Path(folder)/"actions/run_000.csv").write_bytes(pickle.dumps(dict(keys=["W"])))


SPOILT = [
    Spoilt("a row too few", line(7, lambda text: None), error=r"run_000\.csv has 29 rows.*30 frames.*rows: \{frame: COLUMN\}"),
    Spoilt("a row that stands twice", line(7, lambda text: [text, text]), error=r"run_000\.csv has 31 rows.*30 frames"),
    Spoilt("no header", line(0, lambda text: None), error=r"run_000\.csv.*(no header|no column)"),
    Spoilt("an angle that is empty", cell(9, 1, ""), error=r"run_000\.csv, column 'heading', row 8 .*empty or NaN"),
    Spoilt("an angle that is NaN", cell(9, 1, "NaN"), error=r"run_000\.csv, column 'heading', row 8 .*empty or NaN"),
    Spoilt("an angle that is a word", cell(9, 1, "north"), error=r"run_000\.csv, column 'heading', row 8 .*'north' is not a number"),
    Spoilt("a turn outside of its range", cell(9, 1, "270"), error=r"run_000\.csv, column 'heading', row \d+ .*'yaw' is .*widen the range"),
    Spoilt("a row with a cell too few", line(9, lambda text: text.rsplit(",", 1)[0]), error=r"run_000\.csv is not a table of 5 columns.*got 4"),
    Spoilt("a key in another case", lambda f: changed(f, "actions/run_000.csv", lambda text: text.replace("W", "w", 1)), error=r"run_000\.csv, column 'keys', row \d+ .*key 'w'; the mapping has 'W'"),
    Spoilt("an unknown word in the mapping", mapping("kind: button", "kind: button, speed: 2"), error=r"mapping\.yaml: channel 'forward': unknown 'speed'; known: kind"),
    Spoilt("a line of the mapping twice", mapping("convention: at", "convention: at\nconvention: led_to"), error=r"mapping\.yaml.*'convention' stands twice"),
    Spoilt("no convention", mapping("convention: at\n", ""), error=r"mapping\.yaml lacks convention"),
    Spoilt("no mapping", lambda f: (Path(f)/"mapping.yaml").unlink(), error=r"mapping\.yaml is missing"),
    Spoilt("a column that is not there", mapping("from: heading", "from: bearing"), error=r"run_000\.csv has no column 'bearing'; it has keys, heading"),
    Spoilt("a pattern that leads out", mapping("videos/*.mp4", "../videos/*.mp4"), error=r"mapping\.yaml: videos: .*not a pattern below the folder"),
    Spoilt("a video without actions", lambda f: (Path(f)/"actions/run_001.csv").unlink(), error=r"run_001\.mp4 has no action file"),
    Spoilt("actions without a video", lambda f: (Path(f)/"videos/run_001.mp4").unlink(), error=r"run_001\.csv has no video"),
    Spoilt("a truncated video", lambda f: cut_off(Path(f)/"videos/run_000.mp4"), error=r"run_000\.mp4"),
    Spoilt("an empty video", lambda f: (Path(f)/"videos/run_001.mp4").write_bytes(b""), error=r"run_001\.mp4 is empty"),
    Spoilt("a pickle with the name of a table", pickled, error=r"run_000\.csv"),
    Spoilt("a hole in numbered rows", by_number(line(7, lambda text: None)), repair=r"run_000\.csv: frames 6 have no row"),
    Spoilt("a numbered row twice", by_number(line(7, lambda text: [text, text])), repair=r"run_000\.csv: row 7 stands twice"),
    Spoilt("two rows of one number that differ", by_number(line(7, lambda text: [text, text.replace(",-,", ",-,").rsplit(",", 1)[0] + ",changed"])), error=r"run_000\.csv: rows 6 and 7 .*differ in comment"),
    Spoilt("numbers that begin with 1", by_number(lambda f: changed(f, "actions/run_000.csv", lambda text: "\n".join([text.splitlines()[0], *(f"{i + 1},{row.split(',', 1)[1]}" for i, row in enumerate(text.splitlines()[1:]))]) + "\n")), error=r"run_000\.csv, column 'frame', row 29 .*frame 30; .*has 0 to 29 .*first"),
    Spoilt("numbers out of order", by_number(lambda f: changed(f, "actions/run_000.csv", lambda text: "\n".join([text.splitlines()[0], *reversed(text.splitlines()[1:])]) + "\n")), repair=r"run_000\.csv: rows are not in the order"),
    Spoilt("keys with another sign between them", line(7, lambda text: "W/A," + text.split(",", 1)[1]), error=r"run_000\.csv, column 'keys', row 6 .*'W/A' is no key of the mapping, but its parts are"),
    Spoilt("a number with an underscore", cell(9, 1, "1_0"), error=r"run_000\.csv, column 'heading', row 8 .*'1_0' is not a number"),
    Spoilt("line ends that are no line ends", lambda f: (Path(f)/"actions/run_000.csv").write_bytes((Path(f)/"actions/run_000.csv").read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\0")), error=r"run_000\.csv"),
    Spoilt("a scale of 0", mapping("difference: true", "scale: 0"), error=r"mapping\.yaml: channel 'yaw': scale is 0"),
    Spoilt("a scale that is no number", mapping("difference: true", "scale: .nan"), error=r"mapping\.yaml: channel 'yaw': scale is nan"),
    Spoilt("a yaw that is + down", mapping("sign: right", "sign: down"), error=r"mapping\.yaml: channel 'yaw': sign 'down'; expected right or left"),
    Spoilt("a rate of 1/0", mapping("convention: at", "convention: at\nfps: 1/0"), error=r"mapping\.yaml: fps is '1/0'"),
    Spoilt("a column that is a list", mapping("one per frame", "{frame: [a]}"), error=r"mapping\.yaml: rows: \['a'\] is not the name of a column"),
    Spoilt("a hole of five seconds in the video", hole, repair=r"run_000: no frame for 5"),
    Spoilt("a hole in timed rows", by_time(without(9, 16)), repair=r"run_000\.csv: frames 8 to 14 have no row in a table"),
    Spoilt("a timed row twice", by_time(line(7, lambda text: [text, text])), repair=r"run_000\.csv: row 7 has the time and all values of another row"),
]
