"""A small case of every CUDA kernel, for compute-sanitizer: python tools/gpu_small.py"""

import cupy
import numpy as np

from ecgkern import conv, geomag, stats, waveform

cupy.cuda.set_allocator(None)  # arrays one by one, not parts of a pool, so that a step beyond one is seen
rng = np.random.default_rng(0)


def on_card(*shape, dtype):
    """Random numbers in memory of their own."""
    return cupy.asarray(rng.standard_normal(shape).astype(dtype))


for dtype in (np.float32, np.float64):
    peaks, offsets = cupy.asarray(rng.uniform(0, 300, 40)), cupy.asarray(np.array([0, 12, 40]))
    for gain in (None, on_card(3, 6, dtype=np.float64)):
        ecg = waveform.gaussian_waves(peaks, fs=100.0, length=333, row_offsets=offsets, lead_gain=gain, dtype=dtype)
        waveform.gaussian_waves_grad(ecg, peaks, fs=100.0, row_offsets=offsets, lead_gain=gain)

    for n_features in (3, 37):
        x, y = on_card(150, n_features, dtype=dtype), on_card(131, n_features, dtype=dtype)
        for precision in ("highest", "high", "medium"):
            stats.mmd2(x, y, bandwidth=[1.0, 2.0], precision=precision)
        stats.mmd2_grad(x, y)
        stats.mmd_witness(y, x, y)
        stats.mmd_test(x, y, n_resamples=49, rng=0)
        stats.ks_2samp(x, y, method="asymp")

    x = on_card(3, 2, 150, dtype=dtype)
    weights = [on_card(9, 2, k, dtype=dtype) for k in (3, 11)]
    for merge in (None, on_card(2, 18, dtype=dtype)):
        options = {"activation": "relu", "merge_weight": merge}
        for precision in ("highest", "high"):
            result = conv.multiscale_conv1d(x, weights, precision=precision, **options)
            conv.multiscale_conv1d_grad(result, x, weights, precision=precision, **options)

    lat, lon = (cupy.asarray(rng.uniform(-90, 90, 1001).astype(dtype)) for _ in range(2))
    for coords in ("geocentric", "geodetic"):
        there = geomag.geo_to_ed(lat, lon, epoch=2020.0, coords=coords)
        geomag.ed_to_geo(there.lat, there.lon, epoch=2020.0, coords=coords)
        geomag.dipole_field(lat, lon, epoch=2020.0, coords=coords)
    geomag.geo_to_cd(lat, lon, epoch=2020.0)
    geomag.magnetic_local_time(lat, lon, np.datetime64("2020-06-21T12:00"))

cupy.cuda.Device().synchronize()
print("every kernel ran")
