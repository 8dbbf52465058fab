"""A small house of everything that wmkit reads back, and the ways in which its files are spoilt.

`build_house` writes runs, checkpoints, worlds, data sets, stores, settings and a source to import.
`spoils(house)` is a Hypothesis strategy of `Spoil`s, each of which damages one file of it.
"""
import configparser
import copy
import csv
import json
import os
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path

import yaml
from fastcore.nbio import mk_cell, new_nb, write_nb
from hypothesis import strategies as st

CANARY = "canary-7f3a91"  # stands in files outside of the house, and must never be shown
SCRIPT = "<script>alert(1)</script>"
EYES = ("conv", "vq", "fsq", "transformer")


# ---- the house


def tokenizer(kind):
    "A tokenizer of that kind, as small as it goes."
    from wmkit.tokenizers.conv import ConvTokenizer
    from wmkit.tokenizers.transformer import TransformerTokenizer
    from wmkit.tokenizers.vq import VQTokenizer
    size = (32, 32)
    if kind == "conv":
        return ConvTokenizer(size, stride=4, cell=2, fine=2, width=8)
    if kind == "transformer":
        return TransformerTokenizer(size, patch=8, channels=8, width=16, depth=2, heads=2)
    return VQTokenizer(size, stride=4, kind=kind, codes=8, dim=4, levels=(4, 3, 3), width=8)


def dynamics(kind, eyes):
    "A dynamics for the latents of `eyes`."
    from wmkit.data.actions import DOOM
    from wmkit.dynamics.conv import ConvDynamics
    from wmkit.dynamics.transformer import TransformerDynamics
    shape = dict(channels=eyes.channels, grid=eyes.grid)
    if kind == "conv":
        small = dict(width=8, depth=1, paint=8, heads=2, condition=8)
        return ConvDynamics(DOOM.to_dict(), **shape, fine=2, context=2, **small)
    return TransformerDynamics(DOOM.to_dict(), **shape, window=3, width=16, depth=2, heads=2,
                               registers=1, every=2)


def write_models(folder, kind, place):
    "A tokenizer and a dynamics that was trained with it."
    from wmkit.checkpoints import model_hash, save_model, step_folder
    from wmkit.objectives.shortcut import NoiseSchedule
    from wmkit.tokenizers.vq import continuous
    eyes = tokenizer(kind)
    steps = step_folder(folder/"tokenizer", 1), step_folder(folder/"dynamics", 1)
    own = dict(dataset="toy_frames", metrics=dict(psnr=20.5), step=1)
    save_model(steps[0], eyes, own, dict(step=1, weights=[1., 2.]))
    own |= dict(tokenizer=place, tokenizer_hash=model_hash(eyes), K=1, context_noise=.1,
                schedule=NoiseSchedule().to_dict())
    body = dynamics("transformer" if kind == "transformer" else "conv", continuous(eyes))
    save_model(steps[1], body, own, dict(step=1, rows=[[1, 2]]))
    return eyes


PARAMETERS = "steps = 20\nlr = 0.5\nname = 'x'\nfail = False\nsizes = [1, 2]"


def write_notebook(folder):
    cells = [mk_cell(PARAMETERS, metadata=dict(tags=["parameters"])), mk_cell("print(steps)")]
    folder.mkdir(parents=True)
    kernel = dict(display_name="python3", language="python", name="python3")
    write_nb(new_nb(cells, meta=dict(kernelspec=kernel)), folder/"train.ipynb")


def write_run(name, png):
    "A run that was stopped after ten steps."
    from wmkit.findings import Finding, Report
    from wmkit.runs import Run, now, read_parameters
    params = read_parameters("nbs/runs/train.ipynb")
    run = Run.create(name, params, notebook=Path("nbs/runs/train.ipynb"))
    for step in range(10):
        run.log(step=step, loss=1/(1 + step), model="dynamics", nan=float("nan"))
    run._metrics = None
    run.result(dict(loss=.1, psnr=[1., 2.], nested=dict(a=float("inf"))))
    ended = dict(started=now(), ended=now(), status="stopped", error=None, argv=["x"],
                 code=dict(revision=None, dirty=None), launcher=1)
    run.update(status="stopped", ended=now(), sessions=[ended])
    found = [Finding("a_check", "fail", 1., "under 0.5", "It is over.", causes=("this",),
                     remedy="Mend it.", evidence=png), Finding("other", "ok", 0., "0", "Good.")]
    Report(found, "doctor").save(run.folder)
    run.page("A run", run)
    (run.folder/"log.txt").write_text("step 1\n")


