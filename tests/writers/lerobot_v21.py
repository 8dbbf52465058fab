"""A LeRobot v2.1 data set as lerobot 0.3 itself lays it out; see nbs/14_import_lerobot.ipynb.

One mp4 a camera and one parquet file an episode, by path templates; episodes and tasks as JSON
lines, statistics an episode."""
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from . import Spoilt, cut_off, play, write_video
from .lerobot import CODECS, FRONT, action_rows, episode_table, features_of, info, png, rows

FORMAT = "lerobot"  # the importer's name
DATA = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
VIDEO = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
TASK = "look around"


def write(folder, play, episodes=3, chunk=2, **form):
    "The play in `episodes` parts, `chunk` of them in a folder; `form` as in writers.lerobot."
    folder = Path(folder)
    form = dict(cameras=(FRONT,), codec="h264", names="list", dtype="float32", images=False) | form
    parts = np.array_split(np.arange(len(play["frames"])), episodes)
    for e, at in enumerate(parts):
        words = dict(episode_chunk=e//chunk, episode_index=e)
        path = folder/DATA.format(**words)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(old_table(e, at, play, form), path)
        codec, options = CODECS[form["codec"]]
        for camera in () if form["images"] else form["cameras"]:
            shown = play["frames"][at] if camera == form["cameras"][0] else mirrored(play, at)
            video = folder/VIDEO.format(video_key=camera, **words)
            write_video(video, shown, play["fps"], codec, g="2", **options)
    write_meta(folder, play, parts, chunk, form)


def mirrored(play, at): return play["frames"][at][:, :, ::-1]


def old_table(e, at, play, form):
    "The rows of an episode: lists of fixed length; a picture has its name beside its bytes."
    found = episode_table(e, at, play, form | dict(images=False))
    for name in ("action", "observation.state"):
        cells, place = found[name], found.column_names.index(name)
        fixed = pa.list_(cells.type.value_type, len(cells[0]))
        found = found.set_column(place, name, cells.combine_chunks().cast(fixed))
    for camera in form["cameras"] if form["images"] else ():
        cells = [dict(bytes=png(play["frames"][t]), path=f"frame_{i:06d}.png")
                 for i, t in enumerate(at)]
        found = found.append_column(camera, pa.array(cells))
    return found


def write_lines(path, found):
    path.write_text("".join(json.dumps(line) + "\n" for line in found))


def stats_of(values):
    "Statistics of the rows of an episode, as lerobot keeps them."
    found = dict(min=values.min(0), max=values.max(0), mean=values.mean(0), std=values.std(0))
    return {name: row.tolist() for name, row in found.items()} | dict(count=[len(values)])


def write_meta(folder, play, parts, chunk, form):
    "The files in meta/."
    (folder/"meta").mkdir(parents=True)
    actions = action_rows(play, form).astype(float)
    lengths = [dict(episode_index=e, tasks=[TASK], length=len(at)) for e, at in enumerate(parts)]
    stats = [dict(episode_index=e, stats=dict(action=stats_of(actions[at])))
             for e, at in enumerate(parts)]
    write_lines(folder/"meta/episodes.jsonl", lengths)
    write_lines(folder/"meta/episodes_stats.jsonl", stats)
    write_lines(folder/"meta/tasks.jsonl", [dict(task_index=0, task=TASK)])
    filmed = 0 if form["images"] else len(form["cameras"])
    about = dict(codebase_version="v2.1", robot_type="unknown", total_episodes=len(parts),
                 total_frames=len(play["frames"]), total_tasks=1,
                 total_videos=filmed*len(parts), total_chunks=-(-len(parts)//chunk),
                 chunks_size=chunk, fps=float(play["fps"]), splits=dict(train=f"0:{len(parts)}"),
                 data_path=DATA, video_path=VIDEO if filmed else None,
                 features=features_of(play, form))
    (folder/"meta/info.json").write_text(json.dumps(about, indent=4))


# ---- damages

TABLE = "data/chunk-000/episode_000001.parquet"
MP4 = f"videos/chunk-000/{FRONT}/episode_000001.mp4"


def lines(change, name="meta/episodes.jsonl"):
    "Change the lines of a file, each an object."
    def spoil(folder):
        found = [json.loads(text) for text in (folder/name).read_text().splitlines()]
        write_lines(folder/name, change(found))
    return spoil


def line(number, **changes):
    def change(found):
        found[number] |= changes
        return found
    return lines(change)


def text(name, new):
    return lambda folder: (folder/name).write_text(new)


def linked_out(name):
    "A file that is a link to another folder."
    def spoil(folder):
        outside = folder.parent/f"outside_{Path(name).name}"
        shutil.move(folder/name, outside)
        (folder/name).symlink_to(outside)
    return spoil


def other_video(frames, speed=1):
    "An episode's video with other frames."
    def spoil(folder):
        known = play()
        write_video(folder/MP4, known["frames"][frames], known["fps"]*speed)
    return spoil


def picture_gone(folder):
    shutil.rmtree(folder)
    write(folder, play(), images=True)
    def change(found):
        found[4][FRONT] = dict(bytes=None, path="/etc/hostname")
        return found
    rows(change, TABLE)(folder)


HUGE = "data/{episode_chunk:03d}/{episode_index:0999999999d}.parquet"
EXTRA = {}
SPOILT = [
    Spoilt("no list of episodes", lambda folder: (folder/"meta/episodes.jsonl").unlink(),
           error=r"episodes\.jsonl is missing"),
    Spoilt("a version before", info(codebase_version="v1.6"),
           error=r"info\.json.*v1\.6.*expected v3"),
    Spoilt("cut list of episodes", lambda folder: cut_off(folder/"meta/episodes.jsonl"),
           error=r"episodes\.jsonl, line 2 is not JSON"),
    Spoilt("an episode not listed", lines(lambda found: found[:2]),
           error=r"total_episodes is 3, and meta/episodes\.jsonl lists 2"),
    Spoilt("an episode listed twice", lines(lambda found: [found[0], *found]),
           error=r"lists 4 \(0, 0, 1"),
    Spoilt("length that is text", line(1, length="20"),
           error=r"episodes\.jsonl, line 2: length: expected a whole number.*'20'"),
    Spoilt("length without end", line(1, length=10**30), error=r"line 2"),
    Spoilt("length of another episode", line(1, length=19),
           error=r"episode_000001\.parquet, episode 1: 20 rows; meta/ says 19"),
    Spoilt("deep JSON", text("meta/episodes.jsonl", "["*10**5), error=r"line 1 is not JSON.*deep"),
    Spoilt("no chunks", info(chunks_size=0), error=r"chunks_size is 0"),
    Spoilt("templates of v3", info(data_path="data/chunk-{chunk_index:03d}.parquet"),
           error=r"data_path.*no template of episode_chunk, episode_index"),
    Spoilt("a number without end", info(data_path=HUGE), error=r"data_path.*no template"),
    Spoilt("a field of an object", info(data_path="{episode_index.__class__}"),
           error=r"data_path.*no template"),
    Spoilt("path out of the folder", info(video_path="../{video_key}/{episode_index}.mp4"),
           error=r"leads out"),
    Spoilt("video linked out", linked_out(MP4), error=r"episode_000001\.mp4'?, which leads out"),
    Spoilt("table linked out", linked_out(TABLE), error=r"episode_000001\.parquet'?, which leads"),
    Spoilt("list linked out", linked_out("meta/episodes.jsonl"), error=r"leads out"),
    Spoilt("info linked out", linked_out("meta/info.json"), error=r"leads out"),
    Spoilt("missing video", lambda folder: (folder/MP4).unlink(),
           error=r"episode_000001\.mp4 is missing"),
    Spoilt("cut video", lambda folder: cut_off(folder/MP4), error=r"episode_000001\.mp4"),
    Spoilt("empty video", lambda folder: (folder/MP4).write_bytes(b""), error="is empty"),
    Spoilt("cut table", lambda folder: cut_off(folder/TABLE), error=r"episode_000001\.parquet"),
    Spoilt("video too short", other_video(slice(20, 37)),
           error=r"episode 1 has 20 rows, and 17 frames at 17\.5"),
    Spoilt("video of another rate", other_video(slice(20, 40), 2),
           error=r"episode 1 has 20 rows, and 10 frames"),
    Spoilt("video too long", other_video(slice(20, 43)),
           repair=r"episode_000001\.mp4: 3 frames more than the 20 rows of episode 1"),
    Spoilt("rows out of order", rows(lambda found: found[:3] + found[4:5] + found[3:4] + found[5:],
                                     TABLE), error=r"row 3 has frame_index 4"),
    Spoilt("picture without bytes", picture_gone, error=r"row 4: no picture"),
]
