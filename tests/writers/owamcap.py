"""OWAMcap recordings (ocap, D2E): x.mcap with time-stamped inputs, x.mkv with the frames. Imports nothing of wmkit."""
import json
from fractions import Fraction
from pathlib import Path

import numpy as np

from . import Spoilt, cut_off

KEYS = dict(forward=0x57, back=0x53, left=0x41, right=0x44, jump=0x20, sneak=0xA2, sprint=0xA0, attack=1, use=2)
BUTTONS = {1: "left", 2: "right"}
RAW_FLAGS = {(1, True): 1, (1, False): 2, (2, True): 4, (2, False): 8}
EXTRA = dict(rate=17.5)  # of the play; the video says 60
COUNTS = 10  # of the mouse, a degree


def write_timed_video(path, frames, times):
    "A video whose frames are shown at `times` (seconds)."
    import av
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=60)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        stream.options = dict(crf="10", preset="veryfast", threads="1")
        for frame, time in zip(frames, times):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            picture.pts, picture.time_base = round(time*1000), stream.codec_context.time_base
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def moments(play, rng, jitter):
    "When each frame is taken, in ns from the first, and when the play ends."
    period = 1e9/float(play["fps"])
    ticks = np.arange(len(play["frames"]) + 1)*period
    return (ticks + rng.uniform(-jitter, jitter, len(ticks))*period - ticks[0]).astype(np.int64)


def inputs(play, stamps, rng, margin=.08):
    "(time, key code, down?) and (time, dx, dy): what happens between the stamps of frame k and k+1 is action k; often a key is let go of and pressed again in between."
    names, switches, moves = list(play["names"]), [], []
    def within(k, low=0., high=1.):
        span = stamps[k + 1] - stamps[k]
        return int(stamps[k] + span*(margin + (1 - 2*margin)*rng.uniform(low, high)))
    for name, code in KEYS.items():
        if name not in names: continue
        held, on = False, play["actions"][:, names.index(name)] != 0
        for k in range(len(on)):
            again = k + 1 < len(on) and on[k + 1]
            if on[k] and not held: switches.append((within(k, 0, .3), code, True))
            elif on[k] and held and rng.random() < .2: switches.append((within(k, 0, .3), code, True))  # a held key repeats
            held = bool(on[k])
            if on[k] and not again or held and rng.random() < .1:
                switches.append((within(k, .7, 1), code, False))
                held = False
            elif held and rng.random() < .1: switches += [(within(k, .4, .5), code, False), (within(k, .5, .6), code, True)]
    turn = np.rint(play["actions"][:, [names.index("yaw"), names.index("pitch")]]*COUNTS).astype(int)
    for k, total in enumerate(turn):
        parts = rng.multinomial(12, [.25]*4)/12
        steps = np.diff(np.rint(np.cumsum([0, *parts])[:, None]*total), axis=0).astype(int)
        moves += [(within(k), int(dx), int(dy)) for dx, dy in steps if dx or dy]
    return sorted(switches), sorted(moves)


def _screen(version, name, pts, stamp, shape):
    shape = [shape[1], shape[0]]
    if version == "0.3.2": return dict(path=name, pts=pts, utc_ns=stamp)
    if version == "0.4.2": return dict(utc_ns=stamp, original_shape=shape, shape=shape, path=name, pts=pts)
    if version == "0.5.0": return dict(utc_ns=stamp, source_shape=shape, shape=shape, media_ref=dict(type="external_video", path=name, pts_ns=pts))
    return dict(utc_ns=stamp, source_shape=shape, shape=shape, media_ref=dict(uri=name, pts_ns=pts))


def _raw(version, dx=0, dy=0, flags=0):
    if version == "0.5.1": return dict(dx=dx, dy=dy, button_flags=0, button_data=flags, device_handle=65599)  # the flags stood one field too late
    return dict(last_x=dx, last_y=dy, us_flags=0, button_flags=flags, button_data=0, device_handle=65599)


