"""What a generative model is trained on: `Signals`, ECGs of one length with their R peaks, patients and labels.

They come from ten-second records of PTB-XL, from windows around beats of PTB-XL or MIT-BIH, from waves placed at the R
peaks of such records, or are sines. All are held in memory as float32 in mV. Parts for training, validation and test
never share a patient.
"""

import hashlib
import json
import os
import pickle
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecgkern import _page, _validate, waveform
from ecgkern.data import MITBIH, PTBXL, RecordError, RecordWarning, RPeaks, find_r_peaks, read_record
from ecgkern.data.ptbxl import SPLITS
from ecgkern.torch.nn import WeightedMSELoss
from ecgkern.waveform import PHYSIO, Waves

Advance = Callable[[int, int], None]

R_LEAD = "II"  # R peaks of PTB-XL are looked for here, whatever leads are kept
_PARTS = ("train", "validation", "test")
_PTBXL_LICENCE = "Creative Commons Attribution 4.0 (CC BY 4.0), doi:10.13026/x4td-x982"
_MITBIH_LICENCE = "Open Data Commons Attribution License 1.0 (ODC-By 1.0), doi:10.13026/C2F305"
# The test records (DS2) of de Chazal, O'Dwyer and Reilly (2004), IEEE Trans. Biomed. Eng. 51(7), 1196-1206.
_MITBIH_TEST = (
    *(100, 103, 105, 111, 113, 117, 121, 123, 200, 202, 210),
    *(212, 213, 214, 219, 221, 222, 228, 231, 232, 233, 234),
)
# Two records of one person; Moody and Mark's directory of the database.
_MITBIH_SAME_PATIENT = {"202": "201"}
# Samples at the new rate that scipy's resample_poly looks at on either side of one.
_FILTER_MARGIN = 10
_DRAWS = 1000  # of patients, until every part has every class


class SignalsError(ValueError):
    """Signals that cannot be had, or do not fit together."""


class Split(NamedTuple):
    """Signals of disjoint patients."""

    train: "Signals"
    validation: "Signals"
    test: "Signals"


