"""The operators of ecgkern.torch on a GPU, or on the emulated one, against the same in plain PyTorch."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ecgkern.torch import gaussian_waves, mmd2, multiscale_conv1d  # noqa: E402
from ecgkern.torch._conv import multiscale_conv1d_composite  # noqa: E402
from ecgkern.torch._mmd import mmd2_composite  # noqa: E402
from ecgkern.torch._waveform import gaussian_waves_composite  # noqa: E402
from ecgkern.waveform import PHYSIO  # noqa: E402

# CuPy has no gradients.
pytestmark = pytest.mark.parametrize("gpu", ["torch" if torch.cuda.is_available() else "emulated-torch"], indirect=True)


def same_gradients(y, expected, inputs, rtol=1e-9):
    torch.testing.assert_close(y, expected, rtol=rtol, atol=1e-12)
    found = torch.autograd.grad(y.square().sum(), inputs)
    wanted = torch.autograd.grad(expected.square().sum(), inputs)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=rtol, atol=1e-11)


@pytest.mark.parametrize("n_leads", [None, 3])
def test_gaussian_waves(gpu, n_leads):
    def tensor(values):
        return gpu.array(np.asarray(values, float)).requires_grad_()

    inputs = [tensor([40.0, 130.0, 77.0]), *map(tensor, (PHYSIO.amplitude, PHYSIO.delay, PHYSIO.width))]
    gain = None if n_leads is None else tensor(np.linspace(-1, 1, 6 * n_leads).reshape(n_leads, 6))
    inputs += [] if gain is None else [gain]
    offsets = gpu.array(np.array([0, 2, 3]))
    peaks, amplitude, delay, width = inputs[:4]
    y = gaussian_waves(
        peaks, fs=100.0, length=190, amplitude=amplitude, delay=delay, width=width, lead_gain=gain,
        row_offsets=offsets,
    )  # fmt: skip
    expected = gaussian_waves_composite(*inputs[:1], offsets, *inputs[1:4], gain, 100.0, 190, 6.0, torch.float64)
    same_gradients(y, expected, inputs)


@pytest.mark.parametrize("kernel", ["gaussian", "laplacian"])
def test_mmd2(gpu, kernel):
    rng = np.random.default_rng(0)
    x, y = (gpu.array(rng.normal(size=(n, 5))).requires_grad_() for n in (9, 7))
    value = mmd2(x, y, kernel=kernel, bandwidth=[1.0, 2.0])
    same_gradients(value, mmd2_composite(x, y, kernel, [], [1.0, 2.0], "unbiased", []), (x, y))


@pytest.mark.parametrize("merged", [True, False])
def test_multiscale_conv1d(gpu, merged):
    rng = np.random.default_rng(0)

    def tensor(*shape):
        return gpu.array(rng.normal(size=shape)).requires_grad_()

    x, weights, biases = tensor(2, 3, 41), [tensor(4, 3, 3), tensor(5, 3, 11)], [tensor(4), tensor(5)]
    merge = [tensor(2, 9), tensor(2)] if merged else []
    y = multiscale_conv1d(
        x, weights, biases, dilation=2, activation="relu",
        **dict(zip(("merge_weight", "merge_bias"), merge, strict=False)),
    )  # fmt: skip
    inputs = [x, *weights, *biases, *merge]
    same_gradients(y, multiscale_conv1d_composite(x, weights, biases, merge, 2, True), inputs)


def test_second_derivatives_take_the_composite(gpu):
    x, y = (gpu.array(np.random.default_rng(i).normal(size=(4, 2))).requires_grad_() for i in range(2))
    (grad,) = torch.autograd.grad(mmd2(x, y, bandwidth=1.0), x, create_graph=True)
    (second,) = torch.autograd.grad(grad.square().sum(), y)
    assert torch.isfinite(second).all()
    assert second.abs().max() > 0
