"""A LeRobot v3 data set as lerobot itself lays it out; see nbs/14_import_lerobot.ipynb.

Several episodes lie in one mp4 and in one parquet file, by path templates."""
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from . import Spoilt, cut_off, play, write_video

os.environ.setdefault("SVT_LOG", "1")  # the AV1 encoder prints errors alone
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
CODECS = dict(h264=("libx264", {}), av1=("libsvtav1", dict(crf="16", preset="10")))
FRONT = "observation.images.front"


def write(folder, play, episodes=3, files=2, **form):
    """The play in `episodes` parts, in `files` mp4s and parquet files. `names` of the action:
    list, dict or none; `images`: PNG bytes in the parquet files instead of mp4s."""
    usual = dict(cameras=(FRONT,), codec="h264", names="list", dtype="float32", images=False)
    assert set(form) <= set(usual), form
    folder, form = Path(folder), usual | form
    parts = np.array_split(np.arange(len(play["frames"])), episodes)
    groups = [group.tolist() for group in np.array_split(np.arange(episodes), files) if len(group)]
    listed = []
    for file, group in enumerate(groups):
        listed += episode_rows(group, parts, file, play, form)
        path = folder/DATA.format(chunk_index=0, file_index=file)
        path.parent.mkdir(parents=True, exist_ok=True)
        tables = [episode_table(e, parts[e], play, form) for e in group]
        pq.write_table(pa.concat_tables(tables), path)
        if not form["images"]:
            order = np.concatenate([parts[e] for e in group])
            write_cameras(folder, file, play["frames"][order], play["fps"], form)
    write_meta(folder, play, listed, form)


def action_rows(play, form):
    kinds = dict(int64=np.int64, bool=bool)
    return play["actions"].astype(kinds.get(form["dtype"], np.float32))


def episode_rows(group, parts, file, play, form):
    "Rows of meta/episodes for the episodes of one file."
    rows, start, fps = [], 0, float(play["fps"])
    for e in group:
        at, length = parts[e], len(parts[e])
        row = {"episode_index": e, "tasks": ["look around"], "length": length,
               "dataset_from_index": int(at[0]), "dataset_to_index": int(at[-1]) + 1,
               "data/chunk_index": 0, "data/file_index": file,
               "meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}
        span = dict(chunk_index=0, file_index=file, from_timestamp=start/fps,
                    to_timestamp=(start + length)/fps)
        for camera in () if form["images"] else form["cameras"]:
            row |= {f"videos/{camera}/{key}": value for key, value in span.items()}
        rows.append(row)
        start += length
    return rows


def episode_table(e, at, play, form):
    "The rows of one episode in a parquet file."
    n, fps = len(at), float(play["fps"])
    columns = {"action": [row.tolist() for row in action_rows(play, form)[at]],
               "observation.state": [row.tolist() for row in play["states"][at]],
               "timestamp": (np.arange(n)/fps).astype(np.float32), "frame_index": np.arange(n),
               "episode_index": np.full(n, e), "index": at, "task_index": np.zeros(n, np.int64)}
    for camera in form["cameras"] if form["images"] else ():
        columns[camera] = [dict(bytes=png(play["frames"][t]), path=None) for t in at]
    return pa.table({name: pa.array(values) for name, values in columns.items()})


def write_cameras(folder, file, frames, fps, form):
    "A video for each camera; all but the first one are mirrored."
    codec, options = CODECS[form["codec"]]
    for camera in form["cameras"]:
        shown = frames if camera == form["cameras"][0] else frames[:, :, ::-1]
        path = folder/VIDEO.format(video_key=camera, chunk_index=0, file_index=file)
        write_video(path, shown, fps, codec, g="10", **options)


def features_of(play, form):
    "The features of meta/info.json."
    actions, fps = action_rows(play, form), float(play["fps"])
    names = dict(list=play["names"], dict={"motors": play["names"]}, none=None)[form["names"]]
    state_names = {"motors": play["state_names"]}
    found = {"action": dict(dtype=str(actions.dtype), shape=[actions.shape[1]], names=names),
             "observation.state": dict(dtype="float32", shape=[len(play["state_names"])],
                                       names=state_names)}
    for camera in form["cameras"]:
        found[camera] = dict(dtype="image" if form["images"] else "video",
                             shape=list(play["frames"].shape[1:]),
                             names=["height", "width", "channels"],
                             info={"video.fps": fps, "video.codec": form["codec"]})
    for key in "timestamp frame_index episode_index index task_index".split():
        kind = "float32" if key == "timestamp" else "int64"
        found[key] = dict(dtype=kind, shape=[1], names=None)
    return found


def write_meta(folder, play, listed, form):
    "The files in meta/."
    path = folder/META
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(listed), path)
    tasks = pa.table(dict(task_index=[0], task=["look around"]))
    pq.write_table(tasks, folder/"meta/tasks.parquet")
    info = dict(codebase_version="v3.0", robot_type="so100", total_episodes=len(listed),
                total_frames=len(play["frames"]), total_tasks=1, chunks_size=1000,
                data_files_size_in_mb=100, video_files_size_in_mb=200, fps=float(play["fps"]),
                splits=dict(train=f"0:{len(listed)}"), data_path=DATA,
                video_path=None if form["images"] else VIDEO, features=features_of(play, form))
    (folder/"meta/info.json").write_text(json.dumps(info, indent=2))
    rows = action_rows(play, form).astype(float)
    stats = dict(min=rows.min(0), max=rows.max(0), mean=rows.mean(0), std=rows.std(0))
    stats = {name: values.tolist() for name, values in stats.items()} | dict(count=[len(rows)])
    (folder/"meta/stats.json").write_text(json.dumps(dict(action=stats)))


