"""From checked arguments to the kernels: any shapes and types of array, in pieces that are flat float64.

An argument of one value goes to a kernel as it is; everything else is broadcast. Arrays that are contiguous float64
pass whole and without a copy; others piece by piece, so that a call needs its results and less than 1 MB beside them.
Arrays on a GPU stay there, their values unread: the kernels broadcast them, and give NaN where a value is out of range.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkern import _cuda, _dispatch, _threads, _validate
from ecgkern._cuda import Device
from ecgkern.geomag import _time
from ecgkern.geomag._earth import EARTH_RADIUS
from ecgkern.geomag._model import RULES, Table, table

Floats = NDArray[np.float64]
Kernel = Callable[..., int | None]

COORDS = ("geodetic", "geocentric")
KINDS = ("cd", "ed")
# What three numbers of a position mean to the kernels: the same numbers in fortran/geomag_kernels.f90.
GEODETIC, GEOCENTRIC, GEO_XYZ, CD, CD_XYZ, ED, ED_XYZ, CD_RAY, ED_RAY = range(9)

_PIECE = 4096  # values of each argument that are copied at a time
_LOWEST = {"geodetic": -6335.4, "geocentric": -EARTH_RADIUS}  # WGS84's smallest radius of curvature is 6335.4 km
_LATITUDES = (-90.0, 90.0)
_LONGITUDES = (-(2.0**53), 2.0**53)  # beyond, float64 skips whole degrees
_FARTHEST = 1e100  # km; squares stay within float64
_FINITE = f"finite ({_FARTHEST:g} at most)"


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
NO_YEARS, NO_TIMES = np.zeros(1), np.zeros(1, np.int64)
NO_YEARS.flags.writeable = NO_TIMES.flags.writeable = False  # as arguments are: Numba compiles anew for every kind


def coefficients(
    epoch: Any, model: Any, out_of_range: str, name: str = "epoch", device: Device | None = None
) -> tuple[Coefficients, Any]:
    """Return the coefficients, and the epochs to interpolate at, years or datetime64, which count unless `FIXED`."""
    _validate.choice(out_of_range, "out_of_range", tuple(RULES))
    chosen = table(model)
    if device is not None and _cuda.of(epoch) is not None:
        rule = RULES["nan" if out_of_range == "raise" else out_of_range]
        by = FIXED if chosen.fixed else BY_YEARS
        years = device.values(epoch, name, dtype=np.float64).reshape(tuple(epoch.shape))
        return Coefficients(chosen.coefficients, float(chosen.years[0]), chosen.step, rule, by), years
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
    _time.check_range(epochs, chosen, out_of_range, name)
    return epochs


def by_years(coefficients: Coefficients) -> Coefficients:
    """Return the same coefficients, interpolated at decimal years."""
    return replace(coefficients, by=BY_YEARS)


def years_and_times(coefficients: Coefficients, epoch: NDArray[Any]) -> tuple[Floats, NDArray[np.int64]]:
    """Return what the coefficients follow as decimal years and as microseconds: one of them, or neither."""
    return (
        epoch if coefficients.by == BY_YEARS else NO_YEARS,
        epoch if coefficients.by == BY_MICROSECONDS else NO_TIMES,
    )


def years_of(epochs: NDArray[Any]) -> Floats:
    """Return decimal years of years or datetime64."""
    return _time.years_of(epochs) if epochs.dtype.kind == "M" else epochs


# ---- arguments -------------------------------------------------------------------------------------------------------


def latitude(value: Any, name: str = "lat", device: Device | None = None, later: bool = False) -> Any:
    """Return degrees from -90 to 90, or NaN."""
    return bounded(value, name, *_LATITUDES, "from -90 to 90 degrees", device, later)


def longitude(value: Any, name: str = "lon", device: Device | None = None, later: bool = False) -> Any:
    """Return finite degrees, or NaN."""
    return bounded(value, name, *_LONGITUDES, "finite degrees", device, later)


def altitude(value: Any, coords: str, name: str = "alt", device: Device | None = None, later: bool = False) -> Any:
    """Return km above the ellipsoid or the sphere, or NaN."""
    _validate.choice(coords, "coords", COORDS)
    low = _LOWEST[coords]
    what = f"{_FINITE} and above the centre of the Earth ({low} km)"
    return bounded(value, name, low, _FARTHEST, what, device, later)


def radius(value: Any, name: str = "r", device: Device | None = None, later: bool = False) -> Any:
    """Return km from a centre, or NaN."""
    return bounded(value, name, 0.0, _FARTHEST, f"{_FINITE} and not negative (km)", device, later)


def cartesian(value: Any, name: str = "xyz") -> NDArray[Any]:
    """Return finite km (..., 3), or NaN."""
    array: NDArray[Any] = bounded(value, name, -_FARTHEST, _FARTHEST, f"{_FINITE}, in km")
    if not array.ndim or array.shape[-1] != 3:
        raise ValueError(f"{name} must have 3 values along its last axis, got shape {array.shape}")
    return array


def bounded(
    value: Any, name: str, low: float, high: float, what: str, device: Device | None = None, later: bool = False
) -> Any:
    """Return real numbers from low to high, or NaN; `what` describes them. Those on the device stay there, unread.

    Arrays are not looked at if the kernel will (`later`): reading them twice takes a quarter of the time of a call.
    """
    if device is not None and _cuda.of(value) is not None:
        return device.values(value, name).reshape(tuple(value.shape))  # CuPy gives single values a dimension
    array = _validate.real_values(_dispatch.to_numpy(value, name), name)
    if later and array.size > 1:
        return array
    # As numbers of Python: the bounds may be beyond a small type. NaN is passed over.
    if array.size and (float(np.fmin.reduce(array, None)) < low or float(np.fmax.reduce(array, None)) > high):
        values = array.astype(np.float64)
        bad = (values < low) | (values > high)
        index = tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), array.shape))
        where = f" at {list(index)}" if index else ""
        raise ValueError(f"{name} must be {what}, got {array[index]}{where} ({int(bad.sum())} such values)")
    return array


def limits(source: int, target: int) -> Floats:
    """Return the lowest and the highest value of each of the three numbers of a position, (3, 2)."""
    if source in (GEO_XYZ, CD_XYZ, ED_XYZ):
        return np.array([(-_FARTHEST, _FARTHEST)] * 3)
    lowest = 0.0
    if source not in (CD, ED):
        lowest = _LOWEST[COORDS[source if source in (GEODETIC, GEOCENTRIC) else target]]
    return np.array([_LATITUDES, _LONGITUDES, (lowest, _FARTHEST)])


def finds_outside(module: Any) -> bool:
    """Return whether the kernels of a backend look for values that are out of range."""
    return getattr(module, "FINDS_OUTSIDE", False)


def library(**arguments: Any) -> str:
    """Return the one array library among the arguments; dates, which only NumPy has, go with any."""
    return _dispatch.array_library(**{name: value for name, value in arguments.items() if not _is_dates(value)})


def device_of(**arguments: Any) -> Device | None:
    """Return the GPU that the arguments are on, None for the host; dates, which no GPU has, go with any."""
    return _dispatch.device(**{name: value for name, value in arguments.items() if not _is_dates(value)})


def _is_dates(value: Any) -> bool:
    return getattr(getattr(value, "dtype", None), "kind", "") in ("M", "O")  # of NumPy or pandas


def result_type(*values: Any) -> type[np.floating[Any]]:
    """Return float32 if all arrays are float32, else float64; numbers of Python take no part."""
    arrays = [value for value in values if not isinstance(value, int | float)]
    return np.float32 if arrays and all(map(_is_single, arrays)) else np.float64


def _is_single(value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    if isinstance(dtype, np.dtype):
        return dtype.kind == "f" and dtype.itemsize == 4  # of either byte order
    return str(dtype) == "torch.float32"


def close(values: NDArray[Any], outside: Callable[[NDArray[Any]], NDArray[np.bool_]], value: float) -> None:
    """Put a value where rounding to float32 brought a half-open range to its open end."""
    if not isinstance(values, np.ndarray) or values.dtype != np.float32:  # on a GPU the kernels do it
        return
    flat = values.reshape(-1)
    for first in range(0, flat.size, _PIECE):
        piece = flat[first : first + _PIECE]
        piece[outside(piece)] = value


def close_longitudes(values: NDArray[Any]) -> None:
    """Keep float32 longitudes in (-180, 180]."""
    close(values, lambda degrees: degrees <= -180, 180.0)


def close_hours(values: NDArray[Any]) -> None:
    """Keep float32 hours in [0, 24)."""
    close(values, lambda hours: hours >= 24, 0.0)


def half_open(degrees: Floats) -> Floats:
    """Return longitudes from (-180, 180], and no negative zero, from [-180, 180]."""
    return np.where(degrees <= -180, 180.0, degrees + 0.0)


# ---- pieces ----------------------------------------------------------------------------------------------------------


def evaluate(
    kernel: Kernel, inputs: dict[str, NDArray[Any]], results: Sequence[NDArray[Any]], module: Any, whole: bool = True
) -> bool:
    """Call ``kernel(*inputs, *results)`` on the broadcast inputs, flat, and on the results, which it writes.

    Returns whether there may be values out of range: the kernel has found some, or there was nothing to call it for.

    In one piece where that takes no copies, unless a backend of `module` or the kernel (not `whole`) works in pieces.
    On a GPU the kernel broadcasts.
    """
    if not isinstance(results[0], np.ndarray):
        kernel(*inputs.values(), *results)
        return False
    if not results[0].size:
        return True  # no kernel has looked
    single = {i: _one_value(array) for i, array in enumerate(inputs.values()) if array.size == 1}
    arrays = [array for array in inputs.values() if array.size != 1]
    if not arrays:
        results = [result.reshape(1) for result in results]

    found: list[int | None] = []

    def call(given: Sequence[NDArray[Any]], written: Sequence[NDArray[Any]]) -> None:
        arguments = list(given)
        for i, value in single.items():
            arguments.insert(i, value)
        found.append(kernel(*map(_argument, arguments), *written))

    size = getattr(module, "PIECE", None)
    shape = results[0].shape
    if whole and not size and all(_is_flat(array, shape) for array in (*arrays, *results)):
        call([array.reshape(-1) for array in arrays], [result.reshape(-1) for result in results])
        return any(found)
    n_threads = 1 if size else _threads.threads_for(results[0].size)  # the reference has one thread
    size = size or _PIECE

    def work(first: int, end: int) -> None:
        for piece in _pieces(arrays, results, size, first * size, min(end * size, results[0].size)):
            call(piece[: len(arrays)], piece[len(arrays) :])

    _threads.run_ranges(-(-results[0].size // size), n_threads, work)
    return any(found)


def _is_flat(array: NDArray[Any], shape: tuple[int, ...]) -> bool:
    """Whether a kernel can take the array as it is."""
    right = array.dtype in (np.float64, np.dtype("M8[us]")) and array.dtype.isnative
    return right and array.shape == shape and array.flags.c_contiguous and array.flags.aligned


def results_for(inputs: dict[str, Any], n: int, dtype: Any, out: Any = None, device: Device | None = None) -> list[Any]:
    """Return `n` arrays of the shape that the inputs broadcast to: new ones, or the caller's."""
    shape = _validate.broadcast_shape(**{name: tuple(array.shape) for name, array in inputs.items()})
    if out is None:
        return [np.empty(shape, dtype) if device is None else device.empty(shape, dtype) for _ in range(n)]
    given = out if n > 1 else [out]
    if device is None:
        given = _dispatch.to_numpy(given, "out")
    if not isinstance(given, list | tuple) or len(given) != n:
        raise TypeError(f"out must be a tuple of {n} arrays, got {type(out).__name__}")
    names = [f"out[{i}]" if n > 1 else "out" for i in range(n)]
    results: list[NDArray[Any]] = []
    for name, array in zip(names, given, strict=True):
        if array is None:
            raise TypeError(f"{name} must be an array, got None")
        others = {**inputs, **{f"out[{i}]": result for i, result in enumerate(results)}}
        output = _validate.output if device is None else device.output
        results.append(output(array, shape, np.dtype(dtype), others, name))
    return results


