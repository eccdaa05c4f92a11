"""The sides of the comparison: ECGs from a NumPy file or from PTB-XL, brought to the same leads in the same order.

The array x of an .npz file, or another that is named, may stand beside its fs, leads and patients, as
`ecgkern generate` and `Signals.save` write them. Any other says neither what its leads are called nor how fast it was
sampled. Of the two last axes the shorter one is the leads; twelve leads without names are taken for those of PTB-XL,
where they obey II = I + III in that order.
"""

import csv
import json
import os
import pickle
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

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
SHORTEST_RHYTHM = 2.0  # s; NeuroKit2 finds no peak in the first 0.3 s, and a heart rate needs three
# Of the size of lead II: II - I - III is below 1 % in PTB-XL, and above 50 % where the leads are in another order.
_EINTHOVEN_TOLERANCE = 0.1


class EvaluateError(ValueError):
    """What the evaluation was asked for cannot be done."""


@dataclass(frozen=True)
class Options:
    """What the command line says of one side."""

    name: str  # REAL or SYNTHETIC, for errors
    label: str
    path: str
    filter: str | None = None
    patients: str | None = None


class Known(NamedTuple):
    """What an .npz file says of an array in it."""

    fs: float | None = None
    leads: tuple[str, ...] | None = None
    patients: Labels | None = None


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
    """The real records and one set beside them, with the same leads, samples and sampling rate."""

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
    def without_rhythm(self) -> str:
        """Why no heart rates are looked at; empty if they are."""
        if self.rhythm_lead is None:
            return "no lead II to find R peaks in"
        seconds = self.length / self.fs
        return "" if seconds >= SHORTEST_RHYTHM else f"records of {seconds:.3g} s are too short for heart rates"


def headline(pairs: Sequence[Pair]) -> str:
    """One line on what is compared."""
    first = pairs[0]
    sides = [first.real, *(pair.synthetic for pair in pairs)]
    said = "; ".join(f"{side.label}: {plural(len(side), 'record')} of {side.place}" for side in sides)
    return f"{said}; {plural(len(first.leads), 'lead')}, {first.length} samples at {first.fs:g} Hz"


def synthetic_options(paths: Sequence[str], filter: str | None, patients: str | None) -> list[Options]:
    """What the command line says of each synthetic set; several have the shortest names that differ."""
    if len(paths) == 1:
        return [Options("SYNTHETIC", "synthetic", paths[0], filter, patients)]
    for option, given in (("--synthetic-filter", filter), ("--patients-synthetic", patients)):
        if given is not None:
            raise EvaluateError(f"{option} is for one SYNTHETIC, got {len(paths)}; an .npz file can hold patients")
    if "" in paths:
        raise EvaluateError("SYNTHETIC is an empty path")
    return [Options(f"SYNTHETIC {name}", name, path) for name, path in zip(_short_names(paths), paths, strict=True)]


def _short_names(paths: Sequence[str]) -> list[str]:
    """The name of each file or folder, with that of its array, or with where it is, if else two are the same."""
    files = [_file_and_member(Path(path).expanduser()) for path in paths]
    shared = os.path.commonpath([file.absolute().parent for file, _ in files]) if files else ""
    names: list[str] = []
    for base in (
        lambda file: file.absolute().name if file.is_dir() else file.stem,
        lambda file: os.path.relpath(file, shared),
    ):
        for form in ("{}", "{}:{}"):
            names = [readable(Path(form.format(base(file), array) if array else base(file))) for file, array in files]
            if len({"real", *names}) > len(names):
                return names
    return names


