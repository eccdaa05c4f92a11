// The two-sample Kolmogorov-Smirnov test of many features: where the distribution functions of sorted samples differ
// most, and how likely that is.
//
//   F1(v) - F2(v) = #{a <= v} / n1 - #{b <= v} / n2,  at the largest of it and at the smallest
//
// Samples come as rows that ascend, NaN last: a (n_features, n1) and b (n_features, n2).
//
// differences: a warp takes 512 values, in merged order, of one feature, so that few features with many values fill the
// card as do many features with few. Lanes find where their 16 values begin in both rows by halving (the diagonal of a
// merge), then step through them. Rows are read once, 8 bytes a value, lane by lane through the first-level cache; some
// 40 instructions a value, most of them in two divisions, which decide between equal differences as they do elsewhere.
// It is a small part of the time that sorting takes. extremes: a warp a feature compares the parts. Places count
// through a and then b; of equal differences the first place holds, in any order of comparing: the same bits from run
// to run.
//
// p_values: a block a feature, as the two-sided p-value may be a sum of up to n terms or the power of a matrix.
#include "common.cuh"

namespace ecgkern {

constexpr int lane_values = 16;
constexpr int part_values = warp_size * lane_values;
constexpr int test_threads = 128;  // of a block: 4 warps
constexpr int tile = 32;           // of `rows`: values and features that a block turns

// An extreme of F1 - F2, or of its negative, and its place.
struct Extreme {
    double value;
    long long place;

    __device__ __forceinline__ void take(double other, long long at) {
        if (other > value || (other == value && at < place)) value = other, place = at;
    }