def write_sweep(name, members):
    "A sweep whose members are runs that there are."
    from wmkit.files import write_json
    from wmkit.runs import Run, now
    runs = [dict(name=m, params=Run.open(m).params) for m in members]
    spec = dict(base=dict(steps=5), grid=dict(lr=[.5, .25]), list=[dict(name="y")], seeds=[])
    (Path("outputs")/name).mkdir()
    write_json(Path("outputs")/name/"sweep.json",
               dict(notebook="nbs/runs/train.ipynb", spec=spec, created=now(), runs=runs))
    Path("sweep.yaml").write_text(yaml.safe_dump(spec))
    Path("params.yaml").write_text(yaml.safe_dump(dict(steps=5, lr=.25, sizes=[3])))


MAPPING = """videos: "videos/*.mp4"
actions: "actions/*.csv"
convention: at
rows: {frame: frame, first: 0}
fps: 10
states: {height: z}
channels:
  forward: {kind: button, from: keys, key: W}
  yaw: {kind: delta, unit: degrees per frame, low: -20, high: 20, sign: right, from: dx, scale: .15}
"""


def write_source(folder, toy):
    "Videos with a table each and a mapping, to be imported."
    for part in ("videos", "actions"):
        (folder/part).mkdir(parents=True)
    for i in range(2):
        shutil.copy(toy.path(i), folder/f"videos/run_{i}.mp4")
        with open(folder/f"actions/run_{i}.csv", "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["frame", "keys", "dx", "z"])
            rows.writerows([t, "W" if t % 3 else "", t % 7 - 3, t/2] for t in range(24))
    (folder/"mapping.yaml").write_text(MAPPING)


def build_house(root):
    "Everything, below `root/house`; beside it `root/outside`, with a secret. The current folder."
    from wmkit.data.clips import build_frames
    from wmkit.data.episodes import toy_dataset
    from wmkit.data.latents import build_latents
    house, outside = root/"house", root/"outside"
    outside.mkdir(parents=True)
    for name in ("secret.txt", "run.json", "config.json", "info.json"):
        (outside/name).write_text(CANARY)
    house.mkdir()
    os.chdir(house)
    (house/"settings.ini").write_text(
        "[paths]\ndata = data\ncheckpoints = checkpoints\noutputs = outputs\n\n"
        "[run]\ndevice = cpu\nprecision = fp32\nseed = 3\ntracker = none\n")
    write_notebook(house/"nbs/runs")
    toy = toy_dataset(house/"data/toy", episodes=3, frames=24, size=(32, 32))
    build_frames(toy, house/"data/toy_frames", (32, 32))
    for kind in EYES:
        write_models(house/"checkpoints"/kind, kind, f"{kind}/tokenizer/step_000001")
    eyes = write_models(house/"world", "conv", "")
    build_latents(house/"data/toy_frames", eyes, house/"data/toy_latents")
    write_source(house/"mine", toy)
    write_runs(house)


def write_runs(house):
    from wmkit.findings import small_figure, to_png
    png = to_png(small_figure(1, 1)[0])
    for name in ("conv", "vq", "fsq"):
        write_run(name, png)
    write_sweep("both", ["vq", "fsq"])


# ---- what is put in the place of a value


class Raw(str):
    "Text that stands for itself where a value would stand: what no library writes."


OUT = ["../outside/secret.txt", "../../outside/secret.txt", "../../../outside/secret.txt",
       "../../../../outside/secret.txt", "../../../../../outside/secret.txt", "OUTSIDE/secret.txt",
       "OUTSIDE", "../../outside", "../../../outside/run.json", "/etc/passwd", "../../etc/passwd",
       "/dev/zero", "/dev/stdin", "/proc/self/environ"]
TEXTS = ["", " ", ".", "..", "/", "~", "~nosuchuser/x", "x"*100_000, "x/"*3000, "é☃𝄞 \u202e",
         "a\0b", "a\nb\rc", "{", "}", "{}", "{chunk_index:0999999999d}", "{chunk_index!r}",
         "{0.__class__}", "{file_index.__class__.__mro__}", "{video_key:>99999999999}",
         "%s%n%99999d",
         "1/0", "0/1", "-1/3", "1e999", "1/3", "10**10", "0:99999999999999", "a:b", ":", "9:1",
         "NaN",
         "Infinity", "-Infinity", "true", "null", "2026-01-01T00:00:00+00:00", "cuda:99", SCRIPT,
         "@SCRIPT@", "'; --", "$(id)", "`id`", "\ufeff", "=1+1", "__class__", *OUT]
NUMBERS = [0, 1, -1, 2, 3, 7, 16, 255, 1000, 10**5, 10**6, 10**9, 2**31, 2**53, 2**63, 2**64,
           10**30, -10**9, -2**63, 10**400, .5, -.5, -0., 1e-300, 1e30, 1e308, 1.5, 2.0]
OTHERS = [None, True, False, [], {}, [[]], [{}], [None], [0], ["x"], [1]*3, [1, 2], [-1, 3],
          [10**9]*2, list(range(1000)), {"a": 1}, {"": 0}, {"name": None}, {"x"*5000: "y"}]
RAW = [Raw(text) for text in ("NaN", "-Infinity", "1e999", "-0", "01", "'x'", "tru", "[1,",
                              "\\ud800",
                              '"\\udc80"', '"\\u0000"', "[" * 100_000, "["*50 + "]"*50,
                              "["*5000 + "]"*5000, '{"a":' * 50_000, "1" * 10_000,
                              "&a [*a]", "*nothing", "!!python/object/apply:os.system ['true']",
                              "2026-01-01", "0x10", "1:30", "=", "<<: {a: 1}", "? [a]\n: b")]
VALUES = [*TEXTS, *NUMBERS, *OTHERS, *RAW]
WHOLE = [b"", b"\0", b"\0"*100_000, b"\n", b"null", b"[]", b"{}", b"[{}]", b'""', b"0", b"true",
         b"\xff\xfe{\0}\0", b"\xef\xbb\xbf{}", b"\xed\xa0\x80", b"[" * 200_000, b'{"a":' * 100_000,
         b"- " * 100_000, b"[[[" + b"{a: " * 10_000, b"a: &a [1, 2]\nb: *a\n", b"{" * 100_000,
         b"%PDF-1.4", b"PAR1", b"\x89PNG\r\n\x1a\n", b"PK\3\4" + b"\0"*60,
         b"\x80\x04\x95\x1e\0\0\0\0\0\0\0\x8c\x05posix\x94"
         b"\x8c\x06system\x94\x93\x94\x8c\x04true\x94\x85\x94R\x94.",
         b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\n"
         b"c: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n"
         b"d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d]\n",
         b'{"a": 1, "a": 2}', b"{" + b'"k":1,' * 100_000 + b'"z":1}', b"9" * 100_000,
         b"[paths]\ndata = 1\n[paths]\n", b"[run]\nseed = 1\nseed = 2\n", b"[DEFAULT]\ndata = x\n",
         b"[paths]\ndata = %(data)s\n", b"loose\n"]


# ---- ways to damage a file


@dataclass(frozen=True)
class Spoil:
    "One damage: to which file, in what way, and the numbers that decide the rest."
    file: str   # below the house
    way: str
    where: int  # which node, byte, column
    what: int   # which value

    def __str__(self): return f"{self.way}({self.file}, {self.where}, {self.what})"

    def apply(self, house, good):
        "Damage the file; what was done, in words."
        path = house/self.file
        return WAYS[self.way](self, path, good/self.file) or ""

    @property
    def is_link(self):
        "Does it lead out itself, as links do that users make?"
        return self.way == "kind" and KINDS[self.what % len(KINDS)].startswith("link")

    def value(self, path):
        "The value that this damage puts in."
        found = VALUES[self.what % len(VALUES)]
        if isinstance(found, str) and not isinstance(found, Raw) and found.startswith("OUTSIDE"):
            house = next(p for p in path.parents if p.name == "house")
            return found.replace("OUTSIDE", str(house.parent/"outside"))
        return found


def nodes(tree, at=()):
    "The paths of all values in plain data, the whole first."
    yield at
    items = enumerate(tree) if isinstance(tree, list) else ()
    for key, value in tree.items() if isinstance(tree, dict) else items:
        yield from nodes(value, (*at, key))


def parent_of(tree, at):
    for key in at[:-1]:
        tree = tree[key]
    return tree


MARK = "\u2603mark\u2603"  # where raw text goes


def put(tree, at, value):
    "(the tree with `value` at a path, raw text for it or None)."
    raw = value if isinstance(value, Raw) else None
    value = MARK if raw is not None else value
    if not at:
        return value, raw
    parent_of(tree, at)[at[-1]] = value
    return tree, raw


def load(path, good):
    "(plain data of a JSON, YAML, INI or JSONL file, what writes it again)."
    text, kind = good.read_text(), path.suffix
    if kind == ".jsonl":
        return [json.loads(line) for line in text.splitlines()], dump_lines
    if kind == ".ini":
        parser = configparser.ConfigParser()
        parser.read_string(text)
        return {name: dict(parser[name]) for name in parser.sections()}, dump_ini
    if kind == ".yaml":
        return yaml.safe_load(text), lambda tree: yaml.safe_dump(tree, sort_keys=False)
    return json.loads(text), json.dumps


def dump_lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows) if isinstance(rows, list) else str(rows)


