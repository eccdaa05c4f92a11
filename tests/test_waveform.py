"""Waveform synthesis: values, gradients and manners, on every backend."""

import multiprocessing
import pickle
import subprocess
import sys
import threading
import warnings
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ecgkern
from ecgkern.data import RPeaks
from ecgkern.waveform import PHYSIO, SEED, Waves, dirac_delta, gaussian_waves, gaussian_waves_grad

FS = 100.0
FLOAT32, FLOAT64 = 2e-6, 1e-12  # of the peak; float64 with cutoff 9
FLOAT32_GRADIENT = 1e-5  # of the largest gradient


def dense(rows, length, waves, lead_gain=None, fs=FS):
    """The formula, every wave at every sample, in float64: no cut-off, no backend."""
    t = np.arange(length)
    basis = np.zeros((len(rows), len(waves.name), length))
    beat = 0
    for n, row in enumerate(rows):
        for r in row:
            a, d, s = (v if v.ndim == 1 else v[beat] for v in (waves.amplitude, waves.delay * fs, waves.width * fs))
            basis[n] += a[:, None] * np.exp(-((t - r - d[:, None]) ** 2) / (2 * s[:, None] ** 2))
            beat += 1
    return basis.sum(1) if lead_gain is None else np.einsum("cw,nwt->nct", lead_gain, basis)


def random_rows(rng, length, counts=(0, 3, 12, 1)):
    return [rng.uniform(-0.2 * length, 1.2 * length, n) for n in counts]


def per_beat(rng, n_beats):
    shape = (n_beats, 6)
    return Waves(PHYSIO.name, rng.normal(size=shape), rng.normal(0, 0.2, shape), rng.uniform(0.01, 0.1, shape))


def peak(waves, lead_gain=None):
    return np.abs(waves.amplitude).max() * (1 if lead_gain is None else np.abs(lead_gain).max())


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 5, 15, 16, 17, 100, 1000, 2048, 2049, 5000])
@pytest.mark.parametrize("leads", [0, 1, 12])
@pytest.mark.parametrize("one_set", [True, False])
def test_forward_is_the_formula(backend, length, leads, one_set):
    rng = np.random.default_rng(length)
    rows = random_rows(rng, length)
    waves = PHYSIO if one_set else per_beat(rng, sum(map(len, rows)))
    gain = rng.normal(size=(leads, 6)) if leads else None
    expected = dense(rows, length, waves, gain)
    options = {"fs": FS, "length": length, "waves": waves, "lead_gain": gain, "backend": backend}

    double = gaussian_waves(rows, **options, cutoff=9, dtype=np.float64)
    assert double.dtype == np.float64
    assert double.shape == expected.shape
    np.testing.assert_allclose(double, expected, rtol=0, atol=FLOAT64 * peak(waves, gain))
    single = gaussian_waves(rows, **options)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=0, atol=FLOAT32 * peak(waves, gain))


@pytest.mark.parametrize("cutoff", [1.0, 2.5, 3.0, 4.0, 6.0])
def test_cutoff_is_the_same_everywhere_and_within_its_bound(backend, cutoff):
    rng = np.random.default_rng(3)
    rows = random_rows(rng, 1000)
    options = {"fs": FS, "length": 1000, "cutoff": cutoff, "dtype": np.float64}
    ours = gaussian_waves(rows, **options, backend=backend)
    # A coarse cut-off leaves steps of 60 % of the amplitude: they must fall on the same samples.
    np.testing.assert_allclose(ours, gaussian_waves(rows, **options, backend="numpy"), rtol=0, atol=FLOAT64)
    one_beat = [[500.3]]
    error = np.abs(gaussian_waves(one_beat, **options, backend=backend) - dense(one_beat, 1000, PHYSIO))
    assert error.max() <= np.abs(PHYSIO.amplitude).sum() * np.exp(-(cutoff**2) / 2)


def test_a_huge_cutoff_is_harmless(backend):
    expected = dense([[50.0]], 100, PHYSIO)
    for dtype, tolerance in ((np.float32, FLOAT32), (np.float64, FLOAT64)):
        ours = gaussian_waves([[50.0]], fs=FS, length=100, cutoff=1e6, dtype=dtype, backend=backend)
        np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance)


def test_a_peak_late_in_a_day_is_as_exact_as_an_early_one(backend):
    length = 24 * 3600 * 100
    late = length - 500 + 0.3125
    day = gaussian_waves(np.array([late]), row_offsets=[0, 1], fs=FS, length=length, backend=backend)
    early = gaussian_waves([[500.3125]], fs=FS, length=1000, backend=backend)
    np.testing.assert_array_equal(day[0, -1000:], early[0])


