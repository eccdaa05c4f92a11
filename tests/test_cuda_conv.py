"""The convolution kernels on a GPU, or on the emulated one, against the numpy backend."""

import numpy as np
import pytest
from test_conv import cast, close, flat, random_layer

from ecgkern.conv import _cuda, collapse, multiscale_conv1d, multiscale_conv1d_grad

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
TOLERANCE = {np.float32: (1e-6, 1e-5), np.float64: (1e-12, 1e-10)}  # results and gradients, of the largest value
FIVE = [(32, k) for k in (3, 11, 25, 75, 119)]
LAYERS = {  # records, length; c_in, (c_out, k) of every kernel, dilation, width of the merge (0: none), activation
    "five scales, one": (2, 700, 1, FIVE, 2, 1, "relu"),
    "five scales, no merge": (1, 333, 1, FIVE, 2, 0, "relu"),
    "one tap": (3, 50, 3, [(1, 1)], 7, 1, "relu"),
    "one channel": (2, 130, 1, [(1, 9)], 1, 0, None),
    "linear, two": (2, 200, 2, [(3, 3), (9, 11), (1, 25)], 2, 2, None),
    "odd channels, five": (3, 333, 3, [(5, 3), (9, 31), (16, 7)], 3, 5, "relu"),
    "twelve leads": (3, 130, 12, [(5, 3), (9, 75), (17, 41)], 7, 1, "relu"),
    "twelve leads, no merge": (2, 260, 12, [(8, 25), (4, 119)], 1, 0, "relu"),
    "shorter than its kernels": (5, 20, 2, [(8, 25), (4, 119)], 1, 2, "relu"),
    "a wide merge": (2, 90, 1, [(12, 5), (8, 11)], 2, 70, "relu"),
    "several tiles": (2, 2500, 1, [(3, 3), (6, 11)], 1, 1, "relu"),
    "several tiles of rows": (150, 33, 2, [(4, 5), (3, 1)], 2, 1, "relu"),
    "far apart": (2, 100, 1, [(3, 5), (2, 3)], 30, 1, "relu"),
    "hundreds of taps": (1, 600, 1, [(2, 401), (1, 3)], 1, 1, "relu"),
}
ERRORS = (ValueError, TypeError)


def on(gpu, layer):
    """The arguments with all arrays on the card."""

    def one(value):
        if isinstance(value, list):
            return [one(member) for member in value]
        return gpu.array(value) if isinstance(value, np.ndarray) else value

    return {name: one(value) for name, value in layer.items()}


def fetched(gpu, gradients):
    return {name: gpu.get(value) for name, value in flat(gradients).items()}


def check(gpu, layer, dtype, seed=0):
    """Result and gradients of a layer against those of the numpy backend in float64."""
    layer = cast(layer, dtype)
    exact = cast(layer, np.float64)
    forward, backward = TOLERANCE[dtype]
    expected = multiscale_conv1d(**exact, backend="numpy")
    y = multiscale_conv1d(**on(gpu, layer))
    assert type(y) is type(gpu.array(layer["x"]))
    found = gpu.get(y)
    assert found.dtype == dtype
    close(found, expected, forward, "result")

    upstream = np.random.default_rng(seed).normal(0.3, 1, expected.shape).astype(dtype)
    wanted = flat(multiscale_conv1d_grad(upstream.astype(np.float64), **exact, backend="numpy"))
    grads = fetched(gpu, multiscale_conv1d_grad(gpu.array(upstream), **on(gpu, layer)))
    assert grads.keys() == wanted.keys()
    for name, gradient in grads.items():
        assert gradient.dtype == dtype
        close(gradient, wanted[name], backward, name)
    return grads


@pytest.fixture
def plans(monkeypatch):
    """Sets constants by which the work is divided among blocks."""
    made = (_cuda._forward, _cuda._inputs, _cuda._backward, _cuda._forward_products, _cuda._backward_products)

    def divide(**constants):
        for name, value in constants.items():
            monkeypatch.setattr(_cuda, name, value)
        for plan in made:
            plan.cache_clear()

    yield divide
    for plan in made:
        plan.cache_clear()


@DTYPES
@pytest.mark.parametrize("name", LAYERS)
def test_result_and_gradients(gpu, dtype, name):
    check(gpu, random_layer(np.random.default_rng(1), *LAYERS[name]), dtype)


