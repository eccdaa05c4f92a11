"""``ecgkern generate``: records drawn from a trained model, as a NumPy archive, as WFDB records or as a table.

Record i of a seed is made from random numbers of its own, so that it is the same in whatever batch it is drawn. At the
end NeuroKit2 looks at some of the records, signal quality and R peaks, beside those that the model was trained on.
"""

import argparse
import importlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgkern import _page
from ecgkern._progress import Advance, Progress

if TYPE_CHECKING:
    from ecgkern.generate._look import Comparison
    from ecgkern.generate._sampler import Sampler, Signals

__all__ = ["add_arguments", "generate", "run"]

_STEPS = {"loading the model": 10, "generating": 60, "looking": 25, "drawing": 5}
_FORMATS = {".npz": "npz", ".csv": "csv", "": "wfdb"}
_LOOKED_AT = 200  # records, of which NeuroKit2 takes some 20 ms each


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``ecgkern generate`` to its parser.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The (sub)parser of the command.
    """
    add = parser.add_argument
    add("model", metavar="MODEL", help="a trained model, a .safetensors file")
    add("--n", metavar="N", type=int, default=1000, help="how many records (default: %(default)s)")
    add(
        "--out",
        metavar="PATH",
        default="synthetic.npz",
        help="a .npz file, a .csv file, or a new folder for WFDB records (default: %(default)s)",
    )
    add("--format", choices=tuple(_FORMATS.values()), help="of the output (default: by the ending of --out)")
    add(
        "--seed",
        metavar="N",
        type=int,
        default=0,
        help="of the random numbers; the first records of a seed are the same for any --n (default: %(default)s)",
    )
    add("--batch", metavar="N", type=int, default=256, help="records decoded at a time (default: %(default)s)")
    add("--condition", metavar="CLASS", help="the class to draw from, for a model that was trained on several")
    add("--device", metavar="NAME", help="cpu, cuda, cuda:1, ... (default: the first GPU, else cpu)")
    add(
        "--interpolate",
        metavar=("A", "B"),
        nargs=2,
        type=int,
        help="also draw what lies between records A and B, as a picture beside the output",
    )
    add(
        "--reference",
        metavar="FILE",
        help="the .npz file of signals that the model was trained on: R peaks and quality are compared with these, and "
        "drawn beside the output",
    )
    add(
        "--look",
        metavar="N",
        type=int,
        default=_LOOKED_AT,
        help="records that NeuroKit2 looks at in the end, evenly spread; 0 for none (default: %(default)s)",
    )
    add("--quiet", action="store_true", help="show no progress bar")


def run(args: argparse.Namespace) -> int:
    """Run ``ecgkern generate`` with parsed options.

    Parameters
    ----------
    args : argparse.Namespace
        Options as `add_arguments` defines them.

    Returns
    -------
    int
        Exit status: 0, 2 if an option, the model or the output does not work (one line on stderr says why), 130 after
        Ctrl-C.
    """
    options = {name: value for name, value in vars(args).items() if name != "command"}
    try:
        generate(**options)
    except BrokenPipeError:  # the reader of the table, `head` say, has seen enough: no error of files
        raise
    except (ValueError, ImportError, OSError) as error:
        print(f"ecgkern generate: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ecgkern generate: interrupted; no unfinished output is left", file=sys.stderr)
        return 130
    return 0


def generate(
    model: str | os.PathLike[str],
    out: str | os.PathLike[str] = "synthetic.npz",
    *,
    n: int = 1000,
    format: str | None = None,
    seed: int = 0,
    batch: int = 256,
    condition: str | None = None,
    device: str | None = None,
    interpolate: Sequence[int] | None = None,
    reference: str | os.PathLike[str] | None = None,
    look: int = _LOOKED_AT,
    quiet: bool = False,
) -> Path:
    """Draw records from a trained model, write them, and print what NeuroKit2 says of them.

    Parameters
    ----------
    model : path
        A .safetensors file of `ecgkern.torch.models.save`.
    out : path, default "synthetic.npz"
        What to write. It appears whole or not at all; a file is replaced, a folder must be new or empty.
    n : int, default 1000
        How many records.
    format : {"npz", "wfdb", "csv"}, optional
        By default by the ending of `out`: a folder for WFDB records has none.
    seed : int, default 0
        Of the random numbers. Every record has its own: the same for any `n`, and to rounding for any `batch`.
    batch : int, default 256
        How many records are decoded at a time; the memory needed is proportional to it.
    condition : str, optional
        The class to draw from, for a model that was trained on several.
    device : str, optional
        Where to compute, by default on the first GPU if there is one.
    interpolate : (int, int), optional
        Numbers of two records: what lies between them is drawn as a picture beside `out`.
    reference : path, optional
        The signals that the model was trained on, a .npz file of `ecgkern.torch.data.Signals` or of this function.
    look : int, default 200
        How many records NeuroKit2 looks at, evenly spread; 0 for none.
    quiet : bool, default False
        Show no progress bar.

    Returns
    -------
    Path
        The output.

    Raises
    ------
    ValueError
        If an argument does not fit the model, or the model gives values that are no numbers.
    OSError
        If the output cannot be written.
    ImportError
        If a library is missing.

    Notes
    -----
    A .npz file holds ``x`` (n, length, leads) in mV, ``fs``, ``leads``, and ``facts``, a JSON text with what made them;
    `ecgkern.torch.data.Signals.load` reads it too. WFDB records have 16 bits and 1 µV steps, and say in their comments
    that they are synthetic. Where the model has the eight independent leads, all twelve are written.

    Examples
    --------
    >>> from ecgkern.generate import generate
    >>> generate("run/model.safetensors", "synthetic.npz", n=100)  # doctest: +SKIP
    PosixPath('synthetic.npz')
    """
    start = time.perf_counter()
    for name, value, least in (("n", n, 1), ("batch", batch, 1), ("look", look, 0), ("seed", seed, 0)):
        if value < least:
            raise ValueError(f"--{name} must be at least {least}, got {value}")
    path = Path(out).expanduser()
    kind = format or _FORMATS.get(path.suffix.lower(), "")
    if not path.name or not kind:
        raise ValueError(f"--out must be a .npz file, a .csv file or a folder, or --format must be given, got {path}")
    with Progress(_STEPS, quiet, 'generate needs tqdm: pip install "ecgkern[ecg]"') as progress:
        with progress.step("loading the model"):
            _require(("wfdb",) if kind == "wfdb" else ())
            _require(("neurokit2",) if look else ())
            _require(("matplotlib.figure",) if interpolate or reference else ())
            from ecgkern.generate import _files, _look, _sampler

            sampler = _sampler.Sampler.load(model, seed=seed, condition=condition, device=device)
            facts = _files.facts(sampler, Path(model), n)
            # What can be wrong with these ends the run now, not after the work.
            between = _sampler.interpolate(sampler, *interpolate) if interpolate else None
            real = None if reference is None else _look.reference(Path(reference).expanduser(), sampler.fs, look)
        rows = set(_page.spread(range(n), look))
        with progress.step("generating") as advance, _files.WRITERS[kind](path, facts, n, sampler.length) as write:
            kept = _write_all(sampler, n, batch, rows, write, advance)
        with progress.step("looking") as advance:
            comparison = None
            if look and sampler.length >= _look.SHORTEST * sampler.fs:  # in single beats NeuroKit2 can find nothing
                comparison = _look.look_at_both(kept, real, sampler.fs, advance)
        with progress.step("drawing") as advance:
            drawn = _draw(sampler, between, comparison, path, advance)
    if comparison:
        print(comparison)
    for picture in drawn:
        print(f"Picture: {picture}")
    what = f"{sampler.length} samples at {sampler.fs:g} Hz of {', '.join(facts['leads'])}"
    took = time.perf_counter() - start
    print(f"{_page.plural(n, 'record')} by {type(sampler.model).__name__}, {what}: {path} ({took:.0f} s)")
    return path


def _write_all(
    sampler: "Sampler", n: int, batch: int, wanted: set[int], write: Callable[[int, "Signals"], None], advance: Advance
) -> "Signals":
    """Draw and write every record; return one lead of those that are wanted."""
    from ecgkern.generate._files import all_leads

    kept = []
    for start in range(0, n, batch):
        rows = range(start, min(start + batch, n))
        records = sampler(rows)
        if not np.isfinite(records).all():
            bad = rows[int(np.argmax(~np.isfinite(records).all(axis=(1, 2))))]
            raise ValueError(f"the model gives values that are no numbers, in record {bad}; was its training cut off?")
        kept += [records[row - start, :, sampler.rhythm_lead].copy() for row in rows if row in wanted]
        write(start, all_leads(records, sampler.leads))
        advance(rows.stop, n)
    return np.array(kept, np.float32).reshape(len(kept), sampler.length)


def _draw(
    sampler: "Sampler", between: "Signals | None", comparison: "Comparison | None", path: Path, advance: Advance
) -> list[Path]:
    """Draw what there is to draw, beside the output; return the pictures."""
    if between is None and (comparison is None or comparison.real is None):
        return []
    from ecgkern import _style
    from ecgkern.generate import _pictures

    drawings: dict[str, Callable[[], Any]] = {}
    if between is not None:
        drawings["interpolation"] = partial(_pictures.interpolation, sampler, between)
    if comparison is not None and comparison.real is not None:
        drawings["r-peaks"] = partial(_pictures.r_peaks, comparison)
    written = []
    for name, content in _style.draw_all(drawings, advance).items():
        written.append(path.with_name(f"{path.stem}-{name}.png"))
        _page.write_whole(written[-1], content)
    return written


def _require(names: Sequence[str]) -> None:
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            needed = (error.name or name).partition(".")[0]
            raise ImportError(f'generate needs {needed}: pip install "ecgkern[ecg,plot]"') from error
