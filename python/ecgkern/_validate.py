"""The one place that checks arguments and words the errors: the argument, what was expected, what came."""

import operator
import sys
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Offsets = NDArray[np.int64]
Array = TypeVar("Array", bound=NDArray[Any])


def positive(value: Any, name: str, unit: str = "") -> float:
    """Return a finite float above zero."""
    scalar = np.asarray(value)
    if scalar.ndim or scalar.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be a real number, got {type(value).__name__}")
    if not (np.isfinite(scalar) and scalar > 0):
        raise ValueError(f"{name} must be finite and greater than 0{f' {unit}' if unit else ''}, got {scalar}")
    return float(scalar)


def positive_integer(value: Any, name: str) -> int:
    """Return an integer from 1 to 2**31 - 1."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}")
    if not 1 <= number < 2**31:
        raise ValueError(f"{name} must be from 1 to {2**31 - 1}, got {number}")
    return number


def float_dtype(dtype: Any, name: str = "dtype") -> np.dtype[Any]:
    """Return numpy's float32 or float64."""
    wanted = str(dtype).removeprefix("torch.") if type(dtype).__module__ == "torch" else dtype
    try:
        found = None if wanted is None else np.dtype(wanted)
    except (TypeError, ValueError):
        found = None
    if found is None or found not in (np.float32, np.float64):
        raise ValueError(f"{name} must be float32 or float64, got {dtype!r}")
    return found


def real_array(value: Any, name: str, ndim: tuple[int, ...]) -> Floats:
    """Return a C-contiguous float64 array of finite numbers with one of the ranks in `ndim`."""
    array = real_values(value, name)
    if array.ndim not in ndim:
        ranks = " or ".join(str(n) for n in ndim)
        raise ValueError(f"{name} must have {ranks} dimension{'s' if ranks != '1' else ''}, got shape {array.shape}")
    return finite(np.asarray(array, dtype=np.float64, order="C"), name)


def real_values(value: Any, name: str) -> NDArray[Any]:
    """Return an array of floats or integers."""
    array = _array(value, name)
    if array.dtype.kind not in "fiu" and array.size:
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    return array


def float_values(value: Any, name: str) -> NDArray[Any]:
    """Return an array of at least one dimension: float32 kept, every other real type as float64."""
    array = np.atleast_1d(np.asarray(real_values(value, name)))
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8 and array.size:
        wide = (array > 2**53) | (array < -(2**53)) if array.dtype.kind == "i" else array > 2**53
        if wide.any():
            raise ValueError(f"{name} must hold integers that float64 holds, up to 2**53, got {_first(array, wide)}")
    single = array.dtype.kind == "f" and array.dtype.itemsize == 4  # of either byte order
    return array.astype(np.float32 if single else np.float64, copy=False)


def no_nan(array: Array, name: str) -> Array:
    """Return `array` unless it holds NaN."""
    bad = np.isnan(array)
    if bad.any():
        raise ValueError(f"{name} must not hold NaN, got {_first(array, bad)} ({int(bad.sum())} such values)")
    return array


def not_empty(array: Array, name: str) -> Array:
    """Return `array` unless it holds no values."""
    if array.size == 0:
        raise ValueError(f"{name} must not be empty, got shape {array.shape}")
    return array


def generator(rng: Any, name: str = "rng") -> np.random.Generator:
    """Return the random numbers that a Generator, a seed or None stands for."""
    try:
        if isinstance(rng, bool | np.bool_):
            raise TypeError
        return np.random.default_rng(rng)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a numpy.random.Generator, a seed from 0 or None, got {rng!r}") from None


def real_number(value: Any, name: str) -> float:
    """Return a finite float."""
    scalar = np.asarray(value)
    if scalar.ndim or scalar.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be a real number, got {type(value).__name__}")
    if not np.isfinite(scalar):
        raise ValueError(f"{name} must be finite, got {scalar}")
    return float(scalar)


def choice(value: Any, name: str, options: tuple[str, ...]) -> str:
    """Return one of the strings in `options`."""
    if not (isinstance(value, str) and value in options):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}; got {value!r}")
    return value


def axis_index(value: Any, ndim: int, name: str = "axis") -> int:
    """Return an axis of an array with `ndim` dimensions as a number from 0."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}")
    if not -ndim <= number < ndim:
        raise ValueError(f"{name} must be from {-ndim} to {ndim - 1} for {ndim} dimensions, got {number}")
    return number % ndim


def broadcast_shape(**shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that all of these broadcast to."""
    try:
        return np.broadcast_shapes(*shapes.values())
    except ValueError:
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"the shapes of {' and '.join(shapes)} must broadcast, got {found}") from None


