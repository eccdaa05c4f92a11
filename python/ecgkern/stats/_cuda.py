"""Pairs of samples on a GPU: cuda/stats.cu.

Samples, bandwidths that are found on the card, and results stay there; nothing here waits for the GPU but what says so.
"""

import functools
import importlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkern._cuda import C_TYPES, Device
from ecgkern.stats import _kernels
from ecgkern.stats._kernels import CITYBLOCK, PRODUCT, Kernel
from ecgkern.stats._pool import MOST_DIRECT

# What pairs are made of: a type, and how many products of float16 stand for one of float32 (0: differences instead).
_ENGINES = ("float, 3", "float, 0", "double, 0")
KERNELS = (
    *(f"{name}<{engine}>" for name in ("sums", "count_measures", "row_sums", "forms", "slopes") for engine in _ENGINES),
    *(f"store_measures<{c_type}, 0>" for c_type in C_TYPES.values()),
    "sums<float, 1>",
    "slopes<float, 1>",
    "count_measures<float, 1>",
    *(f"{name}<{products}>" for name in ("split", "split_columns", "add_products") for products in (3, 1)),
    "add_close_pairs<0>",
    "finish_gradient<0>",
    "add_rows<0>",
    *(
        f"{name}<{c_type}>"
        for name in (
            "centre", "extent", "own_sums", "combine", "root_of", "arrange", "scales", "measure_pairs",
            "median_of_sorted", "bracket", "median_of_counts", "add_parts", "add_slopes",
        )
        for c_type in C_TYPES.values()
    ),
)  # fmt: skip

_THREADS, _WARPS = 256, 8  # pair_threads, n_warps
_TILE = 128  # rows of a tile on tensor cores; half of it for differences
# Bytes of shared memory: three stages of two operands; a tile of differences, which is larger than what it is made of.
_SHARED = {"float, 3": 98304, "float, 1": 98304, "float, 0": 20480, "double, 0": 40960}
_SHARED_FOR_FORMS = {**_SHARED, "double, 0": 61440}  # and a tile of fixed-point numbers
# Blocks of a pass over all pairs: eight times the multiprocessors of an H100 or H200. Not those of the card at hand, so
# that sums are added in the same order everywhere.
_BLOCKS = 1056
_BLOCKS_OF_FORMS = 264  # fewer, for each has sums for every form
_MOST_SQUARINGS = 2  # in float32
# Pairs of which the median is taken from all distances; of more, from a histogram around the median of random pairs.
_MOST_STORED, _GUESSES, _BINS = 1 << 21, 1 << 15, 4096
# Signs on the card at a time: 256 MB.
_MOST_SIGNS = 1 << 28
# Samples of a panel of slopes, which is 32 MB (64 MB in float64).
_PANEL_ROWS, _PANEL_COLUMNS = 2048, 4096


