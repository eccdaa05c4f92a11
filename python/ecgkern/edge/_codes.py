"""The random numbers that records are made from: each record has its own, whatever is drawn along with it."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Codes = tuple[NDArray[np.float32], ...]
Kind = tuple[str, tuple[int, ...]]  # "normal" or "uniform", and the shape for one record


def draw(seed: int, records: Iterable[int], kinds: Sequence[Kind]) -> Codes:
    """Draw random numbers for records by their numbers: an array (n, *shape) for each kind.

    Record i of a seed has the same numbers in any batch and on any machine, whether PyTorch uses them or ONNX Runtime.
    """
    rows = list(records)
    codes = tuple(np.empty((len(rows), *shape), np.float32) for _, shape in kinds)
    for place, row in enumerate(rows):
        rng = np.random.default_rng([seed, row])
        for code, (name, shape) in zip(codes, kinds, strict=True):
            code[place] = rng.random(shape, np.float32) if name == "uniform" else rng.standard_normal(shape, np.float32)
    return codes


def class_number(condition: str | None, classes: Sequence[str]) -> int | None:
    """Return the place of a class among those of a model, which must be named if the model has some."""
    if condition is None and not classes:
        return None
    if condition is None:
        raise ValueError(f"--condition must name the class to draw from: one of {', '.join(classes)}")
    if not classes:
        raise ValueError(f"--condition {condition}: this model has no classes; leave the option out")
    if condition not in classes:
        raise ValueError(f"--condition must be one of {', '.join(classes)}, got {condition}")
    return list(classes).index(condition)
