"""Samples laid out for the kernels: checked, pooled, centred, padded and cut into tiles.

Groups of samples (x and y; or points, x and y) stand one after the other in one array. Tiles of at most `TILE` rows do
not cross from one group into the next, so that every tile of pairs belongs to one pair of groups. A centre is
subtracted first: distances do not change, and the expansion |a|² + |b|² - 2 a·b loses no digits to a common offset.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkern import _dispatch, _validate
from ecgkern._cuda import Device
from ecgkern._memory import aligned
from ecgkern.stats._kernels import PRODUCT, SQUARED, Functions

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Samples of a tile: a multiple of the 4 x 5 products that are computed at once, and two tiles of 1000 float32 features
# fit the second-level cache.
TILE = 120
# Tiles of one group that a gradient takes together: about 1000 samples, for long scalar products and 4 MB of slopes.
PANEL = 8
# Columns of signs whose quadratic forms are computed together.
FORMS = 60
# Up to so many features, differences are formed directly, in float64; beyond, from products.
MOST_DIRECT = 16
# Values beyond the last sample or feature that the kernels may read, and the step at which groups start: one vector.
PADDING = 16
# Samples of each group whose median is the centre.
_SAMPLES_OF_CENTRE = 16
# Partial sums of tile rows are kept apart, so that results do not depend on the number of threads.
_CHUNKS = 64
# Multiply-adds of one native call: about two seconds on two cores, so that Ctrl-C is heard.
_PRODUCTS_PER_CALL = 4e11


@dataclass(frozen=True)
class Pool:
    """Groups of samples, ready for the kernels.

    `z` has a row per sample, with the features padded by zeros to whole vectors, and rows of zeros behind each group,
    so that the next one starts on a cache line; when `direct`, it is float64 and transposed. `norms` are the squared
    lengths of the rows. Group g stands in rows starts[g] to starts[g] + sizes[g]; `tiles` are ranges of rows (first,
    end).
    """

    z: NDArray[Any]
    norms: Floats
    sizes: tuple[int, ...]
    starts: tuple[int, ...]
    n_features: int
    direct: bool
    tiles: Ints
    tile_group: Ints

    @property
    def n(self) -> int:
        """Samples in all groups together."""
        return sum(self.sizes)

    def rows(self) -> NDArray[Any]:
        """The (centred) samples with the zeros between groups, (n_rows, n_features)."""
        return self.z[: self.n_features].T if self.direct else self.z[:, : self.n_features]

    def group(self, g: int) -> slice:
        """The rows of group g."""
        return slice(self.starts[g], self.starts[g] + self.sizes[g])

    def columns(self) -> NDArray[Any]:
        """The samples with a row per feature, padded: (n_features + PADDING, n_rows)."""
        if self.direct:
            return self.z
        columns = aligned((self.n_features + PADDING, len(self.z)), self.z.dtype)
        columns[: self.n_features] = self.rows().T
        columns[self.n_features :] = 0
        return columns


@dataclass(frozen=True)
class Totals:
    """What one pass over the pairs gives; pairs of a sample with itself are left out.

    sums[g, h, b]: sum of kernel b over all pairs of group g with group h, for g = h in both orders.
    rows[m, h, i]: sum of mixture m over pairs of row i with group h.
    forms[m, f]: sum over pairs in both orders of signs[f, i] signs[f, j] times mixture m.
    """

    sums: Floats
    rows: Floats
    forms: Floats


def samples(value: Any, name: str) -> NDArray[Any]:
    """Return samples as a 2-D array of float32 or float64 that holds numbers only."""
    array = _validate.real_values(_dispatch.to_numpy(value, name), name)
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    _check_shape(array.shape, name)
    return np.asarray(_validate.finite(_validate.float_values(array, name), name))


def samples_on_device(device: Device, value: Any, name: str) -> Any:
    """Return samples on the card as a 2-D array of float32 or float64, its values unread."""
    half = hasattr(value, "dtype") and device.dtype(value) == np.float16
    array = device.values(value, name, dtype=np.float32 if half else None)
    _check_shape(tuple(array.shape), name)
    return array


def _check_shape(shape: tuple[int, ...], name: str) -> None:
    if len(shape) != 2:
        hint = f"; pass {name}.reshape(len({name}), -1)" if len(shape) > 2 else f"; pass {name}[:, None]"
        raise ValueError(f"{name} must be 2-D, (n_samples, n_features), got shape {shape}{hint if shape else ''}")
    if 0 in shape:
        raise ValueError(f"{name} must hold at least one sample of at least one feature, got shape {shape}")


def same_features(x: Any, y: Any, names: tuple[str, str] = ("x", "y")) -> None:
    """Raise unless both have the same number of features."""
    if x.shape[1] != y.shape[1]:
        raise ValueError(
            f"{names[0]} and {names[1]} must have the same number of features, got {x.shape[1]} and {y.shape[1]}"
        )


def pool(groups: Sequence[NDArray[Any]], measure: int, module: ModuleType, shift: Any = None) -> Pool:
    """Lay out groups of samples; `shift` replaces their centre as what is subtracted."""
    dtype = np.result_type(*groups)
    n_features = groups[0].shape[1]
    sizes = tuple(len(group) for group in groups)
    reach = max(abs(float(extreme)) for group in groups for extreme in (group.min(), group.max()))
    if reach > 1e140 or 0 < reach < 1e-140:
        scale = "exceed float64; scale them down" if reach > 1 else "vanish in float64; scale them up"
        raise ValueError(f"samples reach {reach:.3g}: their squares {scale}")
    direct = n_features <= MOST_DIRECT
    if shift is None:
        shift = np.zeros(n_features) if direct or measure == PRODUCT else centre(groups)
    if direct or not 1e-12 < reach < 1e15:  # squares in float32 would overflow or vanish
        dtype = np.dtype(np.float64)
    starts = np.concatenate(([0], np.cumsum([_padded(size) for size in sizes])))
    n_rows = int(starts[-1]) + PADDING
    norms = np.zeros(n_rows)
    z = np.zeros((n_features + PADDING, n_rows)) if direct else aligned((n_rows, _padded(n_features)), dtype)
    for group, start in zip(groups, starts, strict=False):
        end = start + len(group)
        if direct:
            z[:n_features, start:end] = (group - shift).T
        else:
            module.centre(np.ascontiguousarray(group, dtype), shift.astype(dtype), z[start:end], norms[start:end])
            z[end : end + 2 * PADDING] = 0
    tiles = [
        (g, start + cut, start + min(cut + TILE, size))
        for g, (start, size) in enumerate(zip(starts, sizes, strict=False))
        for cut in range(0, size, TILE)
    ]
    owner, first, end = np.array(tiles, np.int64).T
    return Pool(
        z,
        norms,
        sizes,
        tuple(starts[:-1].tolist()),
        n_features,
        direct,
        np.stack([first, end], axis=1),
        np.ascontiguousarray(owner),
    )


def _padded(n: int) -> int:
    return -(-n // PADDING) * PADDING


def centre(groups: Sequence[NDArray[Any]]) -> Floats:
    """What to subtract so that samples do not stand off zero: the median of some, which a few far ones do not move.

    Features whose median is within their spread are left as they are: subtracting would round them, and cost near
    copies their differences.
    """
    few = np.concatenate([group[:: max(1, len(group) // _SAMPLES_OF_CENTRE)] for group in groups])
    median = np.median(few, axis=0)
    spread = np.median(np.abs(few - median), axis=0)
    return np.asarray(np.where(np.abs(median) > 4.0 * spread, median, 0.0), dtype=np.float64)


def run(
    samples: Pool,
    f: Functions,
    module: ModuleType,
    *,
    wanted: Any = None,
    mixes: Floats | None = None,
    rows: bool = False,
    signs: NDArray[np.int8] | None = None,
    shard: tuple[int, int] = (0, 1),
) -> Totals:
    """One pass over the pairs of samples.

    wanted[g, h] says whether pairs of groups g <= h count (default: all); `mixes` (n_mixes, n_bandwidths) are the
    mixtures of kernels that `rows` and the quadratic forms of `signs` (n_forms, n_rows) are made of; `shard` (k, m) is
    the k-th of m parts of the pass.
    """
    groups = len(samples.sizes)
    wanted = np.ones((groups, groups), np.int32) if wanted is None else np.asarray(wanted, np.int32)
    n_mixes = 0 if mixes is None else len(mixes)
    n_forms = 0 if signs is None else len(signs)
    totals = Totals(
        np.zeros((groups, groups, f.scales.size)),
        np.zeros((n_mixes if rows else 0, groups, samples.norms.size)),
        np.zeros((n_mixes, n_forms)),
    )
    most = _CHUNKS if rows or n_forms else 16 * _CHUNKS
    for chunks in _calls(samples, most, shard, 1 + n_forms * n_mixes / samples.n_features):
        part = module.pass_over_pairs(samples, f, chunks, wanted, mixes, rows, signs)
        for total, more in ((totals.sums, part.sums), (totals.rows, part.rows), (totals.forms, part.forms)):
            total += more
    _in_range(totals.sums)
    return totals


def _in_range(sums: Floats) -> None:
    if not np.isfinite(sums).all():
        raise ValueError("the kernel exceeds float64 for these samples: scale them down, or lower degree or gamma")


def gradient(
    samples: Pool, f: Functions, module: ModuleType, weights: Floats, factors: Floats, with_diagonal: bool
) -> tuple[Floats, NDArray[Any]]:
    """Sums of the mixture over pairs of different samples, per pair of groups, and the derivatives by every row.

    The derivatives are those of the sum over all pairs in both orders of factors[g, h] times the mixture; with_diagonal
    says whether pairs of a sample with itself count. For f(v) of v = |a - b|² and w = factor f'(v) the derivative by
    sample i is 4 (sum_j w_ij z_i - sum_j w_ij z_j). The slopes w of two panels are computed once, for both.
    """
    groups, dtype = len(samples.sizes), samples.z.dtype
    columns = samples.columns()
    panels = _panels(samples)
    longest = max(samples.tiles[end - 1, 1] - samples.tiles[first, 0] for first, end in panels)
    slopes, transposed = (aligned((longest + 4, _padded(longest) + PADDING), dtype) for _ in range(2))
    slopes[:], transposed[:] = 0, 0
    out, row_sums = np.zeros((samples.norms.size, samples.n_features), dtype), np.zeros(samples.norms.size)
    sums = np.zeros((groups, groups))
    for k, a in enumerate(panels):
        for b in panels[k:]:
            g, h = samples.tile_group[a[0]], samples.tile_group[b[0]]
            rows_a, rows_b = (slice(samples.tiles[first, 0], samples.tiles[end - 1, 1]) for first, end in (a, b))
            n_a, n_b = rows_a.stop - rows_a.start, rows_b.stop - rows_b.start
            slopes[:, n_b : n_b + PADDING], transposed[:, n_a : n_a + PADDING] = 0, 0
            of_tiles = module.slopes(samples, f, a, b, weights, factors[g, h], with_diagonal, slopes, transposed)
            if a == b:
                sums[g, h] += 2.0 * of_tiles.sum() - np.trace(of_tiles)
            else:
                sums[g, h] += (2.0 if g == h else 1.0) * of_tiles.sum()
                module.add_slopes(f.measure, rows_b, rows_a, transposed, columns, row_sums, out)
            module.add_slopes(f.measure, rows_a, rows_b, slopes, columns, row_sums, out)
    _in_range(sums)
    _finish(samples, f.measure, row_sums, out)
    return sums, out


def _panels(samples: Pool) -> list[tuple[int, int]]:
    """Ranges of tiles of one group, of about equal length and at most `PANEL`."""
    panels = []
    for g in range(len(samples.sizes)):
        of_group = np.flatnonzero(samples.tile_group == g)
        parts = np.array_split(of_group, -(-of_group.size // PANEL))
        panels += [(int(part[0]), int(part[-1]) + 1) for part in parts]
    return panels


def _finish(samples: Pool, measure: int, row_sums: Floats, out: NDArray[Any]) -> None:
    """Turn the sums over j of w_ij z_j, or of w_ij times a sign, into derivatives, some rows at a time."""
    if measure != SQUARED:
        out *= 2
        return
    z, of_rows = samples.rows(), 4.0 * row_sums.astype(out.dtype)[:, None]
    for first in range(0, len(out), TILE):
        part = slice(first, first + TILE)
        out[part] *= -4
        out[part] += of_rows[part] * z[part]


def _calls(samples: Pool, most: int, shard: tuple[int, int], work: float) -> Iterator[Ints]:
    """Tile rows in chunks of about equal work, as many at a time as one native call should take: (n_chunks, 2)."""
    n_tiles = samples.tile_group.size
    area = np.cumsum(np.arange(n_tiles, 0, -1))
    ends = np.unique(np.searchsorted(area, area[-1] * np.arange(1, min(most, n_tiles) + 1) / min(most, n_tiles)) + 1)
    ends = np.minimum(ends, n_tiles)
    chunks = np.stack([np.concatenate(([0], ends[:-1])), ends], axis=1)[shard[0] :: shard[1]]
    products = samples.n**2 / 2 * max(samples.n_features, 16) * work
    n_calls = max(1, min(len(chunks), round(products / shard[1] / _PRODUCTS_PER_CALL)))
    for part in np.array_split(chunks, n_calls):
        if len(part):
            yield np.ascontiguousarray(part, dtype=np.int64)


def sums_of_chunks(parts: NDArray[Any]) -> Floats:
    """Add partial sums, one chunk after the other, whichever thread made them."""
    return np.asarray(parts.sum(axis=0))
