"""The field of the centred or the eccentric dipole, and what follows from a dipole latitude."""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecgkern import _dispatch, _validate
from ecgkern.geomag import _points
from ecgkern.geomag._coordinates import geographic
from ecgkern.geomag._earth import EARTH_RADIUS

Floats = NDArray[np.float64]


class Field(NamedTuple):
    """Elements of the geomagnetic field: nT, and degrees for the angles."""

    north: Any
    east: Any
    down: Any
    horizontal: Any
    total: Any
    declination: Any
    inclination: Any


def dipole_field(
    lat: Any,
    lon: Any,
    alt: Any = 0.0,
    *,
    epoch: Any = None,
    kind: str = "ed",
    coords: str = "geodetic",
    model: Any = "igrf14",
    out_of_range: str = "raise",
    out: Any = None,
    backend: str | None = None,
) -> Field:
    r"""Return the magnetic field of the eccentric or the centred dipole at geographic positions.

    .. math:: \mathbf B = B_0 (a/R)^3\,[\hat m - 3 (\hat m \cdot \hat R)\,\hat R], \qquad
              H = \sqrt{X^2 + Y^2}, \quad F = \sqrt{H^2 + Z^2}, \quad
              D = \operatorname{atan2}(Y, X), \quad I = \operatorname{atan2}(Z, H)

    with :math:`\mathbf R = v - d` from the dipole (d = 0 for the centred one), a = 6371.2 km and
    :math:`\hat m = -(g_1^1, h_1^1, g_1^0)/B_0`. X, Y, Z point north, east and down.

    Parameters
    ----------
    lat, lon, alt, epoch, coords, model, out_of_range, out, backend
        As in :func:`geo_to_cd`, `out` having 7 arrays. `coords` also says where down is: along the normal of the WGS84
        ellipsoid (geodetic, as observatories have it) or to the centre of the Earth (geocentric).
    kind : {"ed", "cd"}, default "ed"
        Eccentric or centred dipole.

    Returns
    -------
    Field
        ``north``, ``east``, ``down`` (X, Y, Z), ``horizontal`` (H) and ``total`` (F) in nT, ``declination`` (D,
        positive east) and ``inclination`` (I, positive down) in degrees. At a pole north is that of the longitude
        given. At the dipole itself the field is infinite or NaN. Types, shapes and NaN as in :func:`geo_to_cd`.

    Raises
    ------
    ValueError, TypeError, BackendUnavailableError
        As :func:`geo_to_cd`.

    Notes
    -----
    Within 1e-6 nT at the surface of the Earth (1e-11 of the field elsewhere) and 1e-11 degrees (declination times H/F)
    of the formula, on every backend. As a model of the field itself a dipole is coarse: averaged over the Earth in 2025
    it misses IGRF-14 by 8.3 µT (eccentric) or 11.7 µT (centred) of 43.6 µT, root mean square.

    With spherical components, :math:`X = -B_\theta, Y = B_\lambda, Z = -B_r`. The declination is therefore
    :math:`\operatorname{atan2}(B_\lambda, -B_\theta)`; with :math:`B_\theta` in place of its negative it comes out as
    180 degrees less D, -174.97 instead of -5.03 in the example.

    References
    ----------
    K. V. V. Ramana, K. S. R. N. Murthy, I. Khan, Indian Journal of Radio and Space Physics 27 (1998) 35-42.
    A. C. Fraser-Smith, Reviews of Geophysics 25 (1987) 1-16.

    Examples
    --------
    >>> from ecgkern.geomag import dipole_field
    >>> field = dipole_field(12.9716, 77.5946, coords="geocentric", model="igrf1990-ramana")
    >>> print(f"X {field.north:.2f}  Y {field.east:.2f}  Z {field.down:.2f} nT")
    X 33224.45  Y -2923.01  Z 2633.44 nT
    >>> print(f"D {field.declination:.4f}  I {field.inclination:.4f}")
    D -5.0278  I 4.5145
    """
    library = _points.library(lat=lat, lon=lon, alt=alt, epoch=epoch, out=out)
    device = _points.device_of(lat=lat, lon=lon, alt=alt, epoch=epoch, out=out)
    _validate.choice(kind, "kind", _points.KINDS)
    module = _dispatch.load("geomag", backend, device)
    inputs = geographic(lat, lon, alt, coords, device, _points.finds_outside(module))
    coefficients, inputs["epoch"] = _points.coefficients(epoch, model, out_of_range, device=device)
    results = _points.results_for(inputs, len(Field._fields), _points.result_type(lat, lon, alt), out, device)
    kernel = partial(module.field, kind == "ed", coords == "geodetic", coefficients)
    if _points.evaluate(kernel, inputs, results, module):
        geographic(lat, lon, alt, coords)  # raises, and says where
    _points.close_longitudes(results[Field._fields.index("declination")])
    return Field(*_points.returned(results, library, out))


