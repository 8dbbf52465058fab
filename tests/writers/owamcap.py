"""OWAMcap recordings (ocap, D2E): x.mcap with time-stamped inputs, x.mkv with the frames.

Imports nothing of wmkit."""
import json
from fractions import Fraction
from pathlib import Path

import numpy as np

from . import Spoilt, column, cut_off

KEYS = dict(forward=0x57, back=0x53, left=0x41, right=0x44, jump=0x20, sneak=0xA2, sprint=0xA0,
            attack=1, use=2)
BUTTONS = {1: "left", 2: "right"}
RAW_FLAGS = {(1, True): 1, (1, False): 2, (2, True): 4, (2, False): 8}
EXTRA = dict(rate=17.5)  # of the play; the video says 60
COUNTS = 10  # of the mouse, a degree
ORIGIN = 1_751_017_792_294_130_700  # ns since 1970


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


class Between:
    "Random times between the stamps of a frame and the next one."
    def __init__(self, stamps, rng, margin=.08):
        self.stamps, self.rng, self.margin = stamps, rng, margin

    def __call__(self, k, low=0., high=1.):
        span = self.stamps[k + 1] - self.stamps[k]
        share = self.margin + (1 - 2*self.margin)*self.rng.uniform(low, high)
        return int(self.stamps[k] + span*share)


def switches_of(code, on, within, rng):
    """(time, key code, down?) of a key that is on in the rows `on`.

    A held key repeats its press; often it is let go of and pressed again in between."""
    found, held = [], False
    for k in range(len(on)):
        again = k + 1 < len(on) and on[k + 1]
        if on[k] and not held:
            found.append((within(k, 0, .3), code, True))
        elif on[k] and held and rng.random() < .2:
            found.append((within(k, 0, .3), code, True))
        held = bool(on[k])
        if on[k] and not again or held and rng.random() < .1:
            found.append((within(k, .7, 1), code, False))
            held = False
        elif held and rng.random() < .1:
            found += [(within(k, .4, .5), code, False), (within(k, .5, .6), code, True)]
    return found


def inputs(play, stamps, rng, margin=.08):
    """(time, key code, down?) and (time, dx, dy).

    What happens between the stamps of frame k and k+1 is action k."""
    within, switches, moves = Between(stamps, rng, margin), [], []
    for name, code in KEYS.items():
        if name in play["names"]:
            switches += switches_of(code, column(play, name) != 0, within, rng)
    turns = np.stack([column(play, "yaw"), column(play, "pitch")], 1)
    for k, total in enumerate(np.rint(turns*COUNTS).astype(int)):
        parts = rng.multinomial(12, [.25]*4)/12
        shares = np.cumsum([0, *parts])[:, None]
        steps = np.diff(np.rint(shares*total), axis=0).astype(int)
        moves += [(within(k), int(dx), int(dy)) for dx, dy in steps if dx or dy]
    return sorted(switches), sorted(moves)


def screen_message(version, name, pts, stamp, shape):
    shape = [shape[1], shape[0]]
    if version == "0.3.2":
        return dict(path=name, pts=pts, utc_ns=stamp)
    if version == "0.4.2":
        return dict(utc_ns=stamp, original_shape=shape, shape=shape, path=name, pts=pts)
    if version == "0.5.0":
        reference = dict(type="external_video", path=name, pts_ns=pts)
    else:
        reference = dict(uri=name, pts_ns=pts)
    return dict(utc_ns=stamp, source_shape=shape, shape=shape, media_ref=reference)


def raw_message(version, dx=0, dy=0, flags=0):
    if version == "0.5.1":  # the flags were one field too late
        return dict(dx=dx, dy=dy, button_flags=0, button_data=flags, device_handle=65599)
    return dict(last_x=dx, last_y=dy, us_flags=0, button_flags=flags, button_data=0,
                device_handle=65599)


def switch_messages(version, raw, switches):
    "Messages of keys and clicks."
    found = []
    for t, code, down in switches:
        if code not in BUTTONS:
            kind = "press" if down else "release"
            found.append(("keyboard", t, dict(event_type=kind, vk=code)))
            continue
        click = dict(event_type="click", x=960, y=540, button=BUTTONS[code], pressed=down)
        found.append(("mouse", t, click))
        if raw:
            flags = RAW_FLAGS[code, down]
            found.append(("mouse/raw", t, raw_message(version, flags=flags)))
    return found


def move_messages(version, raw, moves):
    "Messages of the mouse; a game that looks with the mouse holds the cursor where it is."
    found, x, y = [], 960, 540
    for t, dx, dy in moves:
        if raw:
            found.append(("mouse/raw", t, raw_message(version, dx, dy)))
        else:
            x, y = x + dx, y + dy
        found.append(("mouse", t + 1, dict(event_type="move", x=x, y=y)))
    if not raw:
        found.append(("mouse", -1000, dict(event_type="move", x=960, y=540)))
    return found, (x, y)


