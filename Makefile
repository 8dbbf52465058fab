# make quickstart   set up, then record play, train a small world and open it up: one run folder
# make worlds       small worlds of a car, an Atari game and a desktop: over an hour of one core
# make test         set up, then every test but the slow ones (under 12 minutes on two cores)
# make test-slow    the trainings that are marked slow
# make lab          JupyterLab on the newest run
# make docs         the pages and every chapter as a site: build/docs/docs/index.html
# make bench        the benchmarks
# make clean        remove what make made here: .venv and caches; never data, checkpoints or outputs
.PHONY: quickstart worlds test test-slow lab docs pages bench clean setup readme lock
BIN = .venv/bin
# Each test process computes on one core; all of them together fill the machine.
PYTEST = OMP_NUM_THREADS=1 PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -q -n auto \
	--dist loadgroup --no-loadscope-reorder

quickstart: setup
	$(BIN)/wmkit run quickstart -f configs/quickstart.yaml

worlds: setup
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/worlds.py

test: setup
	@$(PYTEST) -m "not slow"

test-slow: setup
	@$(PYTEST) -m slow

lab: setup
	$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) $(firstword $(shell ls -t outputs/*/notebook.ipynb 2>/dev/null) nbs/index.ipynb)

bench: setup
	@set -e; for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file; done

# Fixed names, all of them ignored by git; JupyterLab's checkpoints are yours and stay.
clean:
	rm -rf .venv build/docs .pytest_cache .ruff_cache wmkit.egg-info
	find nbs wmkit tests benchmarks -type d -name __pycache__ -prune -exec rm -rf {} +

docs: setup pages
	$(BIN)/sphinx-build -q -W --keep-going -j auto -c docs . build/docs

# docs/checks.md and docs/api.md, from the package itself.
pages: setup
	$(BIN)/python docs/pages.py

# Done again only when a lock, pyproject.toml or the script changes; then it needs no network if
# nothing new is asked for.
setup: .venv/.wmkit
.venv/.wmkit: requirements.lock requirements-cpu.lock requirements-cuda.lock pyproject.toml .ci/setup
	@sh .ci/setup
	@touch $@

readme: setup
	$(BIN)/jupyter nbconvert --log-level WARN --to markdown --stdout nbs/index.ipynb | sed 's/](\.\.\//](/g' > README.md

# Pins that still fit are kept; delete them from the locks to renew them. torch and all that needs
# its CUDA build go into requirements-cuda.lock. The CPU build of torch is in no registry, so uv
# cannot hash it: requirements-cpu.lock is kept by hand, at the same version (a test compares them),
# with the hash of the wheel for Linux x86_64 and Python 3.11.
lock:
	@test -x $(BIN)/python || sh .ci/setup
	$(BIN)/python -m pip install --quiet uv
	cat requirements.lock requirements-cuda.lock > .requirements
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-header --no-annotate --extra dev \
		pyproject.toml --output-file .requirements
	awk '/^[a-z0-9]/ { cuda = /^(torch|torchvision|triton|cuda-[a-z]+|nvidia-[a-z0-9-]+)==/ } \
		{ print > (cuda ? "requirements-cuda.lock" : "requirements.lock") }' .requirements
	rm .requirements
