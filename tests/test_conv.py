"""Multi-scale convolution: values, gradients and manners, on every backend."""

import functools
import subprocess
import sys
import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ecgkern
from ecgkern.conv import Gradients, collapse, multiscale_conv1d, multiscale_conv1d_grad

CPU_BACKENDS = ("numpy", "numba", "fortran")
TOLERANCE = {np.float64: 1e-12, np.float32: 1e-5}  # of the largest value
ARRAYS = ("x", "merge_weight", "merge_bias")  # the other arguments are lists of arrays
NAN, INF = float("nan"), float("inf")

SCALES = (3, 11, 25, 75, 119)
LAYERS = {  # c_in, (c_out, k) of every kernel, dilation, width of the merge (0: none), activation
    "five scales, ReLU, one": (1, [(32, k) for k in SCALES], 2, 1, "relu"),
    "five scales, ReLU, eight": (1, [(32, k) for k in SCALES], 2, 8, "relu"),
    "five scales, one": (1, [(32, k) for k in SCALES], 2, 1, None),  # collapses
    "two leads, two": (2, [(33, 25), (12, 1)], 3, 2, None),  # collapses
    "eight leads, odd channels, three": (8, [(1, 3), (3, 11), (5, 5), (12, 25), (33, 7)], 2, 3, "relu"),
    "twelve leads, 32": (12, [(5, 75), (8, 3)], 1, 32, None),  # a merge so wide that it does not collapse
    "twelve leads, ReLU, 32": (12, [(5, 75), (8, 3)], 1, 32, "relu"),
    "two leads": (2, [(3, 3), (1, 119), (17, 1)], 4, 0, None),
    "one lead, ReLU": (1, [(3, 25)], 2, 0, "relu"),
    "two leads, ReLU, two": (2, [(3, 5), (9, 1)], 2, 2, "relu"),
    "one tap": (3, [(1, 1)], 7, 1, "relu"),
}
LENGTHS = [1, 2, 23, 24, 25, 47, 48, 49, 237, 1000, 1007, 1008, 1009, 2015, 2016, 2017, 5000]


# --- the formula ------------------------------------------------------------------------------------------------------


