#!/bin/sh
# The kernels of fortran/offload on a GPU and on the host of this machine, compared and timed: builds build/offload if
# there is a Fortran compiler, and otherwise runs the program that was built elsewhere by `make offload` and brought here
# in that folder, with the run-time libraries beside it. Needs the driver of the GPU and nothing else.
#   tools/gpu_fortran.sh [OPTIONS OF ecgkern-offload]
# Environment: FC (default gfortran), OUT: a folder that gets the table, offload.txt, and the timings, offload.csv;
# SAVE=1 to keep them in benchmarks/results as well
set -eu

cd "$(dirname "$0")/.."
program=build/offload/ecgkern-offload
OUT=${OUT:-build/offload/results}
SAVE=${SAVE:-}
fortran=${FC:-gfortran}

if command -v "${fortran%% *}" >/dev/null; then
    # A compiler that cannot build it, for want of the device's part, may sit beside a program that was brought here.
    make --no-print-directory offload >&2 || {
        [ -x $program ] || exit 1
        echo "ecgkern: it could not be built again (see above); $program is run as it is" >&2
    }
elif [ ! -x $program ]; then
    echo "ecgkern: $program is not here, and no Fortran compiler to build it. Run   make offload   on a machine" \
        "with gfortran and gcc-12-offload-nvptx, and bring its folder build/offload here." >&2
    exit 1
fi

# libgomp looks for the part that drives the GPU, libgomp-plugin-nvptx.so.1, where the system looks for any library.
libraries="$PWD/build/offload/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
mkdir -p "$OUT"
card=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null) || card="no answer from nvidia-smi"
echo "GPU, driver     $card" >"$OUT/offload.txt"
status=0
[ $# -gt 0 ] || set -- --records 65536 --points 10000000 --repeats 20
LD_LIBRARY_PATH=$libraries $program --require-device --csv "$OUT/offload.csv" "$@" >>"$OUT/offload.txt" || status=$?
cat "$OUT/offload.txt"
if [ $status -eq 0 ] && [ -n "$SAVE" ]; then
    name=$(echo "${card%%,*}" | tr -cs 'A-Za-z0-9\n' - | tr 'A-Z' 'a-z')
    cp "$OUT/offload.txt" "benchmarks/results/fortran-$name.txt"
    cp "$OUT/offload.csv" "benchmarks/results/fortran-$name.csv"
fi
exit $status
