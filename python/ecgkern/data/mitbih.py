"""MIT-BIH Arrhythmia Database: half-hour two-lead ECGs with a label on every beat.

Moody and Mark (2001), The impact of the MIT-BIH Arrhythmia Database, IEEE Eng. Med. Biol. 20(3),
45-50; PhysioNet, doi:10.13026/C2F305.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecgkern.data._folder import resolve_folder
from ecgkern.data._records import (
    OnError,
    Progress,
    Record,
    RecordCollection,
    RecordError,
    as_tuple,
    read_record,
    require,
)

# Beat symbols and the heartbeat classes of ANSI/AAMI EC57. The fifteen that MIT-BIH uses as in
# de Chazal, O'Dwyer and Reilly (2004), IEEE Trans. Biomed. Eng. 51(7), 1196-1206; B, n and r as
# map2 of the WFDB library (ecgmap.h) has them; ? counted as unclassifiable. Some authors put the
# escape beats e and j in S. Every other symbol marks no beat, the flutter wave "!" included.
AAMI_CLASSES = {
    "N": "N",  # normal
    "L": "N",  # left bundle branch block
    "R": "N",  # right bundle branch block
    "B": "N",  # bundle branch block, unspecified
    "e": "N",  # atrial escape
    "j": "N",  # nodal (junctional) escape
    "n": "N",  # supraventricular escape
    "A": "S",  # atrial premature
    "a": "S",  # aberrated atrial premature
    "J": "S",  # nodal (junctional) premature
    "S": "S",  # supraventricular premature or ectopic
    "V": "V",  # premature ventricular contraction
    "E": "V",  # ventricular escape
    "r": "V",  # R-on-T premature ventricular contraction
    "F": "F",  # fusion of ventricular and normal
    "/": "Q",  # paced
    "f": "Q",  # fusion of paced and normal
    "Q": "Q",  # unclassifiable
    "?": "Q",  # not classified during learning
}

_HOW_TO_GET = '  wfdb.dl_database("mitdb", "mitdb")'


class Beats(NamedTuple):
    """The labelled beats of one record, in time order; three arrays of shape (n,).

    Attributes
    ----------
    sample : ndarray of int64
        Place of the beat, in samples from the start.
    symbol : ndarray of str
        MIT-BIH symbol.
    aami : ndarray of str
        AAMI EC57 class: N, S, V, F or Q.
    """

    sample: NDArray[np.int64]
    symbol: NDArray[np.str_]
    aami: NDArray[np.str_]


class Windows(NamedTuple):
    """Fixed-length windows about beats.

    Attributes
    ----------
    signal : ndarray, shape (n, window) or (n, window, n_leads), float32
        Signal in mV; the annotated sample is at ``round(before * fs)``.
    aami, symbol, record : ndarray of str, shape (n,)
        AAMI class, MIT-BIH symbol and record of each beat.
    sample : ndarray of int64, shape (n,)
        Place of the beat in its record.
    n_dropped : int
        Beats left out because their window would leave the record.
    """

    signal: NDArray[np.float32]
    aami: NDArray[np.str_]
    symbol: NDArray[np.str_]
    record: NDArray[np.str_]
    sample: NDArray[np.int64]
    n_dropped: int


class MITBIH(RecordCollection):
    """The MIT-BIH records that a folder holds.

    Parameters
    ----------
    root : path, optional
        Folder with the records, or its parent with the data in ``mitdb/``. By default the
        environment variable ``ECGKERN_DATA``.
    on_error : {"raise", "skip"}
        What iteration and `windows` do with a record whose files are missing or damaged: stop
        with its `RecordError`, or leave it out, list it in `skipped` and warn at the end.

    Attributes
    ----------
    root : Path
        The folder in use.
    names : tuple of str
        The records: those of the file ``RECORDS`` if there is one, else one for each header.
    skipped : list of Skipped
        The records (name, reason) that the latest run left out.

    Raises
    ------
    FileNotFoundError
        If the folder is not found; the message says how to get the data.

    Examples
    --------
    >>> beats = MITBIH().beats("100")  # doctest: +SKIP
    >>> len(beats.sample)  # doctest: +SKIP
    2273
    """

    database = "MIT-BIH"

    def __init__(self, root: str | os.PathLike[str] | None = None, *, on_error: OnError = "raise") -> None:
        super().__init__(on_error)
        self.root = resolve_folder(
            root,
            database="MIT-BIH Arrhythmia Database 1.0.0",
            subfolder="mitdb",
            marker="*.hea",
            get=_HOW_TO_GET,
        )
        self.names = _record_names(self.root)

    def __repr__(self) -> str:
        return f"<MITBIH {len(self)} records: {', '.join(self.names)}>"

    def _keys(self) -> tuple[str, ...]:
        return self.names

    def __getitem__(self, name: str) -> Record:
        """Read one record by its name, for example ``"100"``.

        Raises
        ------
        RecordError
            If the record is not there or cannot be read, whatever `on_error` says.
        """
        return self._read(name)

    def _read(self, name: str, leads: str | Sequence[str] | None = None) -> Record:
        if name not in self.names:
            raise RecordError(name, f"no such record in {self.root}; it has {', '.join(self.names)}")
        return read_record(self.root / name, leads=leads)

    def beats(self, name: str) -> Beats:
        """Read the beat labels of one record, without its rhythm and quality annotations.

        Parameters
        ----------
        name : str
            The record.

        Raises
        ------
        RecordError
            If the annotation file is missing or damaged.

        Notes
        -----
        An annotation file has no checksum and wfdb reads what is left of a cut one. That the file
        ends with WFDB's end mark and that the beats are in order is checked here.
        """
        path = self.root / name
        sample, symbol = _read_annotations(path)
        is_beat = np.isin(symbol, list(AAMI_CLASSES))
        sample, symbol = sample[is_beat], symbol[is_beat]
        if len(sample) and (sample[0] < 0 or np.any(np.diff(sample) < 0)):
            raise RecordError(name, f"{path}.atr is damaged: its beats are not in time order")
        aami = np.array([AAMI_CLASSES[mark] for mark in symbol.tolist()], dtype="U1")
        return Beats(sample, symbol, aami)

    def windows(
        self,
        names: str | Sequence[str] | None = None,
        *,
        before: float,
        after: float,
        lead: str | Sequence[str] = "MLII",
        progress: Progress = False,
    ) -> Windows:
        """Cut a window of fixed length about every beat.

        Parameters
        ----------
        names : str or sequence of str, optional
            Records; all by default.
        before, after : float
            Seconds before the annotated sample, and from it on. The window has
            ``round(before * fs) + round(after * fs)`` samples.
        lead : str or sequence of str
            One lead (the result has no lead axis) or several. All MIT-BIH records but 102 and 104
            have the default, MLII.
        progress : bool or callable
            True shows a progress bar; a callable is called with (done, total).

        Returns
        -------
        Windows
            Beats whose window would leave the record are dropped and counted.

        Raises
        ------
        RecordError
            If a record cannot be read or lacks the lead (left out with ``on_error="skip"``), or
            if the sampling rate differs between records.
        ValueError
            If the window has no sample, or no record is left.
        """
        if not (0 <= before < np.inf and 0 <= after < np.inf):
            raise ValueError(f"before and after are seconds >= 0, got {before} and {after}")

        def read(name: str) -> tuple[Record, Beats]:
            return self._read(name, lead), self.beats(name)

        parts: list[Windows] = []
        fs: float | None = None
        wanted = self.names if names is None else as_tuple(names)
        for record, beats in self._read_each(wanted, read, progress=progress):
            fs = fs or record.fs
            if record.fs != fs:
                raise RecordError(record.name, f"sampled at {record.fs:g} Hz, those before it at {fs:g} Hz")
            parts.append(_cut(record, beats, round(before * fs), round(after * fs)))
        if not parts:
            raise ValueError(f"no record is left to cut: {self.skipped}")
        return _join(parts, squeeze=isinstance(lead, str))


def _record_names(root: Path) -> tuple[str, ...]:
    index = root / "RECORDS"
    if index.is_file():
        return tuple(index.read_text(encoding="ascii", errors="replace").split())
    return tuple(sorted(header.stem for header in root.glob("*.hea")))


def _read_annotations(path: Path) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
    """Sample and symbol of every annotation in ``path.atr``."""
    file = path.with_name(path.name + ".atr")
    wfdb = require("wfdb")
    try:
        complete = file.read_bytes().endswith(b"\0\0")  # WFDB's end mark
        annotations = wfdb.rdann(str(path), "atr")
    except FileNotFoundError as error:
        raise RecordError(path.name, f"{file} is missing; download it again") from error
    except Exception as error:  # as with signals, wfdb meets damage with almost any error
        raise RecordError(
            path.name,
            f"{file} is damaged (wfdb says {type(error).__name__}: {error}); download it again",
        ) from error
    if not complete:
        raise RecordError(path.name, f"{file} is truncated; download it again")
    # An undefined code comes as NaN, which numpy would turn into "n", a beat.
    symbols = [mark if isinstance(mark, str) else "" for mark in annotations.symbol]
    return annotations.sample, np.array(symbols, dtype="U1")


def _cut(record: Record, beats: Beats, n_before: int, n_after: int) -> Windows:
    if n_before + n_after == 0:
        raise ValueError(f"before and after are less than a sample at {record.fs:g} Hz")
    start = beats.sample - n_before
    inside = (start >= 0) & (beats.sample + n_after <= len(record.signal))
    rows = start[inside, np.newaxis] + np.arange(n_before + n_after)
    n_inside = int(np.count_nonzero(inside))
    return Windows(
        signal=record.signal[rows],
        aami=beats.aami[inside],
        symbol=beats.symbol[inside],
        record=np.full(n_inside, record.name),
        sample=beats.sample[inside],
        n_dropped=len(inside) - n_inside,
    )


def _join(parts: list[Windows], *, squeeze: bool) -> Windows:
    signal = np.concatenate([part.signal for part in parts])
    return Windows(
        signal=signal[..., 0] if squeeze else signal,
        aami=np.concatenate([part.aami for part in parts]),
        symbol=np.concatenate([part.symbol for part in parts]),
        record=np.concatenate([part.record for part in parts]),
        sample=np.concatenate([part.sample for part in parts]),
        n_dropped=sum(part.n_dropped for part in parts),
    )