def dump_ini(tree):
    if not isinstance(tree, dict):
        return str(tree)
    def lines(section):
        items = section.items() if isinstance(section, dict) else [("x", section)]
        return "".join(f"{k} = {v}\n" for k, v in items)
    return "".join(f"[{name}]\n{lines(section)}" for name, section in tree.items())


def save(path, tree, dump, raw=None):
    try:
        text = dump(tree)
    except (RecursionError, yaml.YAMLError, ValueError):  # what this library cannot write
        text = "[" * 5000 + "]" * 5000
    if raw is not None:
        for quoted in (json.dumps(MARK), f"'{MARK}'", MARK, MARK.encode("unicode_escape").decode()):
            text = text.replace(quoted, raw)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))


def spoil_value(spoil, path, good):
    tree, dump = load(path, good)
    places = list(nodes(tree))
    at = places[spoil.where % len(places)]
    tree, raw = put(tree, at, copy.deepcopy(spoil.value(path)))
    save(path, tree, dump, raw)
    return f"{'.'.join(map(str, at))} = {str(spoil.value(path))[:80]!r}"


def spoil_fields(spoil, path, good):
    "Drop, rename, double, swap or add."
    tree, dump = load(path, good)
    places = [p for p in nodes(tree) if p]
    if not places:
        return None
    at = places[spoil.where % len(places)]
    other = places[(spoil.where*7 + spoil.what) % len(places)]
    home, key = parent_of(tree, at), at[-1]
    todo = ("drop", "rename", "swap", "add", "double", "retype")[spoil.what % 6]
    if todo == "drop":
        del home[key]
    elif todo == "swap":
        mine, theirs = home[key], parent_of(tree, other)[other[-1]]
        home[key] = copy.deepcopy(theirs)
        if other[:len(at)] != at and at[:len(other)] != other:
            parent_of(tree, other)[other[-1]] = mine
    elif todo == "retype":
        home[key] = str(home[key])
    elif isinstance(home, list):
        home.insert(key, copy.deepcopy(home[key]))
    elif todo == "rename":
        home[f"{key}_"] = home.pop(key)
    elif todo == "double":
        save(path, tree, dump)
        name = json.dumps(key) if path.suffix in (".json", ".jsonl") else str(key)
        path.write_text(path.read_text().replace(f"{name}:", f"{name}: 3, {name}:", 1))
        return f"{todo} {at}"
    else:
        home["unknown"] = home[key]
    save(path, tree, dump)
    return f"{todo} {'.'.join(map(str, at))}"


