"""Five kernels of 32 channels each, dilation 2, ReLU, merged to one channel, n records of 1000 samples, float32.

`conv` is the forward pass, `conv_train` with the gradients of all parameters as well, `conv_train_all` with that of the
records too. Every PyTorch peer lives in a process of its own, because glibc's malloc reads its settings when a process
starts: "tuned" ones keep their memory. For 64 records of one channel each means is shown as it was fastest in a trial,
chunked or not, tuned or not; for other sizes only eager PyTorch and the fastest of all. The gradient of the result is
zero where a channel is within 1e-5 of the step of ReLU, as one step taken otherwise changes gradients by 1e-3.

The floor is the time of the useful multiply-adds at the rate of a matrix product: those of the forward pass, and for
the gradients as many for the kernels, as many for the records and twice those of the merge. What is computed a second
time does not count; products with the padding do. It is no floor for what is computed by Fourier transform, as ours is
in the backend fortran for the long kernels of many records.
"""

import contextlib
import functools
import math
from typing import Any, NamedTuple

import numpy as np
import peers_conv as peers
import pytest
from measure import Peer, extra_mb, peer_in, process_with

from ecgkern.conv import multiscale_conv1d, multiscale_conv1d_grad

SIZES, WIDTH, LENGTH = (3, 11, 25, 75, 119), 32, 1000
FEW = 8  # records of a call that warms up
MILLISECONDS = "milliseconds per call"


# ---- problems --------------------------------------------------------------------------------------------------------


@functools.cache
def layer_of(c_in, relu=True):
    rng = np.random.default_rng(1)

    def normal(*shape):
        return rng.standard_normal(shape, dtype=np.float32) / np.float32(math.sqrt(math.prod(shape[1:])))

    weights, biases = [normal(WIDTH, c_in, size) for size in SIZES], [normal(WIDTH) for _ in SIZES]
    return peers.Layer(weights, biases, normal(1, WIDTH * len(SIZES)), normal(1), 2, relu)


@functools.cache
def random_problem(task, n, c_in):
    """x, layer, grad_out, need_x"""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, c_in, LENGTH), dtype=np.float32)
    layer = layer_of(c_in, relu=task != "collapsed")
    if not task.startswith("train"):
        return x, layer, None, False
    grad_out = rng.standard_normal((n, 1, LENGTH), dtype=np.float32)
    return x, layer, grad_out, task == "train_all"


@functools.cache
def problem(task, n, c_in):
    """The same, with a gradient that does not depend on which way ReLU takes at a channel that is almost zero."""
    x, layer, grad_out, need_x = random_problem(task, n, c_in)
    return x, layer, None if grad_out is None else grad_out * peers.far_from_zero(x, layer), need_x


@functools.cache
def truth(task, n, c_in):
    return peers.truth(*problem(task, n, c_in))


def error(result, true):
    """Of the values and of each gradient, in units of the largest; the largest of these."""
    return max(np.max(np.abs(a - b)) / np.max(np.abs(b)) for a, b in zip(result, true, strict=True))


def floor_of(task, n, c_in):
    """The matrix product, as a peer that does the work of so many calls."""
    convolutions, merge = WIDTH * c_in * sum(SIZES), WIDTH * len(SIZES)
    multiplications = {
        "forward": convolutions + merge,
        "train": 2 * convolutions + 3 * merge,
        "train_all": 3 * convolutions + 3 * merge,
        "collapsed": c_in * max(SIZES),
    }
    return Peer(peers.matrix_product(), peers.FLOP_OF_PRODUCT / (2 * n * LENGTH * multiplications[task]))


# ---- ours ------------------------------------------------------------------------------------------------------------


def ours(backend, x, layer, grad_out, need_x):
    """A call that returns what those of the peers return."""
    arguments = x, layer.weights, layer.biases
    options = {
        "dilation": layer.dilation,
        "activation": "relu" if layer.relu else None,
        "merge_weight": layer.merge_weight,
        "merge_bias": layer.merge_bias,
        "backend": backend,
    }

    def call():
        y = multiscale_conv1d(*arguments, **options)
        if grad_out is None:
            return [y]
        grads = multiscale_conv1d_grad(grad_out, *arguments, need_x=need_x, **options)
        of_parameters = [*grads.weights, *grads.biases, grads.merge_weight, grads.merge_bias]
        return [y, *([grads.x] if need_x else []), *of_parameters]

    return call


def by_operator(x, layer):
    """The operator of ecgkern.torch, which takes the default backend."""
    from ecgkern.torch import multiscale_conv1d

    return multiscale_conv1d(
        x,
        layer.weights,
        layer.biases,
        dilation=layer.dilation,
        activation="relu",
        merge_weight=layer.merge_weight,
        merge_bias=layer.merge_bias,
    )


# ---- peers -----------------------------------------------------------------------------------------------------------


class Variant(NamedTuple):
    """A mean, how many records at a time (None: all), and variables of the environment."""

    mean: Any
    chunk: int | None
    malloc: dict[str, str]

    def prepare(self, *arguments):
        return peers.prepared(self.mean, self.chunk, *arguments)


