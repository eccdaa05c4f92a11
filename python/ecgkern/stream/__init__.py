"""``ecgkern stream``: a model that keeps making records, and a window or page on some of them.

The circular buffers of the blog: random codes fill a first ring, the decoder makes records of them, and a second ring
keeps the latest thousand. Twice a second five of these are shown at random, with R peaks and quality by NeuroKit2.
"""

import argparse
import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ecgkern.stream._ring import RingBuffer

if TYPE_CHECKING:
    from ecgkern.stream._source import Monitor

__all__ = ["RingBuffer", "add_arguments", "run", "stream"]

_BATCH = 50
_GIF_SECONDS = 10.0
_PORT = 5006  # Bokeh's own


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``ecgkern stream`` to its parser.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The (sub)parser of the command.
    """
    add = parser.add_argument
    add("model", metavar="MODEL", help="a trained model, a .safetensors file")
    view = parser.add_mutually_exclusive_group()
    view.add_argument("--window", action="store_true", help="show a window of matplotlib (default)")
    view.add_argument("--browser", action="store_true", help="serve a page for the browser, on this machine alone")
    view.add_argument("--record", metavar="FILE", help="write a .gif file, without any window")
    add("--every", metavar="S", type=float, default=0.5, help="seconds between two pictures (default: %(default)s)")
    add("--show", metavar="N", type=int, default=5, help="records in a picture (default: %(default)s)")
    add("--capacity", metavar="N", type=int, default=1000, help="records that are kept (default: %(default)s)")
    add("--batch", metavar="N", type=int, default=_BATCH, help="records decoded at a time (default: %(default)s)")
    add("--emd", action="store_true", help="also show the components t1 and t2 of empirical mode decomposition")
    add("--seconds", metavar="S", type=float, help="end after so long (default: a GIF of 10 s; else never)")
    add("--port", metavar="N", type=int, default=_PORT, help="of the page; 0 takes a free one (default: %(default)s)")
    add("--seed", metavar="N", type=int, default=0, help="of the random numbers (default: %(default)s)")
    add("--condition", metavar="CLASS", help="the class to draw from, for a model that was trained on several")
    add("--device", metavar="NAME", help="cpu, cuda, cuda:1, ... (default: the first GPU, else cpu)")


def run(args: argparse.Namespace) -> int:
    """Run ``ecgkern stream`` with parsed options.

    Parameters
    ----------
    args : argparse.Namespace
        Options as `add_arguments` defines them.

    Returns
    -------
    int
        Exit status: 0, also after Ctrl-C, which is how a stream ends; 2 if an option, the model or the output does not
        work (one line on stderr says why).
    """
    options = {name: value for name, value in vars(args).items() if name not in ("command", "window")}
    try:
        stream(**options)
    except BrokenPipeError:
        raise
    except (ValueError, ImportError, OSError) as error:
        print(f"ecgkern stream: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ecgkern stream: ended", file=sys.stderr)
    return 0


def stream(
    model: str | os.PathLike[str],
    *,
    browser: bool = False,
    record: str | os.PathLike[str] | None = None,
    every: float = 0.5,
    show: int = 5,
    capacity: int = 1000,
    batch: int = _BATCH,
    emd: bool = False,
    seconds: float | None = None,
    port: int = _PORT,
    seed: int = 0,
    condition: str | None = None,
    device: str | None = None,
) -> None:
    """Let a model make records, and show some of them again and again.

    Parameters
    ----------
    model : path
        A .safetensors file of `ecgkern.torch.models.save`.
    browser : bool, default False
        Serve a page at 127.0.0.1 instead of opening a window. It loads nothing from elsewhere.
    record : path, optional
        Write a .gif file instead.
    every : float, default 0.5
        Seconds between two pictures.
    show : int, default 5
        Records in a picture.
    capacity : int, default 1000
        Records that are kept; a new one takes the place of the oldest.
    batch : int, default 50
        Records that are decoded at a time.
    emd : bool, default False
        Also show the components t1 and t2 of empirical mode decomposition.
    seconds : float, optional
        End after so long. By default a GIF has 10 s, and the others never end.
    port : int, default 5006
        Of the page; 0 takes a free one.
    seed : int, default 0
        Of the random numbers.
    condition : str, optional
        The class to draw from, for a model that was trained on several.
    device : str, optional
        Where to compute, by default on the first GPU if there is one.

    Raises
    ------
    ValueError
        If an argument does not fit.
    OSError
        If there is no window, the port is taken or the file cannot be written.
    ImportError
        If a library is missing (``pip install "ecgkern[stream]"``).

    Notes
    -----
    The model fills the ring once, as fast as it can. Then it makes one record for each that was looked at, and sleeps
    while nobody looks; a viewer that is slow, or gone, never keeps it waiting with anything in hand.
    """
    for name, value, least in (("show", show, 1), ("capacity", capacity, 1), ("batch", batch, 1), ("seed", seed, 0)):
        if value < least:
            raise ValueError(f"--{name} must be at least {least}, got {value}")
    for name, number in (("every", every), ("seconds", seconds)):
        if number is not None and not 0 < number < float("inf"):
            raise ValueError(f"--{name} must be above 0 s, got {number:g}")
    if show > capacity:
        raise ValueError(f"--show must be at most --capacity, {capacity}, got {show}")
    if not 0 <= port < 2**16:
        raise ValueError(f"--port must be from 0 to 65535, got {port}")
    if record is not None and Path(record).suffix.lower() != ".gif":
        raise ValueError(f"--record must be a .gif file, got {record}")
    _require(("neurokit2", "bokeh.server.server" if browser else "matplotlib.figure", *(["PyEMD"] if emd else [])))
    from ecgkern.generate._look import SHORTEST
    from ecgkern.generate._sampler import Sampler
    from ecgkern.stream._source import Generator, Monitor

    sampler = Sampler.load(model, seed=seed, condition=condition, device=device)
    ring = RingBuffer(capacity, sampler.length, len(sampler.leads))
    title = f"{type(sampler.model).__name__}, {sampler.leads[sampler.rhythm_lead]}"
    with Generator(sampler, ring, batch) as generator:
        monitor = Monitor(
            ring,
            generator,
            fs=sampler.fs,
            lead=sampler.rhythm_lead,
            show=show,
            every=every,
            emd=emd,
            look=sampler.length >= SHORTEST * sampler.fs,
            seed=seed,
        )
        _view(monitor, title, browser, record, seconds, port)


def _view(
    monitor: "Monitor",
    title: str,
    browser: bool,
    record: str | os.PathLike[str] | None,
    seconds: float | None,
    port: int,
) -> None:
    """Show the stream in the one way that was asked for."""
    if browser:
        from ecgkern.stream import _browser

        _browser.serve(monitor, title, port=port, seconds=seconds, started=_say_where)
        return
    from ecgkern.stream import _window

    if record is None:
        _window.show(monitor, title, seconds)
        return
    frames = max(1, round((seconds or _GIF_SECONDS) / monitor.every))
    path = Path(record).expanduser()
    _window.record(monitor, title, path, frames)
    print(f"{frames} pictures of {title}: {path}")


def _say_where(address: str) -> None:
    print(f"The stream is at {address} (Ctrl-C ends it)", flush=True)


def _require(names: tuple[str, ...]) -> None:
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            needed = (error.name or name).partition(".")[0]
            package = {"PyEMD": "EMD-signal"}.get(needed, needed)
            raise ImportError(f'stream needs {package}: pip install "ecgkern[stream]"') from error
