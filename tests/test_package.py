"""The plumbing: import, backends, threads, the command line, and the examples in docstrings and README."""

import doctest
import importlib
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import ecgkern
from ecgkern import _dispatch, _threads
from ecgkern.cli import main
from ecgkern.waveform import gaussian_waves

ROOT = Path(__file__).parents[1]


def python(code, **environment):
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment or None)
    return run.returncode, run.stdout, run.stderr


def test_import_loads_numpy_and_nothing_heavier():
    heavy = (
        "numba",
        "torch",
        "scipy",
        "pandas",
        "wfdb",
        "matplotlib",
        "neurokit2",
        "cupy",
        "ecgkern.waveform",
        "ecgkern.stats",
        "ecgkern.geomag",
        "ecgkern.conv",
    )
    code = f"import sys, ecgkern; print([m for m in {heavy} if m in sys.modules])"
    assert python(code)[1].strip() == "[]"


def test_public_names_exist():
    for name in ecgkern.__all__:
        assert getattr(ecgkern, name) is not None
        assert name in dir(ecgkern)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = ecgkern.nonsense
    assert re.fullmatch(r"\d+\.\d+\.\d+", ecgkern.__version__)


def test_backends_tell_what_is_there_and_why_not():
    found = ecgkern.backends()
    assert list(found) == ["fortran", "numba", "numpy", "cuda"]
    assert found["numpy"].available
    assert found["cuda"].available or "CuPy" in found["cuda"].detail
    assert all(backend.name == name and backend.detail for name, backend in found.items())


def hide(monkeypatch, *names):
    """Make the backends of these names look as if they were missing."""
    probe = _dispatch._probe

    def without(name):
        return _dispatch.Backend(name, False, f"{name} hidden; install {name}") if name in names else probe(name)

    monkeypatch.setattr(_dispatch, "_probe", without)
    monkeypatch.setattr(_dispatch, "_default_host_backend", _dispatch._default_host_backend.__wrapped__)


def test_default_backend_is_the_first_that_is_ready(monkeypatch):
    hide(monkeypatch, "fortran")
    assert _dispatch.load("waveform", None).__name__ == "ecgkern.waveform._numba"
    with pytest.raises(ecgkern.BackendUnavailableError, match=r"backend 'fortran' is not available: .*install fortran"):
        gaussian_waves([[5.0]], fs=100, length=10, backend="fortran")


def test_plain_numpy_warns_and_says_what_would_be_faster(monkeypatch):
    hide(monkeypatch, "fortran", "numba")
    with pytest.warns(UserWarning, match=r"plain numpy, which is slow: fortran: .*install fortran; numba:"):
        gaussian_waves([[5.0]], fs=100, length=10)


def test_a_build_for_another_processor_is_not_used(monkeypatch):
    assert _dispatch._missing_cpu_features("-O3 -march=x86-64") == []
    features = pytest.importorskip("numpy._core._multiarray_umath").__cpu_features__
    monkeypatch.setitem(features, "AVX512F", False)
    monkeypatch.setitem(features, "FMA3", False)
    assert _dispatch._missing_cpu_features("-march=znver3 -mavx512f -mfma -mno-avx2") == ["AVX512F", "FMA"]
    assert _dispatch._missing_cpu_features("-march=x86-64-v3") == ["FMA"]
    monkeypatch.setattr(_dispatch, "fortran_build", lambda: ("compiler", "-march=x86-64-v4", 0))
    found = _dispatch._probe_fortran()
    assert not found.available
    if importlib.util.find_spec("ecgkern._fortran"):
        assert "built for a processor with AVX512F, FMA, unlike this one" in found.detail


def test_threads(monkeypatch):
    ecgkern.set_num_threads(3)
    assert ecgkern.get_num_threads() == 3
    for bad, error in (
        (0, ValueError),
        (-1, ValueError),
        (_threads.MOST_THREADS + 1, ValueError),
        (2.0, TypeError),
        ("2", TypeError),
    ):
        with pytest.raises(error, match="n must be"):
            ecgkern.set_num_threads(bad)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    processors = _threads._default_num_threads()
    assert processors >= 1
    for setting, expected in (
        ("5", 5),
        ("4,2", 4),
        ("many", processors),
        ("0", processors),
        ("", processors),
        ("²", processors),
        ("100000", _threads.MOST_THREADS),
        ("9" * 30, _threads.MOST_THREADS),
    ):
        monkeypatch.setenv("OMP_NUM_THREADS", setting)
        assert _threads._default_num_threads() == expected