def png(frame):
    from PIL import Image
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(frame)).save(out, "png")
    return out.getvalue()


# ---- damages

MP4 = f"videos/{FRONT}/chunk-000/file-000.mp4"
META = "meta/episodes/chunk-000/file-000.parquet"
TABLE = "data/chunk-000/file-000.parquet"


def info(**changes):
    "Change entries of meta/info.json."
    def spoil(folder):
        file = folder/"meta/info.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return spoil


def rows(change, name=TABLE):
    "Rewrite a parquet file with its rows (a list of dicts) changed."
    def spoil(folder):
        found = pq.read_table(folder/name).to_pylist()
        pq.write_table(pa.Table.from_pylist(change(found)), folder/name)
    return spoil


def episode(number, key, value):
    "Change a value of meta/episodes."
    def change(found):
        found[number][key] = value
        return found
    return rows(change, META)


def poison(found):
    found[7]["action"][3] = float("nan")
    return found


def another(**form):
    "The play in another form."
    def spoil(folder):
        shutil.rmtree(folder)
        write(folder, play(), **form)
    return spoil


def no_names(folder):
    features = json.loads((folder/"meta/info.json").read_text())["features"]
    features["action"]["names"] = ["motors"]
    info(features=features)(folder)


def ragged(found):
    "One number moves from a row to the next: as many in all."
    found[4]["action"].insert(0, found[3]["action"].pop())
    return found


def beyond_its_video(folder):
    for key, time in dict(from_timestamp=2., to_timestamp=2 + 20/17.5).items():
        episode(1, f"videos/{FRONT}/{key}", time)(folder)


SPOILT = [
    Spoilt("said to be of version 2.1", info(codebase_version="v2.1"),
           error=r"episodes\.jsonl is missing"),
    Spoilt("info.json is no JSON", lambda folder: (folder/"meta/info.json").write_text("{"),
           error=r"info\.json"),
    Spoilt("truncated video", lambda folder: cut_off(folder/MP4), error=r"file-000\.mp4"),
    Spoilt("zero-length video", lambda folder: (folder/MP4).write_bytes(b""),
           error=r"file-000\.mp4 is empty"),
    Spoilt("missing data file",
           lambda folder: (folder/"data/chunk-000/file-001.parquet").unlink(),
           error=r"file-001\.parquet is missing"),
    Spoilt("truncated data file", lambda folder: cut_off(folder/TABLE),
           error=r"file-000\.parquet.*parquet"),
    Spoilt("a row appears twice", rows(lambda found: found[:5] + found[4:]),
           error=r"file-000\.parquet.*episode 0.*21 rows.*20"),
    Spoilt("rows out of order",
           rows(lambda found: found[:4] + found[5:6] + found[4:5] + found[6:]),
           error=r"row 4 has frame_index 5"),
    Spoilt("NaN action", rows(poison), error=r"episode 0.*row 7.*NaN"),
    Spoilt("rows of other lengths", rows(ragged),
           error=r"file-000\.parquet.*'action' have 9 and 8 and 10 numbers"),
    Spoilt("pictures of one frame later", episode(1, f"videos/{FRONT}/from_timestamp", 21/17.5),
           error=r"episode 1 has 20 rows, and 19\.0 frames"),
    Spoilt("pictures of no time", episode(1, f"videos/{FRONT}/from_timestamp", float("nan")),
           error=r"meta/episodes: episode 1"),
    Spoilt("an episode without a file", episode(1, "data/chunk_index", None),
           error=r"file-000\.parquet: data/chunk_index"),
    Spoilt("features that are none", info(features=dict(action="float32")),
           error=r"info\.json: feature 'action'"),
    Spoilt("path out of the folder",
           info(video_path="../{video_key}/{chunk_index}-{file_index}.mp4"), error=r"leads out"),
    Spoilt("number of 999999999 digits", info(data_path="data/{chunk_index:0999999999d}.parquet"),
           error=r"info\.json.*data_path.*no template"),
    Spoilt("template with an unknown word", info(data_path="data/{episode_chunk}.parquet"),
           error=r"info\.json.*data_path.*episode_chunk"),
    Spoilt("wrong fps", info(fps=20),
           error=r"episode 0 has 20 rows, and 22\.9 frames.*at 20 a second.*fps"),
    Spoilt("episode longer than its video", beyond_its_video, error=r"file-000\.mp4.*episode 1"),
    Spoilt("an episode is missing", rows(lambda found: found[:2], META),
           error=r"total_episodes.*3.*2"),
    Spoilt("two cameras", another(cameras=(FRONT, "observation.images.wrist")),
           error=r"observation\.images\.front, observation\.images\.wrist"),
    Spoilt("no names", no_names, repair=r"action_0"),
]
EXTRA = {}
