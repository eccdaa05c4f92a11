"""Which kernels are convolved by Fourier transform, and with what period: for the Fortran backend."""

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecgkern.conv._problem import Problem

RADICES = (12, 8, 6, 4)  # of the passes within a block, fortran/fft.inc; 8 blocks make a period
LONGEST = 8192  # period that "auto" takes: 512 kB for the channels that are transformed together
FEWEST = 4  # units for which it does: several threads must find work
MOST_SPECTRA = 2**25  # values of the spectra of all kernels for which it does
# Times on AMD Zen 4, all in that of a multiply-add of the direct convolution, 0.019 ns. By Fourier transform, for each
# moment of a channel: a transform; what else there is to do; that for each input; and a turn from channels side by side
# to channels one after another, where there is no merge.
TRANSFORM, CHANNEL, INPUT, TURN = 18, 8, 3.6, 24
# Directly: a tap and input in the convolution, in gradients, and in those with that of x; and how many taps take as
# long as what else there is to do for a channel.
TAP = {"none": 1, "weights": 2.1, "all": 3.2}
OTHER_TAPS = 8
CALL = 3e6  # what preparing transforms takes, however small the problem


class Plan(NamedTuple):
    """How records are cut into units, each the moments of a phase, every dilation-th, that one transform covers."""

    period: int
    radices: tuple[int, ...]
    n_phases: int  # of a record
    n_segments: int  # units of a phase
    step: int  # moments of a phase from one unit to the next
    lead: int  # moments before those that a unit gives results for with which its period begins

    @property
    def n_units(self) -> int:
        """Units of a record."""
        return self.n_phases * self.n_segments


def batch(n_inputs: int) -> int:
    """Return the most units whose spectra are kept; those of few inputs are not worth the memory."""
    return min(8, 4 * n_inputs)


@functools.lru_cache(256)
def plan(n_moments: int, dilation: int, reach: int) -> Plan:
    """Return the cheapest plan for kernels that reach this many taps to either side."""
    found = []
    n_phases, length = min(dilation, n_moments), -(-n_moments // dilation)
    for radices in _all_radices((length + reach) * 3 // 2):
        period = 8 * math.prod(radices)
        if period >= length + reach:  # one unit: what goes beyond one end meets the zeros beyond the other
            found.append(Plan(period, radices, n_phases, 1, length, 0))
        elif period > 2 * reach:
            step = period - 2 * reach
            found.append(Plan(period, radices, n_phases, -(-length // step), step, reach))

    def cost(p: Plan) -> float:
        return p.n_segments * p.period * (4 + len(p.radices) + math.log2(p.period))

    return min(found, key=lambda p: (p.period > LONGEST, cost(p)))


def _all_radices(most: int) -> list[tuple[int, ...]]:
    """Return the radices of all periods up to `most`, and of the first one beyond it; of each the fewest."""
    found: dict[int, tuple[int, ...]] = {1: ()}
    for radix in RADICES:
        for block in sorted(found):
            radices = found[block]
            while 8 * block < 2 * most + 8 * radix:
                block, radices = block * radix, (*radices, radix)
                if block not in found or len(radices) < len(found[block]):
                    found[block] = radices
    return [radices for block, radices in sorted(found.items()) if block > 1 and block % 4 == 0]


def chosen(problem: Problem, gradients: str) -> NDArray[np.bool_]:
    """Return which kernels are convolved by Fourier transform; `gradients` is "none", "weights" or "all".

    With "auto" those kernels, the longest, for which all together are cheapest. The choice depends on shapes alone.
    Without a merge, where the channels of all kernels are the result, all kernels or none.
    """
    nothing = np.zeros(problem.sizes.size, bool)
    if problem.method != "auto":
        return ~nothing if problem.method == "fft" else nothing
    n_records, n_inputs, length = problem.x.shape
    direct = problem.channels * (problem.sizes * n_inputs + OTHER_TAPS) * (n_records * length * TAP[gradients])
    p = plan(length, problem.dilation, int(problem.sizes.max()) // 2)
    units = n_records * p.n_units
    if p.period > LONGEST or (gradients == "none" and units < FEWEST):
        return nothing
    n_transforms, n_products = {"none": (1, 1), "weights": (2, 2), "all": (2, 4)}[gradients]
    of_channel = TRANSFORM + CHANNEL + (TURN if problem.merge_weight is None else 0)
    of_unit = n_transforms * of_channel + n_products * INPUT * n_inputs
    # The kernels are transformed once, and their gradients for each batch.
    of_kernel = (2 + (n_transforms - 1) * -(-units // batch(n_inputs))) * TRANSFORM
    by_fft = problem.channels * (p.period * (units * of_unit + n_inputs * of_kernel))
    least, best = float(direct.sum()), nothing
    for size in np.unique(problem.sizes) if problem.merge_weight is not None else [1]:
        long = problem.sizes >= size
        cost = CALL + float(by_fft[long].sum() + direct[~long].sum())
        if cost < least and problem.channels[long].sum() * n_inputs * p.period <= MOST_SPECTRA:
            least, best = cost, long
    return best


def is_safe(problem: Problem, *others: NDArray[Any]) -> bool:
    """Return whether no spectrum overflows, and nothing is NaN or infinite, which would reach a whole record."""
    arrays = [problem.x, problem.weights, problem.biases, *others]
    if problem.merge_weight is not None:
        arrays.append(problem.merge_weight)
    largest = math.prod(max(1.0, _largest(array)) for array in arrays)
    return largest < math.sqrt(np.finfo(problem.x.dtype).max)


def _largest(array: NDArray[Any]) -> float:
    largest, least = float(array.max()), float(array.min())
    return math.inf if math.isnan(largest) else max(largest, -least)


@functools.lru_cache(16)
def roots_of_unity(p: Plan, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return (2, n_roots): exp(-2 pi i j k / n), j < n / radix, 0 < k < radix, for the passes over n moments."""
    n, parts = p.period, []
    for radix in (8, *p.radices):
        turns = np.outer(np.arange(n // radix), np.arange(1, radix)).ravel() / n
        parts.append(np.exp(-2j * np.pi * turns))
        n //= radix
    return np.concatenate(parts).view(np.float64).reshape(-1, 2).astype(dtype).T
