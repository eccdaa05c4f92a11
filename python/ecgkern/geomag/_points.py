"""From checked arguments to the kernels: any shapes and types of array, in pieces that are flat float64.

An argument of one value goes to a kernel as it is; everything else is broadcast. Arrays that are contiguous float64
pass whole and without a copy; others piece by piece, so that a call needs its results and less than 1 MB beside them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkern import _dispatch, _validate
from ecgkern.geomag import _time
from ecgkern.geomag._model import EARTH_RADIUS, RULES, Table, table

Floats = NDArray[np.float64]
Kernel = Callable[..., None]

COORDS = ("geodetic", "geocentric")
KINDS = ("cd", "ed")
WGS84_A = 6378.137  # km
ECCENTRICITY2 = (2 - 1 / 298.257223563) / 298.257223563  # of WGS84, squared

PIECE = 4096  # values of each argument that are copied at a time
_LOWEST = {"geodetic": -6335.4, "geocentric": -EARTH_RADIUS}  # WGS84's smallest radius of curvature is 6335.4 km
_LONGEST = 2.0**53  # degrees; beyond, float64 skips whole degrees


@dataclass(frozen=True, eq=False)
class Coefficients:
    """The coefficients that a call uses: one row for all points, or the rows between which each epoch lies.

    ``by`` tells by what: 0 by nothing, 1 by decimal years, 2 by the microseconds since 1970 of the same call.
    """

    rows: Floats  # (n, 8)
    first: float  # year of the first row
    step: float  # years
    rule: int  # one of `RULES`
    by: int


FIXED, BY_YEARS, BY_MICROSECONDS = range(3)
NO_EPOCH = np.zeros(())


def coefficients(epoch: Any, model: Any, out_of_range: str, name: str = "epoch") -> tuple[Coefficients, NDArray[Any]]:
    """Return the coefficients, and the epochs to interpolate at, years or datetime64, which count unless `FIXED`."""
    _validate.choice(out_of_range, "out_of_range", tuple(RULES))
    chosen = table(model)
    epochs = epochs_of(epoch, chosen, out_of_range, name)
    if epochs is None or not epochs.ndim:
        rows = chosen.at(NO_EPOCH if epochs is None else years_of(epochs), out_of_range)
        return Coefficients(np.ascontiguousarray(rows[None]), 0.0, 1.0, 0, FIXED), NO_EPOCH
    by = FIXED if chosen.fixed else BY_MICROSECONDS if epochs.dtype.kind == "M" else BY_YEARS
    return Coefficients(chosen.coefficients, float(chosen.years[0]), chosen.step, RULES[out_of_range], by), epochs


def epochs_of(epoch: Any, chosen: Table, out_of_range: str, name: str = "epoch") -> NDArray[Any] | None:
    """Return checked epochs, years or datetime64; None where the model needs none and is given none."""
    if epoch is None:
        if chosen.fixed:
            return None
        raise TypeError(f"{name} must be given for the model {chosen.name!r}: a decimal year, datetime or datetime64")
    epochs = _time.epochs(epoch, name)
    if out_of_range == "raise":
        _time.check_range(epochs, chosen, name)
    return epochs


def by_years(coefficients: Coefficients) -> Coefficients:
    """Return the same coefficients, interpolated at decimal years."""
    return replace(coefficients, by=BY_YEARS)


def years_of(epochs: NDArray[Any]) -> Floats:
    """Return decimal years of years or datetime64."""
    return _time.years_of(epochs) if epochs.dtype.kind == "M" else epochs


# ---- arguments -------------------------------------------------------------------------------------------------------


def latitude(value: Any, name: str = "lat") -> NDArray[Any]:
    """Return degrees from -90 to 90, or NaN."""
    return _bounded(value, name, -90.0, 90.0, "from -90 to 90 degrees")


def longitude(value: Any, name: str = "lon") -> NDArray[Any]:
    """Return finite degrees, or NaN."""
    return _bounded(value, name, -_LONGEST, _LONGEST, "finite degrees")


def altitude(value: Any, coords: str, name: str = "alt") -> NDArray[Any]:
    """Return km above the ellipsoid or the sphere, or NaN."""
    _validate.choice(coords, "coords", COORDS)
    low = _LOWEST[coords]
    return _bounded(value, name, low, np.finfo(np.float64).max, f"finite and above the centre of the Earth ({low} km)")


def radius(value: Any, name: str = "r") -> NDArray[Any]:
    """Return km from a centre, or NaN."""
    return _bounded(value, name, 0.0, np.finfo(np.float64).max, "finite and not negative (km)")


def cartesian(value: Any, name: str = "xyz") -> NDArray[Any]:
    """Return finite km (..., 3), or NaN."""
    largest = np.finfo(np.float64).max
    array = _bounded(value, name, -largest, largest, "finite (km)")
    if not array.ndim or array.shape[-1] != 3:
        raise ValueError(f"{name} must have 3 values along its last axis, got shape {array.shape}")
    return array


def _bounded(value: Any, name: str, low: float, high: float, what: str) -> NDArray[Any]:
    array = _validate.real_values(_dispatch.to_numpy(value, name), name)
    if array.dtype == np.float16:  # holds no more than 65504, which the bounds exceed
        array = array.astype(np.float32)
    if array.size and (np.fmin.reduce(array, axis=None) < low or np.fmax.reduce(array, axis=None) > high):
        bad = (array < low) | (array > high)
        index = tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), array.shape))
        where = f" at {list(index)}" if index else ""
        raise ValueError(f"{name} must be {what}, got {array[index]}{where} ({int(bad.sum())} such values)")
    return array


def library(**arguments: Any) -> str:
    """Return the one array library among the arguments; dates, which only NumPy has, go with any."""
    return _dispatch.array_library(**{name: value for name, value in arguments.items() if not _is_dates(value)})


def _is_dates(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "MO"


def result_type(*values: Any) -> type[np.floating[Any]]:
    """Return float32 if all arrays are float32, else float64; numbers of Python take no part."""
    kinds = {str(value.dtype).removeprefix("torch.") for value in values if hasattr(value, "dtype")}
    return np.float32 if kinds == {"float32"} else np.float64


def half_open(degrees: Floats) -> Floats:
    """Return longitudes from (-180, 180], and no negative zero, from [-180, 180]."""
    return np.where(degrees <= -180, 180.0, degrees + 0.0)


# ---- pieces ----------------------------------------------------------------------------------------------------------


def evaluate(
    kernel: Kernel, inputs: dict[str, NDArray[Any]], results: Sequence[NDArray[Any]], size: int | None
) -> None:
    """Call ``kernel(*inputs, *results)`` on flat pieces of the broadcast inputs and of the results, which it writes.

    A piece has at most `size` values; with None, as many as can be had without a copy.
    """
    if not results[0].size:
        return
    single = {i: one_value(array) for i, array in enumerate(inputs.values()) if array.size == 1}
    arrays = [array for array in inputs.values() if array.size != 1]
    for piece in _pieces(arrays, results, size):
        given, written = list(piece[: len(arrays)]), piece[len(arrays) :]
        for i, value in single.items():
            given.insert(i, value)
        kernel(*map(flat_type, given), *written)


def results_for(inputs: dict[str, NDArray[Any]], n: int, dtype: Any, out: Any = None) -> list[NDArray[Any]]:
    """Return `n` arrays of the shape that the inputs broadcast to: new ones, or the caller's."""
    shape = _validate.broadcast_shape(**{name: array.shape for name, array in inputs.items()})
    if out is None:
        return [np.empty(shape, dtype) for _ in range(n)]
    given = _dispatch.to_numpy(out if n > 1 else [out], "out")
    if not isinstance(given, list) or len(given) != n:
        raise TypeError(f"out must be a tuple of {n} arrays, got {type(out).__name__}")
    names = [f"out[{i}]" if n > 1 else "out" for i in range(n)]
    results: list[NDArray[Any]] = []
    for name, array in zip(names, given, strict=True):
        earlier = {f"out[{i}]": result for i, result in enumerate(results)}
        results.append(_validate.output(array, shape, np.dtype(dtype), {**inputs, **earlier}, name))
    return results


