"""``ecgkern evaluate``: how good synthetic ECGs are, beside real ones.

Sets of records are compared with real ones by the tests and distances of `ecgkern.stats`, by their spectra, heart
rates, limb leads and amplitudes; several of them side by side. What every number should be judged by is the same number
between two halves of the real records.
"""

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ecgkern import _dispatch, _page
from ecgkern._progress import Progress

__all__ = ["add_arguments", "evaluate", "run"]

# The steps, with their shares of the progress bar: about how many percent of the time each takes.
_STEPS = {
    "loading libraries": 10,
    "reading records": 10,
    "finding R peaks": 35,
    "comparing": 35,
    "drawing": 10,
}
_INSTALL = 'pip install "ecgkern[all]"'
_LIBRARIES = ("scipy.signal", "neurokit2", "matplotlib.figure")
_PTBXL_LIBRARIES = ("wfdb", "pandas")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``ecgkern evaluate`` to its parser.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The (sub)parser of the command.
    """
    add = parser.add_argument
    add(
        "real",
        metavar="REAL",
        help="the real records: a .npy or .npz file (FILE.npz:NAME if it holds several arrays and none is called x) of "
        "shape (n, leads, samples) or (n, samples) in mV; or a folder of PTB-XL or its parent",
    )
    add(
        "synthetic",
        metavar="SYNTHETIC",
        nargs="+",
        help="the synthetic records: the same; several sets are put side by side",
    )
    add("--split", choices=("half",), help="give REAL twice, to compare two random halves of it, patient by patient")
    for side in ("real", "synthetic"):
        add(
            f"--{side}-filter",
            metavar="CODES",
            help=f"of PTB-XL as {side.upper()}, take records with one of these, such "
            "as NORM or MI,LVH: superclasses, subclasses, statements",
        )
    for side in ("real", "synthetic"):
        add(
            f"--patients-{side}",
            metavar="FILE",
            help=f"who each record of {side.upper()} is of: .npy, or .csv with the "
            "column patient_id; whole patients are then permuted and halved (PTB-XL: known)",
        )
    add(
        "--fs",
        metavar="HZ",
        type=float,
        help="sampling rate (default: what the files say, or that of PTB-XL, which has 100 and 500; else 100)",
    )
    add(
        "--lead-order",
        metavar="NAMES",
        help="the leads of the files that do not say theirs, in their order, such as I,II,V1 (default: those of "
        "PTB-XL where there are twelve that fit)",
    )
    add("--leads", metavar="NAMES", help="compare these leads only")
    add("--records", metavar="N", type=int, help="use at most N records of each side, evenly spread (default: 2000)")
    add("--n-resamples", metavar="N", type=int, default=999, help="permutations of the tests (default: %(default)s)")
    add("--seed", metavar="N", type=int, default=0, help="of permutations and halves (default: %(default)s)")
    add("--backend", choices=_dispatch.HOST_BACKENDS, help="what computes (default: the fastest)")
    add("--out", metavar="DIR", default="ecgkern-evaluate", help="where to write (default: %(default)s)")
    add("--json", dest="as_json", action="store_true", help="print report.json instead of the table")
    add("--quiet", action="store_true", help="show no progress bar")


def run(args: argparse.Namespace) -> int:
    """Run ``ecgkern evaluate`` with parsed options.

    Parameters
    ----------
    args : argparse.Namespace
        Options as `add_arguments` defines them.

    Returns
    -------
    int
        Exit status: 0, 2 if an option, the records or the output folder do not work (one line on stderr says why), 130
        after Ctrl-C.
    """
    from ecgkern.data import RecordError
    from ecgkern.evaluate._input import EvaluateError

    options = {name: value for name, value in vars(args).items() if name != "command"}
    try:
        evaluate(**options)
    except BrokenPipeError:  # the reader of the table, `head` say, has seen enough: no error of files
        raise
    except (EvaluateError, RecordError, ImportError, OSError) as error:
        print(f"ecgkern evaluate: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ecgkern evaluate: interrupted; every file that was written is complete", file=sys.stderr)
        return 130
    return 0


def evaluate(
    real: str | os.PathLike[str],
    synthetic: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    *,
    split: str | None = None,
    real_filter: str | None = None,
    synthetic_filter: str | None = None,
    patients_real: str | None = None,
    patients_synthetic: str | None = None,
    fs: float | None = None,
    lead_order: str | None = None,
    leads: str | None = None,
    records: int | None = None,
    n_resamples: int = 999,
    seed: int = 0,
    backend: str | None = None,
    out: str | os.PathLike[str] = "ecgkern-evaluate",
    as_json: bool = False,
    quiet: bool = False,
) -> Path:
    """Compare synthetic ECGs with real ones, print a table and write a report.

    Parameters
    ----------
    real : path
        The real records: a .npy or .npz file, or a folder of PTB-XL or its parent. Arrays have shape (n, leads,
        samples) or (n, samples) and mV; of the two last axes the shorter one is the leads. ``file.npz:name`` is one of
        several arrays, by default the one called x. Beside it the file may hold its fs, leads and patients, or these in
        a JSON text called facts, as the files of `ecgkern.generate` and of `ecgkern.torch.data.Signals` do.
    synthetic : path or sequence of path
        The synthetic records: the same. Several sets are put side by side in one table: distances of equally many
        records of each, with real records from real ones as the yardstick, and what is nearest to it marked.
    split : {"half"}, optional
        Instead of `synthetic`, compare two random halves of the real records.
    real_filter, synthetic_filter : str, optional
        Of PTB-XL, take the records with one of these superclasses, subclasses or statements, separated by commas.
    patients_real, patients_synthetic : path, optional
        Labels of the patients, one a record: .npy, or .csv with the column patient_id or with one column. For PTB-XL
        they are known. Whole patients are then permuted and halved.
    fs : float, optional
        Sampling rate in Hz: by default what the files say, or that of PTB-XL (which has 100 and 500), else 100.
    lead_order : str, optional
        Names of the leads of the files that do not say theirs, in their order, separated by commas. By default those of
        PTB-XL, for twelve leads that obey Einthoven's law in that order.
    leads : str, optional
        The leads to compare, by default all.
    records : int, optional
        How many records to use of each side at most, evenly spread over those there are. By default 2000.
    n_resamples : int, default 999
        Permutations of the tests.
    seed : int, default 0
        Of the permutations and halves.
    backend : {"fortran", "numba", "numpy"}, optional
        What computes; by default the fastest that is ready.
    out : path, default "ecgkern-evaluate"
        Folder to write to; its files are replaced one by one, each at once.
    as_json : bool, default False
        Print ``report.json`` instead of the table.
    quiet : bool, default False
        Show no progress bar.

    Returns
    -------
    Path
        The report, ``report.html``. Beside it lie ``report.json`` and the pictures, those of several sets in a folder
        for each.

    Raises
    ------
    ValueError
        If records cannot be used or an argument does not fit.
    OSError
        If the output folder cannot be written.
    ImportError
        If a library is missing (``pip install "ecgkern[all]"``) or the backend is not ready.

    Examples
    --------
    >>> from ecgkern.evaluate import evaluate
    >>> report = evaluate("real.npy", "synthetic.npy", fs=100)  # doctest: +SKIP
    >>> report.name  # doctest: +SKIP
    'report.html'
    """
    start = time.perf_counter()
    if not os.fspath(out):
        raise FileNotFoundError("the output folder is an empty path; name one with --out")
    folder = Path(out).expanduser()
    sets = [] if synthetic is None else [synthetic] if isinstance(synthetic, (str, os.PathLike)) else list(synthetic)
    with Progress(_STEPS, quiet, f"evaluate needs tqdm: {_INSTALL}") as progress:
        with progress.step("loading libraries"):
            folders = [side for side in (real, *sets) if side and Path(side).expanduser().is_dir()]
            _import_libraries(_LIBRARIES + (_PTBXL_LIBRARIES if folders else ()))
        import numpy as np

        from ecgkern.evaluate import _compare, _features, _input, _pictures, _report, _side_by_side

        _check(n_resamples, seed, backend)
        rng = np.random.default_rng(seed)
        with progress.step("reading records") as advance:
            pairs = _input.load(
                _input.Options("REAL", "real", os.fspath(real), real_filter, patients_real),
                _input.synthetic_options([os.fspath(path) for path in sets], synthetic_filter, patients_synthetic),
                split=split,
                fs=fs,
                leads=leads,
                lead_order=lead_order,
                records=records,
                rng=rng,
                advance=advance,
            )
        for name in ("", *_pictures.folders(pairs)):  # so that a wrong folder ends the run now, not after the work
            _page.make_writable(folder / name)
        progress.say(_input.headline(pairs), error=as_json)
        with progress.step("finding R peaks") as advance:
            sides = [pairs[0].real, *(pair.synthetic for pair in pairs)]
            first, *others = (
                _features.measure(side, pairs[0], _input.share(advance, k, len(sides))) for k, side in enumerate(sides)
            )
        with progress.step("comparing") as advance:
            comparisons = _compare.compare(
                pairs, first, others, n_resamples=n_resamples, seed=seed, rng=rng, backend=backend, advance=advance
            )
        with progress.step("drawing") as advance:
            pictures = _pictures.draw_all(comparisons, advance)
        settings = {"seed": seed, "n_resamples": n_resamples, "backend": backend or _default_backend()}
        form = _report if len(pairs) == 1 else _side_by_side
        numbers = form.summarise(comparisons, settings, progress.seconds)
        report = _page.write_report(folder, pictures, numbers, form.page(numbers, pictures))
    if as_json:
        print(json.dumps(numbers, indent=1, allow_nan=False))
    else:
        print(f"\n{form.terminal(numbers)}")
        print(f"Report: {report.resolve()} ({time.perf_counter() - start:.0f} s)")
    return report


def _check(n_resamples: int, seed: int, backend: str | None) -> None:
    from ecgkern.evaluate._input import EvaluateError

    if n_resamples < 1:
        raise EvaluateError(f"--n-resamples must be at least 1, got {n_resamples}")
    if seed < 0:
        raise EvaluateError(f"--seed must be at least 0, got {seed}")
    _dispatch.load("stats", backend)


def _default_backend() -> str:
    return _dispatch.load("stats", None).__name__.rpartition("._")[2]


def _import_libraries(names: tuple[str, ...]) -> None:
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ImportError(f"evaluate needs {error.name or name}: {_INSTALL}") from error
