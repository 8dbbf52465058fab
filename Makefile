# make quickstart   set up, then record play, train a small world and open it up: one run folder under outputs/
# make test         set up, then every test
# make lab          JupyterLab on the newest run
# make bench        the benchmarks
# make clean        remove what make made here: .venv and caches; never data, checkpoints or outputs
.PHONY: quickstart test lab bench clean setup readme lock
BIN = .venv/bin

quickstart: setup
	@$(BIN)/wmkit run quickstart
	@$(BIN)/python -c "$$where"

test: setup
	@$(BIN)/python tests/run_tests.py

lab: setup
	$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) $(firstword $(shell ls -t outputs/*/notebook.ipynb 2>/dev/null) nbs/index.ipynb)

bench: setup
	@set -e; for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file; done

clean:
	rm -rf .venv *.egg-info build .pytest_cache .ruff_cache
	find nbs wmkit tests $(wildcard benchmarks) -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf

# Done again only when a lock, pyproject.toml or the script changes; then it needs no network if nothing new is asked for.
setup: .venv/.wmkit
.venv/.wmkit: requirements.lock requirements-cpu.lock requirements-cuda.lock pyproject.toml .ci/setup
	@sh .ci/setup
	@touch $@

readme: setup
	$(BIN)/jupyter nbconvert --log-level WARN --to markdown --stdout nbs/index.ipynb | sed 's/](\.\.\//](/g' > README.md

# Pins that still fit are kept; delete them from the locks to renew them. torch and all that needs its CUDA build go into
# requirements-cuda.lock. The CPU build of torch is in no registry, so uv cannot hash it: requirements-cpu.lock is kept by hand,
# at the same version (a test compares them), with the hash of the wheel for Linux x86_64 and Python 3.11.
lock:
	@test -x $(BIN)/python || sh .ci/setup
	$(BIN)/python -m pip install --quiet uv
	cat requirements.lock requirements-cuda.lock > .requirements
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
		--no-header --no-annotate --extra dev pyproject.toml --output-file .requirements
	awk '/^[a-z0-9]/ { cuda = /^(torch|torchvision|triton|cuda-[a-z]+|nvidia-[a-z0-9-]+)==/ } \
		{ print > (cuda ? "requirements-cuda.lock" : "requirements.lock") }' .requirements
	rm .requirements

define where
from wmkit.runs import list_runs
run = list_runs()[-1]
told = {"notebook.ipynb": "the executed notebook: its scrubber plays without a kernel", "result.json": "the measures",
        "doctor.json": "what the doctor found", "metrics.jsonl": "losses, step by step", "log.txt": "all that was printed"}
print(f"\n{run.folder}")
for file in sorted(run.folder.iterdir()) + sorted(run.folder.glob("media/*")):
    name = str(file.relative_to(run.folder))
    if file.suffix == ".html": told[name] = "the rollout to scrub, in any browser, offline"
    if file.suffix in (".mp4", ".gif"): told[name] = "truth, dream and error side by side"
    if name in told: print(f"  {name:24} {told[name]}")
print("\nOpen it in JupyterLab:  make lab")
endef
export where
