"""Layers and losses on the operators, as modules."""

# mypy: allow-subclassing-any, no-warn-return-any

from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from ecgkern import _validate, conv
from ecgkern._cuda import PRECISIONS
from ecgkern.stats import Kernel
from ecgkern.torch._conv import multiscale_conv1d
from ecgkern.torch._mmd import mmd2
from ecgkern.torch._waveform import gaussian_waves
from ecgkern.waveform import PHYSIO, Waves


class MultiScaleConv1d(nn.Module):
    """Kernels of several sizes side by side, their channels merged by convolutions of size 1.

    It computes what this does, in one pass that never stores the channels of all kernels::

        h = torch.cat([kernel(x) for kernel in conv_kernels], dim=1)  # then ReLU, with activation="relu"
        y = conv_merge(h)

    and has the same parameters under the same names: ``conv_kernels.0.weight``, ``conv_kernels.0.bias``, ...,
    ``conv_merge.0.weight``, ``conv_merge.2.weight``, ..., so that the ``state_dict`` of such a model can be loaded.

    Parameters
    ----------
    in_channels : int
        Channels of the input, c_in.
    out_channels : int or sequence of int, default 32
        Channels of each kernel.
    kernel_sizes : sequence of int, default (3, 11, 25, 75, 119)
        Sizes of the kernels, odd.
    dilation : int, default 2
        Distance between neighbouring taps, in samples.
    activation : {"relu"}, optional
        What the channels pass before the merge; by default nothing.
    merge : int or sequence of int, optional
        Channels after each convolution of size 1, with ReLUs in between: (32, 1) is ``Conv1d(C, 32, 1), ReLU(),
        Conv1d(32, 1, 1)``. The first is part of the same pass. By default the channels stay as they are.
    bias : bool, default True
        Whether kernels and merge have biases.
    precision : {"highest", "high", "medium"}, default "highest"
        What a GPU may compute float32 with: see :func:`ecgkern.conv.multiscale_conv1d`.

    Raises
    ------
    ValueError
        If a kernel size is even, `activation` or `precision` is unknown, or the numbers of `out_channels` and
        `kernel_sizes` differ.

    See Also
    --------
    ecgkern.torch.multiscale_conv1d : the formula.

    Notes
    -----
    Weights begin as those of ``torch.nn.Conv1d`` do. They must have the type of the input, as in any layer, save under
    autocast, which leaves the arithmetic in the type of the weights and the result in that of the input.

    Examples
    --------
    >>> import torch
    >>> from ecgkern.torch import MultiScaleConv1d
    >>> layer = MultiScaleConv1d(1, activation="relu", merge=1)
    >>> layer(torch.randn(2, 1, 1000)).shape
    torch.Size([2, 1, 1000])
    >>> layer
    MultiScaleConv1d(1 -> 160, kernel sizes 3, 11, 25, 75, 119, dilation 2, relu, merge 1)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int | Sequence[int] = 32,
        kernel_sizes: Sequence[int] = (3, 11, 25, 75, 119),
        *,
        dilation: int = 2,
        activation: str | None = None,
        merge: int | Sequence[int] | None = None,
        bias: bool = True,
        precision: str = "highest",
    ) -> None:
        super().__init__()
        counts = [out_channels] * len(kernel_sizes) if isinstance(out_channels, int) else list(out_channels)
        if len(counts) != len(kernel_sizes) or not counts:
            raise ValueError(
                f"out_channels must be a number or have one for each of the {len(kernel_sizes)} kernel_sizes, at least "
                f"one, got {out_channels!r}"
            )
        for i, size in enumerate(kernel_sizes):
            if size % 2 == 0 or size < 1:
                raise ValueError(f"kernel_sizes must be odd, got {size} at [{i}]")
        if activation not in (None, "relu"):
            raise ValueError(f'activation must be None or "relu", got {activation!r}')
        self.dilation, self.activation = dilation, activation
        self.precision = _validate.choice(precision, "precision", PRECISIONS)
        self.conv_kernels = nn.ModuleList(
            self._kernel(in_channels, count, size, bias) for count, size in zip(counts, kernel_sizes, strict=True)
        )
        widths = [sum(counts), *([merge] if isinstance(merge, int) else merge or [])]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.ReLU(), nn.Conv1d(before, after, 1, bias=bias)]
        self.conv_merge = nn.Sequential(*layers[1:])

    def _kernel(self, in_channels: int, out_channels: int, size: int, bias: bool) -> nn.Conv1d:
        padding = self.dilation * (size // 2)
        return nn.Conv1d(in_channels, out_channels, size, padding=padding, dilation=self.dilation, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the merged channels, (n_records, m, length), of x (n_records, c_in, length)."""
        first, *others = [*self.conv_merge] or [None]
        y = multiscale_conv1d(
            x,
            *_weights_and_biases(self.conv_kernels),
            dilation=self.dilation,
            activation=self.activation,
            merge_weight=None if first is None else first.weight,
            merge_bias=None if first is None else first.bias,
            precision=self.precision,
        )
        for layer in others:
            y = layer(y)
        return y

    def collapse_(self) -> "MultiScaleConv1d":
        """Turn the kernels and the first merge, without a ReLU between them, into the one kernel that they amount to.

        For inference: the parameters are new ones. A ReLU that follows in ``conv_merge`` becomes `activation`, and the
        convolution after it the merge. Results stay the same to rounding; see :func:`ecgkern.conv.collapse`.

        Returns
        -------
        MultiScaleConv1d
            Itself.

        Raises
        ------
        ValueError
            If there is a ReLU before the merge.

        Examples
        --------
        >>> import torch
        >>> from ecgkern.torch import MultiScaleConv1d
        >>> MultiScaleConv1d(1, merge=(32, 1)).collapse_()
        MultiScaleConv1d(1 -> 32, kernel sizes 119, dilation 2, relu, merge 1)
        """
        if self.activation is not None:
            raise ValueError(f"only kernels with activation=None collapse into one, got activation={self.activation!r}")
        first, *others = [*self.conv_merge] or [None]
        old = self.conv_kernels[0]
        with torch.no_grad():
            weights, biases = _weights_and_biases(self.conv_kernels)
            merge = [] if first is None else [first.weight, first.bias]
            parts = [weights, biases, *merge]
            weight, bias = conv.collapse(*(_host(part) for part in parts))
            one = self._kernel(old.in_channels, weight.shape[0], weight.shape[2], bias=True).to(old.weight)
            one.weight.copy_(weight)
            one.bias.copy_(bias)
        self.conv_kernels = nn.ModuleList([one])
        self.activation = "relu" if others else None
        self.conv_merge = nn.Sequential(*others[1:])
        return self.train(self.training)

    def __repr__(self) -> str:
        kernels = [*self.conv_kernels]
        widths = [layer.out_channels for layer in self.conv_merge if isinstance(layer, nn.Conv1d)]
        return (
            f"MultiScaleConv1d({kernels[0].in_channels} -> {sum(kernel.out_channels for kernel in kernels)}, "
            f"kernel sizes {', '.join(str(kernel.kernel_size[0]) for kernel in kernels)}, dilation {self.dilation}"
            + (f", {self.activation}" if self.activation else "")
            + (f", merge {', '.join(map(str, widths))}" if widths else "")
            + ")"
        )