def state_messages(switches, end, cursor):
    "Each second, what is down."
    found = []
    for t in range(-20_000_000, int(end), 1_000_000_000):
        before = {code: down for s, code, down in switches if s <= t}
        down = sorted(code for code in KEYS.values() if before.get(code))
        keys = [code for code in down if code > 6]
        found.append(("keyboard/state", t, dict(buttons=keys + [179])))
        buttons = [BUTTONS[code] for code in down if code in BUTTONS]
        found.append(("mouse/state", t, dict(x=cursor[0], y=cursor[1], buttons=buttons)))
        window = dict(title="DOOM", rect=[0, 0, 1920, 1080], hWnd=201010)
        found.append(("window", t, window))
    return found


def messages(play, form, video):
    "(topic, time, message) in order, and the seconds at which the video shows each frame."
    rng, version, raw = np.random.default_rng(form["seed"]), form["version"], form["raw"]
    stamps = moments(play, rng, form["jitter"])
    stamps -= stamps[0]
    late = np.concatenate([[0], stamps[:-2] + 3_000_000])
    pts = late if form["late_pts"] else stamps[:-1]
    switches, moves = inputs(play, stamps, rng)
    shape, found = play["frames"].shape[1:3], []
    for t, p in zip(stamps[:-1].tolist(), pts):
        found.append(("screen", t, screen_message(version, video, int(p), ORIGIN + t, shape)))
    found += switch_messages(version, raw, switches)
    moved, cursor = move_messages(version, raw, moves)
    found += moved
    if form["states"]:
        found += state_messages(switches, stamps[-1], cursor)
    dated = [(topic, ORIGIN + t, message) for topic, t, message in found]
    return sorted(dated, key=lambda m: m[1]), pts/1e9


SCHEMAS = dict(screen="ScreenCaptured", keyboard="KeyboardEvent", mouse="MouseEvent",
               window="WindowInfo")
SCHEMAS |= {"keyboard/state": "KeyboardState", "mouse/state": "MouseState",
            "mouse/raw": "RawMouseEvent"}


def save(path, found, library="mcap-owa-support 0.6.6; mcap 1.3.0", **options):
    "An .mcap file of (topic, time, message)."
    from mcap.writer import Writer
    with open(path, "wb") as file:
        writer, channels = Writer(file, chunk_size=20_000, **options), {}
        writer.start(profile="owa", library=library)
        for topic, time, message in found:
            if topic not in channels:
                name = f"desktop/{SCHEMAS.get(topic, topic)}"
                schema = writer.register_schema(name, "jsonschema", b'{"type": "object"}')
                channels[topic] = writer.register_channel(topic, "json", schema)
            data = message if isinstance(message, bytes) else json.dumps(message).encode()
            writer.add_message(channels[topic], log_time=time, publish_time=time, data=data)
        writer.finish()


def load(path):
    from mcap.reader import make_reader
    with open(path, "rb") as file:
        found = make_reader(file).iter_messages()
        return [(c.topic, m.log_time, json.loads(m.data)) for _, c, m in found]


def write(folder, play, name="doom", suffix=".mkv", **form):
    """`late_pts`: as real recorders write, each frame carries the pts of the one before it, and
    only the message's time is right."""
    usual = dict(version="0.6.6", raw=True, jitter=.15, late_pts=False, seed=0, states=True)
    assert set(form) <= set(usual), form
    folder, form = Path(folder), usual | form
    folder.mkdir(parents=True, exist_ok=True)
    found, times = messages(play, form, name + suffix)
    library = f"mcap-owa-support {form['version']}; mcap 1.3.0"
    save(folder/f"{name}.mcap", found, library)
    write_timed_video(folder/(name + suffix), play["frames"], times)
    return folder/f"{name}.mcap"


# ---- damages

def mcap(folder):
    return next(Path(folder).rglob("*.mcap"))


def mkv(folder):
    return next(Path(folder).rglob("*.mkv"))


def edit(change):
    "`change(list of (topic, time, message))` gives the new list."
    def spoil(folder):
        save(mcap(folder), change(load(mcap(folder))))
    return spoil


def each(topic, change, every=1):
    "Change every so-many-th message of a topic."
    def spoil(found):
        new, count = [], 0
        for t, time, message in found:
            if t == topic:
                message = change(dict(message)) if count % every == 0 else message
                count += 1
            new.append((t, time, message))
        return new
    return edit(spoil)


def reference(**changes):
    "Change the reference of a screen message."
    return lambda message: message | dict(media_ref=message["media_ref"] | changes)


def uri(name):
    return each("screen", reference(uri=name))


def without(topic, start=0, stop=None):
    def spoil(found):
        out = set([i for i, (t, *_) in enumerate(found) if t == topic][start:stop])
        return [message for i, message in enumerate(found) if i not in out]
    return edit(spoil)


def backwards(found):
    screens = [i for i, (t, *_) in enumerate(found) if t == "screen"]
    a, b = screens[10], screens[20]
    found[a], found[b] = (*found[a][:2], found[b][2]), (*found[b][:2], found[a][2])
    return found