def test_order_of_the_peaks_does_not_matter(backend):
    rng = np.random.default_rng(5)
    rows = [rng.uniform(0, 9000, 90), rng.uniform(0, 9000, 40)]
    waves = per_beat(rng, 130)
    order = [np.argsort(row) for row in rows]
    flat_order = np.concatenate([order[0], 90 + order[1]])
    ordered = Waves(waves.name, waves.amplitude[flat_order], waves.delay[flat_order], waves.width[flat_order])
    options = {"fs": FS, "length": 9000, "cutoff": 9, "dtype": np.float64, "backend": backend}
    ours = gaussian_waves(rows, waves=waves, **options)
    np.testing.assert_allclose(
        ours, gaussian_waves([row[o] for row, o in zip(rows, order, strict=True)], waves=ordered, **options), atol=1e-11
    )
    np.testing.assert_allclose(ours, dense(rows, 9000, waves), rtol=0, atol=1e-11)


def test_peaks_as_find_r_peaks_returns_them(backend):
    rows = [[50.0, 120.0], [], [60.0]]
    joined = RPeaks.from_list(rows)
    y = gaussian_waves(joined, fs=FS, length=200, backend=backend)
    np.testing.assert_array_equal(y, gaussian_waves(rows, fs=FS, length=200, backend=backend))
    assert gaussian_waves_grad(y, joined, fs=FS, backend=backend).r_peaks.shape == (3,)


def test_any_number_of_waves(backend):
    waves = Waves(("R",), [1.0], [0.0], [0.02])
    ours = gaussian_waves([[50.0]], fs=FS, length=100, waves=waves, backend=backend)
    np.testing.assert_allclose(ours[0], dirac_delta(np.arange(100) - 50.0, 2.0), atol=FLOAT32)
    led = gaussian_waves([[50.0]], fs=FS, length=100, waves=waves, lead_gain=[[2.0], [-1.0]], backend=backend)
    np.testing.assert_allclose(led[0], [2 * ours[0], -ours[0]], atol=FLOAT32)


# --- gradients --------------------------------------------------------------------------------------------------------


def torch_gradients(grad_out, rows, waves, lead_gain):
    """Dense float64 autograd of the formula."""
    torch = pytest.importorskip("torch")
    names = ("amplitude", "delay", "width")
    leaves = {name: torch.tensor(getattr(waves, name), requires_grad=True) for name in names}
    counts = [len(row) for row in rows]
    r = torch.tensor(np.concatenate(rows), requires_grad=True)
    gain = torch.tensor(np.ones((1, 6)) if lead_gain is None else lead_gain, requires_grad=True)
    centre = r[:, None] + FS * leaves["delay"].expand(r.numel(), 6)
    t = torch.arange(grad_out.shape[-1], dtype=torch.float64)
    g = torch.exp(-0.5 * ((t - centre[..., None]) / (FS * leaves["width"].expand(r.numel(), 6)[..., None])) ** 2)
    beats = leaves["amplitude"].expand(r.numel(), 6)[..., None] * g
    record = torch.repeat_interleave(torch.arange(len(rows)), torch.tensor(counts))
    basis = torch.zeros(len(rows), 6, t.numel(), dtype=torch.float64).index_add(0, record, beats)
    y = torch.einsum("cw,nwt->nct", gain, basis)
    y.backward(torch.tensor(grad_out.reshape(y.shape)))
    return {"r_peaks": r.grad, **{name: leaf.grad for name, leaf in leaves.items()}, "lead_gain": gain.grad}


@pytest.mark.parametrize("length", [3, 16, 100, 1000, 5000])
@pytest.mark.parametrize("leads", [0, 3])
@pytest.mark.parametrize("one_set", [True, False])
def test_gradient_is_that_of_dense_autograd(backend, length, leads, one_set):
    rng = np.random.default_rng(length)
    rows = random_rows(rng, length)
    waves = PHYSIO if one_set else per_beat(rng, 16)
    gain = rng.normal(size=(leads, 6)) if leads else None
    grad_out = rng.normal(size=(4, leads, length) if leads else (4, length))
    expected = torch_gradients(grad_out, rows, waves, gain)
    for dtype, cutoff, tolerance in ((np.float64, 9, 1e-11), (np.float32, 6, FLOAT32_GRADIENT)):
        ours = gaussian_waves_grad(
            grad_out.astype(dtype), rows, fs=FS, waves=waves, lead_gain=gain, cutoff=cutoff, backend=backend
        )
        assert (ours.lead_gain is None) == (gain is None)
        for name, value in ours._asdict().items():
            if value is None:
                continue
            flat = np.concatenate(value) if name == "r_peaks" else value
            assert flat.dtype == dtype
            wanted = expected[name].numpy()
            assert flat.shape == wanted.shape
            np.testing.assert_allclose(flat, wanted, rtol=0, atol=tolerance * np.abs(wanted).max(), err_msg=name)