def with_both_mallocs(variants):
    return {
        name + suffix: Variant(mean, chunk, malloc)
        for suffix, malloc in {"": {}, ", tuned malloc": peers.TUNED_MALLOC}.items()
        for name, (mean, chunk) in variants.items()
    }


WITH_RELU = with_both_mallocs(
    {
        "eager": (peers.composite, None),
        "eager in chunks": (peers.composite, peers.CHUNK),
        "torch.compile": (peers.by_compiler, None),
        "torch.compile in chunks": (peers.by_compiler, peers.CHUNK),
        "FFT": (peers.by_fft, None),
        "FFT in chunks": (peers.by_fft, peers.CHUNK),
        "im2col in chunks": (peers.by_windows, peers.CHUNK // 2),
    }
)
COLLAPSED = with_both_mallocs({"eager": (peers.composite, None), "one conv1d": (peers.by_one_convolution, None)})


def variants_of(task):
    return COLLAPSED if task == "collapsed" else WITH_RELU


@pytest.fixture(scope="module")
def rivals():
    """From a task and its sizes to the peers that are shown. Their processes end with the last case."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def process(name):
            return stack.enter_context(process_with({**WITH_RELU, **COLLAPSED}[name].malloc))

        def of_all(task, n, c_in):
            return {
                name: peer_in(process(name), variant.prepare, *problem(task, n, c_in))
                for name, variant in variants_of(task).items()
            }

        @functools.cache
        def ranked(task, n, c_in):
            seconds = {name: best_of_three(peer) for name, peer in of_all(task, n, c_in).items()}
            return sorted(seconds, key=seconds.get)

        @functools.cache
        def chosen(task, n, c_in):
            variants = variants_of(task)
            found = of_all(task, n, c_in)
            if task == "collapsed":
                return found
            ranking = ranked(task, min(n, 64), c_in)
            fastest = {variants[name].mean: name for name in reversed(ranking)}.values()  # of each mean
            shown = {"eager", "eager, tuned malloc", *(fastest if (n, c_in) == (64, 1) else ranking[:1])}
            return {name: peer for name, peer in found.items() if name in shown}

        yield chosen


def best_of_three(peer):
    """In seconds, infinitely many where a library is missing."""
    try:
        return min(peer.call()[0] for _ in range(3))
    except ModuleNotFoundError:
        return math.inf


def memory_of(prepare, variables, task, n, c_in):
    """Of the call alone: what a peer copies its arguments to is no more than what others are given."""
    few, all_records = (functools.partial(call_of, prepare, task, records, c_in) for records in (min(n, FEW), n))
    return extra_mb(peers.called, few, all_records, variables)


def call_of(prepare, task, n, c_in):
    return (prepare(*random_problem(task, n, c_in)),)


@functools.cache
def memory_of_variant(name, task, n, c_in):
    variant = variants_of(task)[name]
    return memory_of(variant.prepare, variant.malloc, task, n, c_in)


# ---- cases -----------------------------------------------------------------------------------------------------------


def compare_layer(compare, rivals, prepare, task, n=64, c_in=1, rounds=11):
    def memory(name):
        if name == "ours":
            return memory_of(prepare, {}, task, n, c_in)
        return memory_of_variant(name, task, n, c_in)

    row = compare(
        prepare(*problem(task, n, c_in)),
        peers=rivals(task, n, c_in),
        floor=floor_of(task, n, c_in),
        unit=MILLISECONDS,
        size=f"{n} x {c_in} x {LENGTH}",
        rounds=rounds,
        error=lambda result: error(result, truth(task, n, c_in)),
        memory=memory,
    )
    assert row["rel_error"] < 1e-5


SHAPES = pytest.mark.parametrize(("n", "c_in"), [(64, 1), (1, 1), (8, 1), (1024, 1), (64, 12)])


def compare_shape(compare, rivals, config, backend, task, n, c_in):
    if n == 1024 and not config.getoption("--large"):
        pytest.skip("takes minutes: ecgkern bench --large")
    rounds = 5 if n == 1024 else 11
    compare_layer(compare, rivals, functools.partial(ours, backend), task, n, c_in, rounds)


@SHAPES
def bench_conv(compare, rivals, pytestconfig, backend, n, c_in):
    compare_shape(compare, rivals, pytestconfig, backend, "forward", n, c_in)


@SHAPES
def bench_conv_train(compare, rivals, pytestconfig, backend, n, c_in):
    compare_shape(compare, rivals, pytestconfig, backend, "train", n, c_in)


@SHAPES
def bench_conv_train_all(compare, rivals, pytestconfig, backend, n, c_in):
    compare_shape(compare, rivals, pytestconfig, backend, "train_all", n, c_in)


@pytest.mark.parametrize("task", ["train", "train_all"])
def bench_conv_torch(compare, rivals, task):
    compare_layer(compare, rivals, functools.partial(peers.prepared, by_operator, None), task)


def bench_conv_collapsed(compare, rivals, backend):
    compare_layer(compare, rivals, functools.partial(ours, backend), "collapsed")