def direct(x, weights, biases=None, *, dilation=2, activation=None, merge_weight=None, merge_bias=None):
    """The formula in float64: one correlation for every pair of channels, zeros between the taps."""
    x = np.asarray(x, np.float64)
    channels = []
    for g, kernel in enumerate(weights):
        c_out, c_in, k = np.shape(kernel)
        spread = np.zeros((c_out, c_in, dilation * (k - 1) + 1))
        spread[:, :, ::dilation] = kernel
        padded = np.pad(x, ((0, 0), (0, 0), (dilation * (k // 2),) * 2))
        for c in range(c_out):
            h = np.full((len(x), x.shape[2]), 0.0 if biases is None else biases[g][c], np.float64)
            for n in range(len(x)):
                for i in range(c_in):
                    h[n] += np.correlate(padded[n, i], spread[c, i], "valid")
            channels.append(h)
    a = np.stack(channels, axis=1)
    if activation == "relu":
        a = np.maximum(a, 0)
    if merge_weight is None:
        return a
    merge = np.asarray(merge_weight, np.float64).reshape(len(merge_weight), -1)
    return np.einsum("mc,nct->nmt", merge, a) + (0 if merge_bias is None else np.asarray(merge_bias)[:, None])


def autograd(grad_out, x, weights, biases, *, dilation, activation, merge_weight=None, merge_bias=None):
    """The same formula composed from PyTorch's operators in float64, and its gradients."""
    torch = pytest.importorskip("torch")

    def leaf(value):
        return None if value is None else torch.tensor(np.asarray(value, np.float64), requires_grad=True)

    x, merge_weight, merge_bias = leaf(x), leaf(merge_weight), leaf(merge_bias)
    weights, biases = [leaf(w) for w in weights], [leaf(b) for b in biases]
    conv1d = torch.nn.functional.conv1d
    y = torch.cat(
        [
            conv1d(x, w, b, padding=dilation * (w.shape[2] // 2), dilation=dilation)
            for w, b in zip(weights, biases, strict=True)
        ],
        dim=1,
    )
    if activation == "relu":
        y = torch.relu(y)
    if merge_weight is not None:
        y = conv1d(y, merge_weight[:, :, None], merge_bias)
    y.backward(torch.tensor(np.asarray(grad_out, np.float64)))

    def gradient(value):
        return None if value is None else value.grad.numpy()

    return y.detach().numpy(), Gradients(
        gradient(x),
        [gradient(w) for w in weights],
        [gradient(b) for b in biases],
        *map(gradient, (merge_weight, merge_bias)),
    )


def random_layer(rng, n_records, length, c_in, kernels, dilation, n_merged, activation):
    """Random arguments of `multiscale_conv1d`, whose biases keep every h away from 0, where the ReLU has its kink."""
    layer = {
        "x": rng.normal(0.3, 1, (n_records, c_in, length)).astype(np.float32).astype(np.float64),
        "weights": [rng.normal(size=(c, c_in, k)).astype(np.float32).astype(np.float64) for c, k in kernels],
        "dilation": dilation,
        "activation": activation,
    }
    biases = []
    for kernel in layer["weights"]:
        biases.append(np.empty(len(kernel)))
        for c, h in enumerate(direct(layer["x"], [kernel], dilation=dilation).swapaxes(0, 1)):
            values = np.sort(h.ravel())
            values = np.concatenate([values[:1] - 1, values, values[-1:] + 1]) if values.size else np.array([0.0, 1.0])
            gaps = np.diff(values)
            first, end = len(gaps) // 4, -(-3 * len(gaps) // 4)  # where there are values on both sides
            widest = first + int(np.argmax(gaps[first:end]))
            biases[-1][c] = np.float32(-0.5 * (values[widest] + values[widest + 1]))
    layer["biases"] = biases
    if n_merged:
        merge = rng.normal(size=(n_merged, sum(c for c, _ in kernels)))
        layer["merge_weight"] = merge.astype(np.float32).astype(np.float64)
        layer["merge_bias"] = rng.normal(size=n_merged).astype(np.float32).astype(np.float64)
    return layer


@functools.cache  # for all backends
def named_layer(name, n_records, length):
    """Arguments of one of LAYERS, and the result that the formula gives."""
    layer = random_layer(np.random.default_rng(length), n_records, length, *LAYERS[name])
    return layer, direct(**layer)


def cast(layer, dtype):
    """The arguments with all arrays of this type."""

    def one(value):
        if isinstance(value, list):
            return [one(member) for member in value]
        return value.astype(dtype) if isinstance(value, np.ndarray) else value

    return {name: one(value) for name, value in layer.items()}


def size_of(layer):
    """The largest sum of magnitudes that any result is made of."""
    magnitudes = {name: np.abs(layer[name]) for name in ARRAYS if name in layer}
    lists = {name: [np.abs(part) for part in layer[name]] for name in ("weights", "biases")}
    return direct(**magnitudes, **lists, dilation=layer["dilation"]).max(initial=0)


def close(ours, expected, tolerance, what="", size=None):
    size = np.abs(expected).max(initial=0) if size is None else size
    assert ours.shape == expected.shape, what
    np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance * size, err_msg=what)


def flat(gradients):
    """All arrays of the gradients by name."""
    found = {}
    for name, value in gradients._asdict().items():
        if isinstance(value, list):
            found |= {f"{name}[{i}]": member for i, member in enumerate(value)}
        elif value is not None:
            found[name] = value
    return found


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAYERS)
def test_forward_is_the_formula(backend, name):
    layer, expected = named_layer(name, 3, 300)
    for dtype, tolerance in TOLERANCE.items():
        ours = multiscale_conv1d(**cast(layer, dtype), backend=backend)
        assert ours.dtype == dtype
        close(ours, expected, tolerance)


@pytest.mark.parametrize("length", LENGTHS)
def test_every_length_is_right_to_the_last_sample(backend, length):
    for name in ("eight leads, odd channels, three", "one lead, ReLU", "two leads, two"):
        layer, expected = named_layer(name, 2, length)
        size = size_of(layer)
        for dtype, tolerance in TOLERANCE.items():
            close(multiscale_conv1d(**cast(layer, dtype), backend=backend), expected, tolerance, name, size)


@st.composite
def layers(draw, activations=("relu", None), merges=(0, 1, 2, 3, 8)):
    """Small layers of every kind, of records shorter and longer than the kernels."""
    kernels = draw(
        st.lists(st.tuples(st.integers(1, 9), st.integers(0, 15).map(lambda r: 2 * r + 1)), min_size=1, max_size=4)
    )
    return random_layer(
        np.random.default_rng(draw(st.integers(0, 2**32 - 1))),
        draw(st.integers(1, 4)),
        draw(st.integers(1, 130)),
        draw(st.integers(1, 5)),
        kernels,
        draw(st.integers(1, 9)),
        draw(st.sampled_from(merges)),
        draw(st.sampled_from(activations)),
    )


def ready_backends():
    return [name for name in CPU_BACKENDS if ecgkern.backends()[name].available]


@settings(max_examples=60, deadline=None)
@given(layers())
def test_any_layer_is_the_formula(layer):
    expected, size = direct(**layer), size_of(layer)
    for backend in ready_backends():
        for dtype, tolerance in TOLERANCE.items():
            close(multiscale_conv1d(**cast(layer, dtype), backend=backend), expected, tolerance, backend, size)


@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("dilation", [10**6, 2**31 - 1])
def test_taps_far_outside_the_record_cost_nothing(backend, dilation, activation):
    layer = named_layer("two leads, two", 2, 50)[0] | {"dilation": dilation, "activation": activation}
    centres = [kernel[:, :, kernel.shape[2] // 2 :][:, :, :1] for kernel in layer["weights"]]
    near = layer | {"weights": centres, "dilation": 1}
    close(multiscale_conv1d(**layer, backend=backend), direct(**near), 1e-12)
    grad_out = np.random.default_rng(1).normal(size=(2, 2, 50))
    ours = multiscale_conv1d_grad(grad_out, **layer, backend=backend)
    expected = multiscale_conv1d_grad(grad_out, **near, backend=backend)
    for gradient, centre in zip(ours.weights, expected.weights, strict=True):
        r = gradient.shape[2] // 2
        close(gradient[:, :, r : r + 1], centre, 1e-12)
        assert not gradient[:, :, :r].any()
        assert not gradient[:, :, r + 1 :].any()
    close(ours.x, expected.x, 1e-12)
    close(ours.merge_weight, expected.merge_weight, 1e-12)


def test_a_few_long_records(backend):
    layer = random_layer(np.random.default_rng(3), 1, 20_011, 1, [(4, 119), (3, 5)], 3, 2, "relu")
    expected = direct(**layer)
    for dtype, tolerance in TOLERANCE.items():
        close(multiscale_conv1d(**cast(layer, dtype), backend=backend), expected, tolerance)


# --- by Fourier transform --------------------------------------------------------------------------------------------

FFT_BACKENDS = ("numpy", "fortran")


@pytest.fixture(params=FFT_BACKENDS)
def fft_backend(request):
    if not ecgkern.backends()[request.param].available:
        pytest.skip(f"{request.param} is not ready")
    return request.param


def gradients_of(layer, grad_out, method, backend="numpy"):
    return flat(multiscale_conv1d_grad(grad_out, **layer, method=method, backend=backend))


@settings(max_examples=60, deadline=None)
@given(layers())
def test_any_layer_by_fourier_transform(layer):
    expected, size = direct(**layer), size_of(layer)
    grad_out = np.random.default_rng(0).normal(size=expected.shape).astype(np.float32).astype(np.float64)
    gradients = gradients_of(layer, grad_out, "direct")
    magnitudes = {name: np.abs(layer[name]) for name in ARRAYS if name in layer}
    magnitudes |= {name: [np.abs(part) for part in layer[name]] for name in ("weights", "biases")}
    sizes = gradients_of(layer | magnitudes | {"activation": None}, np.abs(grad_out), "direct")
    for backend in set(ready_backends()) & set(FFT_BACKENDS):
        for dtype, tolerance in TOLERANCE.items():
            arguments = cast(layer, dtype)
            y = multiscale_conv1d(**arguments, method="fft", backend=backend)
            close(y, expected, tolerance, backend, size)
            ours = gradients_of(arguments, grad_out.astype(dtype), "fft", backend)
            for name, gradient in ours.items():
                close(gradient, gradients[name], tolerance, f"{name}, {backend}", sizes[name].max(initial=0))


@pytest.mark.parametrize("name", LAYERS)
def test_layers_by_fourier_transform(fft_backend, name):
    layer, grad_out, y, expected = reference(name, 3, 300)
    for dtype, tolerance in TOLERANCE.items():
        arguments = cast(layer, dtype)
        close(multiscale_conv1d(**arguments, method="fft", backend=fft_backend), y, tolerance)
        for what, gradient in gradients_of(arguments, grad_out.astype(dtype), "fft", fft_backend).items():
            close(gradient, expected[what], tolerance, what)


@pytest.mark.parametrize("length", [*LENGTHS, 40_000])
@pytest.mark.parametrize(("c_in", "kernels"), [(2, [(4, 119), (3, 5)]), (6, [(17, 9)])])
def test_records_of_every_length_by_fourier_transform(fft_backend, c_in, kernels, length):
    """Long ones are cut into segments, whose periods overlap by what the kernels reach."""
    rng = np.random.default_rng(3)
    layer = random_layer(rng, 2, length, c_in, kernels, 3, 2, "relu")
    expected, size = direct(**layer), size_of(layer)
    grad_out = rng.normal(size=expected.shape).astype(np.float32).astype(np.float64)
    gradients = gradients_of(layer, grad_out, "direct")
    for dtype, tolerance in TOLERANCE.items():
        arguments = cast(layer, dtype)
        close(multiscale_conv1d(**arguments, method="fft", backend=fft_backend), expected, tolerance, size=size)
        for what, gradient in gradients_of(arguments, grad_out.astype(dtype), "fft", fft_backend).items():
            close(gradient, gradients[what], tolerance, what)


@pytest.mark.parametrize("backend", ["fortran"], indirect=True)
@pytest.mark.parametrize("n_inputs", [1, 12])
def test_a_batch_of_records_takes_the_quicker_method_for_each_kernel(backend, n_inputs):
    layer = random_layer(np.random.default_rng(4), 9, 1000, n_inputs, [(5, k) for k in SCALES], 2, 2, "relu")
    grad_out = np.random.default_rng(5).normal(size=(9, 2, 1000))
    expected = {"y": direct(**layer)} | gradients_of(layer, grad_out, "fft")

    def by(method):
        y = multiscale_conv1d(**layer, method=method, backend=backend)
        return {"y": y} | gradients_of(layer, grad_out, method, backend)

    by_auto, by_sums = by("auto"), by("direct")
    for what, value in by_auto.items():
        close(value, expected[what], 1e-12, what)
    np.testing.assert_array_equal(by_auto["weights[0]"], by_sums["weights[0]"])
    assert (by_auto["weights[4]"] != by_sums["weights[4]"]).any()


@pytest.mark.parametrize("backend", ["fortran"], indirect=True)
@pytest.mark.parametrize("bad", [NAN, INF, -INF, 1e30])
@pytest.mark.parametrize("where", ["x", "weights", "biases", "merge_weight", "grad_out"])
def test_what_would_spread_over_a_transform_is_computed_directly(backend, where, bad):
    layer = random_layer(np.random.default_rng(6), 8, 400, 2, [(8, k) for k in SCALES], 2, 1, "relu")
    layer = cast(layer, np.float32)
    grad_out = np.random.default_rng(7).normal(size=(8, 1, 400)).astype(np.float32)
    array = grad_out if where == "grad_out" else layer[where]
    (array[4] if isinstance(array, list) else array).flat[3] = bad

    def by(method):
        ours = gradients_of(layer, grad_out, method, backend)
        return ours if where == "grad_out" else {"y": multiscale_conv1d(**layer, method=method, backend=backend)} | ours

    by_sums = by("direct")
    for what, value in by("auto").items():
        np.testing.assert_array_equal(value, by_sums[what], err_msg=what)


def test_methods_are_checked(backend):
    arguments = (np.ones((1, 1, 9)), [np.ones((1, 1, 3))])
    for bad in ("FFT", None, True):
        with pytest.raises(ValueError, match=f"method must be 'auto', 'direct' or 'fft', got {bad!r}"):
            multiscale_conv1d(*arguments, method=bad, backend=backend)
        with pytest.raises(ValueError, match="method must be 'auto', 'direct' or 'fft', got"):
            multiscale_conv1d_grad(np.ones((1, 1, 9)), *arguments, method=bad, backend=backend)
    if backend == "numba":
        with pytest.raises(ValueError, match="method must be 'auto' or 'direct' on the backend numba, got 'fft'"):
            multiscale_conv1d(*arguments, method="fft", backend=backend)
    else:
        close(multiscale_conv1d(*arguments, method="fft", backend=backend), direct(*arguments), 1e-12)


# --- collapse ---------------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(layers(activations=(None,)))
def test_collapse_is_the_whole_layer_in_one_kernel(layer):
    arguments = {name: value for name, value in layer.items() if name not in ("x", "dilation", "activation")}
    weight, bias = collapse(**arguments)
    n_channels = sum(len(kernel) for kernel in layer["weights"])
    longest = max(kernel.shape[2] for kernel in layer["weights"])
    assert weight.shape == (len(layer.get("merge_weight", range(n_channels))), layer["x"].shape[1], longest)
    ours = direct(layer["x"], [weight], [bias], dilation=layer["dilation"])
    close(ours, direct(**layer), 1e-12, size=size_of(layer))


def test_collapse_keeps_types_and_fills_in_zeros():
    weights = [np.ones((2, 1, 3), np.float32), np.ones((1, 1, 1), np.float32)]
    weight, bias = collapse(weights)
    assert weight.dtype == bias.dtype == np.float32
    np.testing.assert_array_equal(weight[:, 0], [[1, 1, 1], [1, 1, 1], [0, 1, 0]])
    np.testing.assert_array_equal(bias, np.zeros(3))
    weight, bias = collapse([w.astype(np.float16) for w in weights], merge_weight=np.ones((1, 3, 1), np.float16))
    assert weight.dtype == np.float32
    np.testing.assert_array_equal(weight, [[[2, 3, 2]]])
    assert collapse(weights, merge_weight=[[1, 2, 3]], merge_bias=np.float32([4]))[1].tolist() == [4.0]
    assert collapse(weights, [[1, 1], [1]])[0].dtype == np.float64  # integers count as float64
    # Rounded once: the small terms are not lost beside the large one.
    tiny = [np.full((1, 1, 1), w, np.float32) for w in (1, *[2**-25] * 8)]
    assert collapse(tiny, merge_weight=np.ones((1, 9), np.float32))[0].item() == 1 + 2**-22
    torch = pytest.importorskip("torch")
    weight, bias = collapse([torch.ones(2, 1, 3)], merge_weight=torch.ones(1, 2, 1))
    assert weight.dtype == bias.dtype == torch.float32
    with pytest.raises(ValueError, match=r"weights\[1\] must have an odd size"):
        collapse([np.ones((1, 1, 3)), np.ones((1, 1, 4))])


# --- gradients --------------------------------------------------------------------------------------------------------


@functools.cache
def reference(name, n_records, length):
    """Arguments of one of LAYERS, a gradient of its result, and what autograd makes of them."""
    layer, y = named_layer(name, n_records, length)
    grad_out = np.random.default_rng(1).normal(0.3, 1, y.shape).astype(np.float32)
    y, gradients = autograd(grad_out, **layer)
    return layer, grad_out, y, flat(gradients)


def check_gradients(backend, *case):
    layer, grad_out, y, expected = reference(*case)
    for dtype, tolerance in TOLERANCE.items():
        arguments = cast(layer, dtype)
        close(multiscale_conv1d(**arguments, backend=backend), y, tolerance)
        ours = flat(multiscale_conv1d_grad(grad_out.astype(dtype), **arguments, backend=backend))
        assert ours.keys() == expected.keys()
        for name, gradient in ours.items():
            assert gradient.dtype == dtype
            close(gradient, expected[name], tolerance, f"{name} in {np.dtype(dtype)}")


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("length", [25, 300])
def test_gradient_is_that_of_autograd(backend, name, length):
    check_gradients(backend, name, 3, length)


@pytest.mark.parametrize("length", LENGTHS)
def test_gradient_is_right_to_the_last_sample(backend, length):
    check_gradients(backend, "eight leads, odd channels, three", 2, length)
    check_gradients(backend, "one lead, ReLU", 2, length)


@pytest.mark.parametrize("n_records", [63, 64, 65, 150])
def test_gradient_of_many_records(backend, n_records):
    """Records are summed in chunks, at most 64 of them."""
    check_gradients(backend, "two leads, ReLU, two", n_records, 40)


@settings(max_examples=40, deadline=None)
@given(layers())
def test_gradient_of_any_layer_is_that_of_finite_differences(layer):
    """Along a random direction in each argument; no h changes sign, so the result is a polynomial of degree 1."""
    rng = np.random.default_rng(0)
    grad_out = rng.normal(size=direct(**layer).shape)
    names = [name for name in ("x", "weights", "biases", "merge_weight", "merge_bias") if name in layer]
    for backend in ready_backends():
        gradients = multiscale_conv1d_grad(grad_out, **layer, backend=backend)._asdict()
        for name in names:
            parts = layer[name] if isinstance(layer[name], list) else [layer[name]]
            grads = gradients[name] if isinstance(layer[name], list) else [gradients[name]]
            directions = [rng.normal(size=part.shape) for part in parts]

            def moved(step, name=name, parts=parts, directions=directions):
                new = [part + step * direction for part, direction in zip(parts, directions, strict=True)]
                return direct(**(layer | {name: new if isinstance(layer[name], list) else new[0]}))

            step = 1e-6
            differences = grad_out * (moved(step) - moved(-step)) / (2 * step)
            slope = sum((g * d).sum() for g, d in zip(grads, directions, strict=True))
            # 1e-9 of the result is what rounding leaves of a difference over such a step.
            assert abs(slope - differences.sum()) <= 1e-7 * max(1.0, np.abs(differences).sum()), name


def test_sums_over_time_are_collected_in_double_precision(backend):
    """In float32 throughout, the sum of a million ones and more would lose digits."""
    rng = np.random.default_rng(2)
    x = (1 + 0.1 * rng.normal(size=(300, 1, 5000))).astype(np.float32)
    grad_out = (1 + 0.1 * rng.normal(size=(300, 2, 5000))).astype(np.float32)
    weights, biases = [np.ones((2, 1, 3), np.float32)], [np.ones(2, np.float32)]
    ours = multiscale_conv1d_grad(grad_out, x, weights, biases, need_x=False, backend=backend)
    close(ours.biases[0], grad_out.sum(axis=(0, 2), dtype=np.float64), 1e-6)
    padded = np.pad(x.astype(np.float64)[:, 0], ((0, 0), (2, 2)))
    expected = [np.einsum("nct,nt->c", grad_out.astype(np.float64), padded[:, 2 * j : 2 * j + 5000]) for j in range(3)]
    close(ours.weights[0][:, 0], np.transpose(expected), 1e-6)


def test_gradient_of_relu_at_zero_is_zero(backend):
    ours = multiscale_conv1d_grad(
        np.ones((1, 1, 3)), [[[-1.0, 0.0, 1.0]]], [[[[2.0]]]], [[0.0]], activation="relu", backend=backend
    )
    assert ours.x.tolist() == [[[0.0, 0.0, 2.0]]]
    assert ours.biases[0].tolist() == [1.0]
    assert ours.weights[0].item() == 1.0


@pytest.mark.parametrize("name", ["two leads, two", "twelve leads, ReLU, 32", "two leads"])
def test_gradients_have_the_structure_of_the_arguments(backend, name):
    layer, y = named_layer(name, 2, 30)
    grad_out = np.ones_like(y)
    everything = multiscale_conv1d_grad(grad_out, **layer, backend=backend)
    for gradient, argument in zip(everything.weights, layer["weights"], strict=True):
        assert gradient.shape == argument.shape
    without = {key: value for key, value in layer.items() if key not in ("biases", "merge_bias")}
    zeros = without | {"biases": [np.zeros(len(kernel)) for kernel in layer["weights"]]}
    some = multiscale_conv1d_grad(grad_out, **without, need_x=False, backend=backend)
    assert some.x is None
    assert some.biases is None
    assert some.merge_bias is None
    assert (some.merge_weight is None) == ("merge_weight" not in layer)
    same = multiscale_conv1d_grad(grad_out, **zeros, backend=backend)
    for ours, expected in zip(some.weights, same.weights, strict=True):
        np.testing.assert_array_equal(ours, expected)
    np.testing.assert_array_equal(
        multiscale_conv1d(**without, backend=backend), multiscale_conv1d(**zeros, backend=backend)
    )
    if "merge_weight" in layer:  # as the weight of torch's Conv1d
        deep = layer | {"merge_weight": layer["merge_weight"][:, :, None]}
        np.testing.assert_array_equal(
            multiscale_conv1d(**deep, backend=backend), multiscale_conv1d(**layer, backend=backend)
        )
        ours = multiscale_conv1d_grad(grad_out, **deep, backend=backend).merge_weight
        assert ours.shape == deep["merge_weight"].shape
        np.testing.assert_array_equal(ours[:, :, 0], everything.merge_weight)
    arrays = list(flat(everything).values())
    inputs = [layer["x"], *layer["weights"], grad_out]
    for i, array in enumerate(arrays):
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert not any(np.may_share_memory(array, other) for other in [*arrays[:i], *inputs])


# --- promises ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("name", "n_records", "length"),
    [
        ("five scales, ReLU, one", 70, 300),
        ("twelve leads, ReLU, 32", 9, 1500),
        ("two leads", 3, 3000),
        ("five scales, ReLU, eight", 1, 20_000),
    ],
)
@pytest.mark.parametrize(  # numpy has one thread
    ("backend", "method"),
    [("numba", "auto"), ("fortran", "auto"), ("fortran", "direct"), ("fortran", "fft")],
    indirect=["backend"],
)
def test_same_bits_for_every_number_of_threads_and_every_run(backend, method, name, n_records, length, dtype):
    rng = np.random.default_rng(1)
    c_in, kernels, dilation, n_merged, activation = LAYERS[name]
    n_channels = sum(c for c, _ in kernels)
    layer = {
        "x": rng.normal(size=(n_records, c_in, length)).astype(dtype),
        "weights": [rng.normal(size=(c, c_in, k)).astype(dtype) for c, k in kernels],
        "biases": [rng.normal(size=c).astype(dtype) for c, _ in kernels],
        "dilation": dilation,
        "activation": activation,
        "method": method,
        "backend": backend,
    }
    if n_merged:
        layer["merge_weight"] = rng.normal(size=(n_merged, n_channels)).astype(dtype)
    grad_out = rng.normal(size=(n_records, n_merged or n_channels, length)).astype(dtype)

    def everything(threads):
        ecgkern.set_num_threads(threads)
        return {"y": multiscale_conv1d(**layer)} | flat(multiscale_conv1d_grad(grad_out, **layer))

    once = everything(1)
    for threads in (1, 2, 3, 7):
        again = everything(threads)
        for what, value in once.items():
            np.testing.assert_array_equal(again[what], value, err_msg=f"{what}, {threads} threads")


def test_calls_from_several_python_threads_agree(backend):
    layer = cast(named_layer("eight leads, odd channels, three", 8, 400)[0], np.float32)
    grad_out = np.ones((8, 3, 400), np.float32)

    def everything():
        grads = multiscale_conv1d_grad(grad_out, **layer, backend=backend)
        return {"y": multiscale_conv1d(**layer, backend=backend)} | flat(grads)

    expected, results = everything(), [None] * 4

    def work(i):
        results[i] = everything()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        for name, value in expected.items():
            np.testing.assert_array_equal(result[name], value, err_msg=name)


MEMORY = """
import resource, sys
import numpy as np
import ecgkern
from ecgkern.conv import multiscale_conv1d, multiscale_conv1d_grad

ecgkern.set_num_threads(2)
rng = np.random.default_rng(4)
x = rng.standard_normal((128, 1, 1000), np.float32)
layer = dict(
    weights=[rng.standard_normal((32, 1, k), np.float32) for k in (3, 11, 25, 75, 119)],
    merge_weight=rng.standard_normal((1, 160), np.float32), activation="relu", backend=sys.argv[1],
)
def both(x):
    y = multiscale_conv1d(x, **layer)
    multiscale_conv1d_grad(y, x, **layer)
both(x[:64])  # starts threads, compiles, makes room for the sums of all chunks
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
both(x)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("backend", ["numba", "fortran"], indirect=True)  # numpy holds the channels of a record
def test_channels_before_the_merge_are_never_stored(backend):
    """Those of 128 records would take 80 MB; arguments and results together take 2 MB."""
    run = subprocess.run([sys.executable, "-c", MEMORY, backend], capture_output=True, text=True, check=True)
    assert int(run.stdout) <= 6 * 1024


@pytest.mark.parametrize("backend", ["fortran"], indirect=True)
@pytest.mark.parametrize(("n_inputs", "most"), [(1, 1.7e6), (12, 17e6)])
def test_forward_and_gradients_take_little_memory(backend, n_inputs, most):
    """All that NumPy asks for, the results too, which for one input are 0.5 MB, for twelve 3.7 MB."""
    ecgkern.set_num_threads(2)
    layer = cast(random_layer(np.random.default_rng(4), 2, 100, n_inputs, *LAYERS["five scales, ReLU, one"][1:]), "f4")
    layer["x"] = np.random.default_rng(5).standard_normal((64, n_inputs, 1000), np.float32)
    grad_out = np.ones((64, 1, 1000), np.float32)

    def both():
        return multiscale_conv1d(**layer, backend=backend), multiscale_conv1d_grad(grad_out, **layer, backend=backend)

    both()  # plans and roots of unity stay
    tracemalloc.start()
    try:
        results = both()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert results[0].nbytes + results[1].x.nbytes < peak < most


FLOATS = ("f2", "f4", "f8")


@pytest.mark.parametrize("x_type", [*FLOATS, "i4", "u1", ">f4", ">f2", "g"])
@pytest.mark.parametrize("weight_type", FLOATS)
def test_types_promote_and_half_precision_is_computed_in_single(backend, x_type, weight_type):
    rng = np.random.default_rng(5)
    x = rng.integers(0, 9, (2, 2, 40)).astype(x_type)
    weights = [rng.integers(-3, 4, (3, 2, k)).astype(weight_type) for k in (1, 7)]
    merge = rng.integers(-3, 4, (1, 6)).astype(weight_type)
    promoted = np.result_type(x_type if x_type[-2:] in FLOATS else "f8", weight_type)
    grad_out = np.ones((2, 1, 40), weight_type)
    for activation in (None, "relu"):  # small integers: exact in every type
        options = {"activation": activation, "merge_weight": merge, "backend": backend}
        y = multiscale_conv1d(x, weights, **options)
        assert y.dtype == promoted
        assert y.dtype.isnative
        np.testing.assert_array_equal(y, direct(x, weights, activation=activation, merge_weight=merge))
        grads = flat(multiscale_conv1d_grad(grad_out, x, weights, **options))
        assert {gradient.dtype for gradient in grads.values()} == {promoted}
    wide = multiscale_conv1d_grad(grad_out.astype("f8"), x, weights, **options)
    assert wide.x.dtype == np.float64


def test_half_precision_beyond_its_range_is_infinite(backend):
    y = multiscale_conv1d(np.full((1, 1, 3), 300, "f2"), [np.full((1, 1, 1), 300, "f2")], backend=backend)
    assert y.dtype == np.float16
    assert np.isposinf(y).all()


def test_arrays_of_every_layout(backend):
    layer = cast(named_layer("eight leads, odd channels, three", 3, 60)[0], np.float32)
    grad_out = np.random.default_rng(7).normal(size=(3, 3, 60)).astype(np.float32)
    expected = {"y": multiscale_conv1d(**layer, backend=backend)}
    expected |= flat(multiscale_conv1d_grad(grad_out, **layer, backend=backend))

    def strided(a):
        return np.repeat(a, 2, axis=-1)[..., ::2]

    def backwards(a):
        return np.ascontiguousarray(a[..., ::-1])[..., ::-1]

    def read_only(a):
        a = a.copy()
        a.setflags(write=False)
        return a

    def unaligned(a):
        raw = np.zeros(a.nbytes + 1, np.uint8)
        moved = raw[1:].view(a.dtype).reshape(a.shape)
        moved[:] = a
        return moved

    def swapped(a):
        return a.astype(a.dtype.newbyteorder())

    for change in (strided, backwards, read_only, unaligned, swapped, np.asfortranarray, np.ndarray.tolist):
        changed = {
            name: [change(v) for v in value] if isinstance(value, list) else change(value) if name in ARRAYS else value
            for name, value in layer.items()
        }
        if change is np.ndarray.tolist:  # lists of floats are float64
            close(multiscale_conv1d(**changed, backend=backend), expected["y"], 1e-5)
            continue
        ours = {"y": multiscale_conv1d(**changed, backend=backend)}
        ours |= flat(multiscale_conv1d_grad(change(grad_out), **changed, backend=backend))
        for name, value in expected.items():
            np.testing.assert_array_equal(ours[name], value, err_msg=f"{change.__name__}: {name}")


def test_torch_in_torch_out(backend):
    torch = pytest.importorskip("torch")
    layer = cast(named_layer("twelve leads, ReLU, 32", 2, 80)[0], np.float32)
    tensors = {
        name: [torch.from_numpy(v) for v in value] if isinstance(value, list) else torch.from_numpy(value)
        for name, value in layer.items()
        if name in (*ARRAYS, "weights", "biases")
    }
    tensors["merge_weight"] = tensors["merge_weight"][:, :, None]
    options = {"dilation": layer["dilation"], "activation": layer["activation"], "backend": backend}
    y = multiscale_conv1d(**tensors, **options)
    assert isinstance(y, torch.Tensor)
    np.testing.assert_array_equal(y.numpy(), multiscale_conv1d(**layer, backend=backend))
    ours = flat(multiscale_conv1d_grad(torch.ones_like(y), **tensors, **options))
    expected = flat(multiscale_conv1d_grad(np.ones_like(y.numpy()), **layer, backend=backend))
    for name, gradient in ours.items():
        assert isinstance(gradient, torch.Tensor)
        np.testing.assert_array_equal(gradient.numpy().reshape(expected[name].shape), expected[name])
    assert ours["merge_weight"].shape == tensors["merge_weight"].shape
    with pytest.raises(TypeError, match=r"one library, but x is numpy, weights is torch"):
        multiscale_conv1d(layer["x"], tensors["weights"], backend=backend)
    with pytest.raises(TypeError, match=r"weights\[0\] requires grad"):
        multiscale_conv1d(tensors["x"], [torch.nn.Parameter(w) for w in tensors["weights"]], backend=backend)
    with pytest.raises(TypeError, match="x is a tensor that NumPy cannot read"):
        multiscale_conv1d(tensors["x"].bfloat16(), tensors["weights"], backend=backend)


# --- NaN, infinity, nothing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "name", ["eight leads, odd channels, three", "five scales, ReLU, one", "two leads, two", "two leads"]
)
def test_nan_and_infinity_reach_what_depends_on_them_and_nothing_else(backend, name, dtype):
    layer = cast(named_layer(name, 3, 400)[0], dtype)
    clean = multiscale_conv1d(**layer, backend=backend)
    indicator = np.zeros_like(layer["x"])
    indicator[1, 0, [3, 250]] = 1
    ones = {"weights": [np.ones_like(w) for w in layer["weights"]], "dilation": layer["dilation"]}
    if "merge_weight" in layer:
        ones["merge_weight"] = np.ones_like(layer["merge_weight"])
    reached = direct(indicator, **ones) > 0
    for bad in (NAN, INF):
        x = layer["x"].copy()
        x[indicator > 0] = bad
        y = multiscale_conv1d(**(layer | {"x": x}), backend=backend)
        if bad is INF and "merge_weight" in layer:  # a merge weighs infinities, and those that the ReLU has made 0
            assert not np.isfinite(y[reached]).all()
        else:
            assert not np.isfinite(y[reached]).any()
        close(y[~reached], clean[~reached], TOLERANCE[dtype])


def test_the_relu_stops_minus_infinity_and_passes_nan(backend):
    x = np.array([[[1.0, -INF, 2.0, INF, 0.0, NAN, 3.0, 4.0]]])
    y = multiscale_conv1d(x, [[[[1.0]]], [[[2.0]]]], activation="relu", merge_weight=[[1.0, 1.0]], backend=backend)
    np.testing.assert_array_equal(y, [[[3, 0, 6, INF, 0, NAN, 9, 12]]])


def test_nan_weights_make_their_channel_nan(backend):
    weights = [np.ones((3, 1, 5)), np.ones((2, 1, 1))]
    weights[0][1, 0, 2] = NAN
    y = multiscale_conv1d(np.ones((2, 1, 100)), weights, backend=backend)
    assert np.isnan(y[:, 1]).all()
    assert np.isfinite(np.delete(y, 1, axis=1)).all()
    merged = multiscale_conv1d(
        np.ones((2, 1, 100)), weights, activation="relu", merge_weight=np.ones((1, 5)), backend=backend
    )
    assert np.isnan(merged).all()


@pytest.mark.parametrize("name", ["two leads, two", "twelve leads, ReLU, 32", "two leads"])
@pytest.mark.parametrize(("n_records", "length"), [(0, 100), (3, 0), (0, 0)])
def test_nothing_in_nothing_out(backend, name, n_records, length):
    layer = cast(named_layer(name, 1, 10)[0], np.float32)
    layer["x"] = np.empty((n_records, layer["x"].shape[1], length), np.float32)
    n_out = layer["merge_bias"].size if "merge_bias" in layer else sum(map(len, layer["weights"]))
    y = multiscale_conv1d(**layer, backend=backend)
    assert y.shape == (n_records, n_out, length)
    assert y.dtype == np.float32
    ours = multiscale_conv1d_grad(y, **layer, backend=backend)
    assert ours.x.shape == layer["x"].shape
    for name, gradient in flat(ours).items():
        assert gradient.dtype == np.float32
        assert not gradient.any()
        if name in ARRAYS:
            assert gradient.shape == layer[name].shape


# --- bad input --------------------------------------------------------------------------------------------------------

GOOD = {
    "x": np.ones((2, 2, 20)),
    "weights": [np.ones((3, 2, 5)), np.ones((1, 2, 3))],
    "biases": [np.ones(3), np.ones(1)],
    "merge_weight": np.ones((2, 4)),
    "merge_bias": np.ones(2),
    "activation": "relu",
}
W = GOOD["weights"]

BAD = [
    ({"x": np.ones((2, 20))}, ValueError, r"x must have 3 dimensions, got shape \(2, 20\)"),
    ({"x": np.ones((2, 3, 20))}, ValueError, r"x must have shape \(n_records, 2, length\) .*got \(2, 3, 20\)"),
    ({"x": np.ones((2, 0, 20))}, ValueError, r"x must have shape \(n_records, 2, length\)"),
    ({"x": "signal"}, TypeError, "x must hold real numbers"),
    ({"x": None}, TypeError, "x must hold real numbers"),
    ({"x": np.ones((2, 2, 20), complex)}, TypeError, "x must hold real numbers, got dtype complex128"),
    ({"x": np.ones((2, 2, 20), bool)}, TypeError, "x must hold real numbers, got dtype bool"),
    ({"x": [[[1.0], [1.0, 2.0]]]}, ValueError, "x must be a rectangular array"),
    ({"x": np.ma.ones((2, 2, 20))}, TypeError, "x is a masked array"),
    ({"x": np.full((2, 2, 20), 2**60)}, ValueError, r"x must hold integers that float64 holds"),
    ({"weights": []}, ValueError, "weights must hold at least one kernel, got an empty list"),
    ({"weights": W[0]}, TypeError, r"weights must be a list of kernels \(c_out, c_in, k\), got ndarray"),
    ({"weights": None}, TypeError, "weights must be a list of kernels .*, got NoneType"),
    ({"weights": "kernels"}, TypeError, "weights must be a list of kernels .*, got str"),
    ({"weights": [W[0], W[1][0]]}, ValueError, r"weights\[1\] must have 3 dimensions, got shape \(2, 3\)"),
    ({"weights": [*W, np.ones((1, 2, 4))]}, ValueError, r"weights\[2\] must have an odd size k .*got \(1, 2, 4\)"),
    ({"weights": [W[0], np.ones((1, 2, 0))]}, ValueError, r"weights\[1\] must have an odd size k .*got \(1, 2, 0\)"),
    ({"weights": [W[0], np.ones((1, 3, 3))]}, ValueError, r"weights\[1\] must have c_in = 2 .*got shape \(1, 3, 3\)"),
    ({"weights": [W[0], np.ones((0, 2, 3))]}, ValueError, r"weights\[1\] must not be empty, got shape \(0, 2, 3\)"),
    ({"weights": [np.ones((1, 0, 3))]}, ValueError, r"weights\[0\] must not be empty"),
    ({"weights": [W[0], "kernel"]}, TypeError, r"weights\[1\] must hold real numbers"),
    ({"weights": [W[0], np.ma.ones((1, 2, 3))]}, TypeError, r"weights\[1\] is a masked array"),
    ({"biases": [np.ones(3)]}, ValueError, "biases must hold one array for each of the 2 kernels, got 1"),
    ({"biases": [np.ones(3), None]}, TypeError, r"biases\[1\] must hold real numbers"),
    (
        {"biases": np.ones(4)},
        TypeError,
        r"biases must be a list of arrays \(c_out,\), one for each kernel, got ndarray",
    ),
    ({"biases": [np.ones(2), np.ones(1)]}, ValueError, r"biases\[0\] must have shape \(3,\) .*got \(2,\)"),
    ({"biases": [np.ones((3, 1)), np.ones(1)]}, ValueError, r"biases\[0\] must have 1 dimension, got shape \(3, 1\)"),
    ({"merge_weight": np.ones((2, 5))}, ValueError, r"merge_weight must have shape \(m, 4\) or \(m, 4, 1\) .*\(2, 5\)"),
    ({"merge_weight": np.ones((2, 4, 3))}, ValueError, r"merge_weight must have shape .*got \(2, 4, 3\)"),
    ({"merge_weight": np.ones((0, 4))}, ValueError, r"merge_weight must have shape .*got \(0, 4\)"),
    ({"merge_weight": np.ones(4)}, ValueError, r"merge_weight must have 2 or 3 dimensions, got shape \(4,\)"),
    ({"merge_weight": None}, ValueError, "merge_bias must be left out without merge_weight"),
    ({"merge_bias": np.ones(3)}, ValueError, r"merge_bias must have shape \(2,\) .*got \(3,\)"),
    ({"merge_bias": 1.0}, ValueError, r"merge_bias must have 1 dimension, got shape \(\)"),
    ({"activation": "tanh"}, ValueError, "activation must be None or 'relu', got 'tanh'"),
    ({"activation": True}, ValueError, "activation must be None or 'relu', got True"),
    ({"dilation": 0}, ValueError, "dilation must be from 1 to 2147483647, got 0"),
    ({"dilation": 2**31}, ValueError, "dilation must be from 1 to"),
    ({"dilation": 2.0}, TypeError, "dilation must be an integer, got float"),
    ({"dilation": True}, TypeError, "dilation must be an integer, got bool"),
    ({"backend": "fpga"}, ValueError, "backend must be None or one of fortran, numba, numpy, cuda; got 'fpga'"),
    ({"backend": "cuda"}, ecgkern.BackendUnavailableError, "backend 'cuda' is not available"),
]


@pytest.mark.parametrize(
    ("change", "error", "message"), BAD, ids=[f"{i}-{next(iter(c[0]))}" for i, c in enumerate(BAD)]
)
def test_bad_arguments(change, error, message):
    arguments = {"backend": "numpy", **GOOD, **change}
    with pytest.raises(error, match=message):
        multiscale_conv1d(**arguments)
    with pytest.raises(error, match=message):
        multiscale_conv1d_grad(np.ones((2, 2, 20)), **arguments)


@pytest.mark.parametrize(
    ("grad_out", "error", "message"),
    [
        (
            np.ones((2, 4, 20)),
            ValueError,
            r"grad_out must have the shape of the result, \(2, 2, 20\), got \(2, 4, 20\)",
        ),
        (np.ones((2, 2, 0)), ValueError, "grad_out must have the shape of the result"),
        (np.ones((2, 20)), ValueError, r"grad_out must have 3 dimensions, got shape \(2, 20\)"),
        (np.ones((2, 2, 20), complex), TypeError, "grad_out must hold real numbers"),
        (None, TypeError, "grad_out must hold real numbers"),
    ],
)
def test_bad_grad_out(grad_out, error, message):
    with pytest.raises(error, match=message):
        multiscale_conv1d_grad(grad_out, **GOOD, backend="numpy")
