// Positions, fields and local times in the centred (CD) and the eccentric dipole (ED), two points a thread, in double
// precision whatever the arrays hold. The steps are those of dipole.cuh:
//
//   lat, lon, alt  ->  v = (x, y, z)  ->  u = R (v - d)  ->  atan2(z, sqrt(x^2 + y^2)), atan2(y, x), |u|
//
// Arguments are flat arrays in C order that broadcast against each other. Their common shape comes as three extents,
// outer * middle * inner = n, and `varies` holds three bits for each argument: along which of them it has values of its
// own (1 inner, 2 middle, 4 outer). An argument without an array is one value for all. Results are flat, (n,).
// Nobody looks at values on the card before a kernel does: a point that is out of range, as one that is not a number,
// makes its results not a number.
//
// Speed, for geocentric positions to CD in doubles: lat, lon and perhaps alt are read and three results written, 40 to
// 48 bytes a point, which take an H100 (3 TB/s) 13 to 16 ps. Its 132 multiprocessors do 64 double instructions a clock
// each: 200 to 230 a point in that time. There are 135 of them (sm_90): 20 for each sine with its cosine, 30 for each
// arc tangent with its quotient, 10 for the square root, 25 for the rest. With loads, stores and the integer work on
// signs and quadrants 350 are to be issued, 12 ps. The one hides behind the other as far as there are warps: with 32 on
// a multiprocessor, 60 to 80 per cent of the speed of a copy are expected. To geodetic positions it is 225 double
// instructions, along rays 410, and the arithmetic decides. Hence no function of the mathematical library, which would
// spend more on range and branches; and two points a thread, which share constants and are read and written together,
// 16 bytes at a time where the arrays begin at such addresses.
#include "common.cuh"
#include "dipole.cuh"

namespace ecgkern {

constexpr int point_threads = 256;  // of a block; each takes two points
// Blocks to a multiprocessor at least: 64 registers a thread do, or 80 where each point has its dipole.
constexpr int blocks = 4, blocks_of_each = 3;

// What three numbers of a position are: python/ecgkern/geomag/_points.py.
constexpr int geodetic_form = 0, geocentric_form = 1, cd_form = 3, ed_form = 5, cd_ray_form = 7, ed_ray_form = 8;

constexpr double longest = 9007199254740992;  // degrees, 2**53: beyond, doubles skip whole degrees
constexpr double farthest = 1e100;            // km; squares stay within range

// ---- arguments and results -----------------------------------------------------------------------------------------

template <class T> struct PairOf;
template <> struct PairOf<float> {
    using type = float2;
};
template <> struct PairOf<double> {
    using type = double2;
};

template <class T> __device__ __forceinline__ bool in_pairs(const T *values) {
    return reinterpret_cast<unsigned long long>(values) % (2 * sizeof(T)) == 0;
}

__device__ __forceinline__ long long thread_number() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }

// The two points of a thread, and where the values of an argument lie for them. Where there is only one point, it
// stands for both.
struct Points {
    struct Place {
        long long outer, middle, inner;
    };
    long long n, middle, inner, varies, first;
    bool flat, both;
    Place at[2];

    __device__ __forceinline__ Points(long long n, long long middle, long long inner, long long varies, long long first)
        : n(n), middle(middle), inner(inner), varies(varies), first(first), flat(inner == n), both(first + 1 < n) {
        at[0] = {0, 0, first};
        if (!flat) {
            const long long line = first / inner;
            at[0] = {line / middle, line % middle, first % inner};
        }
        at[1] = at[0];
        if (both && ++at[1].inner == inner) {
            at[1].inner = 0;
            if (++at[1].middle == middle) at[1].middle = 0, ++at[1].outer;
        }
    }

    __device__ __forceinline__ long long place(int argument, int k) const {
        const int along = int(varies >> 3 * argument);
        long long i = along & 4 ? at[k].outer : 0;
        i = along & 2 ? i * middle + at[k].middle : i;
        return along & 1 ? i * inner + at[k].inner : i;
    }