def spoil_bytes(spoil, path, good):
    "Flip, cut, insert, zero, double."
    data = bytearray(good.read_bytes())
    at, how = spoil.where*2654435761 % (len(data) + 1), spoil.what % 7
    if how == 0 and at < len(data):
        data[at] ^= 1 << spoil.what//7 % 8
    elif how == 1:
        del data[at:]
    elif how == 2:
        data[at:at] = bytes([spoil.what % 256])*(1 + spoil.what % 300)
    elif how == 3:
        data[at:at + 64] = bytes(64)
    elif how == 4:
        data *= 2
    elif how == 5:
        data[at:at + 8] = b"\xff"*8
    else:
        del data[at:at + 1 + spoil.what % 40]
    path.write_bytes(data)
    return f"how {how} at {at}"


def spoil_whole(spoil, path, good):
    "Another text, or the bytes of another file of the house."
    house = next(p for p in good.parents if p.name == "good")
    others = sorted(p for p in house.rglob("*") if p.is_file())
    choices = len(WHOLE) + len(others)
    pick = (spoil.where*31 + spoil.what) % choices
    data = WHOLE[pick] if pick < len(WHOLE) else others[pick - len(WHOLE)].read_bytes()
    path.write_bytes(data)
    return repr(data[:40]) if pick < len(WHOLE) else f"as {others[pick - len(WHOLE)].name}"


