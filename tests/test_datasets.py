"""Data sets that somebody spoilt: each is refused in words, by every door that reads one.

Each case changes one thing in a copy of a small data set. Opening and `validate`, the doctor and
`build_frames` must each say what is wrong, quickly, and in little memory; nothing is written.
"""
import json
import resource
import shutil
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from wmkit.data.actions import DOOM
from wmkit.data.clips import Clips, build_frames
from wmkit.data.episodes import EPISODES_PATH, STATE, VIDEO, Dataset, join_datasets, toy_dataset
from wmkit.data.reshape import inspect_folder
from wmkit.doctor.report import doctor_dataset

INFO, ROWS = "meta/info.json", "data/chunk-000/file-000.parquet"
FILM = f"videos/{VIDEO}/chunk-000/file-001.mp4"
YAW, JUMP = DOOM.index("yaw"), DOOM.index("jump")
SECONDS, MEGABYTES = 10, 1000


def edit(change, file=INFO):
    "A mutation: `change` takes what a JSON file holds, and returns it changed."
    def mutate(root):
        found = json.loads((root/file).read_text())
        (root/file).write_text(json.dumps(change(found)))
    return mutate


def put(place, value):
    "A mutation: the value at `place` (names with | between) of meta/info.json."
    def change(info):
        *path, last = place.split("|")
        within = info
        for name in path:
            within = within[int(name) if isinstance(within, list) else name]
        within[int(last) if isinstance(within, list) else last] = value
        return info
    return edit(change)


def drop(place):
    "A mutation: the field at `place` of meta/info.json is gone."
    def change(info):
        *path, last = place.split("|")
        within = info
        for name in path:
            within = within[name]
        del within[last]
        return info
    return edit(change)


def column(name, change, kind=None, file=ROWS):
    "A mutation: `change` takes the list of a parquet column, and returns it or changes it."
    def mutate(root):
        table = pq.read_table(root/file)
        cells = table[name].to_pylist()
        found = change(cells)
        cells = cells if found is None else found
        cells = pa.array(cells, kind or table.schema.field(name).type)
        place = table.column_names.index(name)
        pq.write_table(table.set_column(place, name, cells), root/file)
    return mutate


def table(change, file=ROWS):
    "A mutation: `change` takes a parquet file's table, and returns it changed."
    def mutate(root):
        pq.write_table(change(pq.read_table(root/file)), root/file)
    return mutate


def cell(row, value):
    def change(cells): cells[row] = value
    return change


def number(row, place, value):
    def change(cells): cells[row][place] = value
    return change


def encode(root, height, width, frames, rate):
    "Another film in place of the second episode's."
    import av
    with av.open(str(root/FILM), "w") as out:
        stream = out.add_stream("libx264", rate=rate)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for t in range(frames):
            picture = np.full((height, width, 3), t, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())


def film(height=48, width=64, frames=20, rate="35/4"):
    from fractions import Fraction
    return lambda root: encode(root, height, width, frames, Fraction(rate))


def list_of_films(root):
    "FFmpeg opens a text that names other files as if it were a video."
    shutil.move(root/FILM, (root/FILM).with_name("other.mp4"))
    (root/FILM).write_text("ffconcat version 1.0\nfile other.mp4\n")


def without_packets(root):
    "A film without a frame."
    import av
    with av.open(str(root/FILM)) as source, av.open(str(root/"x.mp4"), "w") as out:
        out.add_stream_from_template(source.streams.video[0])
        out.start_encoding()
    shutil.move(root/"x.mp4", root/FILM)


def bomb(root):
    "A small data file of millions of rows."
    rows = pq.read_table(root/ROWS)
    many = pa.concat_tables([rows[:1].take(np.zeros(100_000, int))]*30)
    pq.write_table(many, root/ROWS)


def long_texts(root):
    "A table of episodes whose tasks unfold to gigabytes."
    table = pq.read_table(root/EPISODES_PATH)
    tasks = pa.array([["x"*90_000_000]]*len(table))
    place = table.column_names.index("tasks")
    pq.write_table(table.set_column(place, "tasks", tasks), root/EPISODES_PATH)


def delete(file): return lambda root: (root/file).unlink()
def write(file, text): return lambda root: (root/file).write_bytes(text)
def half(file): return lambda root: (root/file).write_bytes((root/file).read_bytes()[:-900])
def line(name, change, kind=None): return column(name, change, kind, EPISODES_PATH)