    template <class T>
    __device__ __forceinline__ void take(int argument, const T *__restrict__ values, double one,
                                         double (&two)[2]) const {
        if (!values) {
            two[0] = two[1] = one;
        } else if (flat && both && (varies >> 3 * argument & 1) && in_pairs(values)) {
            const auto pair = *reinterpret_cast<const typename PairOf<T>::type *>(values + first);
            two[0] = pair.x, two[1] = pair.y;
        } else {
            for (int k = 0; k < 2; ++k) two[k] = values[place(argument, k)];
        }
    }

    template <class T> __device__ __forceinline__ void put(T *__restrict__ values, T one, T other) const {
        if (both && in_pairs(values)) {
            *reinterpret_cast<typename PairOf<T>::type *>(values + first) = {one, other};
        } else {
            values[first] = one;
            if (both) values[first + 1] = other;
        }
    }

    template <class T> __device__ __forceinline__ void put(T *__restrict__ values, const double (&two)[2]) const {
        put(values, T(two[0]), T(two[1]));
    }

    // Rounding to float may bring a half-open range to its open end; so may the angle itself.
    template <class T>
    __device__ __forceinline__ void put_longitude(T *__restrict__ values, const double (&two)[2]) const {
        const T one = T(two[0]), other = T(two[1]);
        put(values, one <= -180 ? T(180) : one, other <= -180 ? T(180) : other);
    }

    template <class T> __device__ __forceinline__ void put_hours(T *__restrict__ values, const double (&two)[2]) const {
        const T one = T(two[0]), other = T(two[1]);
        put(values, one >= 24 ? T(0) : one, other >= 24 ? T(0) : other);
    }
};

// The dipole of each epoch, between the rows of a table that are `step` years apart: by decimal years (1), or by
// microseconds since 1970 (2), which are long long.
struct Epochs {
    const double *epoch, *rows;
    int n_rows, rule, by;
    double first, step;

    __device__ __forceinline__ Dipole at(long long i) const {
        double part, row[8];
        const double year = by == 1 ? epoch[i] : decimal_year(reinterpret_cast<const long long *>(epoch)[i]);
        const double *before = rows + 8 * row_before(year, first, step, n_rows, rule, part);
        for (int k = 0; k < 8; ++k) row[k] = (1 - part) * before[k] + part * before[k + 8];
        return dipole_of(row);
    }
};

// The height, or not a number if it or the angles are out of range.
__device__ __forceinline__ double in_range(double lat, double lon, double height, double lowest) {
    const bool valid = fabs(lat) <= 90 && fabs(lon) <= longest && height >= lowest && height <= farthest;
    return valid ? height : not_a_number();
}

__device__ __forceinline__ double lowest_altitude(bool geodetic) { return geodetic ? -6335.4 : -earth_radius; }

// ---- positions -----------------------------------------------------------------------------------------------------

template <int source, int target>
__device__ __forceinline__ void convert_point(const Dipole &d, double lat, double lon, double c, double &p, double &q,
                                              double &r) {
    constexpr bool from_geographic = source == geodetic_form || source == geocentric_form;
    constexpr bool ray = source == cd_ray_form || source == ed_ray_form;
    const double lowest = from_geographic ? lowest_altitude(source == geodetic_form)
                          : ray           ? lowest_altitude(target == geodetic_form)
                                          : 0;
    c = in_range(lat, lon, c, lowest);
    const Angles angles(lat, lon);
    Vector v;
    if (from_geographic) v = geographic(source == geodetic_form, angles, c);
    else v = turn_back(d, on_sphere(angles, ray ? 1 : c));
    if (ray) v = meet(target == geodetic_form, source == ed_ray_form, d, c, v);
    if (source == ed_form) v = moved(1, d, v);
    if (target == ed_form) v = moved(-1, d, v);
    if (from_geographic) v = turn(d, v);
    const double across = root(v.x * v.x + v.y * v.y);
    q = arc_tangent(v.y, v.x);
    if (target == geodetic_form) {
        double sine, cosine;
        normal_and_height(across, v.z, sine, cosine, r);
        p = arc_tangent(sine, cosine);
    } else {
        p = arc_tangent(v.z, across);
        if (source == geocentric_form && target == cd_form) r = earth_radius + c;  // a rotation
        else r = length(v) - (target == geocentric_form ? earth_radius : 0);
    }
}

