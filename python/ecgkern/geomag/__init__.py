"""Geomagnetic coordinates, time and field in the centred and the eccentric dipole.

Degrees, km, nT, hours and UTC throughout; longitudes and declinations are positive east, inclinations down.
"""

from ecgkern.geomag._coordinates import (
    Coordinates,
    GeographicCoordinates,
    cd_to_geo,
    ed_to_geo,
    geo_to_cd,
    geo_to_ed,
    geo_to_xyz,
    transform_xyz,
    xyz_to_geo,
)
from ecgkern.geomag._dipole import Dipole, Pole, Poles, poles
from ecgkern.geomag._earth import EARTH_RADIUS
from ecgkern.geomag._field import Field, dip_latitude, dipole_field, invariant_latitude, l_shell
from ecgkern.geomag._local_time import (
    SubsolarPoint,
    apparent_solar_time,
    dipole_tilt,
    magnetic_local_time,
    subsolar_point,
)
from ecgkern.geomag._time import decimal_year

__all__ = [
    "EARTH_RADIUS",
    "Coordinates",
    "Dipole",
    "Field",
    "GeographicCoordinates",
    "Pole",
    "Poles",
    "SubsolarPoint",
    "apparent_solar_time",
    "cd_to_geo",
    "decimal_year",
    "dip_latitude",
    "dipole_field",
    "dipole_tilt",
    "ed_to_geo",
    "geo_to_cd",
    "geo_to_ed",
    "geo_to_xyz",
    "invariant_latitude",
    "l_shell",
    "magnetic_local_time",
    "poles",
    "subsolar_point",
    "transform_xyz",
    "xyz_to_geo",
]
