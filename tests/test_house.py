"""The house itself: notebooks, modules, imports, sizes, readable code, locks, git, the wheel."""
import ast
import functools
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import counts
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
NBS, PACKAGE = ROOT/"nbs", ROOT/"wmkit"
HEAVY = {"torch", "torchvision", "lpips", "vizdoom", "papermill", "matplotlib", "decord", "av",
         "accelerate", "pyarrow"}
LOCK_FILES = ("requirements.lock", "requirements-cpu.lock", "requirements-cuda.lock")
LOCKS = {name: (ROOT/name).read_text() for name in LOCK_FILES}

# ---- notebooks


@functools.cache
def cells(notebook, kind="code"):
    "The sources of the notebook's cells of that kind."
    found = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return tuple("".join(cell["source"]) for cell in found if cell["cell_type"] == kind)


def every_notebook(folder="**"):
    found = sorted(NBS.glob(f"{folder}/*.ipynb" if folder else "*.ipynb"))
    return [file for file in found if not is_hidden(file)]


def is_hidden(file):
    return any(part.startswith((".", "_")) for part in file.relative_to(NBS).parts)


def name(path):
    return str(path.relative_to(ROOT))


def module_of(notebook):
    "The `default_exp` of a notebook, or None."
    directive = re.compile(r"^#\s*\|\s*default_exp\s+(\S+)", re.M)
    found = [m for source in cells(notebook) for m in directive.findall(source)]
    assert len(found) <= 1, f"{name(notebook)} exports two modules: {found}"
    return found[0] if found else None


def module_file(module):
    return PACKAGE.joinpath(*module.split(".")).with_suffix(".py")


def tree_of(source):
    "The syntax tree of a cell, without its magics."
    plain = re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.M)
    try:
        return ast.parse(plain)
    except SyntaxError:  # a %%cell magic; running the notebook judges the rest
        return ast.parse("")


