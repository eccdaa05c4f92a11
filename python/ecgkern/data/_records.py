"""One ECG record in millivolts, read through wfdb, and the rule for records that cannot be read.

Everything that wfdb can stumble over comes out as a `RecordError` that begins with the record's
name, so that a run over thousands of files can report the bad ones and go on.
"""

from __future__ import annotations

import importlib
import os
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ecgkern.data.leads import canonical_lead

OnError = Literal["raise", "skip"]
Progress = bool | Callable[[int, int], None]

Key = TypeVar("Key")
Value = TypeVar("Value")

_MILLIVOLTS = {"nv": 1e-6, "uv": 1e-3, "mv": 1.0, "v": 1e3}
_MICROVOLT = re.compile(rb"/(\xb5|\xc2\xb5|\xce\xbc)V")  # micro sign (Latin-1, UTF-8), Greek mu
_SUFFIXES = {".hea", ".dat", ".mat"}


class RecordError(ValueError):
    """A record that cannot be used; the message begins with its name.

    Attributes
    ----------
    record : str
        Name of the record (or of the metadata file).
    reason : str
        What is wrong and what to do about it.
    """

    def __init__(self, record: str, reason: str) -> None:
        super().__init__(record, reason)
        self.record = record
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.record}: {self.reason}"


class RecordWarning(UserWarning):
    """Some records were left out of a run with ``on_error="skip"``."""


