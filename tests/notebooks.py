"""Run notebooks as the gate does: `python tests/notebooks.py [--store] [--slow] NOTEBOOK ...`.

Without options a notebook is executed and its new outputs are compared with the stored ones;
with --store they are written into the notebook. `#| slow` and `#| cuda` cells are left out and
keep what they have; --slow runs the slow ones too.
"""
import argparse
import contextlib
import faulthandler
import os
import re
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SKIPPED = {"notest", "slow", "cuda"}
CELL_SECONDS = 300
NUMBER = re.compile(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?|\bnan\b|\binf\b", re.I)
DRAWING = dict(dpi=72, format="jpeg")
SETTINGS = """[paths]
data = data
checkpoints = checkpoints
outputs = outputs
[run]
device = cpu
"""  # of a working tree that a test makes
TEMPORARY = re.compile(re.escape(tempfile.gettempdir()) + r"/tmp\w+")


# what nearly every notebook imports; done once, before processes are forked
NEEDED = "accelerate", "matplotlib.pyplot", "torch", "torchmetrics", "execnb.shell", "nbdev.process"


def cells_to_run(file, slow=False):
    "(notebook, cells that are executed): those without one of the `SKIPPED` directives."
    from nbdev.config import add_init  # noqa: F401  # fills nbdev's registry of directives
    from nbdev.process import NBProcessor
    notebook = NBProcessor(file, rm_directives=False, process=True).nb
    left_out = SKIPPED - {"slow"} if slow else SKIPPED

    def runs(cell):
        directives = getattr(cell, "directives_", None) or {}
        evaluated = directives.get("eval:", ["true"]) != ["false"]
        return cell.cell_type == "code" and evaluated and not left_out & set(directives)

    return notebook, [cell for cell in notebook.cells if runs(cell)]


def new_shell(file):
    "An IPython shell in this process whose pictures are small JPEGs."
    from execnb.shell import CaptureShell
    shell = CaptureShell(file, mpl_format=DRAWING["format"])
    shell.run(f"import matplotlib; matplotlib.rcParams['figure.dpi'] = {DRAWING['dpi']}")
    return shell


def execute(file, slow=False):
    "({cell id: outputs}, None), or the outputs so far and the traceback of the cell that failed."
    import torch
    torch.set_num_threads(1)
    file = Path(file).resolve()
    _, cells = cells_to_run(file, slow)
    shell, found = new_shell(file), {}
    sys.path.insert(0, str(ROOT))
    os.environ["IN_TEST"] = "1"
    with contextlib.chdir(file.parent):
        for cell in cells:
            faulthandler.dump_traceback_later(CELL_SECONDS - 10)  # where a cell stands still
            shell.cell(cell, timeout=CELL_SECONDS)
            faulthandler.cancel_dump_traceback_later()
            found[cell.id] = [without_temporary(output) for output in cell.outputs]
            if shell.exc:
                return found, shell.prettytb(fname=file)
    return found, None


def without_temporary(output):
    "The output with the names of temporary folders taken out: they differ from run to run."
    if isinstance(output, str):
        return TEMPORARY.sub("tmp", output)
    if isinstance(output, dict):
        return type(output)({k: without_temporary(v) for k, v in output.items()})
    if isinstance(output, (list, tuple)):
        return [without_temporary(v) for v in output]
    return output


def shape(outputs):
    "What must not change of a cell's outputs: their kinds, and the words of its value."
    kinds, words = set(), []
    for output in outputs:
        data = output.get("data") or {}
        kinds |= {"image" if kind.startswith("image/") else kind for kind in data}
        if output["output_type"] == "execute_result" and "text/html" not in data:
            text = "".join(data.get("text/plain", ""))
            words.append(" ".join(NUMBER.sub("#", text).split()))
    return sorted(kinds), words


def differences(file, found):
    "Cells whose new outputs are of another kind, or say other words, than the stored ones."
    from fastcore.nbio import read_nb
    wrong = []
    for cell in read_nb(file).cells:
        if cell.id not in found:
            continue
        stored, new = shape(cell.get("outputs") or []), shape(found[cell.id])
        if stored != new:
            first = "".join(cell.source).strip().splitlines()[:2]
            wrong.append(f"cell {cell.id} {first}: stored {stored}, now {new}")
    return wrong


def store(file, found):
    "Write new outputs into the notebook, without counts, times and addresses."
    from fastcore.nbio import read_nb, write_nb
    from nbdev.clean import clean_nb
    from nbdev.config import get_config
    notebook = read_nb(file)
    for cell in notebook.cells:
        if cell.id in found:
            cell.outputs = found[cell.id]
    allowed = get_config(Path(file).parent).get("allowed_cell_metadata_keys") or ["tags"]
    clean_nb(notebook, allowed_cell_metadata_keys=allowed)
    write_nb(notebook, file)


def run(file, storing=False, slow=False):
    "None, or what is wrong with the notebook."
    found, wrong = execute(file, slow)
    if wrong:
        return wrong
    if storing:
        return store(file, found)
    wrong = differences(file, found)
    advice = "run: python tests/notebooks.py --store " + str(Path(file).name)
    return "\n".join([*wrong, f"the outputs have changed; {advice}"]) if wrong else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="+")
    parser.add_argument("--store", action="store_true", help="write the outputs into the notebook")
    parser.add_argument("--slow", action="store_true", help="run the cells marked slow too")
    given = parser.parse_args()
    failed = 0
    for file in given.notebooks:
        began = time.monotonic()
        wrong = run(file, given.store, given.slow)
        failed += bool(wrong)
        print(f"{'FAILED' if wrong else 'ok'} {file} {time.monotonic() - began:.1f} s", flush=True)
        if wrong:
            print(wrong, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
