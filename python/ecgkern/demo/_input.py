"""Where the demo's ECGs come from: a folder of PTB-XL or MIT-BIH, else PhysioNet, else a simulation."""

import os
import queue
import threading
import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ecgkern._page import plural, readable, spread
from ecgkern._progress import Advance
from ecgkern.data import MITBIH, PTBXL, Record, RecordError, RecordWarning, Skipped
from ecgkern.data._folder import ENVIRONMENT_VARIABLE
from ecgkern.data._records import require
from ecgkern.demo import _simulate

Item = TypeVar("Item")

DEFAULT_RECORDS = 400
DURATION = 10  # seconds of a record; MIT-BIH's half hours are cut into pieces of this length
MITBIH_FS, MITBIH_LEAD = 360, "MLII"
STREAMED_IDS = range(1, 11)  # the ecg_ids asked for at PhysioNet
PATIENCE = 10.0  # seconds in all for PhysioNet to answer

_PHYSIONET = (
    'A. L. Goldberger et al., "PhysioBank, PhysioToolkit, and PhysioNet", Circulation 101(23), e215-e220 (2000)'
)


class DemoError(ValueError):
    """What the demo was asked for cannot be done."""


@dataclass(frozen=True)
class Source:
    """Where records come from and what to say of them."""

    name: str
    place: str
    licence: str = ""
    citations: tuple[str, ...] = ()
    doi: str = ""
    simulated: bool = False

    @property
    def curve(self) -> str:
        """What to call a record of this source in a legend."""
        return "simulated input" if self.simulated else "recorded"


@dataclass(frozen=True, eq=False)
class Recordings:
    """One-lead records of equal length, and those left out."""

    source: Source
    names: tuple[str, ...]
    signals: NDArray[np.float32]  # (n_records, length), mV
    fs: float  # Hz
    lead: str
    skipped: tuple[Skipped, ...] = ()

    @property
    def length(self) -> int:
        """Samples per record."""
        return int(self.signals.shape[1])

    @property
    def headline(self) -> str:
        """One line on what the input is."""
        what = f"{plural(len(self.names), 'record')} of {self.length / self.fs:g} s, lead {self.lead}, {self.fs:g} Hz"
        if self.source.simulated:
            return f"Input: SIMULATED, not recorded: {what}. {self.source.place}"
        return f"Input: {what} of {self.source.name} ({self.source.place}), {len(self.skipped)} left out"

    def keep(self, rows: NDArray[np.bool_], reasons: Sequence[str]) -> "Recordings":
        """Return the records of the rows that are True; `reasons` has a text for every row."""
        if not rows.any():
            raise DemoError(f"no record of {self.source.name} can be used; {self.names[0]}: {reasons[0]}")
        dropped = [Skipped(self.names[i], reasons[i]) for i in np.flatnonzero(~rows).tolist()]
        return replace(
            self,
            names=tuple(name for name, kept in zip(self.names, rows, strict=True) if kept),
            signals=self.signals[rows],
            skipped=(*self.skipped, *dropped),
        )


def load(
    data: str | os.PathLike[str] | None, records: int | None, sampling_rate: int | None, advance: Advance
) -> Recordings:
    """Read the records: from `data` or ECGKERN_DATA, else from PhysioNet, else simulated."""
    limit = DEFAULT_RECORDS if records is None else records
    if limit < 1:
        raise DemoError(f"the number of records must be at least 1, got {limit}")
    if sampling_rate not in (None, 100, 500):
        raise DemoError(f"the sampling rate must be 100 or 500 Hz, got {sampling_rate}")
    if data is not None and not os.fspath(data):
        raise DemoError(f"the data folder is an empty path; leave it out to use {ENVIRONMENT_VARIABLE}")
    folder = data if data is not None else os.environ.get(ENVIRONMENT_VARIABLE)
    if folder:
        return _from_folder(folder, limit, sampling_rate, advance)
    fs = sampling_rate or 100
    try:
        return _from_physionet(limit, fs, advance)
    except _NoAnswerError as error:
        source = Source(
            "simulated ECGs",
            f"No data folder was given and {error}. For recorded ECGs use --data DIR or {ENVIRONMENT_VARIABLE}.",
            simulated=True,
        )
    signals = _simulate.ecgs(limit, fs, DURATION * fs)
    return Recordings(source, tuple(f"simulated {i + 1}" for i in range(limit)), signals, float(fs), "II")


