#!/bin/sh
# Builds the portable wheel (x86-64-v3 on x86), puts the Fortran and OpenMP runtimes into it with auditwheel, and tries
# it in a clean environment where no compiler and none of their libraries is found.   Result: wheelhouse/
set -eu

rm -rf dist wheelhouse
python -m build --wheel -q -C cmake.define.ECGKERN_NATIVE=OFF -C build-dir=build/wheel
auditwheel repair -w wheelhouse dist/*.whl

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install -q -c constraints.txt wheelhouse/*.whl
cd "$scratch"
env -i HOME="$scratch" venv/bin/python - <<'PYTHON'
import ecgkern

fortran = ecgkern.backends()["fortran"]
assert fortran.available, fortran
ecg = ecgkern.waveform.gaussian_waves([[50.0, 150.0]], fs=100.0, length=200, backend="fortran")
used = {line.split()[-1] for line in open("/proc/self/maps") if "gfortran" in line or "gomp" in line}
outside = [path for path in used if "/site-packages/" not in path]
assert used and not outside, f"these runtimes are not in a wheel: {outside}"
print(f"the wheel works on its own: {fortran.detail}, peak {ecg.max():.3f} mV")
PYTHON
