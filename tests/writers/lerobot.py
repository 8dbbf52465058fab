"""A LeRobot v3 data set as lerobot itself lays it out: several episodes in one mp4 and in one parquet file, by path templates; see nbs/14_import_lerobot.ipynb."""
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from . import Spoilt, cut_off, play, write_video

os.environ.setdefault("SVT_LOG", "1")  # the AV1 encoder says errors alone
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
CODECS = dict(h264=("libx264", {}), av1=("libsvtav1", dict(crf="16", preset="10")))


def write(folder, play, episodes=3, cameras=("observation.images.front",), codec="h264", names="list", dtype="float32", images=False, files=2):
    "The play in `episodes` parts, in `files` mp4s and parquet files; `names` of the action: list, dict or none; `images`: PNG bytes in the parquet files instead of mp4s."
    folder, fps, n = Path(folder), float(play["fps"]), len(play["frames"])
    actions = play["actions"].astype(dict(int64=np.int64, bool=bool).get(dtype, np.float32))
    parts = np.array_split(np.arange(n), episodes)
    per_file = [list(map(int, group)) for group in np.array_split(np.arange(episodes), files) if len(group)]
    table_of = []
    for file, group in enumerate(per_file):
        columns, start = [], 0
        for e in group:
            at, length = parts[e], len(parts[e])
            table_of.append({"episode_index": e, "tasks": ["look around"], "length": length, "dataset_from_index": int(at[0]), "dataset_to_index": int(at[-1]) + 1,
                             "data/chunk_index": 0, "data/file_index": file, "meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}
                            | ({} if images else {f"videos/{c}/{k}": v for c in cameras for k, v in dict(chunk_index=0, file_index=file, from_timestamp=start/fps, to_timestamp=(start + length)/fps).items()}))
            start += length
            numbers = dict(timestamp=(np.arange(length)/fps).astype(np.float32), frame_index=np.arange(length), episode_index=np.full(length, e), index=at, task_index=np.zeros(length, np.int64))
            part = {"action": pa.array([row.tolist() for row in actions[at]]), "observation.state": pa.array([row.tolist() for row in play["states"][at]])} | {k: pa.array(v) for k, v in numbers.items()}
            if images: part |= {c: pa.array([dict(bytes=png(play["frames"][t]), path=None) for t in at]) for c in cameras}
            columns.append(pa.table(part))
        path = folder/DATA.format(chunk_index=0, file_index=file)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.concat_tables(columns), path)
        for c in () if images else cameras:
            picture = play["frames"][np.concatenate([parts[e] for e in group])]
            write_video(folder/VIDEO.format(video_key=c, chunk_index=0, file_index=file), picture if c == cameras[0] else picture[:, :, ::-1], play["fps"], CODECS[codec][0], g="10", **CODECS[codec][1])
    write_meta(folder, play, actions, table_of, cameras, codec, names, images)


def write_meta(folder, play, actions, table, cameras, codec, names, images):
    h, w = play["frames"].shape[1:3]
    pq_path = folder/"meta/episodes/chunk-000/file-000.parquet"
    pq_path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(table), pq_path)
    pq.write_table(pa.table(dict(task_index=[0], task=["look around"])), folder/"meta/tasks.parquet")
    named = dict(list=play["names"], dict={"motors": play["names"]}, none=None)[names]
    features = {"action": dict(dtype=str(actions.dtype), shape=[actions.shape[1]], names=named),
                "observation.state": dict(dtype="float32", shape=[len(play["state_names"])], names={"motors": play["state_names"]})}
    for c in cameras: features[c] = dict(dtype="image" if images else "video", shape=[h, w, 3], names=["height", "width", "channels"], info={"video.fps": float(play["fps"]), "video.codec": codec})
    for k in "timestamp frame_index episode_index index task_index".split(): features[k] = dict(dtype="float32" if k == "timestamp" else "int64", shape=[1], names=None)
    info = dict(codebase_version="v3.0", robot_type="so100", total_episodes=len(table), total_frames=len(play["frames"]), total_tasks=1, chunks_size=1000, data_files_size_in_mb=100,
                video_files_size_in_mb=200, fps=float(play["fps"]), splits=dict(train=f"0:{len(table)}"), data_path=DATA, video_path=None if images else VIDEO, features=features)
    (folder/"meta/info.json").write_text(json.dumps(info, indent=2))
    rows = actions.astype(float)
    (folder/"meta/stats.json").write_text(json.dumps(dict(action=dict(min=rows.min(0).tolist(), max=rows.max(0).tolist(), mean=rows.mean(0).tolist(), std=rows.std(0).tolist(), count=[len(rows)]))))


def png(frame):
    import io

    from PIL import Image
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(frame)).save(out, "png")
    return out.getvalue()


