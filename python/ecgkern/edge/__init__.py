"""A model on a small computer: records made by ONNX Runtime, with NumPy and nothing else.

``ecgkern export MODEL --to onnx --out model.onnx`` writes a model with all that is needed to use it, and
``python -m ecgkern.edge model.onnx`` draws records from it. Neither PyTorch nor SciPy is imported. Needs
``pip install "ecgkern[edge]"``.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkern.edge._codes import Codes, class_number, draw

__all__ = ["OnnxModel"]

_BATCH = 16  # records at a time, which bounds the memory
_FACTS = ("model", "fs", "leads", "classes", "length", "latent_shape", "codes")


class OnnxModel:
    """A generative model in an ONNX file.

    Parameters
    ----------
    path : path
        A file that ``ecgkern export --to onnx`` wrote.
    threads : int, optional
        Of the computation, by default one for each core.

    Attributes
    ----------
    model : str
        Class of the exported model.
    fs : float
        Sampling rate in Hz.
    leads, classes : tuple of str
        Names of the leads, and of the classes that records can be drawn of; none for a model without classes.
    length : int
        Samples of a record.
    latent_shape : tuple of int
        Shape of the latent code of one record.
    codes : tuple
        Kind ("normal" or "uniform") and shape of the random numbers that one record is made from: the latent code comes
        first, and then what else the model draws, such as noise.

    Raises
    ------
    ValueError
        If the file is not such a model.
    FileNotFoundError
        If there is no such file.
    ImportError
        If onnxruntime is missing (``pip install "ecgkern[edge]"``).

    Examples
    --------
    >>> from ecgkern.edge import OnnxModel
    >>> ecgs = OnnxModel("model.onnx").sample(5, seed=0)  # doctest: +SKIP
    >>> ecgs.shape  # doctest: +SKIP
    (5, 1000, 1)
    """

    def __init__(self, path: str | os.PathLike[str], *, threads: int | None = None) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError('ecgkern.edge needs onnxruntime: pip install "ecgkern[edge]"') from error
        if not Path(path).is_file():
            raise FileNotFoundError(f"there is no file {path}")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has a class of its own for each reason
            reason = str(error).strip().partition("\n")[0]
            raise ValueError(f"{path} is no ONNX model that can be run here ({reason})") from None
        told = self._session.get_modelmeta().custom_metadata_map
        if missing := [name for name in _FACTS if name not in told]:
            raise ValueError(f"{path} does not tell its {missing[0]}; write it by `ecgkern export MODEL --to onnx`")
        facts = {name: json.loads(told[name]) for name in _FACTS}
        self.model = str(facts["model"])
        self.fs = float(facts["fs"])
        self.leads = tuple(facts["leads"])
        self.classes = tuple(facts["classes"])
        self.length = int(facts["length"])
        self.latent_shape = tuple(facts["latent_shape"])
        self.codes = tuple((str(kind), tuple(shape)) for kind, shape in facts["codes"])

    def decode(self, codes: Codes, *, condition: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Make records of random numbers.

        Parameters
        ----------
        codes : tuple of ndarray of float32, shapes (n, ...)
            An array for each of the attribute `codes`.
        condition : ndarray of int64, shape (n,), optional
            Places in `classes`, for a model that has some.

        Returns
        -------
        ndarray of float32, shape (n, length, leads)
            Records in mV.
        """
        shapes = [code.shape[1:] for code in codes]
        if shapes != [shape for _, shape in self.codes]:
            raise ValueError(f"codes must have the shapes {[('n', *shape) for _, shape in self.codes]}, got {shapes}")
        given: dict[str, NDArray[Any]] = {f"code_{i}": np.asarray(code, np.float32) for i, code in enumerate(codes)}
        if self.classes:
            if condition is None:
                raise ValueError(f"condition must have the class of each record, from 0 to {len(self.classes) - 1}")
            given["condition"] = np.asarray(condition, np.int64)
        records: NDArray[np.float32] = self._session.run(None, given)[0]
        return records

    def sample(self, n: int, *, seed: int = 0, condition: str | None = None) -> NDArray[np.float32]:
        """Draw records: those that ``ecgkern generate --seed`` draws from the same model, to rounding.

        Parameters
        ----------
        n : int
            How many.
        seed : int, default 0
            Of the random numbers; every record has its own, so that the first ones are the same for any `n`.
        condition : str, optional
            The class to draw from, one of `classes`.

        Returns
        -------
        ndarray of float32, shape (n, length, leads)
            Records in mV.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        if seed < 0:
            raise ValueError(f"seed must be at least 0, got {seed}")
        chosen = class_number(condition, self.classes)
        out = np.empty((n, self.length, len(self.leads)), np.float32)
        for start in range(0, n, _BATCH):
            rows = range(start, min(start + _BATCH, n))
            label = None if chosen is None else np.full(len(rows), chosen)
            out[start : rows.stop] = self.decode(draw(seed, rows, self.codes), condition=label)
        return out