def finite(array: Array, name: str) -> Array:
    """Return `array` unless it holds NaN or infinity."""
    with np.errstate(all="ignore"):
        if np.isfinite(array.sum()):  # one number instead of an array of truth values as large as the input
            return array
    bad = ~np.isfinite(array)
    if bad.any():
        raise ValueError(f"{name} must be finite, got {_first(array, bad)} ({int(bad.sum())} such values)")
    return array


def _first(array: NDArray[Any], chosen: NDArray[np.bool_]) -> str:
    """The first chosen value and its place, for an error."""
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(chosen)), array.shape))
    return f"{array[index]} at {list(index)}"


def _array(value: Any, name: str) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"{name} must be a rectangular array of numbers: {error}") from None


def row_offsets(value: Any, n_values: int, name: str = "row_offsets", of: str = "r_peaks") -> Offsets:
    """Return CSR offsets as int64: 0, never decreasing, ending with the number of values."""
    offsets = _array(value, name)
    if offsets.ndim != 1 or offsets.size == 0:
        raise ValueError(f"{name} must be 1-D with n_records + 1 entries, got shape {offsets.shape}")
    if offsets.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold integers, got dtype {offsets.dtype}")
    if offsets[0] != 0:
        raise ValueError(f"{name} must start with 0, got {offsets[0]}")
    falls = offsets[1:] < offsets[:-1]
    if falls.any():
        i = int(np.argmax(falls)) + 1
        raise ValueError(f"{name} must not decrease, got {offsets[i]} after {offsets[i - 1]} at [{i}]")
    if offsets[-1] != n_values:
        raise ValueError(f"{name} must end with the number of {of}, {n_values}, got {offsets[-1]}")
    return np.ascontiguousarray(offsets, dtype=np.int64)


def ragged(values: Any, offsets: Any, name: str) -> tuple[Floats, Offsets]:
    """Return flat float64 values and int64 row offsets from a list of 1-D arrays or from values with offsets."""
    if offsets is not None:
        flat = real_array(values, name, (1,))
        return flat, row_offsets(offsets, flat.size, of=name)
    if not isinstance(values, Sequence) or isinstance(values, str):
        shape = f" of shape {values.shape}" if hasattr(values, "shape") else ""
        raise TypeError(
            f"{name} must be a list of 1-D arrays, one per record, or 1-D values with row_offsets; got "
            f"{type(values).__name__}{shape} without row_offsets"
        )
    rows = [np.asarray(row) if hasattr(row, "dtype") else _array(row, f"{name}[{i}]") for i, row in enumerate(values)]
    for i, row in enumerate(rows):
        if row.ndim != 1 or row.dtype.kind not in "fiu":
            rows[i] = real_array(row, f"{name}[{i}]", (1,))  # an empty list has no kind yet; anything else is an error
    counts = np.fromiter((row.size for row in rows), np.int64, len(rows))
    flat = np.concatenate([np.empty(0), *rows])
    with np.errstate(all="ignore"):
        if not np.isfinite(flat.sum()):
            for i, row in enumerate(rows):
                finite(row, f"{name}[{i}]")
    return flat, np.concatenate(([0], np.cumsum(counts))).astype(np.int64)


def output(value: Any, shape: tuple[int, ...], dtype: np.dtype[Any], inputs: dict[str, Any], name: str = "out") -> Any:
    """Return `value`, or a new array for None, ready to be written: right shape and dtype, contiguous, no overlap."""
    if value is None:
        return np.empty(shape, dtype)
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name} must be an array, got {type(value).__name__}")
    if value.shape != shape or value.dtype != dtype:
        raise ValueError(f"{name} must have shape {shape} and dtype {dtype}, got {value.shape} and {value.dtype}")
    value = np.asarray(value)  # subclasses such as np.matrix have rules of their own
    if not value.flags.c_contiguous or not value.flags.aligned:
        raise ValueError(f"{name} must be C-contiguous and aligned; pass a new array and copy it back")
    if not value.flags.writeable:
        raise ValueError(f"{name} must be writeable, got a read-only array")
    for other, array in inputs.items():
        if isinstance(array, np.ndarray) and np.may_share_memory(value, array):
            raise ValueError(f"{name} must not share memory with {other}")
    return value


def outside(package: str) -> int:
    """Return the stacklevel at which a warning names the caller of `package`."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(package):
        level, frame = level + 1, frame.f_back
    return level