def edit_info(folder, **changes):
    file = folder/"meta/info.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def edit_rows(folder, change, name="data/chunk-000/file-000.parquet"):
    "Rewrite a parquet file with its rows (a list of dicts) changed by `change`."
    rows = pq.read_table(folder/name).to_pylist()
    pq.write_table(pa.Table.from_pylist(change(rows)), folder/name)


def set_value(row, key, value):
    def change(rows):
        rows[row][key] = value
        return rows
    return change


def poison(rows):
    rows[7]["action"][3] = float("nan")
    return rows


def another(folder, **variants):
    shutil.rmtree(folder)
    write(folder, play(), **variants)


def no_names(folder):
    info = json.loads((folder/"meta/info.json").read_text())
    info["features"]["action"]["names"] = ["motors"]
    edit_info(folder, features=info["features"])


def ragged(rows):
    "One number moves from a row to the next: as many in all."
    rows[4]["action"].insert(0, rows[3]["action"].pop())
    return rows


def beyond_its_video(folder):
    for key, time in dict(from_timestamp=2., to_timestamp=2 + 20/17.5).items(): edit_rows(folder, set_value(1, f"videos/observation.images.front/{key}", time), META)


MP4, META = "videos/observation.images.front/chunk-000/file-000.mp4", "meta/episodes/chunk-000/file-000.parquet"
SPOILT = [
    Spoilt("version 2.1", lambda folder: edit_info(folder, codebase_version="v2.1"), error=r"info\.json.*v2\.1.*convert_dataset_v21_to_v30"),
    Spoilt("info.json is no JSON", lambda folder: (folder/"meta/info.json").write_text("{"), error=r"info\.json"),
    Spoilt("truncated video", lambda folder: cut_off(folder/MP4), error=r"file-000\.mp4"),
    Spoilt("zero-length video", lambda folder: (folder/MP4).write_bytes(b""), error=r"file-000\.mp4 is empty"),
    Spoilt("missing data file", lambda folder: (folder/"data/chunk-000/file-001.parquet").unlink(), error=r"file-001\.parquet is missing"),
    Spoilt("truncated data file", lambda folder: cut_off(folder/"data/chunk-000/file-000.parquet"), error=r"file-000\.parquet.*parquet"),
    Spoilt("a row stands twice", lambda folder: edit_rows(folder, lambda rows: rows[:5] + rows[4:]), error=r"file-000\.parquet.*episode 0.*21 rows.*20"),
    Spoilt("rows out of order", lambda folder: edit_rows(folder, lambda rows: rows[:4] + rows[5:6] + rows[4:5] + rows[6:]), error=r"row 4 has frame_index 5"),
    Spoilt("NaN action", lambda folder: edit_rows(folder, poison), error=r"episode 0.*row 7.*NaN"),
    Spoilt("rows of other lengths", lambda folder: edit_rows(folder, ragged), error=r"file-000\.parquet.*'action' have 9 and 8 and 10 numbers"),
    Spoilt("pictures of one frame later", lambda folder: edit_rows(folder, set_value(1, "videos/observation.images.front/from_timestamp", 21/17.5), META), error=r"episode 1 has 20 rows, and 19\.0 frames"),
    Spoilt("pictures of no time", lambda folder: edit_rows(folder, set_value(1, "videos/observation.images.front/from_timestamp", float("nan")), META), error=r"meta/episodes: episode 1"),
    Spoilt("an episode without a file", lambda folder: edit_rows(folder, set_value(1, "data/chunk_index", None), META), error=r"file-000\.parquet: data/chunk_index"),
    Spoilt("features that are none", lambda folder: edit_info(folder, features=dict(action="float32")), error=r"info\.json: feature 'action'"),
    Spoilt("path out of the folder", lambda folder: edit_info(folder, video_path="../{video_key}/{chunk_index}-{file_index}.mp4"), error=r"leads out"),
    Spoilt("template with an unknown word", lambda folder: edit_info(folder, data_path="data/{episode_chunk}.parquet"), error=r"info\.json.*data_path.*episode_chunk"),
    Spoilt("wrong fps", lambda folder: edit_info(folder, fps=20), error=r"episode 0 has 20 rows, and 22\.9 frames.*at 20 a second.*fps"),
    Spoilt("episode longer than its video", beyond_its_video, error=r"file-000\.mp4.*episode 1"),
    Spoilt("an episode is missing", lambda folder: edit_rows(folder, lambda rows: rows[:2], META), error=r"total_episodes.*3.*2"),
    Spoilt("two cameras", lambda folder: another(folder, cameras=("observation.images.front", "observation.images.wrist")), error=r"observation\.images\.front, observation\.images\.wrist"),
    Spoilt("no names", no_names, repair=r"action_0"),
]
EXTRA = {}