def test_gradient_is_that_of_finite_differences(backend):
    rng = np.random.default_rng(0)
    rows = [np.array([40.2, 131.7]), np.array([77.5])]
    waves, gain = per_beat(rng, 3), rng.normal(size=(2, 6))
    grad_out = rng.normal(size=(2, 2, 200))

    def loss(rows=rows, waves=waves, gain=gain):
        y = gaussian_waves(rows, fs=FS, length=200, waves=waves, lead_gain=gain, cutoff=9, dtype="f8", backend=backend)
        return float((grad_out * y).sum())

    def central(perturbed, step):
        return (loss(**perturbed(step)) - loss(**perturbed(-step))) / (2 * step)

    ours = gaussian_waves_grad(grad_out, rows, fs=FS, waves=waves, lead_gain=gain, cutoff=9, backend=backend)
    for i, j in ((0, 0), (0, 1), (1, 0)):

        def moved(h, i=i, j=j):
            return {"rows": [row + h * (np.arange(row.size) == j) * (n == i) for n, row in enumerate(rows)]}

        assert central(moved, 1e-4) == pytest.approx(ours.r_peaks[i][j], rel=1e-6, abs=1e-6)
    one = np.zeros((3, 6))
    one[1, 2] = 1.0
    for name, step in (("amplitude", 1e-4), ("delay", 1e-6), ("width", 1e-6)):

        def changed(h, name=name):
            return {"waves": replace(waves, **{name: getattr(waves, name) + h * one})}

        assert central(changed, step) == pytest.approx(getattr(ours, name)[1, 2], rel=1e-6, abs=1e-6)
    first = np.zeros((2, 6))
    first[1, 4] = 1.0
    assert central(lambda h: {"gain": gain + h * first}, 1e-4) == pytest.approx(ours.lead_gain[1, 4], rel=1e-6)


def test_gradients_have_the_structure_of_the_arguments(backend):
    flat = gaussian_waves_grad(
        np.ones((2, 50)), np.array([10.0, 20, 30]), row_offsets=[0, 1, 3], fs=FS, backend=backend
    )
    assert flat.r_peaks.shape == (3,)
    rows = gaussian_waves_grad(np.ones((2, 50)), [[10.0], [20.0, 30.0]], fs=FS, backend=backend)
    np.testing.assert_array_equal(np.concatenate(rows.r_peaks), flat.r_peaks)
    empty = gaussian_waves_grad(np.ones((0, 50)), [], fs=FS, backend=backend)
    assert empty.r_peaks == []
    np.testing.assert_array_equal(empty.amplitude, np.zeros(6))
    no_beats = gaussian_waves_grad(np.ones((1, 2, 50)), [[]], fs=FS, lead_gain=np.ones((2, 6)), backend=backend)
    np.testing.assert_array_equal(no_beats.lead_gain, np.zeros((2, 6)))


# --- promises ---------------------------------------------------------------------------------------------------------


def test_same_bits_for_every_number_of_threads_and_every_run(backend):
    rng = np.random.default_rng(1)
    rows = random_rows(rng, 3000, rng.integers(0, 60, 50))
    gain = rng.normal(size=(3, 6))
    grad_out = rng.normal(size=(50, 3, 3000)).astype(np.float32)

    def everything(threads):
        ecgkern.set_num_threads(threads)
        grads = gaussian_waves_grad(grad_out, rows, fs=FS, lead_gain=gain, backend=backend)
        y = gaussian_waves(rows, fs=FS, length=3000, lead_gain=gain, backend=backend)
        return [y, *grads.r_peaks, *grads[1:]]

    once = everything(1)
    for threads in (1, 2, 3, 7):
        for a, b in zip(once, everything(threads), strict=True):
            np.testing.assert_array_equal(a, b)


def test_calls_from_several_python_threads_agree(backend):
    rng = np.random.default_rng(2)
    rows = random_rows(rng, 2000, [20] * 64)
    expected = gaussian_waves(rows, fs=FS, length=2000, backend=backend)
    results = [None] * 4

    def work(i):
        results[i] = gaussian_waves(rows, fs=FS, length=2000, backend=backend)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        np.testing.assert_array_equal(result, expected)


