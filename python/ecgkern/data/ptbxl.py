"""PTB-XL: 21 799 clinical 12-lead ECGs of 10 s with diagnostic statements.

The metadata table is joined with the statement table, so that each record has its diagnostic
superclasses and subclasses; the signals are read one record at a time, when they are asked for.

Wagner et al. (2022), PTB-XL, a large publicly available electrocardiography dataset (version
1.0.3), PhysioNet, doi:10.13026/x4td-x982.
"""

from __future__ import annotations

import ast
import copy
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ecgkern.data._folder import resolve_folder
from ecgkern.data._records import (
    OnError,
    Progress,
    Record,
    RecordCollection,
    RecordError,
    Value,
    as_tuple,
    read_record,
    require,
)
from ecgkern.data.leads import LEADS_12, canonical_lead

if TYPE_CHECKING:
    import pandas as pd

DURATION = 10  # seconds, every PTB-XL record

# The split its authors recommend: folds 9 and 10 were validated by at least one human.
SPLITS = {"train": tuple(range(1, 9)), "validation": (9,), "test": (10,)}

_FILENAME = {100: "filename_lr", 500: "filename_hr"}
_DATABASE_COLUMNS = ("scp_codes", "strat_fold", *_FILENAME.values())
_CLASS_COLUMNS = {"superclass": "diagnostic_class", "subclass": "diagnostic_subclass"}

_HOW_TO_GET = """\
  wget -r -N -c -np -nH --cut-dirs=3 -P ptb-xl https://physionet.org/files/ptb-xl/1.0.3/
or, in Python,
  wfdb.dl_database("ptb-xl", "ptb-xl")
  wfdb.dl_files("ptb-xl", "ptb-xl", ["ptbxl_database.csv", "scp_statements.csv"])"""