class Skipped(NamedTuple):
    """A record that a run left out, and why."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class Record:
    """One ECG recording.

    Attributes
    ----------
    name : str
        Name of the record.
    signal : ndarray, shape (length, n_leads), float32
        Signal in mV. Samples that the file marks as invalid are NaN.
    fs : float
        Sampling rate in Hz.
    leads : tuple of str
        Lead names; standard leads are spelled as in `ecgkern.data.LEADS_12`.

    Examples
    --------
    >>> record = Record("made up", np.zeros((500, 2), np.float32), 250.0, ("I", "II"))
    >>> record.duration, record.lead("ii").shape
    (2.0, (500,))
    """

    name: str
    signal: NDArray[np.float32]
    fs: float
    leads: tuple[str, ...]

    @property
    def duration(self) -> float:
        """Length of the recording in seconds."""
        return len(self.signal) / self.fs

    def lead(self, name: str) -> NDArray[np.float32]:
        """One lead, shape (length,), in mV: a view; of leads with the same name the first.

        Raises
        ------
        RecordError
            If the record has no such lead; the message lists those it has.
        """
        return self.signal[:, _columns(self.name, self.leads, [name])[0]]


def read_record(
    path: str | os.PathLike[str], *, leads: str | Sequence[str] | None = None, verify: bool = True
) -> Record:
    """Read one WFDB record.

    Parameters
    ----------
    path : path
        The record: its header's path with or without ``.hea``.
    leads : str or sequence of str, optional
        Leads to keep, in this order, whatever their case. All by default.
    verify : bool
        Compare each lead with the checksum in the header, which wfdb itself does not do: without
        it a flipped bit or a signal file of another record goes unnoticed.

    Returns
    -------
    Record
        Signal in mV, float32. Samples that WFDB marks as invalid are NaN.

    Raises
    ------
    RecordError
        If a file is missing, damaged or truncated, a lead is not there, or a unit is no voltage.
    ImportError
        If wfdb is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import wfdb
    >>> from ecgkern.data import read_record
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     wfdb.wrsamp("one", fs=100, units=["mV"], sig_name=["II"], p_signal=np.zeros((500, 1)), fmt=["16"],
    ...                 adc_gain=[1000.0], baseline=[0], write_dir=folder)
    ...     record = read_record(f"{folder}/one")
    >>> record.signal.shape, record.fs, record.leads
    ((500, 1), 100.0, ('II',))
    """
    path = Path(path).expanduser()
    if path.suffix in _SUFFIXES:
        path = path.with_suffix("")
    raw = _read_wfdb(path)
    if raw.d_signal is None:
        raise RecordError(path.name, f"{path}.hea describes no signal")
    if not raw.fs > 0:
        raise RecordError(path.name, f"{path}.hea gives a sampling rate of {raw.fs} Hz")
    names = tuple(canonical_lead(name or f"signal {k}") for k, name in enumerate(raw.sig_name))
    columns = list(range(len(names))) if leads is None else _columns(path.name, names, leads)
    if verify:
        _verify_checksums(raw, path, names)

    units = _units(raw, path)
    scale = np.array([_to_millivolts(path.name, units[k], names[k]) for k in columns])
    signal = (raw.dac()[:, columns] * scale).astype(np.float32)
    return Record(path.name, signal, float(raw.fs), tuple(names[k] for k in columns))


def _read_wfdb(path: Path) -> Any:
    wfdb = require("wfdb")
    try:
        raw = wfdb.rdrecord(str(path), physical=False, m2s=False)
    except FileNotFoundError as error:
        raise RecordError(path.name, f"{error.filename or path} is missing; download the record again") from error
    except PermissionError as error:
        raise RecordError(path.name, f"{error.filename or path} may not be read: {error.strerror}") from error
    except Exception as error:
        # wfdb has no error of its own: damage shows as ValueError, IndexError, KeyError, OSError,
        # RuntimeError or plain Exception, depending on where the bytes stop making sense.
        raise RecordError(
            path.name,
            f"{path} is damaged or truncated (wfdb says {type(error).__name__}: {error}); download the record again",
        ) from error
    if not isinstance(raw, wfdb.Record):
        raise RecordError(path.name, f"{path}.hea joins several segments; read them one by one")
    return raw


def _verify_checksums(raw: Any, path: Path, names: tuple[str, ...]) -> None:
    if any(frames != 1 for frames in raw.samps_per_frame):
        return  # wfdb has averaged the frames, so the sum of the stored samples is gone
    for name, stored, found in zip(names, raw.checksum, raw.calc_checksum(), strict=True):
        # Headers give the 16-bit sum signed or unsigned, or leave it out.
        if stored is not None and (int(stored) - found) % 65536:
            raise RecordError(
                path.name,
                f"the signal of {path} is damaged: lead {name} does not match the checksum in the "
                "header; download the record again",
            )


def _units(raw: Any, path: Path) -> list[str]:
    """Units as the header has them: wfdb drops what is not ASCII, so its V may be a microvolt."""
    if "V" not in raw.units:
        return list(raw.units)
    lines = path.with_name(f"{path.name}.hea").read_bytes().splitlines()
    _, *signals = (line for line in lines if line.strip() and not line.lstrip().startswith(b"#"))
    return [
        "uV" if unit == "V" and _MICROVOLT.search(line) else unit for unit, line in zip(raw.units, signals, strict=True)
    ]


def _to_millivolts(record: str, unit: str, lead: str) -> float:
    try:
        return _MILLIVOLTS[unit.casefold()]
    except KeyError:
        raise RecordError(
            record, f"lead {lead} is in {unit!r}, which is no voltage; choose others with leads="
        ) from None


def _columns(record: str, names: tuple[str, ...], wanted: str | Sequence[str]) -> list[int]:
    """Place of each wanted lead in `names`."""
    folded = [name.casefold() for name in names]
    columns = []
    for lead in as_tuple(wanted):
        if lead.strip().casefold() not in folded:
            raise RecordError(record, f"no lead {lead!r}; it has {', '.join(names)}")
        columns.append(folded.index(lead.strip().casefold()))
    return columns


class RecordCollection(ABC):
    """Records of one database, read one at a time, and what to do with unreadable ones.

    Attributes
    ----------
    on_error : {"raise", "skip"}
        Whether a run over the records stops at an unreadable one or leaves it out.
    skipped : list of Skipped
        What the latest run left out.
    """

    database: ClassVar[str]

    def __init__(self, on_error: OnError) -> None:
        self.on_error: OnError = check_on_error(on_error)
        self.skipped: list[Skipped] = []

    @abstractmethod
    def _keys(self) -> Sequence[Any]: ...

    @abstractmethod
    def __getitem__(self, key: Any) -> Record: ...

    def __len__(self) -> int:
        return len(self._keys())

    def __iter__(self) -> Iterator[Record]:
        return self._read_each(self._keys(), self.__getitem__)

    def _read_each(
        self, keys: Sequence[Key], read: Callable[[Key], Value], *, progress: Progress = False
    ) -> Iterator[Value]:
        """Yield ``read(key)`` for each key, leaving out what `on_error` allows."""
        self.skipped = skipped = []
        for key in track(keys, progress, self.database):
            try:
                value = read(key)
            except RecordError as error:
                if self.on_error == "raise":
                    raise
                skipped.append(Skipped(error.record, error.reason))
            else:
                yield value
        if skipped:
            warn_skipped(self.database, [f"{name}: {why}" for name, why in skipped], len(keys))


def check_on_error(on_error: OnError) -> OnError:
    """Return `on_error`, or raise ValueError if it is not "raise" or "skip"."""
    if on_error not in ("raise", "skip"):
        raise ValueError(f'on_error must be "raise" or "skip", got {on_error!r}')
    return on_error


def warn_skipped(what: str, messages: list[str], total: int) -> None:
    """Give one warning for all that a run left out, with the first reason in words."""
    more = f" (and {len(messages) - 1} more)" if len(messages) > 1 else ""
    warnings.warn(
        f"{what}: {len(messages)} of {total} records left out. {messages[0]}{more}",
        RecordWarning,
        stacklevel=3,
    )


def track(items: Sequence[Value], progress: Progress, label: str) -> Iterator[Value]:
    """Yield the items, and report (done, total) to a callable or, if True, as a progress bar."""
    if not callable(progress):
        yield from require("tqdm").tqdm(items, desc=label, unit="record") if progress else items
        return
    for done, item in enumerate(items, start=1):
        yield item
        progress(done, len(items))


def as_tuple(names: str | Sequence[str]) -> tuple[str, ...]:
    """One name or several, as a tuple; ValueError if there is none."""
    several = (names,) if isinstance(names, str) else tuple(names)
    if not several:
        raise ValueError("at least one name is needed, got none")
    return several


def require(module: str) -> Any:
    """Import an optional dependency, or say how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f'reading ECG data needs {module}: pip install "ecgkern[ecg]"', name=module) from error