def _from_folder(folder: str | os.PathLike[str], limit: int, sampling_rate: int | None, advance: Advance) -> Recordings:
    try:
        fs = cast(Literal[100, 500], sampling_rate or 100)
        return _from_ptbxl(PTBXL(folder, sampling_rate=fs, leads="II", on_error="skip"), limit, advance)
    except FileNotFoundError as error:
        no_ptbxl = error
    try:
        mitbih = MITBIH(folder)
    except FileNotFoundError:
        raise DemoError(f"{no_ptbxl}\nNor is there MIT-BIH: no *.hea in {folder} or its mitdb") from None
    if sampling_rate is not None:
        raise DemoError(f"no PTB-XL in {folder}; for MIT-BIH, which has {MITBIH_FS:g} Hz, leave out the sampling rate")
    return _from_mitbih(mitbih, limit, advance)


def _from_ptbxl(data: PTBXL, limit: int, advance: Advance) -> Recordings:
    # A copy of PTB-XL may hold a part of the files alone; those rows must not use up the number of records asked for.
    files = data.metadata["filename_lr" if data.sampling_rate == 100 else "filename_hr"]
    here = [isinstance(file, str) and (data.root / f"{file}.hea").is_file() for file in files]
    absent = [f"ecg_id {i}" for i, present in zip(files.index, here, strict=True) if not present]
    skipped = [Skipped(name, f"no {data.sampling_rate} Hz file in this copy") for name in absent]
    present = data.select(ecg_ids=spread(files.index[here].tolist(), limit)) if any(here) else data.select(ecg_ids=[])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordWarning)  # the report lists them
        signals = present.signals(progress=advance)[..., 0]
    skipped += [Skipped(f"ecg_id {name}", reason) for name, reason in present.skipped]
    names = tuple(f"ecg_id {i}" for i in present.without_skipped().metadata.index)
    return _usable(
        Recordings(_ptbxl(readable(data.root)), names, signals, float(data.sampling_rate), "II", tuple(skipped))
    )


def _from_mitbih(data: MITBIH, limit: int, advance: Advance) -> Recordings:
    length = DURATION * MITBIH_FS
    names: list[str] = []
    pieces: list[NDArray[np.float32]] = []
    skipped: list[Skipped] = []
    for done, name in enumerate(data.names, start=1):
        try:
            signal = _mitbih_signal(data[name])
        except RecordError as error:
            skipped.append(Skipped(f"record {name}", error.reason))
        else:
            n = len(signal) // length
            pieces.extend(signal[: n * length].reshape(n, length))
            names += [f"record {name} at {k * DURATION // 60:02d}:{k * DURATION % 60:02d}" for k in range(n)]
        advance(done, len(data))
    chosen = spread(range(len(pieces)), limit)
    signals = np.array([pieces[i] for i in chosen], dtype=np.float32)
    source = Source(
        "MIT-BIH Arrhythmia Database 1.0.0",
        readable(data.root),
        "Open Data Commons Attribution License 1.0 (ODC-By 1.0)",
        (
            'G. B. Moody and R. G. Mark, "The impact of the MIT-BIH Arrhythmia Database", IEEE Eng. Med. Biol. 20(3), '
            "45-50 (2001)",
            _PHYSIONET,
        ),
        "10.13026/C2F305",
    )
    return _usable(
        Recordings(source, tuple(names[i] for i in chosen), signals, float(MITBIH_FS), MITBIH_LEAD, tuple(skipped))
    )


