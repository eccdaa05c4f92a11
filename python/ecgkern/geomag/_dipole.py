"""The dipole of an epoch: its moment, axes, offset from the centre of the Earth, and poles.

.. math::
    B_0 &= \\sqrt{(g_1^0)^2 + (g_1^1)^2 + (h_1^1)^2}, \\qquad \\hat m = -(g_1^1, h_1^1, g_1^0)/B_0 \\\\
    L_0 &= 2 g_1^0 g_2^0 + \\sqrt3 (g_1^1 g_2^1 + h_1^1 h_2^1) \\\\
    L_1 &= -g_1^1 g_2^0 + \\sqrt3 (g_1^0 g_2^1 + g_1^1 g_2^2 + h_1^1 h_2^2) \\\\
    L_2 &= -h_1^1 g_2^0 + \\sqrt3 (g_1^0 h_2^1 - h_1^1 g_2^2 + g_1^1 h_2^2) \\\\
    E &= (L_0 g_1^0 + L_1 g_1^1 + L_2 h_1^1)/(4 B_0^2) \\\\
    d &= a\\,(L_1 - g_1^1 E,\\; L_2 - h_1^1 E,\\; L_0 - g_1^0 E)/(3 B_0^2)

(A. Schmidt 1934; J. Bartels 1936; A. C. Fraser-Smith 1987), with a = 6371.2 km.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecgkern import _dispatch, _validate
from ecgkern.geomag import _points
from ecgkern.geomag._earth import EARTH_RADIUS, ECCENTRICITY2
from ecgkern.geomag._model import RULES, table

Floats = NDArray[np.float64]

_MU0_OVER_4PI = 1e-7  # T m / A
_SMALLEST = np.finfo(float).tiny / np.finfo(float).eps  # of a number with all its digits in a quotient
_NEWTON_STEPS = 12


class Pole(NamedTuple):
    """A place on the sphere of radius 6371.2 km: latitude and longitude in degrees."""

    lat: Any
    lon: Any


class Poles(NamedTuple):
    """The poles of both dipoles, and the distance of the eccentric one from the centre of the Earth in km."""

    cd_north: Pole
    cd_south: Pole
    ed_axial_north: Pole
    ed_axial_south: Pole
    ed_dip_north: Pole
    ed_dip_south: Pole
    eccentric_distance: Any


@dataclass(frozen=True, eq=False)
class Dipole:
    """The centred and the eccentric dipole at one epoch or an array of them; made by :meth:`Dipole.at`.

    Its arrays are NumPy's.

    Attributes
    ----------
    model : str
        Where the coefficients come from.
    epoch : ndarray
        Decimal years (...); NaN where the model is a single set of coefficients and no epoch was given.
    coefficients : ndarray
        g10, g11, h11, g20, g21, h21, g22, h22 in nT (..., 8).
    b0 : ndarray
        Reduced moment in nT: the field at the equator of the centred dipole, 6371.2 km from the centre.
    rotation : ndarray
        The axes of the dipole in Earth-fixed axes, a row each (..., 3, 3): u = rotation @ v.
    offset_km : ndarray
        Place of the eccentric dipole in Earth-fixed axes (..., 3).
    """

    model: str
    epoch: Any
    coefficients: Floats
    b0: Any
    rotation: Floats
    offset_km: Floats

    @classmethod
    def at(cls, epoch: Any = None, *, model: Any = "igrf14", out_of_range: str = "raise") -> "Dipole":
        """Return the dipole at an epoch or at each of an array of epochs.

        Parameters
        ----------
        epoch, model, out_of_range
            As in :func:`geo_to_cd`.

        Returns
        -------
        Dipole
            Its arrays have the shape of `epoch` in front.

        Raises
        ------
        ValueError, TypeError
            If an argument has the wrong type or range, or if `epoch` is missing.

        Examples
        --------
        >>> from ecgkern.geomag import Dipole
        >>> dipole = Dipole.at(model="igrf1990-ramana")
        >>> print(f"{dipole.b0:.2f} nT, {dipole.eccentric_distance:.4f} km")
        30319.23 nT, 514.8726 km
        >>> Dipole.at([1990, 2025]).pole.lat.round(4).tolist()
        [79.1383, 80.7894]
        """
        _dispatch.array_library(epoch=epoch)
        _validate.choice(out_of_range, "out_of_range", tuple(RULES))
        chosen = table(model)
        epochs = _points.epochs_of(epoch, chosen, out_of_range)
        years = np.full((), np.nan) if epochs is None else _points.years_of(epochs)
        coefficients = np.array(chosen.at(years, out_of_range))
        b0, rotation, delta = parameters(coefficients)
        return cls(chosen.name, years[()], coefficients, b0[()], rotation, EARTH_RADIUS * delta)

    @property
    def delta(self) -> Floats:
        """Place of the eccentric dipole in radii of 6371.2 km (..., 3)."""
        return self.offset_km / EARTH_RADIUS

    @property
    def eccentric_distance(self) -> Any:
        """Distance of the eccentric dipole from the centre of the Earth in km."""
        return np.sqrt(np.sum(self.offset_km**2, axis=-1))[()]

    @property
    def moment(self) -> Any:
        """Dipole moment :math:`4\\pi a^3 B_0/\\mu_0` in A m²."""
        return (1e3 * EARTH_RADIUS) ** 3 * (1e-9 * self.b0) / _MU0_OVER_4PI

    @property
    def pole(self) -> Pole:
        """The north geomagnetic pole of the centred dipole, in geocentric latitude and longitude."""
        return _pole(self.rotation[..., 2, :])


def parameters(coefficients: Floats) -> tuple[Floats, Floats, Floats]:
    """Return B0 (...), the rotation (..., 3, 3) and the offset in Earth radii (..., 3)."""
    g10, g11, h11, g20, g21, h21, g22, h22 = np.moveaxis(coefficients, -1, 0)
    horizontal = np.hypot(g11, h11)
    b0 = np.hypot(horizontal, g10)
    with np.errstate(invalid="ignore"):
        # Quotients of numbers near the smallest there are have no direction any more.
        tilted = ~(horizontal < _SMALLEST)
        divisor = np.where(tilted, horizontal, 1.0)
        cos_lon, sin_lon = np.where(tilted, -g11 / divisor, 1.0), np.where(tilted, -h11 / divisor, 0.0)
    cos_col, sin_col = -g10 / b0, horizontal / b0
    rotation = np.stack(
        [
            np.stack([cos_col * cos_lon, cos_col * sin_lon, -sin_col], -1),
            np.stack([-sin_lon, cos_lon, np.zeros_like(b0)], -1),
            np.stack([sin_col * cos_lon, sin_col * sin_lon, cos_col], -1),
        ],
        -2,
    )
    root3 = np.sqrt(3.0)
    l0 = 2 * g10 * g20 + root3 * (g11 * g21 + h11 * h21)
    l1 = -g11 * g20 + root3 * (g10 * g21 + g11 * g22 + h11 * h22)
    l2 = -h11 * g20 + root3 * (g10 * h21 - h11 * g22 + g11 * h22)
    e = (l0 * g10 + l1 * g11 + l2 * h11) / (4 * b0 * b0)  # a power of a single number rounds otherwise than of an array
    delta = np.stack([l1 - g11 * e, l2 - h11 * e, l0 - g10 * e], -1) / (3 * b0 * b0)[..., None]
    return b0, rotation, delta


def poles(
    epoch: Any = None, *, model: Any = "igrf14", coords: str = "geocentric", out_of_range: str = "raise"
) -> Poles:
    r"""Return the poles of the centred and the eccentric dipole.

    The centred dipole's axis meets the sphere of radius a = 6371.2 km at two antipodes. The eccentric dipole has axial
    poles, where its axis meets the sphere, and dip poles, where its field is normal to the sphere: these lie in the
    plane of the axis and the centre of the Earth, at the angle :math:`\psi` from the direction of the axis with

    .. math:: \sin\psi\,(1 + p^2 + q^2 - 2 p \sin\psi - 2 q \cos\psi)
              + 3\,(\cos\psi - q)(q \sin\psi - p \cos\psi) = 0,

    p and q being the offset across and along the axis in units of a; solved by Newton's method.

    Parameters
    ----------
    epoch, model, out_of_range
        As in :func:`geo_to_cd`.
    coords : {"geocentric", "geodetic"}, default "geocentric"
        Kind of the latitudes returned; geodetic ones, as in the tables of the IGRF, are 0.03 to 0.15 degrees farther
        from the equator.

    Returns
    -------
    Poles
        ``cd_north``, ``cd_south``, ``ed_axial_north``, ``ed_axial_south``, ``ed_dip_north``, ``ed_dip_south``, each
        with ``lat`` and ``lon`` in degrees of the shape of `epoch`, and ``eccentric_distance`` in km. Within 1e-11
        degrees of the exact solutions. NaN where there is none or Newton's method does not find it, which happens to
        coefficients of the caller with a dipole more than 0.4 a from the centre; that of the Earth is below 0.1 a.

    Raises
    ------
    ValueError, TypeError
        If an argument has the wrong type or range, or if `epoch` is missing.

    Notes
    -----
    None of them is a magnetic dip pole of the Earth's field, which has more than a dipole. Interpolate poles as
    vectors: the north dip pole of the eccentric dipole crossed the date line about 2012.

    References
    ----------
    A. C. Fraser-Smith, Reviews of Geophysics 25 (1987) 1-16.

    Examples
    --------
    >>> from ecgkern.geomag import poles
    >>> found = poles(2025)
    >>> print(f"{found.cd_north.lat:.3f} {found.cd_north.lon:.3f}, {found.eccentric_distance:.2f} km")
    80.789 -72.763, 604.56 km
    """
    _validate.choice(coords, "coords", _points.COORDS)
    dipole = Dipole.at(epoch, model=model, out_of_range=out_of_range)
    axis = dipole.rotation[..., 2, :]
    offset = np.einsum("...ij,...j->...i", dipole.rotation, dipole.delta)  # in the axes of the dipole
    across, along = np.hypot(offset[..., 0], offset[..., 1]), offset[..., 2]
    azimuth = np.arctan2(offset[..., 1], offset[..., 0])
    directions = [axis, -axis]
    for north in (True, False):
        with np.errstate(invalid="ignore"):  # a dipole outside the Earth has no such poles: NaN
            z = np.sqrt(1 - across**2) * (1 if north else -1)
        directions.append(np.stack([offset[..., 0], offset[..., 1], z], -1))
    for north in (True, False):
        angle = _dip_pole(across, along, north)
        sine = np.sin(angle)
        directions.append(np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), np.cos(angle)], -1))
    directions[2:] = [np.einsum("...ji,...j->...i", dipole.rotation, vector) for vector in directions[2:]]
    return Poles._make([*(_pole(vector, coords) for vector in directions), dipole.eccentric_distance])


def _dip_pole(across: Floats, along: Floats, north: bool) -> Floats:
    """Return the angle from the axis, in radians, at which the field of the eccentric dipole is radial."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        angle = np.arcsin(across) if north else np.pi - np.arcsin(across)
        for _ in range(_NEWTON_STEPS):
            s, c = np.sin(angle), np.cos(angle)
            distance2 = 1 + across**2 + along**2 - 2 * (across * s + along * c)
            sideways = along * s - across * c
            value = s * distance2 + 3 * (c - along) * sideways
            slope = c * distance2 + 2 * s * sideways - 3 * s * sideways + 3 * (c - along) * (along * c + across * s)
            step = value / slope
            angle = angle - step
        s, c = np.sin(angle), np.cos(angle)
        outward = c * distance2 - 3 * (c - along) * (1 - across * s - along * c)  # of the field, up to a factor
        found = (np.abs(step) < 1e-9) & ((outward < 0) == north)
    return np.where(found, angle, np.nan)


def _pole(direction: Floats, coords: str = "geocentric") -> Pole:
    x, y, z = np.moveaxis(direction, -1, 0)
    horizontal = np.hypot(x, y)
    if coords == "geodetic":
        horizontal = horizontal * (1 - ECCENTRICITY2)
    return Pole(np.degrees(np.arctan2(z, horizontal))[()], _points.half_open(np.degrees(np.arctan2(y, x)))[()])