MEMORY = """
import resource, sys
import numpy as np
import ecgkern
from ecgkern.waveform import gaussian_waves, gaussian_waves_grad

ecgkern.set_num_threads(2)
rng = np.random.default_rng(4)
for n_records, length, leads in ((512, 1000, None), (2, 100_000, np.ones((12, 6)))):
    out = np.zeros((n_records, length) if leads is None else (n_records, 12, length), np.float32)
    peaks = np.sort(rng.uniform(0, length, (n_records, 12)), axis=1).ravel()
    call = dict(fs=100.0, length=length, lead_gain=leads, backend=sys.argv[1], out=out)
    few = [0, 12, *[12] * (n_records - 1)]
    gaussian_waves(peaks[:12], row_offsets=few, **call)  # starts threads, compiles
    gaussian_waves_grad(out, peaks[:12], row_offsets=few, fs=100.0, lead_gain=leads, backend=sys.argv[1])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    offsets = 12 * np.arange(n_records + 1)
    gaussian_waves(peaks, row_offsets=offsets, **call)
    gaussian_waves_grad(out, peaks, row_offsets=offsets, fs=100.0, lead_gain=leads, backend=sys.argv[1])
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("backend", ["numba", "fortran"], indirect=True)  # numpy holds a record per wave
@pytest.mark.filterwarnings("ignore:.*narrower than one sample")
def test_widths_far_below_a_sample_have_exact_gradients_to_the_last_sample(backend):
    waves = Waves(("R",), [1.0], [0.0], [0.05])
    for peak in (100.03, 188.98, 199.02):  # the last two lie in the block that is moved back to end with the record
        grad_out = np.random.default_rng(0).normal(size=(1, 200))
        options = {"fs": 1.0, "waves": waves, "cutoff": 9}
        double = gaussian_waves_grad(grad_out, [[peak]], **options, backend="numpy")
        single = gaussian_waves_grad(grad_out.astype("f4"), [[peak]], **options, backend=backend)
        for mine, exact in zip(single[1:4], double[1:4], strict=True):
            np.testing.assert_allclose(mine, exact, rtol=FLOAT32_GRADIENT)


def test_extra_memory_is_at_most_1_mb_per_thread(backend):
    run = subprocess.run([sys.executable, "-c", MEMORY, backend], capture_output=True, text=True, check=True)
    assert all(int(kilobytes) <= 2 * 1024 for kilobytes in run.stdout.split())


def test_a_forked_worker_computes_too(backend):
    """PyTorch's DataLoader forks; OpenMP would wait for ever for threads that did not survive."""
    expected = gaussian_waves([[50.0]] * 500, fs=FS, length=1000, backend=backend)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()

    def work():
        with pytest.warns(RuntimeWarning, match="a forked process computes on one thread"):
            ecgkern.set_num_threads(2)
        queue.put(gaussian_waves([[50.0]] * 500, fs=FS, length=1000, backend=backend))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of fork beside threads
        child = context.Process(target=work)
        child.start()
    try:
        np.testing.assert_array_equal(queue.get(timeout=60), expected)
        child.join(60)
        assert child.exitcode == 0
    finally:
        child.kill()


def test_out_is_filled_and_returned(backend):
    out = np.full((1, 200), np.nan, np.float32)
    y = gaussian_waves([[50.0]], fs=FS, length=200, out=out, backend=backend)
    assert y is out
    np.testing.assert_array_equal(out, gaussian_waves([[50.0]], fs=FS, length=200, backend=backend))


def test_torch_in_torch_out_without_a_copy(backend):
    torch = pytest.importorskip("torch")
    rows = [torch.tensor([50.0, 120.0], dtype=torch.float64), torch.tensor([60.0])]
    y = gaussian_waves(rows, fs=FS, length=200, backend=backend)
    assert isinstance(y, torch.Tensor)
    np.testing.assert_array_equal(y.numpy(), gaussian_waves([[50, 120], [60]], fs=FS, length=200, backend=backend))
    out = torch.empty(2, 200)
    assert gaussian_waves(rows, fs=FS, length=200, out=out, backend=backend) is out
    assert torch.equal(out, y)
    grads = gaussian_waves_grad(torch.ones(2, 200), rows, fs=FS, backend=backend)
    assert all(isinstance(g, torch.Tensor) for g in [*grads.r_peaks, grads.amplitude, grads.delay, grads.width])
    with pytest.raises(TypeError, match=r"one library, but r_peaks is numpy, out is torch"):
        gaussian_waves([np.array([50.0]), np.array([60.0])], fs=FS, length=200, out=out)
    with pytest.raises(TypeError, match=r"r_peaks\[0\] requires grad"):
        gaussian_waves([torch.tensor([50.0], requires_grad=True)], fs=FS, length=200)


# --- bad input --------------------------------------------------------------------------------------------------------

GOOD = {"r_peaks": [[50.0, 150.0], [60.0]], "fs": FS, "length": 200}
NAN, INF = float("nan"), float("inf")

