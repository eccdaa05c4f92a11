"""ecgkern-offload: built for a GPU, run on the host, and its device code assembled for a card that is not here.

What a card would run is looked at as PTX; that the program takes no host for a card is tried on altered copies of it.
"""

import csv
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from ecgkern import geomag, waveform

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "fortran" / "offload"
SMALL = ("--records", "3", "--points", "1000", "--repeats", "2")
pytestmark = pytest.mark.build


def tool(name):
    """Find a build tool beside this Python or on the path."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def cuda_tool(name):
    """Find a tool of the CUDA toolkit on the path or in the package nvidia-cuda-nvcc."""
    found = shutil.which(name)
    if found is None:
        try:
            files = metadata.files("nvidia-cuda-nvcc") or []
        except metadata.PackageNotFoundError:
            files = []
        found = next((str(file.locate()) for file in files if file.match(f"bin/{name}")), None)
    if found is None:
        pytest.skip(f"{name} is neither on the path nor in the package nvidia-cuda-nvcc")
    return found


def run(command, **options):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300, **options)


def configure(folder, **environment):
    return run([tool("cmake"), "-S", SOURCES, "-B", folder], env={**os.environ, **environment})


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The folder that the program is built into."""
    gfortran = tool("gfortran")
    folder = tmp_path_factory.mktemp("offload")
    configured = configure(folder, FC=gfortran)
    if configured.returncode != 0 and "cannot compile for NVIDIA GPUs" in " ".join(configured.stderr.split()):
        pytest.skip("gfortran cannot compile for NVIDIA GPUs: apt install gcc-12-offload-nvptx")
    assert configured.returncode == 0, configured.stderr
    made = run([tool("cmake"), "--build", folder])
    assert made.returncode == 0, made.stdout + made.stderr
    assert "arning" not in made.stdout + made.stderr
    return folder


def on_the_host(program, *options):
    """Run without a device, even where there is one."""
    return run([program, *options], env={**os.environ, "OMP_TARGET_OFFLOAD": "DISABLED"})


@pytest.fixture(scope="session")
def listing(built):
    done = on_the_host(built / "ecgkern-offload", *SMALL)
    assert done.returncode == 0, done.stderr
    return done.stdout


def values(listing, name):
    """The rows of numbers that begin with a name."""
    return np.array([row.split() for row in re.findall(rf"^{name} +([-.\d][-+.\dE ]+)$", listing, re.M)], np.float64)


def test_it_describes_the_machine_and_says_that_only_the_host_runs(listing):
    assert re.search(r"^compiler +GCC version \d+", listing, re.M)
    assert re.search(r"^options +.*-fopenmp", listing, re.M)
    assert re.search(r"^host threads +[1-9]", listing, re.M)
    assert re.search(r"^OpenMP devices +0$", listing, re.M)
    assert re.search(r"^default device +\d+$", listing, re.M)
    assert "No device: a target region runs on the host here, and only the host is timed." in listing
    assert re.findall(r"^(\w+) +(host|device.*?) +(\d+) ", listing, re.M) == [
        ("waveform", "host", "3000"),
        ("geomag", "host", "1000"),
    ]


def test_waveforms_are_those_of_the_numpy_backend(listing):
    (r_peaks,) = values(listing, "r_peaks")
    samples, mv = values(listing, "waveform").T
    expected = waveform.gaussian_waves([r_peaks], fs=100.0, length=1000, dtype=np.float64, backend="numpy")[0]
    assert len(samples) == 8
    assert np.ptp(mv) > 0.1
    np.testing.assert_allclose(mv, expected[samples.astype(int)], rtol=0, atol=2e-6)