def messages(play, version, raw, jitter, late_pts, seed, video, states=True):
    "(topic, time, message) in order, and the time in seconds at which the video shows each frame."
    rng, origin = np.random.default_rng(seed), 1_751_017_792_294_130_700
    stamps = moments(play, rng, jitter)
    stamps -= stamps[0]
    pts = np.concatenate([[0], stamps[:-2] + 3_000_000]) if late_pts else stamps[:-1]
    switches, moves = inputs(play, stamps, rng)
    said = [("screen", t, _screen(version, video, int(p), origin + int(t), play["frames"].shape[1:3])) for t, p in zip(stamps[:-1].tolist(), pts)]
    x, y = 960, 540
    for t, code, down in switches:
        if code in BUTTONS:
            said.append(("mouse", t, dict(event_type="click", x=x, y=y, button=BUTTONS[code], pressed=down)))
            if raw: said.append(("mouse/raw", t, _raw(version, flags=RAW_FLAGS[code, down])))
        else: said.append(("keyboard", t, dict(event_type="press" if down else "release", vk=code)))
    for t, dx, dy in moves:
        if raw: said.append(("mouse/raw", t, _raw(version, dx, dy)))
        else: x, y = x + dx, y + dy
        said.append(("mouse", t + 1, dict(event_type="move", x=x, y=y)))  # a game that looks with the mouse holds the cursor where it is
    if not raw: said.append(("mouse", -1000, dict(event_type="move", x=960, y=540)))
    for t in range(-20_000_000, int(stamps[-1]), 1_000_000_000) if states else ():
        down = {c for c in KEYS.values() if [d for s, k, d in switches if k == c and s <= t][-1:] == [True]}
        said.append(("keyboard/state", t, dict(buttons=sorted(c for c in down if c > 6) + [179])))
        said.append(("mouse/state", t, dict(x=x, y=y, buttons=[BUTTONS[c] for c in sorted(down) if c in BUTTONS])))
        said.append(("window", t, dict(title="DOOM", rect=[0, 0, 1920, 1080], hWnd=201010)))
    return sorted(((topic, origin + t, m) for topic, t, m in said), key=lambda m: m[1]), pts/1e9


def save(path, said, library="mcap-owa-support 0.6.6; mcap 1.3.0", **options):
    "An .mcap file of (topic, time, message)."
    from mcap.writer import Writer
    kinds = dict(screen="ScreenCaptured", keyboard="KeyboardEvent", mouse="MouseEvent", window="WindowInfo")
    kinds |= {"keyboard/state": "KeyboardState", "mouse/state": "MouseState", "mouse/raw": "RawMouseEvent"}
    with open(path, "wb") as file:
        writer, channels = Writer(file, chunk_size=20_000, **options), {}
        writer.start(profile="owa", library=library)
        for topic, time, message in said:
            if topic not in channels:
                schema = writer.register_schema(f"desktop/{kinds.get(topic, topic)}", "jsonschema", b'{"type": "object"}')
                channels[topic] = writer.register_channel(topic, "json", schema)
            data = message if isinstance(message, bytes) else json.dumps(message).encode()
            writer.add_message(channels[topic], log_time=time, publish_time=time, data=data)
        writer.finish()


def load(path):
    from mcap.reader import make_reader
    with open(path, "rb") as file: return [(c.topic, m.log_time, json.loads(m.data)) for _, c, m in make_reader(file).iter_messages()]


def write(folder, play, name="doom", version="0.6.6", raw=True, jitter=.15, late_pts=False, seed=0, suffix=".mkv", states=True):
    "`late_pts`: as real recorders write, each frame carries the pts of the one before it, and only the message's time is right."
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    said, times = messages(play, version, raw, jitter, late_pts, seed, name + suffix, states)
    save(folder/f"{name}.mcap", said, f"mcap-owa-support {version}; mcap 1.3.0")
    write_timed_video(folder/(name + suffix), play["frames"], times)
    return folder/f"{name}.mcap"


def _file(folder, suffix=".mcap"): return next(Path(folder).rglob(f"*{suffix}"))


def _messages(change):
    "Spoil the messages: `change(list of (topic, time, message))` gives the new list."
    def spoil(folder):
        path = _file(folder)
        save(path, change(load(path)))
    return spoil


def _each(topic, change, every=1):
    "Spoil every so-many-th message of a topic."
    def spoil(said):
        new, count = [], 0
        for t, time, m in said:
            if t == topic:
                m = change(dict(m)) if count % every == 0 else m
                count += 1
            new.append((t, time, m))
        return new
    return _messages(spoil)


def _uri(uri): return _each("screen", lambda m: m | dict(media_ref=m["media_ref"] | dict(uri=uri)))


def _without(topic, start=0, stop=None):
    def spoil(said):
        out = [i for i, (t, *_) in enumerate(said) if t == topic][start:stop]
        return [m for i, m in enumerate(said) if i not in set(out)]
    return _messages(spoil)


def _backwards(said):
    screens = [i for i, (t, *_) in enumerate(said) if t == "screen"]
    a, b = screens[10], screens[20]
    said[a], said[b] = (*said[a][:2], said[b][2]), (*said[b][:2], said[a][2])
    return said


def _twice(said): return [m for t, time, d in said for m in [(t, time, d)]*(2 if t == "screen" and d["media_ref"]["pts_ns"] == 0 else 1)]