# what is changed: (mutation, a part of what is said)
VALUES = {
    "a NaN action": (column("action", number(25, YAW, float("nan"))), "'yaw' is nan"),
    "an infinite action": (column("action", number(25, YAW, float("inf"))), "'yaw' is inf"),
    "an action out of range": (column("action", number(25, YAW, 500.)), "'yaw' is 500.0"),
    "half a button": (column("action", number(25, JUMP, .5)), "'jump' is 0.5"),
    "a button of 2": (column("action", number(25, JUMP, 2.)), "'jump' is 2.0"),
    "an infinite state": (column(STATE, cell(25, float("inf"))), "infinite"),
    "frame_index reversed": (column("frame_index", lambda c: c[::-1]), "frame_index 19; expected"),
    "frame_index twice": (column("frame_index", cell(25, 4)), "row 5 has frame_index 4"),
    "frame_index with a hole": (column("frame_index", cell(39, 30)), "row 19 has frame_index 30"),
    "index of another row": (column("index", cell(25, 3)), "row 5 has index 3; expected 25"),
    "timestamps of another rate": (column("timestamp", lambda c: [2*t for t in c]), "is off by"),
    "a NaN timestamp": (column("timestamp", cell(25, float("nan"))), "is off by"),
    "known as text": (column("known", lambda c: ["no"]*60, pa.string()), "expected true or false"),
    "known as numbers": (column("known", lambda c: [2]*60, pa.int64()), "expected true or false"),
    "known with a hole": (column("known", cell(25, None)), "row 5, 'known' is nothing"),
    "a row lost": (table(lambda t: pa.concat_tables([t[:30], t[31:]])), "19 rows of episode 1"),
    "a row twice": (table(lambda t: pa.concat_tables([t[:30], t[29:]])), "21 rows of episode 1"),
    "rows of no episode": (table(lambda t: pa.concat_tables([t, t[:5].set_column(
        t.column_names.index("episode_index"), "episode_index", pa.array([9]*5))])), "has 65 rows"),
    "an episode's rows elsewhere": (column("episode_index", lambda c: [0]*60), "60 rows of"),
}
COLUMNS = {
    "actions as text": (column("action", lambda c: ["x"]*60, pa.string()), "holds string; expec"),
    "actions of other lengths": (column("action", lambda c: [a[:3] for a in c],
                                        pa.list_(pa.float32())), "a list of 3; expected 9 numbers"),
    "an action missing": (column("action", cell(25, None)), "row 5, 'action' is nothing"),
    "a number of an action missing": (column("action", number(25, 2, None),
                                             pa.list_(pa.float32())), "is nothing"),
    "actions as named numbers": (column("action", lambda c: [dict(x=1.)]*60,
                                        pa.struct([("x", pa.float32())])), "holds struct"),
    "single actions": (column("action", lambda c: [1.]*60, pa.float32()), "expected 9 numbers"),
    "frame_index as text": (column("frame_index", lambda c: list(map(str, c)), pa.string()),
                            "holds string; expected whole numbers"),
    "episode_index as text": (column("episode_index", lambda c: list(map(str, c)), pa.string()),
                              "holds string"),
    "frame_index as numbers": (column("frame_index", lambda c: c, pa.float32()), "holds float"),
    "timestamps as text": (column("timestamp", lambda c: ["x"]*60, pa.string()), "holds string"),
    "states as text": (column(STATE, lambda c: ["x"]*60, pa.string()), "holds string"),
    "no actions": (table(lambda t: t.drop(["action"])), "lacks the column 'action'"),
    "no frame_index": (table(lambda t: t.drop(["frame_index"])), "lacks the column 'frame_index'"),
    "no episode_index": (table(lambda t: t.drop(["episode_index"])), "lacks the column"),
    "no states": (table(lambda t: t.drop([STATE])), f"lacks the column {STATE!r}"),
    "actions twice": (table(lambda t: t.append_column("action", t["action"])), "has it twice"),
    "no rows": (table(lambda t: t[:0]), "0 rows"),
    "rows cut off": (half(ROWS), "not readable as parquet"),
    "rows that are no parquet": (write(ROWS, b"not a table"), "not readable as parquet"),
    "no data file": (delete(ROWS), "is missing"),
    "far more rows than frames": (bomb, "expected no more than"),
}
LINES = {
    "no table of episodes": (delete(EPISODES_PATH), "is missing"),
    "table of episodes cut off": (half(EPISODES_PATH), "not readable as parquet"),
    "no episodes": (table(lambda t: t[:0], EPISODES_PATH), "lists 0 episodes"),
    "an episode left out": (table(lambda t: t[:2], EPISODES_PATH), "lists 2 episodes; expected 3"),
    "episodes out of order": (table(lambda t: t.take([2, 1, 0]), EPISODES_PATH), "episode_index"),
    "episode_index as text": (line("episode_index", lambda c: list("012"), pa.string()), "string"),
    "a length as text": (line("length", lambda c: ["20"]*3, pa.string()), "holds string"),
    "no length": (table(lambda t: t.drop(["length"]), EPISODES_PATH), "lacks the column 'length'"),
    "a length missing": (line("length", cell(1, None)), "row 1, 'length' is nothing"),
    "a length below zero": (line("length", cell(1, -4)), "row 1, 'length' is -4"),
    "a length of 10^9": (line("length", cell(1, 10**9)), "row 1, 'length' is 1000000000"),
    "a length of 10^6": (line("length", cell(1, 10**6)), "1000000"),
    "another length": (line("length", cell(1, 19)), "expected"),
    "tasks of numbers": (line("tasks", lambda c: [[1]]*3, pa.list_(pa.int64())), "expected texts"),
    "no tasks": (line("tasks", cell(1, [])), "row 1, 'tasks' is empty"),
    "tasks missing": (line("tasks", cell(1, None)), "row 1, 'tasks' is empty"),
    "tasks of gigabytes": (long_texts, "expected"),
    "a chunk below zero": (line("data/chunk_index", cell(1, -1)), "'data/chunk_index' is -1"),
    "a file far away": (line("data/file_index", cell(1, 7)), "file-007.parquet is missing"),
    "a chunk of 10^18": (line(f"videos/{VIDEO}/chunk_index", cell(1, 10**18)), "is 1000000000000"),
    "rows elsewhere": (line("dataset_from_index", cell(1, 3)), "dataset_from_index 3"),
    "film elsewhere": (line(f"videos/{VIDEO}/from_timestamp", cell(1, 5.)), "one video for each"),
    "one film for two episodes": (line(f"videos/{VIDEO}/file_index", cell(0, 1)),
                                  "the episodes 0 and 1 have one video"),
    "one film without times": (lambda root: [mutate(root) for mutate in (
        line(f"videos/{VIDEO}/file_index", cell(2, 0)),
        table(lambda t: t.drop([f"videos/{VIDEO}/{k}_timestamp" for k in ("from", "to")]),
              EPISODES_PATH))], "the episodes 0 and 2 have one video"),
    "a seed as text": (line("wmkit/seed", lambda c: ["x"]*3, pa.string()), "holds string"),
}
METADATA = {
    "no JSON": (write(INFO, b"{"), "is not JSON"),
    "a list": (edit(lambda info: [info]), "expected named fields"),
    "nothing in it": (edit(lambda info: {}), "codebase_version"),
    "version 2.1": (put("codebase_version", "v2.1"), "expected v3.x"),
    "a version of numbers": (put("codebase_version", 3), "expected v3.x"),
    "no wmkit": (drop("wmkit"), "lacks wmkit"),
    "wmkit a list": (put("wmkit", []), "wmkit: expected named fields"),
    "wmkit with another field": (put("wmkit|colour", 1), "unknown field 'colour'"),
    "a space of nothing": (put("wmkit|space", None), "wmkit.space: expected named fields"),
    "a space of numbers": (put("wmkit|space", 5), "wmkit.space: expected named fields"),
    "no channels": (put("wmkit|space|channels", []), "channels"),
    "channels as text": (put("wmkit|space|channels", "yaw"), "channels: expected a list"),
    "a channel of nothing": (put("wmkit|space|channels|0", None), "channels[0]"),
    "a channel without a name": (put("wmkit|space|channels|0", dict(kind="button")), "'name'"),
    "a channel of another kind": (put("wmkit|space|channels|0|kind", "mouse"), "kind 'mouse'"),
    "a range as text": (put("wmkit|space|channels|7|high", "20"), "high: expected a whole"),
    "a range of NaN": (put("wmkit|space|channels|7|high", float("nan")), "is not JSON"),
    "a range of nothing": (put("wmkit|space|channels|7|high", -20), "low < high"),
    "10^9 choices": (edit(lambda info: info["wmkit"]["space"]["channels"][0].update(
        kind="choice", high=10**9) or info), "at most 4096 choices"),
    "two channels of one name": (put("wmkit|space|channels|0|name", "yaw"), "must differ"),
    "other names than the space": (put("features|action|names|0", "swim"), "expected the same"),
    "names missing": (put("features|action|names", None), "a different name for each"),
    "actions of another width": (put("features|action|shape", [3]), "features.action has the s"),
    "no action": (drop("features|action"), "features lacks 'action'"),
    "no film": (drop(f"features|{VIDEO}"), "features lacks"),
    "features a list": (put("features", []), "features: expected named fields"),
    "a feature of nothing": (put(f"features|{VIDEO}", None), "expected named fields, got nothing"),
    "a shape as text": (put(f"features|{VIDEO}|shape", "48x64"), "shape: expected a list"),
    "a shape of two": (put(f"features|{VIDEO}|shape", [48, 64]), "expected [height, width, 3]"),
    "frames of 60000x60000": (put(f"features|{VIDEO}|shape", [60000, 60000, 3]), "shape"),
    "frames of another size": (put(f"features|{VIDEO}|shape", [50, 64, 3]), "says 50x64"),
    "states of numbers": (put(f"features|{STATE}|names", [1]), "a different name"),
    "fps by zero": (put("wmkit|fps", "1/0"), "fps is '1/0'"),
    "fps below zero": (put("wmkit|fps", "-9"), "fps"),
    "fps as a number": (put("wmkit|fps", 9), "fps: expected text"),
    "fps of 10^9": (put("wmkit|fps", "1000000000"), "fps"),
    "fps with an exponent": (put("wmkit|fps", "1e999999999"), "fps"),
    "another fps": (put("fps", 60), "expected one rate"),
    "fps as text": (put("fps", "fast"), "fps: expected a number"),
    "about a list": (put("wmkit|about", []), "about: expected named fields"),
    "import a text": (put("wmkit|about|import", "yes"), "wmkit.about: import"),
    "splits a list": (put("splits", ["train"]), "splits: expected named fields"),
    "splits of numbers": (put("splits", dict(train=3)), "splits.train is '3'"),
    "splits as words": (put("splits", dict(train="all")), "splits"),
    "no splits": (put("splits", {}), "splits"),
    "an episode in no split": (put("splits", dict(train="0:2")), "in no split"),
    "an episode in two splits": (put("splits", dict(train="0:3", test="2:3")), "in two splits"),
    "a split of 10^9": (put("splits", dict(train="0:999999999")), "expected START:STOP"),
    "other counts": (put("total_frames", 99), "total_frames is 99"),
    "counts as text": (put("total_episodes", "3"), "total_episodes"),
    "a path of other fields": (put("data_path", "data/{episode}.parquet"), "the template"),
    "a path of a gigabyte": (put("data_path", "{chunk_index:0999999999d}"), "the template"),
    "a path that looks inside": (put("video_path", "{video_key.__class__}"), "the template"),
    "an absolute path": (put("data_path", "/etc/passwd"), "leads out of"),
    "a path that leads out": (put("video_path", "../{file_index}.mp4"), "leads out of"),
    "one film for all": (put("video_path", "videos/all.mp4"), "the episodes 0 and 1 have one"),
    "films told apart by nothing": (put("video_path", "{chunk_index}/x.mp4"), "0 and 1 have one"),
    "a path of nothing": (put("data_path", None), "data_path: expected text"),
    "a path of a long name": (put("video_path", "{video_key}"*30), "255 bytes"),
    "a path with a zero byte": (put("data_path", "a\0b"), "leads out of"),
    "stats of text": (edit(lambda s: s["action"].update(mean=["x"]*9) or s, "meta/stats.json"),
                      "action.mean holds more than numbers"),
    "stats a list": (edit(lambda s: [s], "meta/stats.json"), "expected named fields"),
    "tasks cut off": (write("meta/tasks.parquet", b"PAR1"), "tasks.parquet is not readable"),
}
FILMS = {
    "no film": (delete(FILM), "is missing"),
    "an empty film": (write(FILM, b""), "is empty"),
    "a film cut off": (half(FILM), "file-001.mp4"),
    "no film at all": (write(FILM, b"x"*5000), "cannot be opened"),
    "a list of films": (list_of_films, "is a list of other files"),
    "a frame more": (film(frames=21), "21 frames, but 20 rows"),
    "no frames": (without_packets, "file-001.mp4"),
    "a film of another size": (film(height=64), "frames of 64x64; meta/info.json says 48x64"),
    "a film of another rate": (film(rate="10"), "the video of episode 1 is off by"),
    "a film of the largest size": (film(height=16, width=16384, frames=20), "16x16384"),
}
CASES = {f"{kind}: {name}": case for kind, cases in
         dict(values=VALUES, columns=COLUMNS, lines=LINES, meta=METADATA, films=FILMS).items()
         for name, case in cases.items()}


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return toy_dataset(tmp_path_factory.mktemp("whole")/"toy", episodes=3, frames=20)