def test_points_are_those_of_the_numpy_backend(listing):
    lat, lon, alt, *found = values(listing, "geomag").T
    assert len(lat) == 8
    position = geomag.geo_to_ed(lat, lon, alt, epoch=2025.0, backend="numpy")
    field = geomag.dipole_field(lat, lon, alt, epoch=2025.0, backend="numpy")
    for ours, theirs in zip(found, [*position, field.north, field.east, field.down], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_timings_are_written_as_csv(built, tmp_path):
    done = on_the_host(built / "ecgkern-offload", *SMALL, "--csv", tmp_path / "timings.csv")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "timings.csv").open()))
    assert [(row["kernel"], row["where"], row["items"], row["repeats"]) for row in rows] == [
        ("waveform", "host", "3000", "2"),
        ("geomag", "host", "1000", "2"),
    ]
    for row in rows:
        assert 0 < float(row["best_s"]) <= float(row["median_s"]) < 60
        assert row["compiler"].startswith("GCC version")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--require-device"], 3, "no device, and --require-device was given"),
        (["--record", "5"], 2, "there is no option '--record'; --help lists them"),
        (["--points"], 2, "--points needs a whole number from 1 to 100000000, got ''"),
        (["--points", "12,5"], 2, "--points needs a whole number from 1 to 100000000, got '12,5'"),
        (["--records", "2000001"], 2, "--records needs a whole number from 1 to 2000000, got '2000001'"),
        (["--repeats", "0"], 2, "--repeats needs a whole number from 1 to 100000, got '0'"),
        (["--csv"], 2, "--csv needs the name of a file"),
        (["--csv", "/no/folder/timings.csv"], 1, "--csv: Cannot open file '/no/folder/timings.csv'"),
    ],
)
def test_what_cannot_be_done_is_said_and_has_a_code(built, options, code, message):
    done = on_the_host(built / "ecgkern-offload", *options)
    assert done.returncode == code
    assert f"ecgkern-offload: {message}" in done.stderr
    assert "ns/item" not in done.stdout


def test_help_names_every_option(built):
    done = on_the_host(built / "ecgkern-offload", "--help")
    assert done.returncode == 0
    text = (SOURCES / "offload_settings.f90").read_text()
    for option in re.findall(r'case \("(--\w[-\w]*)"', text):
        assert option in done.stdout


# ---- the host in place of a device -----------------------------------------------------------------------------------


def altered(tmp_path, *changes):
    """Build a copy of the program, for the host alone, with pieces of its text replaced in every file."""
    gfortran = tool("gfortran")
    order = ("../kinds", "offload_settings", "offload_timings", "offload_waveform", "offload_geomag", "ecgkern_offload")
    texts = [(SOURCES / f"{name}.f90").read_text() for name in order]
    for old, new in changes:
        assert any(old in text for text in texts), old
        texts = [text.replace(old, new) for text in texts]
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.f90").write_text(text)
    program = tmp_path / "altered"
    files = [f"{number}.f90" for number in range(len(texts))]
    made = run([gfortran, "-O1", "-fopenmp", "-foffload=disable", *files, "-o", program], cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    return on_the_host(program, *SMALL, "--require-device")


HOST_TAKEN_FOR_DEVICE = ("runs_on_device = .not. host", "runs_on_device = .true.")
UNTOUCHED_TAKEN_FOR_GRANTED = ("if (.not. moved)", "if (.false.)")


def test_a_host_taken_for_a_device_is_found_out_by_its_memory(tmp_path):
    done = altered(tmp_path, HOST_TAKEN_FOR_DEVICE)
    assert done.returncode == 1
    assert "waveform wrote into the host's memory: it did not run on a device" in done.stderr


def test_with_both_checks_taken_out_the_device_path_gives_the_host_results(tmp_path):
    done = altered(tmp_path, HOST_TAKEN_FOR_DEVICE, UNTOUCHED_TAKEN_FOR_GRANTED)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^(\w+) +(host|device|device with transfers) +(\d+) ", done.stdout, re.M) == [
        (kernel, where, items)
        for kernel, items in (("waveform", "3000"), ("geomag", "1000"))
        for where in ("host", "device", "device with transfers")
    ]
    assert len(re.findall(r"^\w+: device and host differ by \.?0", done.stdout, re.M)) == 2


