"""The counts that keep the code readable: `python tests/counts.py [module ...]`.

Functions are measured after `ruff format` at 100 columns, so that packing lines hides nothing.
"""
import ast
import json
import re
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WIDTH, LONG = 100, 25  # columns of a line, lines of a function
BRANCHES = (ast.If, ast.For, ast.While, ast.With, ast.Try)


@dataclass
class Counts:
    lines: int = 0
    wide: list = field(default_factory=list)        # "file:line"
    nested: list = field(default_factory=list)      # conditional expressions inside one another
    beside: list = field(default_factory=list)      # a statement after the colon of a branch
    functions: int = 0
    long: list = field(default_factory=list)        # (lines, "file:function")
    typed_doors: list = field(default_factory=list)  # public functions whose parameters have types
    doors: int = 0


def modules(folder=ROOT/"wmkit"):
    return [file for file in sorted(folder.rglob("*.py")) if file.name != "_modidx.py"]


def formatted(source):
    "The source as `ruff format` would lay it out."
    ruff = Path(sys.executable).parent/"ruff"
    command = [ruff, "format", "--isolated", "--line-length", str(WIDTH), "-"]
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=True)
    return done.stdout


def listed(tree):
    "Numbers of the lines of `__all__`, which nbdev lays out itself."
    nodes = [n for n in tree.body if isinstance(n, ast.Assign) and "__all__" in ast.unparse(n)]
    return {i for n in nodes for i in range(n.lineno, n.end_lineno + 1)}


def functions_of(tree):
    return [n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]


def nested_conditionals(tree):
    "Conditional expressions that stand inside another one."
    outer = [n for n in ast.walk(tree) if isinstance(n, ast.IfExp)]
    inner = [n for o in outer for n in ast.walk(o) if isinstance(n, ast.IfExp) and n is not o]
    return list(dict.fromkeys(inner))


def beside_colon(tree):
    "Branches whose first statement stands on the line of the colon."
    return [n for n in ast.walk(tree) if isinstance(n, BRANCHES) and n.body[0].lineno == n.lineno]


def is_typed(function):
    "Has it parameters or a result, and does each of them say its type?"
    named = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    asked = [a for a in named if a.arg not in ("self", "cls")]
    return bool(function.returns) and all(a.annotation for a in asked)


def offered(tree):
    "The names in `__all__`."
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def public_doors(tree):
    "Functions and methods that `__all__` or a public class offers."
    names = offered(tree)
    found = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name in names]
    patched = [n for n in tree.body if isinstance(n, ast.FunctionDef) and _patches(n)]
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name in names]
    methods = [m for c in classes for m in c.body if isinstance(m, ast.FunctionDef)]
    return [n for n in found + patched + methods if not n.name.startswith("_")]


def _patches(function):
    return any(re.match(r"patch\b", ast.unparse(d)) for d in function.decorator_list)


def count(files) -> Counts:
    "Counts over these Python files."
    found = Counts()
    for file in files:
        source, name = file.read_text(encoding="utf-8"), str(file.relative_to(ROOT))
        lines = source.splitlines()
        tree = ast.parse(source)
        found.lines += sum(bool(line.strip()) for line in lines)
        found.wide += [f"{name}:{i}" for i, line in enumerate(lines, 1)
                       if len(line) > WIDTH and i not in listed(tree)]
        found.nested += [f"{name}:{n.lineno}" for n in nested_conditionals(tree)]
        found.beside += [f"{name}:{n.lineno}" for n in beside_colon(tree)]
        doors = public_doors(tree)
        found.doors += len(doors)
        found.typed_doors += [f"{name}:{n.name}" for n in doors if is_typed(n)]
        functions = functions_of(ast.parse(formatted(source)))
        found.functions += len(functions)
        sizes = [(n.end_lineno - n.lineno + 1, f"{name}:{n.name}") for n in functions]
        found.long += [size for size in sizes if size[0] > LONG]
    return found


def exported_cells(notebook):
    "Lines of each exported cell, without directives."
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    exported = [s for s in sources if re.match(r"#\s*\|\s*export", s)]
    return [len([line for line in s.splitlines() if not line.startswith("#|")]) for s in exported]


def has_picture(notebook):
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    outputs = [o for c in cells for o in c.get("outputs", [])]
    return any(kind.startswith("image/") for o in outputs for kind in o.get("data", {}))


def main(names):
    files = [f for f in modules() if not names or any(n in str(f) for n in names)]
    found = count(files)
    share = len(found.long)/max(found.functions, 1)
    print(f"lines {found.lines}; over {WIDTH} columns: {len(found.wide)} {found.wide[:8]}")
    print(f"nested conditionals: {len(found.nested)} {found.nested[:8]}")
    print(f"statements after a branch's colon: {len(found.beside)} {found.beside[:8]}")
    print(f"functions {found.functions}; over {LONG} lines: {len(found.long)} ({share:.1%})")
    for size, name in sorted(found.long, reverse=True)[:40]:
        print(f"   {size:4} {name}")
    print(f"public doors {found.doors}, typed {len(found.typed_doors)}")
    notebooks = sorted((ROOT/"nbs").glob("[0-9]*.ipynb"))
    cells = [n for notebook in notebooks for n in exported_cells(notebook)]
    bare = [n.name for n in notebooks if n.name >= "10" and not has_picture(n)]
    print(f"exported cells {len(cells)}, median {statistics.median(cells)} lines")
    print(f"chapters without a picture: {len(bare)} {bare}")


if __name__ == "__main__":
    main(sys.argv[1:])
