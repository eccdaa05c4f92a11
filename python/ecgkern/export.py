"""``ecgkern export``: a trained model as ONNX, for machines without PyTorch, or as safetensors.

The ONNX file holds what makes a record from random numbers: the decoder, and the prior that comes before it where a
model has one. Its inputs are those numbers, ``code_0`` (the latent code), ``code_1``, ..., and ``condition`` where
there are classes; its output is ``x`` (n, length, leads) in mV, for any n. What one needs to know is in its metadata.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ecgkern import _page

__all__ = ["add_arguments", "export", "run"]

TOLERANCE = 1e-5  # mV, between PyTorch and ONNX Runtime
_INSTALL = 'pip install "ecgkern[export]"'
_CHECKED = (1, 3)  # batches that PyTorch and ONNX Runtime must agree on; the model is traced with another one
_TRACED = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``ecgkern export`` to its parser.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The (sub)parser of the command.
    """
    add = parser.add_argument
    add("model", metavar="MODEL", help="a trained model, a .safetensors file")
    add("--to", choices=("onnx", "safetensors"), help="what to write (default: by the ending of --out)")
    add("--out", metavar="FILE", required=True, help="the file to write")


def run(args: argparse.Namespace) -> int:
    """Run ``ecgkern export`` with parsed options.

    Parameters
    ----------
    args : argparse.Namespace
        Options as `add_arguments` defines them.

    Returns
    -------
    int
        Exit status: 0, or 2 if an option, the model or the output does not work (one line on stderr says why).
    """
    try:
        path = export(args.model, args.out, to=args.to)
    except (ValueError, ImportError, OSError) as error:
        print(f"ecgkern export: {error}", file=sys.stderr)
        return 2
    print(f"{path}: {path.stat().st_size / 1024:,.0f} KiB")
    return 0


def export(model: str | os.PathLike[str], out: str | os.PathLike[str], *, to: str | None = None) -> Path:
    """Write a trained model to a file for another program.

    Parameters
    ----------
    model : path
        A .safetensors file of `ecgkern.torch.models.save`.
    out : path
        The file, which appears whole or not at all.
    to : {"onnx", "safetensors"}, optional
        By default by the ending of `out`. safetensors has the weights, under the names of the modules, and the facts,
        without what training may have added.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If the model cannot be exported, or ONNX Runtime does not make the same records of it to 1e-5 mV.
    ImportError
        If a library is missing (``pip install "ecgkern[export]"``).
    OSError
        If the file cannot be written.

    Notes
    -----
    PyTorch's exporter goes through an LSTM step by step: over a thousand samples that takes it a minute.

    Examples
    --------
    >>> from ecgkern.export import export
    >>> export("run/model.safetensors", "model.onnx")  # doctest: +SKIP
    PosixPath('model.onnx')
    """
    path = Path(out).expanduser()
    kind = to or path.suffix.lower().lstrip(".")
    if kind not in ("onnx", "safetensors"):
        raise ValueError(f"--out {path} has an unknown ending: use .onnx or .safetensors, or say --to")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} (--out)")
    from ecgkern.generate._sampler import load_model

    loaded = load_model(model, "cpu")
    if kind == "safetensors":
        from ecgkern.torch import models

        models.save(loaded, path, **loaded.facts)
    else:
        _page.write_whole(path, to_onnx(loaded, loaded.facts))
    return path


def to_onnx(model: Any, facts: dict[str, Any]) -> bytes:
    """Return a model as the content of an ONNX file.

    Parameters
    ----------
    model : torch.nn.Module
        As `ecgkern.generate` takes them, on the CPU.
    facts : dict
        "fs", "leads" and, if there are any, "classes".
    """
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
        import torch
    except ImportError as error:
        raise ImportError(f"export to ONNX needs {error.name}: {_INSTALL}") from error
    from ecgkern.generate._sampler import Sampler, replacing_draws

    classes = tuple(facts.get("classes") or ())
    sampler = Sampler(model, facts, condition=classes[0] if len(classes) > 1 else None)

    class FromCodes(torch.nn.Module):  # type: ignore[misc]
        """What makes records of random numbers, as a function of these alone."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, codes: Any, condition: Any = None) -> Any:
            given = iter(codes)
            with replacing_draws(lambda *_: next(given)):
                return self.model.sample(_TRACED, condition=condition)

    codes = tuple(torch.from_numpy(code) for code in sampler.codes(range(_TRACED)))
    names = [f"code_{i}" for i in range(len(codes))]
    batch = torch.export.Dim("batch")
    inputs: tuple[Any, ...] = (codes,)
    shapes: tuple[Any, ...] = (tuple({0: batch} for _ in codes),)
    if sampler.classes:
        names.append("condition")
        inputs, shapes = (*inputs, sampler.conditions(_TRACED)), (*shapes, {0: batch})
    with _silence():
        try:
            program = torch.onnx.export(
                FromCodes(),
                inputs,
                dynamo=True,
                input_names=names,
                output_names=["x"],
                dynamic_shapes=shapes,
                external_data=False,
                verbose=False,
                optimize=False,  # ONNX Runtime does it when it loads the file, in a hundredth of the time
            )
        except Exception as error:  # the exporter has classes of its own for each stage
            reason = str(error.__cause__ or error).strip().partition("\n")[0]
            raise ValueError(f"{type(model).__name__} cannot be exported to ONNX: {reason}") from error
    program.model.metadata_props.clear()  # what traced it, with paths of this machine
    program.model.metadata_props.update(
        {
            "model": json.dumps(type(model).__name__),
            "fs": json.dumps(sampler.fs),
            "leads": json.dumps(sampler.leads),
            "classes": json.dumps(sampler.classes),
            "length": json.dumps(sampler.length),
            "latent_shape": json.dumps(sampler.kinds[0][1]),
            "codes": json.dumps(sampler.kinds),
            "notice": "makes synthetic records, not for clinical use",
        }
    )
    for value in program.model.graph.all_nodes():
        value.metadata_props.clear()  # likewise, and most of the size of a small model
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        program.save(file, external_data=False)
        _check(file, sampler)
        return file.read_bytes()


def _check(file: Path, sampler: Any) -> None:
    """Raise unless ONNX Runtime makes the same records."""
    from ecgkern.edge import OnnxModel

    loaded = OnnxModel(file, threads=1)
    for n in _CHECKED:
        codes = sampler.codes(range(n))
        expected = sampler.decode(codes)
        condition = np.zeros(n, np.int64) if sampler.classes else None
        try:
            error = float(np.abs(loaded.decode(codes, condition=condition) - expected).max())
        except Exception as failure:  # onnxruntime has a class of its own for each reason
            reason = str(failure).strip().partition("\n")[0]
            raise ValueError(
                f"{type(sampler.model).__name__} can be exported for one size of batch only: its sample must take "
                f"sizes from tensor.shape, not from len(tensor) ({reason})"
            ) from failure
        if not error <= TOLERANCE:
            raise ValueError(
                f"ONNX Runtime makes other records than PyTorch of {type(sampler.model).__name__}: they differ by "
                f"{error:.1e} mV, more than {TOLERANCE:g}"
            )


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the exporter's warnings to itself: all are of its own parts."""
    noisy = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in noisy]
    for logger in noisy:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(noisy, levels, strict=True):
            logger.setLevel(level)