BAD = [
    ({"r_peaks": np.ones((2, 2))}, TypeError, r"r_peaks must be a list of 1-D arrays.*ndarray of shape \(2, 2\)"),
    ({"r_peaks": np.ones(3)}, TypeError, "without row_offsets"),
    ({"r_peaks": [1.0, 2.0]}, ValueError, r"r_peaks\[0\] must have 1 dimension, got shape \(\)"),
    ({"r_peaks": [[1.0], [[2.0]]]}, ValueError, r"r_peaks\[1\] must have 1 dimension"),
    ({"r_peaks": [["a"]]}, TypeError, r"r_peaks\[0\] must hold real numbers"),
    ({"r_peaks": [[1j]]}, TypeError, r"r_peaks\[0\] must hold real numbers"),
    ({"r_peaks": "peaks"}, TypeError, "r_peaks must be a list"),
    ({"r_peaks": [[1.0, NAN]]}, ValueError, r"r_peaks\[0\] must be finite, got nan at \[1\]"),
    (
        {"r_peaks": np.array([1.0, -INF]), "row_offsets": [0, 2]},
        ValueError,
        r"r_peaks must be finite, got -inf at \[1\]",
    ),
    (
        {"r_peaks": np.ones(3), "row_offsets": [0, 2, 1, 3]},
        ValueError,
        r"row_offsets must not decrease, got 1 .* \[2\]",
    ),
    (
        {"r_peaks": np.ones(3), "row_offsets": [0, 4]},
        ValueError,
        "row_offsets must end with the number of r_peaks, 3, got 4",
    ),
    ({"r_peaks": np.ones(3), "row_offsets": [1, 3]}, ValueError, "row_offsets must start with 0, got 1"),
    ({"r_peaks": np.ones(3), "row_offsets": [0, -1, 3]}, ValueError, "row_offsets must not decrease"),
    ({"r_peaks": np.ones(3), "row_offsets": [0.0, 3.0]}, TypeError, "row_offsets must hold integers"),
    ({"r_peaks": np.ones(3), "row_offsets": []}, ValueError, "row_offsets must be 1-D"),
    ({"r_peaks": np.ones(3), "row_offsets": [[0, 3]]}, ValueError, "row_offsets must be 1-D"),
    ({"fs": 0}, ValueError, "fs must be finite and greater than 0 Hz, got 0"),
    ({"fs": -100}, ValueError, "fs must be finite and greater than 0"),
    ({"fs": NAN}, ValueError, "fs must be finite"),
    ({"fs": "100"}, TypeError, "fs must be a real number, got str"),
    ({"fs": True}, TypeError, "fs must be a real number, got bool"),
    ({"fs": 100 + 1j}, TypeError, "fs must be a real number, got complex"),
    ({"fs": 10**400}, TypeError, "fs must be a real number, got int"),
    ({"length": True}, TypeError, "length must be an integer, got bool"),
    ({"r_peaks": [np.ma.array([1.0, 2.0], mask=[0, 1])]}, TypeError, r"r_peaks\[0\] is a masked array"),
    ({"row_offsets": [[0], [1, 2]], "r_peaks": np.ones(3)}, ValueError, "row_offsets must be a rectangular array"),
    ({"r_peaks": RPeaks.from_list([[5.0]]), "row_offsets": [0, 1]}, ValueError, "row_offsets must be left out"),
    ({"dtype": None}, ValueError, "dtype must be float32 or float64, got None"),
    ({"r_peaks": [], "backend": "fpga"}, ValueError, "backend must be None or one of"),
    ({"length": 0}, ValueError, "length must be from 1 to"),
    ({"length": -5}, ValueError, "length must be from 1 to"),
    ({"length": 200.0}, TypeError, "length must be an integer, got float"),
    ({"length": 2**40}, ValueError, "length must be from 1 to"),
    ({"cutoff": 0}, ValueError, "cutoff must be finite and greater than 0"),
    ({"cutoff": INF}, ValueError, "cutoff must be finite"),
    ({"dtype": np.float16}, ValueError, "dtype must be float32 or float64"),
    ({"dtype": "nonsense"}, ValueError, "dtype must be float32 or float64, got 'nonsense'"),
    ({"backend": "fpga"}, ValueError, "backend must be None or one of fortran, numba, numpy, cuda"),
    ({"backend": "cuda"}, ecgkern.BackendUnavailableError, "backend 'cuda' is not available"),
    ({"waves": "PHYSIO"}, TypeError, "waves must be ecgkern.waveform.Waves, got str"),
    (
        {"waves": PHYSIO.at_heart_rate([60.0, 70.0])},
        ValueError,
        "waves has 2 sets, one per beat, but r_peaks has 3 beats",
    ),
    ({"lead_gain": np.ones(6)}, ValueError, r"lead_gain must have 2 dimensions, got shape \(6,\)"),
    ({"lead_gain": np.ones((2, 5))}, ValueError, r"lead_gain must have shape \(n_leads, 6\), got \(2, 5\)"),
    ({"lead_gain": np.ones((0, 6))}, ValueError, r"lead_gain must have shape \(n_leads, 6\)"),
    ({"lead_gain": np.full((2, 6), NAN)}, ValueError, r"lead_gain must be finite, got nan at \[0, 0\]"),
    ({"out": np.empty((2, 100), np.float32)}, ValueError, r"out must have shape \(2, 200\) and dtype float32"),
    ({"out": np.empty((2, 200))}, ValueError, "out must have shape .* got .* float64"),
    ({"out": np.empty((200, 2), np.float32).T}, ValueError, "out must be C-contiguous"),
    ({"out": np.empty((2, 400), np.float32)[:, ::2]}, ValueError, "out must be C-contiguous"),
    ({"out": [[0.0] * 200] * 2}, TypeError, "out must be an array, got list"),
]