def said(call):
    "What the error says; it must be one that a person can read, made in time and in little memory."
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        call()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)/1024
    assert time.monotonic() - start < SECONDS and grown < MEGABYTES
    assert caught.type in (ValueError, FileNotFoundError), caught.type
    return str(caught.value)


def examine(root):
    "The doctor; a failed check is an error too."
    report = doctor_dataset(root)
    if report["episodes"].verdict == "fail":
        raise ValueError(report["episodes"].message)


@pytest.mark.parametrize("name", CASES)
def test_spoilt(toy, tmp_path, name):
    mutate, part = CASES[name]
    root = Path(shutil.copytree(toy.root, tmp_path/"data"))
    mutate(root)
    doors = dict(validate=lambda: Dataset(root).validate(), doctor=lambda: examine(root),
                 frames=lambda: build_frames(Dataset(root), tmp_path/"store", (24, 32)),
                 join=lambda: join_datasets([root, root], tmp_path/"joined"))
    for door, call in doors.items():
        text = said(call)
        assert part in text, (door, text)
        assert str(root) in text, (door, text)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["data"]


def test_the_whole_one_passes(toy, tmp_path):
    assert doctor_dataset(toy.validate().root)["episodes"].verdict == "ok"
    build_frames(toy, tmp_path/"store", (24, 32))
    assert len(join_datasets([toy.root]*2, tmp_path/"joined")) == 6


