// A position at a time, step by step in double precision: degrees to a cartesian vector, the vector into the frame of
// the centred (CD) or the eccentric dipole (ED) and back, the field, the dipole at an epoch, the Sun. Scalar functions
// without loads, stores or branches, so that a compiler can mix the steps of several points. The formulas stand in
// python/ecgkern/geomag/_numpy.py and _dipole.py, the reasons for how they are computed in fortran/geomag_kernels.f90.
#pragma once

namespace ecgkern {

// The numbers of python/ecgkern/geomag/_earth.py.
constexpr double earth_radius = 6371.2;  // km, of the coefficients
constexpr double wgs84_a = 6378.137;     // km
constexpr double flattening = 1 / 298.257223563;
constexpr double e2 = flattening * (2 - flattening);
constexpr double axis_ratio = 1 - flattening;
constexpr int geodetic_steps = 4, ray_steps = 3;
constexpr double nearest = 60;          // km from the centre of the Earth, for geodetic coordinates
constexpr double ray_tolerance = 1e-6;  // km that the last step may change

constexpr double radian = 57.295779513082320877;  // degrees
constexpr double shifter = 6755399441055744.0;    // 1.5 * 2**52: a sum with it is a rounded number

__device__ __forceinline__ double not_a_number() { return __longlong_as_double(0x7ff8000000000000LL); }

// x, its sign changed where bit 1 of `quarters` is set: integer work, for which the units of doubles are not needed.
__device__ __forceinline__ double turned_over(double x, long long quarters) {
    return __longlong_as_double(__double_as_longlong(x) ^ (long long)((unsigned long long)(quarters & 2) << 62));
}

// ---- quotients and roots -------------------------------------------------------------------------------------------
//
// Those of the language branch for numbers near the ends of the range, which do not come up here among kilometres and
// sines. The card's own first guesses hold 20 bits; a cubic step makes them 59, the remainder of the result does the
// rest.

#ifdef __CUDACC__
__device__ __forceinline__ double guessed_inverse(double x) {
    double guess;
    asm("rcp.approx.ftz.f64 %0, %1;" : "=d"(guess) : "d"(x));
    return guess;
}
__device__ __forceinline__ double guessed_inverse_root(double x) {
    double guess;
    asm("rsqrt.approx.ftz.f64 %0, %1;" : "=d"(guess) : "d"(x));
    return guess;
}
#else  // as good, or as bad
inline double twenty_bits(double x) { return __longlong_as_double(__double_as_longlong(x) >> 32 << 32); }
inline double guessed_inverse(double x) { return twenty_bits(1 / x); }
inline double guessed_inverse_root(double x) { return twenty_bits(1 / sqrt(x)); }
#endif

// a / b, for b from 1e-300 to 1e300 in size.
__device__ __forceinline__ double quotient(double a, double b) {
    const double guess = guessed_inverse(b), e = 1 - b * guess, inverse = guess + guess * (e + e * e);
    const double q = a * inverse;
    return q + (a - q * b) * inverse;
}

// 1 / sqrt(a), for a from 1e-300 to 1e300.
__device__ __forceinline__ double inverse_root(double a) {
    const double guess = guessed_inverse_root(a), e = 1 - a * guess * guess;
    return guess + guess * e * (0.5 + 0.375 * e);
}

// sqrt(a), for a from 0 to 1e300; not a number below.
__device__ __forceinline__ double root(double a) {
    const double inverse = inverse_root(a + 2.2250738585072014e-308), s = a * inverse;
    return s + (a - s * s) * (0.5 * inverse);
}

// ---- angles in degrees ---------------------------------------------------------------------------------------------

// Sine and cosine, exact at multiples of 90 degrees: those are taken out in degrees, where that is exact. What is left
// lies within 45 degrees; minimax polynomials there, found by Remez exchange at 70 digits, are off by 3e-18 and 5e-20.
__device__ __forceinline__ void sine_cosine(double angle, double &sine, double &cosine) {
    const double shifted = angle * (1 / 90.0) + shifter;
    const long long quarters = __double_as_longlong(shifted);
    const double x = (angle - 90 * (shifted - shifter)) * 0.017453292519943295769;
    const double z = x * x, w = z * z;
    const double s = x + x * z * (-0.16666666666666632069 + w * (-0.00019841269829817092631
        + w * -2.505075865974244898e-8) + z * (0.0083333333333224247047 + w * (2.7557313695272419786e-6
        + w * 1.5896828260596813239e-10)));
    const double c = 1 - 0.5 * z + w * (0.041666666666666599561 + w * (0.000024801587289492224039
        + w * 2.0875723697291141158e-9) + z * (-0.0013888888888874139333 + w * (-2.7557314355346018168e-7
        - w * 1.1359670472595257734e-11)));
    const bool swapped = quarters & 1;
    sine = turned_over(swapped ? c : s, quarters);
    cosine = turned_over(swapped ? s : c, quarters + 1);
}

// The angle of the point (x, y) in [-180, 180] degrees; 0 at the origin, NaN if either is. The tangent of what is left
// after an eighth of a turn is at most tan(22.5 degrees); the polynomial for it, found as above, is off by 1e-18.
__device__ __forceinline__ double arc_tangent(double y, double x) {
    const double ax = fabs(x), ay = fabs(y);
    const bool steep = ay > ax;
    const double small = steep ? ax : ay, large = steep ? ay : ax;  // one comparison for both: either may be the NaN
    const bool beyond = small > 0.41421356237309504880 * large;  // tan(22.5 degrees)
    const double t = quotient(beyond ? small - large : small, beyond ? small + large : large + 2.2250738585072014e-308);
    const double z = t * t, w = z * z;
    // Two sums, of every other power: half the wait for each other's results.
    const double even = -0.33333333333333199111 + w * (-0.14285714280248470689 + w * (-0.090908978364231547439
        + w * (-0.06663120385109521154 + w * (-0.050398457006138699252 - w * 0.017922287384526697588))));
    const double odd = 0.19999999999954081774 + w * (0.11111110786136320419 + w * (0.076920616369603664716
        + w * (0.058480089432356883295 + w * 0.03807832718198360743)));
    const double angle = t + t * z * (even + z * odd);
    // From an eighth to a quarter, from that to a half, from that to a whole turn: each mirrors the angle before.
    const bool left = x < 0;
    double offset = beyond ? 45 : steep ? 90 : 0;
    offset = left ? 180 - offset : offset;
    const double upper = turned_over(angle, steep != left ? 2 : 0) * radian + offset;
    return turned_over(upper, y < 0 ? 2 : 0);
}

// The largest whole number that is not above x.
__device__ __forceinline__ double rounded_down(double x) {
    const double whole = (x + shifter) - shifter;
    return whole - (whole > x ? 1 : 0);
}

// 12 + difference / 15 in [0, 24), of a difference from -360 to 360 degrees.
__device__ __forceinline__ double hours_from(double difference) {
    double hours = 12 + difference * (1 / 15.0);
    hours = hours + (hours < 0 ? 24 : 0);
    return hours - (hours >= 24 ? 24 : 0);
}

// ---- the dipole at an epoch ----------------------------------------------------------------------------------------

// The moment in nT, the direction of the axis, and the offset in km.
struct Dipole {
    double b0, cos_col, sin_col, cos_lon, sin_lon, dx, dy, dz;
};

__device__ __forceinline__ Dipole dipole_of(const double (&g)[8]) {
    constexpr double root3 = 1.7320508075688772935;
    const double g10 = g[0], g11 = g[1], h11 = g[2], g20 = g[3], g21 = g[4], h21 = g[5], g22 = g[6], h22 = g[7];
    Dipole d;
    const double s = sqrt(g11 * g11 + h11 * h11);
    d.b0 = sqrt(g10 * g10 + g11 * g11 + h11 * h11);
    double inverse = 1 / (s > 0 ? s : 1.0);
    d.cos_lon = s > 0 ? -g11 * inverse : 1.0;
    d.sin_lon = -h11 * inverse;
    inverse = 1 / d.b0;
    d.cos_col = -g10 * inverse;
    d.sin_col = s * inverse;
    const double l0 = 2 * g10 * g20 + root3 * (g11 * g21 + h11 * h21);
    const double l1 = -g11 * g20 + root3 * (g10 * g21 + g11 * g22 + h11 * h22);
    const double l2 = -h11 * g20 + root3 * (g10 * h21 - h11 * g22 + g11 * h22);
    inverse = inverse * inverse;
    const double e = (l0 * g10 + l1 * g11 + l2 * h11) * inverse * 0.25;
    inverse = earth_radius / 3 * inverse;
    d.dx = (l1 - g11 * e) * inverse;
    d.dy = (l2 - h11 * e) * inverse;
    d.dz = (l0 - g10 * e) * inverse;
    return d;
}

// Where a decimal year lies between the rows of a table: the row before, and how far from it to the next.
__device__ __forceinline__ int row_before(double year, double first, double step, int n_rows, int rule, double &part) {
    const double last = n_rows - 1;
    double position = (year - first) / step;
    if (rule == 1) position = position < 0 ? 0 : position > last ? last : position;
    if (rule == 2) position = position >= 0 && position <= last ? position : not_a_number();
    double row = rounded_down(position);
    row = row > 0 ? row : 0;  // any row where the year is NaN
    row = row < last - 1 ? row : last - 1;
    part = position - row;
    return int(row);
}

// ---- times and the Sun ---------------------------------------------------------------------------------------------

// Days since 2000-01-01 and the part of the day, of microseconds since 1970; NaN where the time is missing. A day holds
// a whole number of 8192 microseconds, and float64 all of those exactly.
__device__ __forceinline__ void split_time(long long micros, double &day, double &part) {
    constexpr double day_length = 10546875;  // times 8192 microseconds
    const double ticks = double(micros >> 13);
    day = rounded_down(ticks / day_length);
    part = ((ticks - day * day_length) + double(micros & 8191) / 8192) / day_length;
    day = micros == -0x7fffffffffffffffLL - 1 ? not_a_number() : day - 10957;  // days from 1970 to 2000
}

// Days from 2000-01-01 to 1 January of a year counted from 2000.
__device__ __forceinline__ double new_year(double y) {
    return 365 * y + rounded_down((y + 3) / 4) - rounded_down((y + 99) / 100) + rounded_down((y + 399) / 400);
}

// Decimal years, of the calendar's years and their 365 or 366 days.
__device__ __forceinline__ double decimal_year(long long micros) {
    double day, part;
    split_time(micros, day, part);
    double since_2000 = rounded_down((day + 0.5) * (1 / 365.2425));  // or a year off, near its ends
    since_2000 -= day < new_year(since_2000) ? 1 : 0;
    since_2000 += day >= new_year(since_2000 + 1) ? 1 : 0;
    const double start = new_year(since_2000);
    return 2000 + since_2000 + (day - start + part) / (new_year(since_2000 + 1) - start);
}

// Ecliptic longitude of the Sun, obliquity, and rotation of the Earth, in degrees.
struct Sky {
    double longitude, obliquity, turned;
};

// The Astronomical Almanac for 1996 counts days n from noon of 2000-01-01; the whole turns of its rates, a degree a
// day, are taken out before they cost digits.
__device__ __forceinline__ Sky almanac(double day, double part) {
    const double n = day + (part - 0.5);
    const double whole = day - 360 * rounded_down(day * (1 / 360.0)) + (part - 0.5);
    const double mean = 280.451 + whole - 0.0143526 * n;
    double s, c;
    sine_cosine(357.528 + whole - 0.0143997 * n, s, c);
    return {mean + 1.915 * s + 0.040 * s * c, 23.439 - 4e-7 * n, mean + 180 + 360 * part};
}

// Grena (2012), algorithm 5, writes radians. Days t count from 2060, terrestrial time is 69.2 s ahead. As above, the
// whole turns of rates close to a degree a day, or to a turn a day, are taken out.
__device__ inline Sky grena5(double day, double part) {
    constexpr double ahead = 1.1574e-5 * 69.2;
    constexpr double waves[7][3] = {{1.27e-5, 1.49e-3, -2.337}, {1.21e-5, 4.31e-3, 3.065}, {2.33e-5, 1.076e-2, -1.533},
        {3.49e-5, 1.575e-2, -2.358}, {2.67e-5, 2.152e-2, 0.074}, {1.28e-5, 3.152e-2, 1.547},
        {3.14e-5, 2.1277e-1, -0.488}};  // size, rate and phase
    const double t = day - 21915 + part, te = t + ahead;
    double s1, c1, s, c;
    sine_cosine(radian * (0.0172019715 * te), s1, c1);
    const double s2 = 2 * s1 * c1, c2 = (c1 + s1) * (c1 - s1), s3 = s2 * c1 + c2 * s1, c3 = c2 * c1 - s2 * s1;
    sine_cosine(radian * (2.92e-5 * te), s, c);
    double sum = 3.33024e-2 * s1 - 2.0582e-3 * c1 + 3.512e-4 * s2 - 4.07e-5 * c2 + 5.2e-6 * s3 - 9e-7 * c3
        - 8.23e-5 * s1 * s;
#pragma unroll  // which makes constants of the table
    for (const double(&wave)[3] : waves) {
        sine_cosine(radian * (wave[1] * te + wave[2]), s, c);
        sum += wave[0] * s;
    }
    double whole = day - 21915;
    whole = whole - 360 * rounded_down(whole * (1 / 360.0)) + part;
    sine_cosine(radian * (9.282e-4 * te - 0.8), s, c);
    const double shift = 8.34e-5 * s;
    // 1.7202792159e-2 and 6.300388099 radians a day, less a degree a day and less a degree and a turn a day.
    return {radian * (1.7527901 + sum + shift) + 180 + whole + ahead - 0.014352613448554612499 * te,
            radian * (4.089567e-1 - 6.19e-9 * te + 4.46e-5 * c),
            radian * (1.7528311 + 0.92 * shift) + whole + 360 * part - 0.014352632848130740522 * t};
}

// ---- positions -----------------------------------------------------------------------------------------------------

// In Earth-fixed axes or in those of the dipole, in km.
struct Vector {
    double x, y, z;
};

struct Angles {
    double sin_lat, cos_lat, sin_lon, cos_lon;