@pytest.mark.parametrize("dilation", [1, 2, 3, 7])
@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 15, 63, 64, 65, 129, 255, 257])
def test_every_length_and_dilation(gpu, length, dilation):
    rng = np.random.default_rng(length)
    for n_merged in (0, 2):
        check(gpu, random_layer(rng, 3, length, 2, [(3, 3), (9, 11), (2, 27)], dilation, n_merged, "relu"), np.float32)


@DTYPES
@pytest.mark.parametrize("name", ["five scales, one", "twelve leads", "hundreds of taps", "several tiles"])
def test_little_shared_memory_and_workspace(gpu, plans, dtype, name):
    """Samples and weights in parts, merges a few channels at a time, gradients of h of some records or channels."""
    for work in (2**16, 2**12):
        plans(_SHARED={np.float32: 24, np.float64: 32}[dtype] * 1024, _MOST_WORK=work, _MOST_SUMS=work)
        check(gpu, random_layer(np.random.default_rng(1), *LAYERS[name]), dtype)


def tf32(values):
    """Float32 rounded to the 10 bits of TF32."""
    bits = np.asarray(values, np.float32).view(np.uint32)
    return ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


PRODUCTS = {  # as LAYERS
    "one kernel": (2, 100, 1, [(8, 5)], 1, 1, "relu"),
    "five scales, one": (1, 300, 1, FIVE, 2, 1, "relu"),
    "odd pairs, two": (3, 333, 3, [(5, 3), (17, 31), (16, 7), (3, 31)], 3, 2, "relu"),
    "twelve leads, linear": (2, 130, 12, [(5, 3), (9, 75)], 1, 0, None),
    "several tiles": (2, 700, 1, [(4, 11)], 1, 3, "relu"),
    "rows of one moment": (9, 5, 2, [(4, 1), (9, 3)], 4, 1, "relu"),
    "hundreds of taps": (1, 600, 2, [(9, 401)], 1, 1, "relu"),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_tensor_cores(gpu, plans, name):
    """Of arguments that TF32 holds the products are exact, and only gradients of h are rounded, to 2**-11."""
    _, length, _, kernels, *_ = PRODUCTS[name]
    one_record = sum(-(-c // 8) for c, _ in kernels) * 8 * 4 * length
    plans(_MOST_WORK=one_record, _MULTIPROCESSORS=1)  # so that a few tiles are many
    layer = cast(random_layer(np.random.default_rng(1), *PRODUCTS[name]), np.float32)
    layer |= {"x": tf32(layer["x"]), "weights": [tf32(kernel) for kernel in layer["weights"]]}
    exact, card = cast(layer, np.float64), on(gpu, layer)
    expected = multiscale_conv1d(**exact, backend="numpy")
    y = gpu.get(multiscale_conv1d(**card, precision="high"))
    close(y, expected, 1e-5)
    np.testing.assert_array_equal(gpu.get(multiscale_conv1d(**card, precision="medium")), y)
    upstream = np.random.default_rng(0).normal(0.3, 1, expected.shape).astype(np.float32)
    wanted = flat(multiscale_conv1d_grad(upstream.astype(np.float64), **exact, backend="numpy"))
    ours = fetched(gpu, multiscale_conv1d_grad(gpu.array(upstream), **card, precision="high"))
    again = fetched(gpu, multiscale_conv1d_grad(gpu.array(upstream), **card, precision="high"))
    without = fetched(gpu, multiscale_conv1d_grad(gpu.array(upstream), **card, precision="high", need_x=False))
    assert without.keys() == ours.keys() - {"x"}
    for part, gradient in ours.items():
        close(gradient, wanted[part], 1e-3 if part.startswith("weights") else 1e-5, part)
        np.testing.assert_array_equal(gradient, again[part], err_msg=part)
        if part in without:
            close(without[part], wanted[part], 1e-3 if part.startswith("weights") else 1e-5, part)


def test_tensor_cores_round_and_keep_nan(gpu):
    rng = np.random.default_rng(2)
    layer = cast(random_layer(rng, 2, 200, 1, [(4, 5), (9, 31)], 2, 2, "relu"), np.float32)
    expected = multiscale_conv1d(**layer, backend="numpy")
    for precision, least, most in (("highest", 0, 1e-6), ("high", 1e-6, 2e-3)):
        y = gpu.get(multiscale_conv1d(**on(gpu, layer), precision=precision))
        assert least <= np.abs(y - expected).max() / np.abs(expected).max() < most
    layer["x"][1, 0, 150] = np.nan
    expected = multiscale_conv1d(**layer, backend="numpy")
    y = gpu.get(multiscale_conv1d(**on(gpu, layer), precision="high"))
    np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))


def test_precision_of_doubles_and_of_what_does_not_fit(gpu, monkeypatch):
    """Both are computed as with "highest"."""
    layer = random_layer(np.random.default_rng(3), *PRODUCTS["odd pairs, two"])
    grad_out = np.random.default_rng(0).normal(size=(3, 2, 333))
    small = {"_forward_products": lambda *_: None, "_backward_products": lambda *_: None}
    for dtype in (np.float64, np.float32):
        card, upstream = on(gpu, cast(layer, dtype)), gpu.array(grad_out.astype(dtype))
        if dtype == np.float32:
            for name, plan in small.items():
                monkeypatch.setattr(_cuda, name, plan)
        y = gpu.get(multiscale_conv1d(**card, precision="high"))
        np.testing.assert_array_equal(y, gpu.get(multiscale_conv1d(**card)))
        ours = fetched(gpu, multiscale_conv1d_grad(upstream, **card, precision="high"))
        for name, gradient in fetched(gpu, multiscale_conv1d_grad(upstream, **card)).items():
            np.testing.assert_array_equal(ours[name], gradient, err_msg=name)


def test_without_biases_and_without_the_gradient_of_x(gpu):
    layer = cast(random_layer(np.random.default_rng(2), *LAYERS["odd channels, five"]), np.float32)
    del layer["merge_bias"]
    layer["merge_weight"] = layer["merge_weight"][:, :, None]
    grads = check(gpu, layer, np.float32)
    assert grads["merge_weight"].shape == (5, 30, 1)
    grad_out = gpu.array(np.random.default_rng(0).normal(0.3, 1, (3, 5, 333)).astype(np.float32))
    without = fetched(gpu, multiscale_conv1d_grad(grad_out, **on(gpu, layer), need_x=False))
    assert without.keys() == grads.keys() - {"x"}
    for name, gradient in without.items():  # the chunks may differ
        close(gradient, grads[name], 1e-5, name)
    linear = layer | {"biases": None, "activation": None}
    found = multiscale_conv1d_grad(grad_out, **on(gpu, linear))
    assert found.biases is None
    assert found.merge_bias is None
    close(gpu.get(multiscale_conv1d(**on(gpu, linear))), multiscale_conv1d(**linear, backend="numpy"), 1e-6)


def test_nan_and_infinity_reach_what_depends_on_them(gpu):
    layer = cast(random_layer(np.random.default_rng(3), 3, 300, 2, [(4, 5), (9, 31)], 2, 2, "relu"), np.float64)
    grad_out = np.random.default_rng(0).normal(size=(3, 2, 300))
    for bad in (np.nan, np.inf):
        layer["x"][1, 0, 150] = bad
        y = gpu.get(multiscale_conv1d(**on(gpu, layer)))
        np.testing.assert_allclose(y, multiscale_conv1d(**layer, backend="numpy"), rtol=1e-9)
        assert not np.isfinite(y[1, :, 150]).any()
        ours = fetched(gpu, multiscale_conv1d_grad(gpu.array(grad_out), **on(gpu, layer)))
        wanted = flat(multiscale_conv1d_grad(grad_out, **layer, backend="numpy"))
        for name, gradient in ours.items():
            np.testing.assert_allclose(gradient, wanted[name], rtol=1e-9, atol=1e-9, err_msg=name)


def test_the_gradient_at_zero_is_zero(gpu):
    x, weights = gpu.array(np.zeros((1, 1, 5))), [gpu.array(np.ones((2, 1, 3)))]
    grads = multiscale_conv1d_grad(gpu.array(np.ones((1, 2, 5))), x, weights, activation="relu")
    assert not gpu.get(grads.x).any()
    linear = multiscale_conv1d_grad(gpu.array(np.ones((1, 2, 5))), x, weights, dilation=1)
    np.testing.assert_array_equal(gpu.get(linear.x), [[[4, 6, 6, 6, 4]]])


@pytest.mark.parametrize("shape", [(0, 2, 50), (3, 2, 0)])
def test_no_records_and_no_samples(gpu, shape):
    layer = random_layer(np.random.default_rng(4), 1, 50, 2, [(4, 5), (9, 3)], 2, 2, "relu")
    layer["x"] = np.zeros(shape)
    layer = on(gpu, layer)
    assert tuple(multiscale_conv1d(**layer).shape) == (shape[0], 2, shape[2])
    grads = fetched(gpu, multiscale_conv1d_grad(gpu.array(np.zeros((shape[0], 2, shape[2]))), **layer))
    assert grads["x"].shape == shape
    assert grads["weights[1]"].shape == (9, 2, 3)
    assert not any(gradient.any() for gradient in grads.values())


def test_arrays_that_are_not_contiguous(gpu):
    layer = cast(random_layer(np.random.default_rng(5), 4, 100, 2, [(4, 5), (9, 3)], 2, 0, "relu"), np.float32)
    grad_out = np.random.default_rng(0).normal(size=(4, 13, 100)).astype(np.float32)
    strided = dict(layer)
    wide = np.random.default_rng(1).normal(size=(8, 2, 200)).astype(np.float32)
    wide[::2, :, ::2] = layer["x"]
    upstream = np.repeat(grad_out, 2, axis=1)
    kernel = np.repeat(layer["weights"][1], 2, axis=0)
    arrays, strided = on(gpu, layer), on(gpu, strided)
    strided["x"] = gpu.array(wide)[::2, :, ::2]
    strided["weights"][1] = gpu.array(kernel)[::2]
    np.testing.assert_array_equal(gpu.get(multiscale_conv1d(**strided)), gpu.get(multiscale_conv1d(**arrays)))
    ours = fetched(gpu, multiscale_conv1d_grad(gpu.array(upstream)[:, ::2], **strided))
    for name, wanted in fetched(gpu, multiscale_conv1d_grad(gpu.array(grad_out), **arrays)).items():
        np.testing.assert_array_equal(ours[name], wanted, err_msg=name)


def test_types_promote_as_on_the_host(gpu):
    layer = random_layer(np.random.default_rng(6), 2, 60, 2, [(4, 5), (9, 3)], 2, 2, "relu")
    grad_out = np.random.default_rng(0).normal(size=(2, 2, 60))
    half, single = cast(layer, np.float16), cast(layer, np.float32)
    mixed = single | {"weights": layer["weights"]}
    integers = half | {"x": np.arange(240).reshape(2, 2, 60) % 7}
    for arguments, upstream in ((half, np.float16), (half, np.float32), (single, np.float16), (mixed, np.float32)):
        check_types(gpu, arguments, grad_out.astype(upstream))
    check_types(gpu, integers, grad_out)
    check_types(gpu, single, grad_out.astype(np.float32), biases=[[0.0] * 4, [0.5] * 9])


def check_types(gpu, arguments, grad_out, **plain):
    host = {**arguments, **plain}
    card = {**on(gpu, arguments), **plain}  # plain numbers go to the card
    y, expected = gpu.get(multiscale_conv1d(**card)), multiscale_conv1d(**host, backend="numpy")
    assert y.dtype == expected.dtype
    tolerance = {2: 2e-3, 4: 1e-5, 8: 1e-10}[y.dtype.itemsize]
    close(y, expected, tolerance)
    ours = fetched(gpu, multiscale_conv1d_grad(gpu.array(grad_out), **card))
    for name, wanted in flat(multiscale_conv1d_grad(grad_out, **host, backend="numpy")).items():
        assert ours[name].dtype == wanted.dtype
        close(ours[name], wanted, {2: 2e-2, 4: 1e-4, 8: 1e-10}[wanted.dtype.itemsize], name)


def test_the_same_bits_from_run_to_run(gpu):
    layer = on(gpu, cast(random_layer(np.random.default_rng(7), *LAYERS["twelve leads"]), np.float32))
    grad_out = gpu.array(np.random.default_rng(0).normal(size=(3, 1, 130)).astype(np.float32))
    first = fetched(gpu, multiscale_conv1d_grad(grad_out, **layer))
    for name, gradient in fetched(gpu, multiscale_conv1d_grad(grad_out, **layer)).items():
        np.testing.assert_array_equal(gradient, first[name], err_msg=name)


def test_collapse_on_a_card(gpu):
    layer = cast(random_layer(np.random.default_rng(8), *LAYERS["linear, two"]), np.float32)
    arguments = {name: layer[name] for name in ("weights", "biases", "merge_weight", "merge_bias")}
    weight, bias = collapse(**on(gpu, arguments))
    for found, expected in zip((weight, bias), collapse(**arguments), strict=True):
        np.testing.assert_array_equal(gpu.get(found), expected)
    one = multiscale_conv1d(gpu.array(layer["x"]), [weight], [bias])
    close(gpu.get(one), gpu.get(multiscale_conv1d(**on(gpu, layer))), 1e-5)


def refused(gpu, layer, upstream, **changes):
    """The error for some changed arguments, and that it is the same for arrays on the host."""
    host = layer | changes
    grad_out = host.pop("grad_out", upstream)
    card = on(gpu, host)
    with pytest.raises(ERRORS) as of_host:
        multiscale_conv1d_grad(grad_out, **host, backend="numpy")
    with pytest.raises(of_host.type) as of_card:
        multiscale_conv1d_grad(gpu.array(grad_out), **card)
    assert str(of_card.value) == str(of_host.value)
    return str(of_card.value)


def test_errors_are_those_of_the_host(gpu):
    layer = cast(random_layer(np.random.default_rng(9), 2, 30, 2, [(4, 5), (9, 3)], 2, 2, "relu"), np.float32)
    grad_out = np.ones((2, 2, 30), np.float32)
    weights, merge = layer["weights"], layer["merge_weight"]
    assert "x must have shape (n_records, 2, length)" in refused(gpu, layer, grad_out, x=layer["x"][:, :1])
    assert "x must have 3 dimensions" in refused(gpu, layer, grad_out, x=layer["x"][0])
    assert "weights[1] must have an odd size" in refused(
        gpu, layer, grad_out, weights=[weights[0], weights[1][..., :2]]
    )
    assert "biases must hold one array" in refused(gpu, layer, grad_out, biases=layer["biases"][:1])
    assert "biases[0] must have shape (4,)" in refused(gpu, layer, grad_out, biases=layer["biases"][::-1])
    assert "merge_weight must have shape (m, 13)" in refused(gpu, layer, grad_out, merge_weight=merge[:, :5])
    assert "grad_out must have the shape" in refused(gpu, layer, grad_out, grad_out=grad_out[:1])
    assert "x must hold real numbers" in refused(gpu, layer, grad_out, x=layer["x"] > 0)
    assert "dilation must be from 1" in refused(gpu, layer, grad_out, dilation=0)
    assert "precision must be one of" in refused(gpu, layer, grad_out, precision="low")
    assert "method must be" in refused(gpu, layer, grad_out, method="quick")


def test_what_is_too_large_for_a_card(gpu, monkeypatch):
    monkeypatch.setattr(_cuda, "_LARGEST", 50)
    weights = [gpu.array(np.ones((1, 1, 3)))]
    with pytest.raises(ValueError, match=r"on a GPU, n_records \* dilation, length .* must be below 50, got 60"):
        multiscale_conv1d(gpu.array(np.ones((1, 1, 60))), weights)
    with pytest.raises(ValueError, match="got 52"):
        multiscale_conv1d(gpu.array(np.ones((13, 1, 9))), weights, dilation=4)


def test_arrays_in_two_places_and_methods_of_the_host(gpu):
    layer = cast(random_layer(np.random.default_rng(9), 2, 30, 2, [(4, 5), (9, 3)], 2, 2, "relu"), np.float32)
    card = on(gpu, layer)
    if gpu.name != "emulated-torch":  # whose tensors are on the host in truth
        with pytest.raises(TypeError, match="weights"):
            multiscale_conv1d(**card | {"weights": layer["weights"]})
        with pytest.raises(TypeError):
            multiscale_conv1d(**card, backend="numpy")
    with pytest.raises(ValueError, match="method must be 'auto' or 'direct' on the backend cuda"):
        multiscale_conv1d(**card, method="fft")
    expected = gpu.get(multiscale_conv1d(**card))
    np.testing.assert_array_equal(gpu.get(multiscale_conv1d(**card, method="direct", backend="cuda")), expected)
    if "torch" in gpu.name:
        with pytest.raises(TypeError, match="x requires grad"):
            multiscale_conv1d(**card | {"x": card["x"].requires_grad_()})