LINKED = [INFO, ROWS, FILM, EPISODES_PATH, "meta/stats.json", "meta/tasks.parquet", "meta", "data",
          "videos", f"videos/{VIDEO}"]


def move_out(path, elsewhere):
    "A file or folder, moved elsewhere; a link is left in its place."
    elsewhere.mkdir(exist_ok=True)
    shutil.move(path, elsewhere/path.name)
    path.symlink_to(elsewhere/path.name)


@pytest.mark.parametrize("name", LINKED)
def test_link_out(toy, tmp_path, name):
    "A file that is a link out of the data set may be any file of this machine."
    root = Path(shutil.copytree(toy.root, tmp_path/"data"))
    move_out(root/name, tmp_path/"elsewhere")
    doors = dict(validate=lambda: Dataset(root).validate(), doctor=lambda: examine(root),
                 frames=lambda: build_frames(Dataset(root), tmp_path/"store", (24, 32)),
                 join=lambda: join_datasets([root, root], tmp_path/"joined"),
                 inspect=lambda: broken_by(inspect_folder(root)))
    if name in ("meta/stats.json", "meta/tasks.parquet"):  # read by none who only looks
        del doors["inspect"]
    for door, call in doors.items():
        text = said(call)
        assert "link the whole folder instead" in text and str(root) in text, (door, text)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["data", "elsewhere"]