    __device__ __forceinline__ void take_of_warp() {
        for (int distance = warp_size / 2; distance > 0; distance /= 2) {
            const double other = __shfl_xor_sync(full_warp, value, distance);
            const long long at = __shfl_xor_sync(full_warp, place, distance);
            take(other, at);
        }
    }
};

__device__ __forceinline__ Extreme no_extreme() { return {-2, 0x7fffffffffffffffLL}; }

// The rows of features from values (n_before, n, n_after), whose middle axis they lie along: (n_before, n_after, n).
template <class T>
__global__ void __launch_bounds__(tile * 8)
    rows(long long n, long long n_after, const T *__restrict__ values, T *__restrict__ turned) {
    __shared__ T turning[tile][tile + 1];
    const long long across = (n_after + tile - 1) / tile, down = (n + tile - 1) / tile;
    const long long left = blockIdx.x % across * tile, top = blockIdx.x / across % down * tile;
    const long long base = blockIdx.x / across / down * n * n_after;
    const int x = threadIdx.x % tile, y = threadIdx.x / tile;
    for (int i = y; i < tile; i += 8)
        if (top + i < n && left + x < n_after) turning[i][x] = values[base + (top + i) * n_after + left + x];
    __syncthreads();
    for (int i = y; i < tile; i += 8)
        if (top + x < n && left + i < n_after) turned[base + (left + i) * n + top + x] = turning[x][i];
}

// The extremes in each part of each feature: values and places (n_features, n_parts, 2), the largest difference and the
// largest of its negative. Feature f is row row_a[f] of a, or row f without row_a; the same for b.
template <class T>
__global__ void __launch_bounds__(test_threads, 8)
    differences(long long n_features, long long n_parts, long long n1, long long n2, const T *__restrict__ a,
                const T *__restrict__ b, const long long *__restrict__ row_a, const long long *__restrict__ row_b,
                double *__restrict__ values, long long *__restrict__ places) {
    const long long warp = ((long long)blockIdx.x * test_threads + threadIdx.x) / warp_size;
    if (warp >= n_features * n_parts) return;
    const int lane = threadIdx.x % warp_size;
    const long long feature = warp / n_parts, part = warp % n_parts;
    const T *first = a + (row_a ? row_a[feature] : feature) * n1;
    const T *second = b + (row_b ? row_b[feature] : feature) * n2;
    const long long n = n1 + n2, begin = part * part_values + lane * lane_values;
    const long long end = begin + lane_values < n ? begin + lane_values : n;

    // How many of the first `begin` values are of a: of equal values those of b come first.
    long long i = begin > n2 ? begin - n2 : 0, high = begin < n1 ? begin : n1;
    while (i < high) {
        const long long middle = i + (high - i) / 2;
        if (first[middle] < second[begin - 1 - middle]) i = middle + 1;
        else high = middle;
    }
    long long j = begin - i;

    const double count1 = double(n1), count2 = double(n2);
    Extreme above = no_extreme(), below = no_extreme();
    for (long long k = begin; k < end; ++k) {
        if (j < n2 && !(i < n1 && first[i] < second[j])) {
            // A value that a holds as well is looked at there, where the counts take all of its copies in.
            if (!(i < n1 && first[i] == second[j])) below.take(double(j + 1) / count2 - double(i) / count1, n1 + j);
            ++j;
        } else {
            // F1 - F2 rises at values of a only. The count of the last of equal values is the right one: the largest.
            const double difference = double(i + 1) / count1 - double(j) / count2;
            above.take(difference, i);
            if (i + 1 == n1 || first[i] < first[i + 1]) below.take(-difference, i);
            ++i;
        }
    }
    above.take_of_warp();
    below.take_of_warp();
    if (lane == 0) {
        values[2 * warp] = above.value, values[2 * warp + 1] = below.value;
        places[2 * warp] = above.place, places[2 * warp + 1] = below.place;
    }
}

// Statistic, location and sign of each feature. Alternative: 0 two-sided, 1 less, 2 greater.
template <class T>
__global__ void __launch_bounds__(test_threads, 8)
    extremes(long long n_features, long long n_parts, long long n1, long long n2, const T *__restrict__ a,
             const T *__restrict__ b, const long long *__restrict__ row_a, const long long *__restrict__ row_b,
             const double *__restrict__ values, const long long *__restrict__ places, long long alternative,
             double *__restrict__ statistic, T *__restrict__ location, double *__restrict__ sign) {
    const long long feature = ((long long)blockIdx.x * test_threads + threadIdx.x) / warp_size;
    if (feature >= n_features) return;
    Extreme above = no_extreme(), below = no_extreme();
    for (long long part = threadIdx.x % warp_size; part < n_parts; part += warp_size) {
        const long long at = 2 * (feature * n_parts + part);
        above.take(values[at], places[at]);
        below.take(values[at + 1], places[at + 1]);
    }
    above.take_of_warp();
    below.take_of_warp();
    if (threadIdx.x % warp_size != 0) return;
    const T *first = a + (row_a ? row_a[feature] : feature) * n1;
    const T *second = b + (row_b ? row_b[feature] : feature) * n2;
    const T last1 = first[n1 - 1], last2 = second[n2 - 1];
    if (last1 != last1 || last2 != last2) {
        statistic[feature] = sign[feature] = __longlong_as_double(0x7ff8000000000000LL);
        location[feature] = T(__longlong_as_double(0x7ff8000000000000LL));
        return;
    }
    if (below.value < 0) below.value = 0;
    const bool use_below = alternative == 0 ? below.value > above.value : alternative == 1;
    const long long place = use_below ? below.place : above.place;
    statistic[feature] = use_below ? below.value : above.value;
    location[feature] = place < n1 ? first[place] : second[place - n1];
    sign[feature] = use_below ? -1 : 1;
}

// ---- asymptotic p-values -------------------------------------------------------------------------------------------

constexpr double pi = 3.14159265358979323846;
constexpr int half_side = 24, side = 2 * half_side - 1;  // of the largest matrix

__device__ inline double factorial(int k) {
    double product = 1;
    for (int i = 2; i <= k; ++i) product *= i;
    return product;
}

// What Stirling's formula leaves: log(k!) - log(sqrt(2 pi k) (k/e)^k).
__device__ inline double stirling(double k) {
    if (k < 16) return log(factorial(int(k))) - (k + 0.5) * log(k) + k - 0.91893853320467274178;  // log(sqrt(2 pi))
    const double r = 1 / (k * k);
    return (1 / 12.0 - r * (1 / 360.0 - r * (1 / 1260.0 - r * (1 / 1680.0 - r / 1188)))) / k;
}

// log(n! / n^n).
__device__ inline double log_share(double n) { return stirling(n) + 0.5 * log(2 * pi * n) - n; }

// P(D+ > x) of one sample of n: the sum over j of x C(n, j) (x + j/n)^(j - 1) (1 - x - j/n)^(n - j) for x + j/n < 1
// (N. V. Smirnov 1944). Binomials and powers cancel but for their deviations, which Stirling's formula and log1p hold:
// all terms are positive, so their digits are those of the sum. Beyond a million, the leading terms of a series in 1/n.
// All threads of the block must come.
__device__ inline double one_sided(double n, double x) {
    if (n > 1e6) return exp(-(6 * n * x + 1) * (6 * n * x + 1) / (18 * n));
    double sum = 0;
    for (double j = threadIdx.x; j <= floor(n * (1 - x)); j += test_threads) {
        const double rest = n - j, left = 1 - x * n / rest;
        if (j == 0) sum += exp(n * log1p(-x));
        else if (left > 0)
            sum += x / (x + j / n) * sqrt(n / (2 * pi * j * rest))
                * exp(stirling(n) - stirling(j) - stirling(rest) + j * log1p(x * n / j) + rest * log1p(-x * n / rest));
    }
    return block_sum<test_threads>(sum);
}

// P(D <= x) as a series in 1/sqrt(n) to its fourth term, each a theta series (W. Pelz, I. J. Good 1976).
__device__ inline double series(double n, double x) {
    const double z = sqrt(n) * x, z2 = z * z, z4 = z2 * z2, z6 = z4 * z2, p2 = pi * pi, p4 = p2 * p2, p6 = p4 * p2;
    double k0 = 0, k1 = 0, k2 = 0, k3 = 0;
    for (int k = 0; k < 8; ++k) {  // for z up to 2: what follows is below e^-64 of 1
        const double u2 = (k + 0.5) * (k + 0.5), u4 = u2 * u2, odd = exp(-u2 * p2 / (2 * z2));
        k0 += odd;
        k1 += (p2 * u2 - z2) * odd;
        k2 += (6 * z6 + 2 * z4 + p2 * (2 * z4 - 5 * z2) * u2 + p4 * (1 - 2 * z2) * u4) * odd;
        k3 += (-30 * z6 - 90 * z6 * z2 + p2 * (135 * z4 - 96 * z6) * u2 + p4 * (212 * z4 - 60 * z2) * u4
               + p6 * (5 - 30 * z2) * u4 * u2) * odd;
        const double v2 = double(k) * k, even = exp(-v2 * p2 / (2 * z2));
        k2 -= 2 * p2 * z4 * v2 * even;
        k3 += 30 * p2 * z4 * (3 * z2 * v2 - p2 * v2 * v2) * even;
    }
    k1 /= 6 * z2 * z * sqrt(n), k2 /= 72 * z6 * n, k3 /= 6480 * z6 * z2 * z * n * sqrt(n);
    return sqrt(2 * pi) / z * (k0 + k1 + k2 + k3);
}

// P(D <= x) as an entry of the n-th power of a matrix of 2 k - 1 rows, n x < k <= n x + 1 (J. Durbin 1973;
// G. Marsaglia, W. W. Tsang, J. Wang, Journal of Statistical Software 8 (2003) 18), for k up to half_side: squarings,
// and products with the row of that entry, by the bits of n. Powers of two are taken out of what grows. All threads of
// the block must come.
__device__ inline double power(double n, double x) {
    __shared__ double matrices[2][side * side], vectors[2][side];
    const int k = int(floor(n * x)) + 1, m = 2 * k - 1, thread = threadIdx.x;
    const double h = k - n * x;
    double *now = matrices[0], *next = matrices[1], *row = vectors[0], *next_row = vectors[1];
    for (int e = thread; e < m * m; e += test_threads) {
        const int i = e / m, j = e % m;
        double entry = i - j + 1 < 0 ? 0 : 1 / factorial(i - j + 1);
        if (j == 0) entry -= pow(h, i + 1) / factorial(i + 1);
        if (i == m - 1) entry -= pow(h, m - j) / factorial(m - j);
        if (i == m - 1 && j == 0 && h > 0.5) entry += pow(2 * h - 1, m) / factorial(m);
        now[e] = entry;
    }
    for (int i = thread; i < m; i += test_threads) row[i] = i == k - 1;
    double exponent = 0, row_exponent = 0;
    constexpr double large = 0x1p400;
    for (long long left = (long long)n; left > 0; left /= 2) {
        __syncthreads();
        if (left % 2) {
            for (int j = thread; j < m; j += test_threads) {
                double sum = 0;
                for (int i = 0; i < m; ++i) sum += row[i] * now[i * m + j];
                next_row[j] = sum;
            }
            __syncthreads();
            const bool scale = next_row[k - 1] > large;
            __syncthreads();
            for (int j = thread; scale && j < m; j += test_threads) next_row[j] /= large;
            row_exponent += exponent + (scale ? 400 : 0);
            double *other = row;
            row = next_row, next_row = other;
        }
        for (int e = thread; e < m * m; e += test_threads) {
            const int i = e / m, j = e % m;
            double sum = 0;
            for (int l = 0; l < m; ++l) sum += now[i * m + l] * now[l * m + j];
            next[e] = sum;
        }
        __syncthreads();
        const bool scale = next[(k - 1) * m + k - 1] > large;
        __syncthreads();
        for (int e = thread; scale && e < m * m; e += test_threads) next[e] /= large;
        exponent = 2 * exponent + (scale ? 400 : 0);
        double *other = now;
        now = next, next = other;
    }
    return exp(log(row[k - 1]) + row_exponent * 0.69314718055994530942 + log_share(n));
}

// P(D > x) of one sample of n, from the formula that SciPy's kstwo takes there, after R. Simard, P. L'Ecuyer, Journal
// of Statistical Software 39 (2011) 11, to 1e-10; but up to 140 observations from `power` where they take Pomeranz's
// recursion, and from `series` for the largest matrices, where the two agree. All threads of the block must come.
__device__ inline double two_sided(double n, double x) {
    const double t = n * x;
    if (!(n >= 1)) return __longlong_as_double(0x7ff8000000000000LL);
    if (x >= 1) return 0;
    if (t <= 0.5) return 1;
    if (t <= 1) return 1 - exp(log_share(n) + n * log(2 * t - 1));
    if (t >= n - 1) return 2 * exp(n * log1p(-x));
    if (n > 140 && t * x >= 370) return 0;
    if (x >= 0.5 || t * x >= (n > 140 ? 2.2 : 4.0)) return 2 * one_sided(n, x);
    if (n <= 140 || (n <= 1e5 && t * sqrt(x) <= 1.4 && t < half_side)) return 1 - power(n, x);
    return 1 - series(n, x);
}

// Asymptotic p-values of statistics that are multiples of 1/lcm but for rounding, with samples of m and n, m >= n. The
// two-sided one is that of one sample of `effective` observations; one-sided, J. L. Hodges's eq. 5.3 (1958).
template <int>  // so that it is compiled where it is asked for, as the others are
__global__ void __launch_bounds__(test_threads)
    p_values(long long is_two_sided, double lcm, double m, double n, double effective, long long round_statistic,
             double *__restrict__ statistic, double *__restrict__ p_value) {
    const double given = statistic[blockIdx.x], x = rint(given * lcm) / lcm;
    double p;
    if (x != x) {
        p = x;
    } else if (is_two_sided) {
        p = two_sided(rint(effective), x);
    } else {
        const double z = sqrt(effective) * x;
        p = exp(-2 * z * z - 2 * z * (m + 2 * n) / sqrt(m * n * (m + n)) / 3);
    }
    __syncthreads();  // all have read the statistic
    if (threadIdx.x != 0) return;
    p_value[blockIdx.x] = p < 0 ? 0 : p > 1 ? 1 : p;
    if (round_statistic) statistic[blockIdx.x] = x;
}

}  // namespace ecgkern
