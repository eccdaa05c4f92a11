"""The two sides of the comparison: ECGs from a NumPy file or from PTB-XL, brought to the same leads in the same order.

A NumPy file says neither what its leads are called nor how fast it was sampled. Of the two last axes the shorter one
is the leads; twelve leads without names are taken for those of PTB-XL, where they obey II = I + III in that order.
"""

import csv
import os
import pickle
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from ecgkern._page import plural, readable, spread
from ecgkern._progress import Advance
from ecgkern.data import LEADS_12, PTBXL, RecordWarning, Skipped
from ecgkern.data.leads import canonical_lead

Signals = NDArray[np.floating[Any]]
Labels = NDArray[Any]

DEFAULT_RECORDS = 2000  # of each side; the time of the tests grows with the square
DEFAULT_FS = 100.0  # Hz
MOST_LEADS = 64
# Of the size of lead II: II - I - III is below 1 % in PTB-XL, and above 50 % where the leads are in another order.
_EINTHOVEN_TOLERANCE = 0.1


class EvaluateError(ValueError):
    """What the evaluation was asked for cannot be done."""


@dataclass(frozen=True)
class Options:
    """What the command line says of one side."""

    name: str  # REAL or SYNTHETIC, for errors
    path: str
    filter: str | None = None
    patients: str | None = None


@dataclass(frozen=True, eq=False)
class Side:
    """ECGs of one side; `leads` is None, and `fs`, while nothing says what they are."""

    label: str
    place: str
    names: tuple[str, ...]
    signals: Signals  # (n, leads, samples)
    leads: tuple[str, ...] | None = None
    fs: float | None = None
    patients: Labels | None = None
    skipped: tuple[Skipped, ...] = ()

    def __len__(self) -> int:
        return len(self.signals)

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> "Side":
        """Return some of the records."""
        return replace(
            self,
            names=tuple(self.names[i] for i in rows),
            signals=self.signals[np.asarray(rows, dtype=np.int64)],
            patients=None if self.patients is None else self.patients[np.asarray(rows, dtype=np.int64)],
        )


