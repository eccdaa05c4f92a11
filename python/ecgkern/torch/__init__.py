"""The kernels as PyTorch operators with exact gradients, and layers and losses on top of them.

`gaussian_waves`, `mmd2` and `multiscale_conv1d` are the functions of those names in `ecgkern.waveform`, `ecgkern.stats`
and `ecgkern.conv`, on tensors: with autograd to any order, under ``torch.compile(fullgraph=True)``, ``torch.func`` and
autocast. Tensors on the CPU go through the native kernels without being copied, those on any other device through the
same formulas in plain PyTorch.
"""

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":  # an incomplete PyTorch says best itself what it lacks
        raise
    raise ImportError('ecgkern.torch needs PyTorch: pip install "ecgkern[torch]"') from None

from ecgkern.torch import nn
from ecgkern.torch._conv import multiscale_conv1d
from ecgkern.torch._mmd import mmd2
from ecgkern.torch._waveform import gaussian_waves
from ecgkern.torch.losses import cyclical_beta, kl_divergence
from ecgkern.torch.nn import MMDLoss, MultiScaleConv1d, WeightedMSELoss

__all__ = [
    "MMDLoss",
    "MultiScaleConv1d",
    "WeightedMSELoss",
    "cyclical_beta",
    "gaussian_waves",
    "kl_divergence",
    "mmd2",
    "multiscale_conv1d",
    "nn",
]
