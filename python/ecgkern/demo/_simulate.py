"""Simulated recordings for when there is no recorded one: RR intervals that vary as in rest, and noisy ECGs on them.

RR intervals vary about their mean with breathing (respiratory sinus arrhythmia, 0.2 to 0.3 Hz), slowly with the blood
pressure (Mayer waves, 0.1 Hz), and by white jitter. The ECG is the model of `ecgkern.waveform` with other waves for
each record, baseline wander and noise: it shows that the chain works, not how well the model fits a heart.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ecgkern.waveform import PHYSIO, gaussian_waves

_SEED = 20_031  # any; fixed, so that two runs simulate the same


def ecgs(n_records: int, fs: float, length: int) -> NDArray[np.float32]:
    """Simulate one-lead recordings, shape (n_records, length), in mV."""
    rng = np.random.default_rng(_SEED)
    rows = [beat_times(length / fs, rng) for _ in range(n_records)]
    rr = np.concatenate([np.diff(row, append=2 * row[-1] - row[-2]) for row in rows])
    waves = PHYSIO.at_heart_rate(60.0 / rr)
    n_beats = [len(row) for row in rows]

    def varied(values: NDArray[np.float64], by: float) -> NDArray[np.float64]:
        factors = rng.uniform(1 - by, 1 + by, (n_records, values.shape[1]))
        return values * np.repeat(factors, n_beats, axis=0)

    waves = replace(
        waves,
        amplitude=varied(waves.amplitude, 0.4),
        delay=varied(waves.delay, 0.1),
        width=np.maximum(varied(waves.width, 0.2), 1 / fs),
    )
    clean = gaussian_waves([row * fs for row in rows], fs=fs, length=length, waves=waves)
    noise = 0.015 * rng.standard_normal(clean.shape)  # mV
    signals: NDArray[np.float32] = (clean + _wander(n_records, length / fs, length, rng) + noise).astype(np.float32)
    return signals


def beat_times(duration: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """R peaks in seconds, from before the start to after the end of a record."""
    mean = rng.uniform(0.6, 1.0)  # s
    breath = rng.uniform(0.2, 0.3), rng.uniform(0.02, 0.06)  # Hz, share of the mean
    mayer = 0.1, rng.uniform(0.01, 0.03)
    phases = rng.uniform(0, 2 * np.pi, 2)
    times = [-rng.uniform(0, mean)]
    while times[-1] <= duration:
        waves = sum(
            size * np.sin(2 * np.pi * rate * times[-1] + phase)
            for (rate, size), phase in zip((breath, mayer), phases, strict=True)
        )
        times.append(times[-1] + mean * (1 + waves + 0.01 * rng.standard_normal()))
    return np.array(times)


def _wander(n_records: int, duration: float, length: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Baseline that moves with the breath and more slowly, in mV."""
    t = np.linspace(0, duration, length, endpoint=False)
    rates = np.stack([rng.uniform(0.2, 0.3, n_records), rng.uniform(0.03, 0.1, n_records)])
    phases, sizes = rng.uniform(0, 2 * np.pi, rates.shape), rng.uniform(0, 0.08, rates.shape)
    waves = sizes[..., None] * np.sin(2 * np.pi * rates[..., None] * t + phases[..., None])
    total: NDArray[np.float64] = waves.sum(axis=0)
    return total
