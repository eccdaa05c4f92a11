"""The files that records are written to: a NumPy archive, WFDB records, a table. Each appears whole or not at all."""

import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import ecgkern
from ecgkern import _page
from ecgkern.data import LEADS_8, LEADS_12, to_12_leads
from ecgkern.generate._sampler import GenerateError, Sampler, Signals

Write = Callable[[int, Signals], None]

_GAIN = 1000  # steps per mV of the 16-bit records, 1 µV as in PTB-XL
_LARGEST = 32_000  # steps


def facts(sampler: Sampler, path: Path, n: int) -> dict[str, Any]:
    """What is written with the records."""
    return {
        "source": f"synthetic, from {type(sampler.model).__name__} ({path.name}) by ecgkern {ecgkern.__version__}",
        "licence": sampler.facts.get("licence", ""),
        "left_out": {},
        "fs": sampler.fs,
        "leads": list(lead_names(sampler.leads)),
        "classes": list(sampler.classes) or ["synthetic"],
        "condition": sampler.condition,
        "seed": sampler.seed,
        "n": n,
    }


def lead_names(leads: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the leads that are written: all twelve where the model has the eight independent ones."""
    return LEADS_12 if set(leads) == set(LEADS_8) else leads


def all_leads(records: Signals, leads: tuple[str, ...]) -> Signals:
    """Complete the eight independent leads to twelve; leave any others as they are."""
    if lead_names(leads) == leads:
        return records
    complete: Signals = to_12_leads(records, leads).astype(np.float32, copy=False)
    return complete


# --- each writer is a context that gives a function of (number of the first record, records) -----------------------


@contextmanager
def _npz(path: Path, facts: Mapping[str, Any], n: int, length: int) -> Iterator[Write]:
    """A NumPy archive whose signals are written as they come, so that they need not fit into the memory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    leads = facts["leads"]
    label = facts["classes"].index(facts["condition"]) if facts["condition"] else 0
    small = {
        "fs": np.float64(facts["fs"]),
        "leads": np.array(leads),
        "facts": np.array(json.dumps(facts)),
        # What Signals.load wants as well. Synthetic records are of nobody, and their R peaks are not known.
        "r_peaks": np.empty(0),
        "row_offsets": np.zeros(n + 1, np.int64),
        "patients": np.array([f"synthetic {i}" for i in range(n)]),
        "labels": np.full(n, label, np.int64),
        "parts": np.full(n, "", "U10"),
    }
    with _page.replacing(path) as part, zipfile.ZipFile(part, "w") as archive:
        for name, array in small.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
        with archive.open("x.npy", "w", force_zip64=True) as member:
            header = {"descr": "<f4", "fortran_order": False, "shape": (n, length, len(leads))}
            np.lib.format.write_array_header_1_0(member, header)

            def write(first: int, records: Signals) -> None:
                member.write(np.ascontiguousarray(records, "<f4").data)

            yield write


@contextmanager
def _csv(path: Path, facts: Mapping[str, Any], n: int, length: int) -> Iterator[Write]:
    """A table with a line for each sample: record, time in s, and the leads in mV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = [f"{k / facts['fs']:.9g}" for k in range(length)]
    line = ",".join(["%s,%s", *["%.6f"] * len(facts["leads"])])  # 1 nV
    with _page.replacing(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(["record", "time_s", *(f"{lead}_mV" for lead in facts["leads"])]) + "\n")

        def write(first: int, records: Signals) -> None:
            for record, signal in enumerate(records.tolist(), start=first):
                name = _record_name(record)
                lines = (line % (name, t, *row) for t, row in zip(times, signal, strict=True))
                file.write("\n".join(lines) + "\n")

        yield write


@contextmanager
def _wfdb(path: Path, facts: Mapping[str, Any], n: int, length: int) -> Iterator[Write]:
    """A folder of WFDB records with the list of their names, which appears when all are written."""
    import wfdb

    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise GenerateError(f"--out {path} is there already and not empty; name a new folder for the records")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.mkdir()
    leads = facts["leads"]
    comments = [f"{facts['source']}; no recording of a patient, not for clinical use"]
    comments += [f"class: {facts['condition']}"] if facts["condition"] else []

    def write(first: int, records: Signals) -> None:
        for record, signal in enumerate(records, start=first):
            highest = float(np.abs(signal).max())
            gain = min(_GAIN, _LARGEST / highest) if highest else _GAIN
            wfdb.wrsamp(
                _record_name(record),
                fs=facts["fs"],
                units=["mV"] * len(leads),
                sig_name=list(leads),
                p_signal=signal.astype(np.float64),
                fmt=["16"] * len(leads),
                adc_gain=[gain] * len(leads),
                baseline=[0] * len(leads),
                comments=[*comments, f"seed {facts['seed']}, record {record}"],
                write_dir=str(part),
            )

    try:
        yield write
        names = "".join(f"{_record_name(record)}\n" for record in range(n))
        (part / "RECORDS").write_text(names, encoding="utf-8")
        os.replace(part, path)  # an empty folder may be there
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _record_name(record: int) -> str:
    return f"synthetic_{record:06d}"


WRITERS: dict[str, Callable[[Path, Mapping[str, Any], int, int], AbstractContextManager[Write]]] = {
    "npz": _npz,
    "wfdb": _wfdb,
    "csv": _csv,
}
