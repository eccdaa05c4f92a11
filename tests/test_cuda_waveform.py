"""The waveform kernels on a GPU, or on the emulated one, against the numpy backend."""

import numpy as np
import pytest

from ecgkern.waveform import PHYSIO, Waves, dirac_delta, gaussian_waves, gaussian_waves_grad

TOLERANCE = {np.float32: (2e-6, 1e-5), np.float64: (1e-12, 1e-11)}
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def problem(rng, n_records, length, n_leads, per_beat):
    """R peaks as flat values and offsets, in no order and some outside the records, and the other arguments."""
    counts = rng.integers(0, 9, n_records)
    counts[0] = 70  # more than a batch of entries
    offsets = np.concatenate(([0], np.cumsum(counts)))
    peaks = rng.uniform(-80, length + 80, offsets[-1])
    waves = PHYSIO
    if per_beat:
        rates = rng.uniform(40, 60, len(peaks))
        waves = PHYSIO.at_heart_rate(rates)
    gain = None if n_leads is None else rng.normal(size=(n_leads, 6))
    return peaks, offsets, waves, gain


@DTYPES
@pytest.mark.parametrize(
    ("length", "n_leads", "per_beat"),
    [(1, None, False), (333, None, False), (1100, None, True), (200, 1, True), (130, 3, False), (257, 14, True)],
)
def test_waves_and_gradients(gpu, dtype, length, n_leads, per_beat):
    rng = np.random.default_rng(length)
    peaks, offsets, waves, gain = problem(rng, 4, length, n_leads, per_beat)
    options = {"fs": 100.0, "waves": waves}
    host = {"row_offsets": offsets, "lead_gain": gain, "backend": "numpy"}
    card = {"row_offsets": gpu.array(offsets), "lead_gain": None if gain is None else gpu.array(gain)}
    expected = gaussian_waves(peaks, length=length, dtype=np.float64, **options, **host)
    y = gaussian_waves(gpu.array(peaks), length=length, dtype=dtype, **options, **card)
    found = gpu.get(y)
    assert found.dtype == dtype
    assert type(y) is type(gpu.array(peaks))
    n_overlapping = 3
    np.testing.assert_allclose(found, expected, rtol=0, atol=n_overlapping * TOLERANCE[dtype][0])

    upstream = rng.normal(size=expected.shape).astype(dtype)
    exact = gaussian_waves_grad(upstream.astype(np.float64), peaks, **options, **host)
    grads = gaussian_waves_grad(gpu.array(upstream), gpu.array(peaks), **options, **card)
    for name, wanted, got in zip(exact._fields, exact, grads, strict=True):
        if wanted is None:
            assert got is None
            continue
        got = gpu.get(got)
        assert got.dtype == dtype
        atol = TOLERANCE[dtype][1] * np.abs(wanted).max()
        np.testing.assert_allclose(got, wanted, rtol=0, atol=atol, err_msg=name)


def test_one_record_of_many_beats_and_lists_of_peaks(gpu):
    peaks = np.sort(np.random.default_rng(1).uniform(0, 20_000, 400))
    rows = [peaks, peaks[:0], peaks[:3]]
    card = [gpu.array(row) for row in rows]
    expected = gaussian_waves(rows, fs=100.0, length=20_000, backend="numpy")
    np.testing.assert_allclose(gpu.get(gaussian_waves(card, fs=100.0, length=20_000)), expected, rtol=0, atol=6e-6)
    upstream = np.ones_like(expected)
    exact = gaussian_waves_grad(upstream, rows, fs=100.0, backend="numpy")
    grads = gaussian_waves_grad(gpu.array(upstream), card, fs=100.0)
    assert [len(row) for row in grads.r_peaks] == [400, 0, 3]
    np.testing.assert_allclose(gpu.get(grads.width), exact.width, rtol=1e-5)