def first_twice(found):
    first = next(message for message in found if message[0] == "screen")
    return [first, *found]


def no_video(message):
    return message | dict(media_ref=dict(uri="data:image/png;base64,AAAA"))


def no_json(found):
    return [(t, time, b'{"x": ' if t == "mouse" else m) for t, time, m in found]


def lost_release(found):
    "A release is lost; a look at the keyboard shows it."
    last = max(time for _, time, _ in found)
    found.append(("keyboard", last - 600_000_000, dict(event_type="press", vk=0x52)))
    found.append(("keyboard/state", last - 300_000_000, dict(buttons=[])))
    return sorted(found, key=lambda message: message[1])


def short_video(folder):
    "A video that ends long before the screen messages do."
    import av
    path = mkv(folder)
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        times = sorted(float(packet.pts*packet.time_base) for packet in packets)
    write_timed_video(path, np.stack(frames[:20]), times[:20])


def flip_digit(folder):
    "One digit of a message changes on the disk; the checksums show it."
    from mcap.writer import CompressionType
    path = mcap(folder)
    save(path, load(path), compression=CompressionType.NONE)
    data = bytearray(path.read_bytes())
    at = data.index(b'"pts_ns": ') + len(b'"pts_ns": ')
    data[at] = ord("7") if data[at] != ord("7") else ord("8")
    path.write_bytes(data)


def no_last_x(message):
    return {key: value for key, value in message.items() if key != "last_x"}


FAR = ("keyboard", 2**64 - 1, dict(event_type="press", vk=87))
SPOILT = [
    Spoilt("mcap cut off", lambda folder: cut_off(mcap(folder)),
           error=r"doom\.mcap is cut off or no MCAP file"),
    Spoilt("not an mcap", lambda folder: mcap(folder).write_bytes(b"timestamp,event\n"*99),
           error=r"doom\.mcap is cut off or no MCAP file"),
    Spoilt("video named outside of the folder", uri("../../secret.mkv"),
           error="leads out of"),
    Spoilt("video named by an absolute path", uri("C:\\Users\\me\\doom.mkv"),
           error="leads out of"),
    Spoilt("video is gone", lambda folder: mkv(folder).unlink(), error=r"doom\.mkv is missing"),
    Spoilt("messages name a video that was renamed", uri("before.mkv"),
           repair=r"before\.mkv.*doom\.mkv"),
    Spoilt("video of zero length", lambda folder: mkv(folder).write_bytes(b""),
           error=r"doom\.mkv is empty"),
    Spoilt("video cut off", lambda folder: cut_off(mkv(folder), .5), error=r"doom\.mkv"),
    Spoilt("video shorter than the messages", short_video, error=r"60 screen messages.*20 frames"),
]
SPOILT += [  # screen messages
    Spoilt("no screen messages", without("screen"),
           error=r"doom\.mcap holds no message of topic screen"),
    Spoilt("a hole in the screen messages", without("screen", 20, 30),
           repair="1 gap of more than 3 frames without a picture"),
    Spoilt("screen messages out of order", edit(backwards), error=r"doom\.mcap.*pts.*goes back"),
    Spoilt("a screen message twice", edit(first_twice), repair="1 screen message names"),
    Spoilt("a screen message without pts", each("screen", no_video),
           error=r"doom\.mcap.*no video"),
    Spoilt("a negative time in the video", each("screen", reference(pts_ns=-5), 30),
           error="pts.*-5"),
]
SPOILT += [  # inputs
    Spoilt("a key code that is no number", each("keyboard", lambda m: m | dict(vk="W")),
           error=r"doom\.mcap.*keyboard.*vk.*'W'"),
    Spoilt("a key code that no key has", each("keyboard", lambda m: m | dict(vk=-3)),
           error=r"doom\.mcap.*keyboard.*vk.*-3"),
    Spoilt("a message that is no JSON", edit(no_json), error=r"doom\.mcap.*mouse.*JSON"),
    Spoilt("a field is missing", each("mouse/raw", no_last_x),
           error=r"doom\.mcap.*mouse/raw.*last_x"),
    Spoilt("a digit that changed", flip_digit, error=r"doom\.mcap.*CRC"),
    Spoilt("flags that are text", each("mouse/raw", lambda m: m | dict(us_flags="1")),
           error=r"doom\.mcap.*us_flags is '1'"),
    Spoilt("a time beyond 64 bits", edit(lambda found: [*found, FAR]),
           error=r"doom\.mcap.*keyboard at 18446744073709551615"),
    Spoilt("no input at all", edit(lambda found: [m for m in found if m[0] == "screen"]),
           repair="not one key, click or motion"),
    Spoilt("a lost release", edit(lost_release), repair=r"events of keys were lost.*r 1"),
    Spoilt("no raw mouse", without("mouse/raw"), repair="cursor"),
    Spoilt("a motion beyond the range", each("mouse/raw", lambda m: m | dict(last_x=4000), 40),
           error=r"mouse_x is up to.*mouse_range"),
]
