"""The main job, ``ecgkern demo``: from recorded ECGs to synthetic ones, and a report that compares them.

Records are read (a folder, else a few from PhysioNet, else a simulation that is called one everywhere), NeuroKit2
finds the R peaks of lead II, `ecgkern.waveform.gaussian_waves` places its P, Q, R, S, T and U waves there, and the
folder of results gets pictures, ``report.json`` with every number, and ``report.html``, one self-contained page.
"""

import argparse
import importlib
import os
import sys
import time
from pathlib import Path

from ecgkern import _dispatch, _page
from ecgkern._progress import Progress

__all__ = ["add_arguments", "demo", "run"]

# The steps, with their shares of the progress bar: about how many percent of the time each takes.
_STEPS = {
    "loading libraries": 10,
    "reading records": 5,
    "finding R peaks": 5,
    "synthesising": 5,
    "measuring intervals": 45,
    "timing": 20,
    "drawing": 10,
}
_LIBRARIES = ("neurokit2", "wfdb", "pandas", "matplotlib.figure")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``ecgkern demo`` to its parser.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The (sub)parser of the command.
    """
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="folder of PTB-XL or MIT-BIH, or its parent; by default the environment variable ECGKERN_DATA, else a few "
        "records from PhysioNet, else, offline, simulated ones",
    )
    parser.add_argument("--out", metavar="DIR", default="ecgkern-demo", help="where to write (default: %(default)s)")
    parser.add_argument(
        "--records",
        metavar="N",
        type=int,
        help="how many records, spread evenly over all (default: up to 400; at most 10 from PhysioNet)",
    )
    parser.add_argument(
        "--sampling-rate", type=int, choices=(100, 500), help="of PTB-XL or simulated records, in Hz (default: 100)"
    )
    parser.add_argument("--backend", choices=_dispatch.HOST_BACKENDS, help="what synthesises (default: the fastest)")
    parser.add_argument("--quiet", action="store_true", help="show no progress bar")


def run(args: argparse.Namespace) -> int:
    """Run ``ecgkern demo`` with parsed options.

    Parameters
    ----------
    args : argparse.Namespace
        Options as `add_arguments` defines them.

    Returns
    -------
    int
        Exit status: 0, 2 if an option, the data or the output folder does not work (one line on stderr says why), 130
        after Ctrl-C.
    """
    from ecgkern.data import RecordError
    from ecgkern.demo._input import DemoError

    try:
        demo(
            args.data,
            args.out,
            records=args.records,
            sampling_rate=args.sampling_rate,
            backend=args.backend,
            quiet=args.quiet,
        )
    except (DemoError, RecordError, ImportError, OSError) as error:
        print(f"ecgkern demo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ecgkern demo: interrupted; every file that was written is complete", file=sys.stderr)
        return 130
    return 0


def demo(
    data: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] = "ecgkern-demo",
    *,
    records: int | None = None,
    sampling_rate: int | None = None,
    backend: str | None = None,
    quiet: bool = False,
) -> Path:
    """Synthesise ECGs at the R peaks of recordings and write a report that compares the two.

    Parameters
    ----------
    data : path, optional
        Folder of PTB-XL or MIT-BIH, or its parent. By default the environment variable ``ECGKERN_DATA``; without it
        ten PTB-XL records are read from PhysioNet, and where that fails the input is simulated, which the first
        printed line, the report and each picture then say.
    out : path, default "ecgkern-demo"
        Folder to write to; its files are replaced one by one, each at once.
    records : int, optional
        How many records to use, spread evenly over those there are. By default all, but at most 400.
    sampling_rate : {100, 500}, optional
        Of PTB-XL or simulated records in Hz, 100 by default. MIT-BIH has 360 Hz and takes none.
    backend : {"fortran", "numba", "numpy"}, optional
        What synthesises; by default the fastest that is ready.
    quiet : bool, default False
        Show no progress bar.

    Returns
    -------
    Path
        The report, ``report.html``. Beside it lie ``report.json`` and the pictures.

    Raises
    ------
    ValueError
        If no record can be used or an argument does not fit.
    OSError
        If the data are not found or the output folder cannot be written.
    ImportError
        If a library is missing (``pip install "ecgkern[ecg,plot]"``) or the backend is not ready.

    Examples
    --------
    >>> from ecgkern.demo import demo
    >>> report = demo("ptb-xl", records=50)  # doctest: +SKIP
    >>> report.name  # doctest: +SKIP
    'report.html'
    """
    start = time.perf_counter()
    if not os.fspath(out):
        raise FileNotFoundError("the output folder is an empty path; name one with --out")
    folder = Path(out).expanduser()
    with Progress(_STEPS, quiet, 'the demo needs tqdm: pip install "ecgkern[ecg,plot]"') as progress:
        with progress.step("loading libraries"):
            _import_libraries()
        from ecgkern.demo import _analysis, _input, _intervals, _pictures, _report, _timing

        with progress.step("reading records") as advance:
            recordings = _input.load(data, records, sampling_rate, advance)
        _page.make_writable(folder)  # so that a wrong folder ends the run now, not after the work
        progress.say(recordings.headline)
        with progress.step("finding R peaks") as advance:
            recordings, r_peaks = _analysis.find_beats(recordings, advance)
        with progress.step("synthesising"):
            synthesis = _analysis.synthesise(recordings, r_peaks, backend)
        with progress.step("measuring intervals") as advance:
            intervals = _intervals.measure(synthesis, advance)
        with progress.step("timing") as advance:
            timings = _timing.measure(synthesis, advance)
        with progress.step("drawing") as advance:
            pictures = _pictures.draw_all(synthesis, intervals, timings, advance)
        report = _report.write(folder, synthesis, intervals, timings, pictures, progress.seconds)
    print(f"Report: {report.resolve()} ({time.perf_counter() - start:.0f} s)")
    return report


def _import_libraries() -> None:
    for name in _LIBRARIES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ImportError(f'the demo needs {error.name or name}: pip install "ecgkern[ecg,plot]"') from error
