"""The geomag kernels on a GPU: cuda/geomag.cu, which broadcasts positions, epochs and times as they are.

Positions are on the card, or one value on the host; epochs and times are on the card or are copied there.
"""

from collections.abc import Sequence
from itertools import groupby
from math import prod
from typing import Any

import numpy as np

from ecgkern import _cuda, _validate
from ecgkern._cuda import C_TYPES, Device
from ecgkern.geomag._dipole import parameters
from ecgkern.geomag._earth import EARTH_RADIUS
from ecgkern.geomag._points import BY_YEARS, CD, CD_RAY, ED, ED_RAY, FIXED, GEOCENTRIC, GEODETIC, Coefficients

_THREADS, _POINTS = 256, 2  # point_threads, and the points that each takes
_FRAME = 8  # frame_size

_FORMS = [(source, target) for source in (GEODETIC, GEOCENTRIC) for target in (CD, ED)]
_FORMS += [(source, target) for source in (CD, ED, CD_RAY, ED_RAY) for target in (GEODETIC, GEOCENTRIC)]
KERNELS = (
    *(
        f"{kernel}, {each}>"
        for c_type in C_TYPES.values()
        for kernel in (*(f"convert<{c_type}, {source}, {target}" for source, target in _FORMS), f"field<{c_type}")
        for each in ("false", "true")
    ),
    "frames<0>",
    *(f"local_times<{c_type}>" for c_type in C_TYPES.values()),
)


def convert(
    source: int, target: int, coefficients: Coefficients, a: Any, b: Any, c: Any, epoch: Any, p: Any, q: Any, r: Any
) -> None:
    """Write positions of one form in another; `ecgkern.geomag._points` numbers the forms."""
    _at_epochs("convert", f"{source}, {target}, ", coefficients, (a, b, c), epoch, (), (p, q, r))


def field(
    eccentric: bool,
    geodetic: bool,
    coefficients: Coefficients,
    lat: Any,
    lon: Any,
    alt: Any,
    epoch: Any,
    *elements: Any,
) -> None:
    """Write the elements of the field of a dipole."""
    _at_epochs("field", "", coefficients, (lat, lon, alt), epoch, (int(eccentric), int(geodetic)), elements)


def local_time(
    eccentric: bool, surface: bool, geodetic: bool, algorithm: int, coefficients: Coefficients, lat: Any, lon: Any,
    alt: Any, time: Any, epoch: Any, hours: Any,
) -> None:  # fmt: skip
    """Write the magnetic local time of positions at times: first what the Sun and the dipole are at each time."""
    device = _device_of(hours)
    moments = _on(device, time)
    epochs = None if coefficients.by == FIXED else _on(device, epoch) if coefficients.by == BY_YEARS else moments
    shapes = {name: tuple(array.shape) for name, array in (("time", moments), ("epoch", epochs)) if array is not None}
    frames = device.empty((*_validate.broadcast_shape(**shapes), _FRAME), np.float64)
    of_time = frames[..., 0]  # the address of the frames, and the shape of the times
    constants = (*_dipole(device, coefficients), int(eccentric), int(eccentric and surface), algorithm)
    _launch(device, "frames<0>", (moments, epochs), constants, (of_time,))
    arrays, values = _positions(device, (lat, lon, alt), hours)
    kernel = f"local_times<{C_TYPES[device.dtype(hours)]}>"
    _launch(device, kernel, (*arrays, of_time), (*values, int(geodetic)), (hours,))


# ---- what they share -------------------------------------------------------------------------------------------------


def _at_epochs(
    kernel: str, forms: str, coefficients: Coefficients, position: Sequence[Any], epoch: Any, flags: Sequence[int],
    results: Sequence[Any],
) -> None:  # fmt: skip
    """Launch a kernel over positions, whose dipole is one for all or that of the epoch of each."""
    device = _device_of(results[0])
    arrays, values = _positions(device, position, results[0])
    epochs = None if coefficients.by == FIXED else _on(device, epoch)
    each = "false" if epochs is None else "true"
    name = f"{kernel}<{C_TYPES[device.dtype(results[0])]}, {forms}{each}>"
    _launch(device, name, (*arrays, epochs), (*values, *_dipole(device, coefficients), *flags), results)


def _device_of(result: Any) -> Device:
    device = _cuda.of(result)
    assert device is not None
    return device


def _positions(device: Device, position: Sequence[Any], result: Any) -> tuple[list[Any], list[float]]:
    """Arrays on the card in the type of the result, or None and the one value that there is."""
    arrays, values = [], []
    for member in position:
        single = isinstance(member, np.ndarray) and member.size == 1
        values.append(float(member.reshape(-1)[0]) if single else 0.0)
        arrays.append(None if single else device.values(member, "position", dtype=device.dtype(result)))
    return arrays, values


def _on(device: Device, epoch: Any) -> Any:
    """Decimal years, or microseconds since 1970, on the card."""
    if isinstance(epoch, np.ndarray):
        by_micros = epoch.dtype.kind == "M"
        epoch = device.upload(epoch.astype("M8[us]").view(np.int64) if by_micros else epoch.astype(np.float64))
    return epoch


def _dipole(device: Device, coefficients: Coefficients) -> tuple[Any, ...]:
    """The dipole that is one for all points, and the table for those that have an epoch each."""
    rows, by = coefficients.rows, coefficients.by
    b0, rotation, delta = parameters(rows[0])
    axis = rotation[2, 2], -rotation[0, 2], rotation[1, 1], -rotation[1, 0]  # cosine and sine of colatitude, longitude
    numbers = (float(number) for number in (b0, *axis, *(EARTH_RADIUS * delta)))
    table = None if by == FIXED else device.upload(rows)
    return (*numbers, table, len(rows), coefficients.first, coefficients.step, coefficients.rule, by)


def _launch(
    device: Device, kernel: str, arrays: Sequence[Any], constants: Sequence[Any], results: Sequence[Any]
) -> None:
    """Launch a kernel over arrays, or None for what has none, that broadcast to the shape of the results."""
    shape = tuple(results[0].shape)
    axes = [axis for axis in range(-len(shape), 0) if shape[axis] != 1]
    # Neighbouring axes along which the same arrays have values of their own are one to the kernel.
    alike = [
        (key, prod(shape[axis] for axis in group))
        for key, group in groupby(axes, lambda axis: [_along(array, axis) for array in arrays])
    ]
    if len(alike) > 3:  # the kernels know no more
        for i in range(shape[0]):
            parts = [
                array[i if array.shape[0] != 1 else 0] if _rank(array) == len(shape) else array for array in arrays
            ]
            _launch(device, kernel, parts, constants, [result[i] for result in results])
        return
    alike = [([False] * len(arrays), 1)] * (3 - len(alike)) + alike
    varies = sum(along << (3 * k + 2 - d) for d, (key, _) in enumerate(alike) for k, along in enumerate(key))
    n, blocks_of = prod(shape), _THREADS * _POINTS
    extents = n, alike[1][1], alike[2][1], varies
    device.launch("geomag", kernel, -(-n // blocks_of), _THREADS, *extents, *arrays, *constants, *results)


def _rank(array: Any) -> int:
    return 0 if array is None else int(array.ndim)


def _along(array: Any, axis: int) -> bool:
    return _rank(array) >= -axis and array.shape[axis] != 1
