#!/bin/sh
# Prepares what `make` needs: the Fortran and C compilers, the virtual environment, the pinned dependencies and ecgkern
# itself, editable.   tools/setup.sh VENV EXTRAS   for example   tools/setup.sh .venv all,test
# Environment: PYTHON (default python3), FC (default gfortran; flang-new-19, nvfortran), CC (default cc),
# ECGKERN_FORTRAN=OFF to do without Fortran, ECGKERN_PACKAGES: Debian packages wanted besides.
set -eu

venv=$1
extras=$2
python=${PYTHON:-python3}

fail() {
    echo "ecgkern: $*" >&2
    exit 1
}

command -v "$python" >/dev/null || fail "$python is missing: run   sudo apt install python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Python 3.11 or newer is needed, $python is $("$python" -V); run   PYTHON=python3.12 make ..."

# Debian packages that are missing, all of them, so that one line installs them.
packages=
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    packages="$packages $("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
case ${ECGKERN_FORTRAN:-ON} in
[Oo][Ff][Ff] | 0 | [Nn][Oo] | [Ff][Aa][Ll][Ss][Ee]) ;;
*)
    fortran=${FC:-gfortran}
    c=${CC:-cc}
    header='import os, sysconfig, sys; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'
    case ${fortran%% *} in
    flang-new-19)
        command -v flang-new-19 >/dev/null || packages="$packages flang-19"
        [ -e /usr/lib/llvm-19/lib/libomp.so ] || packages="$packages libomp-19-dev"
        ;;
    *nvfortran)
        command -v "${fortran%% *}" >/dev/null ||
            fail "${fortran%% *} is missing: install the NVIDIA HPC SDK, or work in its container: docs/fortran.md"
        ;;
    *) command -v "${fortran%% *}" >/dev/null || packages="$packages gfortran" ;;
    esac
    command -v "${c%% *}" >/dev/null || packages="$packages gcc libc6-dev"
    "$python" -c "$header" || packages="$packages python3-dev"
    ;;
esac
for package in ${ECGKERN_PACKAGES:-}; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed' || packages="$packages $package"
done
if [ -n "$packages" ]; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        fail "run   sudo apt install$packages   and then this again (ECGKERN_FORTRAN=OFF does without the compilers)"
    fi
    echo "ecgkern: apt-get install$packages"
    log=$(mktemp)
    # shellcheck disable=SC2086  # a list of words
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $packages; } \
        >"$log" 2>&1 || { tail -5 "$log" >&2; fail "apt-get install$packages failed"; }
    rm -f "$log"
fi

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
echo "ecgkern: installing into $venv (about a minute the first time)"
pip="$venv/bin/python -m pip --disable-pip-version-check -q"
# The build runs without isolation, so that an editable install keeps the NumPy headers that it was configured with.
$pip install -c constraints.txt scikit-build-core numpy cmake ninja
$pip install -c constraints.txt --no-build-isolation -e ".[$extras]"