@pytest.mark.parametrize(
    "change",
    [
        ("!$omp end target teams loop\n    end subroutine waveforms_on_device",
         "!$omp end target teams loop\n y(500, 2) = y(500, 2) + 1e-5\n    end subroutine waveforms_on_device"),
        ("!$omp end target teams loop\n    end subroutine points_on_device",
         "!$omp end target teams loop\n found(500, 5) = sqrt(-found(500, 3))\n    end subroutine points_on_device"),
        ("!$omp end target teams loop\n    end subroutine points_on_device",
         "!$omp end target teams loop\n found(500, 2) = found(500, 2) + 1e-7\n    end subroutine points_on_device"),
    ],
)  # fmt: skip
def test_one_wrong_result_of_the_device_fails(tmp_path, change):
    indented = (change[0].replace("!$omp", "        !$omp"), change[1].replace("!$omp", "        !$omp"))
    done = altered(tmp_path, HOST_TAKEN_FOR_DEVICE, UNTOUCHED_TAKEN_FOR_GRANTED, indented)
    assert done.returncode == 1
    assert "ecgkern-offload: device and host disagree" in done.stderr


# ---- the code for the device -----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def ptx(built):
    """The texts of device code in the program; the driver of a card links all of them."""
    pieces = (built / "ecgkern-offload").read_bytes().split(b"\0")
    return [piece.decode() for piece in pieces if b"\n.target sm_" in piece]


def function(ptx, name):
    """The body of a device function; gfortran calls the loop of a target region _omp_fn$1."""
    (text,) = [text for text in ptx if f"// BEGIN FUNCTION DEF: {name}\n" in text]
    return text.split(f"// BEGIN FUNCTION DEF: {name}\n")[1].split("// BEGIN ")[0]


KERNELS = ("__offload_waveform_MOD_waveforms_on_device", "__offload_geomag_MOD_points_on_device")


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_device_code_holds_the_kernels_of_both_families(ptx, kernel):
    assert sum(f".visible .entry {kernel}$_omp_fn$0 " in text for text in ptx) == 1


@pytest.mark.parametrize("kernel", KERNELS)
def test_each_thread_of_the_device_has_an_item_and_nothing_in_the_memory_of_its_warp(ptx, kernel):
    body = function(ptx, f"{kernel}$_omp_fn$1")
    assert "%laneid" in body  # one item a lane, not one a warp
    assert not re.search(r"%frame\s*[+\];]", body.split("st.shared.u64 [%sspslot],%stack;", 1)[1])  # shared by 32 lanes
    called = set(re.findall(r"^call (?:\(\S+\),)?(\w+)", body, re.M))
    assert not {name for name in called if "offload" in name}  # inlined
    assert "sincos" not in called


def test_all_device_code_assembles_and_links_for_sm_90(ptx, tmp_path):
    ptxas = cuda_tool("ptxas")
    assert len(ptx) > 10

    def assemble(number):
        source = tmp_path / f"{number}.ptx"
        source.write_text(ptx[number])
        return run([ptxas, "-c", "-arch=sm_90", source, "-o", source.with_suffix(".o")])

    with ThreadPoolExecutor(2) as pool:
        for done in pool.map(assemble, range(len(ptx))):
            assert done.returncode == 0, done.stderr
    nvlink = shutil.which("nvlink", path=f"{Path(ptxas).parent}{os.pathsep}{os.environ['PATH']}")
    if nvlink is not None:
        done = run([nvlink, "-arch=sm_90", *sorted(tmp_path.glob("*.o")), "-o", tmp_path / "all.cubin"])
        assert done.returncode == 0, done.stderr
        assert "error" not in done.stderr.lower()