    __device__ __forceinline__ Angles(double lat, double lon) {
        sine_cosine(lat, sin_lat, cos_lat);
        sine_cosine(lon, sin_lon, cos_lon);
    }
};

// The direction to the Sun in Earth-fixed axes.
__device__ inline Vector direction_of_sun(long long algorithm, long long micros) {
    double day, part;
    split_time(micros, day, part);
    const Sky sky = algorithm == 0 ? almanac(day, part) : grena5(day, part);
    double s, c, sin_obliquity, cos_obliquity, sin_turned, cos_turned;
    sine_cosine(sky.longitude, s, c);
    sine_cosine(sky.obliquity, sin_obliquity, cos_obliquity);
    sine_cosine(sky.turned, sin_turned, cos_turned);
    return {c * cos_turned + cos_obliquity * s * sin_turned, cos_obliquity * s * cos_turned - c * sin_turned,
            sin_obliquity * s};
}

// A point at a distance from the centre of its axes.
__device__ __forceinline__ Vector on_sphere(const Angles &at, double r) {
    const double across = r * at.cos_lat;
    return {across * at.cos_lon, across * at.sin_lon, r * at.sin_lat};
}

// A geographic position.
__device__ __forceinline__ Vector geographic(bool geodetic, const Angles &at, double alt) {
    if (!geodetic) return on_sphere(at, earth_radius + alt);
    const double normal = wgs84_a * inverse_root(1 - e2 * at.sin_lat * at.sin_lat);
    const double across = (normal + alt) * at.cos_lat;
    return {across * at.cos_lon, across * at.sin_lon, (normal * (1 - e2) + alt) * at.sin_lat};
}

// Into the axes of the dipole.
__device__ __forceinline__ Vector turn(const Dipole &d, const Vector &v) {
    const double along = d.cos_lon * v.x + d.sin_lon * v.y;  // the meridian of the pole
    return {d.cos_col * along - d.sin_col * v.z, d.cos_lon * v.y - d.sin_lon * v.x,
            d.sin_col * along + d.cos_col * v.z};
}

// Out of the axes of the dipole.
__device__ __forceinline__ Vector turn_back(const Dipole &d, const Vector &u) {
    const double along = d.cos_col * u.x + d.sin_col * u.z;
    return {d.cos_lon * along - d.sin_lon * u.y, d.sin_lon * along + d.cos_lon * u.y,
            d.cos_col * u.z - d.sin_col * u.x};
}

// By the offset of the eccentric dipole (sense 1), or back (-1).
__device__ __forceinline__ Vector moved(double sense, const Dipole &d, const Vector &v) {
    return {v.x + sense * d.dx, v.y + sense * d.dy, v.z + sense * d.dz};
}

__device__ __forceinline__ double length(const Vector &v) { return root(v.x * v.x + v.y * v.y + v.z * v.z); }

// Sine and cosine of the geodetic latitude, and the height, of a point at a distance from the axis: Bowring's iteration
// of the parametric latitude. NaN near the centre, as there is no such latitude within 43 km of it.
__device__ __forceinline__ void normal_and_height(double across, double z, double &s, double &c, double &height) {
    double up = 0, out = 0;
    s = z, c = axis_ratio * across;
    for (int k = 0; k < geodetic_steps; ++k) {
        const double inverse = inverse_root(s * s + c * c);
        s = s * inverse, c = c * inverse;
        up = z + e2 / axis_ratio * wgs84_a * s * s * s;
        out = across - e2 * wgs84_a * c * c * c;
        s = axis_ratio * up, c = out;
    }
    const double inverse = inverse_root(across * across + z * z >= nearest * nearest ? up * up + out * out : -1);
    s = up * inverse, c = out * inverse;
    height = across * c + z * s - wgs84_a * root(1 - e2 * s * s);
}

// Where the ray from the centre of the frame in the direction v comes to a height.
__device__ inline Vector meet(bool geodetic, bool eccentric, const Dipole &dipole, double alt, const Vector &v) {
    const Vector d = eccentric ? Vector{dipole.dx, dipole.dy, dipole.dz} : Vector{0, 0, 0};
    double wide = quotient(1, (geodetic ? wgs84_a : earth_radius) + alt);
    double high = quotient(1, (geodetic ? wgs84_a * axis_ratio : earth_radius) + alt);
    wide = wide * wide, high = high * high;
    const double ww = wide * (v.x * v.x + v.y * v.y) + high * v.z * v.z;
    const double dw = wide * (d.x * v.x + d.y * v.y) + high * d.z * v.z;
    const double dd = wide * (d.x * d.x + d.y * d.y) + high * d.z * d.z;
    double t = quotient(root(dw * dw - ww * (dd - 1)) - dw, ww);
    t = t >= 0 ? t : not_a_number();
    if (geodetic) {  // the surface of equal height is not quite an ellipsoid: Newton's method
        double change = 0;
        for (int k = 0; k < ray_steps; ++k) {
            const double px = d.x + t * v.x, py = d.y + t * v.y, across = root(px * px + py * py);
            double s, c, height;
            normal_and_height(across, d.z + t * v.z, s, c, height);
            const double outward = across > 0 ? quotient(px * v.x + py * v.y, across) : root(v.x * v.x + v.y * v.y);
            change = quotient(alt - height, outward * c + v.z * s);
            t = t + change;
        }
        t = fabs(change) <= ray_tolerance ? t : not_a_number();
    }
    return {d.x + t * v.x, d.y + t * v.y, d.z + t * v.z};
}

// ---- the field -----------------------------------------------------------------------------------------------------

struct Field {
    double north, east, down, horizontal, total, declination, inclination;
};

// The field at a point v from the dipole, in the local frame of the latitude and longitude.
__device__ __forceinline__ Field field_at(const Dipole &d, const Angles &at, const Vector &v) {
    double inverse = inverse_root(v.x * v.x + v.y * v.y + v.z * v.z);
    const double ux = v.x * inverse, uy = v.y * inverse, uz = v.z * inverse;
    const double mx = d.sin_col * d.cos_lon, my = d.sin_col * d.sin_lon, mz = d.cos_col;
    inverse = earth_radius * inverse;
    const double strength = d.b0 * inverse * inverse * inverse;
    const double along = 3 * (mx * ux + my * uy + mz * uz);
    const double bx = strength * (mx - along * ux), by = strength * (my - along * uy);
    const double bz = strength * (mz - along * uz);
    const double outward = at.cos_lon * bx + at.sin_lon * by;
    Field f;
    f.north = at.cos_lat * bz - at.sin_lat * outward;
    f.east = at.cos_lon * by - at.sin_lon * bx;
    f.down = -(at.cos_lat * outward + at.sin_lat * bz);
    f.horizontal = root(f.north * f.north + f.east * f.east);
    f.total = root(f.horizontal * f.horizontal + f.down * f.down);
    f.declination = arc_tangent(f.east, f.north);
    f.inclination = arc_tangent(f.down, f.horizontal);
    return f;
}

}  // namespace ecgkern
