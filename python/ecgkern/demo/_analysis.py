"""R peaks of the recordings, the synthetic ECG at each, and what the two have in common."""

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import ecgkern
from ecgkern._progress import Advance
from ecgkern.data import RecordWarning, RPeaks, find_r_peaks
from ecgkern.demo._input import Recordings
from ecgkern.waveform import PHYSIO, Waves, gaussian_waves

Floats = NDArray[np.float64]

N_BINS = 10  # of the boxplots
LEAST_R_HEIGHT = 0.1  # mV; below it R tells nothing about the size of the other waves


class Summary(NamedTuple):
    """Median, 5 % and 95 % of the finite values, and how many there are."""

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Floats) -> "Summary":
        """Summarise; NaN where there is no value."""
        finite = values[np.isfinite(values)]
        if not finite.size:
            return cls(np.nan, np.nan, np.nan, 0)
        low, median, high = np.percentile(finite, [5, 50, 95])
        return cls(float(median), float(low), float(high), int(finite.size))


@dataclass(frozen=True, eq=False)
class Synthesis:
    """Recordings with their R peaks, and the synthetic ECGs at these."""

    recordings: Recordings
    r_peaks: RPeaks
    waves: Waves  # one set per beat, heights as in the preset
    signals: NDArray[np.float32]  # (n_records, length), mV
    scale: Floats  # (n_records,), what the preset's heights were multiplied by
    n_low: int  # records whose R peak is lower than LEAST_R_HEIGHT
    share_widened: float  # of the waves, to one sample
    backend: str

    @cached_property
    def heart_rate(self) -> Floats:
        """Mean heart rate of each record in beats per minute."""
        return heart_rates(self.r_peaks, self.recordings.fs)

    @cached_property
    def rr(self) -> list[Floats]:
        """RR intervals of each record in ms."""
        return rr_intervals(self.r_peaks, self.recordings.fs)

    @cached_property
    def found(self) -> RPeaks:
        """R peaks that NeuroKit2 finds in the synthetic ECGs."""
        return _find(self.signals, self.recordings.fs)

    @cached_property
    def share_found(self) -> float:
        """Share of the R peaks put in that are found again within one sample."""
        pairs = zip(self.r_peaks.rows(), self.found.rows(), strict=True)
        hits = [np.abs(put[:, None] - got).min(axis=1, initial=np.inf) <= 1 for put, got in pairs]
        return float(np.concatenate(hits).mean())

    @cached_property
    def correlation(self) -> Floats:
        """Pearson correlation of each record with its synthetic ECG."""
        x, y = (rows - rows.mean(axis=1, keepdims=True) for rows in (self.recordings.signals, self.signals))
        with np.errstate(invalid="ignore"):  # a flat record has none
            r: Floats = (x * y).sum(axis=1) / np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
        return r


def find_beats(recordings: Recordings, advance: Advance) -> tuple[Recordings, RPeaks]:
    """Find R peaks, and leave out the records that have no heart rate."""
    r_peaks = _find(recordings.signals, recordings.fs, advance)
    valid = [bool(np.isfinite(signal).all()) for signal in recordings.signals]
    kept: NDArray[np.bool_] = np.diff(r_peaks.row_offsets) >= 2
    reasons = ["NeuroKit2 finds fewer than two R peaks" if ok else "has samples marked as invalid" for ok in valid]
    rows = [row for row, ok in zip(r_peaks.rows(), kept.tolist(), strict=True) if ok]
    return recordings.keep(kept, reasons), RPeaks.from_list(rows)


def synthesise(recordings: Recordings, r_peaks: RPeaks, backend: str | None) -> Synthesis:
    """Place the waves of `PHYSIO` at each R peak, at the mean heart rate of the record.

    Widths are at least one sample, for narrower waves would not be resolved. Each synthetic record is then multiplied
    by one number, so that its R peaks are as high above the median as those of the recording.
    """
    fs = recordings.fs
    beats = np.diff(r_peaks.row_offsets)
    natural = PHYSIO.at_heart_rate(np.repeat(heart_rates(r_peaks, fs), beats))
    waves = replace(natural, width=np.maximum(natural.width, 1 / fs))
    signals = gaussian_waves(
        r_peaks.values, row_offsets=r_peaks.row_offsets, fs=fs, length=recordings.length, waves=waves, backend=backend
    )
    recorded = r_heights(recordings.signals, r_peaks)
    scale = np.maximum(recorded, LEAST_R_HEIGHT) / r_heights(signals, r_peaks)
    signals *= scale[:, None].astype(np.float32)
    return Synthesis(
        recordings,
        r_peaks,
        waves,
        signals,
        scale,
        n_low=int((recorded < LEAST_R_HEIGHT).sum()),
        share_widened=float((natural.width < waves.width).mean()),
        backend=backend or available_backends()[0],
    )


def available_backends() -> list[str]:
    """Return the backends that run here on host arrays, the default first."""
    return [name for name, backend in ecgkern.backends().items() if backend.available and name != "cuda"]


def threads_of(backend: str) -> int:
    """Return the number of threads that a backend uses."""
    return 1 if backend == "numpy" else ecgkern.get_num_threads()


def heart_rates(r_peaks: RPeaks, fs: float) -> Floats:
    """Mean heart rate of each record in beats per minute."""
    return np.array([60_000 / rr.mean() for rr in rr_intervals(r_peaks, fs)])


def rr_intervals(r_peaks: RPeaks, fs: float) -> list[Floats]:
    """RR intervals of each record in ms."""
    return [np.diff(row) * 1000 / fs for row in r_peaks.rows()]


def r_heights(signals: NDArray[np.float32], r_peaks: RPeaks) -> Floats:
    """Median height of each record's R peaks above the record's median, in mV."""
    peaks = [row.astype(int) for row in r_peaks.rows()]
    return np.array([np.median(y[row]) - np.median(y) for y, row in zip(signals, peaks, strict=True)], np.float64)


def count_at_samples(r_peaks: RPeaks, length: int) -> NDArray[np.int64]:
    """How many R peaks lie at each sample, over all records."""
    return np.bincount(r_peaks.values.astype(np.int64), minlength=length)


def temporal_bins(r_peaks: RPeaks, length: int) -> list[Floats]:
    """R peaks in each tenth of the record, over all records."""
    tenth = (r_peaks.values * N_BINS // length).astype(int)
    return [r_peaks.values[tenth == k] for k in range(N_BINS)]


def bin_edges(length: int) -> list[int]:
    """First sample of each tenth, and the length."""
    return [-(-length * k // N_BINS) for k in range(N_BINS + 1)]


def _find(signals: NDArray[np.float32], fs: float, advance: Advance | None = None) -> RPeaks:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordWarning)  # a record without peaks is listed in the report
        return find_r_peaks(signals, fs, on_error="skip", progress=advance or False)
