"""Write docs/checks.md and docs/api.md from the package itself: `make pages`."""
import ast
import importlib
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT/"wmkit"
NOTEBOOK = re.compile(r"File to edit: (?:\.\./)+(nbs/\S+\.ipynb)")
WHEN = {
    "static": "Before training: formulas and data",
    "step 0": "Before training: the model at step 0",
    "live": "While training",
    "checkpoint": "Of a saved model",
    "evaluation": "Of an evaluation",
}


def checks():
    "Every registered check, by the moment at which it is asked."
    for room in ("doctor", "training"):
        for file in sorted((PACKAGE/room).glob("*.py")):
            importlib.import_module(f"wmkit.{room}.{file.stem}")
    from wmkit.findings import CHECKS
    lines = ["# Checks", "", f"The {len(CHECKS)} checks of the doctor. Each has a test in which it "
             "fires and one in which it stays silent.", "`wmkit doctor --list` prints this table.", ""]
    moments = sorted({check.when for check in CHECKS.values()}, key=list(WHEN).index)
    for when in moments:
        lines += [f"## {WHEN[when]}", "", "| check | what it catches | held against | remedy |",
                  "|---|---|---|---|"]
        found = [check for check in CHECKS.values() if check.when == when]
        lines += [_check_row(check) for check in sorted(found, key=lambda check: check.name)]
        lines.append("")
    return "\n".join(lines)


def _check_row(check):
    module = check.function.__module__.removeprefix("wmkit.").replace(".", "/")
    link = f"[{check.name}](../{_notebook(PACKAGE/f'{module}.py')})"
    return f"| {link} | {_cell(check.catches)} | {check.reference} | {_cell(check.remedy)} |"


def _cell(text):
    return " ".join(text.split()).replace("|", "\\|")


def _notebook(file):
    return NOTEBOOK.search(file.read_text(encoding="utf-8"))[1]


def api():
    "Every public function and class with the first line of its docstring."
    lines = ["# API", "", "One line for each public name; the chapter behind a module shows it at "
             "work.", ""]
    for file in sorted(PACKAGE.rglob("*.py")):
        rows = _rows(file)
        if rows:
            module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            lines += [f"## [{module}](../{_notebook(file)})", "", *rows, ""]
    return "\n".join(lines)


def _rows(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names = next((ast.literal_eval(n.value) for n in tree.body if isinstance(n, ast.Assign)
                  and getattr(n.targets[0], "id", "") == "__all__"), [])
    found = {n.name: n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    public = [found[name] for name in names if name in found]
    return [_row(node) for node in public if ast.get_docstring(node)]


def _row(node):
    "Name, parameters by name, and what comes back."
    first = ast.get_docstring(node).splitlines()[0]
    if isinstance(node, ast.ClassDef):
        return f"- class `{node.name}`: {first}"
    parameters = [a.arg for a in [*node.args.args, *node.args.kwonlyargs]]
    return f"- `{node.name}({', '.join(parameters)})`: {first}"


def pages():
    "{file in docs/: its text}."
    return {"checks.md": checks(), "api.md": api()}


if __name__ == "__main__":
    for file, text in pages().items():
        (ROOT/"docs"/file).write_text(text, encoding="utf-8")
        print(f"docs/{file}: {len(text.splitlines())} lines")
