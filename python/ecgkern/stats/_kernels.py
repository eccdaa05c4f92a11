"""The kernels k(x, y) that samples are compared with: their names, formulas, scales and derivatives.

Every kernel is a function f of one number per pair, its measure: the squared Euclidean distance, the city-block
distance or the scalar product. The native code computes the measure tile by tile and applies f in float64; the
formulas here are its specification.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkern import _cuda, _validate
from ecgkern._cuda import Device

Floats = NDArray[np.float64]

# The numbers by which the native code knows a measure and a function.
SQUARED, CITYBLOCK, PRODUCT = range(3)
(
    EXPONENTIAL,
    EXPONENTIAL_OF_ROOT,
    RATIONAL_QUADRATIC,
    INVERSE_MULTIQUADRIC,
    MATERN_3_2,
    MATERN_5_2,
    ENERGY,
    POLYNOMIAL,
) = range(8)
LOG2_E = 1.44269504088896340736
# A bandwidth list in ratio 2 costs one exponential: k(sigma / 2) = k(sigma)**4. Every squaring doubles the relative
# error, so that a chain is started anew after this many.
MOST_SQUARINGS = 8


@dataclass(frozen=True)
class Kernel:
    r"""A kernel by name, with the parameters that only some of them have.

    ======================  =====================================================================================
    name                    k(x, y), with :math:`\sigma` the bandwidth and :math:`d = \|x - y\|_2`
    ======================  =====================================================================================
    ``gaussian``            :math:`\exp(-d^2 / 2\sigma^2)`
    ``laplacian``           :math:`\exp(-d / \sigma)`
    ``laplacian_l1``        :math:`\exp(-\|x - y\|_1 / \sigma)`
    ``rational_quadratic``  :math:`(1 + d^2 / 2\alpha\sigma^2)^{-\alpha}`
    ``imq``                 :math:`(1 + d^2 / \sigma^2)^{-1/2}`
    ``matern``              :math:`(1 + r) e^{-r}, r = \sqrt{3} d / \sigma` for :math:`\nu = 3/2`;
                            :math:`(1 + r + r^2/3) e^{-r}, r = \sqrt{5} d / \sigma` for 5/2;
                            :math:`e^{-d/\sigma}` for 1/2
    ``polynomial``          :math:`(\gamma\, x \cdot y + c_0)^p`, the kernel of KID by default
    ``linear``              :math:`x \cdot y`
    ``energy``              :math:`-d`, whose MMD² is the squared energy distance
    ======================  =====================================================================================

    Parameters
    ----------
    name : str
        One of the names above.
    alpha : float, default 1
        Exponent of ``rational_quadratic``.
    nu : {0.5, 1.5, 2.5}, default 1.5
        Smoothness of ``matern``.
    degree : int, default 3
        p of ``polynomial``.
    gamma : float, optional
        Factor of ``polynomial``; 1 / d by default.
    coef0 : float, default 1
        Constant of ``polynomial``.

    Raises
    ------
    ValueError, TypeError
        If a parameter is out of range; the message names it.

    Examples
    --------
    >>> from ecgkern.stats import Kernel, mmd2
    >>> round(float(mmd2([[0.0], [1.0]], [[2.0], [3.0]], kernel=Kernel("matern", nu=2.5), bandwidth=1.0)), 6)
    0.633469
    """

    name: str
    alpha: float = 1.0
    nu: float = 1.5
    degree: int = 3
    gamma: float | None = None
    coef0: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or self.name not in _FORMS:
            raise ValueError(f"kernel must be one of {', '.join(_FORMS)}, or a Kernel; got {self.name!r}")
        if _validate.positive(self.alpha, "alpha") > 1e6:
            raise ValueError(f"alpha must be at most 1e6 (the kernel is then the gaussian one), got {self.alpha}")
        if _validate.real_number(self.nu, "nu") not in (0.5, 1.5, 2.5):
            raise ValueError(f"nu must be 0.5, 1.5 or 2.5, got {self.nu!r}")
        if _validate.positive_integer(self.degree, "degree") > 64:
            raise ValueError(f"degree must be at most 64, got {self.degree}")
        if self.gamma is not None:
            _validate.positive(self.gamma, "gamma")
        _validate.real_number(self.coef0, "coef0")

    @property
    def has_bandwidth(self) -> bool:
        """Whether the kernel has a bandwidth: polynomial, linear and energy have none."""
        return self.name not in ("polynomial", "linear", "energy")

    @property
    def measure(self) -> int:
        """The number per pair that the kernel is a function of."""
        return _FORMS[self.name][0]

    def at_zero(self) -> float:
        """k(x, x) of a kernel of distances."""
        return 0.0 if self.name == "energy" else 1.0


_FORMS = {
    "gaussian": (SQUARED, EXPONENTIAL),
    "laplacian": (SQUARED, EXPONENTIAL_OF_ROOT),
    "laplacian_l1": (CITYBLOCK, EXPONENTIAL),
    "rational_quadratic": (SQUARED, RATIONAL_QUADRATIC),
    "imq": (SQUARED, INVERSE_MULTIQUADRIC),
    "matern": (SQUARED, MATERN_3_2),
    "polynomial": (PRODUCT, POLYNOMIAL),
    "linear": (PRODUCT, POLYNOMIAL),
    "energy": (SQUARED, ENERGY),
}


def checked(kernel: Any) -> Kernel:
    """Return the Kernel that the caller names or passes."""
    if isinstance(kernel, Kernel):
        return kernel
    if not isinstance(kernel, str):
        raise TypeError(f"kernel must be a name or a Kernel, got {type(kernel).__name__}")
    return Kernel(kernel)


@dataclass(frozen=True)
class Functions:
    """f(v) of one kernel at several bandwidths, as the native code takes it.

    Bandwidths are in descending order (`order` tells where each came from). `squarings[b]` squarings lead from the
    values at bandwidth b - 1 to those at b; where it is 0 they are computed from `scales[b]`.
    """

    measure: int
    function: int
    scales: Floats
    squarings: NDArray[np.int64]
    exponent: float
    coef0: float
    order: NDArray[np.int64]

    def values(self, v: Floats) -> list[Floats]:
        """f(v) at each bandwidth, in the order of `scales`."""
        return [self._value(v, scale) for scale in self.scales]

    def _value(self, v: Floats, scale: float) -> Floats:
        if self.function == EXPONENTIAL:
            return np.asarray(np.exp2(-scale * v))
        if self.function == EXPONENTIAL_OF_ROOT:
            return np.asarray(np.exp2(-scale * np.sqrt(v)))
        if self.function == RATIONAL_QUADRATIC:
            return np.asarray((1.0 + scale * v) ** -self.exponent)
        if self.function == INVERSE_MULTIQUADRIC:
            return np.asarray(1.0 / np.sqrt(1.0 + scale * v))
        if self.function == MATERN_3_2:
            r = scale * np.sqrt(v)
            return np.asarray((1.0 + r) * np.exp(-r))
        if self.function == MATERN_5_2:
            r = scale * np.sqrt(v)
            return np.asarray((1.0 + r + r * r / 3.0) * np.exp(-r))
        if self.function == ENERGY:
            return -np.sqrt(v)
        return np.asarray((scale * v + self.coef0) ** int(self.exponent))

    def slopes(self, v: Floats) -> list[Floats]:
        """df/dv at each bandwidth; 0 where f has a cusp, at distance 0."""
        return [self._slope(v, scale) for scale in self.scales]

    def _slope(self, v: Floats, scale: float) -> Floats:
        root = np.sqrt(v) if self.measure == SQUARED else v
        one_over_root = np.divide(1.0, root, out=np.zeros_like(v), where=root > 0)
        if self.function == EXPONENTIAL:
            return np.asarray(-scale / LOG2_E * np.exp2(-scale * v))
        if self.function == EXPONENTIAL_OF_ROOT:
            return np.asarray(-0.5 * scale / LOG2_E * one_over_root * np.exp2(-scale * root))
        if self.function == RATIONAL_QUADRATIC:
            return np.asarray(-self.exponent * scale * (1.0 + scale * v) ** (-self.exponent - 1.0))
        if self.function == INVERSE_MULTIQUADRIC:
            return np.asarray(-0.5 * scale * (1.0 + scale * v) ** -1.5)
        if self.function == MATERN_3_2:
            return np.asarray(-0.5 * scale**2 * np.exp(-scale * root))
        if self.function == MATERN_5_2:
            r = scale * root
            return np.asarray(-(scale**2) / 6.0 * (1.0 + r) * np.exp(-r))
        if self.function == ENERGY:
            return np.asarray(-0.5 * one_over_root)
        return np.asarray(self.exponent * scale * (scale * v + self.coef0) ** (int(self.exponent) - 1))


def functions(kernel: Kernel, bandwidths: Floats, n_features: int) -> Functions:
    """Return f at every bandwidth, in the order and with the squarings that make it cheap."""
    measure, function = _FORMS[kernel.name]
    if kernel.name == "matern":
        function = {0.5: EXPONENTIAL_OF_ROOT, 1.5: MATERN_3_2, 2.5: MATERN_5_2}[kernel.nu]
    order = np.argsort(-bandwidths, kind="stable")
    sigma = bandwidths[order]
    if kernel.name == "gaussian":
        scales = LOG2_E / (2.0 * sigma**2)
    elif function in (EXPONENTIAL, EXPONENTIAL_OF_ROOT):
        scales = LOG2_E / sigma
    elif function == RATIONAL_QUADRATIC:
        scales = 1.0 / (2.0 * kernel.alpha * sigma**2)
    elif function == INVERSE_MULTIQUADRIC:
        scales = 1.0 / sigma**2
    elif function in (MATERN_3_2, MATERN_5_2):
        scales = np.sqrt(2.0 * kernel.nu) / sigma
    elif kernel.name == "polynomial":
        scales = np.full(sigma.size, 1.0 / n_features if kernel.gamma is None else kernel.gamma)
    else:
        scales = np.ones(sigma.size)
    linear = kernel.name == "linear"
    exponent = 1.0 if linear else float(kernel.alpha if function == RATIONAL_QUADRATIC else kernel.degree)
    squarings = _squarings(scales) if function in (EXPONENTIAL, EXPONENTIAL_OF_ROOT) else np.zeros(sigma.size, np.int64)
    return Functions(measure, function, scales, squarings, exponent, 0.0 if linear else float(kernel.coef0), order)


def _squarings(scales: Floats) -> NDArray[np.int64]:
    """How many squarings lead from each exponential to the next; 0 where none do."""
    steps = np.zeros(scales.size, np.int64)
    run = 0
    for b in range(1, scales.size):
        ratio = scales[b] / scales[b - 1]
        step = round(float(np.log2(ratio)))
        exact = step >= 1 and abs(ratio / 2.0**step - 1.0) < 4 * np.finfo(np.float64).eps
        run = run + step if exact and run + step <= MOST_SQUARINGS else 0
        steps[b] = step if run else 0
    return steps


def checked_bandwidths(bandwidth: Any, kernel: Kernel, device: Device | None = None) -> Any:
    """Return the bandwidths as an array; None for "median"; an array of a meaningless 1 where the kernel has none.

    Bandwidths on a GPU stay there, float64 and unread.
    """
    if device is not None and kernel.has_bandwidth and _cuda.of(bandwidth) is not None:
        if not math.prod(bandwidth.shape):
            raise ValueError("bandwidth must hold at least one number, got none")
        return device.values(bandwidth, "bandwidth", (0, 1), np.float64).reshape((-1,))
    if not kernel.has_bandwidth:
        if not (isinstance(bandwidth, str) and bandwidth == "median"):
            raise ValueError(f"kernel {kernel.name!r} has no bandwidth, got bandwidth={bandwidth!r}")
        return np.ones(1)
    if isinstance(bandwidth, str):
        if bandwidth != "median":
            raise ValueError(f'bandwidth must be "median", a number above 0 or several of them; got {bandwidth!r}')
        return None
    values = np.atleast_1d(_validate.real_array(bandwidth, "bandwidth", (0, 1))).copy()
    values.setflags(write=False)  # results hold on to it
    if not values.size:
        raise ValueError("bandwidth must hold at least one number, got none")
    if not (values > 0).all():
        i = int(np.argmax(values <= 0))
        raise ValueError(f"bandwidth must be greater than 0, got {values[i]} at [{i}]")
    # sigma**2 must be a number as well.
    if not ((values > 1e-150) & (values < 1e150)).all():
        raise ValueError("bandwidth must be between 1e-150 and 1e150; scale the samples")
    return values


def checked_weights(weights: Any, n_bandwidths: int) -> Floats:
    """Return the weights of a mixture, summing to 1; equal ones for None."""
    if weights is None:
        return np.full(n_bandwidths, 1.0 / n_bandwidths)
    values = _validate.real_array(weights, "weights", (1,))
    if values.size != n_bandwidths:
        raise ValueError(f"weights must have one entry per bandwidth, {n_bandwidths}, got {values.size}")
    if (values < 0).any() or not values.max() > 0:
        raise ValueError(f"weights must not be negative and must not all be 0, got {values.tolist()}")
    values = values / values.max()
    return np.asarray(values / values.sum())
