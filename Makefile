# make quickstart   set up, then record play, train a small world and open it up: one run folder under outputs/
# make test         set up, then every test
# make lab          JupyterLab on the newest run
# make bench        the benchmarks
# make clean        remove what make made here: .venv and caches; never data, checkpoints or outputs
.PHONY: quickstart test lab bench clean setup readme lock
BIN = .venv/bin

quickstart: setup
	$(BIN)/wmkit run quickstart -f configs/quickstart.yaml

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
