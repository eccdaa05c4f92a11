"""The build refuses what would go wrong quietly, and says what to install. Needs CMake, as the build does."""

import json
import os
import re
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


@pytest.mark.parametrize(("preset", "version"), [("gfortran", "GCC version"), ("flang", "flang version")])
def test_a_preset_builds_a_fortran_extension_that_loads(tmp_path, preset, version):
    tool({"gfortran": "gfortran", "flang": "flang-new-19"}[preset])
    run = configure(tmp_path, "--preset", preset)
    assert run.returncode == 0, run.stderr
    run = subprocess.run(
        [tool("cmake"), "--build", tmp_path / "build", "--parallel", "2"], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    run = subprocess.run([tool("ctest"), "--verbose"], cwd=tmp_path / "build", capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
    assert version in run.stdout


def test_every_preset_is_configured_built_and_tested():
    presets = json.loads((ROOT / "CMakePresets.json").read_text())
    names = ["gfortran", "flang", "nvfortran-cpu", "nvfortran-gpu"]
    assert [preset["name"] for preset in presets["configurePresets"] if not preset.get("hidden")] == names
    assert [preset["name"] for preset in presets["buildPresets"]] == names
    assert [preset["name"] for preset in presets["testPresets"]] == names
    run = subprocess.run([tool("cmake"), "--list-presets=all"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def kernel_flags(tmp_path, compiler, **settings):
    """Run cmake/KernelFlags.cmake as for this compiler; it prints the flags of kernels, target loops and releases."""
    values = {"CMAKE_Fortran_COMPILER_ID": compiler, "CMAKE_Fortran_FLAGS_RELEASE": "-fast -O3", "ECGKERN_NATIVE": "ON"}
    lines = ["function(set_source_files_properties)", "endfunction()"]  # a script has no source files
    lines += [f'set({name} "{value}")' for name, value in {**values, **settings}.items()]
    lines += [f'include("{ROOT}/cmake/KernelFlags.cmake")']
    lines += ['message("flags|${kernel_flags}|${offload_flags}|${CMAKE_Fortran_FLAGS_RELEASE}|")']
    (tmp_path / "flags.cmake").write_text("\n".join(lines))
    run = subprocess.run([tool("cmake"), "-P", "flags.cmake"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stderr


def flags(*arguments, **settings):
    _, *found, _ = kernel_flags(*arguments, **settings).split("|")
    return [group.replace(";", " ").split() for group in found]


def test_nvfortran_gets_no_fast_mathematics_and_names_the_cards(tmp_path):
    kernel, offload, release = flags(tmp_path, "NVHPC")
    assert release == ["-O3"]  # CMake's own has -fast
    assert {"-Kieee", "-Mvect=noassoc", "-tp=native"} <= set(kernel)
    assert set(offload) == {"-mp=gpu", "-gpu=cc80,cc90,mem:separate", "-Minfo=mp"}
    assert "-tp=haswell" in flags(tmp_path, "NVHPC", ECGKERN_NATIVE="OFF", CMAKE_SYSTEM_PROCESSOR="x86_64")[0]


@pytest.mark.parametrize("compiler", ["GNU", "LLVMFlang", "NVHPC"])
def test_no_compiler_reorders_sums(tmp_path, compiler):
    kernel, offload, _ = flags(tmp_path, compiler)
    assert "-O3" in kernel
    assert not re.search(r"fast|associative|unsafe|reciprocal", " ".join(kernel + offload))


def test_a_compiler_without_flags_of_its_own_is_named(tmp_path):
    assert "no flags are known for NAG Fortran" in kernel_flags(tmp_path, "NAG")


def test_the_documentation_gives_a_reason_for_every_flag():
    text = (ROOT / "docs" / "fortran.md").read_text()
    documented = set(re.findall(r"`(-[^`]+)`", text[text.index("## Flags") :]))
    for path in sorted((ROOT / "cmake" / "compilers").glob("*.cmake")):
        code = re.sub(r"#.*|message\(.*?\)|string\(.*?\)", "", path.read_text())
        given = set(re.findall(r"(?<![\w}])-[A-Za-z][\w=,:-]*", code.replace("${level}", "x86-64-v3")))
        assert len(given) >= 3
        assert given <= documented, path.name
