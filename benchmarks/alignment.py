"""The alignment's table: recordings shifted on purpose, and data that cannot tell.

    python benchmarks/alignment.py doom [SEED]           ViZDoom, less than 6 minutes on one core
    python benchmarks/alignment.py games [SEED | DATASET ...]   games without a mouse

`games` records ten minutes of each game with held random actions (CarRacing takes half an hour),
or judges data sets that are there. Counts at the end; status 1 if a bar is missed.
"""
import contextlib
import math
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import torch
from wmkit.core import threads
from wmkit.data.actions import DOOM, ActionSpace
from wmkit.data.align import judge_alignment, key_effects, lag_scan, motion_features
from wmkit.data.episodes import Dataset
from wmkit.data.record import open_game, record

# map, tics a frame, run: 8 episodes each. Seeds, lengths and most maps are not those on which
# the scan's limits were chosen
RECORDINGS = (("deathmatch", 2, True), ("my_way_home", 1, True), ("health_gathering", 2, True),
              ("MAP05", 2, True), ("E1M3", 4, True), ("MAP12", 1, True), ("E3M5", 2, False),
              ("defend_the_center", 4, True))
GAMES = {"ALE/Breakout-v5": dict(size=(112, 84)), "ALE/Pong-v5": dict(size=(112, 84)),
         "ALE/SpaceInvaders-v5": dict(size=(112, 84)), "ALE/Freeway-v5": dict(size=(112, 84)),
         "HalfCheetah-v5": dict(size=(64, 96)), "CarRacing-v3": dict(size=(96, 144), skip=5)}
EPISODES, FRAMES, SHIFTS = 8, 230, (-2, -1, 0, 1, 2)


def shifted(actions, by): return [a.roll(by, 0) for a in actions]


def controls(actions, generator):
    "Rows that belong to other frames: nothing may be claimed of them."
    def draw(low, high): return int(torch.randint(low, high, (), generator=generator))
    least = min(map(len, actions))
    other = [a[:least] for a in actions[1:] + actions[:1]]
    return {"shuffled": [a[torch.randperm(len(a), generator=generator)] for a in actions],
            "of another episode": [torch.cat([a, b[len(a):]*0]) for a, b in zip(other, actions)],
            "rolled far": [a.roll(draw(15, max(16, len(a) - 15)), 0) for a in actions],
            "another shift each": [a.roll((e*2) % 5 - 2, 0) for e, a in enumerate(actions)],
            "half of it shifted": [a.roll(e % 2, 0) for e, a in enumerate(actions)]}


def swapped(a):
    "Forward and back, left and right exchanged, pitch turned round."
    a = a[:, [1, 0, 3, 2, *range(4, DOOM.size)]].clone()
    a[:, DOOM.index("pitch")] *= -1
    return a


def judge(name, true, scan, counts):
    "Print a line; count under `true`: found, silent, wrong."
    if not scan.confident:
        kind = "silent"
    else:
        kind = "found" if scan.best == true else "wrong"
    counts[kind] += 1
    wanted = "-" if true is None else f"{true:+d}"
    found = f"{scan.best:+d}" if scan.confident else "silent"
    channel, reason = scan.channel or "", scan.reason[:90]
    columns = f"{name:22}{wanted:>5}{found:>8}  {channel:8}{scan.pairs:6}"
    print(f"  {columns} pairs   {reason}", flush=True)


def judge_keys(frames, actions, features, counts):
    "Count what is found of the keys as they are, and of swapped ones."
    for rows, right in ((actions, "agrees"), ([swapped(a) for a in actions], "contradicts")):
        for key, found in key_effects(frames, rows, DOOM, features=features).items():
            if right == "contradicts" and key in ("jump", "yaw"):
                continue
            counts[{right: "found", "cannot tell": "silent"}.get(found.verdict, "wrong")] += 1


def judge_recording(data, generator, sets, silent, keys, mute):
    "All cases of one recording; `mute`: those that can say nothing, too."
    frames = [data.frames(e.index, size=(64, 64)) for e in data.episodes]
    actions = [data.actions(e.index) for e in data.episodes]
    features = [motion_features(f) for f in frames]

    def scan(rows, space=DOOM, films=frames, seen=features):
        return lag_scan(films, rows, space, features=seen)

    for by in SHIFTS:
        judge("shifted", by, scan(shifted(actions, by)), sets)
    for name, rows in controls(actions, generator).items():
        judge(name, None, scan(rows), silent)
    if mute:
        still = [f[:1].expand(len(f), -1, -1, -1) for f in frames]
        noise = [torch.rand(f.shape, generator=generator) for f in frames]
        buttons = ActionSpace(DOOM.channels[:7])
        short = lag_scan(frames[:1], actions[:1], DOOM, features=features[:1])
        judge("frozen video", None, scan(actions, films=still, seen=None), silent)
        judge("noise for video", None, scan(actions, films=noise, seen=None), silent)
        judge("buttons alone", 0, scan([a[:, :7] for a in actions], buttons), silent)
        judge("one short episode", 0, short, silent)
    judge_keys(frames, actions, features, keys)