def load(
    real: Options,
    synthetic: Sequence[Options],
    *,
    split: str | None,
    fs: float | None,
    leads: str | None,
    lead_order: str | None,
    records: int | None,
    rng: np.random.Generator,
    advance: Advance,
) -> list[Pair]:
    """Read all sides, or halve one, bring them to the same leads, and put REAL beside each of the others."""
    limit = DEFAULT_RECORDS if records is None else records
    if limit < 2:
        raise EvaluateError(f"--records must be at least 2, got {limit}")
    if fs is not None and not (np.isfinite(fs) and fs > 0):
        raise EvaluateError(f"--fs must be above 0 Hz, got {fs:g}")
    order = _names(lead_order, "--lead-order")
    notes: list[str] = []
    read = partial(_read, fs=fs, order=order, notes=notes)
    given = [real, *synthetic]
    if split is None:
        if not synthetic:
            raise EvaluateError("name the SYNTHETIC records, or halve REAL by --split half")
        _require_different(given)
        sides = [read(options, limit, advance=share(advance, k, len(given))) for k, options in enumerate(given)]
        names = [options.name for options in given]
    else:
        if len(synthetic) > 1 or any(_place(options) != _place(real) for options in synthetic):
            raise EvaluateError("--split half takes one set of records: give REAL twice")
        if any(options.filter or options.patients for options in synthetic):
            raise EvaluateError("--split half takes --real-filter and --patients-real alone: both halves are of REAL")
        whole = read(real, 2 * limit, advance=advance)
        first, second = halves(whole.patients, len(whole), rng)
        if min(len(first), len(second)) < 2:
            raise EvaluateError(
                f"--split half needs 2 records in each half, got {len(first)} and {len(second)} (patients stay "
                "together)"
            )
        sides = [replace(whole.take(half), label=f"half {k}") for k, half in ((1, first), (2, second))]
        names = [real.name] * 2
    return _matched(sides, names, fs, _names(leads, "--leads"), notes)


def share(advance: Advance, k: int, n: int) -> Advance:
    """Return what takes the progress of the k-th of n, counted from 0, for that of all."""
    return lambda done, total: advance(k * total + done, n * total)