def test_the_same_bits_twice(gpu):
    rng = np.random.default_rng(3)
    peaks, offsets, waves, _ = problem(rng, 3, 400, None, False)
    options = {"fs": 250.0, "waves": waves, "row_offsets": gpu.array(offsets)}
    first, second = (gpu.get(gaussian_waves(gpu.array(peaks), length=400, **options)) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    upstream = gpu.array(rng.normal(size=(3, 400)).astype(np.float32))
    one, two = (gaussian_waves_grad(upstream, gpu.array(peaks), **options) for _ in range(2))
    assert gpu.get(one.amplitude).tobytes() == gpu.get(two.amplitude).tobytes()


def test_the_window_is_cut_where_the_host_cuts_it(gpu):
    narrow = Waves(("R",), [1.0], [0.0], [0.02])
    expected = gaussian_waves([[50.0]], fs=100.0, length=100, waves=narrow, cutoff=2.0, backend="numpy")
    y = gaussian_waves([gpu.array(np.array([50.0]))], fs=100.0, length=100, waves=narrow, cutoff=2.0)
    np.testing.assert_array_equal(gpu.get(y) != 0, expected != 0)


def test_a_peak_that_is_no_number_shows_in_its_record_alone(gpu):
    y = gaussian_waves([gpu.array(np.array([50.0, np.nan])), gpu.array(np.array([50.0]))], fs=100.0, length=100)
    assert np.isnan(gpu.get(y)[0]).all()
    assert np.isfinite(gpu.get(y)[1]).all()


@pytest.mark.parametrize("offsets", [[0, 10**12], [-(10**12), 2], [2, 0], [5, 10**15]])
def test_offsets_beyond_the_peaks_are_not_followed(gpu, offsets):
    y = gaussian_waves(
        gpu.array(np.array([30.0, 60.0])), fs=100.0, length=100, row_offsets=gpu.array(np.array(offsets))
    )
    assert np.isfinite(gpu.get(y)).all()
    gaussian_waves_grad(
        gpu.array(np.ones((1, 100))), gpu.array(np.array([30.0, 60.0])), fs=100.0,
        row_offsets=gpu.array(np.array(offsets)),
    )  # fmt: skip


@DTYPES
def test_dirac_delta(gpu, dtype):
    x = np.linspace(-3, 3, 301).reshape(7, 43).astype(dtype)
    found = dirac_delta(gpu.array(x), 0.3, normalization="area")
    np.testing.assert_allclose(gpu.get(found), dirac_delta(x, 0.3, normalization="area"), rtol=0, atol=2e-6)
    assert gpu.get(found).dtype == dtype


def test_out_is_written_and_returned(gpu):
    out = gpu.array(np.empty((1, 100), np.float32))
    assert gaussian_waves([gpu.array(np.array([50.0]))], fs=100.0, length=100, out=out) is out
    assert gpu.get(out).max() == pytest.approx(0.93, abs=0.02)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"backend": "numba"}, TypeError, "the arrays are on a GPU, and backend 'numba' takes arrays on the host"),
        ({"row_offsets": np.array([0, 2])}, TypeError, "all arrays must"),
        ({"lead_gain": [[1.0, 2.0]]}, ValueError, r"lead_gain must have shape \(n_leads, 6\), got \(1, 2\)"),
        ({"length": 0}, ValueError, "length must be from 1"),
        ({"dtype": "int32"}, ValueError, "dtype must be float32 or float64"),
        ({"out": (1, 99)}, ValueError, r"out must have shape \(1, 100\) and dtype float32, got \(1, 99\)"),
    ],
)
def test_bad_input_is_refused_before_the_launch(gpu, change, error, message):
    arguments = {"row_offsets": gpu.array(np.array([0, 2])), "fs": 100.0, "length": 100}
    if "out" in change:
        change = {"out": gpu.array(np.zeros(change["out"], np.float32))}
    with pytest.raises(error, match=message):
        gaussian_waves(gpu.array(np.array([30.0, 60.0])), **arguments | change)


def test_out_must_not_be_an_argument(gpu):
    peaks, offsets = gpu.array(np.zeros(100)), gpu.array(np.array([0, 100]))
    out = peaks.reshape((1, 100))
    with pytest.raises(ValueError, match="out must not share memory with r_peaks"):
        gaussian_waves(peaks, fs=100.0, length=100, row_offsets=offsets, dtype=np.float64, out=out)


def test_arrays_on_the_host_are_not_copied_in_silence(gpu):
    with pytest.raises(TypeError, match="the arrays are on the host, and backend 'cuda' takes CuPy arrays"):
        gaussian_waves([np.array([50.0])], fs=100.0, length=100, backend="cuda")
