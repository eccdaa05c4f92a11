"""The conv kernels in plain NumPy: the float64 specification that every other backend is tested against.

Record by record and tap by tap: tap j of a kernel of size k sees the padded record from sample d j + (K - k) d / 2 on.
With the method "fft", kernel by kernel: of padded records and kernels of n samples, spread by the dilation, the
convolution is the inverse transform of X conj(W), and the gradients those of X conj(G) and W G.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkern.conv._problem import Problem, Sums

METHODS = ("direct", "fft")

Floats = NDArray[np.float64]


@np.errstate(over="ignore", invalid="ignore")  # infinity and NaN go through, as in the compiled kernels
def convolve(problem: Problem, out: NDArray[Any]) -> None:
    """Write the result to out (n_records, n_merged or n_channels, length)."""
    for record, result in zip(problem.x, out, strict=True):
        a = _activations(problem, _padded(problem, record))
        if problem.merge_weight is not None:
            a = problem.merge_bias[:, None] + problem.merge_weight.astype(np.float64) @ a
        result[:] = a


@np.errstate(over="ignore", invalid="ignore")
def differentiate(problem: Problem, grad_out: NDArray[Any], sums: Sums, grad_x: NDArray[Any] | None) -> None:
    """Add the gradients of sum(grad_out * result) to sums and write that of x to grad_x."""
    for chunk, (first, end) in enumerate(zip(sums.bounds[:-1], sums.bounds[1:], strict=True)):
        for n in range(first, end):
            x = _padded(problem, problem.x[n])
            grad_h = grad_out[n].astype(np.float64)
            if problem.relu or problem.merge_weight is not None:
                a = _activations(problem, x)
            if problem.merge_weight is not None:
                sums.merge_weight[chunk] += grad_h @ a.T
                sums.merge_bias[chunk] += grad_h.sum(axis=1)
                grad_h = problem.merge_weight.T.astype(np.float64) @ grad_h
            if problem.relu:
                grad_h[a <= 0] = 0.0
            sums.biases[chunk] += grad_h.sum(axis=1)
            grad_padded = np.zeros_like(x)
            grads = []
            for kernel, channels, taps in _taps(problem):
                if problem.method == "fft":
                    width, spectra = x.shape[1], np.fft.rfft(grad_h[channels], x.shape[1])[:, None]
                    of_inputs = (_spectra(kernel, taps, width) * spectra).sum(axis=0)
                    grad_padded += np.fft.irfft(of_inputs, width)
                    products = np.fft.irfft(np.fft.rfft(x) * spectra.conj(), width)
                    grads.append(products[:, :, [seen.start for seen in taps]].ravel())
                    continue
                grad_kernel = np.empty(kernel.shape)
                for j, seen in enumerate(taps):
                    grad_kernel[:, :, j] = grad_h[channels] @ x[:, seen].T
                    grad_padded[:, seen] += kernel[:, :, j].T @ grad_h[channels]
                grads.append(grad_kernel.ravel())
            sums.weights[chunk] += np.concatenate(grads)
            if grad_x is not None:
                grad_x[n] = grad_padded[:, problem.padding : problem.padding + problem.x.shape[2]]


def _padded(problem: Problem, record: NDArray[Any]) -> Floats:
    """Return a record in float64 with the zeros that the longest kernel needs on either side."""
    return np.pad(record.astype(np.float64), ((0, 0), (problem.padding, problem.padding)))


def _activations(problem: Problem, x: Floats) -> Floats:
    """Return the channels of all kernels (n_channels, length), after the ReLU if there is one."""
    h = np.empty((problem.n_channels, problem.x.shape[2]))
    h[:] = problem.biases[:, None]
    for kernel, channels, taps in _taps(problem):
        if problem.method == "fft":
            spectra = np.fft.rfft(x) * _spectra(kernel, taps, x.shape[1]).conj()
            h[channels] += np.fft.irfft(spectra.sum(axis=1), x.shape[1])[:, : h.shape[1]]
            continue
        for j, seen in enumerate(taps):
            h[channels] += kernel[:, :, j] @ x[:, seen]
    return np.maximum(h, 0.0) if problem.relu else h


def _spectra(kernel: Floats, taps: list[slice], n: int) -> NDArray[np.complex128]:
    """Return the transforms of a kernel's channels, each tap where it begins to see the padded record of n samples."""
    spread = np.zeros((*kernel.shape[:2], n))
    spread[:, :, [seen.start for seen in taps]] = kernel
    return np.fft.rfft(spread)


def _taps(problem: Problem) -> list[tuple[Floats, slice, list[slice]]]:
    """Return each kernel, its channels of the result, and the samples of the padded record that each tap sees."""
    found, first = [], 0
    length, d = problem.x.shape[2], problem.dilation
    for kernel in problem.kernels():
        size = kernel.shape[2]
        start = problem.padding - d * (size // 2)
        taps = [slice(start + d * j, start + d * j + length) for j in range(size)]
        found.append((kernel.astype(np.float64), slice(first, first + len(kernel)), taps))
        first += len(kernel)
    return found
