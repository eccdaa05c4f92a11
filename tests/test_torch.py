"""The torch operators against their composites and closed forms: gradients, transforms, types, layers and losses."""

import copy
import os
import pickle
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.autograd import forward_ad, gradcheck, gradgradcheck  # noqa: E402
from torch.nn import functional  # noqa: E402

import ecgkern.torch as et  # noqa: E402
from ecgkern import conv, stats, waveform  # noqa: E402
from ecgkern.data import RPeaks  # noqa: E402
from ecgkern.stats import Kernel  # noqa: E402
from ecgkern.torch import _conv, _mmd, _tensors, _waveform  # noqa: E402
from ecgkern.waveform import PHYSIO, Waves  # noqa: E402

SINGLE, DOUBLE, DOUBLE_GRADIENT = 1e-5, 1e-12, 1e-10  # of the largest value


@pytest.fixture(autouse=True)
def same_random_numbers():
    torch.manual_seed(0)


def close(ours, reference, tolerance):
    """Compare in units of the largest value of the reference."""
    assert ours.shape == reference.shape
    scale = float(reference.detach().abs().max()) or 1.0
    error = float((ours.detach().double() - reference.detach().double()).abs().max())
    assert error <= tolerance * scale, f"{error / scale:.3g} of the largest value"


def randn(*shape, grad=False, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype).requires_grad_(grad)


def layer(c_in=2, sizes=(3, 7), channels=3, merge=2, dtype=torch.float64, grad=True):
    """Weights, biases and merge of a small layer."""
    weights = [randn(channels, c_in, k, grad=grad, dtype=dtype) for k in sizes]
    biases = [randn(channels, grad=grad, dtype=dtype) for _ in sizes]
    return weights, biases, [randn(merge, channels * len(sizes), grad=grad, dtype=dtype), randn(merge, dtype=dtype)]


def plain(x, weights, biases=None, *, dilation=2, activation=None, merge_weight=None, merge_bias=None):
    """The seed's own words: convolutions, cat, ReLU, a convolution of size 1."""
    biases = biases or [None] * len(weights)
    h = torch.cat(
        [
            functional.conv1d(x, w, b, padding=dilation * (w.shape[2] - 1) // 2, dilation=dilation)
            for w, b in zip(weights, biases, strict=True)
        ],
        dim=1,
    )
    if activation == "relu":
        h = torch.relu(h)
    if merge_weight is None:
        return h
    return functional.conv1d(h, merge_weight.reshape(*merge_weight.shape[:2], 1), merge_bias)


def dense_waves(rows, amplitude, delay, width, length, fs=100.0):
    """Every wave of every beat at every sample, one set of waves."""
    t = torch.arange(length, dtype=torch.float64)
    records = []
    for row in rows:
        u = (t - row[:, None, None] - fs * delay[:, None]) / (fs * width[:, None])
        records.append((amplitude[:, None] * torch.exp(-0.5 * u**2)).sum(dim=(0, 1)))
    return torch.stack(records)


def waves_of_physio(dtype=torch.float64, grad=True):
    """Amplitude, delay and width of PHYSIO as tensors."""
    return [
        torch.tensor(getattr(PHYSIO, name).tolist(), dtype=dtype).requires_grad_(grad)
        for name in ("amplitude", "delay", "width")
    ]


# Each operator as a function of tensors alone, with tensors for it: what every transform is tried on.


def conv_case():
    weights, biases, merge = layer()

    def function(x, *others):
        options = {"activation": "relu", "merge_weight": others[4], "merge_bias": others[5]}
        return et.multiscale_conv1d(x, others[:2], others[2:4], **options)

    def reference(x, *others):
        options = {"activation": "relu", "merge_weight": others[4], "merge_bias": others[5]}
        return plain(x, others[:2], others[2:4], **options)

    return function, reference, [randn(3, 2, 17, grad=True), *weights, *biases, *merge]


def mmd_case():
    def function(x, y):
        return et.mmd2(x, y, bandwidth=[1.0, 2.5])

    def reference(x, y):
        def k(a, b):
            square = (a[:, None] - b).square().sum(-1)
            return sum(torch.exp(-square / (2 * s**2)) for s in (1.0, 2.5)) / 2

        n, m = len(x), len(y)
        within = (k(x, x).sum() - n) / (n * (n - 1)) + (k(y, y).sum() - m) / (m * (m - 1))
        return within - 2 * k(x, y).mean()

    return function, reference, [randn(5, 3, grad=True), randn(4, 3, grad=True)]


def waves_case():
    def function(r, amplitude, delay, width):
        return et.gaussian_waves(
            r, row_offsets=torch.tensor([0, 2, 3]), fs=100.0, length=90, cutoff=12.0, amplitude=amplitude, delay=delay,
            width=width,
        )  # fmt: skip

    def reference(r, amplitude, delay, width):
        return dense_waves([r[:2], r[2:]], amplitude, delay, width, 90)

    amplitude, delay, width = waves_of_physio()
    width = (1.5 * width.detach()).requires_grad_()  # clear of one sample, below which there is a warning
    return function, reference, [
        torch.tensor([20.3, 61.7, 30.0], dtype=torch.float64).requires_grad_(), amplitude, delay, width
    ]  # fmt: skip


CASES = pytest.mark.parametrize("case", [conv_case, mmd_case, waves_case])


@CASES
def test_values_and_gradients_are_those_of_the_formula(case):
    function, reference, inputs = case()
    close(function(*inputs), reference(*inputs), DOUBLE)
    upstream = torch.randn_like(reference(*inputs))
    ours = torch.autograd.grad(function(*inputs), [t for t in inputs if t.requires_grad], upstream)
    theirs = torch.autograd.grad(reference(*inputs), [t for t in inputs if t.requires_grad], upstream)
    for our, their in zip(ours, theirs, strict=True):
        close(our, their, DOUBLE_GRADIENT)


@CASES
def test_first_and_second_derivatives_numerically(case):
    function, _, inputs = case()
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs, fast_mode=True)