def _mitbih_signal(record: Record) -> NDArray[np.float32]:
    if record.fs != MITBIH_FS:
        raise RecordError(record.name, f"has {record.fs:g} Hz; MIT-BIH Arrhythmia records have {MITBIH_FS} Hz")
    return record.lead(MITBIH_LEAD).copy()  # a copy, so that the other lead can be freed


def _ptbxl(place: str) -> Source:
    return Source(
        "PTB-XL 1.0.3",
        place,
        "Creative Commons Attribution 4.0 (CC BY 4.0)",
        (
            'P. Wagner et al., "PTB-XL, a large publicly available electrocardiography dataset", Scientific Data 7, '
            "154 (2020); PhysioNet (2022)",
            _PHYSIONET,
        ),
        "10.13026/x4td-x982",
    )


def _usable(recordings: Recordings) -> Recordings:
    if recordings.names:
        return recordings
    first = f"; {recordings.skipped[0].name}: {recordings.skipped[0].reason}" if recordings.skipped else ""
    raise DemoError(f"{recordings.source.place} has no record that can be read{first}")


class _NoAnswerError(Exception):
    """PhysioNet gave no record."""


def _from_physionet(limit: int, fs: int, advance: Advance) -> Recordings:
    require("wfdb")
    ids = STREAMED_IDS[:limit]
    got, failed = _stream(ids, fs, advance)
    if not got:
        raise _NoAnswerError(f"PhysioNet gave no records ({failed[ids[0]]})")
    rows = [i for i in ids if i in got]
    return Recordings(
        _ptbxl("streamed from PhysioNet"),
        tuple(f"ecg_id {i}" for i in rows),
        np.array([got[i].signal[:, 0] for i in rows]),
        float(fs),
        "II",
        tuple(Skipped(f"ecg_id {i}", failed[i]) for i in ids if i in failed),
    )


def _stream(ids: Iterable[int], fs: int, advance: Advance) -> tuple[dict[int, Record], dict[int, str]]:
    """Ask for all records at once; what has not come within `PATIENCE` has failed."""
    answers: queue.Queue[tuple[int, Record | Exception]] = queue.Queue()

    def fetch(ecg_id: int) -> None:
        try:
            answers.put((ecg_id, stream_record(ecg_id, fs)))
        except Exception as error:  # wfdb and what it uses fail in many ways; each means no record
            answers.put((ecg_id, error))

    # wfdb has no time-out, and neither has name resolution: what hangs is left behind in a daemon thread.
    for ecg_id in ids:
        threading.Thread(target=fetch, args=(ecg_id,), daemon=True).start()
    deadline = time.monotonic() + PATIENCE
    got: dict[int, Record] = {}
    failed = dict.fromkeys(ids, f"no answer within {PATIENCE:g} s")
    for done, _ in enumerate(ids, start=1):
        try:
            ecg_id, answer = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        if isinstance(answer, Record):
            got[ecg_id] = answer
            del failed[ecg_id]
        else:
            failed[ecg_id] = _briefly(answer)
        advance(done, len(failed) + len(got))
    return got, failed


def stream_record(ecg_id: int, fs: int) -> Record:
    """Read lead II of one PTB-XL record from PhysioNet."""
    wfdb: Any = require("wfdb")
    name = f"{ecg_id:05d}_{'lr' if fs == 100 else 'hr'}"
    folder = f"ptb-xl/1.0.3/records{fs}/{ecg_id // 1000 * 1000:05d}"
    raw = wfdb.rdrecord(name, pn_dir=folder, channel_names=["II"])
    if raw.p_signal.shape != (DURATION * fs, 1):
        raise RecordError(name, f"came with shape {raw.p_signal.shape}")
    return Record(name, raw.p_signal.astype(np.float32), float(fs), ("II",))


def _briefly(error: Exception) -> str:
    """One line for an error of the network, whose own texts run over pages."""
    text = str(error)
    for mark in ("Failed to resolve", "Connection refused", "timed out"):
        if mark in text:
            return f"{type(error).__name__}: {mark}"
    return f"{type(error).__name__}: {text.splitlines()[0] if text else ''}"[:120]