@dataclass(frozen=True, eq=False)
class Signals:
    """ECGs of one length, with what is known of them.

    Attributes
    ----------
    x : ndarray, shape (n, length, n_leads), float32
        Signals in mV.
    r_peaks : RPeaks
        R peaks of each row, in samples from its start.
    patients : ndarray of str, shape (n,)
        Who each row is of.
    labels : ndarray of int64, shape (n,)
        Class of each row, as an index into `classes`.
    fs : float
        Sampling rate in Hz.
    leads : tuple of str
    classes : tuple of str
        Names of the classes, at least one.
    parts : ndarray of str, shape (n,)
        The part that those who made the data recommend for each row: "train", "validation", "test", or "" for none.
    source, licence : str
        What the data are, and under which terms.
    left_out : dict of str to int
        How many records or beats could not be used, by reason.

    Raises
    ------
    SignalsError
        If shapes do not fit together, or there is no signal or a value that is no number.

    Examples
    --------
    >>> import numpy as np
    >>> from ecgkern.torch.data import Signals
    >>> sines = Signals.sines(100, rng=0)
    >>> sines.x.shape
    (100, 100, 1)
    >>> [len(part) for part in sines.split()]
    [80, 10, 10]
    """

    x: NDArray[np.float32]
    r_peaks: RPeaks
    patients: NDArray[np.str_]
    labels: NDArray[np.int64]
    fs: float
    leads: tuple[str, ...]
    classes: tuple[str, ...]
    parts: NDArray[np.str_]
    source: str
    licence: str = ""
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.x.ndim != 3 or self.x.dtype != np.float32 or self.x.shape[2] != len(self.leads):
            raise SignalsError(
                f"x must be float32 of shape (n, length, {len(self.leads)}), one column for each of the leads "
                f"{', '.join(self.leads)}; got {self.x.dtype} of shape {self.x.shape}"
            )
        if not self.x.size:
            raise SignalsError(f"{self.source}: there is no signal{_counted(self.left_out)}")
        if not np.isfinite(self.x).all():
            bad = int(np.argmax(~np.isfinite(self.x).all(axis=(1, 2))))
            raise SignalsError(
                f"x must be finite, got {self.x[bad].flat[~np.isfinite(self.x[bad]).ravel()][0]} in [{bad}]"
            )
        for name in ("patients", "labels", "parts"):
            if getattr(self, name).shape != (len(self),):
                raise SignalsError(
                    f"{name} must have one entry for each of {len(self)} rows, got shape {getattr(self, name).shape}"
                )
        if self.r_peaks.n_records != len(self):
            raise SignalsError(f"r_peaks must have one row for each of {len(self)}, got {self.r_peaks.n_records}")
        if self.labels.min() < 0 or self.labels.max() >= len(self.classes):
            raise SignalsError(
                f"labels must be from 0 to {len(self.classes) - 1}, got {self.labels.min()} to {self.labels.max()}"
            )
        _validate.positive(self.fs, "fs", "Hz")

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        what = f"{len(self)} x {self.length} samples at {self.fs:g} Hz, {', '.join(self.leads)}"
        return f"<Signals {what}; {_page.plural(len(set(self.patients.tolist())), 'patient')}; {self.source}>"

    @property
    def length(self) -> int:
        """Samples of a row."""
        return int(self.x.shape[1])

    # --- where they come from -------------------------------------------------------------------------------------

    @classmethod
    def from_ptbxl(
        cls,
        root: str | os.PathLike[str] | None = None,
        *,
        classes: str | Sequence[str] = "NORM",
        leads: str | Sequence[str] = R_LEAD,
        fs: int = 100,
        at_most: int | None = None,
        progress: Advance = lambda *_: None,
    ) -> "Signals":
        """Read the ten-second records of PTB-XL that are of one diagnostic superclass, and find their R peaks.

        Parameters
        ----------
        root : path, optional
            Folder of PTB-XL or its parent; by default the environment variable ``ECGKERN_DATA``.
        classes : str or sequence of str, default "NORM"
            Superclasses: NORM, MI, STTC, CD, HYP. Records of several superclasses are not taken.
        leads : str or sequence of str, default "II"
            Leads to keep. R peaks are those of lead II.
        fs : {100, 500}
            Sampling rate in Hz.
        at_most : int, optional
            So many records of each class, evenly spread over those there are.
        progress : callable, optional
            Called with (done, total).

        Returns
        -------
        Signals
            Records that are missing, damaged, without R peaks, or have invalid samples or a constant lead are left out
            and counted.

        Raises
        ------
        SignalsError
            If a lead, a class or the rate does not exist, or no record of a class is left.
        FileNotFoundError
            If there is no PTB-XL.
        """
        names, wanted = _names(classes), _names(leads)
        read = wanted if R_LEAD in wanted else (*wanted, R_LEAD)
        try:
            data = PTBXL(root, sampling_rate=cast(Literal[100, 500], fs), leads=read, on_error="skip")
            chosen = [data.select(superclass=name, exclusive=True) for name in names]
        except RecordError:
            raise
        except ValueError as error:
            raise SignalsError(f"PTB-XL: {error}") from None
        if "patient_id" not in data.metadata.columns:
            raise SignalsError(f"{data.root / 'ptbxl_database.csv'} has no column patient_id; download it again")
        left_out: Counter[str] = Counter()
        ids: list[int] = []
        for name, part in zip(names, chosen, strict=True):
            files = part.metadata["filename_lr" if fs == 100 else "filename_hr"]
            here = [isinstance(file, str) and (data.root / f"{file}.hea").is_file() for file in files]
            left_out["without a file in this copy"] += len(here) - sum(here)
            there = part.metadata.index[here].tolist()
            if not there:
                counts = Counter(value for row in data.metadata["superclass"] for value in row)
                raise SignalsError(
                    f"class {name!r} is empty: {_page.readable(data.root)} has no record at {fs} Hz with this "
                    f"superclass alone; its table lists {dict(counts)}"
                )
            ids += there if at_most is None else _page.spread(there, _validate.positive_integer(at_most, "at_most"))
        part = data.select(ecg_ids=ids)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RecordWarning)  # they are counted
            x = part.signals(progress=lambda done, total: progress(done, 2 * total))
            left_out["unreadable"] += len(part.skipped)
            if not len(x):
                raise SignalsError(f"no record of PTB-XL can be read; {part.skipped[0].name}: {part.skipped[0].reason}")
            usable = _usable(x, left_out)
            x, rows = x[usable], part.without_skipped().metadata[usable]
            peaks = find_r_peaks(
                x[:, :, read.index(R_LEAD)],
                fs,
                on_error="skip",
                progress=lambda done, total: progress(total + done, 2 * total),
            )
        label_of = {name: i for i, name in enumerate(names)}
        part_of = {fold: name for name, folds in SPLITS.items() for fold in folds}
        beating = np.diff(peaks.row_offsets) > 0
        left_out["without R peaks"] += int((~beating).sum())
        signals = cls(
            np.ascontiguousarray(x[:, :, : len(wanted)]),
            peaks,
            rows["patient_id"].astype(str).to_numpy(dtype=str),
            np.array([label_of[row[0]] for row in rows["superclass"]], dtype=np.int64),
            float(fs),
            wanted,
            names,
            np.array([part_of[fold] for fold in rows["strat_fold"]], dtype=str),
            "PTB-XL 1.0.3, records of 10 s",
            _PTBXL_LICENCE,
            _nonzero(left_out),
        )
        return signals.take(np.flatnonzero(beating))._with_every_class()

    @classmethod
    def from_mitbih(
        cls,
        root: str | os.PathLike[str] | None = None,
        *,
        classes: str | Sequence[str] = ("N", "V"),
        by: str = "aami",
        leads: str | Sequence[str] = "MLII",
        fs: float = 100.0,
        before: float = 0.3,
        after: float = 0.5,
        at_most: int | None = None,
        progress: Advance = lambda *_: None,
    ) -> "Signals":
        """Cut a window around every beat of MIT-BIH, resampled so that the annotated sample stays a sample.

        Parameters
        ----------
        root : path, optional
            Folder of MIT-BIH or its parent; by default the environment variable ``ECGKERN_DATA``.
        classes : str or sequence of str, default ("N", "V")
            Beats to take.
        by : {"aami", "symbol"}
            Whether these are AAMI classes (N, S, V, F, Q) or MIT-BIH's own symbols.
        leads : str or sequence of str, default "MLII"
            Leads to keep; records without them are left out.
        fs : float, default 100
            Sampling rate of the result in Hz, at most that of the records, 360.
        before, after : float, default 0.3 and 0.5
            Seconds before the annotated sample and from it on.
        at_most : int, optional
            So many beats of each class, evenly spread over those there are.
        progress : callable, optional
            Called with (done, total).

        Returns
        -------
        Signals
            Its recommended parts are those of de Chazal et al. (2004): the test records are of patients of their own.

        Raises
        ------
        SignalsError
            If no beat of a class is left, or the rate is above that of a record.
        FileNotFoundError
            If there is no MIT-BIH.
        """
        names, wanted = _names(classes), _names(leads)
        _validate.choice(by, "by", ("aami", "symbol"))
        fs = _validate.positive(fs, "fs", "Hz")
        data = MITBIH(root)
        left_out: Counter[str] = Counter()
        reasons: list[str] = []
        found: list[tuple[NDArray[np.float32], list[NDArray[np.float64]], list[str], str]] = []
        for done, name in enumerate(data.names, start=1):
            try:
                record, beats = read_record(data.root / name, leads=wanted), data.beats(name)
            except RecordError as error:
                left_out[f"unreadable ({error})"] += 1
                reasons.append(str(error))
                continue
            label = beats.aami if by == "aami" else beats.symbol
            mine = np.isin(label, names)
            x, peaks, inside = _resampled_windows(record.signal, record.fs, beats.sample, mine, fs, before, after)
            left_out["with a window beyond the record"] += int(mine.sum() - inside.sum())
            found.append((x, peaks, label[inside].tolist(), name))
            progress(done, len(data))
        if not found:
            raise SignalsError(f"no record of MIT-BIH can be used; {reasons[0] if reasons else 'there is none'}")
        labels = [value for _, _, values, _ in found for value in values]
        counts = Counter(labels)
        for name in names:
            if not counts[name]:
                raise SignalsError(
                    f"class {name!r} is empty: {_page.readable(data.root)} has no such beat "
                    f"(by={by!r}){_counted(left_out)}"
                )
        records = np.array([name for x, _, _, name in found for _ in x], dtype=str)
        signals = cls(
            np.concatenate([x for x, _, _, _ in found]),
            RPeaks.from_list([row for _, rows, _, _ in found for row in rows]),
            np.array([_MITBIH_SAME_PATIENT.get(name, name) for name in records.tolist()], dtype=str),
            np.array([names.index(value) for value in labels], dtype=np.int64),
            fs,
            wanted,
            names,
            np.where(np.isin(records, np.array(_MITBIH_TEST).astype(str)), "test", ""),
            f"MIT-BIH Arrhythmia Database 1.0.0, beats from {before:g} s before to {after:g} s after the R peak",
            _MITBIH_LICENCE,
            _nonzero(left_out),
        )
        usable = _usable(signals.x, left_out)
        signals = replace(signals.take(np.flatnonzero(usable)), left_out=_nonzero(left_out))._with_every_class()
        return signals if at_most is None else signals.at_most(at_most)

    @classmethod
    def sines(
        cls, n: int, *, length: int = 100, n_cycles: float = 2.0, fs: float = 100.0, rng: Any = None
    ) -> "Signals":
        """Return sines of amplitude 1 and one frequency, with phases uniform from -pi to pi.

        Parameters
        ----------
        n : int
            How many.
        length : int, default 100
            Samples of each.
        n_cycles : float, default 2
            Periods in this length.
        fs : float, default 100
            Sampling rate in Hz.
        rng : numpy Generator, seed or None
            Random numbers.
        """
        phases = _validate.generator(rng).uniform(-np.pi, np.pi, (_validate.positive_integer(n, "n"), 1, 1))
        t = np.arange(_validate.positive_integer(length, "length"))[:, None] / length
        return cls(
            np.sin(2 * np.pi * n_cycles * t + phases).astype(np.float32),
            RPeaks(np.empty(0), np.zeros(n + 1, np.int64)),
            np.arange(n).astype(str),
            np.zeros(n, np.int64),
            float(fs),
            ("sine",),
            ("sine",),
            np.full(n, ""),
            f"sines of amplitude 1, {n_cycles:g} cycles in {length} samples, random phase",
        )

    # --- others made from these -----------------------------------------------------------------------------------

    def beats(self, before: float = 0.3, after: float = 0.5) -> "Signals":
        """Return a window around every R peak, which is at sample ``round(before * fs)``.

        Parameters
        ----------
        before, after : float, default 0.3 and 0.5
            Seconds before the R peak and from it on; beats whose window would leave the row are left out and counted.
        """
        n_before, n_after = _window(before, after, self.fs)
        windows: list[NDArray[np.float32]] = []
        peaks: list[NDArray[np.float64]] = []
        of_row: list[int] = []
        for row, in_row in enumerate(self.r_peaks.rows()):
            starts = np.rint(in_row).astype(np.int64) - n_before
            for start in starts[(starts >= 0) & (starts + n_before + n_after <= self.length)].tolist():
                windows.append(self.x[row, start : start + n_before + n_after])
                peaks.append(_within(in_row - start, n_before + n_after))
                of_row.append(row)
        if not windows:
            raise SignalsError(f"no R peak has {before} s before and {after} s after it within {self.length} samples")
        lost = len(self.r_peaks.values) - len(windows)
        return replace(
            self,
            x=np.stack(windows),
            r_peaks=RPeaks.from_list(peaks),
            patients=self.patients[of_row],
            labels=self.labels[of_row],
            parts=self.parts[of_row],
            source=f"{self.source}, beats from {before:g} s before to {after:g} s after the R peak",
            left_out=_nonzero(Counter(self.left_out) + Counter({"with a window beyond the record": lost})),
        )._with_every_class()

    def structured(self, waves: Waves = PHYSIO) -> "Signals":
        """Return synthetic ECGs of one lead, with these waves at the R peaks of each row.

        Parameters
        ----------
        waves : Waves, default PHYSIO
            P, Q, R, S, T and U; ``ecgkern.waveform.SEED`` for those of the blog.
        """
        if not len(self.r_peaks.values):
            raise SignalsError(f"{self.source} has no R peaks to place waves at")
        x = waveform.gaussian_waves(
            self.r_peaks.values, row_offsets=self.r_peaks.row_offsets, fs=self.fs, length=self.length, waves=waves
        )
        return replace(
            self,
            x=np.asarray(x)[:, :, None],
            leads=(R_LEAD,),
            source=f"waves placed at the R peaks of {self.source}",
        )

    def take(self, rows: Iterable[int]) -> "Signals":
        """Return these rows, in this order."""
        index = np.asarray(rows, dtype=np.int64)
        return replace(
            self,
            x=self.x[index],
            r_peaks=self._peaks_of(index),
            patients=self.patients[index],
            labels=self.labels[index],
            parts=self.parts[index],
        )

    def at_most(self, n: int) -> "Signals":
        """Return at most `n` rows of each class, evenly spread."""
        n = _validate.positive_integer(n, "n")
        kept = [_page.spread(np.flatnonzero(self.labels == label).tolist(), n) for label in range(len(self.classes))]
        return self.take(sorted(row for rows in kept for row in rows))

    def split(self, *, validation: float = 0.1, test: float = 0.1, seed: int = 0, recommended: bool = True) -> Split:
        """Divide into training, validation and test, so that each patient is in one of them.

        Parameters
        ----------
        validation, test : float, default 0.1
            Shares of the patients.
        seed : int, default 0
            Of the draw.
        recommended : bool, default True
            Take the parts that those who made the data recommend (PTB-XL: folds 1 to 8, 9, 10), as far as they do; a
            set that is of one part alone is divided by seed.

        Raises
        ------
        SignalsError
            If there are too few patients for every part to have every class.
        """
        for name, share in (("validation", validation), ("test", test)):
            if not 0 < share < 1 or validation + test >= 1:
                raise SignalsError(f"validation and test must be above 0, and below 1 together, got {name}={share}")
        recommended = recommended and len(np.unique(self.parts)) > 1
        parts = self.parts.astype("U10") if recommended else np.full(len(self), "", "U10")
        shares = {"test": test, "validation": validation}
        missing = [name for name in shares if not self._has_every_class(parts == name)]
        free = ~np.isin(parts, [name for name in shares if name not in missing])
        parts[free] = "train"
        for name in missing:
            # A share of all patients is a larger share of those that are left.
            left = len(np.unique(self.patients[parts == "train"]))
            parts = self._draw(parts, name, round(shares[name] * len(np.unique(self.patients))) or 1, left, seed)
        owners = [set(self.patients[parts == name].tolist()) for name in _PARTS]
        shared = (owners[0] & owners[1]) | (owners[0] & owners[2]) | (owners[1] & owners[2])
        if shared:
            raise SignalsError(
                f"the recommended parts share {_page.plural(len(shared), 'patient')}, such as {min(shared)}; "
                "split with recommended=False"
            )
        if not self._has_every_class(parts == "train"):
            raise SignalsError(self._too_few("training"))
        return Split(*(self.take(np.flatnonzero(parts == name)) for name in _PARTS))

    def _draw(self, parts: NDArray[np.str_], name: str, n: int, left: int, seed: int) -> NDArray[np.str_]:
        """Move the rows of n patients from training to another part; both keep every class."""
        rng = np.random.default_rng([seed, _PARTS.index(name)])
        training = parts == "train"
        owners = np.unique(self.patients[training])
        for _ in range(_DRAWS if left > n else 0):
            chosen = training & np.isin(self.patients, rng.permutation(owners)[:n])
            if self._has_every_class(chosen) and self._has_every_class(training & ~chosen):
                return np.where(chosen, name, parts)
        raise SignalsError(self._too_few(name))

    def _has_every_class(self, rows: NDArray[np.bool_]) -> bool:
        return len(np.unique(self.labels[rows])) == len(self.classes)

    def _too_few(self, name: str) -> str:
        owners = {each: len(np.unique(self.patients[self.labels == i])) for i, each in enumerate(self.classes)}
        return f"too few patients for {name} to have every class: {owners} patients have one; take more records"

    # --- for training ---------------------------------------------------------------------------------------------

    def weights(self, rows: Iterable[int] | None = None, waves: Waves | None = None) -> NDArray[np.float32]:
        """Return the weights of a mean squared error around the waves of rows, shape (n, length).

        Parameters
        ----------
        rows : iterable of int, optional
            By default all.
        waves : Waves, optional
            What is added to 1 at each R peak; by default that of :class:`ecgkern.torch.WeightedMSELoss`.
        """
        peaks = self._peaks_of(np.arange(len(self)) if rows is None else np.asarray(rows, dtype=np.int64))
        added = waveform.gaussian_waves(
            peaks.values,
            row_offsets=peaks.row_offsets,
            fs=self.fs,
            length=self.length,
            waves=WeightedMSELoss(self.fs).waves if waves is None else waves,
        )
        return 1 + np.asarray(added, dtype=np.float32)

    def batch(
        self, rows: Iterable[int], *, weighted: bool = True, device: torch.device | str = "cpu"
    ) -> dict[str, Tensor]:
        """Return rows as tensors: "x", "weight" if there are R peaks, "condition" if there are several classes.

        Parameters
        ----------
        rows : iterable of int
            Which.
        weighted : bool, default True
            Whether to make weights; they are computed here and never kept.
        device : torch.device or str, default "cpu"
            Where to put them.
        """
        index = np.asarray(rows, dtype=np.int64)
        batch = {"x": torch.from_numpy(self.x[index])}
        if weighted and len(self.r_peaks.values):
            batch["weight"] = torch.from_numpy(self.weights(index))
        if len(self.classes) > 1:
            batch["condition"] = torch.from_numpy(self.labels[index])
        return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}

    def facts(self) -> dict[str, Any]:
        """Return what they are, in plain numbers and text, with a hash of signals, R peaks and labels."""
        digest = hashlib.sha256()
        for array in (self.x, self.r_peaks.values, self.r_peaks.row_offsets, self.labels):
            digest.update(np.ascontiguousarray(array).tobytes())
        counts = np.bincount(self.labels, minlength=len(self.classes)).tolist()
        return {
            "source": self.source,
            "licence": self.licence,
            "rows": len(self),
            "length": self.length,
            "fs": self.fs,
            "leads": list(self.leads),
            "classes": dict(zip(self.classes, counts, strict=True)),
            "patients": len(np.unique(self.patients)),
            "left_out": dict(self.left_out),
            "sha256": digest.hexdigest(),
        }

    # --- files ----------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to a .npz file, which appears whole or not at all.

        Parameters
        ----------
        path : path
            With the ending .npz.
        """
        words = {"fs": self.fs, "leads": self.leads, "classes": self.classes, "source": self.source}
        words |= {"licence": self.licence, "left_out": dict(self.left_out)}
        with _page.replacing(Path(path)) as part, part.open("wb") as file:
            np.savez(
                file,
                x=self.x,
                r_peaks=self.r_peaks.values,
                row_offsets=self.r_peaks.row_offsets,
                patients=self.patients,
                labels=self.labels,
                parts=self.parts,
                facts=np.array(json.dumps(words)),
            )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Signals":
        """Read what `save` wrote; no code in the file is run.

        Parameters
        ----------
        path : path
            The .npz file.

        Raises
        ------
        SignalsError
            If it is not such a file.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                facts = json.loads(str(file["facts"]))
                return cls(
                    file["x"],
                    RPeaks(file["r_peaks"], _validate.row_offsets(file["row_offsets"], file["r_peaks"].size)),
                    file["patients"],
                    file["labels"],
                    facts["fs"],
                    tuple(facts["leads"]),
                    tuple(facts["classes"]),
                    file["parts"],
                    facts["source"],
                    facts["licence"],
                    facts["left_out"],
                )
        except (FileNotFoundError, PermissionError, IsADirectoryError):
            raise
        except (
            ValueError,
            KeyError,
            TypeError,
            OSError,
            EOFError,
            pickle.UnpicklingError,
            zipfile.BadZipFile,
        ) as error:
            reason = str(error).partition("\n")[0]
            raise SignalsError(
                f"{_page.readable(Path(path))} is damaged or no file of signals ({type(error).__name__}: {reason})"
            ) from error

    # --- small parts ----------------------------------------------------------------------------------------------

    def _peaks_of(self, index: NDArray[np.int64]) -> RPeaks:
        offsets = self.r_peaks.row_offsets
        counts = offsets[index + 1] - offsets[index]
        ends = np.cumsum(counts)
        # Place of each peak in the old array: the start of its row, and how far into the row it is.
        places = np.repeat(offsets[index] - (ends - counts), counts) + np.arange(counts.sum())
        return RPeaks(self.r_peaks.values[places], np.concatenate(([0], ends)).astype(np.int64))

    def _with_every_class(self) -> "Signals":
        """Return itself, unless a class has lost all its rows."""
        for i, name in enumerate(self.classes):
            if not (self.labels == i).any():
                raise SignalsError(f"class {name!r} is empty: nothing of it can be used{_counted(self.left_out)}")
        return self


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    several = (names,) if isinstance(names, str) else tuple(names)
    if not several or len(set(several)) != len(several):
        raise SignalsError(f"classes and leads must be names, each once, got {names!r}")
    return several