class PTBXL(RecordCollection):
    """PTB-XL, or a part of it, as a lazy sequence of records.

    Parameters
    ----------
    root : path, optional
        Folder with ``ptbxl_database.csv``, or its parent with the data in ``ptb-xl/``. By default
        the environment variable ``ECGKERN_DATA``.
    sampling_rate : {100, 500}
        In Hz.
    leads : str or sequence of str, optional
        Leads to keep, in this order, whatever their case. All twelve by default.
    on_error : {"raise", "skip"}
        What iteration and `signals` do with a record whose files are missing or damaged: stop
        with its `RecordError`, or leave it out, list it in `skipped` and warn at the end.
    min_likelihood : float
        Least likelihood in percent of a statement that counts for `superclass` and `subclass`.
        0, the default, counts every statement, as the official example does; note that PTB-XL
        writes an unknown likelihood as 0.

    Attributes
    ----------
    root : Path
        The folder in use.
    metadata : DataFrame
        ``ptbxl_database.csv`` indexed by ``ecg_id``, one row for each record of this collection.
        ``scp_codes`` are dicts (statement to likelihood); ``superclass`` and ``subclass`` are
        tuples of diagnostic classes in the order of the statements, empty if none is diagnostic.
    leads : tuple of str
        The leads of each record.
    skipped : list of Skipped
        The records (name, reason) that the latest run left out.

    Raises
    ------
    FileNotFoundError
        If the folder is not found; the message says how to get the data.
    RecordError
        If a metadata file is missing or damaged. Metadata are never skipped.

    Notes
    -----
    A subset of PTB-XL is fine as long as its table lists what is there: a listed record without
    files is an error under `on_error`. Two peculiarities of the official 500 Hz files: the last 50
    samples or so of a record are constant in every lead, and ecg_id 162 has a spike of 2.6 mV in
    aVR and aVF alone.

    Examples
    --------
    >>> norm = PTBXL(leads=["II"]).select(superclass="NORM").split("train")  # doctest: +SKIP
    >>> norm.signals().shape[1:]  # doctest: +SKIP
    (1000, 1)
    """

    database = "PTB-XL"

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        sampling_rate: Literal[100, 500] = 100,
        leads: str | Sequence[str] | None = None,
        on_error: OnError = "raise",
        min_likelihood: float = 0.0,
    ) -> None:
        super().__init__(on_error)
        if sampling_rate not in _FILENAME:
            raise ValueError(f"sampling_rate must be 100 or 500 Hz, got {sampling_rate!r}")
        self.sampling_rate = sampling_rate
        self.leads = LEADS_12 if leads is None else _standard_leads(leads)
        self.root = resolve_folder(
            root,
            database="PTB-XL 1.0.3",
            subfolder="ptb-xl",
            marker="ptbxl_database.csv",
            get=_HOW_TO_GET,
        )
        self.metadata, self._classes = _read_metadata(self.root, min_likelihood)

    def __repr__(self) -> str:
        return f"<PTBXL {len(self)} records, {self.sampling_rate} Hz, {', '.join(self.leads)}>"

    def _keys(self) -> range:
        return range(len(self.metadata))

    def __getitem__(self, index: int) -> Record:
        """Read the record in row `index` of the metadata; its name is the ``ecg_id``.

        Raises
        ------
        RecordError
            If the record cannot be read, whatever `on_error` says.
        IndexError
            If there is no such row.
        """
        name = str(self.metadata.index[index])
        filename = self.metadata[_FILENAME[self.sampling_rate]].iat[index]
        if not isinstance(filename, str):
            raise RecordError(name, f"ptbxl_database.csv names no {self.sampling_rate} Hz file")
        try:
            record = read_record(self.root / filename, leads=self.leads)
        except RecordError as error:
            raise RecordError(name, error.reason) from error
        length = DURATION * self.sampling_rate
        if record.fs != self.sampling_rate or len(record.signal) != length:
            raise RecordError(
                name,
                f"{filename} has {len(record.signal)} samples at {record.fs:g} Hz, not {length} at "
                f"{self.sampling_rate} Hz; download the record again",
            )
        return replace(record, name=name)

    def signals(self, *, progress: Progress = False) -> NDArray[np.float32]:
        """Read all the records into one array.

        Parameters
        ----------
        progress : bool or callable
            True shows a progress bar; a callable is called with (done, total).

        Returns
        -------
        ndarray, shape (n, 10 * sampling_rate, n_leads), float32
            Signals in mV, in the order of `metadata`. With ``on_error="skip"`` the unreadable
            records are not in it; `without_skipped` then gives the rows that are.

        Notes
        -----
        Beside the result only one record is held in memory.
        """
        out = np.empty((len(self), DURATION * self.sampling_rate, len(self.leads)), np.float32)
        n_read = 0
        for record in self._read_each(self._keys(), self.__getitem__, progress=progress):
            out[n_read] = record.signal
            n_read += 1
        return out[:n_read]

    def without_skipped(self) -> PTBXL:
        """Leave out what the latest run left out: the rows are then those `signals` returned."""
        skipped = {name for name, _ in self.skipped}
        return self._view(self.metadata[~self.metadata.index.astype(str).isin(skipped)])

    def select(
        self,
        *,
        superclass: str | Sequence[str] | None = None,
        subclass: str | Sequence[str] | None = None,
        folds: int | Iterable[int] | None = None,
        ecg_ids: int | Iterable[int] | None = None,
        exclusive: bool = False,
    ) -> PTBXL:
        """Choose records by their metadata; no signal is read.

        Parameters
        ----------
        superclass : str or sequence of str, optional
            Keep records with at least one of these: NORM, MI, STTC, CD, HYP.
        subclass : str or sequence of str, optional
            Keep records with at least one of these, for example IMI or LVH.
        folds : int or iterable of int, optional
            Keep records of these stratified folds (1 to 10).
        ecg_ids : int or iterable of int, optional
            Keep these records, in this order.
        exclusive : bool
            Keep only records with exactly one superclass.

        Returns
        -------
        PTBXL
            The records that meet all the conditions.

        Raises
        ------
        ValueError
            If a class or fold does not exist or a record is not in this collection.

        Notes
        -----
        Classes are those of the whole statement table; one that no record has gives an empty
        collection.
        """
        rows = self.metadata
        if ecg_ids is not None:
            rows = rows.loc[_known("ecg_ids", _as_list(ecg_ids), rows.index)]
        if folds is not None:
            rows = rows[rows["strat_fold"].isin(_known("folds", _as_list(folds), range(1, 11)))]
        for column, wanted in (("superclass", superclass), ("subclass", subclass)):
            if wanted is not None:
                classes = set(_known(column, as_tuple(wanted), self._classes[column]))
                rows = rows[_mask(not classes.isdisjoint(row) for row in rows[column])]
        if exclusive:
            rows = rows[_mask(len(row) == 1 for row in rows["superclass"])]
        return self._view(rows)

    def split(self, name: Literal["train", "validation", "test"]) -> PTBXL:
        """Choose a part of the recommended split: folds 1 to 8 train, 9 validation, 10 test."""
        return self.select(folds=SPLITS[_known("split", [name], SPLITS)[0]])

    def _view(self, rows: pd.DataFrame) -> PTBXL:
        view = copy.copy(self)
        view.metadata = rows.copy()  # a view's table may be written to
        view.skipped = []
        return view


