"""R peaks of many ECGs as one ragged array, found by NeuroKit2.

Records have different numbers of beats, so the peaks are kept flat with row offsets (CSR): the
peaks of record i are ``values[row_offsets[i]:row_offsets[i + 1]]``.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgkern import _validate
from ecgkern.data._records import (
    OnError,
    Progress,
    check_on_error,
    require,
    track,
    warn_skipped,
)

# The detectors that have both an `ecg_clean` and an `ecg_peaks` step in NeuroKit2 and need nothing
# beyond it.
METHODS = (
    "neurokit",
    "pantompkins1985",
    "hamilton2002",
    "elgendi2010",
    "engzeemod2012",
    "zong2003",
    "christov2004",
    "kalidas2017",
)


class RPeaks(NamedTuple):
    """R peaks of several records, ragged.

    Attributes
    ----------
    values : ndarray of float64, shape (n_peaks,)
        Places of the peaks in samples, record after record.
    row_offsets : ndarray of int64, shape (n_records + 1,)
        Where each record starts in `values`; the last entry is n_peaks.

    Examples
    --------
    >>> peaks = RPeaks.from_list([[10, 90], [], [50]])
    >>> peaks.row_offsets
    array([0, 2, 2, 3])
    >>> peaks.rows()[0]
    array([10., 90.])
    """

    values: NDArray[np.float64]
    row_offsets: NDArray[np.int64]

    @classmethod
    def from_list(cls, rows: Sequence[ArrayLike]) -> RPeaks:
        """Join one 1-D array of peaks for each record."""
        return cls(*_validate.ragged(list(rows), None, "rows"))

    @property
    def n_records(self) -> int:
        """Number of records, those without peaks included."""
        return len(self.row_offsets) - 1

    def rows(self) -> list[NDArray[np.float64]]:
        """One array of peaks for each record (views)."""
        return np.split(self.values, self.row_offsets[1:-1]) if self.n_records else []


def find_r_peaks(
    signals: ArrayLike | Sequence[ArrayLike],
    fs: float,
    *,
    method: str = "neurokit",
    on_error: OnError = "raise",
    progress: Progress = False,
) -> RPeaks:
    """Find the R peaks of one-lead ECGs with NeuroKit2.

    Parameters
    ----------
    signals : array_like, shape (n, length), or sequence of 1-D array_like
        ECGs, one lead each, in any voltage unit.
    fs : float
        Sampling rate in Hz, the same for all.
    method : str
        NeuroKit2's name of the detector, one of `METHODS`; used to clean and to detect.
    on_error : {"raise", "skip"}
        What to do with a record that has NaN or infinite samples, on which NeuroKit2 fails, or in
        which it finds no peak: stop, or leave its row empty and give one `RecordWarning` that
        names the records.
    progress : bool or callable
        True shows a progress bar; a callable is called with (done, total).

    Returns
    -------
    RPeaks
        Peaks in samples, one row a record, in the order of `signals`.

    Raises
    ------
    ValueError
        If an argument does not fit, or a record fails with ``on_error="raise"``; the message
        begins with the record's index.
    ImportError
        If neurokit2 is not installed.

    Notes
    -----
    Makowski et al. (2021), NeuroKit2, Behav. Res. 53, 1689-1696. Some detectors need more than
    100 Hz (engzeemod2012 filters at 48 to 52 Hz). The default detector never finds a peak in the first 0.3 s of a
    record, and in the last 0.3 s it sometimes finds one that is not there: what it says is returned unchanged.

    Examples
    --------
    >>> import numpy as np
    >>> from ecgkern.data import find_r_peaks
    >>> from ecgkern.waveform import gaussian_waves
    >>> ecg = gaussian_waves([np.arange(50.0, 500.0, 100.0)], fs=100.0, length=500)
    >>> find_r_peaks(ecg, 100.0).values.tolist()
    [50.0, 150.0, 250.0, 350.0, 450.0]
    """
    check_on_error(on_error)
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    fs = _validate.positive(fs, "fs", "Hz")
    neurokit = require("neurokit2")

    records = _as_records(signals)
    rows: list[NDArray[Any]] = []
    failed: dict[int, str] = {}
    for index, record in enumerate(track(records, progress, "R peaks")):
        try:
            rows.append(_peaks_of(record, fs, method, neurokit))
        except _NoPeaksError as error:
            if on_error == "raise":
                raise ValueError(f"record {index}: {error}") from error
            failed[index] = str(error)
            rows.append(np.empty(0))
    if failed:
        warn_skipped(f"R peaks, records {_some(list(failed))}", list(failed.values()), len(rows))
    return RPeaks.from_list(rows)


class _NoPeaksError(Exception):
    """Why a record has no peaks."""


def _as_records(signals: ArrayLike | Sequence[ArrayLike]) -> list[NDArray[Any]]:
    records = [np.asarray(signal) for signal in signals]  # type: ignore[union-attr]
    for index, record in enumerate(records):
        if record.ndim != 1:
            raise ValueError(
                f"signals must be (n, length) or a list of 1-D arrays; record {index} has shape "
                f"{record.shape}. Choose one lead, and give a single record as signal[None]"
            )
    return records


def _peaks_of(record: NDArray[Any], fs: float, method: str, neurokit: Any) -> NDArray[Any]:
    record = record.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(record))
    if len(bad):
        # NeuroKit2 would fill the gap and find peaks in what it made up.
        raise _NoPeaksError(f"sample {bad[0]} is {record[bad[0]]}; cut or fill the gap first")
    with warnings.catch_warnings():
        # It warns of what is checked here (no peaks) and of numpy and pandas usage.
        warnings.simplefilter("ignore")
        try:
            cleaned = neurokit.ecg_clean(record, sampling_rate=fs, method=method)
            _, found = neurokit.ecg_peaks(cleaned, sampling_rate=fs, method=method)
        except Exception as error:  # a short or flat record fails inside numpy, scipy or pandas
            raise _NoPeaksError(f"NeuroKit2 fails with {type(error).__name__}: {error}") from error
    peaks: NDArray[Any] = found["ECG_R_Peaks"]
    if not len(peaks):
        raise _NoPeaksError("NeuroKit2 finds no R peak")
    return peaks


def _some(indices: list[int]) -> str:
    return ", ".join(map(str, indices[:20])) + (", ..." if len(indices) > 20 else "")