@pytest.mark.parametrize(
    ("change", "error", "message"), BAD, ids=[f"{i}-{next(iter(c[0]))}" for i, c in enumerate(BAD)]
)
def test_bad_arguments(backend, change, error, message):
    arguments = {"backend": backend, **GOOD, **change}
    with pytest.raises(error, match=message):
        gaussian_waves(**arguments)


def test_out_must_be_writeable_and_apart_from_the_input(backend):
    out = np.empty((2, 200), np.float32)
    out.setflags(write=False)
    with pytest.raises(ValueError, match="out must be writeable"):
        gaussian_waves(**GOOD, out=out, backend=backend)
    memory = np.zeros(400)
    with pytest.raises(ValueError, match="out must not share memory with r_peaks"):
        gaussian_waves(
            memory[:3],
            row_offsets=[0, 3],
            fs=FS,
            length=200,
            dtype="f8",
            out=memory[:200].reshape(1, 200),
            backend=backend,
        )


@pytest.mark.parametrize(
    ("grad_out", "message"),
    [
        (np.ones((3, 200)), r"grad_out must have shape \(n_records, length\) = \(2, -1\)"),
        (np.ones((2, 1, 200)), "grad_out must have shape"),
        (np.ones((2, 0)), "grad_out must have shape"),
        (np.float64(1), "grad_out must have shape"),
        (np.ones((2, 200), int), "dtype of grad_out must be float32 or float64"),
        (np.full((2, 200), NAN), r"grad_out must be finite, got nan at \[0, 0\]"),
    ],
)
def test_bad_grad_out(backend, grad_out, message):
    with pytest.raises(ValueError, match=message):
        gaussian_waves_grad(grad_out, GOOD["r_peaks"], fs=FS, backend=backend)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": [0.025, 0.01, 0.012, -0.01, 0.05, 0.025]}, r"width must be above 0 s, got -0.01 at \[3\]"),
        ({"width": np.zeros(6)}, "width must be above 0 s"),
        ({"amplitude": [1.0, NAN, 0, 0, 0, 0]}, r"amplitude must be finite, got nan at \[1\]"),
        ({"delay": np.zeros(5)}, r"must share the shape \(6,\) or \(n_beats, 6\).*delay \(5,\)"),
        ({"name": ("P", "Q")}, r"must share the shape \(2,\)"),
        ({"amplitude": np.zeros((2, 2, 6))}, "amplitude must have 1 or 2 dimensions"),
    ],
)
def test_bad_waves(change, message):
    with pytest.raises(ValueError, match=message):
        replace(PHYSIO, **change)


def test_peaks_outside_the_record_and_empty_input_give_the_right_answer(backend):
    far = [[-1e300, -1e6, -3.0, 203.0, 1e15, 1.7e308], [], [100.0]]
    y = gaussian_waves(far, fs=FS, length=200, cutoff=9, dtype="f8", backend=backend)
    np.testing.assert_allclose(y, dense([[-3.0, 203.0], [], [100.0]], 200, PHYSIO), rtol=0, atol=FLOAT64)
    grads = gaussian_waves_grad(np.ones((3, 200)), far, fs=FS, backend=backend)
    assert all(np.isfinite(row).all() for row in grads.r_peaks)
    none = Waves(PHYSIO.name, *[np.empty((0, 6))] * 3)
    np.testing.assert_array_equal(
        gaussian_waves([[]], fs=FS, length=20, waves=none, backend=backend), np.zeros((1, 20))
    )
    assert gaussian_waves_grad(np.ones((1, 20)), [[]], fs=FS, waves=none, backend=backend).width.shape == (0, 6)
    assert gaussian_waves([], fs=FS, length=200, backend=backend).shape == (0, 200)
    np.testing.assert_array_equal(gaussian_waves([[]], fs=FS, length=200, backend=backend), np.zeros((1, 200)))
    assert gaussian_waves([], fs=FS, length=7, lead_gain=np.ones((3, 6)), backend=backend).shape == (0, 3, 7)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint32, np.uint64, np.int16])
