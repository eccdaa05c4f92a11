"""What is measured of each record by itself: spectra, heart rate and its variability, limb leads, amplitudes.

The powers in octave bands do not depend on where in a record the beats lie, which signals sample by sample do.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkern._progress import Advance
from ecgkern.data import RecordWarning, find_r_peaks, to_12_leads
from ecgkern.evaluate._input import Pair, Side, Signals

Floats = NDArray[np.float64]

SEGMENT = 256  # samples of a Welch segment, as in ecgkern.stats.psd_distance
LEAST_POWER = 1e-12  # mV², below anything that an electrode gives; the logarithm of a flat lead
RHYTHM = {"heart rate": "beats/min", "SDNN": "ms", "RMSSD": "ms"}
DERIVED_LEADS = ("III", "aVR", "aVL", "aVF")
PERCENTILES = (0, 1, 50, 99, 100)


@dataclass(frozen=True, eq=False)
class Features:
    """What is known of each record of one side."""

    signals: Signals  # (n, leads, samples)
    spectra: Floats  # (n, leads, frequencies), power density in mV²/Hz
    bands: Floats  # (n, leads x bands), log10 of the power in mV²
    rhythm: Floats | None  # (n, 3), as RHYTHM; NaN where there are too few R peaks, None if Pair.without_rhythm
    patients: NDArray[Any] | None

    def __len__(self) -> int:
        return len(self.signals)

    @property
    def flat(self) -> Signals:
        """The signals as rows."""
        return self.signals.reshape(len(self.signals), -1)

    def take(self, rows: NDArray[np.int64]) -> "Features":
        """Return those of some of the records."""
        return Features(
            self.signals[rows],
            self.spectra[rows],
            self.bands[rows],
            None if self.rhythm is None else self.rhythm[rows],
            None if self.patients is None else self.patients[rows],
        )


def measure(side: Side, pair: Pair, advance: Advance) -> Features:
    """Measure each record of a side."""
    frequencies, spectra = spectra_of(side.signals, pair.fs)
    rhythm = None
    if pair.rhythm_lead is not None and not pair.without_rhythm:
        rhythm = rhythms(side.signals[:, pair.rhythm_lead], pair.fs, advance)
    return Features(side.signals, spectra, band_powers(frequencies, spectra), rhythm, side.patients)


def spectra_of(signals: Signals, fs: float) -> tuple[Floats, Floats]:
    """Frequencies above 0 and Welch's estimate of each lead's power density there."""
    from scipy.signal import welch

    frequencies, spectra = welch(signals, fs=fs, nperseg=min(SEGMENT, signals.shape[-1]), axis=-1)
    return frequencies[1:], np.asarray(spectra[..., 1:], np.float64)


def octaves(frequencies: Floats) -> list[NDArray[np.bool_]]:
    """The frequencies of each octave, from the lowest to the one that ends with the last frequency."""
    high = float(frequencies[-1])
    bands: list[NDArray[np.bool_]] = []
    while True:
        inside = (frequencies > high / 2) & (frequencies <= high)
        if not inside.any():
            return bands[::-1]
        bands.append(inside)
        high /= 2


def band_powers(frequencies: Floats, spectra: Floats) -> Floats:
    """log10 of the power of each lead in each octave, (n, leads x bands)."""
    width = frequencies[0]  # they are the multiples of the first
    powers = np.stack([spectra[..., inside].sum(axis=-1) * width for inside in octaves(frequencies)], axis=-1)
    return np.asarray(np.log10(np.maximum(powers, LEAST_POWER))).reshape(len(spectra), -1)


def rhythms(signals: Signals, fs: float, advance: Advance) -> Floats:
    """Mean heart rate, SDNN and RMSSD of each record, (n, 3)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordWarning)  # the report counts the records without
        peaks = find_r_peaks(signals, fs, on_error="skip", progress=advance)
    return np.array([_rhythm(np.diff(row) * 1000 / fs) for row in peaks.rows()])


def _rhythm(rr: Floats) -> Sequence[float]:
    """Heart rate in beats/min, SDNN and RMSSD in ms of RR intervals in ms (Task Force, Circulation 93 (1996) 1043)."""
    if rr.size < 2:
        return (np.nan, np.nan, np.nan)
    return (60_000 / rr.mean(), rr.std(ddof=1), float(np.sqrt((np.diff(rr) ** 2).mean())))


def limb_leads(signals: Signals, leads: Sequence[str]) -> dict[str, Floats]:
    """For each of III, aVR, aVL and aVF its RMS distance from what I and II make of it, record by record."""
    if not {"I", "II"} <= set(leads):
        return {}
    two = signals[:, [leads.index("I"), leads.index("II")]].astype(np.float64)
    names = ("I", "II", *DERIVED_LEADS)  # the order of to_12_leads
    derived = dict(zip(names, np.moveaxis(to_12_leads(two, ("I", "II"), axis=1), 1, 0), strict=True))
    return {
        lead: np.sqrt(((signals[:, leads.index(lead)] - derived[lead]) ** 2).mean(axis=1))
        for lead in DERIVED_LEADS
        if lead in leads
    }


def amplitudes(signals: Signals) -> Floats:
    """Percentiles of all values of each lead, (leads, 5), as PERCENTILES."""
    by_lead = np.moveaxis(signals, 1, 0).reshape(signals.shape[1], -1)
    return np.asarray(np.percentile(by_lead, PERCENTILES, axis=1).T, np.float64)


def heights(signals: Signals) -> Floats:
    """Peak to peak of each record and lead, (n, leads)."""
    return np.asarray(np.ptp(signals, axis=2), np.float64)
