"""CUDA kernels without a GPU: they compile within their budgets, and their barriers are there because they must be.

NVRTC compiles for cards that are not here, and tells the registers of each kernel. ThreadSanitizer watches a launch
recorded from the emulator, with a thread of the system for each of the GPU's.
"""

import importlib.util
import io
import json
import multiprocessing
import os
import re
import shutil
import subprocess
from concurrent.futures import ProcessPoolExecutor

import emulator
import numpy as np
import pytest

from ecgkern.conv import multiscale_conv1d, multiscale_conv1d_grad
from ecgkern.stats import ks_2samp, mmd2, mmd2_grad
from ecgkern.waveform import gaussian_waves, gaussian_waves_grad

SOURCES = emulator.ROOT / "cuda"
ARCHITECTURES = ("sm_75", "sm_80", "sm_90", "sm_100")
# Registers of a thread, at most, for any kernel of the name, on any of these architectures; none may spill.
BUDGET = json.loads((SOURCES.parent / "tests" / "cuda_registers.json").read_text())
FAMILIES = list(emulator.MODULES)
NVCC = shutil.which("nvcc")


def kernels(family):
    return [f"ecgkern::{kernel}" for kernel in importlib.import_module(emulator.MODULES[family]).KERNELS]


def registers_and_spills(log, lowered):
    """(registers, bytes spilled) of each kernel, from what ptxas says."""
    found = {}
    for part in log.split("Compiling entry function '")[1:]:
        name = part[: part.index("'")]
        spilled = sum(int(n) for n in re.findall(r"(\d+) bytes spill", part.split("Compile time")[0]))
        found[name] = int(re.search(r"Used (\d+) registers", part)[1]), spilled
    return {kernel: found[name] for kernel, name in lowered.items()}


def compiled(family, architecture):
    """(registers, bytes spilled) of each kernel of a family on an architecture."""
    import cuda.core as core

    options = core.ProgramOptions(
        std="c++17", arch=architecture, include_path=[str(SOURCES)], ftz=True, ptxas_options=["-v"]
    )
    log = io.StringIO()
    program = core.Program((SOURCES / f"{family}.cu").read_text(), "c++", options)
    code = program.compile("cubin", name_expressions=kernels(family), logs=log)
    lowered = {name: mangled.decode() for name, mangled in code.symbol_mapping.items()}
    return registers_and_spills(log.getvalue(), lowered)


@pytest.fixture(scope="module")
def compilations(request):
    """What is asked for, compiled in processes side by side: NVRTC takes one thread at a time."""
    pytest.importorskip("cuda.core")
    asked = [item.callspec.params for item in request.session.items if "compilations" in item.fixturenames]
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        yield {(p["family"], p["architecture"]): pool.submit(compiled, p["family"], p["architecture"]) for p in asked}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("family", FAMILIES)
def test_kernels_compile_within_their_registers(family, architecture, compilations):
    measured = compilations[family, architecture].result()
    assert set(measured) == set(kernels(family))
    over = {}
    for kernel, (registers, spilled) in measured.items():
        budget = BUDGET[family][kernel.removeprefix("ecgkern::").split("<")[0]]
        if registers > budget or spilled:
            over[kernel] = f"{registers} registers of {budget}, {spilled} bytes spilled"
    assert not over


if NVCC:  # the other compiler, where there is one: all that it is asked for NVRTC has shown above

    @pytest.mark.parametrize("family", FAMILIES)
    def test_nvcc_compiles_them_ahead_of_time(family, tmp_path):
        spec = importlib.util.spec_from_file_location("fatbin", emulator.ROOT / "cmake" / "fatbin.py")
        fatbin = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(fatbin)
        fatbin.compile_family(NVCC, family, tmp_path, "sm_90")
        built = json.loads((tmp_path / f"{family}.json").read_text())
        code = (tmp_path / f"{family}.fatbin").read_bytes()
        assert set(built["names"]) == {kernel.removeprefix("ecgkern::") for kernel in kernels(family)}
        assert all(name.encode() in code for name in built["names"].values())


def waveform_launches():
    import cupy

    # Of the beats of the third record, more than a block looks at together, the first ones are far off.
    peaks = np.concatenate([np.linspace(5.0, 900.0, 40), np.full(150, 1e6), np.linspace(0.0, 300.0, 10)])
    peaks, offsets = cupy.asarray(peaks), cupy.asarray(np.array([0, 12, 40, 200]))
    y = gaussian_waves(peaks, fs=100.0, length=300, row_offsets=offsets)
    gaussian_waves_grad(y, peaks, fs=100.0, row_offsets=offsets)


def ks_launches():
    import cupy

    x, y = (cupy.asarray(np.random.default_rng(n).normal(size=(n, 5))) for n in (300, 270))
    ks_2samp(x, y, method="asymp")
    ks_2samp(x[:60], y, method="asymp")


def conv_launches():
    import cupy

    def on_card(*shape):
        return cupy.asarray(np.random.default_rng(0).normal(size=shape).astype(np.float32))

    x, weights, merge = on_card(2, 2, 150), [on_card(9, 2, 5), on_card(8, 2, 31)], on_card(2, 17)
    for precision in ("highest", "high"):
        options = {"activation": "relu", "precision": precision}
        y = multiscale_conv1d(x, weights, merge_weight=merge, **options)
        multiscale_conv1d_grad(y, x, weights, merge_weight=merge, **options)
        multiscale_conv1d(x, weights, **options)


def stats_launches():
    import cupy

    x, y = (cupy.asarray(np.random.default_rng(n).normal(size=(n, 3))) for n in (5, 4))
    mmd2(x, y, bandwidth=[1.0, 2.0])
    mmd2_grad(x, y, bandwidth=1.0)


LAUNCHES = {"waveform": waveform_launches, "ks": ks_launches, "conv": conv_launches, "stats": stats_launches}


def sanitized(family, launches, source=None):
    """Run recorded launches under ThreadSanitizer; return what it reports."""
    program = emulator.compiled(family, "-DEMULATOR_THREADS", "-fsanitize=thread", "-pthread",
                                source=source, main=emulator.REPLAY)  # fmt: skip
    # ThreadSanitizer of gcc 12 does not know how newer kernels spread addresses.
    command = ["setarch", "-R", str(program), str(launches)]
    done = subprocess.run(command, capture_output=True, text=True, env={"TSAN_OPTIONS": "halt_on_error=1"})
    assert done.returncode in (0, 66), done.stderr[-4000:]
    return done.stderr


@pytest.mark.parametrize("gpu", ["emulated-cupy"], indirect=True)
@pytest.mark.parametrize("family", LAUNCHES)
def test_barriers_keep_threads_apart(family, gpu, tmp_path):
    launches = tmp_path / "launches"
    with emulator.record(launches):
        LAUNCHES[family]()
    assert not sanitized(family, launches)
    source = (SOURCES / f"{family}.cu").read_text()
    cut = source.replace("__syncthreads();", ";", 1)
    assert cut != source
    assert "data race" in sanitized(family, launches, cut)