def test_every_kind_of_offsets_and_peaks(backend, dtype):
    expected = gaussian_waves([[50.0, 150.0], [60.0]], fs=FS, length=200, backend=backend)
    peaks = np.array([50, 150, 60], dtype)
    offsets = np.array([0, 2, 3], dtype)
    np.testing.assert_array_equal(
        gaussian_waves(peaks, row_offsets=offsets, fs=FS, length=200, backend=backend), expected
    )
    strided = np.repeat(peaks, 2).astype(np.float32)[::2]
    strided.setflags(write=False)
    np.testing.assert_array_equal(
        gaussian_waves(strided, row_offsets=np.repeat(offsets, 3)[::3], fs=FS, length=200, backend=backend), expected
    )


def test_waves_that_the_arithmetic_cannot_hold_are_refused(backend):
    wide = Waves(("P",), [1.0], [0.0], [1e7])
    y = gaussian_waves([[5.0]], fs=1.0, length=40, waves=wide, backend=backend)
    np.testing.assert_allclose(y, np.ones((1, 40)), rtol=0, atol=FLOAT32)
    with pytest.raises(ValueError, match=r"width must be from 1e-06 to 1e\+09 samples, got 1 to 1e\+17"):
        gaussian_waves([[5.0]], fs=1e10, length=40, waves=wide, backend=backend)
    with pytest.raises(ValueError, match=r"width \* fs must be finite"):
        gaussian_waves([[5.0]], fs=1e305, length=40, waves=wide, backend=backend)
    tall = replace(wide, amplitude=[1e31])
    assert gaussian_waves([[5.0]], fs=1.0, length=40, waves=tall, dtype="f8", backend=backend).max() > 0.99e31
    with pytest.raises(ValueError, match=r"must be at most 1e\+30 in float32, got 1e\+31, 1"):
        gaussian_waves([[5.0]], fs=1.0, length=40, waves=tall, backend=backend)
    with pytest.raises(ValueError, match=r"must be at most 1e\+30 in float32, got 1, 1e\+39"):
        gaussian_waves([[5.0]], fs=1.0, length=40, waves=wide, lead_gain=[[1e39]], backend=backend)
    with pytest.raises(ValueError, match="the gradient exceeds float32"):
        gaussian_waves_grad(np.full((1, 40), 3e38, np.float32), [[5.0]], fs=1.0, waves=wide, backend=backend)


def test_narrow_waves_warn_and_unresolvable_ones_are_refused(backend):
    with pytest.warns(UserWarning, match=r"Q, R, S narrower than one sample at fs = 50 Hz \(down to 0.5 samples\)"):
        gaussian_waves([[50.0]], fs=50.0, length=100, backend=backend)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for preset in (SEED, PHYSIO):
            gaussian_waves([[50.0]], fs=100.0, length=100, waves=preset, backend=backend)
    with pytest.raises(ValueError, match="width must be from 1e-06"):
        gaussian_waves([[50.0]], fs=1e-5, length=100, backend=backend)


finite_peaks = st.floats(-1e9, 1e9) | st.floats(-50, 350) | st.sampled_from([0.0, -0.0, 1e308, -1e308, 199.0, 200.0])


@st.composite
def problems(draw):
    rows = draw(st.lists(st.lists(finite_peaks, max_size=5), max_size=4))
    n_beats = sum(map(len, rows))
    shape = (3,) if n_beats == 0 or draw(st.booleans()) else (n_beats, 3)
    count = int(np.prod(shape))

    def numbers(low, high):
        return np.array(draw(st.lists(st.floats(low, high), min_size=count, max_size=count))).reshape(shape)

    waves = Waves(("P", "R", "T"), numbers(-2, 2), numbers(-1, 1), numbers(1e-4, 5))
    leads = draw(st.none() | st.integers(1, 3))
    gain = None if leads is None else np.arange(1.0, 3 * leads + 1).reshape(leads, 3)
    return rows, waves, gain, draw(st.integers(1, 300)), draw(st.floats(0.5, 12))


@settings(max_examples=150, deadline=None)
@given(problems())
def test_any_input_gives_the_same_answer_on_every_backend(problem):
    rows, waves, gain, length, cutoff = problem
    ready = [name for name in ("fortran", "numba") if ecgkern.backends()[name].available]
    options = {"fs": FS, "waves": waves, "lead_gain": gain, "cutoff": cutoff}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = gaussian_waves(rows, **options, length=length, dtype="f8", backend="numpy")
        grads = gaussian_waves_grad(np.cos(expected), rows, **options, backend="numpy")
        scale = 20 * max(1, sum(map(len, rows)))
        for name in ready:
            y = gaussian_waves(rows, **options, length=length, dtype="f8", backend=name)
            np.testing.assert_allclose(y, expected, rtol=0, atol=1e-12 * scale)
            single = gaussian_waves(rows, **options, length=length, backend=name)
            np.testing.assert_allclose(single, expected, rtol=0, atol=2e-6 * scale)
            ours = gaussian_waves_grad(np.cos(expected), rows, **options, backend=name)
            for a, b in zip([*ours.r_peaks, *ours[1:]], [*grads.r_peaks, *grads[1:]], strict=True):
                if a is not None and a.size:
                    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * (1 + np.abs(b).max()))