@dataclass(frozen=True)
class Samples:
    """Groups of samples on the card, laid out for the kernels as cuda/pairs.cuh says."""

    device: Device
    z: Any
    shift: Any
    planes: Any
    norms: Any
    reach: Any
    lengths: Any
    sizes: tuple[int, ...]
    measure: int
    products: int

    @property
    def n_features(self) -> int:
        return int(self.z.shape[1])

    @property
    def c_type(self) -> str:
        return C_TYPES[self.device.dtype(self.z)]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.device.dtype(self.z)

    @property
    def engine(self) -> str:
        return f"{self.c_type}, {self.products}"

    @property
    def tile(self) -> int:
        return _TILE if self.products else _TILE // 2

    def tiles(self, *groups: int) -> int:
        """Tiles of these groups, of all without any."""
        sizes = [self.sizes[g] for g in groups] if groups else self.sizes
        return sum(-(-size // self.tile) for size in sizes)

    @property
    def n_blocks(self) -> int:
        """Blocks of 64 float16 in a row of `planes`."""
        return -(-self.n_features // (32 if self.products == 3 else 64))

    def arguments(self) -> tuple[Any, ...]:
        """What every kernel of pairs begins with."""
        sizes = (*self.sizes, 0, 0)[:3]
        return (
            self.z, self.shift, self.planes, self.norms, self.reach, *sizes, self.n_features, self.n_blocks,
            self.measure,
        )  # fmt: skip

    def launch(self, kernel: str, grid: int | tuple[int, ...], *arguments: Any) -> None:
        """A kernel over tiles of pairs."""
        name, shared = f"{kernel}<{self.engine}>", (_SHARED_FOR_FORMS if kernel == "forms" else _SHARED)[self.engine]
        self.device.launch("stats", name, grid, _THREADS, *self.arguments(), *arguments, shared=shared)

    def blocks_of_pairs(self, most: int, parts: int = 1) -> int:
        """Blocks for a pass over the pairs of tiles i <= j, or one of several parts of it."""
        n = self.tiles()
        return min(most, -(-n * (n + 1) // 2 // parts))


@dataclass(frozen=True)
class Table:
    """A kernel at several bandwidths: rows of scales, squarings, weights and places in the caller's order."""

    values: Any
    n: int
    function: int
    exponent: float
    coef0: float
    gamma: float  # the scale at bandwidth 1
    at_zero: float

    def arguments(self) -> tuple[Any, ...]:
        return self.values, self.n, self.function, self.exponent, self.coef0


@functools.cache
def _has_tensor_cores(index: int) -> bool:
    """Whether the card has the products of float16 that the kernels take: compute capability 8.0."""
    card = importlib.import_module("cupy").cuda.runtime.getDeviceProperties(index)
    return bool(card["major"] >= 8)


def _launch(device: Device, kernel: str, n: int, *arguments: Any) -> None:
    """A kernel that gives each of n things a warp."""
    device.launch("stats", kernel, -(-n // _WARPS), _THREADS, *arguments)


def pool(
    device: Device, groups: list[Any], measure: int, *, centred: bool = True, precision: str = "highest"
) -> Samples:
    """Lay out groups of samples."""
    dtype = np.result_type(*(device.dtype(group) for group in groups))
    groups = [device.contiguous(group, dtype) for group in groups]
    sizes = tuple(len(group) for group in groups)
    z = device.concatenate(groups) if len(groups) > 1 else groups[0]
    n_features, c_type = int(z.shape[1]), C_TYPES[dtype]
    shift = device.zeros(n_features, dtype)
    if centred:
        _launch(device, f"centre<{c_type}>", n_features, z, *(*sizes, 0, 0)[:3], n_features, shift)
    reach, lengths = device.zeros(2, np.int32), device.empty(len(z), np.float64)
    _launch(device, f"extent<{c_type}>", len(z), z, shift, len(z), n_features, lengths, reach)
    products = 0
    if dtype == np.float32 and measure != CITYBLOCK and n_features > MOST_DIRECT and _has_tensor_cores(device.index):
        products = 3 if precision == "highest" else 1
    samples = Samples(device, z, shift, None, None, reach, lengths, sizes, measure, products)
    if not products:
        return samples
    rows = samples.tiles() * _TILE
    planes = device.empty((rows, samples.n_blocks * 64), np.float16)
    norms = device.empty(rows, np.float32)
    _launch(device, f"split<{products}>", rows, *samples.arguments(), planes, norms)
    return replace(samples, planes=planes, norms=norms)


def table(samples: Samples, kernel: Kernel, bandwidths: Any, weights: NDArray[np.float64]) -> Table:
    """The kernel at its bandwidths, which are numbers of the host or an array on the card."""
    device, dtype = samples.device, samples.dtype
    on_host = isinstance(bandwidths, np.ndarray)
    f = _kernels.functions(kernel, bandwidths if on_host else np.ones(len(bandwidths)), samples.n_features)
    n = f.scales.size
    squarings = _squarings(f.squarings, dtype) if on_host else np.zeros(n)
    rows = np.array([f.scales, squarings, weights[f.order], f.order])
    values = device.upload(rows.astype(dtype))
    if not on_host:
        power = 2 if kernel.name in ("gaussian", "rational_quadratic", "imq") else 1
        device.launch(
            "stats", f"scales<{samples.c_type}>", 1, _THREADS, bandwidths, n, float(f.scales[0]), power, values
        )
    return Table(values, n, f.function, f.exponent, f.coef0, float(f.scales[0]), kernel.at_zero())


def _squarings(steps: NDArray[np.int64], dtype: np.dtype[Any]) -> NDArray[np.int64]:
    """Squarings from each kernel to the next: in float32 at most two in a row, each of which doubles the error."""
    if dtype == np.float64:
        return steps
    steps, run = steps.copy(), 0
    for b, step in enumerate(steps):
        run = run + step if step and run + step <= _MOST_SQUARINGS else 0
        steps[b] = step if run else 0
    return steps


def _added(device: Device, rows: Any, width: int) -> Any:
    """The sum of the rows of an array of float64."""
    out = device.empty(width, np.float64)
    device.launch("stats", "add_rows<0>", width, _THREADS, rows, len(rows), width, out)
    return out


def sums(samples: Samples, of: Table, shard: tuple[int, int] = (0, 1)) -> Any:
    """Sums over pairs of different samples: xx and yy in both orders, and xy; (3 n_bandwidths,)."""
    n_blocks = samples.blocks_of_pairs(_BLOCKS, shard[1])
    partials = samples.device.zeros((n_blocks, 3 * of.n), np.float64)
    samples.launch("sums", n_blocks, *of.arguments(), *shard, partials)
    return _added(samples.device, partials, 3 * of.n)


def own_sums(samples: Samples, of: Table) -> Any:
    """Sums of k(x_i, x_i) over x and over y, (2 n_bandwidths,)."""
    out = samples.device.empty(2 * of.n, np.float64)
    samples.device.launch(
        "stats", f"own_sums<{samples.c_type}>", 2 * of.n, _THREADS,
        samples.lengths, *samples.sizes[:2], samples.measure, *of.arguments(), out,
    )  # fmt: skip
    return out


def combine(samples: Samples, of: Table, of_pairs: Any, is_mixture: bool, estimator: str) -> Any:
    """MMD² from the sums over pairs of different samples."""
    device = samples.device
    out = device.empty((), samples.dtype)
    device.launch(
        "stats", f"combine<{samples.c_type}>", 1, 1,
        of_pairs, own_sums(samples, of), of.values, of.n, int(is_mixture), *map(float, samples.sizes),
        int(estimator == "biased"), out,
    )  # fmt: skip
    return out


def mmd2(samples: Samples, of: Table, estimator: str) -> Any:
    """MMD² of two groups, a 0-d array."""
    return combine(samples, of, sums(samples, of), False, estimator)


def root(device: Device, square: Any) -> Any:
    """The square root of a number on the card, 0 of one below 0."""
    out = device.empty((), device.dtype(square))
    device.launch("stats", f"root_of<{C_TYPES[device.dtype(square)]}>", 1, 1, square, out)
    return out


def mmd2_grad(
    samples: Samples, of: Table, estimator: str, factors: tuple[float, float, float], with_diagonal: bool
) -> tuple[Any, Any, Any]:
    """MMD² and its derivatives by x and by y."""
    of_pairs, both = gradient(samples, of, factors, with_diagonal)
    n = samples.sizes[0]
    # Copies, so that neither keeps the memory of the other, or shares it.
    parts = (samples.device.concatenate((part,)) for part in (both[:n], both[n:]))
    return combine(samples, of, of_pairs, True, estimator), *parts


def kernel_sums(samples: Samples, of: Table, shard: tuple[int, int]) -> Any:
    """xx, yy, xy and the traces at each bandwidth in the caller's order, (5, n_bandwidths)."""
    device = samples.device
    out = device.empty((5, of.n), np.float64)
    device.launch(
        "stats", f"arrange<{samples.c_type}>", 1, _THREADS,
        sums(samples, of, shard), own_sums(samples, of), of.values, of.n, float(shard[0] == 0), out,
    )  # fmt: skip
    return out


def median(samples: Samples, indices: tuple[Any, Any] | None = None) -> Any:
    """The median distance between different samples, or over the pairs of two arrays of indices: a 0-d array."""
    device, c_type, n = samples.device, samples.c_type, len(samples.z)
    n_pairs = n * (n - 1) // 2 if indices is None else len(indices[0])
    out = device.empty((), np.float64)
    if indices is None and n_pairs > _MOST_STORED:
        _median_of_counts(samples, n_pairs, out)
        return out
    measures = device.empty(n_pairs, samples.dtype)
    if indices is None:
        plain = replace(samples, products=0)
        n_tiles = plain.tiles()
        plain.launch("store_measures", n_tiles * (n_tiles + 1) // 2, measures)
    else:
        _measure_pairs(samples, indices, measures)
    device.launch(
        "stats", f"median_of_sorted<{c_type}>", 1, _THREADS, device.sort(measures), n_pairs, samples.measure, out
    )
    return out


def _measure_pairs(samples: Samples, indices: tuple[Any, Any] | tuple[None, None], out: Any) -> None:
    name = f"measure_pairs<{samples.c_type}>"
    _launch(samples.device, name, len(out), samples.z, *samples.z.shape, samples.measure, *indices, len(out), out)


def _median_of_counts(samples: Samples, n_pairs: int, out: Any) -> None:
    device, c_type = samples.device, samples.c_type
    guesses, ends = device.empty(_GUESSES, samples.dtype), device.empty(2, samples.dtype)
    _measure_pairs(samples, (None, None), guesses)
    device.launch("stats", f"bracket<{c_type}>", 1, 1, device.sort(guesses), _GUESSES, ends)
    below, counts = device.zeros(1, np.int64), device.zeros((3, _BINS), np.int64)
    n_blocks = samples.blocks_of_pairs(_BLOCKS)
    totals = device.empty(n_blocks, np.float64)
    samples.launch("count_measures", n_blocks, ends, below, counts[0], counts[1], counts[2], totals)
    device.launch(
        "stats", f"median_of_counts<{c_type}>", 1, _THREADS,
        ends, below, counts[0], counts[1], counts[2], totals, n_blocks, n_pairs, samples.measure, out,
    )  # fmt: skip


def witness(samples: Samples, of: Table) -> Any:
    """Mean of k(t, x_i) less mean of k(t, y_j) at each of the points t, which are the first of three groups."""
    device, n_points = samples.device, samples.sizes[0]
    of_points, others = samples.tiles(0), samples.tiles(1, 2)
    n_parts = max(1, min(others, _BLOCKS // of_points))
    partials, out = device.empty((n_parts, n_points), np.float64), device.empty(n_points, samples.dtype)
    factors = 1.0 / samples.sizes[1], -1.0 / samples.sizes[2]
    samples.launch("row_sums", (of_points, n_parts), *of.arguments(), *factors, partials)
    device.launch(
        "stats", f"add_parts<{samples.c_type}>", -(-n_points // _THREADS), _THREADS, partials, n_parts, n_points, out
    )
    return out


def forms(samples: Samples, of: Table, signs: NDArray[np.int8]) -> tuple[NDArray[np.float64], ...]:
    """Return on the host, waiting for the GPU: sᵀ K s and sᵀ K 1 for each row s of signs, 1ᵀ K 1 and the sum of |k|.

    K is the mixture between different samples.
    """
    device = samples.device
    n_columns = samples.tiles() * samples.tile
    start = samples.tiles(0) * samples.tile
    step = max(8, _MOST_SIGNS // n_columns // 8 * 8)
    n_blocks = samples.blocks_of_pairs(_BLOCKS_OF_FORMS)
    found = []
    for first in range(0, len(signs), step):
        part = signs[first : first + step]
        n_forms = -(-len(part) // 8) * 8
        spread = np.zeros((n_forms, n_columns), np.int8)
        spread[: len(part), : samples.sizes[0]] = part[:, : samples.sizes[0]]
        spread[: len(part), start : start + samples.sizes[1]] = part[:, samples.sizes[0] :]
        width = 2 * n_forms + 2
        partials = device.zeros((n_blocks * samples.tile // 16, width), np.float64)
        samples.launch("forms", n_blocks, *of.arguments(), device.upload(spread), n_forms, partials)
        total = device.download(_added(device, partials, width))
        found.append(np.stack([total[: len(part)], total[n_forms : n_forms + len(part)]]))
    both = np.concatenate(found, axis=1)
    return both[0], both[1], total[-2], total[-1]


def self_kernels(samples: Samples, of: Table) -> NDArray[np.float64]:
    """Return k(x_i, x_i) of the mixture on the host, waiting for the GPU where it is not the same for all."""
    if samples.measure != PRODUCT:
        return np.full(sum(samples.sizes), of.at_zero)
    lengths = samples.device.download(samples.lengths)
    return np.asarray((of.gamma * lengths + of.coef0) ** int(of.exponent))


def gradient(samples: Samples, of: Table, factors: tuple[float, float, float], with_diagonal: bool) -> tuple[Any, Any]:
    """Sums of the mixture over pairs of different samples, (3,) as `sums`, and the derivatives by every sample.

    They are those of the sum over all pairs in both orders of the factor of (x, x), (y, y) or (x, y) times the mixture.
    Slopes of a panel of pairs are written down and multiplied with the samples, a panel after the other.
    """
    device, n_features, tile, n = samples.device, samples.n_features, samples.tile, samples.tiles()
    rows, columns = (min(n, most // tile) for most in (_PANEL_ROWS, _PANEL_COLUMNS))
    panel = device.empty(rows * columns * tile * tile, np.float32 if samples.products else samples.dtype)
    scales = device.empty(rows * columns, np.float32)
    close_pairs = device.empty(rows * columns * tile * tile // 32, np.int32)
    partials = device.zeros((rows * columns, 3), np.float64)
    feature_tiles = -(-(n_features + 1) // _TILE)
    width = feature_tiles * _TILE
    gradients = device.zeros((len(samples.z), n_features), samples.dtype)
    if samples.products:
        halves = 2 if samples.products == 3 else 1
        transposed = device.empty((width, halves * n * tile), np.float16)
        device.launch(
            "stats", f"split_columns<{samples.products}>", (n * tile // 32, width // 32), _THREADS,
            *samples.arguments(), n * tile, transposed,
        )  # fmt: skip
        out = device.zeros((n * tile, width), np.float32)
    for a in range(0, n, rows):
        for b in range(0, n, columns):
            here, there = min(rows, n - a), min(columns, n - b)
            samples.launch(
                "slopes", (here, there), *of.arguments(), a, b, int(with_diagonal), *factors, panel, scales,
                close_pairs, partials,
            )  # fmt: skip
            if not samples.products:
                device.launch(
                    "stats", f"add_slopes<{samples.c_type}>", (here, -(-n_features // tile)), _THREADS,
                    *samples.arguments(), panel, a, b, there, gradients,
                )  # fmt: skip
                continue
            device.launch(
                "stats", f"add_products<{samples.products}>", (here, feature_tiles), _THREADS,
                panel, scales, transposed, n * tile, a, b, there, out, shared=_SHARED[samples.engine],
            )  # fmt: skip
            _launch(
                device, "add_close_pairs<0>", here * tile,
                *samples.arguments(), *of.arguments(), a, b, there, width, *factors, close_pairs, out,
            )  # fmt: skip
    if samples.products:
        device.launch(
            "stats", "finish_gradient<0>", (n * tile, -(-n_features // _THREADS)), _THREADS,
            *samples.arguments(), width, out, gradients,
        )  # fmt: skip
    return _added(device, partials, 3), gradients
