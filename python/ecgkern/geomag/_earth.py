"""What the geomag kernels know of the Earth, and how far they iterate."""

EARTH_RADIUS = 6371.2  # km, the reference sphere of the coefficients
WGS84_A = 6378.137  # km
FLATTENING = 1 / 298.257223563  # of WGS84
ECCENTRICITY2 = FLATTENING * (2 - FLATTENING)
AXIS_RATIO = 1 - FLATTENING

GEODETIC_STEPS = 4  # of the latitude: 1e-14 degrees from NEAREST outwards
NEAREST = 60.0  # km from the centre of the Earth; geodetic coordinates end at 43 km
RAY_STEPS = 3  # of the length of a ray
RAY_TOLERANCE = 1e-6  # km that the last step may have changed: beyond, a ray does not come to its height
