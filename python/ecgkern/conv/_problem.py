"""What the conv backends are given: checked arguments, and the order in which gradients are summed.

A backend module has two functions. ``convolve(problem, out)`` writes the result, (n_records, n_merged, length) or,
without a merge, (n_records, n_channels, length). ``differentiate(problem, grad_out, sums, grad_x)`` adds the gradients
of sum(grad_out * result) to `sums` and, unless it is None, writes that of x to `grad_x`.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_MOST_PARTIAL_SUMS = 2**16  # half a MB of float64


class Problem(NamedTuple):
    """Checked arguments, C-contiguous, all of one dtype, float32 or float64.

    Kernels stand one after another in `weights`, each (channels[g], n_inputs, sizes[g]). No tap lies further from its
    centre than the record is long: `trimmed` has cut off those that only ever meet padding.
    """

    x: NDArray[Any]  # (n_records, n_inputs, length)
    channels: NDArray[np.int64]  # (n_kernels,)
    sizes: NDArray[np.int64]  # (n_kernels,), odd
    weights: NDArray[Any]  # (n_weights,)
    biases: NDArray[Any]  # (n_channels,)
    dilation: int
    relu: bool
    merge_weight: NDArray[Any] | None  # (n_merged, n_channels)
    merge_bias: NDArray[Any]  # (n_merged,), or (0,) without a merge
    method: str = "direct"  # "auto", "direct" or "fft"

    @property
    def n_channels(self) -> int:
        return int(self.biases.size)

    @property
    def n_out(self) -> int:
        """Channels of the result."""
        return self.n_channels if self.merge_weight is None else len(self.merge_weight)

    @property
    def padding(self) -> int:
        """Zeros that the longest kernel needs on either side of a record."""
        return self.dilation * (int(self.sizes.max()) - 1) // 2

    @property
    def work(self) -> int:
        """Multiply-adds of the forward pass, in units that take about as long as a sample takes elsewhere."""
        n_records, _, length = self.x.shape
        merge = 0 if self.merge_weight is None else self.merge_weight.size
        return int(n_records * length * (self.weights.size + merge) // 64)

    def part(self, kernels: NDArray[np.bool_]) -> "Problem":
        """The same with some of the kernels only."""
        channels, weights = self.places(kernels)
        return self._replace(
            channels=self.channels[kernels],
            sizes=self.sizes[kernels],
            weights=self.weights[weights],
            biases=self.biases[channels],
            merge_weight=None if self.merge_weight is None else np.ascontiguousarray(self.merge_weight[:, channels]),
        )

    def places(self, kernels: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which channels and which weights are those of some of the kernels."""
        counts = self.channels * self.sizes * self.x.shape[1]
        return np.repeat(kernels, self.channels), np.repeat(kernels, counts)

    def kernels(self) -> list[NDArray[Any]]:
        """Views of the kernels, each (channels, n_inputs, size)."""
        shapes = [(int(c), self.x.shape[1], int(k)) for c, k in zip(self.channels, self.sizes, strict=True)]
        ends = np.cumsum([np.prod(shape) for shape in shapes])
        return [part.reshape(shape) for part, shape in zip(np.split(self.weights, ends[:-1]), shapes, strict=True)]


class Sums(NamedTuple):
    """Gradients per chunk of records, zero to begin with, float64.

    A chunk is summed record by record and belongs to one thread; `bounds` depends on the problem alone, so that the
    results are the same bits for every number of threads.
    """

    bounds: NDArray[np.int64]  # (n_chunks + 1,): records bounds[i] to bounds[i + 1] are chunk i
    weights: NDArray[np.float64]  # (n_chunks, n_weights)
    biases: NDArray[np.float64]  # (n_chunks, n_channels)
    merge_weight: NDArray[np.float64]  # (n_chunks, n_merged, n_channels), n_merged = 0 without a merge
    merge_bias: NDArray[np.float64]  # (n_chunks, n_merged)


def zero_sums(problem: Problem, bounds: NDArray[np.int64] | None = None) -> Sums:
    """Return zeros, by default for at most 64 chunks of records, which fit into half a MB where weights are few."""
    if bounds is None:
        fit = int(np.clip(_MOST_PARTIAL_SUMS // max(1, problem.weights.size), 8, 64))
        n_chunks = min(len(problem.x), 1 << (fit.bit_length() - 1))
        bounds = np.arange(n_chunks + 1) * len(problem.x) // max(1, n_chunks)
    n_chunks, n_merged = bounds.size - 1, problem.merge_bias.size
    return Sums(
        bounds,
        np.zeros((n_chunks, problem.weights.size)),
        np.zeros((n_chunks, problem.n_channels)),
        np.zeros((n_chunks, n_merged, problem.n_channels)),
        np.zeros((n_chunks, n_merged)),
    )


def trimmed(kernel: NDArray[Any], dilation: int, length: int) -> NDArray[Any]:
    """Return the taps of a kernel (..., size) that can meet a sample of a record of this length."""
    reach = min(kernel.shape[-1] // 2, max(0, length - 1) // dilation)
    centre = kernel.shape[-1] // 2
    return kernel[..., centre - reach : centre + reach + 1]