def _weights_and_biases(kernels: nn.ModuleList) -> tuple[list[Tensor], list[Tensor] | None]:
    biases = None if kernels[0].bias is None else [kernel.bias for kernel in kernels]
    return [kernel.weight for kernel in kernels], biases


def _host(part: Any) -> Any:
    """Float32 or float64 on the CPU, for NumPy."""
    if isinstance(part, list):
        return [_host(tensor) for tensor in part]
    return part if part is None else part.detach().cpu().double()


class MMDLoss(nn.Module):
    """The squared maximum mean discrepancy of two batches of records, as a loss.

    Parameters
    ----------
    kernel, bandwidth, estimator, weights, precision
        As for :func:`ecgkern.torch.mmd2`. With "median" every pair of batches has its own bandwidth; for a loss that
        can be compared from step to step pass the ``ecgkern.stats.median_bandwidth`` of real records.

    Raises
    ------
    ValueError, TypeError
        If the kernel is unknown; the other arguments are looked at when called.

    Examples
    --------
    >>> import torch
    >>> from ecgkern.torch import MMDLoss
    >>> loss = MMDLoss(bandwidth=[1.0, 2.0, 4.0], estimator="biased")
    >>> x = torch.randn(8, 2, 50)
    >>> bool(loss(x, x).abs() < 1e-6)
    True
    """

    def __init__(
        self,
        kernel: str | Kernel = "gaussian",
        bandwidth: Any = "median",
        estimator: str = "unbiased",
        weights: Any = None,
        precision: str = "highest",
    ) -> None:
        super().__init__()
        self.kernel = kernel if isinstance(kernel, Kernel) else Kernel(kernel)
        self.bandwidth, self.estimator, self.weights, self.precision = bandwidth, estimator, weights, precision

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return MMD² of the records x (n, ...) and y (m, ...), each flattened."""
        return mmd2(
            x.flatten(1),
            y.flatten(1),
            kernel=self.kernel,
            bandwidth=self.bandwidth,
            estimator=self.estimator,
            weights=self.weights,
            precision=self.precision,
        )

    def extra_repr(self) -> str:
        return f"kernel={self.kernel.name!r}, bandwidth={self.bandwidth!r}, estimator={self.estimator!r}"


class WeightedMSELoss(nn.Module):
    r"""The mean squared error of ECGs, weighted where their waves are.

    .. math:: L = \frac1D \sum_{nct} w_{nt} (x_{nct} - \hat x_{nct})^2, \qquad
              w_{nt} = 1 + \sum_{b \in n} \sum_w \alpha_w \exp\left(-\frac{(t - m_{bw})^2}{2 s_w^2}\right)

    with the centres m and widths s of `waves` around the R peaks. The weights are made for each batch by the kernel of
    :func:`ecgkern.torch.gaussian_waves` and never kept.

    Parameters
    ----------
    fs : float
        Sampling rate in Hz.
    waves : Waves, default PHYSIO
        Where the waves are, and how wide; one set for all beats.
    alpha : mapping of str to float
        How much more each wave counts, by its name.
    reduction : {"mean", "normalised"}
        D is the number of samples, or the sum of the weights: then the size of the loss, and so of the steps, does not
        depend on the number of beats.

    Raises
    ------
    ValueError
        If `alpha` lacks a wave or is negative, or `reduction` is unknown.

    Examples
    --------
    An error at the top of an R wave counts 11 times:

    >>> import torch
    >>> from ecgkern.torch import WeightedMSELoss
    >>> loss = WeightedMSELoss(fs=100.0, alpha={"P": 0, "Q": 0, "R": 10, "S": 0, "T": 0, "U": 0})
    >>> x, target = torch.zeros(1, 100), torch.zeros(1, 100)
    >>> x[0, 50] = 1.0
    >>> loss(x, target, [[50.0]])
    tensor(0.1100)
    """

    def __init__(
        self,
        fs: float,
        *,
        waves: Waves = PHYSIO,
        alpha: Mapping[str, float] = MappingProxyType({"P": 3, "Q": 5, "R": 10, "S": 5, "T": 3, "U": 1}),
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        missing = [name for name in waves.name if name not in alpha]
        if missing:
            raise ValueError(f"alpha must have a number for each of {', '.join(waves.name)}, got none for {missing[0]}")
        if any(alpha[name] < 0 for name in waves.name):
            raise ValueError(f"alpha must not be negative, got {dict(alpha)}")
        if reduction not in ("mean", "normalised"):
            raise ValueError(f'reduction must be "mean" or "normalised", got {reduction!r}')
        self.fs, self.reduction = fs, reduction
        self.waves = Waves(waves.name, [alpha[name] for name in waves.name], waves.delay, waves.width)

    def forward(self, x: Tensor, target: Tensor, r_peaks: Any, row_offsets: Any = None) -> Tensor:
        """Return the loss of x, (n_records, length) or (n_records, n_channels, length), against the target."""
        if x.shape != target.shape or x.dim() not in (2, 3):
            raise ValueError(
                "x and target must share a shape (n_records, length) or (n_records, n_channels, length), got "
                f"{tuple(x.shape)} and {tuple(target.shape)}"
            )
        weights = 1.0 + gaussian_waves(
            r_peaks, fs=self.fs, length=x.shape[-1], waves=self.waves, row_offsets=row_offsets, dtype=x.dtype
        )
        if len(weights) != len(x):
            raise ValueError(f"r_peaks must have a row for each of the {len(x)} records, got {len(weights)}")
        weights = weights.to(x.device).detach()
        if x.dim() == 3:
            weights = weights[:, None].expand_as(x)
        total = (weights * (x - target).square()).sum()
        return total / (x.numel() if self.reduction == "mean" else weights.sum())

    def extra_repr(self) -> str:
        alpha = dict(zip(self.waves.name, self.waves.amplitude.tolist(), strict=True))
        return f"fs={self.fs}, alpha={alpha}, reduction={self.reduction!r}"
