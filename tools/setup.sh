#!/bin/sh
# Prepares what `make` needs: the Fortran and C compilers, the virtual environment, the pinned dependencies and ecgkern
# itself, editable.   tools/setup.sh VENV EXTRAS   for example   tools/setup.sh .venv all,test
# Environment: PYTHON (default python3), ECGKERN_FORTRAN=OFF to do without Fortran.
set -eu

venv=$1
extras=$2
python=${PYTHON:-python3}

fail() {
    echo "ecgkern: $*" >&2
    exit 1
}

# need WHAT PACKAGES...: installs Debian packages as root, and otherwise says how.
need() {
    what=$1
    shift
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        echo "ecgkern: installing $* for $what"
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@"; } \
            >/tmp/ecgkern-apt.log 2>&1 || { tail -5 /tmp/ecgkern-apt.log >&2; fail "apt-get install $* failed"; }
    else
        fail "$what is missing: run   sudo apt install $*"
    fi
}

command -v "$python" >/dev/null || fail "$python is missing: run   sudo apt install python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Python 3.11 or newer is needed, $python is $("$python" -V); run   PYTHON=python3.12 make ..."

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    need "Python's venv" "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
fi
case ${ECGKERN_FORTRAN:-ON} in
[Oo][Ff][Ff] | 0 | [Nn][Oo] | [Ff][Aa][Ll][Ss][Ee]) ;;
*)
    command -v "${FC:-gfortran}" >/dev/null || need "a Fortran compiler (or set ECGKERN_FORTRAN=OFF)" gfortran
    command -v "${CC:-cc}" >/dev/null || need "a C compiler" gcc libc6-dev
    header='import os, sysconfig, sys; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'
    "$python" -c "$header" || need "Python's C headers" python3-dev
    ;;
esac

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip="$venv/bin/python -m pip --disable-pip-version-check -q"
# The build runs without isolation, so that an editable install keeps the NumPy headers that it was configured with.
$pip install -c constraints.txt scikit-build-core numpy cmake ninja
$pip install -c constraints.txt --no-build-isolation -e ".[$extras]"