def conv_arguments(grad, *more):
    return randn(2, 2, 9, grad=grad), *layer(grad=grad), 2, True, "highest", *more


def waves_arguments(gain, *more, grad=False):
    peaks = torch.tensor([20.3, 61.7], dtype=torch.float64)
    return peaks, torch.tensor([0, 2, 2]), *waves_of_physio(grad=grad), gain, 100.0, *more


def mmd_arguments(*more):
    return randn(5, 3, grad=True), randn(4, 3), *more


# The backward operators of inputs that need no gradient: PyTorch's own second derivative of a convolution cannot be
# traced with shapes that vary.
OPERATORS = {
    "conv": lambda: (_conv._multiscale_conv1d, conv_arguments(True)),
    "conv, bare": lambda: (_conv._multiscale_conv1d, (randn(2, 2, 9, grad=True), layer()[0], [], [], 1, False, "high")),
    "conv backward": lambda: (_conv._backward, (randn(2, 2, 9), *conv_arguments(False, False))),
    "mmd2": lambda: (_mmd._mmd2, mmd_arguments("imq", [], [], "biased", [], "highest")),
    "mmd2_grad": lambda: (
        _mmd._mmd2_grad,
        mmd_arguments("matern", [1, 2.5, 3, 1, 1], [1.0, 2.0], "unbiased", [1.0, 3.0], "high"),
    ),
    "waves": lambda: (_waveform._gaussian_waves, waves_arguments(None, 90, 6.0, torch.float32, grad=True)),
    "waves backward": lambda: (_waveform._backward, (randn(2, 3, 90), *waves_arguments(randn(3, 6), 6.0))),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_opcheck(name):
    operator, args = OPERATORS[name]()
    results = torch.library.opcheck(operator, args)
    assert set(results.values()) == {"SUCCESS"}


# --- transforms -------------------------------------------------------------------------------------------------------


@CASES
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", id="inductor")])
def test_compile_without_graph_breaks(case, backend):
    function, reference, inputs = case()
    if backend == "inductor" and case is not conv_case:
        backend = "eager"
    torch.compiler.reset()
    compiled = torch.compile(lambda *inputs: function(*inputs).square().sum(), fullgraph=True, backend=backend)
    wanted = [t for t in inputs if t.requires_grad]
    ours = torch.autograd.grad(compiled(*inputs), wanted)
    theirs = torch.autograd.grad(reference(*inputs).square().sum(), wanted)
    for our, their in zip(ours, theirs, strict=True):
        close(our, their, DOUBLE_GRADIENT)
    with torch.no_grad():
        close(compiled(*inputs), reference(*inputs).square().sum(), DOUBLE)


@CASES
def test_func_grad_and_vmap_of_it(case):
    function, reference, inputs = case()
    inputs = [t.detach() for t in inputs]
    close(
        torch.func.grad(lambda t: function(t, *inputs[1:]).square().sum())(inputs[0]),
        torch.func.grad(lambda t: reference(t, *inputs[1:]).square().sum())(inputs[0]),
        DOUBLE_GRADIENT,
    )
    # Gradients by the last argument for a batch of the first, one each.
    batch = torch.stack([inputs[0], inputs[0] + 0.25, inputs[0] - 0.5])

    def gradients(of):
        each = torch.func.grad(lambda last, first: of(first, *inputs[1:-1], last).square().sum())
        return torch.func.vmap(each, in_dims=(None, 0))(inputs[-1], batch)

    close(gradients(function), gradients(reference), DOUBLE_GRADIENT)


@CASES
def test_forward_mode(case):
    function, reference, inputs = case()
    first, *others = [t.detach() for t in inputs]
    tangent = torch.randn_like(first)
    _, theirs = torch.func.jvp(lambda t: reference(t, *others), (first,), (tangent,))
    with forward_ad.dual_level():
        ours = forward_ad.unpack_dual(function(forward_ad.make_dual(first, tangent), *others)).tangent
        close(ours, theirs, DOUBLE_GRADIENT)
    close(torch.func.jvp(lambda t: function(t, *others), (first,), (tangent,))[1], theirs, DOUBLE_GRADIENT)


@CASES
def test_third_derivatives(case):
    function, reference, inputs = case()
    first, *others = [t.detach() for t in inputs]
    u, v = torch.randn_like(first), torch.randn_like(first)

    def along(of):
        def d1(t):
            return (torch.func.grad(lambda t: (of(t, *others) ** 3).sum())(t) * u).sum()

        def d2(t):
            return (torch.func.grad(d1)(t) * v).sum()

        return torch.func.grad(d2)(first)

    close(along(function), along(reference), 1e-8)


def test_vmap_of_the_convolution_is_one_call_over_signals_and_a_loop_over_weights(monkeypatch):
    calls = []
    native = conv.multiscale_conv1d
    monkeypatch.setattr(conv, "multiscale_conv1d", lambda *a, **k: calls.append(a) or native(*a, **k))
    weights, biases, (merge_weight, merge_bias) = layer(grad=False)
    options = {"activation": "relu", "merge_weight": merge_weight, "merge_bias": merge_bias}
    x = randn(2, 2, 21, 4)  # the batch comes last

    ours = torch.func.vmap(lambda x: et.multiscale_conv1d(x, weights, biases, **options), in_dims=3)(x)
    assert len(calls) == 1
    close(ours, torch.stack([plain(x[..., i], weights, biases, **options) for i in range(4)]), DOUBLE)

    many = [torch.stack([w, 2 * w, -w]) for w in weights]
    x = randn(2, 2, 21)
    ours = torch.func.vmap(lambda *w: et.multiscale_conv1d(x, w, biases, **options))(*many)
    assert len(calls) == 4
    theirs = [plain(x, [w[i] for w in many], biases, **options) for i in range(3)]
    close(ours, torch.stack(theirs), DOUBLE)


# --- gradients of gradients -------------------------------------------------------------------------------------------


def critic(convolution):
    def score(x, parameters):
        kernels, biases, merge = parameters
        return convolution(x, kernels, biases, activation="relu", merge_weight=merge[0]).tanh().mean(dim=(1, 2))

    return score


def test_the_gradient_penalty_of_a_critic_is_that_of_the_composite():
    parameters = layer(c_in=1, sizes=(3, 11, 25), channels=4, merge=5)
    flat = [*parameters[0], *parameters[1], parameters[2][0]]
    real, fake, mix = randn(4, 1, 60), randn(4, 1, 60), torch.rand(4, 1, 1, dtype=torch.float64)

    def gradients(score):
        between = (mix * real + (1 - mix) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(score(between, parameters).sum(), between, create_graph=True)
        penalty = (slope.flatten(1).norm(dim=1) - 1).square().mean()
        loss = score(fake, parameters).mean() - score(real, parameters).mean() + 10 * penalty
        return loss, torch.autograd.grad(loss, flat)

    ours, theirs = gradients(critic(et.multiscale_conv1d)), gradients(critic(plain))
    close(ours[0], theirs[0], DOUBLE)
    for our, their in zip(ours[1], theirs[1], strict=True):
        assert float(their.abs().max()) > 0
        close(our, their, DOUBLE_GRADIENT)


# --- types, strides, devices ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_computed_in_float32_and_rounded_once(dtype):
    x, (weights, biases, merge) = randn(3, 2, 40, dtype=dtype), layer(dtype=dtype)
    options = {"activation": "relu", "merge_weight": merge[0], "merge_bias": merge[1]}
    y = et.multiscale_conv1d(x, weights, biases, **options)
    wide = et.multiscale_conv1d(
        x.float(), [w.float() for w in weights], [b.float() for b in biases], activation="relu",
        merge_weight=merge[0].float(), merge_bias=merge[1].float(),
    )  # fmt: skip
    assert y.dtype == dtype
    assert torch.equal(y, wide.to(dtype))
    y.sum().backward()
    assert weights[0].grad.dtype == dtype

    a, b = randn(5, 3, dtype=dtype, grad=True), randn(4, 3, dtype=dtype)
    value = et.mmd2(a, b, bandwidth=1.0)
    assert value.dtype == dtype
    assert torch.equal(value, et.mmd2(a.float(), b.float(), bandwidth=1.0).to(dtype))
    value.backward()
    assert a.grad.dtype == dtype

    sets = waves_of_physio(dtype)
    options = {"fs": 100.0, "length": 120, "amplitude": sets[0], "delay": sets[1], "width": sets[2]}
    ecg = et.gaussian_waves([[50.0]], **options)
    assert ecg.dtype == dtype
    assert torch.equal(ecg, et.gaussian_waves([[50.0]], **options, dtype=torch.float32).to(dtype))


def test_float32_gradients_against_float64():
    # Biases of +-10 keep every h away from 0, where rounding would decide what the ReLU passes.
    weights, biases, merge = layer(c_in=2, sizes=(3, 11, 25), channels=4)
    biases = [(10.0 * torch.randn(4, dtype=torch.float64).sign()).requires_grad_() for _ in biases]
    x = 0.1 * randn(4, 2, 200)
    x.requires_grad_()
    inputs = [x, *weights, *biases, merge[0]]
    single = [t.detach().float().requires_grad_() for t in inputs]
    for activation in ("relu", None):

        def output(convolution, inputs, activation=activation):
            x, *others = inputs
            return convolution(x, others[:3], others[3:6], activation=activation, merge_weight=others[6]).square().sum()

        reference = torch.autograd.grad(output(plain, inputs), inputs)
        for our, their in zip(
            torch.autograd.grad(output(et.multiscale_conv1d, single), single), reference, strict=True
        ):
            close(our, their, SINGLE)
        for our, their in zip(
            torch.autograd.grad(output(et.multiscale_conv1d, inputs), inputs), reference, strict=True
        ):
            close(our, their, DOUBLE_GRADIENT)


def test_autocast_leaves_the_arithmetic_in_float32():
    weights, biases, _ = layer(dtype=torch.float32)
    x = randn(2, 2, 30, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(et.multiscale_conv1d(x, weights, biases), et.multiscale_conv1d(x, weights, biases))
        y = et.multiscale_conv1d(x, weights, biases)
        assert y.dtype == torch.float32
        close(y, plain(x.double(), [w.double() for w in weights], [b.double() for b in biases]), SINGLE)
        half = et.multiscale_conv1d(x.bfloat16(), weights, biases)  # what a layer before it returns under autocast
        assert half.dtype == torch.bfloat16
        composite = _conv.multiscale_conv1d_composite(x, weights, biases, [], 2, False)
        assert composite.dtype == torch.float32
        a, b = randn(4, 3, dtype=torch.float32), randn(4, 3, dtype=torch.float32)
        assert et.mmd2(a, b, bandwidth=1.0).dtype == torch.float32
    torch.testing.assert_close(et.mmd2(a, b, bandwidth=1.0), _composite_mmd2(a, b, bandwidth=1.0))


def test_any_strides():
    weights, biases, merge = layer(grad=False)
    options = {"activation": "relu", "merge_weight": merge[0][:, :, None]}
    x = randn(3, 30, 2).transpose(1, 2)  # (n, length, c_in) as an LSTM has it
    channels_last = randn(3, 2, 1, 30).to(memory_format=torch.channels_last).squeeze(2)
    for signals in (x, channels_last, randn(3, 2, 60)[:, :, ::2], randn(3, 1, 30).expand(3, 2, 30)):
        assert not signals.is_contiguous()
        signals = signals.detach().requires_grad_()
        ours = et.multiscale_conv1d(signals, weights, biases, **options)
        assert ours.is_contiguous()
        close(ours, plain(signals, weights, biases, **options), DOUBLE)
        ours.transpose(1, 2).contiguous().sum().backward()  # an upstream gradient that is expanded
        (theirs,) = torch.autograd.grad(plain(signals, weights, biases, **options).sum(), signals)
        close(signals.grad, theirs, DOUBLE_GRADIENT)
    a, b = randn(3, 5).T, randn(4, 6)[:, ::2]
    torch.testing.assert_close(et.mmd2(a, b, bandwidth=1.0), et.mmd2(a.contiguous(), b.contiguous(), bandwidth=1.0))
    r = torch.tensor([20.0, 0.0, 60.0, 0.0], dtype=torch.float64)[::2]
    options = {"fs": 100.0, "length": 90}
    assert torch.equal(et.gaussian_waves([r], **options), et.gaussian_waves([r.clone()], **options))


def test_cpu_tensors_are_neither_copied_nor_returned(monkeypatch):
    seen = []

    def watch(module, name):
        native = getattr(module, name)

        def spy(*args, **kwargs):
            arrays = [*args, *kwargs.values()]
            seen.extend(t.data_ptr() for a in arrays for t in (a if isinstance(a, list) else [a]) if torch.is_tensor(t))
            return native(*args, **kwargs)

        monkeypatch.setattr(module, name, spy)

    for module, name in ((conv, "multiscale_conv1d"), (conv, "multiscale_conv1d_grad"), (stats, "mmd2_grad")):
        watch(module, name)
    x, (weights, biases, merge) = randn(3, 2, 40, grad=True), layer()
    y = et.multiscale_conv1d(x, weights, biases, merge_weight=merge[0])
    y.sum().backward()
    a, b = randn(5, 3, grad=True), randn(4, 3)
    et.mmd2(a, b, bandwidth=1.0).backward()
    given = [x, *weights, *biases, merge[0], a, b]
    assert {t.data_ptr() for t in given} <= set(seen)
    results = [y, x.grad, weights[0].grad, a.grad]
    assert not {t.data_ptr() for t in results} & {t.data_ptr() for t in given}


@pytest.mark.parametrize("wanted", list(product([False, True], repeat=4))[1:])
def test_only_what_requires_grad_gets_one(wanted, monkeypatch):
    asked = []
    native = conv.multiscale_conv1d_grad
    monkeypatch.setattr(conv, "multiscale_conv1d_grad", lambda *a, **k: asked.append(k["need_x"]) or native(*a, **k))
    x, (weights, biases, merge) = randn(2, 2, 20), layer(grad=False)
    for tensor, grad in zip((x, weights[1], biases[0], merge[0]), wanted, strict=True):
        tensor.requires_grad_(grad)
    options = {"activation": "relu", "merge_weight": merge[0], "merge_bias": merge[1]}
    et.multiscale_conv1d(x, weights, biases, **options).square().sum().backward()
    tensors = [t for t in (x, weights[1], biases[0], merge[0]) if t.requires_grad]
    theirs = torch.autograd.grad(plain(x, weights, biases, **options).square().sum(), tensors)
    for tensor, their in zip(tensors, theirs, strict=True):
        close(tensor.grad, their, DOUBLE_GRADIENT)
    assert all(t.grad is None for t in (weights[0], biases[1], merge[1]))
    assert asked == [wanted[0]]  # a third of the work


def test_mmd2_does_its_work_once(monkeypatch):
    calls = []
    for name in ("mmd2", "mmd2_grad"):
        native = getattr(stats, name)
        monkeypatch.setattr(
            stats, name, lambda *a, name=name, native=native, **k: calls.append(name) or native(*a, **k)
        )
    x, y = randn(5, 3, grad=True), randn(4, 3)
    et.mmd2(x, y, bandwidth=1.0).backward()
    assert calls == ["mmd2_grad"]
    with torch.no_grad():
        et.mmd2(x, y, bandwidth=1.0)
    assert calls == ["mmd2_grad", "mmd2"]


@CASES
def test_devices_without_a_native_kernel_take_plain_pytorch(case, monkeypatch):
    function, _, inputs = case()
    ours, wanted = function(*inputs), [t for t in inputs if t.requires_grad]
    upstream = torch.randn_like(ours)
    gradients = torch.autograd.grad(ours, wanted, upstream)
    monkeypatch.setattr(_tensors, "native", lambda device: False)
    theirs = function(*inputs)
    close(ours, theirs, DOUBLE)
    for our, their in zip(gradients, torch.autograd.grad(theirs, wanted, upstream), strict=True):
        close(our, their, DOUBLE_GRADIENT)
    assert "ecgkern" not in str(type(theirs.grad_fn)).lower()


@CASES
def test_meta_tensors_tell_shapes(case):
    function, _, inputs = case()
    expected = function(*inputs)
    if case is waves_case:

        def function(r, *sets):
            names = dict(zip(("amplitude", "delay", "width"), sets, strict=True))
            offsets = torch.tensor([0, 2, 3], device="meta")
            return et.gaussian_waves(r, row_offsets=offsets, fs=100.0, length=90, **names)

    inputs = [t.detach().to("meta").requires_grad_() for t in inputs]
    result = function(*inputs)
    result.sum().backward()
    assert (result.shape, result.dtype, result.is_meta) == (expected.shape, expected.dtype, True)
    assert all(t.grad.shape == t.shape for t in inputs)


# --- composites: what other devices run -------------------------------------------------------------------------------


def _composite_mmd2(x, y, kernel="gaussian", bandwidth="median", estimator="unbiased", weights=None):
    arguments = *_mmd._of_kernel(kernel), _mmd._of_bandwidth(bandwidth), estimator, _mmd._floats(weights, "weights")
    return _mmd.mmd2_composite(x, y, *arguments)


KERNELS = ["gaussian", "laplacian", "laplacian_l1", Kernel("rational_quadratic", alpha=0.7), "imq",
           Kernel("matern", nu=0.5), "matern", Kernel("matern", nu=2.5), "polynomial",
           Kernel("polynomial", degree=2, gamma=0.3, coef0=0.5), "linear", "energy"]  # fmt: skip


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
def test_mmd2_operator_and_composite_agree_for_every_kernel(kernel, estimator):
    x, y = randn(7, 4, grad=True), (randn(6, 4) + 0.3).requires_grad_()
    ours, theirs = (f(x, y, kernel=kernel, estimator=estimator) for f in (et.mmd2, _composite_mmd2))
    close(ours, theirs, DOUBLE)
    for our, their in zip(torch.autograd.grad(ours, (x, y)), torch.autograd.grad(theirs, (x, y)), strict=True):
        close(our, their, DOUBLE_GRADIENT)


def test_mmd2_of_coinciding_samples_has_finite_gradients_of_any_order():
    x = randn(5, 3, grad=True)
    y = x.detach().clone()
    for kernel in ("laplacian", "energy", "gaussian"):
        for function in (et.mmd2, _composite_mmd2):
            (slope,) = torch.autograd.grad(function(x, y, kernel=kernel), x, create_graph=True)
            (again,) = torch.autograd.grad(slope.square().sum(), x)
            assert slope.isfinite().all()
            assert again.isfinite().all()


def test_mmd2_mixtures_and_median_of_the_composite():
    x, y = randn(7, 4), randn(6, 4) + 1.0
    for options in (
        {"bandwidth": [0.5, 2.0, 1.0], "weights": [1.0, 2.0, 5.0]},
        {"bandwidth": torch.tensor([0.5, 2.0])},
        {"bandwidth": np.float32(1.5)},
        {"kernel": "laplacian_l1"},
        {},
    ):
        close(et.mmd2(x, y, **options), _composite_mmd2(x, y, **options), DOUBLE)
        kept = {k: v.tolist() if torch.is_tensor(v) else v for k, v in options.items()}
        assert float(et.mmd2(x, y, **options)) == pytest.approx(
            float(stats.mmd2(x.numpy(), y.numpy(), **kept)), rel=1e-12
        )


@pytest.mark.parametrize("leads", [0, 3])
@pytest.mark.parametrize("cutoff", [2.5, 6.0])
def test_gaussian_waves_operator_and_composite_agree(leads, cutoff):
    r = torch.tensor([20.3, 61.7, -30.0, 300.0, 1e9, 30.0], dtype=torch.float64, requires_grad=True)
    offsets = torch.tensor([0, 2, 2, 6])
    sets = [(each.detach() * (1 + 0.1 * torch.rand(6, 6).double())).requires_grad_() for each in waves_of_physio()]
    gain = randn(leads, 6, grad=True) if leads else None
    inputs = [r, *sets, *([gain] if leads else [])]
    ours = et.gaussian_waves(
        r, row_offsets=offsets, fs=100.0, length=90, cutoff=cutoff, amplitude=sets[0], delay=sets[1], width=sets[2],
        lead_gain=gain,
    )  # fmt: skip
    theirs = _waveform.gaussian_waves_composite(r, offsets, *sets, gain, 100.0, 90, cutoff, torch.float64)
    close(ours, theirs, DOUBLE)
    upstream = torch.randn_like(ours)
    gradients = [torch.autograd.grad(y, inputs, upstream) for y in (ours, theirs)]
    for our, their in zip(*gradients, strict=True):
        close(our, their, DOUBLE_GRADIENT)


# --- gaussian_waves: manners ------------------------------------------------------------------------------------------


def test_gaussian_waves_is_the_array_function():
    rows = [[50.0, 150.5], [], [60.25]]
    options = {"fs": 100.0, "length": 200}
    expected = waveform.gaussian_waves(rows, **options)
    for r_peaks, offsets in (
        (rows, None),
        ([torch.tensor(row, dtype=torch.float64) for row in rows], None),
        (RPeaks.from_list(rows), None),
        (torch.tensor([50.0, 150.5, 60.25]), torch.tensor([0, 2, 2, 3], dtype=torch.int32)),
        ([50.0, 150.5, 60.25], [0, 2, 2, 3]),
    ):
        ours = et.gaussian_waves(r_peaks, row_offsets=offsets, **options)
        assert ours.dtype == torch.float32
        np.testing.assert_array_equal(ours.numpy(), expected)
    assert et.gaussian_waves([], **options).shape == (0, 200)
    assert et.gaussian_waves([[]], **options, dtype=torch.float64).dtype == torch.float64


def test_amplitudes_per_beat_go_with_one_set_of_widths():
    amplitude = randn(3, 6, grad=True)
    rows = [[50.0, 150.0], [60.0]]
    ours = et.gaussian_waves(rows, fs=100.0, length=200, amplitude=amplitude)
    assert ours.dtype == torch.float64
    delay, width = (np.broadcast_to(each, (3, 6)) for each in (PHYSIO.delay, PHYSIO.width))
    waves = Waves(PHYSIO.name, amplitude.detach().numpy(), delay, width)
    expected = waveform.gaussian_waves(rows, fs=100.0, length=200, waves=waves, dtype=np.float64)
    np.testing.assert_array_equal(ours.detach().numpy(), expected)
    ours.sum().backward()
    assert amplitude.grad.shape == (3, 6)


def test_gradients_come_in_the_type_of_each_argument():
    r = torch.tensor([50.0], dtype=torch.float64, requires_grad=True)
    amplitude, delay, _ = waves_of_physio(torch.float32)
    ecg = et.gaussian_waves([r], fs=100.0, length=100, amplitude=amplitude, delay=delay)
    assert ecg.dtype == torch.float32
    ecg.square().sum().backward()
    assert (r.grad.dtype, amplitude.grad.dtype, delay.grad.dtype) == (torch.float64, torch.float32, torch.float32)


# --- errors -----------------------------------------------------------------------------------------------------------


CONV_ERRORS = [
    ({"x": np.zeros((1, 2, 9))}, TypeError, "x must be a torch.Tensor, got ndarray"),
    ({"x": torch.zeros(1, 2, 9, dtype=torch.int64)}, TypeError, "x must hold floating-point numbers, got torch.int64"),
    ({"x": torch.zeros(2, 9)}, ValueError, r"x must have shape .* got \(2, 9\)"),
    ({"x": torch.zeros(1, 2, 0)}, ValueError, r"x must have shape .* got \(1, 2, 0\)"),
    ({"x": torch.zeros(1, 3, 9)}, ValueError, r"weights\[0\] must have shape .* c_in = 3, .* got \(3, 2, 3\)"),
    ({"x": torch.zeros(1, 2, 9, dtype=torch.float64)}, TypeError, r"weights\[0\] must have the dtype of x"),
    ({"x": torch.zeros(1, 2, 9, device="meta")}, ValueError, r"weights\[0\] must be on the device of x, meta, got cpu"),
    ({"weights": []}, ValueError, "weights must hold at least one kernel"),
    ({"weights": [torch.zeros(3, 2, 4)] * 2}, ValueError, r"weights\[0\] must have an odd number of taps, got 4"),
    ({"biases": [torch.zeros(3)]}, ValueError, "biases must have one entry for each of the 2 weights, got 1"),
    ({"biases": [torch.zeros(3), torch.zeros(2)]}, ValueError, r"biases\[1\] must have shape \(3,\), got \(2,\)"),
    ({"merge_weight": torch.zeros(1, 5)}, ValueError, r"merge_weight must have shape \(m, 6\) .* got \(1, 5\)"),
    ({"merge_bias": torch.zeros(1)}, ValueError, "merge_bias needs merge_weight"),
    ({"merge_weight": torch.zeros(1, 6), "merge_bias": torch.zeros(2)}, ValueError, r"merge_bias must .* \(1,\)"),
    ({"dilation": 0}, ValueError, "dilation must be at least 1, got 0"),
    ({"dilation": 1.5}, TypeError, "dilation must be an integer, got float"),
    ({"activation": "gelu"}, ValueError, "activation must be None or \"relu\", got 'gelu'"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "error", "message"), CONV_ERRORS, ids=[m for _, _, m in CONV_ERRORS])
def test_wrong_arguments_of_the_convolution_are_told(wrong, error, message):
    right = {"x": torch.zeros(1, 2, 9), "weights": [torch.zeros(3, 2, 3), torch.zeros(3, 2, 5)]}
    with pytest.raises(error, match=message):
        et.multiscale_conv1d(**(right | wrong))


def test_a_nan_in_the_weights_reaches_the_result_and_a_batch_may_be_empty():
    weights, biases, merge = layer(grad=False)
    weights[0][0, 0, 0] = torch.nan
    y = et.multiscale_conv1d(randn(1, 2, 9), weights, biases, activation="relu", merge_weight=merge[0])
    assert y.isnan().any()
    x = torch.zeros(0, 2, 9, dtype=torch.float64, requires_grad=True)
    y = et.multiscale_conv1d(x, layer()[0])
    assert y.shape == (0, 6, 9)
    y.sum().backward()
    assert x.grad.shape == x.shape


X = torch.zeros(3, 2)
MMD_ERRORS = [
    ({"y": torch.zeros(3, 4)}, ValueError, r"x and y must have shapes .* got \(3, 2\) and \(3, 4\)"),
    ({"y": np.zeros((3, 2))}, TypeError, "y must be a torch.Tensor, got ndarray"),
    ({"y": torch.zeros(3, 2, device="meta")}, ValueError, "y must be on the device of x, cpu, got meta"),
    ({"x": torch.zeros(1, 2)}, ValueError, "at least 2 samples in x and in y, got 1 and 3"),
    ({"estimator": "block"}, ValueError, "estimator must be .* got 'block'"),
    ({"bandwidth": "mean"}, ValueError, "bandwidth must be .* got 'mean'"),
    ({"bandwidth": []}, ValueError, "bandwidth must hold at least one"),
    ({"bandwidth": [-1.0]}, ValueError, "bandwidth must be greater than 0"),
    ({"bandwidth": torch.ones(1, requires_grad=True)}, TypeError, "bandwidth requires grad"),
    ({"kernel": "rbf"}, ValueError, "kernel must be one of gaussian"),
    ({"weights": [1.0, 2.0], "bandwidth": 1.0}, ValueError, "weights must have one entry per bandwidth"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), MMD_ERRORS, ids=[m for _, _, m in MMD_ERRORS])
def test_wrong_arguments_of_mmd2_are_told(wrong, error, message):
    with pytest.raises(error, match=message):
        et.mmd2(**({"x": X, "y": X} | wrong))


WAVES_ERRORS = [
    ({"r_peaks": torch.zeros(3)}, TypeError, "r_peaks must be a list .* got Tensor without row_offsets"),
    ({"r_peaks": [torch.zeros(3, 1)]}, ValueError, r"r_peaks\[0\] must have 1 dimension, got shape \(3, 1\)"),
    ({"r_peaks": [torch.tensor([torch.nan])]}, ValueError, "r_peaks must be finite"),
    ({"r_peaks": torch.zeros(3), "row_offsets": [0, 2]}, ValueError, "row_offsets must end with the number of r_peaks"),
    ({"r_peaks": torch.zeros(3), "row_offsets": [0.0, 3.0]}, TypeError, "row_offsets must hold integers"),
    ({"fs": 0.0}, ValueError, "fs must be finite and greater than 0"),
    ({"length": 0}, ValueError, "length must be from 1"),
    ({"dtype": torch.int32}, ValueError, "dtype must be a floating-point type, got torch.int32"),
    ({"width": torch.zeros(6)}, ValueError, "width must be above 0 s"),
    ({"delay": torch.zeros(5)}, ValueError, r"got delay \(5,\) beside amplitude \(6,\)"),
    ({"amplitude": [1.0] * 6}, TypeError, "amplitude must be a torch.Tensor, got list"),
    ({"amplitude": torch.zeros(6, device="meta")}, ValueError, "amplitude must be on the device of r_peaks, cpu"),
    ({"lead_gain": torch.zeros(2, 5)}, ValueError, r"lead_gain must have shape \(n_leads, 6\), got \(2, 5\)"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), WAVES_ERRORS, ids=[m for _, _, m in WAVES_ERRORS])
def test_wrong_arguments_of_gaussian_waves_are_told(wrong, error, message):
    with pytest.raises(error, match=message):
        et.gaussian_waves(**({"r_peaks": [torch.tensor([5.0])], "fs": 100.0, "length": 9} | wrong))


def weighted(x, target, rows):
    return et.WeightedMSELoss(100.0)(torch.zeros(x), torch.zeros(target), rows)


MODULE_ERRORS = [
    (lambda: et.MultiScaleConv1d(1, kernel_sizes=(3, 4)), r"kernel_sizes must be odd, got 4 at \[1\]"),
    (lambda: et.MultiScaleConv1d(1, [32, 16]), r"out_channels must be .* 5 kernel_sizes, .* got \[32, 16\]"),
    (lambda: et.MultiScaleConv1d(1, activation="gelu"), "activation must be None or \"relu\", got 'gelu'"),
    (lambda: et.MultiScaleConv1d(1, activation="relu", merge=1).collapse_(), "only kernels with activation=None"),
    (lambda: et.MMDLoss("rbf"), "kernel must be one of gaussian"),
    (lambda: et.WeightedMSELoss(100.0, alpha={"R": 1}), "alpha must have a number for each of P, Q, .* none for P"),
    (lambda: et.WeightedMSELoss(100.0, alpha=dict.fromkeys("PQRSTU", -1)), "alpha must not be negative"),
    (lambda: et.WeightedMSELoss(100.0, reduction="sum"), "reduction must be .* got 'sum'"),
    (lambda: weighted((2, 9), (2, 8), [[]]), r"must share a shape .* got \(2, 9\) and \(2, 8\)"),
    (lambda: weighted((2, 9), (2, 9), [[5.0]]), "r_peaks must have a row for each of the 2 records, got 1"),
    (lambda: et.kl_divergence(X, X[0]), r"mean and log_var must share a shape .* got \(3, 2\) and \(2,\)"),
    (lambda: et.kl_divergence(X, X, reduction="max"), "reduction must be .* got 'max'"),
    (lambda: et.cyclical_beta(0, n_steps=10), "step must be from 1"),
    (lambda: et.cyclical_beta(1, n_steps=10, ratio=1.5), "ratio must be at most 1, got 1.5"),
]


@pytest.mark.parametrize(("call", "message"), MODULE_ERRORS, ids=[message for _, message in MODULE_ERRORS])
def test_wrong_arguments_of_modules_are_told(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- MultiScaleConv1d -------------------------------------------------------------------------------------------------


class Seed(nn.Module):
    """The front end of the blog's encoder, in its own names."""

    def __init__(self, activation):
        super().__init__()
        self.activation = activation
        self.conv_kernels = nn.ModuleList(nn.Conv1d(2, 4, k, dilation=2, padding=k - 1) for k in (3, 11, 25, 75, 119))
        self.conv_merge = nn.Sequential(nn.Conv1d(20, 6, 1), nn.ReLU(), nn.Conv1d(6, 1, 1))

    def forward(self, x):
        h = torch.cat([kernel(x) for kernel in self.conv_kernels], dim=1)
        return self.conv_merge(h.relu() if self.activation else h)


@pytest.mark.parametrize("activation", [None, "relu"])
def test_the_layer_takes_the_place_of_the_seeds_own(activation):
    seed = Seed(activation).double()
    ours = et.MultiScaleConv1d(2, 4, activation=activation, merge=(6, 1)).double()
    assert ours.load_state_dict(seed.state_dict(), strict=True)
    assert list(ours.state_dict()) == list(seed.state_dict())
    x = randn(3, 2, 100)
    close(ours(x), seed(x), DOUBLE)
    ours(x).square().sum().backward()
    seed(x).square().sum().backward()
    for (name, our), their in zip(ours.named_parameters(), seed.parameters(), strict=True):
        close(our.grad, their.grad, DOUBLE_GRADIENT), name
    seed.load_state_dict(ours.state_dict(), strict=True)


def test_layers_are_copied_pickled_compiled_and_listed(tmp_path):
    module = et.MultiScaleConv1d(1, (4, 2), (3, 5), activation="relu", merge=3)
    assert repr(module) == "MultiScaleConv1d(1 -> 6, kernel sizes 3, 5, dilation 2, relu, merge 3)"
    x = torch.randn(2, 1, 40)
    y = module(x)
    torch.save(module, tmp_path / "layer.pt")
    for other in (
        copy.deepcopy(module),
        pickle.loads(pickle.dumps(module)),
        torch.load(tmp_path / "layer.pt", weights_only=False),
        torch.compile(module, fullgraph=True, backend="aot_eager"),
    ):
        assert torch.equal(other(x), y)
    assert et.MultiScaleConv1d(1, 4, (3, 5), bias=False)(x).shape == (2, 8, 40)
    for loss in (et.MMDLoss(Kernel("matern", nu=2.5)), et.WeightedMSELoss(100.0)):
        assert repr(pickle.loads(pickle.dumps(loss))) == repr(copy.deepcopy(loss)) == repr(loss)


@pytest.mark.parametrize("merge", [None, 3, (6, 1), (6, 4, 2)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_collapsed_layer_gives_what_it_gave_before(merge, bias):
    module = et.MultiScaleConv1d(2, 4, dilation=3, merge=merge, bias=bias).double().eval()
    x = randn(2, 2, 300)
    before = module(x)
    collapsed = module.collapse_()
    assert collapsed is module
    assert len(module.conv_kernels) == 1
    assert not module.conv_kernels[0].training
    close(module(x), before, DOUBLE)
    close(plain(x, *_conv_parts(module)), plain(x, *_conv_parts(copy.deepcopy(module))), DOUBLE)
    again = et.MultiScaleConv1d(2, 4, dilation=3, merge=merge, bias=bias).collapse_().double()
    again.load_state_dict(module.state_dict(), strict=True)
    assert torch.equal(again(x), module(x))


def _conv_parts(module):
    return [k.weight for k in module.conv_kernels], [k.bias for k in module.conv_kernels]


# --- losses -----------------------------------------------------------------------------------------------------------


def test_mmd_loss_is_mmd2_of_flattened_records():
    x, y = randn(6, 2, 5, grad=True), randn(7, 2, 5)
    loss = et.MMDLoss("laplacian", bandwidth=[1.0, 3.0], estimator="biased", weights=[1.0, 2.0])
    expected = stats.mmd2(
        x.detach().numpy().reshape(6, 10), y.numpy().reshape(7, 10), kernel="laplacian", bandwidth=[1.0, 3.0],
        estimator="biased", weights=[1.0, 2.0],
    )  # fmt: skip
    assert loss(x, y).item() == pytest.approx(float(expected), rel=1e-12)
    loss(x, y).backward()
    assert x.grad.shape == x.shape


@pytest.mark.parametrize("reduction", ["mean", "normalised"])
@pytest.mark.parametrize("channels", [0, 3])
def test_weighted_mse_is_its_formula(reduction, channels):
    shape = (2, channels, 200) if channels else (2, 200)
    x, target = randn(*shape, grad=True), randn(*shape)
    rows = [torch.tensor([50.0, 140.0], dtype=torch.float64), torch.tensor([77.5], dtype=torch.float64)]
    alpha = torch.tensor([3.0, 5.0, 10.0, 5.0, 3.0, 1.0], dtype=torch.float64)
    _, delay, width = waves_of_physio(grad=False)
    w = 1 + dense_waves(rows, alpha, delay, width, 200)
    w = w[:, None].expand(shape) if channels else w
    expected = (w * (x - target) ** 2).sum() / (x.numel() if reduction == "mean" else w.sum())
    loss = et.WeightedMSELoss(100.0, reduction=reduction)
    close(loss(x, target, rows), expected, 1e-7)  # of the waves cut off at 6 standard deviations
    (our,), (their,) = (torch.autograd.grad(value, x) for value in (loss(x, target, rows), expected))
    close(our, their, 1e-6)
    flat = torch.cat(rows), torch.tensor([0, 2, 3])
    assert torch.equal(loss(x, target, flat[0], flat[1]), loss(x, target, rows))


def test_kl_divergence_is_that_of_torch_distributions():
    mean, log_var = randn(5, 4, grad=True), randn(5, 4, grad=True)
    each = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (0.5 * log_var).exp()), torch.distributions.Normal(0.0, 1.0)
    ).sum(-1)
    close(et.kl_divergence(mean, log_var, reduction="none"), each, DOUBLE)
    close(et.kl_divergence(mean, log_var), each.mean(), DOUBLE)
    close(et.kl_divergence(mean, log_var, reduction="sum"), each.sum(), DOUBLE)
    assert gradcheck(et.kl_divergence, (mean, log_var))
    tiny = torch.full((1, 1), 1e-4)  # 1 + v - exp(v) would be 0 in float32
    assert float(et.kl_divergence(0 * tiny, tiny)) == pytest.approx(0.25e-8, rel=1e-3)


def test_cyclical_beta_rises_and_rests_in_every_cycle():
    betas = [et.cyclical_beta(t, n_steps=1000, beta_max=0.5) for t in range(1, 1001)]
    t = np.arange(1000) % 250
    np.testing.assert_allclose(betas, 0.5 * np.minimum(1, t / 125), rtol=1e-15)
    uneven = [et.cyclical_beta(t, n_steps=10, n_cycles=3, ratio=1.0) for t in range(1, 11)]  # ceil(10 / 3) = 4
    np.testing.assert_allclose(uneven, np.minimum(1, np.array([0, 1, 2, 3, 0, 1, 2, 3, 0, 1]) / (10 / 3)))


def test_an_encoder_of_real_records_learns_as_with_pytorch(tmp_path):
    if not os.environ.get("ECGKERN_DATA"):
        pytest.skip("ECGKERN_DATA is not set: it names the folder of real recordings")
    example = Path(__file__).parents[1] / "examples" / "train_encoder.py"
    command = [sys.executable, example, "--steps", "12", "--batch-size", "16", "--records", "40"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    first, last = (re.search(rf"^ *{step} +(\S+) +(\S+)$", done.stdout, re.MULTILINE) for step in (1, 12))
    assert first
    assert last
    assert float(last[2]) < float(first[2])  # it learns
    difference = re.search(r"difference of the losses: (\S+)", done.stdout)
    assert difference
    assert float(difference[1]) < 1e-3
    assert (tmp_path / "train_encoder.png").stat().st_size > 10_000


# --- package ----------------------------------------------------------------------------------------------------------


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_ecgkern_does_not_import_torch():
    done = run("import sys, ecgkern, ecgkern.conv, ecgkern.stats, ecgkern.waveform; print('torch' in sys.modules)")
    assert done.stdout.strip() == "False", done.stderr


def test_without_torch_the_error_says_how_to_install_it():
    done = run("import sys; sys.modules['torch'] = None; import ecgkern.torch")
    assert 'ImportError: ecgkern.torch needs PyTorch: pip install "ecgkern[torch]"' in done.stderr


def test_array_functions_point_to_the_operators():
    with pytest.raises(TypeError, match=r"pass x.detach\(\).*ecgkern.torch"):
        stats.mmd2(randn(3, 2, grad=True), randn(3, 2))