def _standard_leads(leads: str | Sequence[str]) -> tuple[str, ...]:
    return tuple(_known("leads", [canonical_lead(lead) for lead in as_tuple(leads)], LEADS_12))


def _as_list(values: int | Iterable[int]) -> list[int]:
    return list(values) if isinstance(values, Iterable) else [values]


def _mask(conditions: Iterable[bool]) -> NDArray[np.bool_]:
    # An array, because pandas takes an empty list or object column for a choice of columns.
    return np.fromiter(conditions, dtype=np.bool_)


def _known(argument: str, values: Sequence[Value], allowed: Iterable[Value]) -> list[Value]:
    """Return the values, having checked that each is allowed."""
    choices = dict.fromkeys(allowed)
    for value in values:
        if value not in choices:
            some = ", ".join(map(str, list(choices)[:30]))
            more = f", ... ({len(choices)} in all)" if len(choices) > 30 else ""
            raise ValueError(f"{argument}: {value!r} is not one of {some}{more}")
    return list(values)


def _read_metadata(root: Path, min_likelihood: float) -> tuple[pd.DataFrame, dict[str, tuple[str, ...]]]:
    """Join the two tables; return also the classes there are for each class column."""
    rows = _read_table(root / "ptbxl_database.csv", "ecg_id", _DATABASE_COLUMNS)
    statements = _read_table(root / "scp_statements.csv", 0, ("diagnostic", *_CLASS_COLUMNS.values()))
    _require_integers(rows)
    codes = [_parse_codes(ecg_id, text) for ecg_id, text in rows["scp_codes"].items()]
    joined: dict[str, list[Any]] = {"scp_codes": codes}
    diagnostic = statements[statements["diagnostic"] == 1]
    classes = {}
    for column, source in _CLASS_COLUMNS.items():
        class_of = {str(code): str(name) for code, name in diagnostic[source].items()}
        joined[column] = [_aggregate(row, class_of, min_likelihood) for row in codes]
        # A selection checks against every class there is, not just those in these rows.
        classes[column] = tuple(dict.fromkeys(class_of.values()))
    pandas = require("pandas")
    series = {name: pandas.Series(values, rows.index, object) for name, values in joined.items()}
    return rows.assign(**series), classes


def _read_table(path: Path, index: str | int, columns: Sequence[str]) -> pd.DataFrame:
    pandas = require("pandas")
    try:
        table: pd.DataFrame = pandas.read_csv(path, index_col=index, low_memory=False)
    except FileNotFoundError as error:
        raise RecordError(path.name, f"{path} is missing; download it again") from error
    except PermissionError as error:
        raise RecordError(path.name, f"{path} may not be read: {error.strerror}") from error
    except (ValueError, OSError) as error:  # pandas' parser errors are ValueErrors
        raise RecordError(path.name, f"{path} is damaged ({error}); download it again") from error
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise RecordError(path.name, f"{path} has no column {', '.join(missing)}; download it again")
    return table


def _require_integers(rows: pd.DataFrame) -> None:
    for name, values in (("ecg_id", rows.index), ("strat_fold", rows["strat_fold"])):
        if values.dtype.kind != "i":
            raise RecordError("ptbxl_database.csv", f"column {name} holds more than integers")
    if not rows.index.is_unique:
        twice = rows.index[rows.index.duplicated()][0]
        raise RecordError("ptbxl_database.csv", f"ecg_id {twice} occurs more than once")


def _parse_codes(ecg_id: object, text: object) -> dict[str, float]:
    try:
        return {code: float(value) for code, value in ast.literal_eval(str(text)).items()}
    except (ValueError, TypeError, AttributeError, SyntaxError, MemoryError, RecursionError):
        raise RecordError(
            str(ecg_id),
            f"scp_codes in ptbxl_database.csv is no dict of likelihoods: {text!r:.80}; download the table again",
        ) from None


def _aggregate(codes: dict[str, float], class_of: dict[str, str], min_likelihood: float) -> tuple[str, ...]:
    """Classes of the diagnostic statements, each once, in the order of the statements."""
    classes = (
        class_of[code] for code, likelihood in codes.items() if code in class_of and likelihood >= min_likelihood
    )
    return tuple(dict.fromkeys(classes))