@pytest.mark.parametrize("n_threads", [1, 3])
def test_ranges_cover_every_item_once(n_threads):
    for n in (0, 1, 2, 23, 24, 25, 1000):
        seen = np.zeros(n, int)

        def mark(first, end, seen=seen):
            seen[first:end] += 1

        _threads.run_ranges(n, n_threads, mark)
        np.testing.assert_array_equal(seen, np.ones(n, int))


def test_an_error_in_a_range_comes_back_when_all_ranges_have_ended():
    running = []

    def work(first, end):
        running.append(first)
        time.sleep(0.01)
        running.remove(first)
        if first == 0:
            raise RuntimeError("from a worker")

    with pytest.raises(RuntimeError, match="from a worker"):
        _threads.run_ranges(100, 4, work)
    assert running == []


@pytest.mark.parametrize("setting", ["1", "100000", "3000000000", "nonsense"])
def test_no_setting_of_omp_num_threads_ends_the_process(setting):
    code = """
import numpy as np, ecgkern
for backend in ("fortran", "numba"):
    if ecgkern.backends()[backend].available:
        y = ecgkern.waveform.gaussian_waves([[50.0]] * 5000, fs=100, length=1000, backend=backend)
        print(y.shape)
"""
    status, out, err = python(code, **{**os.environ, "OMP_NUM_THREADS": setting})
    assert status == 0, err
    assert "(5000, 1000)" in out


def test_numba_without_its_compiler_is_not_called_ready():
    code = "import ecgkern; b = ecgkern.backends()['numba']; print(b.available, b.remedy)"
    assert python(code, **{**os.environ, "NUMBA_DISABLE_JIT": "1"})[1].split()[0] == "False"


def test_source_tree_runs_without_a_build(tmp_path):
    shutil.copytree(
        ROOT / "python" / "ecgkern", tmp_path / "ecgkern", ignore=shutil.ignore_patterns("*.so", "__pycache__")
    )
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in type(finder).__module__]
import ecgkern
assert ecgkern.__file__.startswith({str(tmp_path)!r}), ecgkern.__file__
assert not ecgkern.backends()["fortran"].available
print(ecgkern.waveform.gaussian_waves([[50.0]], fs=100, length=100).shape)
"""
    status, out, err = python(code, **os.environ)
    assert status == 0, err
    assert out.strip() == "(1, 100)"


def test_doctor_lists_everything_and_how_to_install_it(capsys, monkeypatch):
    monkeypatch.delenv("ECGKERN_DATA", raising=False)
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    for name in ("backend fortran", "backend numba", "backend cuda", "threads", "CUDA device", "torch", "wfdb"):
        assert name in text
    assert re.search("NO +ECGKERN_DATA +not set", text)
    monkeypatch.setattr("ecgkern.doctor._PACKAGES", {"no-such-package": ("for nothing", "ecg")})
    main(["doctor"])
    assert 'pip install "ecgkern[ecg]"' in capsys.readouterr().out


def test_command_line_errors(capsys, tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="2"):
        main(["nonsense"])
    with pytest.raises(SystemExit, match="2"):
        main([])
    monkeypatch.chdir(tmp_path)
    assert main(["bench"]) == 2
    assert "run this in the source folder" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out.strip() == f"ecgkern {ecgkern.__version__}"


def public_modules():
    for module in pkgutil.walk_packages(ecgkern.__path__, "ecgkern."):
        if not module.name.endswith(("._fortran", "._numba", "._numba_math")):  # nothing public, and may not import
            yield module.name


@pytest.mark.parametrize("name", ["ecgkern", *sorted(public_modules())])
def test_examples_in_docstrings(name):
    module = importlib.import_module(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_every_public_function_has_an_example_and_its_sections():
    for family in (ecgkern.waveform, ecgkern.stats, ecgkern.geomag, ecgkern.conv, ecgkern.torch, ecgkern.data):
        for name in family.__all__:
            thing = getattr(family, name)
            if callable(thing) and not isinstance(thing, type):
                for section in ("Parameters", "Returns", "Raises", "Examples"):
                    assert f"{section}\n" in (thing.__doc__ or ""), f"{name} lacks {section}"


def examples(page):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert blocks
    return [compile(block, page, "exec") for block in blocks]


def test_readme_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for example in examples("README.md"):
        exec(example, {})


def test_examples_on_training_run_one_after_another():
    names = {}
    for example in examples("docs/training.md"):
        exec(example, names)
    assert names["amplitude"].grad.shape == (6,)