# --- presets, heart rate, dirac_delta ---------------------------------------------------------------------------------


def test_presets_have_the_published_offsets():
    np.testing.assert_allclose(SEED.delay * 1000, [-80, -10, 0, 10, 150, 250])
    p, q, r, s, t, u = PHYSIO.amplitude
    assert 0.05 <= p <= 0.25
    assert abs(q) < r / 4
    assert t >= r / 10
    assert 0 < u < t / 4
    assert s < 0
    assert 80 <= 4000 * PHYSIO.width[0] <= 110
    assert not PHYSIO.amplitude.flags.writeable


@pytest.mark.parametrize("fs", [250, 500, 1000])
@pytest.mark.parametrize("rr", [1.0, 1.02, 0.98])
def test_physio_intervals_as_neurokit_delineates_them(fs, rr):
    """At 60 bpm NeuroKit2's wavelet delineator switches between two degrees: both sides of it are tested as well."""
    nk = pytest.importorskip("neurokit2")
    peaks = np.arange(0.5 - rr, 31, rr) * fs
    ecg = gaussian_waves([peaks], fs=fs, length=30 * fs, dtype="f8")[0]
    clean = nk.ecg_clean(ecg, sampling_rate=fs)
    found = nk.ecg_peaks(clean, sampling_rate=fs)[1]["ECG_R_Peaks"]
    marks = nk.ecg_delineate(clean, found, sampling_rate=fs, method="dwt")[1]
    onset, offset, p_onset, t_offset = (
        np.asarray(marks[f"ECG_{name}"], float)[1:-1] * 1000 / fs
        for name in ("R_Onsets", "R_Offsets", "P_Onsets", "T_Offsets")
    )
    assert onset.size >= 27
    for interval, low, high in ((onset - p_onset, 120, 200), (offset - onset, 80, 120), (t_offset - onset, 350, 450)):
        assert ((interval >= low) & (interval <= high)).all(), (interval, low, high)


def test_waves_are_values():
    for copy in (pickle.loads(pickle.dumps(PHYSIO)), deepcopy(PHYSIO)):
        assert copy == PHYSIO
        assert not copy.delay.flags.writeable
    assert PHYSIO != SEED
    assert PHYSIO != "PHYSIO"
    for unhashable in (
        lambda: hash(PHYSIO),
        lambda: Waves("PQRSTU", *[np.ones(6)] * 3),
        lambda: Waves((1,), [1], [1], [1]),
    ):
        with pytest.raises(TypeError):
            unhashable()


def test_heart_rate_moves_the_waves_as_in_ecgsyn():
    assert PHYSIO.at_heart_rate(60) == PHYSIO
    fast = PHYSIO.at_heart_rate(240)  # RR = 1/4
    np.testing.assert_allclose(fast.width, PHYSIO.width / 2)
    np.testing.assert_allclose(fast.delay, PHYSIO.delay * np.array([0.25**0.75, 0.5, 0.5, 0.5, 0.25**0.75, 0.25**0.75]))
    each = PHYSIO.at_heart_rate([60, 240])
    np.testing.assert_array_equal(each.delay, [PHYSIO.delay, fast.delay])
    np.testing.assert_array_equal(each.amplitude, [PHYSIO.amplitude] * 2)
    for bad, message in ((0, "bpm must be above 0"), (NAN, "bpm must be finite"), ([[60]], "bpm must have 0 or 1 dim")):
        with pytest.raises(ValueError, match=message):
            PHYSIO.at_heart_rate(bad)
    with pytest.raises(ValueError, match="per beat already"):
        each.at_heart_rate(60)


def test_dirac_delta_has_its_peak_or_its_area():
    x = np.linspace(-40, 40, 200001)
    assert dirac_delta(0.0, 3.0) == 1.0
    np.testing.assert_allclose(dirac_delta(x, 3.0), np.exp(-(x**2) / 18))
    assert np.trapezoid(dirac_delta(x, 3.0, normalization="area"), x) == pytest.approx(1.0, abs=1e-12)
    assert dirac_delta(np.float32([1, 2]), 1.0).dtype == np.float32
    assert dirac_delta([1, 2], 1.0).dtype == np.float64
    for change, error, message in (
        ({"epsilon": 0}, ValueError, "epsilon must be finite and greater than 0"),
        ({"normalization": "max"}, ValueError, 'normalization must be "peak" or "area"'),
        ({"x": ["a"]}, TypeError, "x must hold real numbers"),
    ):
        with pytest.raises(error, match=message):
            dirac_delta(**{"x": [0.0], "epsilon": 1.0, **change})
