"""What NeuroKit2 says of records, signal quality and R peaks, beside those that the model was trained on."""

import json
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecgkern import _page, stats
from ecgkern._progress import Advance
from ecgkern.data import RecordWarning, find_r_peaks
from ecgkern.generate._sampler import GenerateError, Signals

QUALITIES = ("Excellent", "Barely acceptable", "Unacceptable")  # as NeuroKit2 writes them
SHORTEST = 3.0  # seconds; NeuroKit2's detector says nothing of the first 0.3 s, and its filters need some beats


class Look(NamedTuple):
    """What NeuroKit2 finds in some records.

    Attributes
    ----------
    labels : tuple of str
        Signal quality of each, one of `QUALITIES`.
    r_peaks : list of ndarray
        R peaks of each in samples; none where it finds none.
    length : int
        Samples of a record.
    fs : float
        Sampling rate in Hz.
    """

    labels: tuple[str, ...]
    r_peaks: list[NDArray[np.float64]]
    length: int
    fs: float

    @property
    def rr(self) -> NDArray[np.float64]:
        """All RR intervals in ms."""
        return np.concatenate([np.empty(0), *(np.diff(row) * 1000 / self.fs for row in self.r_peaks)])

    @property
    def positions(self) -> NDArray[np.float64]:
        """All R peaks, in samples from the start of their record."""
        return np.concatenate([np.empty(0), *self.r_peaks])


class Comparison(NamedTuple):
    """Synthetic records beside those that the model was trained on; a table when it is printed.

    Attributes
    ----------
    synthetic : Look
    real : Look or None
    rr_ks, rr_wasserstein, position_ks, position_wasserstein : float
        Kolmogorov-Smirnov statistic and Wasserstein distance (ms; samples) of RR intervals and of the places of R peaks
        in the record. NaN without reference or R peaks. No p-value: the intervals of one record depend on each other.
    """

    synthetic: Look
    real: Look | None
    rr_ks: float = np.nan
    rr_wasserstein: float = np.nan
    position_ks: float = np.nan
    position_wasserstein: float = np.nan

    def __str__(self) -> str:
        sides = [side for side in (self.synthetic, self.real) if side]
        lines = [("", *(("synthetic", "reference")[: len(sides)]))]
        lines += [("records looked at", *(str(len(side.labels)) for side in sides))]
        for label in QUALITIES:
            lines += [(f"  {label}", *(str(side.labels.count(label)) for side in sides))]
        lines += [("  with two R peaks", *(str(sum(len(row) > 1 for row in side.r_peaks)) for side in sides))]
        lines += [("RR, median (5 to 95 %), ms", *(_spread(side.rr) for side in sides))]
        if self.real:
            for name, value in (
                ("RR, Kolmogorov-Smirnov", f"{self.rr_ks:.3f}"),
                ("RR, Wasserstein, ms", f"{self.rr_wasserstein:.1f}"),
                ("place of R, Kolmogorov-Smirnov", f"{self.position_ks:.3f}"),
                ("place of R, Wasserstein, samples", f"{self.position_wasserstein:.1f}"),
            ):
                lines.append((name, value.replace("nan", "-"), ""))
        return "\n".join(f"{name:<34}" + "".join(f"{cell:>20}" for cell in cells) for name, *cells in lines)


def _spread(values: NDArray[np.float64]) -> str:
    if not values.size:
        return "-"
    low, median, high = np.percentile(values, [5, 50, 95])
    return f"{median:.0f} ({low:.0f} to {high:.0f})"


def quality_labels(signals: Signals, fs: float) -> list[str]:
    """Judge the quality of one-lead ECGs as NeuroKit2 does.

    Parameters
    ----------
    signals : ndarray, shape (n, length)
        ECGs in mV.
    fs : float
        Sampling rate in Hz.

    Returns
    -------
    list of str
        "Excellent", "Barely acceptable" or "Unacceptable", the last also where NeuroKit2 fails, as on a flat line.

    Notes
    -----
    Zhao & Zhang (2018), Front. Physiol. 9, 727: shares of power and kurtosis, by the rules "simple" of
    NeuroKit2. They were made for recordings; a clean synthetic wave of low kurtosis can be called barely acceptable.
    """
    import neurokit2

    labels = []
    for signal in signals.astype(np.float64):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                cleaned = neurokit2.ecg_clean(signal, sampling_rate=fs)
                label = neurokit2.ecg_quality(cleaned, sampling_rate=fs, method="zhao2018")
            except Exception:  # whatever numpy, scipy or pandas says of a flat or short record
                label = QUALITIES[-1]
        labels.append(str(label))
    return labels


def look(signals: Signals, fs: float, advance: Advance = lambda *_: None) -> Look:
    """Find R peaks and quality of one-lead ECGs.

    Parameters
    ----------
    signals : ndarray, shape (n, length)
        ECGs in mV.
    fs : float
        Sampling rate in Hz.
    advance : callable, optional
        Called with (done, total).
    """
    labels: list[str] = []
    rows: list[NDArray[np.float64]] = []
    for done, signal in enumerate(signals, start=1):
        labels += quality_labels(signal[None], fs)
        rows += find_peaks(signal[None], fs)
        advance(done, len(signals))
    return Look(tuple(labels), rows, signals.shape[1], fs)


def find_peaks(signals: Signals, fs: float) -> list[NDArray[np.float64]]:
    """Return the R peaks of one-lead ECGs in samples, none where NeuroKit2 finds none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordWarning)  # such records are counted
        return find_r_peaks(signals, fs, on_error="skip").rows()


def compare(synthetic: Look, real: Look | None = None) -> Comparison:
    """Compare RR intervals and places of R peaks.

    Parameters
    ----------
    synthetic, real : Look
        What was found in each.
    """
    numbers: list[float] = []
    for name in ("rr", "positions"):
        u, v = (np.empty(0) if side is None else getattr(side, name) for side in (synthetic, real))
        if u.size and v.size:
            numbers += [float(stats.ks_2samp(u, v).statistic), float(stats.wasserstein_distance(u, v))]
        else:
            numbers += [np.nan, np.nan]
    return Comparison(synthetic, real, *numbers)


def look_at_both(synthetic: Signals, real: Signals | None, fs: float, advance: Advance) -> Comparison:
    """Look at synthetic records, and at those that the model was trained on."""
    total = len(synthetic) + (0 if real is None else len(real))
    first = look(synthetic, fs, lambda done, _: advance(done, total))
    second = None if real is None else look(real, fs, lambda done, _: advance(len(synthetic) + done, total))
    return compare(first, second)


def reference(path: Path, fs: float, limit: int) -> Signals:
    """Read one lead of at most so many records of a .npz file of signals."""
    try:
        with np.load(path, allow_pickle=False) as file:
            facts = json.loads(str(file["facts"]))
            x, leads, rate = file["x"], list(facts["leads"]), float(facts["fs"])
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except Exception as error:  # numpy, zipfile and json each have their own
        raise GenerateError(f"--reference {path} is no file of signals ({error})") from None
    if rate != fs:
        raise GenerateError(f"--reference {path} has {rate:g} Hz, but the model has {fs:g} Hz")
    return np.asarray(x[_page.spread(range(len(x)), limit), :, leads.index("II") if "II" in leads else 0])
