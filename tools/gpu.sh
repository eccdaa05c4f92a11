#!/bin/sh
# What needs a GPU, in one command and less than eight minutes: the tests of the CUDA backend on the card, its memory and
# its races watched on small cases, and the benchmarks, saved under benchmarks/results and rendered to RESULTS.md. Runs
# from the source tree, without a build: needs Python with numpy, torch, CuPy, numba, pytest, hypothesis and
# pytest-benchmark.   tools/gpu.sh   Environment: PYTHON (default python3), OUT: a folder that gets copies of the results
set -eu

cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
export PYTHONPATH="$PWD/python${PYTHONPATH:+:$PYTHONPATH}"
OUT=${OUT:-}
failed=

keep() {
    [ -z "$OUT" ] || cp "$@" "$OUT"/
}

"$python" - <<'PYTHON'
import sys
import ecgkern
cuda = ecgkern.backends()["cuda"]
print(f"ecgkern: {cuda.detail}")
sys.exit(0 if cuda.available else f"ecgkern: no GPU to run on; {cuda.remedy}")
PYTHON

echo "== kernels =="
# All of them at once, so that nothing after this waits for a compiler: CuPy keeps them on disk.
timeout 90 "$python" tools/gpu_compile.py || failed="$failed kernels"

echo "== tests =="
# Those of the build and of the emulator need no GPU: make test.
tests=$(ls tests/test_cuda_*.py | grep -v _build)
# shellcheck disable=SC2086  # a list of files
timeout -s INT -k 20 120 "$python" -m pytest -q -p no:cacheprovider $tests -k "not emulated and not manual" ||
    failed="$failed tests"

if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck; do
        echo "== compute-sanitizer $tool =="
        timeout 50 compute-sanitizer --tool $tool --report-api-errors no --error-exitcode 9 "$python" \
            tools/gpu_small.py || failed="$failed $tool"
    done
else
    echo "compute-sanitizer is not here: memory and races are not checked" >&2
    failed="$failed no-compute-sanitizer"
fi

echo "== benchmarks =="
name=$("$python" -c 'import re, torch; print(re.sub("[^a-z0-9]+", "-", torch.cuda.get_device_name().lower()).strip("-"))')
# At its limit the run is interrupted as by Ctrl-C, and what it has measured is saved.
timeout -s INT -k 20 150 "$python" -m pytest -q -p no:cacheprovider benchmarks/bench_gpu.py \
    --benchmark-columns=median,iqr,rounds --save-table "benchmarks/results/$name.json" || failed="$failed benchmarks"
keep "benchmarks/results/$name.json" benchmarks/RESULTS.md || true

[ -z "$failed" ] || { echo "ecgkern: failed:$failed" >&2; exit 1; }