def returned(results: Sequence[NDArray[Any]], library: str, out: Any = None) -> Any:
    """Return the results in the caller's array library, scalars where they have no dimensions, or `out`."""
    if out is not None:
        return out if len(results) > 1 else (out,)
    return [_dispatch.scalar_or_array(result, library) for result in results]


def most(module: ModuleType) -> int | None:
    """Return how many points a backend takes at a time; None for any number."""
    return getattr(module, "PIECE", None)


def one_value(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of one value as the kernels take it."""
    return array.reshape(1).astype("M8[us]" if array.dtype.kind == "M" else np.float64)


def flat_type(piece: NDArray[Any]) -> NDArray[Any]:
    """Return microseconds since 1970 as integers, and floats as they are."""
    return piece.view(np.int64) if piece.dtype.kind == "M" else piece


def _pieces(arrays: Sequence[NDArray[Any]], results: Sequence[NDArray[Any]], size: int | None) -> Any:
    """Yield flat, contiguous pieces of the broadcast arrays and of the results, which are written back."""
    if not arrays:
        arrays, results = [], [result.reshape(1) for result in results]
    kinds = ["M8[us]" if array.dtype.kind == "M" else np.float64 for array in arrays] + [np.float64] * len(results)
    flags = ["external_loop", "buffered", *([] if size else ["grow_inner"])]
    read, write = ["readonly", "contig", "aligned", "nbo"], ["writeonly", "contig", "aligned", "nbo", "no_broadcast"]
    iterator: Any = np.nditer  # its type knows no "contig"
    with iterator(
        [*arrays, *results],
        flags,
        [read] * len(arrays) + [write] * len(results),
        kinds,
        order="C",
        casting="same_kind",
        buffersize=size or PIECE,
    ) as pieces:
        for piece in pieces:
            yield piece if isinstance(piece, tuple) else (piece,)