def halves(patients: Labels | None, n: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide n records at random into two halves of equally many patients; the rows of each in order.

    Of equally many patients and not records, because that is what the test permutes: a division that looks at how many
    records a patient has is no random one, and would be told apart more often than it should.
    """
    units = np.arange(n) if patients is None else np.unique(patients, return_inverse=True)[1].reshape(n)
    drawn = rng.permutation(int(units.max(initial=-1)) + 1)
    first = np.isin(units, drawn[: (drawn.size + 1) // 2])
    return np.flatnonzero(first), np.flatnonzero(~first)


def _place(options: Options) -> tuple[str, str]:
    """Which file or folder, and which array of it."""
    file, member = _file_and_member(Path(options.path).expanduser())
    return os.path.realpath(file), member or "x"


def _require_different(given: Sequence[Options]) -> None:
    for k, options in enumerate(given):
        records = (_place(options), options.filter)
        twice = [other.name for other in given[:k] if (_place(other), other.filter) == records]
        if twice == ["REAL"]:
            raise EvaluateError(
                f"REAL and {options.name} are the same records; to compare two halves of them: --split half"
            )
        if twice:
            raise EvaluateError(f"{twice[0]} and {options.name} are the same records; give each set once")


def _names(given: str | None, option: str) -> tuple[str, ...] | None:
    if given is None:
        return None
    names = _canonical(given.replace(",", " ").split())
    if not names or len(set(names)) != len(names):
        raise EvaluateError(f"{option} must be names of leads, each once, such as I,II,V1; got {given!r}")
    return names


def _canonical(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(canonical_lead(name) for name in names)


# --- reading ------------------------------------------------------------------------------------------------------


def _read(
    options: Options,
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
        side = _from_ptbxl(path, options, limit, fs, notes, advance)
    else:
        side = _from_file(path, options, limit, order, notes)
    if len(side) < 2:
        raise EvaluateError(f"{options.name} must have at least 2 records, got {len(side)} from {side.place}")
    return side


def _from_ptbxl(
    folder: Path, options: Options, limit: int, fs: float | None, notes: list[str], advance: Advance
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
        options.label,
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


def _from_file(path: Path, options: Options, limit: int, order: tuple[str, ...] | None, notes: list[str]) -> Side:
    if options.filter is not None:
        raise EvaluateError(f"{options.name}: a filter needs a folder of PTB-XL, not the file {readable(path)}")
    array, known = _array(path, options.name)
    place = readable(Path(path.name))
    if array.dtype.kind not in "fiu" or not array.size:
        raise EvaluateError(f"{options.name}: {place} must hold numbers, got shape {array.shape} of {array.dtype}")
    if array.ndim not in (2, 3):
        raise EvaluateError(
            f"{options.name}: {place} must have shape (n, leads, samples) or (n, samples), got {array.shape}"
        )
    order = known.leads or order
    axis = _lead_axis(array.shape, options.name, place, order)
    patients = known.patients
    if options.patients is not None:
        patients = _labels(Path(options.patients).expanduser(), options, len(array))
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
        options.label,
        place,
        tuple(f"record {i}" for i in rows),
        np.ascontiguousarray(signals),
        order,
        known.fs,
        patients=None if patients is None else patients[rows],
    )


def _file_and_member(path: Path) -> tuple[Path, str]:
    """The file, and the name of the array in it, of FILE.npz:NAME."""
    text = str(path)
    if ".npz:" in text and not path.exists():
        before, _, member = text.rpartition(":")
        return Path(before), member
    return path, ""


def _array(path: Path, name: str) -> tuple[Any, Known]:
    """The array of a .npy file, not yet in memory, or of a .npz file, with what that says of it."""
    file, member = _file_and_member(path)
    if not file.is_file():
        raise EvaluateError(f"{name}: there is no file or folder {readable(file)}")
    try:
        loaded: Any = np.load(file, mmap_mode="r", allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded, Known()
        with loaded:
            members = list(loaded)
            member = member or (members[0] if len(members) == 1 else "x")
            if member not in members:
                raise EvaluateError(
                    f"{name}: {readable(file)} holds {', '.join(members) or 'no array'}; name one as "
                    f"{readable(file)}:NAME"
                )
            array = loaded[member]
            return array, _known(loaded, member, array.shape, f"{name}: {readable(file)}")
    except (ValueError, TypeError, OSError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        if isinstance(error, EvaluateError):
            raise
        reason = str(error).partition("\n")[0]
        raise EvaluateError(f"{name}: {readable(file)} is no .npy or .npz file of numbers ({reason})") from None


def _known(file: Any, member: str, shape: tuple[int, ...], place: str) -> Known:
    """Sampling rate, leads and patients: arrays of these names, or what stands in the JSON called facts.

    Patients may be those of x alone: any other array has them only if it has as many records.
    """
    said = {**json.loads(str(file["facts"]))} if "facts" in file else {}
    said |= {key: file[key] for key in Known._fields if key in file}
    fs = said.get("fs")
    if fs is not None:
        try:
            fs = float(np.asarray(fs).item())
        except (TypeError, ValueError):
            fs = np.nan
        if not (np.isfinite(fs) and fs > 0):
            raise EvaluateError(f"{place}: fs must be one rate above 0 Hz, got {said['fs']}")
    leads = said.get("leads")
    if leads is not None:
        leads = _canonical([str(lead) for lead in np.atleast_1d(leads)])
        if len(set(leads)) != len(leads) or len(leads) not in (shape[1:] if len(shape) == 3 else (1,)):
            raise EvaluateError(f"{place}: leads must name those of {member}, each once; got {leads} for shape {shape}")
    patients = said.get("patients")
    if patients is not None and np.shape(patients) != shape[:1]:
        if member != "x":
            return Known(fs, leads)
        raise EvaluateError(
            f"{place}: patients must have one label for each of {shape[0]} records, got shape {np.shape(patients)}"
        )
    return Known(fs, leads, None if patients is None else np.asarray(patients))


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


def _matched(
    sides: Sequence[Side], names: Sequence[str], fs: float | None, leads: tuple[str, ...] | None, notes: list[str]
) -> list[Pair]:
    """The first side beside each other one, with the same leads in the same order, or an error on what differs."""
    sides = _named(sides, notes)
    if all(side.leads is not None for side in sides):
        there = [side.leads or () for side in sides]
        common = tuple(lead for lead in there[0] if all(lead in other for other in there))
        for other, name in zip(there, names, strict=True):
            if set(other) != set(there[0]) and leads is None:
                raise EvaluateError(
                    f"{names[0]} has {', '.join(there[0])} and {name} has {', '.join(other)}; choose from the "
                    f"common leads by --leads {','.join(common) or '(there is none)'}"
                )
        chosen = common if leads is None else leads
        sides = [_with_leads(side, chosen, name) for side, name in zip(sides, names, strict=True)]
    elif leads is not None:
        raise EvaluateError(
            "--leads needs names for the leads of the files: give them all, in their order, by --lead-order"
        )
    real, *others = sides
    for side, name in zip(others, names[1:], strict=True):
        if real.signals.shape[1] != side.signals.shape[1]:
            raise EvaluateError(
                f"{names[0]} has {plural(real.signals.shape[1], 'lead')} and {name} has {side.signals.shape[1]}; both "
                "must have the same"
            )
        if real.signals.shape[2] != side.signals.shape[2]:
            raise EvaluateError(
                f"{names[0]} has {real.signals.shape[2]} samples per record and {name} has {side.signals.shape[2]}; "
                "cut or resample one of them"
            )
    rate = _rate([("--fs", fs), *zip(names, (side.fs for side in sides), strict=True)])
    if rate is None:
        rate = DEFAULT_FS
        notes.append(f"No sampling rate was given: {DEFAULT_FS:g} Hz is assumed (--fs).")
    if real.signals.shape[2] < 2:
        raise EvaluateError(f"records must have at least 2 samples, got {real.signals.shape[2]}")
    channels = real.leads or tuple(f"lead {k}" for k in range(real.signals.shape[1]))
    return [Pair(real, side, channels, rate, notes) for side in others]


def _rate(said: Sequence[tuple[str, float | None]]) -> float | None:
    """The sampling rate that --fs and the sides agree on, if any of them says one."""
    known = [(name, float(rate)) for name, rate in said if rate is not None]
    for name, rate in known:
        if rate != known[0][1]:
            remedy = "resample one of them (PTB-XL is read at 100 or 500 Hz, as --fs says)"
            raise EvaluateError(
                f"{known[0][0]} says {known[0][1]:g} Hz and {name} says {rate:g} Hz; "
                f"{'leave out --fs' if known[0][0] == '--fs' else remedy}"
            )
    return known[0][1] if known else None


def _named(sides: Sequence[Side], notes: list[str]) -> list[Side]:
    """All sides with names for their leads, where these are known or can be taken for those of PTB-XL."""
    without = [side for side in sides if side.leads is None]
    # Of several files the real one is asked: that synthetic leads break Einthoven's law may be what is to be found out.
    if without and _in_order_of_ptbxl(without[0].signals):
        notes.append(f"The leads are taken for {', '.join(LEADS_12)}, whose order they fit (--lead-order).")
        twelve = [side for side in without if side.signals.shape[1] == len(LEADS_12)]
        sides = [replace(side, leads=LEADS_12) if side in twelve else side for side in sides]
        without = [side for side in sides if side.leads is None]
    if 0 < len(without) < len(sides):
        raise EvaluateError(
            f"{without[0].place} does not say which leads it has, and they are not the twelve of PTB-XL in their order "
            "(II = I + III): name them by --lead-order"
        )
    if without and without[0].signals.shape[1] > 1:
        notes.append("The leads have no names (--lead-order), so nothing is said of R peaks and of Einthoven's law.")
    return list(sides)


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
