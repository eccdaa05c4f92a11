"""What the CUDA kernels are compared with: PyTorch's operations on the same card, and the rates that it reaches."""

import functools
import time

import numpy as np
import peers_conv
import torch

CARD = torch.device("cuda")


def on_card(array):
    return torch.from_numpy(np.ascontiguousarray(array)).to(CARD)


def normal(shape, seed):
    return torch.randn(shape, device=CARD, generator=torch.Generator(CARD).manual_seed(seed))


def finished(call):
    """The call with the wait for its work: what a stopwatch has to time."""

    def complete():
        result = call()
        torch.cuda.synchronize()
        return result

    return complete


def extra_mb(call):
    """Memory of the card at the peak of a call beyond what was in use before, its results included, in MB."""
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 1e6


# ---- the limits of the card ------------------------------------------------------------------------------------------


@functools.cache
def seconds_per_byte():
    """A copy of 2 GB on the card, counting what is read and what is written."""
    x, y = (torch.empty(2**29, dtype=torch.float32, device=CARD) for _ in range(2))
    return _best(lambda: y.copy_(x)) / (2 * 4 * 2**29)


@functools.cache
def seconds_per_product(dtype, tf32=False):
    """One multiply-add of a product of two matrices of 8192 x 8192 random numbers."""
    a, b = (torch.randn(8192, 8192, device=CARD).to(dtype) for _ in range(2))
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        return _best(lambda: a @ b) / 8192**3
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _best(call, rounds=10):
    spent = []
    for _ in range(rounds + 2):
        torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        spent.append(time.perf_counter() - start)
    return min(spent[2:])


def rates():
    """The ceilings, in words."""
    products = {"float32": (torch.float32, False), "TF32": (torch.float32, True), "float16": (torch.float16, False)}
    return ", ".join(
        [f"copy {1e-9 / seconds_per_byte():.0f} GB/s read and written"]
        + [f"{name} {2e-12 / seconds_per_product(*kind):.0f} TFLOP/s" for name, kind in products.items()]
    )


def copy_of(n_bytes):
    """A copy that moves so many bytes, half of them read and half written."""

    def copy():
        x, y = _buffers(n_bytes // 8)
        y.copy_(x)

    return copy


@functools.cache
def _buffers(n):
    return tuple(torch.empty(n, dtype=torch.float32, device=CARD) for _ in range(2))


def half_products(n, d, times):
    """The products of the pairs i < j of n samples of d features in float16, so many times."""
    _spend(times * n * n / 2 * d * seconds_per_product(torch.float16))


def multiplications(n, precision):
    """n multiply-adds at the rate of float32 or, where precision is "high", of TF32."""
    return lambda: _spend(n * seconds_per_product(torch.float32, precision == "high"))


def _spend(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


# ---- PyTorch's own ---------------------------------------------------------------------------------------------------


def dense_waves(peaks, beats, length, fs):
    """Every wave over the whole record."""
    from ecgkern.waveform import PHYSIO

    amplitude, delay, width = (
        torch.tensor(each.tolist(), device=CARD) for each in (PHYSIO.amplitude, PHYSIO.delay, PHYSIO.width)
    )
    t = torch.arange(length, device=CARD)
    y = torch.zeros(len(peaks) // beats, length, device=CARD)
    for beat in range(beats):
        for a, d, s in zip(amplitude, delay, width, strict=True):
            y += a * torch.exp(-0.5 * ((t - (peaks[beat::beats, None] + fs * d).float()) / (fs * s)) ** 2)
    return y


def _kernel_mean(a, b, sigmas):
    d2 = a.square().sum(1)[:, None] + b.square().sum(1) - 2.0 * (a @ b.T)
    return sum(torch.exp(-d2.clamp_min(0.0) / (2.0 * s * s)).mean() for s in sigmas) / len(sigmas)


def naive_mmd2(x, y, sigmas):
    """The biased estimate from whole matrices, in full float32."""
    with torch.no_grad():
        return _kernel_mean(x, x, sigmas) + _kernel_mean(y, y, sigmas) - 2.0 * _kernel_mean(x, y, sigmas)


def naive_mmd2_gradient(x, y, sigmas):
    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    value = _kernel_mean(x, x, sigmas) + _kernel_mean(y, y, sigmas) - 2.0 * _kernel_mean(x, y, sigmas)
    return torch.autograd.grad(value, (x, y))


def eager(x, layer, tf32):
    """The layer as a model is written, by cuDNN."""
    with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=tf32):
        return peers_conv.composite(x, layer)


def eager_step(x, layer, tf32):
    """The layer and the gradients of its parameters."""
    layer = layer.map(lambda parameter: parameter.detach().requires_grad_())
    with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=tf32):
        y = peers_conv.composite(x, layer)
        return torch.autograd.grad(y, layer.parameters, y.detach())
