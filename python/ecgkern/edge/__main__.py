"""``python -m ecgkern.edge``: draw records from an exported model, without PyTorch and SciPy."""

import argparse
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from statistics import median

import numpy as np

from ecgkern._page import duration
from ecgkern.edge import OnnxModel
from ecgkern.edge._codes import draw

_RUNS = 20  # after one that warms up
_BATCHES = (1, 5)
_INSTALLED = ("numpy", "onnxruntime")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, or 2 with one line on stderr that says why."""
    parser = argparse.ArgumentParser(prog="python -m ecgkern.edge", description="Draw records from an exported model.")
    parser.add_argument("model", metavar="MODEL", help="a .onnx file of `ecgkern export`")
    parser.add_argument("--n", metavar="N", type=int, default=5, help="how many records (default: %(default)s)")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of the random numbers (default: %(default)s)")
    parser.add_argument("--condition", metavar="CLASS", help="the class to draw from, for a model with several")
    parser.add_argument("--out", metavar="FILE", help="a .npy file to write, float32 in mV, (n, length, leads)")
    parser.add_argument("--threads", metavar="N", type=int, help="of the computation (default: one for each core)")
    parser.add_argument("--bench", action="store_true", help="print sizes, and times on one thread")
    args = parser.parse_args(argv)
    try:
        if args.threads is not None and args.threads < 1:
            raise ValueError(f"--threads must be at least 1, got {args.threads}")
        model = OnnxModel(args.model, threads=args.threads)
        start = time.perf_counter()
        records = model.sample(args.n, seed=args.seed, condition=args.condition)
        seconds = time.perf_counter() - start
        if args.out:
            with Path(args.out).open("wb") as file:
                np.save(file, records)
    except (ValueError, ImportError, OSError) as error:
        print(f"python -m ecgkern.edge: {error}", file=sys.stderr)
        return 2
    what = f"{model.length} samples at {model.fs:g} Hz of {', '.join(model.leads)}"
    low, high = float(records.min()), float(records.max())
    print(f"{len(records)} synthetic records by {model.model}, {what}: {low:.3f} to {high:.3f} mV, {seconds:.3f} s")
    if args.out:
        print(args.out)
    if args.bench:
        print(bench(args.model))
    return 0


def bench(path: str) -> str:
    """Return a table of what the model and its libraries take on this machine, in space and in time."""
    start = time.perf_counter()
    model = OnnxModel(path, threads=1)
    rows = [("loading", duration(time.perf_counter() - start))]
    rows += [("model file", f"{Path(path).stat().st_size / 1024:.0f} KiB")]
    rows += [(f"{name} {metadata.version(name)}", f"{_size(name) / 2**20:.0f} MiB") for name in _INSTALLED]
    condition = np.zeros(max(_BATCHES), np.int64) if model.classes else None
    for n in _BATCHES:
        codes = draw(0, range(n), model.codes)
        times = []
        for _ in range(1 + _RUNS):
            start = time.perf_counter()
            model.decode(codes, condition=None if condition is None else condition[:n])
            times.append(time.perf_counter() - start)
        rows += [(f"batch of {n}, one thread", f"{duration(min(times[1:]))}, median {duration(median(times[1:]))}")]
    return "\n".join(f"{name:<28}{value:>28}" for name, value in rows)


def _size(name: str) -> int:
    """Bytes of the files of an installed package."""
    files = [Path(str(file.locate())) for file in metadata.files(name) or []]
    return sum(file.stat().st_size for file in files if file.is_file())


if __name__ == "__main__":
    sys.exit(main())