def returned(results: Sequence[Any], library: str, out: Any = None) -> Any:
    """Return the results in the caller's array library, scalars where they have no dimensions, or `out`."""
    if out is not None:
        return out if len(results) > 1 else (out,)
    if not isinstance(results[0], np.ndarray):  # on a GPU
        return list(results)
    return [_dispatch.scalar_or_array(result, library) for result in results]


def _one_value(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of one value as the kernels take it."""
    return array.reshape(1).astype("M8[us]" if array.dtype.kind == "M" else np.float64)


def _argument(piece: NDArray[Any]) -> NDArray[Any]:
    """Return floats, or microseconds since 1970 as integers; read-only, so that Numba compiles for nothing else."""
    view = piece.view(np.int64 if piece.dtype.kind == "M" else piece.dtype)
    view.flags.writeable = False
    return view


def _pieces(arrays: Sequence[NDArray[Any]], results: Sequence[NDArray[Any]], size: int, first: int, end: int) -> Any:
    """Yield flat, contiguous pieces, of the points from first to end, of the arrays and of the results."""
    kinds = ["M8[us]" if array.dtype.kind == "M" else np.float64 for array in arrays] + [np.float64] * len(results)
    read, write = ["readonly", "contig", "aligned", "nbo"], ["writeonly", "contig", "aligned", "nbo", "no_broadcast"]
    iterator: Any = np.nditer  # its type knows no "contig"
    with iterator(
        [*arrays, *results],
        ["external_loop", "buffered", "ranged"],
        [read] * len(arrays) + [write] * len(results),
        kinds,
        order="C",
        casting="same_kind",
        buffersize=size,
    ) as pieces:
        pieces.iterrange = first, end
        for piece in pieces:
            yield piece if isinstance(piece, tuple) else (piece,)
