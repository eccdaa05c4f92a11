"""What ecgkern.conv is compared with: PyTorch's own operations by several means, and the limits of the machine.

With kernels w[c], biases b, a dilation d and a merge M, m every mean computes

    h[n, c, t] = b[c] + sum over i, k of w[c][i, k] x[n, i, t + d (k - r)],     r = (size - 1) / 2
    y[n, :, t] = m + M relu(h[n, :, t])

and, where the gradient of y is given, what autograd makes of it.
"""

import timeit
from typing import Any, NamedTuple

import numpy as np
from peers_geomag import compiled

CHUNK = 8  # records whose channels, 5 MB, stay in the cache
# What keeps glibc from giving memory back to the system after each call, which then has to clear it for the next.
TUNED_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "268435456",
}


class Layer(NamedTuple):
    """A layer's parameters: kernels (c_out, c_in, size), biases (c_out,), merge (m, channels), its bias (m,)."""

    weights: list[Any]
    biases: list[Any]
    merge_weight: Any
    merge_bias: Any
    dilation: int
    relu: bool

    def map(self, function):
        """The same layer with other arrays or tensors."""
        weights, biases = (list(map(function, parameters)) for parameters in self[:2])
        return Layer(weights, biases, function(self.merge_weight), function(self.merge_bias), *self[4:])

    @property
    def parameters(self):
        return [*self.weights, *self.biases, self.merge_weight, self.merge_bias]

    @property
    def reach(self):
        """How far the longest kernel reaches to either side."""
        return self.dilation * max(w.shape[2] // 2 for w in self.weights)


# ---- means -----------------------------------------------------------------------------------------------------------


def channels(x, layer):
    """h, as a model is written: the convolutions, and their concatenation."""
    import torch

    d = layer.dilation
    parts = [
        torch.nn.functional.conv1d(x, w, b, padding=d * (w.shape[2] // 2), dilation=d)
        for w, b in zip(layer.weights, layer.biases, strict=True)
    ]
    return torch.cat(parts, 1)


def merged(h, layer):
    import torch

    return torch.nn.functional.conv1d(h.relu() if layer.relu else h, layer.merge_weight[..., None], layer.merge_bias)


def composite(x, layer):
    return merged(channels(x, layer), layer)


def by_compiler(x, layer):
    import torch

    torch._dynamo.config.recompile_limit = 64  # one for each shape and kind of call
    return compiled(composite)(x, layer)


def centred(layer):
    """All the kernels on the taps of the longest."""
    import torch

    longest = max(w.shape[2] for w in layer.weights)
    return torch.cat([torch.nn.functional.pad(w, 2 * [(longest - w.shape[2]) // 2]) for w in layer.weights])


def by_fft(x, layer):
    """By the convolution theorem, over a period in which no sample of a record meets the record's other end."""
    import torch

    length, reach = x.shape[2], layer.reach
    period = -(-(length + reach) // 128) * 128  # MKL is quick with 1152 = 9 x 128, three times slower with 1125
    kernels = centred(layer)
    taps = kernels.new_zeros(*kernels.shape[:2], period)
    taps[..., : 2 * reach + 1 : layer.dilation] = kernels
    f = torch.fft.rfft(x, period)
    g = torch.fft.rfft(taps.roll(-reach, 2)).conj()
    product = f * g[:, 0] if x.shape[1] == 1 else torch.einsum("nif,cif->ncf", f, g)
    h = torch.fft.irfft(product, period)[..., :length]
    return merged(h + torch.cat(layer.biases)[:, None], layer)


def by_windows(x, layer):
    """Every sample's neighbours as a column, and one matrix product for each kernel ("im2col")."""
    import torch

    length, reach, d = x.shape[2], layer.reach, layer.dilation
    windows = torch.nn.functional.pad(x, (reach, reach)).unfold(2, length, d).contiguous()
    parts = []
    for w, b in zip(layer.weights, layer.biases, strict=True):
        first = reach // d - w.shape[2] // 2
        columns = windows[:, :, first : first + w.shape[2]].reshape(len(x), -1, length)
        parts.append(torch.matmul(w.reshape(len(w), -1), columns) + b[:, None])
    return merged(torch.cat(parts, 1), layer)


def by_one_convolution(x, layer):
    """What remains of a layer without ReLU: one kernel, made anew in each call."""
    import torch

    weight = torch.einsum("mc,cik->mik", layer.merge_weight, centred(layer))
    bias = layer.merge_weight @ torch.cat(layer.biases) + layer.merge_bias
    return torch.nn.functional.conv1d(x, weight, bias, padding=layer.reach, dilation=layer.dilation)


# ---- calls -----------------------------------------------------------------------------------------------------------


def prepared(mean, chunk, x, layer, grad_out, need_x):
    """A call that returns [y], or with grad_out [y, gradients...], made `chunk` records at a time.

    chunk None: all at once. grad_out None: nothing is kept for gradients. need_x: the gradient of x comes first.
    """
    import torch

    train = grad_out is not None
    x = torch.tensor(x, requires_grad=train and need_x)
    layer = layer.map(lambda array: torch.tensor(array, requires_grad=train))
    leaves = [x, *layer.parameters] if need_x else layer.parameters
    size = chunk or len(x)
    grads = torch.tensor(grad_out).split(size) if train else ()

    def call():
        for leaf in leaves:
            leaf.grad = None
        results = []
        with torch.set_grad_enabled(train):
            for i in range(0, len(x), size):
                y = mean(x[i : i + size], layer)
                if train:
                    y.backward(grads[i // size])
                results.append(y.detach())
        return [torch.cat(results).numpy(), *(leaf.grad.numpy() for leaf in leaves if train)]

    return call


def called(call):
    return call()


def truth(x, layer, grad_out, need_x):
    """The same in float64, some records at a time."""
    grad_out = None if grad_out is None else np.float64(grad_out)
    return prepared(composite, CHUNK, np.float64(x), layer.map(np.float64), grad_out, need_x)()


def far_from_zero(x, layer, least=1e-5):
    """Where (n, 1, length) no channel is so close to zero that rounding decides which way ReLU takes, 1 or 0."""
    import torch

    layer = layer.map(lambda array: torch.from_numpy(np.float64(array)))
    parts = torch.from_numpy(np.float64(x)).split(CHUNK)
    return np.concatenate([(channels(part, layer).abs().amin(1, keepdim=True) > least).numpy() for part in parts])


# ---- the floor -------------------------------------------------------------------------------------------------------

SIDE = 2048
FLOP_OF_PRODUCT = 2 * SIDE**3


def matrix_product():
    """A product of two float32 matrices by the faster of the libraries of NumPy and torch."""
    import torch

    a, b, out = np.random.default_rng(0).standard_normal((3, SIDE, SIDE), dtype=np.float32)
    tensors = [torch.from_numpy(array) for array in (a, b, out)]
    products = [lambda: np.matmul(a, b, out=out), lambda: torch.mm(*tensors[:2], out=tensors[2])]
    return min(products, key=lambda product: min(timeit.repeat(product, number=1, repeat=5)))