def broken_by(contents):
    "An inspection names what is broken in its table."
    raise ValueError(" ".join(contents.broken.values()))


def test_link_to_a_report(toy, tmp_path):
    "meta/import.json is read by the doctor and by `wmkit data inspect`."
    root = Path(shutil.copytree(toy.root, tmp_path/"data"))
    (tmp_path/"import.json").write_text("{}")
    (root/"meta/import.json").symlink_to(tmp_path/"import.json")
    found = doctor_dataset(root)["import"]
    assert found.verdict == "fail" and "link the whole folder instead" in found.message, found
    assert "link the whole folder instead" in said(lambda: inspect_folder(root))


def test_own_links(toy, tmp_path):
    "The folder itself may be a link, and links may stay inside."
    root = Path(shutil.copytree(toy.root, tmp_path/"disk"))
    shutil.move(root/FILM, root/"videos/elsewhere.mp4")
    (root/FILM).symlink_to(root/"videos/elsewhere.mp4")
    (tmp_path/"data").symlink_to(root)
    linked = Dataset(tmp_path/"data").validate()
    assert linked.fingerprint() == toy.fingerprint()
    store = build_frames(linked, tmp_path/"store", (24, 32))
    (tmp_path/"frames").symlink_to(store)
    assert len(Clips(tmp_path/"frames", "all", 4).episodes) == 3


@pytest.mark.parametrize("name", ["store.json", "episode_000001.safetensors"])
def test_link_out_of_a_store(toy, tmp_path, name):
    store = build_frames(toy, tmp_path/"store", (24, 32))
    move_out(store/name, tmp_path/"elsewhere")
    for call in (lambda: Clips(store, "all", 4), lambda: inspect_folder(store)):
        assert "link the whole folder instead" in said(call)