def _lost(said):
    "A release is lost; a look at the keyboard says so."
    last = max(time for _, time, _ in said)
    said += [("keyboard", last - 600_000_000, dict(event_type="press", vk=0x52)), ("keyboard/state", last - 300_000_000, dict(buttons=[]))]
    return sorted(said, key=lambda m: m[1])


def _short(folder):
    "A video that ends long before the screen messages do."
    import av
    path = _file(folder, ".mkv")
    with av.open(str(path)) as container: frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    with av.open(str(path)) as container: times = [float(p.pts*p.time_base) for p in container.demux(video=0) if p.size]
    write_timed_video(path, np.stack(frames[:20]), sorted(times)[:20])


def _flip(folder):
    "One digit of a message changes on the disk; the checksums tell."
    from mcap.writer import CompressionType
    path = _file(folder)
    save(path, load(path), compression=CompressionType.NONE)
    data = bytearray(path.read_bytes())
    at = data.index(b'"pts_ns": ') + len(b'"pts_ns": ')
    data[at] = ord("7") if data[at] != ord("7") else ord("8")
    path.write_bytes(data)


SPOILT = [
    Spoilt("mcap cut off", lambda folder: cut_off(_file(folder)), error=r"doom\.mcap is cut off or no MCAP file"),
    Spoilt("not an mcap", lambda folder: _file(folder).write_bytes(b"timestamp,event\n"*99), error=r"doom\.mcap is cut off or no MCAP file"),
    Spoilt("video named outside of the folder", _uri("../../secret.mkv"), error="leads out of this folder|not a path inside"),
    Spoilt("video named by an absolute path", _uri("C:\\Users\\me\\doom.mkv"), error="not a path inside this folder"),
    Spoilt("video is gone", lambda folder: _file(folder, ".mkv").unlink(), error=r"doom\.mkv is missing"),
    Spoilt("messages name a video that was renamed", _uri("before.mkv"), repair=r"before\.mkv.*doom\.mkv"),
    Spoilt("video of zero length", lambda folder: _file(folder, ".mkv").write_bytes(b""), error=r"doom\.mkv is empty"),
    Spoilt("video cut off", lambda folder: cut_off(_file(folder, ".mkv"), .5), error=r"doom\.mkv"),
    Spoilt("video shorter than the messages", _short, error=r"60 screen messages.*20 frames"),
    Spoilt("no screen messages", _without("screen"), error=r"doom\.mcap holds no message of topic screen"),
    Spoilt("a hole in the screen messages", _without("screen", 20, 30), repair="1 gap in the screen messages"),
    Spoilt("screen messages out of order", _messages(_backwards), error=r"doom\.mcap.*pts.*goes back"),
    Spoilt("a screen message twice", _messages(_twice), repair="1 screen message"),
    Spoilt("a screen message without pts", _each("screen", lambda m: m | dict(media_ref=dict(uri="data:image/png;base64,AAAA"))), error=r"doom\.mcap.*no video"),
    Spoilt("a negative time in the video", _each("screen", lambda m: m | dict(media_ref=m["media_ref"] | dict(pts_ns=-5)), 30), error="pts.*-5"),
    Spoilt("a key code that is no number", _each("keyboard", lambda m: m | dict(vk="W")), error=r"doom\.mcap.*keyboard.*vk.*'W'"),
    Spoilt("a key code that no key has", _each("keyboard", lambda m: m | dict(vk=-3)), error=r"doom\.mcap.*keyboard.*vk.*-3"),
    Spoilt("a message that is no JSON", _messages(lambda said: [(t, time, b"{\"x\": " if t == "mouse" else m) for t, time, m in said]), error=r"doom\.mcap.*mouse.*JSON"),
    Spoilt("a field is missing", _each("mouse/raw", lambda m: {k: v for k, v in m.items() if k != "last_x"}), error=r"doom\.mcap.*mouse/raw.*last_x"),
    Spoilt("a digit that changed", _flip, error=r"doom\.mcap.*CRC"),
    Spoilt("flags that are text", _each("mouse/raw", lambda m: m | dict(us_flags="1")), error=r"doom\.mcap.*us_flags is '1'"),
    Spoilt("a time beyond 64 bits", _messages(lambda said: said + [("keyboard", 2**64 - 1, dict(event_type="press", vk=87))]), error=r"doom\.mcap.*keyboard at 18446744073709551615"),
    Spoilt("no input at all", _messages(lambda said: [m for m in said if m[0] == "screen"]), repair="not one key, click or motion"),
    Spoilt("a lost release", _messages(_lost), repair=r"events of keys were lost.*r 1"),
    Spoilt("no raw mouse", _without("mouse/raw"), repair="cursor"),
    Spoilt("a motion beyond the range", _each("mouse/raw", lambda m: m | dict(last_x=4000), 40), error=r"mouse_x is up to.*mouse_range"),
]