def _usable(x: NDArray[np.float32], left_out: Counter[str]) -> NDArray[np.bool_]:
    """Tell the rows of numbers without a constant lead, and count the others."""
    valid = np.isfinite(x).all(axis=(1, 2))
    moving = (x != x[:, :1]).any(axis=1).all(axis=1)
    left_out["with samples marked as invalid"] += int((~valid).sum())
    left_out["with a constant lead"] += int((valid & ~moving).sum())
    return cast(NDArray[np.bool_], valid & moving)


def _nonzero(counts: Mapping[str, int]) -> dict[str, int]:
    return {reason: n for reason, n in counts.items() if n}


def _counted(left_out: Mapping[str, int]) -> str:
    reasons = ", ".join(f"{n} {reason}" for reason, n in _nonzero(left_out).items())
    return f" (left out: {reasons})" if reasons else ""


def _window(before: float, after: float, fs: float) -> tuple[int, int]:
    if not (0 <= before < np.inf and 0 <= after < np.inf) or round(before * fs) + round(after * fs) < 1:
        raise SignalsError(f"before and after must be seconds from 0, of a sample or more, got {before} and {after}")
    return round(before * fs), round(after * fs)


def _within(peaks: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    return peaks[(peaks >= 0) & (peaks <= length - 1)]


def _resampled_windows(
    signal: NDArray[np.float32],
    fs: float,
    samples: NDArray[np.int64],
    wanted: NDArray[np.bool_],
    new_fs: float,
    before: float,
    after: float,
) -> tuple[NDArray[np.float32], list[NDArray[np.float64]], NDArray[np.bool_]]:
    """Cut windows around the wanted samples, at another rate; tell their peaks, and which were inside the signal."""
    if new_fs > fs:
        raise SignalsError(f"fs must be at most the {fs:g} Hz of the records, got {new_fs:g}")
    n_before, n_after = _window(before, after, new_fs)
    ratio = Fraction(new_fs / fs).limit_denominator(1000)
    if abs(float(ratio) * fs - new_fs) > 1e-9 * new_fs:
        raise SignalsError(f"fs must be a simple fraction of {fs:g} Hz, got {new_fs:g}")
    up, down = ratio.numerator, ratio.denominator
    # Of the new samples before the peak a multiple of `up` is cut: then the peak falls on one of them exactly.
    lead_in = -(-(n_before + _FILTER_MARGIN) // up) * up
    first = samples - lead_in * down // up
    last = samples + -(-(n_after + _FILTER_MARGIN) * down // up)
    inside = wanted & (first >= 0) & (last <= len(signal))
    if not inside.any():
        return np.empty((0, n_before + n_after, signal.shape[1]), np.float32), [], inside
    cut = signal[first[inside, None] + np.arange(last[0] - first[0])]
    if up != down:
        try:
            from scipy.signal import resample_poly
        except ImportError:
            raise ImportError('resampling beats needs SciPy: pip install "ecgkern[stats]"') from None
        cut = resample_poly(cut, up, down, axis=1, padtype="line")
    x = np.ascontiguousarray(cut[:, lead_in - n_before : lead_in + n_after], dtype=np.float32)
    peaks = [_within((samples - sample) * (new_fs / fs) + n_before, n_before + n_after) for sample in samples[inside]]
    return x, peaks, inside