KINDS = ("gone", "folder", "full folder", "link out", "link folder", "dangling", "loop", "fifo",
         "sparse", "device", "socket")


def spoil_kind(spoil, path, good):
    "Something else than a file."
    house, kind = next(p for p in path.parents if p.name == "house"), KINDS[spoil.what % len(KINDS)]
    path.unlink(missing_ok=True)
    if kind == "folder":
        path.mkdir()
    elif kind == "full folder":
        shutil.copytree(path.parent, path, ignore=lambda folder, _: [path.name])
    elif kind in LINKS:
        path.symlink_to(LINKS[kind](house, path))
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "sparse":
        path.write_bytes(good.read_bytes())
        os.truncate(path, 3*2**30)
    elif kind == "socket":
        import socket
        with socket.socket(socket.AF_UNIX) as s:
            os.chdir(path.parent)
            s.bind(path.name)
            os.chdir(house)
    return kind


LINKS = {"link out": lambda house, path: house.parent/"outside/secret.txt",
         "link folder": lambda house, path: house.parent/"outside",
         "dangling": lambda house, path: house/"nowhere", "loop": lambda house, path: path,
         "device": lambda house, path: "/dev/zero"}


def spoil_header(spoil, path, good):
    "Another header of a safetensors file."
    data = good.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header, rest = json.loads(data[8:8 + size]), data[8 + size:]
    sizes = {6: 2**60, 7: 2**63 - 1, 8: 0, 9: 7, 10: size + 1, 11: 10**8}
    how = spoil.what % 12
    if how in sizes:
        path.write_bytes(struct.pack("<Q", sizes[how]) + data[8:])
        return f"a header of {sizes[how]} bytes"
    if how < 2:
        places = list(nodes(header))
        header, raw = put(header, places[spoil.where % len(places)], spoil.value(path))
    else:
        raw = None
        name = list(header)[spoil.where % len(header)]
        tensor = header[name]
        if how == 2 and "shape" in tensor:
            tensor["shape"] = (tensor["shape"] or [1])[::-1] + [1]
        elif how == 3 and "dtype" in tensor:
            tensor["dtype"] = ("F16", "BF16", "I64", "F64", "U8", "BOOL", "F8_E4M3")[spoil.what % 7]
            width = dict(F16=2, BF16=2, I64=8, F64=8).get(tensor["dtype"], 1)
            total = tensor["data_offsets"][1] - tensor["data_offsets"][0]
            tensor["shape"] = [total//width]
        elif how == 4:
            header[name + "x"] = header.pop(name)
        else:
            del header[name]
    try:
        text = json.dumps(header)
    except (ValueError, RecursionError):
        text = "[]"
    text = text if raw is None else text.replace(json.dumps(MARK), raw)
    text = text.encode("utf-8", "surrogatepass")
    path.write_bytes(struct.pack("<Q", len(text)) + text + rest)
    return f"header {how}"


def spoil_tensors(spoil, path, good):
    "Sound files with other numbers: NaN, infinite, cut, turned, of another type, empty."
    import torch
    from safetensors.torch import load_file, save_file
    tensors = load_file(good)
    name = sorted(tensors)[spoil.where % len(tensors)]
    t = tensors[name]
    changes = [lambda: t[:-1], lambda: t[:0], lambda: t.double(), lambda: t.half(),
               lambda: t.bool(),
               lambda: t.transpose(0, -1), lambda: t[None], lambda: t.flatten(),
               lambda: torch.full_like(t.float(), float("nan")), lambda: torch.zeros(()),
               lambda: torch.full_like(t.float(), 1e38), lambda: t.long() + 2**40,
               lambda: torch.full(t.shape, float("nan")).to(t.dtype), lambda: -t.float(),
               lambda: torch.cat([t, t]), lambda: t.complex() if hasattr(t, "complex") else t[:1]]
    try:
        tensors[name] = changes[spoil.what % len(changes)]().contiguous()
    except (RuntimeError, IndexError, ValueError):
        tensors.pop(name)
    save_file(tensors, path)
    return f"{name}, change {spoil.what % len(changes)}"


def spoil_columns(spoil, path, good):
    "A sound parquet file with other columns."
    import pyarrow.parquet as pq
    table = pq.read_table(good)
    i = spoil.where % table.num_columns
    name, column = table.column_names[i], table.column(i)
    n = len(column)
    how = COLUMN_CHANGES[spoil.what % len(COLUMN_CHANGES)]
    values = column.to_pylist()
    if how in ROW_CHANGES:
        table = ROW_CHANGES[how](table, n)
    elif how == "drop":
        table = table.drop_columns([name])
    elif how == "double":
        table = table.append_column(name, column)
    elif how == "rename":
        table = table.rename_columns([f"{c}_" if c == name else c for c in table.column_names])
    elif how == "unmeta":
        table = table.replace_schema_metadata(None)
    else:
        table = table.set_column(i, name, new_column(how, values, n, path, spoil))
    pq.write_table(table, path)
    return f"{name}: {how}"


ROW_CHANGES = {
    "fewer rows": lambda table, n: table.slice(0, n - 1),
    "no rows": lambda table, n: table.slice(0, 0),
    "half": lambda table, n: table.slice(n//2),
    "reversed": lambda table, n: table.take([*range(n)][::-1]),
    "twice": lambda table, n: table.take([*range(n)]*2),
    "swapped": lambda table, n: table.take([1, 0, *range(2, n)] if n > 1 else [0])}
COLUMN_CHANGES = [*ROW_CHANGES, "drop", "double", "rename", "unmeta", "nulls", "one null", "text",
                  "NaN", "one NaN", "huge", "negative", "floats", "lists", "ragged", "shorter",
                  "bool", "out", "time", "struct", "binary", "deep", "constant", "infinite",
                  "uint64"]


def numeric(values, number):
    "These values, every number replaced."
    if isinstance(values, list):
        return [numeric(v, number) for v in values]
    return number if isinstance(values, (int, float)) else values


def new_column(how, values, n, path, spoil):
    "The pyarrow column that a change makes."
    import datetime
    import pyarrow as pa
    house = next(p for p in path.parents if p.name == "house")
    one = spoil.where//7 % max(n, 1)
    if how == "nulls":
        return pa.nulls(n)
    if how in ("one null", "one NaN"):
        new = None if how == "one null" else numeric(values[one], float("nan"))
        return pa.array([new if i == one else v if how == "one null" else numeric(v, 0.)
                         for i, v in enumerate(values)])
    simple = dict(NaN=float("nan"), huge=2**62, negative=-1, floats=.5, constant=0,
                  infinite=float("inf"))
    if how in simple:
        return pa.array(numeric(values, simple[how]))
    if how == "ragged":
        return pa.array([[0.]*(i % 3) for i in range(n)])
    if how == "shorter":
        return pa.array([v[:-1] if isinstance(v, list) else v for v in values])
    if how == "deep":
        return pa.array([[[v]] for v in values])
    fixed = dict(text="x", lists=[1, 2], bool=True, out=str(house.parent/"outside/secret.txt"),
                 time=datetime.datetime(2026, 1, 1), struct=dict(a=1), binary=b"\xff\0")
    if how == "uint64":
        return pa.array([2**64 - 1]*n, pa.uint64())
    return pa.array([fixed[how]]*n)


WAYS = dict(value=spoil_value, fields=spoil_fields, bytes=spoil_bytes, whole=spoil_whole,
            kind=spoil_kind, header=spoil_header, tensors=spoil_tensors, columns=spoil_columns)
WAYS_OF = {".json": ["value"]*6 + ["fields"]*3, ".jsonl": ["value"]*2 + ["fields"],
           ".yaml": ["value"]*6 + ["fields"]*3, ".ini": ["value"]*4 + ["fields"]*2,
           ".safetensors": ["header"]*3 + ["tensors"]*3, ".parquet": ["columns"]*12,
           ".ipynb": ["value", "fields"]}


def spoils(good, folders):
    "A strategy of damages to the files of these folders of a house."
    files = sorted(str(p.relative_to(good)) for name in folders for p in good.glob(name)
                   if p.is_file())
    assert files, folders
    pairs = [(file, way) for file in files
             for way in [*WAYS_OF.get(Path(file).suffix, []), "bytes", "bytes", "whole", "kind"]]
    number = st.integers(0, 2**20)
    return st.builds(lambda pair, where, what: Spoil(*pair, where, what),
                     st.sampled_from(pairs), number, number)
