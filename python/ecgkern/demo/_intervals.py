"""PR, QRS, QT and RR intervals: of the recordings, of the synthetic ECGs, and as the waves put them in.

The first two are read in the same way, by NeuroKit2's wavelet delineation (Makowski et al., Behav. Res. 53 (2021)
1689), which widens what it finds by its own smoothing. The third is the model's own, a wave reaching two widths to each
side.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkern._page import spread
from ecgkern._progress import Advance
from ecgkern.data import Skipped
from ecgkern.data._records import require
from ecgkern.demo._analysis import Floats, Summary, Synthesis
from ecgkern.waveform import PHYSIO, Waves

NAMES = ("PR", "QRS", "QT", "RR")
HEALTHY = {"PR": (120, 200), "QRS": (80, 120), "QT": (350, 450)}  # ms, adults at rest near 60 bpm
MOST_RECORDS = 100  # a delineation takes about 40 ms
# At 100 Hz the delineated QRS onset jumps: the median PR of synthetic PTB-XL records is 60 ms, at 500 Hz 146. Sampled
# at 500 Hz or interpolated to it, medians agree: synthetic ones to 2 ms, recorded ones to 4 (PR, QRS) and 12 ms (QT).
DELINEATION_FS = 500  # Hz, at least
_BOUNDS = ("P_Onsets", "R_Onsets", "R_Offsets", "T_Offsets")
REACH = 2  # widths that a Gaussian wave is taken to extend to each side


@dataclass(frozen=True, eq=False)
class Intervals:
    """Median intervals of each record in ms, shape (n_records, 4), NaN where NeuroKit2 finds none."""

    recorded: Floats
    synthetic: Floats
    put_in: Floats
    failed: tuple[Skipped, ...]

    def rows(self) -> dict[str, dict[str, Summary]]:
        """Summaries by interval, then by kind: "recorded", "synthetic" or "put in"."""
        kinds = {"recorded": self.recorded, "synthetic": self.synthetic, "put in": self.put_in}
        return {name: {kind: Summary.of(v[:, k]) for kind, v in kinds.items()} for k, name in enumerate(NAMES)}


def measure(synthesis: Synthesis, advance: Advance) -> Intervals:
    """Measure the intervals of at most `MOST_RECORDS` records, evenly chosen."""
    chosen = spread(range(len(synthesis.recordings.names)), MOST_RECORDS)
    recorded, synthetic = np.full((2, len(chosen), len(NAMES)), np.nan)
    put_in = _put_in(synthesis)[chosen]
    peaks, found = synthesis.r_peaks.rows(), synthesis.found.rows()
    fs = synthesis.recordings.fs
    failed: list[Skipped] = []
    for row, i in enumerate(chosen):
        for kind, out, signal, its_own in (
            (synthesis.recordings.source.curve, recorded, synthesis.recordings.signals[i], peaks[i]),
            ("synthetic", synthetic, synthesis.signals[i], found[i]),
        ):
            if len(its_own) > 1:
                out[row, 3] = np.median(np.diff(its_own)) * 1000 / fs
            try:
                out[row, :3] = _delineate(signal, peaks[i], fs)
            except _DelineationError as error:
                failed.append(Skipped(f"{synthesis.recordings.names[i]}, {kind}", str(error)))
        advance(row + 1, len(chosen))
    return Intervals(recorded, synthetic, put_in, tuple(failed))


def of_waves(waves: Waves) -> Floats:
    """PR, QRS and QT in ms that the waves themselves have, shape (..., 3)."""
    centre = {name: waves.delay[..., k] for k, name in enumerate(waves.name)}
    reach = {name: REACH * waves.width[..., k] for k, name in enumerate(waves.name)}
    p_onset, qrs_onset = centre["P"] - reach["P"], centre["Q"] - reach["Q"]
    qrs_end, t_end = centre["S"] + reach["S"], centre["T"] + reach["T"]
    return 1000 * np.stack([qrs_onset - p_onset, qrs_end - qrs_onset, t_end - qrs_onset], axis=-1)


def at_60_bpm() -> dict[str, float]:
    """Return the intervals of the preset at 60 beats per minute, in ms."""
    return dict(zip(NAMES, [*of_waves(PHYSIO).tolist(), 1000.0], strict=True))


def _put_in(synthesis: Synthesis) -> Floats:
    first_beats = synthesis.r_peaks.row_offsets[:-1]  # the beats of a record share its waves
    return np.column_stack([of_waves(synthesis.waves)[first_beats], 60_000 / synthesis.heart_rate])


class _DelineationError(Exception):
    """Why a record could not be delineated."""


def _delineate(signal: NDArray[np.float32], r_peaks: Floats, fs: float) -> Floats:
    """Median PR, QRS and QT of one record in ms."""
    neurokit: Any = require("neurokit2")
    # Not cleaned before: NeuroKit2's filter widens QRS, in median from 84 to 102 ms (synthetic), 108 to 182 (PTB-XL).
    ecg, peaks, rate = signal.astype(np.float64), r_peaks.astype(int), fs
    if fs < DELINEATION_FS:
        rate = DELINEATION_FS
        ecg = neurokit.signal_resample(ecg, sampling_rate=fs, desired_sampling_rate=rate)
        peaks = _highest_near(ecg, np.round(r_peaks * rate / fs).astype(int), round(rate / fs))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pandas and of empty slices inside NeuroKit2
        try:
            _, waves = neurokit.ecg_delineate(ecg, peaks, sampling_rate=rate, method="dwt")
        except Exception as error:  # it fails inside numpy, scipy or pandas
            raise _DelineationError(f"NeuroKit2 fails with {type(error).__name__}: {error}") from error
        p, q, s, t = (np.array(waves[f"ECG_{key}"], np.float64) for key in _BOUNDS)
        if not p.size == q.size == s.size == t.size:  # it drops bounds that fall on sample 0
            raise _DelineationError("NeuroKit2 finds different numbers of waves")
        medians: Floats = np.nanmedian([q - p, s - q, t - q], axis=1) * 1000 / rate
    return medians


def _highest_near(signal: Floats, places: NDArray[np.int64], reach: int) -> NDArray[np.int64]:
    """Move each place to the highest sample within `reach`."""
    window = np.clip(places[:, None] + np.arange(-reach, reach + 1), 0, len(signal) - 1)
    highest: NDArray[np.int64] = window[np.arange(len(places)), signal[window].argmax(axis=1)]
    return highest