# ---- carried to another machine --------------------------------------------------------------------------------------


def test_the_libraries_beside_the_program_are_enough(built):
    """All but glibc and the driver: libgomp finds its part for GPUs beside it, and that one looks for libcuda."""
    environment = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": str(built / "lib"), "LD_DEBUG": "libs"}
    done = run([built / "ecgkern-offload", *SMALL], env=environment)
    assert done.returncode == 0, done.stderr
    opened = set(re.findall(r"calling init: (\S+)", done.stderr))
    assert {Path(path).name for path in opened if Path(path).parent == built / "lib"} >= {
        "libgfortran.so.5",
        "libgomp.so.1",
        "libgomp-plugin-nvptx.so.1",
    }
    elsewhere = {Path(path).name.split(".")[0] for path in opened if Path(path).parent != built / "lib"}
    driver = {name for name in elsewhere if name.startswith(("libcuda", "libnvidia"))}
    assert elsewhere - driver <= {"libc", "libm", "libdl", "libpthread", "librt", "ld-linux-x86-64"}
    assert "find library=libcuda.so.1" in done.stderr
    carried = [built / "ecgkern-offload", *(built / "lib").iterdir()]
    assert sum(path.stat().st_size for path in carried) < 20e6


@pytest.fixture
def elsewhere(tmp_path):
    """A tree without the program, and a path on which there is no compiler."""
    for name in ("sh", "dirname", "cat", "mkdir", "tr", "cp"):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).symlink_to(tool(name))
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "gpu_fortran.sh", tmp_path / "tools")
    return tmp_path


def test_make_gpu_fortran_runs_the_program_that_was_brought(built, elsewhere):
    folder = elsewhere / "build" / "offload"
    shutil.copytree(built / "lib", folder / "lib")
    shutil.copy(built / "ecgkern-offload", folder)
    results = elsewhere / "results"
    environment = {"PATH": str(elsewhere / "bin"), "OUT": str(results), "OMP_TARGET_OFFLOAD": "DISABLED"}
    done = run([elsewhere / "tools" / "gpu_fortran.sh"], env=environment)
    assert done.returncode == 3, done.stderr
    assert "no device, and --require-device was given" in done.stderr
    assert "host threads" in done.stdout
    assert (results / "offload.txt").read_text() == done.stdout


def test_make_gpu_fortran_without_the_program_says_where_to_build_it(elsewhere):
    done = run([elsewhere / "tools" / "gpu_fortran.sh"], env={"PATH": str(elsewhere / "bin")})
    assert done.returncode == 1
    assert "no Fortran compiler to build it. Run   make offload   on a machine" in done.stderr


# ---- what the build refuses ------------------------------------------------------------------------------------------


def test_a_compiler_without_target_loops_is_refused(tmp_path):
    flang = tool("flang-new-19")
    done = configure(tmp_path, FC=flang)
    assert done.returncode != 0
    assert "target loops need gfortran or nvfortran, and this is LLVMFlang" in " ".join(done.stderr.split())


def test_gfortran_without_the_compiler_for_the_device_is_refused(tmp_path):
    wrapper = tmp_path / "gfortran"
    wrapper.write_text(
        f'#!/bin/sh\nfor each; do [ "$each" != -foffload=nvptx-none ] || exit 1; done\nexec {tool("gfortran")} "$@"\n'
    )
    wrapper.chmod(0o755)
    done = configure(tmp_path / "build", FC=str(wrapper))
    assert done.returncode != 0
    assert "cannot compile for NVIDIA GPUs" in " ".join(done.stderr.split())
    assert re.search(r"apt install gcc-\d+-offload-nvptx", done.stderr)


def test_sources_keep_to_120_columns_and_carry_no_tabs():
    for path in sorted(SOURCES.glob("*.f90")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert len(line) <= 120, f"{path.name}:{number}"
            assert "\t" not in line, f"{path.name}:{number}"