@dataclass(frozen=True, eq=False)
class Pair:
    """Both sides, with the same leads, samples and sampling rate."""

    real: Side
    synthetic: Side
    leads: tuple[str, ...]
    fs: float
    notes: list[str] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Samples per record."""
        return int(self.real.signals.shape[2])

    @property
    def rhythm_lead(self) -> int | None:
        """Place of the lead in which R peaks are sought: II, or the only one."""
        return 0 if len(self.leads) == 1 else self.leads.index("II") if "II" in self.leads else None

    @property
    def headline(self) -> str:
        """One line on what is compared."""
        sides = "; ".join(
            f"{side.label}: {plural(len(side), 'record')} of {side.place}" for side in (self.real, self.synthetic)
        )
        return f"{sides}; {plural(len(self.leads), 'lead')}, {self.length} samples at {self.fs:g} Hz"


def load(
    real: Options,
    synthetic: Options | None,
    *,
    split: str | None,
    fs: float | None,
    leads: str | None,
    lead_order: str | None,
    records: int | None,
    rng: np.random.Generator,
    advance: Advance,
) -> Pair:
    """Read both sides, or halve one, and bring them to the same leads."""
    limit = DEFAULT_RECORDS if records is None else records
    if limit < 2:
        raise EvaluateError(f"--records must be at least 2, got {limit}")
    if fs is not None and not (np.isfinite(fs) and fs > 0):
        raise EvaluateError(f"--fs must be above 0 Hz, got {fs:g}")
    order = _names(lead_order, "--lead-order")
    notes: list[str] = []
    read = partial(_read, fs=fs, order=order, notes=notes)
    if split is None:
        if synthetic is None:
            raise EvaluateError("name the SYNTHETIC records, or halve REAL by --split half")
        if _same(real, synthetic):
            raise EvaluateError("REAL and SYNTHETIC are the same records; to compare two halves of them: --split half")
        sides = [
            read(real, "real", limit, advance=lambda done, total: advance(done, 2 * total)),
            read(synthetic, "synthetic", limit, advance=lambda done, total: advance(total + done, 2 * total)),
        ]
    else:
        if synthetic is not None and not _same(real, replace(synthetic, patients=real.patients)):
            raise EvaluateError("--split half takes one set of records: give REAL twice")
        whole = read(real, "real", 2 * limit, advance=advance)
        first, second = halves(whole.patients, len(whole), rng)
        if min(len(first), len(second)) < 2:
            raise EvaluateError(
                f"--split half needs 2 records in each half, got {len(first)} and {len(second)} (patients stay "
                "together)"
            )
        sides = [replace(whole.take(half), label=f"half {k}") for k, half in ((1, first), (2, second))]
    return _matched(sides[0], sides[1], fs, _names(leads, "--leads"), notes)


def halves(patients: Labels | None, n: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide n records at random into two halves of equally many patients; the rows of each in order.

    Of equally many patients and not records, because that is what the test permutes: a division that looks at how many
    records a patient has is no random one, and would be told apart more often than it should.
    """
    units = np.arange(n) if patients is None else np.unique(patients, return_inverse=True)[1].reshape(n)
    drawn = rng.permutation(int(units.max(initial=-1)) + 1)
    first = np.isin(units, drawn[: (drawn.size + 1) // 2])
    return np.flatnonzero(first), np.flatnonzero(~first)


def _same(real: Options, synthetic: Options) -> bool:
    here, there = (os.path.realpath(os.path.expanduser(side.path)) for side in (real, synthetic))
    return here == there and real.filter == synthetic.filter


def _names(given: str | None, option: str) -> tuple[str, ...] | None:
    if given is None:
        return None
    names = tuple(canonical_lead(name) for name in given.replace(",", " ").split())
    if not names or len(set(names)) != len(names):
        raise EvaluateError(f"{option} must be names of leads, each once, such as I,II,V1; got {given!r}")
    return names


# --- reading ------------------------------------------------------------------------------------------------------


def _read(
    options: Options,
    label: str,
    limit: int,
    *,
    fs: float | None,
    order: tuple[str, ...] | None,
    notes: list[str],
    advance: Advance,
) -> Side:
    path = Path(options.path).expanduser()
    if not options.path:
        raise EvaluateError(f"{options.name} is an empty path")
    if path.is_dir():
        side = _from_ptbxl(path, options, label, limit, fs, notes, advance)
    else:
        side = _from_file(path, options, label, limit, order, notes)
    if len(side) < 2:
        raise EvaluateError(f"{options.name} must have at least 2 records, got {len(side)} from {side.place}")
    return side


def _from_ptbxl(
    folder: Path, options: Options, label: str, limit: int, fs: float | None, notes: list[str], advance: Advance
) -> Side:
    if fs not in (None, 100, 500):
        raise EvaluateError(f"PTB-XL has 100 or 500 Hz, so --fs cannot be {fs:g}")
    rate = cast(Literal[100, 500], int(fs or 100))
    try:
        data = PTBXL(folder, sampling_rate=rate, on_error="skip")
    except FileNotFoundError:
        raise EvaluateError(
            f"{options.name}: neither {readable(folder)} nor its ptb-xl holds ptbxl_database.csv; name a .npy or .npz "
            "file or a folder of PTB-XL"
        ) from None
    place = readable(data.root)
    rows = _chosen(data, options)
    # A copy of PTB-XL may hold a part of the files alone; those rows must not use up the number of records asked for.
    files = rows["filename_lr" if rate == 100 else "filename_hr"]
    here = [isinstance(file, str) and (data.root / f"{file}.hea").is_file() for file in files]
    ids = rows.index[here].tolist()
    if not ids:
        raise EvaluateError(f"{options.name}: no record of {place} is left (filter {options.filter or 'none'})")
    taken = spread(ids, limit)
    _say_if_fewer(notes, options, len(taken), len(ids))
    part = data.select(ecg_ids=taken)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordWarning)  # the report lists them
        signals = np.moveaxis(part.signals(progress=advance), 1, 2)
    skipped = [Skipped(f"ecg_id {name}", reason) for name, reason in part.skipped]
    kept = part.without_skipped().metadata
    names = tuple(f"ecg_id {i}" for i in kept.index)
    patients = kept["patient_id"].to_numpy() if "patient_id" in kept.columns else None
    side = Side(
        label,
        f"PTB-XL, {place}" + (f", {options.filter}" if options.filter else ""),
        names,
        np.ascontiguousarray(signals),
        tuple(data.leads),
        float(rate),
        patients,
        tuple(skipped),
    )
    valid = np.isfinite(side.signals).all(axis=(1, 2))
    invalid = tuple(Skipped(names[i], "has samples marked as invalid") for i in np.flatnonzero(~valid))
    return replace(side.take(np.flatnonzero(valid)), skipped=(*side.skipped, *invalid))


def _chosen(data: PTBXL, options: Options) -> Any:
    """The rows of the metadata that have one of the superclasses, subclasses or statements of the filter."""
    rows = data.metadata
    if options.filter is None:
        return rows
    keep = np.zeros(len(rows), bool)
    codes = [set(row) for row in rows["scp_codes"]]
    for name in options.filter.replace(",", " ").split():
        known = name in set().union(*codes)
        keep |= [name in row for row in codes]
        for column in ("superclass", "subclass"):
            try:
                members = data.select(**{column: name}).metadata.index  # type: ignore[arg-type]
            except ValueError:
                continue
            known = True
            keep |= rows.index.isin(members)
        if not known:
            raise EvaluateError(
                f"{options.name}: the filter {name!r} is no superclass (NORM, MI, STTC, CD, HYP), no subclass and no "
                "statement of these records"
            )
    return rows[keep]


def _from_file(
    path: Path, options: Options, label: str, limit: int, order: tuple[str, ...] | None, notes: list[str]
) -> Side:
    if options.filter is not None:
        raise EvaluateError(f"{options.name}: a filter needs a folder of PTB-XL, not the file {readable(path)}")
    array = _array(path, options.name)
    place = readable(Path(path.name))
    if array.dtype.kind not in "fiu" or not array.size:
        raise EvaluateError(f"{options.name}: {place} must hold numbers, got shape {array.shape} of {array.dtype}")
    if array.ndim not in (2, 3):
        raise EvaluateError(
            f"{options.name}: {place} must have shape (n, leads, samples) or (n, samples), got {array.shape}"
        )
    axis = _lead_axis(array.shape, options.name, place, order)
    patients = None if options.patients is None else _labels(Path(options.patients).expanduser(), options, len(array))
    rows = spread(range(len(array)), limit)
    _say_if_fewer(notes, options, len(rows), len(array))
    signals = np.asarray(array[rows] if len(rows) < len(array) else array)
    signals = signals.astype(np.float32 if signals.dtype == np.float32 else np.float64)
    signals = signals[:, None] if axis is None else np.moveaxis(signals, axis, 1)
    _require_finite(signals, rows, options.name, place)
    if order is not None and len(order) != signals.shape[1]:
        raise EvaluateError(
            f"{options.name}: {place} has {plural(signals.shape[1], 'lead')}, but --lead-order names {len(order)}"
        )
    return Side(
        label,
        place,
        tuple(f"record {i}" for i in rows),
        np.ascontiguousarray(signals),
        order,
        patients=None if patients is None else patients[rows],
    )


def _array(path: Path, name: str) -> Any:
    """The array of a .npy file, not yet in memory, or of a .npz file."""
    text = str(path)
    file, member = path, ""
    if ".npz:" in text and not path.exists():
        before, _, member = text.rpartition(":")
        file = Path(before)
    if not file.is_file():
        raise EvaluateError(f"{name}: there is no file or folder {readable(file)}")
    try:
        loaded: Any = np.load(file, mmap_mode="r", allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            members = list(loaded)
            if member or len(members) != 1:
                if member not in members:
                    raise EvaluateError(
                        f"{name}: {readable(file)} holds {', '.join(members) or 'no array'}; name one as "
                        f"{readable(file)}:NAME"
                    )
                return loaded[member]
            return loaded[members[0]]
    except (ValueError, OSError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        if isinstance(error, EvaluateError):
            raise
        reason = str(error).partition("\n")[0]
        raise EvaluateError(f"{name}: {readable(file)} is no .npy or .npz file of numbers ({reason})") from None


def _lead_axis(shape: tuple[int, ...], name: str, place: str, order: tuple[str, ...] | None) -> int | None:
    """Which axis is the leads: the shorter one, unless --lead-order tells."""
    if len(shape) == 2:
        return None
    if order is not None and (shape[1] == len(order)) != (shape[2] == len(order)):
        return 1 if shape[1] == len(order) else 2
    if shape[1] == shape[2]:
        raise EvaluateError(
            f"{name}: {place} has shape {shape}, which does not tell leads from samples; name the leads by --lead-order"
        )
    axis = 1 if shape[1] < shape[2] else 2
    if shape[axis] > MOST_LEADS:
        raise EvaluateError(
            f"{name}: {place} has shape {shape}, in which neither {shape[1]} nor {shape[2]} can be the number of leads"
        )
    return axis


def _require_finite(signals: Signals, rows: Sequence[int], name: str, place: str) -> None:
    bad = ~np.isfinite(signals)
    if bad.any():
        record, lead, sample = (int(i) for i in np.unravel_index(int(np.argmax(bad)), bad.shape))
        raise EvaluateError(
            f"{name}: {place} holds {signals[record, lead, sample]} in record {rows[record]}, lead {lead}, sample "
            f"{sample} (all counted from 0), and {plural(int(bad.any(axis=(1, 2)).sum()), 'record')} with such values"
        )


def _labels(path: Path, options: Options, n: int) -> Labels:
    """One label per record, from a .npy file or a column of a .csv file."""
    option = f"--patients-{options.name.lower()}"
    if not path.is_file():
        raise EvaluateError(f"{option}: there is no file {readable(path)}")
    try:
        labels = _column(path) if path.suffix.lower() == ".csv" else np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile, csv.Error):
        raise EvaluateError(f"{option}: {readable(path)} must be a .npy or .csv file of labels") from None
    if not isinstance(labels, np.ndarray) or labels.shape != (n,):
        found = f"shape {labels.shape}" if isinstance(labels, np.ndarray) else "several arrays"
        raise EvaluateError(f"{option}: {readable(path)} must hold one label for each of {n} records, got {found}")
    return labels


def _column(path: Path) -> Labels:
    """The column patient_id, or the only column, of a table; a first line that says patient_id is its heading."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file) if row]
    heading = [cell.strip() for cell in rows[0]] if rows else []
    if "patient_id" in heading:
        return np.array([row[heading.index("patient_id")].strip() for row in rows[1:]])
    if any(len(row) != 1 for row in rows):
        raise ValueError("several columns, and none is called patient_id")
    return np.array([row[0].strip() for row in rows])


def _say_if_fewer(notes: list[str], options: Options, taken: int, there: int) -> None:
    if taken < there:
        notes.append(f"{options.name}: {taken} of {there} records are used, evenly spread over them (--records).")


# --- matching -----------------------------------------------------------------------------------------------------


def _matched(real: Side, synthetic: Side, fs: float | None, leads: tuple[str, ...] | None, notes: list[str]) -> Pair:
    """Both sides with the same leads in the same order, or an error that says what differs."""
    real, synthetic = _named(real, synthetic, notes)
    if real.leads is not None and synthetic.leads is not None:
        common = [lead for lead in real.leads if lead in synthetic.leads]
        if set(real.leads) != set(synthetic.leads) and leads is None:
            raise EvaluateError(
                f"REAL has {', '.join(real.leads)} and SYNTHETIC has {', '.join(synthetic.leads)}; choose from the "
                f"common leads by --leads {','.join(common) or '(there is none)'}"
            )
        chosen = tuple(common) if leads is None else leads
        real, synthetic = (_with_leads(side, chosen, name) for side, name in ((real, "REAL"), (synthetic, "SYNTHETIC")))
    elif leads is not None:
        raise EvaluateError(
            "--leads needs names for the leads of the files: give them all, in their order, by --lead-order"
        )
    if real.signals.shape[1] != synthetic.signals.shape[1]:
        raise EvaluateError(
            f"REAL has {plural(real.signals.shape[1], 'lead')} and SYNTHETIC has {synthetic.signals.shape[1]}; both "
            "must have the same"
        )
    if real.signals.shape[2] != synthetic.signals.shape[2]:
        raise EvaluateError(
            f"REAL has {real.signals.shape[2]} samples per record and SYNTHETIC has {synthetic.signals.shape[2]}; cut "
            "or resample one of them"
        )
    rate = real.fs or synthetic.fs or fs
    if rate is None:
        rate = DEFAULT_FS
        notes.append(f"No sampling rate was given: {DEFAULT_FS:g} Hz is assumed (--fs).")
    if real.signals.shape[2] < 2:
        raise EvaluateError(f"records must have at least 2 samples, got {real.signals.shape[2]}")
    names = real.leads or tuple(f"lead {k}" for k in range(real.signals.shape[1]))
    return Pair(real, synthetic, names, float(rate), notes)


def _named(real: Side, synthetic: Side, notes: list[str]) -> tuple[Side, Side]:
    """Both sides with names for their leads, where these are known or can be taken for those of PTB-XL."""
    sides = (real, synthetic)
    without = [side for side in sides if side.leads is None]
    if not without:
        return sides
    # Of two files the real one is asked: that synthetic leads break Einthoven's law may be what is to be found out.
    if _in_order_of_ptbxl(without[0].signals):
        notes.append(f"The leads are taken for {', '.join(LEADS_12)}, whose order they fit (--lead-order).")
        return replace(real, leads=real.leads or LEADS_12), replace(synthetic, leads=synthetic.leads or LEADS_12)
    if len(without) == 1:
        raise EvaluateError(
            f"{without[0].place} does not say which leads it has, and they are not the twelve of PTB-XL in their order "
            "(II = I + III): name them by --lead-order"
        )
    if real.signals.shape[1] > 1:
        notes.append("The leads have no names (--lead-order), so nothing is said of R peaks and of Einthoven's law.")
    return sides


def _in_order_of_ptbxl(signals: Signals) -> bool:
    if signals.shape[1] != len(LEADS_12):
        return False
    one, two, three = (signals[:, k].astype(np.float64) for k in range(3))
    left = np.sqrt(((two - one - three) ** 2).mean(axis=1))
    size = np.sqrt((two**2).mean(axis=1))
    return bool(np.median(size) > 0 and np.median(left) <= _EINTHOVEN_TOLERANCE * np.median(size))


def _with_leads(side: Side, wanted: tuple[str, ...], name: str) -> Side:
    there = side.leads or ()
    missing = [lead for lead in wanted if lead not in there]
    if missing:
        raise EvaluateError(f"{name} has no lead {missing[0]}; it has {', '.join(there)}")
    if wanted == there:
        return side
    return replace(side, leads=wanted, signals=np.ascontiguousarray(side.signals[:, [there.index(n) for n in wanted]]))