def imported(source):
    "The modules below wmkit that a cell imports, also inside functions."
    for node in ast.walk(tree_of(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from wmkit.data import clips` means wmkit.data.clips
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            names = []
        yield from (found.removeprefix("wmkit.") for found in names if found.startswith("wmkit."))


def numbered():
    return [n for n in every_notebook("") if n.stem != "index"]


def test_one_notebook_one_module():
    notebooks = {}
    for notebook in every_notebook():
        if module := module_of(notebook):
            notebooks.setdefault(module, []).append(name(notebook))
    twice = {module: found for module, found in notebooks.items() if len(found) > 1}
    assert not twice, f"the later notebook overwrites the earlier: {twice}"
    modules = {file for file in counts.modules() if file.name != "__init__.py"}
    exported = {module_file(module) for module in notebooks}
    orphans, missing = (sorted(map(name, s)) for s in (modules - exported, exported - modules))
    assert not orphans, f"modules of no notebook: {orphans}"
    assert not missing, f"not exported yet: {missing}"


def test_a_notebook_is_named_after_its_module():
    "`62_attention` exports doctor.attention, `14_import_owl` exports importers.owl."
    wrong = []
    for notebook in numbered():
        module = module_of(notebook) or ""
        alike = module.split(".")[-1] == notebook.stem[3:].removeprefix("import_")
        if not alike:
            wrong.append(f"{name(notebook)} -> {module}")
    elsewhere = [name(n) for n in every_notebook("*") if module_of(n)]  # runs, explore, guides
    assert not wrong and not elsewhere, f"{wrong}; only numbered notebooks export: {elsewhere}"


def test_no_module_is_named_like_its_package():
    wrong = [name(f) for f in counts.modules() if f.stem == f.parent.name]
    assert not wrong, wrong


def test_a_notebook_imports_lower_numbers_alone():
    numbers = {module_of(notebook): int(notebook.name[:2]) for notebook in numbered()}
    wrong = []
    for notebook in numbered():
        own = int(notebook.name[:2])
        modules = [module for source in cells(notebook) for module in imported(source)]
        higher = [module for module in modules if numbers.get(module, 0) > own]
        wrong += [f"{name(notebook)} imports wmkit.{m} ({numbers[m]:02})" for m in higher]
    assert not wrong, "\n".join(dict.fromkeys(wrong))


def test_no_long_cell():
    long = [f"{name(notebook)}: {len(source.splitlines())} lines: {source.strip()[:60]!r}"
            for notebook in every_notebook() for source in cells(notebook)
            if len(source.splitlines()) > 40]
    assert not long, "\n".join(long)


def test_no_heavy_notebook():
    sizes = {name(notebook): notebook.stat().st_size for notebook in every_notebook()}
    heavy = [f"{file}: {size / 1e3:.0f} kB" for file, size in sizes.items() if size > 300_000]
    assert not heavy, heavy


TITLE = re.compile(r"# .+\n\n?> ")


def test_a_chapter_begins_with_its_title():
    first = {name(n): (cells(n, "markdown") or ("",))[0] for n in every_notebook()}
    untitled = [n for n, text in first.items() if n != "nbs/index.ipynb" and not TITLE.match(text)]
    assert not untitled, f"expected `# Title` and a line `> what it gives` in {untitled}"


def test_no_notebook_is_left_out_of_the_tests():
    left_out = re.compile(r"skip_exec:\s*true|^- eval:\s*false", re.M)
    texts = {name(n): "\n".join(cells(n, "markdown") + cells(n, "raw")) for n in every_notebook()}
    out = [n for n, text in texts.items() if left_out.search(text)]
    out += [name(file) for file in NBS.rglob(".notest")]
    assert not out, out

# ---- pictures


DRAWS = re.compile(r"\bplt\.|\bsmall_figure\(|\.imshow\(|\bdraw_\w+\(|\bshow_rows\(")


def outputs_of(notebook):
    "(source, output kinds) of each code cell."
    found = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    for cell in found:
        if cell["cell_type"] == "code":
            kinds = {k for o in cell["outputs"] for k in o.get("data", {"text/stream": 0})}
            yield "".join(cell["source"]), kinds


def test_every_chapter_has_a_picture():
    bare = [name(n) for n in numbered() if n.name >= "10" and not counts.has_picture(n)]
    assert not bare, f"store one: python tests/notebooks.py --store {' '.join(bare)}"


def test_a_cell_that_draws_shows_what_it_drew():
    "Examples alone: exported cells define, and a cell that ends in `;` or a test shows nothing."
    empty = []
    for notebook in numbered():
        for source, kinds in outputs_of(notebook):
            shows = re.search(r"^(figure, |plt\.|draw_\w+\()", source, re.M)
            if shows and DRAWS.search(source) and not source.startswith("#|") and not kinds:
                empty.append(f"{name(notebook)}: {source.splitlines()[0][:60]}")
    assert not empty, "\n".join(empty)

# ---- readable code


@pytest.fixture(scope="module")
def counted():
    return counts.count(counts.modules())


def test_lines_are_narrow(counted):
    assert not counted.wide, counted.wide
    long = [name(n) for n in every_notebook() for s in cells(n)
            if any(len(line) > counts.WIDTH for line in s.splitlines())]
    assert not long, long


def test_no_nested_conditional_expression(counted):
    assert not counted.nested, counted.nested
    assert counts.nested_conditionals(ast.parse("a if b else (c if d else e)"))


def test_no_statement_beside_a_branch(counted):
    assert not counted.beside, counted.beside


def test_functions_are_short(counted):
    assert len(counted.long) <= .03*counted.functions, sorted(counted.long, reverse=True)


def test_exported_cells_are_short():
    assert statistics.median([n for notebook in numbered()
                              for n in counts.exported_cells(notebook)]) <= 15


def private_names(tree):
    "What a module itself defines or sets with a leading underscore."
    defined = {n.name for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    stored = {n.attr for n in ast.walk(tree)
              if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)}
    variables = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    return {found for found in defined | stored | variables if found.startswith("_")}


# Private names of libraries that have no public door.
FOREIGN = {
    "_orig_mod", "_replace", "_asdict", "_fields",  # torch.compile's model, namedtuples
    "_exit", "_getframe",                           # os, sys
    "_is_amx_tile_supported", "_is_avx512_bf16_supported", "_cdata", "_foreach_lerp_",
    "_local_scalar_dense", "_overloadpacket", "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_flash_attention_for_cpu_backward",  # torch
    "_reset_state",                                 # accelerate
}


def test_no_private_door_is_used_from_outside():
    wrong = []
    for file in counts.modules():
        tree = ast.parse(file.read_text(encoding="utf-8"))
        own = private_names(tree) | FOREIGN
        used = [n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)]
        used += [alias.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level
                 for alias in n.names]
        private = {u for u in used if u.startswith("_") and not u.endswith("__")}
        wrong += [f"{name(file)}: {u}" for u in sorted(private - own)]
    assert not wrong, wrong


def names_in(text):
    return set(re.findall(r"[A-Za-z_]\w*", text))


# Found by their names: checks, measures and importers register or are looked up.
FOUND_BY_NAME = re.compile(r"check_|measure_|import_|read_")


def names_in_types(tree):
    "Names in the annotations of a module's public functions: a user meets these classes."
    doors = counts.public_doors(tree)
    arguments = [a.annotation for d in doors for a in [*d.args.args, *d.args.kwonlyargs]]
    types = [t for t in [*arguments, *(d.returns for d in doors)] if t]
    return names_in(" ".join(map(ast.unparse, types)))


def test_all_names_somebody_else_uses():
    "A name that only its own module uses is private: `_name`, or a cell `#| exporti`."
    pages = [*ROOT.glob("tests/**/*.py"), *ROOT.glob("benchmarks/*.py"), *ROOT.glob("docs/*.md")]
    pages = [p for p in pages if p.name != "api.md"]
    outside = names_in("\n".join(p.read_text(encoding="utf-8") for p in pages))
    words = {module_of(n) or name(n): names_in("\n".join(cells(n))) for n in every_notebook()}
    alone = []
    for file in counts.modules():
        module = ".".join(file.relative_to(PACKAGE).with_suffix("").parts)
        elsewhere = set().union(outside, *(w for other, w in words.items() if other != module))
        tree = ast.parse(file.read_text(encoding="utf-8"))
        offered = {n for n in counts.offered(tree) if not FOUND_BY_NAME.match(n)}
        alone += [f"{module}.{n}" for n in sorted(offered - elsewhere - names_in_types(tree))]
    assert len(alone) <= 40, f"{len(alone)} names: {alone}"


def test_public_doors_say_their_types(counted):
    assert len(counted.typed_doors) >= 60, counted.typed_doors
    assert (PACKAGE/"py.typed").exists()

# ---- run notebooks


@pytest.mark.parametrize("notebook", every_notebook("runs"), ids=lambda file: file.stem)
def test_run_notebook(notebook):
    found = json.loads(notebook.read_text(encoding="utf-8"))
    code = [cell for cell in found["cells"] if cell["cell_type"] == "code"]
    assert len(code) <= 12, f"{len(code)} code cells: a run notebook is wiring"
    tagged = [cell for cell in code if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1, "papermill needs one cell tagged `parameters`"
    assert found["metadata"].get("kernelspec", {}).get("name"), "papermill needs a kernelspec"
    sources = ["".join(cell["source"]) for cell in code if cell not in tagged]
    tall = [s.splitlines()[0] for s in sources if len(s.strip().splitlines()) > 6]
    assert not tall, f"more than 6 lines in cells {tall}: move them to wmkit/training"
    decides = [s for s in sources if re.search(r"^\s*def |\blambda\b", s, re.M)]
    assert not decides, f"a run notebook defines nothing: {decides}"
    from wmkit.runs import read_parameters
    assert read_parameters(notebook), "no parameter"


def test_the_design_names_every_notebook():
    page = (ROOT/"docs/design.md").read_text(encoding="utf-8")
    missing = [name(n) for n in every_notebook() if f"(../{name(n)})" not in page]
    assert not missing, f"docs/design.md does not link {missing}"


def test_readme_is_the_index():
    from nbconvert import MarkdownExporter
    written = MarkdownExporter().from_filename(str(NBS/"index.ipynb"))[0].replace("](../", "](")
    readme = (ROOT/"README.md").read_text(encoding="utf-8")
    assert readme.strip() == written.strip(), "README.md is not nbs/index.ipynb; run: make readme"


def test_the_readme_is_short():
    lines = (ROOT/"README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 100, f"{len(lines)} lines: a screen and a half; the rest goes on a page"


def test_pages_are_generated(tmp_path):
    "docs/checks.md and docs/api.md are what `make pages` writes."
    sys.path.insert(0, str(ROOT/"docs"))
    import pages
    for file, text in pages.pages().items():
        assert (ROOT/"docs"/file).read_text(encoding="utf-8") == text, f"{file}: run: make pages"


def test_links_lead_somewhere():
    broken = []
    folders = [ROOT/folder/"README.md" for folder in ("data", "checkpoints", "outputs")]
    for file in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *folders]:
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", file.read_text(encoding="utf-8")):
            if "://" not in link and not (file.parent/link).exists():
                broken.append(f"{name(file)}: {link}")
    assert not broken, broken

# ---- imports


WHAT_COMES_IN = "import sys; import {module}; print(*{{m.split('.')[0] for m in sys.modules}})"
HOW_LONG = "import time; t = time.process_time(); import wmkit; print(time.process_time() - t)"


def python(code):
    "What a fresh Python prints."
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                          check=True, timeout=120).stdout.split()


@pytest.mark.parametrize("module", ["wmkit", "wmkit.cli"])
def test_import_is_light(module):
    heavy = HEAVY & set(python(WHAT_COMES_IN.format(module=module)))
    assert not heavy, f"import {module} pulls in {sorted(heavy)}; import them inside functions"


def test_import_is_instant():
    took = min(float(python(HOW_LONG)[0]) for _ in range(3))  # processor time, best of three
    assert took < .3, f"import wmkit takes {took:.2f} s"


EXTRA = HEAVY - {"torch"} | {
    "PIL", "h5py", "mcap", "torchmetrics", "vector_quantize_pytorch", "anywidget", "ipywidgets",
    "IPython", "stlpips_pytorch", "psutil", "nbdev"}


@pytest.mark.parametrize("module", ["wmkit.worlds.load", "wmkit.doctor.report"])
def test_nothing_compiles_at_the_start(module):
    "torch._dynamo costs four seconds of every kernel and command; extras may not be installed."
    code = f"import sys; import {module}; print('torch._dynamo' in sys.modules)"
    assert python(code) == ["False"]
    extra = EXTRA & set(python(WHAT_COMES_IN.format(module=module)))
    assert not extra, f"import {module} pulls in {sorted(extra)}, which are extras"

# ---- locks


def pins(lock):
    "(name, version) and hashes of each requirement of a lock."
    found = {}
    for line in LOCKS[lock].splitlines():
        if m := re.match(r"([A-Za-z0-9._-]+)==(\S+)", line):
            found[last := (canonicalize_name(m[1]), m[2])] = []
        elif m := re.match(r"    --hash=sha256:([0-9a-f]{64})", line):
            found[last].append(m[1])
        else:
            raise AssertionError(f"{lock}: {line!r} is neither a pin nor a hash")
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_is_pins_and_hashes(lock):
    assert "://" not in LOCKS[lock]
    bare = [pin for pin, hashes in pins(lock).items() if not hashes]
    assert pins(lock) and not bare, bare


def asked_for():
    "Every requirement of pyproject.toml, extras too."
    file = tomllib.loads((ROOT/"pyproject.toml").read_text())
    extras = dict(file["project"]["optional-dependencies"])
    extras.pop("tracker")  # trackio holds pillow back; whoever wants it installs it beside the rest
    extras = extras.values()
    found = [*file["project"]["dependencies"], *file["build-system"]["requires"]]
    found += [requirement for extra in extras for requirement in extra]
    return [r for r in map(Requirement, found) if r.name != "wmkit"]


def test_locks_hold_what_pyproject_asks_for():
    locked = {}
    for pin, version in [*pins("requirements.lock"), *pins("requirements-cuda.lock")]:
        locked.setdefault(pin, []).append(version)
    for requirement in asked_for():
        versions = locked.get(canonicalize_name(requirement.name), [])
        assert versions, f"{requirement.name} is in no lock; run: make lock"
        fits = all(requirement.specifier.contains(version) for version in versions)
        assert fits, f"{requirement} is locked at {versions}"


CARD = "torch jupyterlab ipywidgets matplotlib safetensors einops lpips papermill nbdev decord"


def test_the_extra_all_holds_the_packages_of_the_card():
    project = tomllib.loads((ROOT/"pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    inside = {name: [Requirement(r) for r in given] for name, given in extras.items()}
    wanted, = (r.extras for r in inside["all"])
    assert wanted == {"record", "games", "import", "train", "lab"}
    held = [r.name for name in wanted for r in inside[name]]
    held += [Requirement(r).name for r in project["dependencies"]]
    assert set(CARD.split()) <= set(held)


def test_both_builds_of_torch_are_one_version():
    cpu, = pins("requirements-cpu.lock")
    cuda = dict(list(pins("requirements-cuda.lock")))
    assert cpu[0] == "torch" and cpu[1].split("+")[0] == cuda["torch"]
    # beside the CPU build it cannot be imported
    assert "torchvision" in cuda and "torchvision" not in dict(list(pins("requirements.lock")))

# ---- what git holds


@functools.cache
def git_files():
    "The files that git tracks; in a tree without git, all that .gitignore leaves."
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if said.returncode == 0:
        tracked = [ROOT/found for found in said.stdout.split("\0") if found]
        return tuple(file for file in tracked if file.is_file())
    skip = {".venv", ".git", "__pycache__", ".ipynb_checkpoints", ".pytest_cache", ".ruff_cache",
            "wmkit.egg-info", "build"}
    parts = {file: file.relative_to(ROOT).parts for file in ROOT.rglob("*") if file.is_file()}
    ignored = ("data", "checkpoints", "outputs")
    return tuple(file for file, names in parts.items() if not skip & set(names)
                 and (names[0] not in ignored or file.name == "README.md"))


def test_no_large_file():
    sizes = {name(file): file.stat().st_size for file in git_files()}
    large = [f"{file}: {size / 1e6:.1f} MB" for file, size in sizes.items() if size > 1_000_000]
    assert not large, large


def test_no_machine_paths_in_repo():
    "No path of somebody's machine, no host of a package registry."
    pieces = [("/wo", "rk/"), ("/ro", "ot/"), ("/ho", "me/"), ("/tmp", "/"), ("/opt", "/pypi"),
              ("py", "pi.org"), ("python", "hosted"), ("download.py", "torch"),
              ("--index", "-url "), ("--find", "-links ")]
    pattern = re.compile("|".join(r"(?<![\w.)}])" + re.escape("".join(p)) for p in pieces))
    texts = [f for f in git_files() if f.suffix not in (".png", ".gif", ".mp4", ".jpg")]
    found = []
    for file in texts:
        for i, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            if m := pattern.search(line):
                found.append(f"{name(file)}:{i}: {m[0]}")
    assert not found, "\n".join(found)


def test_gitignore_is_anchored(tmp_path):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    shutil.copy(ROOT/".gitignore", tmp_path)
    hidden = ["data/doom/info.json", "checkpoints/run/x", "outputs/run/result.json",
              ".venv/bin/python", "wmkit/data/__pycache__/x.pyc", "wmkit.egg-info/x"]
    kept = ["wmkit/data/clips.py", "nbs/data/x.ipynb", "wmkit/checkpoints.py",
            "wmkit/static/scrub.js", "data/README.md", "checkpoints/README.md",
            "outputs/README.md", "requirements.lock", "docs/quickstart.gif"]
    command = ["git", "check-ignore", "--no-index", *hidden, *kept]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert said.stdout.split() == hidden

# ---- the wheel


WHEEL = "from setuptools.build_meta import build_wheel; build_wheel('.')"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    "A wheel, built in a copy, since setuptools leaves its build folder behind."
    copy = tmp_path_factory.mktemp("copy")
    skip = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    for folder in ("wmkit", "nbs/runs", "configs"):
        shutil.copytree(ROOT/folder, copy/folder, ignore=skip)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT/file, copy)
    environment = os.environ | dict(PYTHONPATH="")
    said = subprocess.run([sys.executable, "-c", WHEEL], cwd=copy, capture_output=True, text=True,
                          timeout=120, env=environment)
    assert said.returncode == 0, said.stderr
    found, = copy.glob("*.whl")
    return found


def test_wheel_holds_modules_scripts_notebooks_and_configurations(wheel):
    held = {file for file in zipfile.ZipFile(wheel).namelist() if file.startswith("wmkit/")}
    package = [f for kind in ("*.py", "*.js", "py.typed") for f in PACKAGE.rglob(kind)]
    wanted = {str(file.relative_to(ROOT)) for file in package}
    wanted |= {f"wmkit/notebooks/{file.name}" for file in every_notebook("runs")}
    wanted |= {f"wmkit/configs/{file.name}" for file in ROOT.glob("configs/*.yaml")}
    assert held == wanted


@pytest.fixture
def installed(wheel, tmp_path):
    "`wmkit ...` of the unpacked wheel, in an empty folder; (exit code, what it said)."
    site, empty = tmp_path/"site", tmp_path/"anywhere"
    empty.mkdir()
    zipfile.ZipFile(wheel).extractall(site)
    program = ("import sys, wmkit; from wmkit.cli import main; "
               f"assert wmkit.__file__.startswith({str(site)!r}); sys.exit(main())")
    environment = os.environ | dict(PYTHONPATH=str(site), OMP_NUM_THREADS="1")

    def installed(*words):
        said = subprocess.run([sys.executable, "-c", program, *words], cwd=empty, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
        return said.returncode, said.stdout
    installed.folder = empty
    return installed


def test_an_installed_wmkit_needs_no_clone(installed):
    code, said = installed("run", "train_tokenizer", "-f", "train_tokenizer")
    assert code == 2 and "no data set 'my_game', neither in" in said, said
    assert "there is none yet: wmkit import or wmkit record makes one" in said
    code, said = installed("run", "train_tokenizer", "-f", "trian_tokenizer")
    assert code == 2 and "there are quickstart, train_dynamics," in said, said
    assert not any(installed.folder.iterdir())
    small = "-p", "episodes", "2", "-p", "frames", "30", "-p", "test", "1"
    code, said = installed("run", "record", "--name", "first", *small)
    assert code == 0, said
    made = sorted(file.name for file in installed.folder.iterdir())
    assert made == ["data", "outputs"] and (installed.folder/"outputs/first/report.html").exists()
    code, said = installed("runs")
    assert "first  done    record" in said, said


@pytest.mark.slow
def test_an_installed_wmkit_runs_the_quickstart(installed):
    code, said = installed("run", "quickstart", "--name", "world")
    assert code == 0, said
    assert (installed.folder/"checkpoints/world/dynamics").is_dir()
    code, said = installed("export", "world", "sent")
    assert code == 0 and not [*installed.folder.glob("sent/**/state.pt")], said


def test_expect_fail_is_strict():
    "`expect_fail(lambda: ...)` makes a context manager and never enters it: it cannot fail."
    loose = re.compile(r"^(?!.*with ).*expect_fail\(", re.M)
    idle = [name(n) for n in every_notebook() for s in cells(n) if loose.search(s)]
    assert not idle, f"use `with expect_fail(...):` or test_fail in {sorted(set(idle))}"
