"""How Numba compiles the kernels, and 2**y for y <= 0 with the arithmetic of fortran/exponential.inc."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core import types
from numba.extending import overload

_f32, _f64, _i32, _i64 = np.float32, np.float64, np.int32, np.int64


def jit(function: Callable[..., Any], fastmath: frozenset[str] = frozenset({"contract", "reassoc"})) -> Any:
    """Compile without the GIL, and keep the machine code on disk where there is a folder to keep it in.

    Numba looks at the file of the function alone to tell whether what it kept is out of date. Where this file, which
    holds `exp2`, was changed after it, nothing is kept.
    """
    options = {"nogil": True, "error_model": "numpy", "fastmath": set(fastmath)}
    kernels = Path(function.__code__.co_filename)
    up_to_date = Path(__file__).stat().st_mtime < kernels.stat().st_mtime + 10  # seconds between files of one install
    try:
        return numba.njit(function, cache=up_to_date, **options)
    except RuntimeError:  # no writable folder for the cache
        return numba.njit(function, **options)


def jit_in_order(function: Callable[..., Any]) -> Any:
    """As `jit`, but sums are added as they are written, which differences that must be exact need."""
    return jit(function, frozenset({"contract"}))


def exp2(y: Any) -> Any:
    """Return 2**y for y <= 0, in a form that LLVM turns into vector instructions; only callable from jitted code."""
    raise RuntimeError("exp2 is for jitted code")


@numba.njit(inline="always")
def _exp2_f32(y):  # type: ignore[no-untyped-def]
    bounded = max(y, _f32(-125.0))
    shifted = bounded + _f32(12582912.0)  # 1.5 * 2**23
    f = bounded - (shifted - _f32(12582912.0))
    power = _f32(0.00134066439) + f * _f32(0.00015594678)
    power = _f32(0.05550310551) + f * (_f32(0.00961769297) + f * power)
    power = _f32(1.0) + f * (_f32(0.69314721497) + f * (_f32(0.24022652783) + f * power))
    exponent = _i32(_f32(shifted).view(_i32) << _i32(23))
    return _i32(_f32(power).view(_i32) + exponent).view(_f32)


@numba.njit(inline="always")
def _exp2_f64(y):  # type: ignore[no-untyped-def]
    bounded = max(y, -1021.0)
    shifted = bounded + 6755399441055744.0  # 1.5 * 2**52
    f = bounded - (shifted - 6755399441055744.0)
    power = 7.0725704128144235096e-9 + f * 4.078071929588336665e-10
    power = 1.3215442675329822143e-6 + f * (1.0180647659234138888e-7 + f * power)
    power = 0.0001540353044157213033 + f * (0.000015252727385193868197 + f * power)
    power = 0.0096181291076070023796 + f * (0.0013333558153439964747 + f * power)
    power = 0.24022650695910098007 + f * (0.055504108664790394552 + f * power)
    power = 1.0 + f * (0.69314718055994569675 + f * power)
    exponent = _i64(_f64(shifted).view(_i64) << _i64(52))
    return _i64(_f64(power).view(_i64) + exponent).view(_f64)


@overload(exp2, inline="always")
def _exp2(y):  # type: ignore[no-untyped-def]
    if y == types.float32:
        return lambda y: _exp2_f32(y)
    return lambda y: _exp2_f64(y)
