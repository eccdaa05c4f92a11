"""How long synthesis takes per record, on each backend and with NeuroKit2."""

import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecgkern._progress import Advance
from ecgkern.data._records import require
from ecgkern.demo._analysis import Synthesis, available_backends, threads_of
from ecgkern.waveform import Waves, gaussian_waves

LEAST_BATCH = 2000  # records; the recordings are repeated up to it, so that a call is long against its overhead


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
    recordings = synthesis.recordings

    def call() -> None:
        simulate_one(recordings.length, int(recordings.fs))

    call()  # loads what it needs
    runs = _repeat(call)
    return Timing("NeuroKit2, ecg_simulate", statistics.median(runs), min(runs), len(runs), 1, 1)


def simulate_one(length: int, fs: int) -> None:
    """Simulate one ECG by NeuroKit2, always the same one.

    At some heart rates and seeds ecg_simulate of NeuroKit2 0.2.13 never ends: its last RR interval comes out as 0, and
    its loop over them stands still. At this rate and seed it ends for 10 s at 100, 360 and 500 Hz.
    """
    neurokit: Any = require("neurokit2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        neurokit.ecg_simulate(length=length, sampling_rate=fs, heart_rate=72, random_state=0)


def _repeat(call: Callable[[], None]) -> list[float]:
    """Seconds of each of 3 runs, or of more while they are short."""
    runs: list[float] = []
    while len(runs) < 3 or (len(runs) < 100 and sum(runs) < 0.5):
        start = time.perf_counter()
        call()
        runs.append(time.perf_counter() - start)
    return runs