// Positions of one form, (a, b, c), in another, (p, q, r); arguments 0 to 2. The dipole is that of b0 to dz for all
// points, or if `each` that of the epoch of each, argument 3.
template <class T, int source, int target, bool each>
__global__ void __launch_bounds__(point_threads, each ? blocks_of_each : blocks)
    convert(long long n, long long middle, long long inner, long long varies, const T *__restrict__ a,
            const T *__restrict__ b, const T *__restrict__ c, const double *__restrict__ epoch, double one_a,
            double one_b, double one_c, double b0, double cos_col, double sin_col, double cos_lon, double sin_lon,
            double dx, double dy, double dz, const double *__restrict__ rows, long long n_rows, double first,
            double step, long long rule, long long by, T *__restrict__ p, T *__restrict__ q, T *__restrict__ r) {
    const Points points(n, middle, inner, varies, 2 * thread_number());
    if (points.first >= n) return;
    const Dipole common{b0, cos_col, sin_col, cos_lon, sin_lon, dx, dy, dz};
    const Epochs epochs{epoch, rows, int(n_rows), int(rule), int(by), first, step};
    double given[3][2], found[3][2];
    points.take(0, a, one_a, given[0]);
    points.take(1, b, one_b, given[1]);
    points.take(2, c, one_c, given[2]);
#pragma unroll
    for (int k = 0; k < 2; ++k)
        convert_point<source, target>(each ? epochs.at(points.place(3, k)) : common, given[0][k], given[1][k],
                                      given[2][k], found[0][k], found[1][k], found[2][k]);
    points.put(p, found[0]);
    points.put_longitude(q, found[1]);
    points.put(r, found[2]);
}

// ---- the field -----------------------------------------------------------------------------------------------------

// The elements of the field of the eccentric or the centred dipole; arguments as those of convert.
template <class T, bool each>
__global__ void __launch_bounds__(point_threads, each ? blocks_of_each : blocks)
    field(long long n, long long middle, long long inner, long long varies, const T *__restrict__ lat,
          const T *__restrict__ lon, const T *__restrict__ alt, const double *__restrict__ epoch, double one_lat,
          double one_lon, double one_alt, double b0, double cos_col, double sin_col, double cos_lon, double sin_lon,
          double dx, double dy, double dz, const double *__restrict__ rows, long long n_rows, double first, double step,
          long long rule, long long by, long long eccentric, long long geodetic,
          T *__restrict__ north, T *__restrict__ east, T *__restrict__ down, T *__restrict__ horizontal,
          T *__restrict__ total, T *__restrict__ declination, T *__restrict__ inclination) {
    const Points points(n, middle, inner, varies, 2 * thread_number());
    if (points.first >= n) return;
    const Dipole common{b0, cos_col, sin_col, cos_lon, sin_lon, dx, dy, dz};
    const Epochs epochs{epoch, rows, int(n_rows), int(rule), int(by), first, step};
    double given[3][2], found[7][2];
    points.take(0, lat, one_lat, given[0]);
    points.take(1, lon, one_lon, given[1]);
    points.take(2, alt, one_alt, given[2]);
#pragma unroll
    for (int k = 0; k < 2; ++k) {
        const Dipole d = each ? epochs.at(points.place(3, k)) : common;
        const double height = in_range(given[0][k], given[1][k], given[2][k], lowest_altitude(geodetic));
        const Angles angles(given[0][k], given[1][k]);
        Vector v = geographic(geodetic, angles, height);
        if (eccentric) v = moved(-1, d, v);
        const Field f = field_at(d, angles, v);
        found[0][k] = f.north, found[1][k] = f.east, found[2][k] = f.down, found[3][k] = f.horizontal;
        found[4][k] = f.total, found[5][k] = f.declination, found[6][k] = f.inclination;
    }
    points.put(north, found[0]);
    points.put(east, found[1]);
    points.put(down, found[2]);
    points.put(horizontal, found[3]);
    points.put(total, found[4]);
    points.put_longitude(declination, found[5]);
    points.put(inclination, found[6]);
}

