"""What a training step of ecgkern.torch.models is compared with: that of the same model on PyTorch's own operations.

All that a model convolves with kernels of several sizes goes through one operator. A step can have another function in
its place: plain PyTorch, or one that does nothing, so that what the rest of the step takes is known.
"""

from typing import Any, NamedTuple
from unittest import mock

import torch

from ecgkern.torch import _conv
from ecgkern.torch.training import Options

OPERATOR = _conv._multiscale_conv1d


class Form(NamedTuple):
    """A class of ecgkern.torch.models, its arguments, the phase of training, rounds of timing, the error allowed."""

    model: type
    options: dict[str, Any]
    phase: str = "model"
    rounds: int = 5
    tolerance: float = 1e-4

    def shape(self, n):
        """Of n records, as (n, length, n_leads)."""
        config = self.model(**self.options).config
        return n, config["length"], config["n_leads"]


# ---- what convolves --------------------------------------------------------------------------------------------------


def ours(*arguments):
    return OPERATOR(*arguments)


def eager(*arguments):
    """A conv1d for each kernel, cat, ReLU where there is one, and a conv1d of size 1."""
    return _conv.multiscale_conv1d_composite(*arguments)


def left_out(x, weights, biases, merge, *_):
    """What has the shape of the result, and costs nothing forward and backward."""
    channels = len(merge[0]) if merge else sum(map(len, weights))
    return x[:, :1].expand(-1, channels, -1)


# ---- steps -----------------------------------------------------------------------------------------------------------


def training_step(form, n, convolve, dtype=torch.float32):
    """A call that takes a step on n records and returns its loss and gradients, those that Adam gets.

    Every call draws the same numbers and begins with the same weights: Adam's learning rate is 0, with which it takes
    as long as with any other.
    """
    options, shape = Options(), form.shape(n)
    torch.manual_seed(0)
    model = form.model(**form.options).to(dtype).requires_grad_(False)
    parameters = model.phases()[form.phase]
    for parameter in parameters:
        parameter.requires_grad_(True)
    adam = torch.optim.Adam(parameters, lr=0.0)
    batch = {"x": torch.randn(shape).to(dtype)}

    def call():
        torch.manual_seed(0)
        model.zero_grad(set_to_none=True)
        with mock.patch.object(_conv, "_multiscale_conv1d", convolve):
            loss = model.losses(form.phase, batch, beta=options.beta)["loss"]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, options.clip)
        adam.step()
        return [loss.detach().numpy(), *(p.grad.numpy() for p in parameters if p.grad is not None)]

    return call


def truth(form, n):
    """What the call returns in float64, with the numbers that it draws in float32."""
    with DrawnInFloat32():
        return training_step(form, n, eager, torch.float64)()


class DrawnInFloat32(torch.overrides.TorchFunctionMode):
    """Random numbers are drawn as float32 and become float64: drawn as float64, they would be others."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in (torch.rand, torch.randn, torch.randn_like):
            return function(*args, **kwargs | {"dtype": torch.float32}).double()
        return function(*args, **kwargs)