class Long(Dataset):
    "All episodes as parts of one long recording, the rows of the last two of them moved."
    def __init__(self, root, by):
        super().__init__(root)
        self.by, self.about = by, {"import": {}}

    def actions(self, episode):
        rows = super().actions(episode)
        return rows.roll(self.by, 0) if episode >= len(self) - 2 else rows


def judge_ends(data, by, counts):
    "Count whether the end of a recording is found to be moved by `by`; a sound one may not be."
    for moved in (0, by):
        found = judge_alignment(Long(data.root, moved))
        said = found.verdict == "drifts"
        right = said == bool(moved) and (not said or set(found.late.values()) == {moved})
        kind = "wrong" if said else "silent"
        kind = "found" if right else kind
        counts[kind] += 1
        print(f"  end moved by {moved:+d}: {found.verdict}, {found.late}: {kind}", flush=True)


class Shifted(Dataset):
    "A data set whose rows are moved by `by(episode)`."
    def __init__(self, root, by):
        super().__init__(root)
        self.by = by

    def actions(self, episode): return super().actions(episode).roll(self.by(episode), 0)


def judge_game(data, found, silent):
    "Count the shifts that are named, and what is claimed where nothing may be."
    spoilt = {"half of it shifted": lambda e: e % 2, "another shift each": lambda e: (e*2) % 5 - 2,
              "rolled far": lambda e: 40 + 7*e}
    cases = [("shifted", by, lambda e, by=by: by) for by in SHIFTS]
    cases += [(name, None, by) for name, by in spoilt.items()]
    for name, true, by in cases:
        scan = judge_alignment(Shifted(data.root, by)).scan
        named = replace(scan, confident=scan.confident or scan.late > 0)  # late: of two, one is it
        judge(name, true, named, silent if true is None else found)


def open_games(folder):
    "(name, ten minutes of it) of the data sets that are given, or recorded into `folder`."
    given = sys.argv[2:]
    if given and not given[0].isdigit():
        for path in given:
            yield Path(path).name, Dataset(path)
        return
    seed = int(given[0]) if given else 7000
    for game, options in GAMES.items():
        with contextlib.closing(open_game(game, **options)) as opened:
            episodes = math.ceil(600*opened.fps/400)
        place = Path(folder)/game.replace("/", "_")
        yield game, record(place, episodes, 400, game, seed, test=1, **options)


def main_games():
    "A line for each case of each game, and a table at the end."
    table, start = {}, time.time()
    with tempfile.TemporaryDirectory() as folder, threads(1):
        for name, data in open_games(folder):
            minutes = float(sum(e.length for e in data.episodes)/data.fps/60)
            print(f"{name}, {minutes:.1f} minutes\n  {'rows':22}{'true':>5}{'found':>8}")
            table[name] = Counter(), Counter()
            judge_game(data, *table[name])
    print(f"\n{'game':36} shifts -2 to 2, and where nothing may be claimed")
    for name, (found, silent) in table.items():
        print(f"{name:36} {dict(found)}, {dict(silent)}")
    print(f"{time.time() - start:.0f} s")
    sys.exit(int(any(counts["wrong"] for pair in table.values() for counts in pair)))


def main_doom():
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 7000
    start, generator = time.time(), torch.Generator().manual_seed(seed)
    sets, silent, keys, ends = Counter(), Counter(), Counter(), Counter()
    with tempfile.TemporaryDirectory() as folder, threads(1):
        for k, (name, skip, run) in enumerate(RECORDINGS):
            place = Path(folder)/str(k)
            data = record(place, EPISODES, FRAMES, maps=(name,), seed=seed + k, skip=skip,
                          test=1, run=run)
            walking = "" if run else ", walking"
            print(f"{name}, {skip} tics a frame{walking}\n  {'rows':22}{'true':>5}{'found':>8}")
            judge_recording(data, generator, sets, silent, keys, mute=k % 3 == 0)
            judge_ends(data, (1, -1, 2, -2)[k % 4], ends)
    counted = {"shifted sets": sets, "where nothing may be claimed": silent,
               "keys as they are and swapped": keys, "ends of long recordings": ends}
    print("\n" + "; ".join(f"{name}: {dict(c)}" for name, c in counted.items()))
    print(f"{time.time() - start:.0f} s")
    wrong = any(counts["wrong"] for counts in counted.values())
    sys.exit(int(wrong or sets["found"] < .95*sets.total()))


if __name__ == "__main__":
    main_games() if sys.argv[1:2] == ["games"] else main_doom()
