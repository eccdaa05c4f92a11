# make demo | test | bench | lint | wheel | clean     Each sets up what it needs: see tools/setup.sh.
# make gpu                          tests and benchmarks on a GPU, with a Python that has what docs/gpu.md says
# make setup | test-flang           only that; the tests of the Fortran backend with a second compiler
# make offload | gpu-fortran        Fortran loops on a GPU: built here, and run there
#   make demo DATA=path/to/ptb-xl     real recordings instead of a download or a simulation
#   ECGKERN_FORTRAN=OFF make test     without a Fortran compiler
PYTHON ?= python3
VENV ?= .venv
ECGKERN_EXTRAS ?= dev
export PYTHON
BIN = $(VENV)/bin
# In several processes, a file in each at a time, slow ones early; threads do not spin while they wait for each other.
PYTEST = OMP_WAIT_POLICY=passive $(1)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
SOURCES = pyproject.toml constraints.txt CMakeLists.txt $(wildcard cmake/* cmake/*/* fortran/* fortran/registers/*/*) tools/setup.sh
FLANG = .venv-flang

.DEFAULT_GOAL = test
.PHONY: demo test bench gpu offload gpu-fortran lint wheel clean setup test-flang

demo: $(VENV)/.demo
	$(BIN)/ecgkern demo $(if $(DATA),--data "$(DATA)")

test: $(VENV)/.dev
	$(call PYTEST,$(BIN))

setup: $(VENV)/.dev

# gfortran lets some things pass that others do not, so the same tests run on what flang makes of the sources.
test-flang: $(FLANG)/.test
	$(call PYTEST,$(FLANG)/bin) -k "fortran and not gfortran" $(addprefix tests/test_,build.py conv.py geomag.py \
		geomag_input.py geomag_time.py stats.py stats_distances.py stats_ks.py waveform.py)

bench: $(VENV)/.bench
	$(BIN)/ecgkern bench

# With the Python that drives the GPU, and without a build.
gpu:
	tools/gpu.sh

# Kernels as OpenMP loops for a GPU. build/offload, with the run-time libraries in it, can be carried to a machine that
# has a GPU and no Fortran compiler.
offload: $(VENV)/.dev
	@PATH="$(abspath $(BIN)):$$PATH" cmake -S fortran/offload -B build/offload
	@PATH="$(abspath $(BIN)):$$PATH" cmake --build build/offload

gpu-fortran:
	tools/gpu_fortran.sh

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

wheel: $(VENV)/.dev
	PATH="$(abspath $(BIN)):$$PATH" tools/wheel.sh

clean:
	rm -rf $(VENV) $(FLANG) build dist wheelhouse ecgkern-demo ecgkern-evaluate ecgkern-geomag ecgkern-legacy .pytest_cache .ruff_cache .mypy_cache .hypothesis .benchmarks
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
	@tools/setup.sh $(VENV) $(ECGKERN_EXTRAS)
	@touch $@

$(FLANG)/.test: $(SOURCES)
	@FC=flang-new-19 SKBUILD_BUILD_DIR=build/flang-extension tools/setup.sh $(FLANG) numba,torch,ecg,plot,stats,test
	@touch $@
