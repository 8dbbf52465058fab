"""The lag scan's table: recordings of ViZDoom shifted on purpose, and data that cannot tell; counts at the end. Records its own data into a temporary folder.

    python benchmarks/alignment.py [seed]    less than 4 minutes on one core; status 1 if a bar is missed
"""
import sys, tempfile, time
from pathlib import Path
import torch
from wmkit.core import threads
from wmkit.data.actions import DOOM, ActionSpace
from wmkit.data.align import key_effects, lag_scan, motion_features
from wmkit.data.record import record

# map, tics a frame, run: 8 episodes each; seeds, lengths and most maps are not those that the scan's limits were chosen on
RECORDINGS = (("deathmatch", 2, True), ("my_way_home", 1, True), ("health_gathering", 2, True), ("MAP05", 2, True),
              ("E1M3", 4, True), ("MAP12", 1, True), ("E3M5", 2, False), ("defend_the_center", 4, True))
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
    said = scan.best if scan.confident else None
    kind = "silent" if said is None else "found" if said == true else "wrong"
    counts[kind] = counts.get(kind, 0) + 1
    print(f"  {name:22}{'-' if true is None else f'{true:+d}':>5}{'silent' if said is None else f'{said:+d}':>8}  {scan.channel or '':8}{scan.pairs:6} pairs   {scan.reason[:90]}", flush=True)

def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 7000
    start, sets, silent, keys, generator = time.time(), {}, {}, {}, torch.Generator().manual_seed(seed)
    with tempfile.TemporaryDirectory() as folder, threads(1):
        for k, (name, skip, run) in enumerate(RECORDINGS):
            data = record(Path(folder)/str(k), EPISODES, FRAMES, (name,), seed + k, skip, 1, run=run)
            frames, actions = ([read(e.index) for e in data.episodes] for read in (lambda e: data.frames(e, size=(64, 64)), data.actions))
            features = [motion_features(f) for f in frames]
            print(f"{name}, {skip} tics a frame{'' if run else ', walking'}\n  {'rows':22}{'true':>5}{'found':>8}")
            def scan(rows, space=DOOM, seen=features): return lag_scan(frames, rows, space, features=seen)
            for by in SHIFTS: judge("shifted", by, scan(shifted(actions, by)), sets)
            for what, rows in controls(actions, generator).items(): judge(what, None, scan(rows), silent)
            if k % 3 == 0:
                judge("frozen video", None, scan(actions, seen=[f*0 for f in features]), silent)
                judge("noise for video", None, scan(actions, seen=[torch.randn(f.shape, generator=generator) for f in features]), silent)
                judge("buttons alone", 0, scan([a[:, :7] for a in actions], ActionSpace(DOOM.channels[:7])), silent)
                judge("one short episode", 0, lag_scan(frames[:1], [actions[0]][:1], DOOM, features=features[:1]), silent)
            for rows, right in ((actions, "agrees"), ([swapped(a) for a in actions], "contradicts")):
                for key, found in key_effects(frames, rows, DOOM, features=features).items():
                    if right == "contradicts" and key in ("jump", "yaw"): continue
                    verdict = {right: "found", "cannot tell": "silent"}.get(found.verdict, "wrong")
                    keys[verdict] = keys.get(verdict, 0) + 1
    print(f"\nshifted sets: {sets}; where nothing may be claimed: {silent}; keys as they are and swapped: {keys}; {time.time() - start:.0f} s")
    sys.exit(int(sets.get("found", 0) < .95*sum(sets.values()) or any(c.get("wrong", 0) for c in (sets, silent, keys))))

if __name__ == "__main__": main()
