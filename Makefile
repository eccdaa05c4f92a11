# make demo | test | bench | gpu | lint | wheel | clean     Each sets up what it needs: see tools/setup.sh.
#   make demo DATA=path/to/ptb-xl     real recordings instead of a download or a simulation
#   ECGKERN_FORTRAN=OFF make test     without a Fortran compiler
PYTHON ?= python3
VENV ?= .venv
export PYTHON
BIN = $(VENV)/bin
SOURCES = pyproject.toml constraints.txt CMakeLists.txt $(wildcard cmake/* fortran/* fortran/registers/*/*) tools/setup.sh

.DEFAULT_GOAL = test
.PHONY: demo test bench gpu lint wheel clean

demo: $(VENV)/.demo
	$(BIN)/ecgkern demo $(if $(DATA),--data "$(DATA)")

test: $(VENV)/.dev
	$(BIN)/python -m pytest

bench: $(VENV)/.bench
	$(BIN)/ecgkern bench

# With the Python that drives the GPU, and without a build.
gpu:
	tools/gpu.sh

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

wheel: $(VENV)/.dev
	PATH="$(abspath $(BIN)):$$PATH" tools/wheel.sh

clean:
	rm -rf $(VENV) build dist wheelhouse ecgkern-demo ecgkern-evaluate ecgkern-geomag .pytest_cache .ruff_cache .mypy_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The developer environment holds everything that the demo needs.
$(VENV)/.demo: $(SOURCES)
	@[ -e $(VENV)/.dev ] || tools/setup.sh $(VENV) numba,ecg,plot
	@[ ! -e $(VENV)/.dev ] || $(MAKE) --no-print-directory $(VENV)/.dev
	@touch $@

# A peer that cannot be installed is left out, and tried again the next time.
$(VENV)/.bench: $(VENV)/.dev benchmarks/peers.txt
	@$(BIN)/python -m pip --disable-pip-version-check -q install --no-deps -r benchmarks/peers.txt && touch $@ || \
		echo "ecgkern: the peers in benchmarks/peers.txt could not be installed, the benchmarks go without them" >&2

$(VENV)/.dev: $(SOURCES)
	@tools/setup.sh $(VENV) dev
	@touch $@
