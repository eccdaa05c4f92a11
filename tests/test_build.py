"""The build refuses what would go wrong quietly, and says what to install. Needs CMake, as the build does."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.build


def tool(name):
    """Find a build tool beside this Python or on the path."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def f2py(tmp_path, source):
    (tmp_path / "module.f90").write_text(source)
    command = [sys.executable, "-m", "numpy.f2py", "--lower", "--quiet", "--f2cmap", str(ROOT / "fortran" / "f2cmap")]
    command += ["-m", "_module", str(tmp_path / "module.f90")]
    strict = [f"-DCOMMAND={';'.join(command)}", "-P", str(ROOT / "cmake" / "F2pyStrict.cmake")]
    return subprocess.run([tool("cmake"), *strict], cwd=tmp_path, capture_output=True, text=True)


SOURCE = """
module kernel
    use kinds, only: {kind}
contains
    subroutine double_it(x, y)
        real({kind}), intent(in) :: x
        real({kind}), intent(out) :: y
        y = 2*x
    end subroutine double_it
end module kernel
"""


def test_f2py_fails_on_a_kind_that_it_does_not_know(tmp_path):
    assert f2py(tmp_path, SOURCE.format(kind="f64")).returncode == 0
    run = f2py(tmp_path, SOURCE.format(kind="quad"))
    assert run.returncode != 0
    assert "met a kind that fortran/f2cmap does not name" in run.stderr
    assert "quad" in run.stderr


def configure(tmp_path, *options, **environment):
    command = [tool("cmake"), "-S", str(ROOT), "-B", str(tmp_path / "build"), f"-DPython_EXECUTABLE={sys.executable}"]
    return subprocess.run(
        [*command, *options], capture_output=True, text=True, env={**os.environ, **environment}, cwd=tmp_path
    )


def test_without_a_fortran_compiler_the_first_error_says_what_to_install(tmp_path):
    run = configure(tmp_path, FC=str(tmp_path / "no-compiler"))
    assert run.returncode != 0
    first = run.stderr[run.stderr.index("CMake Error") :]
    assert "no Fortran compiler found" in first
    assert first.index("apt install gfortran") < 600
    assert "ECGKERN_FORTRAN=OFF" in first


def test_without_fortran_no_compiler_is_needed(tmp_path):
    run = configure(tmp_path, "-DECGKERN_FORTRAN=OFF", FC="/no/compiler", CC="/no/compiler", CXX="/no/compiler")
    assert run.returncode == 0, run.stderr
    assert "without Fortran; the kernels run on numba or numpy" in run.stdout


def test_sources_keep_to_132_columns_and_carry_no_tabs():
    for path in sorted((ROOT / "fortran").glob("*.f90")) + sorted((ROOT / "fortran").glob("*.inc")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert len(line) <= 132, f"{path.name}:{number}"
            assert "\t" not in line, f"{path.name}:{number}"