// ---- local time ----------------------------------------------------------------------------------------------------

constexpr int frame_size = 8;

// What local times need to know of each time, argument 0 (and of each epoch, argument 1): the first two rows of the
// rotation, where the centre of the dipole comes to in them, and the longitude of the Sun in the frame of the dipole:
// of its direction, or if on_surface of the subsolar point on the sphere as seen from the eccentric dipole.
template <int>  // so that it is compiled where it is asked for, as the others are
__global__ void __launch_bounds__(point_threads, 2)
    frames(long long n, long long middle, long long inner, long long varies, const long long *__restrict__ time,
           const double *__restrict__ epoch, double b0, double cos_col, double sin_col, double cos_lon, double sin_lon,
           double dx, double dy, double dz, const double *__restrict__ rows, long long n_rows, double first,
           double step, long long rule, long long by, long long eccentric, long long on_surface, long long algorithm,
           double *__restrict__ frame) {
    const Epochs epochs{epoch, rows, int(n_rows), int(rule), int(by), first, step};
    for (long long i = thread_number(); i < n; i += (long long)gridDim.x * blockDim.x) {
        const Points point(n, middle, inner, varies, i);
        Dipole d{b0, cos_col, sin_col, cos_lon, sin_lon, dx, dy, dz};
        if (by) d = epochs.at(point.place(1, 0));
        Vector sun = direction_of_sun(algorithm, time[point.place(0, 0)]);
        if (on_surface) sun = moved(-1, d, {earth_radius * sun.x, earth_radius * sun.y, earth_radius * sun.z});
        const Vector turned = turn(d, sun), centre = turn(d, {d.dx, d.dy, d.dz});
        double *of = frame + frame_size * i;
        of[0] = d.cos_col * d.cos_lon, of[1] = d.cos_col * d.sin_lon, of[2] = -d.sin_col;
        of[3] = eccentric ? centre.x : 0;
        of[4] = -d.sin_lon, of[5] = d.cos_lon;
        of[6] = eccentric ? centre.y : 0;
        of[7] = arc_tangent(turned.y, turned.x);
    }
}

// Magnetic local times of positions, arguments 0 to 2, in frames, argument 3.
template <class T>
__global__ void __launch_bounds__(point_threads, blocks)
    local_times(long long n, long long middle, long long inner, long long varies, const T *__restrict__ lat,
                const T *__restrict__ lon, const T *__restrict__ alt, const double *__restrict__ frame, double one_lat,
                double one_lon, double one_alt, long long geodetic, T *__restrict__ hours) {
    const Points points(n, middle, inner, varies, 2 * thread_number());
    if (points.first >= n) return;
    double given[3][2], found[2];
    points.take(0, lat, one_lat, given[0]);
    points.take(1, lon, one_lon, given[1]);
    points.take(2, alt, one_alt, given[2]);
#pragma unroll
    for (int k = 0; k < 2; ++k) {
        const double height = in_range(given[0][k], given[1][k], given[2][k], lowest_altitude(geodetic));
        const Vector v = geographic(geodetic, Angles(given[0][k], given[1][k]), height);
        const double *of = frame + frame_size * points.place(3, k);
        const double x = of[0] * v.x + of[1] * v.y + of[2] * v.z - of[3], y = of[4] * v.x + of[5] * v.y - of[6];
        found[k] = hours_from(arc_tangent(y, x) - of[7]);
    }
    points.put_hours(hours, found);
}

}  // namespace ecgkern
