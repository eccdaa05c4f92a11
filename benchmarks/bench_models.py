"""A training step of the models, 64 records: loss, gradients, clipping and Adam, float32.

With our kernels, and with PyTorch's own operations in their place; all else, most of it LSTMs, is the same. Each peer
lives in a process of its own, because glibc's malloc reads its settings when a process starts: "tuned" ones keep their
memory, which makes the rest of a step faster as well, so that ours is shown with both. The floor is the step without
the convolutions.
"""

import contextlib
import functools
import operator

import peers_models as peers
import pytest
from measure import extra_mb, peer_in, process_with
from peers_conv import TUNED_MALLOC
from peers_models import Form

from ecgkern.torch.models import GAN, LSTMVAE

N, FEW = 64, 8  # records of a step, and of one that warms up

FORMS = {
    "LSTM-VAE": Form(LSTMVAE, {}),
    "LSTM-VAE with ReLU": Form(LSTMVAE, {"pre_merge_activation": "relu"}),
    "LSTM-VAE, seed's form": Form(LSTMVAE, {"preset": "seed"}, rounds=3),
    # Of the steps without a penalty, three of four: its second derivative is the composite's in all variants.
    # The features of untrained weights hardly differ from record to record, and their spread has a steep slope there.
    "GAN, discriminator": Form(
        GAN, {"length": 1000, "generator": "bilstm", "penalty": 0.0}, "discriminator", tolerance=2e-3
    ),
}

# What convolves, and variables of the environment.
VARIANTS = {
    "ours": (peers.ours, {}),
    "ours, tuned malloc": (peers.ours, TUNED_MALLOC),
    "eager": (peers.eager, {}),
    "eager, tuned malloc": (peers.eager, TUNED_MALLOC),
}


@pytest.fixture(scope="module")
def processes():
    """One for each variant but ours in this process. They end with the last case."""
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(process_with(malloc)) for name, (_, malloc) in VARIANTS.items() if name != "ours"
        }


def error(result, true):
    """Of the loss and of each gradient, in units of the largest; the largest of these."""
    return max(abs(a - b).max() / abs(b).max() for a, b in zip(result, true, strict=True))


def memory_of(form, name):
    convolve, malloc = VARIANTS[name]
    few, all_records = (functools.partial(prepared, form, n, convolve) for n in (FEW, N))
    return extra_mb(operator.call, few, all_records, malloc)


def prepared(*arguments):
    return (peers.training_step(*arguments),)


@pytest.mark.parametrize("name", FORMS)
def bench_training_step(compare, processes, name):
    form = FORMS[name]
    true = peers.truth(form, N)
    _, length, leads = form.shape(N)
    row = compare(
        peers.training_step(form, N, peers.ours),
        peers={
            variant: peer_in(process, peers.training_step, form, N, VARIANTS[variant][0])
            for variant, process in processes.items()
        },
        floor=peers.training_step(form, N, peers.left_out),
        unit="milliseconds per call",
        size=f"{name}, {N} x {leads} x {length}",
        rounds=form.rounds,
        error=lambda result: error(result, true),
        memory=functools.partial(memory_of, form),
    )
    assert row["rel_error"] < form.tolerance