def dip_latitude(inclination: Any) -> Any:
    r"""Return the latitude at which a centred axial dipole has this inclination.

    .. math:: \operatorname{atan}(\tfrac12 \tan I)

    Parameters
    ----------
    inclination : float or array_like
        Inclination (dip) of the field in degrees, -90 to 90.

    Returns
    -------
    float or ndarray
        Degrees; float32 for float32. NaN for NaN.

    Raises
    ------
    ValueError, TypeError
        If `inclination` is out of range or not a real number.

    References
    ----------
    K. M. Laundal, A. D. Richmond, Space Science Reviews 206 (2017) 27-59, eq. 22.

    Examples
    --------
    >>> from ecgkern.geomag import dip_latitude
    >>> print(f"{dip_latitude(60.0):.4f}")
    40.8934
    """
    library = _dispatch.array_library(inclination=inclination)
    given = {"inclination": _points.latitude(inclination, "inclination")}
    return _elementwise(_dip_latitude, given, _points.result_type(inclination), library)


def l_shell(lat: Any, r: Any) -> Any:
    r"""Return the L of a dipole field line: how many Earth radii from the dipole it crosses the dipole's equator.

    .. math:: L = \frac{r}{a \cos^2\phi}, \qquad a = 6371.2\ \mathrm{km}

    Parameters
    ----------
    lat, r : float or array_like
        Latitude in degrees and distance in km in the frame of the dipole, as :func:`geo_to_cd` and :func:`geo_to_ed`
        return them.

    Returns
    -------
    float or ndarray
        L; infinite or above 1e30 at the poles. float32 if both are float32. NaN for NaN.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or not a real number, or if the shapes do not broadcast.

    References
    ----------
    C. E. McIlwain, Journal of Geophysical Research 66 (1961) 3681-3691, for a dipole.

    Examples
    --------
    >>> from ecgkern.geomag import geo_to_cd, l_shell
    >>> tromsoe = geo_to_cd(69.6, 18.9, 100.0, epoch=2025)
    >>> print(f"{l_shell(tromsoe.lat, tromsoe.r):.3f}")
    6.832
    """
    library = _dispatch.array_library(lat=lat, r=r)
    given = {"lat": _points.latitude(lat), "r": _points.radius(r)}
    return _elementwise(_l_shell, given, _points.result_type(lat, r), library)


def invariant_latitude(l: Any) -> Any:  # noqa: E741
    r"""Return the latitude at which a dipole field line comes to the radius a: the invariant latitude.

    .. math:: \Lambda = \arccos\sqrt{1/L}

    Parameters
    ----------
    l : float or array_like
        L of the field line, as :func:`l_shell` returns it; not negative.

    Returns
    -------
    float or ndarray
        Degrees, 0 to 90; NaN where L < 1, as such a line does not reach that radius. float32 for float32.

    Raises
    ------
    ValueError, TypeError
        If `l` is negative or not a real number.

    Examples
    --------
    >>> from ecgkern.geomag import invariant_latitude
    >>> print(f"{invariant_latitude(4.0):.1f}")
    60.0
    """
    library = _dispatch.array_library(l=l)
    given = {"l": _points.bounded(l, "l", 0.0, np.inf, "not negative")}
    return _elementwise(_invariant_latitude, given, _points.result_type(l), library)


def _elementwise(formula: Any, inputs: dict[str, Any], dtype: Any, library: str) -> Any:
    (result,) = _points.results_for(inputs, 1, dtype)
    _points.evaluate(formula, inputs, [result], None, whole=False)
    return _dispatch.scalar_or_array(result, library)


def _dip_latitude(inclination: Floats, result: Floats) -> None:
    result[:] = np.degrees(np.arctan(0.5 * np.tan(np.radians(inclination))))


def _l_shell(lat: Floats, r: Floats, result: Floats) -> None:
    result[:] = r / (EARTH_RADIUS * np.cos(np.radians(lat)) ** 2)


def _invariant_latitude(l: Floats, result: Floats) -> None:  # noqa: E741
    with np.errstate(invalid="ignore"):  # L < 1
        # atan(sqrt(L - 1)) is the same angle and keeps its digits near L = 1.
        result[:] = np.degrees(np.arctan(np.sqrt(l - 1)))
