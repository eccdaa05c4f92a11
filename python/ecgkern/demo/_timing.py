"""How long synthesis takes per record, on each backend and with NeuroKit2."""

import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecgkern.data._records import require
from ecgkern.demo._analysis import Synthesis, available_backends, threads_of
from ecgkern.demo._input import Advance
from ecgkern.waveform import Waves, gaussian_waves

LEAST_BATCH = 2000  # records; the recordings are repeated up to it, so that a call is long against its overhead
NEUROKIT_RUNS = 15


@dataclass(frozen=True)
class Timing:
    """Median time of one synthesised record."""

    name: str
    seconds: float  # per record
    fastest: float  # the same of the fastest run; far below the median if something else kept the processors busy
    runs: int
    records_per_run: int
    threads: int

    @property
    def records_per_second(self) -> float:
        """Records synthesised in one second."""
        return 1 / self.seconds


def measure(synthesis: Synthesis, advance: Advance) -> list[Timing]:
    """Time every backend that is ready, then NeuroKit2, which is last."""
    names = available_backends()
    timings = []
    for done, name in enumerate(names, start=1):
        timings.append(_backend(synthesis, name))
        advance(done, len(names) + 1)
    return [*timings, _neurokit(synthesis)]


def _backend(synthesis: Synthesis, name: str) -> Timing:
    recordings, peaks = synthesis.recordings, synthesis.r_peaks
    copies = -(-LEAST_BATCH // peaks.n_records)
    n = copies * peaks.n_records
    one = synthesis.waves
    amplitude, delay, width = (np.tile(values, (copies, 1)) for values in (one.amplitude, one.delay, one.width))
    waves = Waves(one.name, amplitude, delay, width)
    beats = np.tile(np.diff(peaks.row_offsets), copies)
    offsets = np.concatenate(([0], np.cumsum(beats)))
    values = np.tile(peaks.values, copies)
    out = np.empty((n, recordings.length), np.float32)

    def call() -> None:
        gaussian_waves(
            values, row_offsets=offsets, fs=recordings.fs, length=recordings.length, waves=waves, out=out, backend=name
        )

    call()  # compiles numba's kernels, and touches the memory of `out`
    runs = _repeat(call)
    return Timing(f"ecgkern, {name}", statistics.median(runs) / n, min(runs) / n, len(runs), n, threads_of(name))


def _neurokit(synthesis: Synthesis) -> Timing:
    neurokit: Any = require("neurokit2")
    fs, rate = synthesis.recordings.fs, float(np.median(synthesis.heart_rate))
    length = synthesis.recordings.length
    runs = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(NEUROKIT_RUNS + 1):
            start = time.perf_counter()
            neurokit.ecg_simulate(length=length, sampling_rate=int(fs), heart_rate=rate, random_state=seed)
            runs.append(time.perf_counter() - start)
    runs = runs[1:]  # the first loads what it needs
    return Timing("NeuroKit2, ecg_simulate", statistics.median(runs), min(runs), len(runs), 1, 1)


def _repeat(call: Callable[[], None]) -> list[float]:
    """Seconds of each of 3 runs, or of more while they are short."""
    runs: list[float] = []
    while len(runs) < 3 or (len(runs) < 100 and sum(runs) < 0.5):
        start = time.perf_counter()
        call()
        runs.append(time.perf_counter() - start)
    return runs
