"""Epochs and times: what callers write, as decimal years or as microseconds since 1970-01-01T00:00 UTC.

Days have 86400 seconds, as in POSIX: leap seconds are not counted, and UTC stands for UT1 (within 0.9 s).
"""

import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkern import _dispatch
from ecgkern.geomag._model import Table

Floats = NDArray[np.float64]

_PIECE = 4096  # times at once, for the memory that it takes
_MOST_YEARS = 290_000  # int64 holds so many years of microseconds


def decimal_year(time: Any) -> Any:
    """Return the year with its elapsed part: 2000.5 is the middle of 2000.

    .. math:: t = y + \\frac{\\text{seconds since 1 January of } y}{\\text{seconds in } y}

    Parameters
    ----------
    time : datetime, datetime64 or array_like of them
        Aware datetimes are converted to UTC, naive ones are UTC.

    Returns
    -------
    float or ndarray
        Exact to rounding, 2e-13 years; NaN for NaT. The convention of the IGRF.

    Raises
    ------
    TypeError
        If `time` holds anything else.

    Examples
    --------
    >>> import numpy as np
    >>> from ecgkern.geomag import decimal_year
    >>> float(decimal_year(np.datetime64("2000-07-02")))
    2000.5
    """
    return years_of(times(time, "time"))[()]


def years_of(moments: NDArray[np.datetime64]) -> Floats:
    """Return decimal years."""
    result = np.empty(moments.shape)
    flat = result.reshape(-1)
    for first in range(0, flat.size, _PIECE):
        flat[first : first + _PIECE] = _years_of(moments.flat[first : first + _PIECE])
    return result


def _years_of(moments: NDArray[np.datetime64]) -> Floats:
    moments = moments.astype("M8[us]")
    year = moments.astype("M8[Y]")
    start, end = year.astype("M8[us]"), (year + 1).astype("M8[us]")
    result: Floats = 1970 + year.astype(np.int64) + (moments - start) / (end - start)
    return result


def times(value: Any, name: str) -> NDArray[np.datetime64]:
    """Return datetime64 of any unit."""
    array = _array(value, name)
    if array.dtype.kind != "M":
        if array.size:
            raise TypeError(f"{name} must be datetime, datetime64 or an array of them, got {_kind(value)}")
        array = array.astype("M8[us]")
    return array


def epochs(value: Any, name: str) -> NDArray[Any]:
    """Return decimal years, of any real type, or datetime64 of any unit."""
    array = _array(value, name)
    if array.dtype.kind == "M" or not array.size:
        return array
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be decimal years, datetime, datetime64 or an array of them, got {_kind(value)}")
    return array


def _array(value: Any, name: str) -> NDArray[Any]:
    """Return an array, with every kind of date and time as datetime64."""
    zoned = getattr(value, "dt", value)  # of a pandas Series
    if getattr(zoned, "tz", None) is not None and hasattr(zoned, "tz_convert"):
        value = zoned.tz_convert(None)  # pandas' own way to UTC, of all of them at once
    host = _dispatch.to_numpy(value, name)
    try:
        array = np.asarray(_to_datetime64(host, name) if isinstance(host, datetime.date) else host)
    except ValueError as error:
        raise ValueError(f"{name} must be rectangular: {error}") from None
    if array.dtype.kind == "M":
        return _within_int64(array, name)
    if array.dtype.kind == "O" and any(isinstance(member, datetime.date | np.datetime64) for member in array.flat):
        converted = np.empty(array.shape, "M8[us]")
        for index, member in np.ndenumerate(array):
            converted[index] = _to_datetime64(member, f"{name}[{', '.join(map(str, index))}]")
        return converted
    return array


def _to_datetime64(value: Any, name: str) -> np.datetime64:
    if isinstance(value, np.datetime64):
        _within_int64(np.asarray(value), name)
        return value
    if not isinstance(value, datetime.date):
        raise TypeError(f"{name} must be datetime or datetime64 like the others, got {type(value).__name__}")
    if value != value:  # pandas.NaT is a datetime that differs from itself
        return np.datetime64("NaT", "us")
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        try:
            value = value.astimezone(datetime.UTC).replace(tzinfo=None)
        except OverflowError:
            raise ValueError(f"{name} must be a time that UTC can tell, got {value}") from None
    return np.datetime64(value.isoformat(), "us")


def _within_int64(array: NDArray[np.datetime64], name: str) -> NDArray[np.datetime64]:
    if array.size and np.datetime_data(array.dtype)[0] not in ("us", "ns", "ps", "fs", "as"):
        for extreme in _extremes(array):
            if not np.isnat(extreme) and abs(int(extreme.astype("M8[Y]").astype(np.int64))) > _MOST_YEARS:
                raise ValueError(f"{name} must lie within {_MOST_YEARS} years of 1970, got {extreme}")
    return array


def _extremes(epoch: NDArray[Any]) -> tuple[Any, Any]:
    """Return the smallest and the largest, but NaN and NaT."""
    if epoch.dtype.kind == "M" and epoch.dtype.isnative:
        integers = epoch.view(np.int64)  # these have vector instructions; NaT is the smallest of them
        low, high = integers.min(), integers.max()
        if low != np.iinfo(np.int64).min:
            return low.view(epoch.dtype), high.view(epoch.dtype)
    return np.fmin.reduce(epoch, axis=None), np.fmax.reduce(epoch, axis=None)


def _kind(value: Any) -> str:
    dtype = getattr(value, "dtype", None)
    return f"dtype {dtype}" if dtype is not None else type(value).__name__


def check_range(epoch: NDArray[Any], table: Table, out_of_range: str, name: str = "epoch") -> None:
    """Raise if an epoch is infinite, or lies outside the years of the model and should not."""
    wanted = out_of_range == "raise" and not table.fixed
    if not epoch.size or not (wanted or epoch.dtype.kind == "f"):
        return
    extremes = np.array(_extremes(epoch))
    if not wanted:
        if np.isinf(extremes).any():
            raise ValueError(f"{name} must be finite or NaN, got {extremes[np.isinf(extremes)][0]}")
        return
    first, last = table.years[0], table.years[-1]
    low, high = years_of(extremes) if epoch.dtype.kind == "M" else extremes
    if not (low < first or high > last):
        return
    years = years_of(epoch) if epoch.dtype.kind == "M" else epoch
    outside = (years < first) | (years > last)
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(outside)), outside.shape))
    where = f" at {list(index)}" if index else ""
    raise ValueError(
        f"{name} must be from {first:.1f} to {last:.1f} for the model {table.name!r}, got {epoch[index]}{where}; "
        'out_of_range="nan", "clip" or "extrapolate" accepts it'
    )
