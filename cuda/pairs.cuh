// A tile of pairs of samples: their measure (squared distance, city-block distance or product) and kernels of it.
#pragma once
#include "common.cuh"
#include "mma.cuh"

namespace ecgkern {

constexpr int pair_threads = 256;
constexpr int n_warps = pair_threads / warp_size;

// ---- functions of the measure ---------------------------------------------------------------------------------------

// The numbers of python/ecgkern/stats/_kernels.py.
constexpr int squared = 0, city_block = 1, product = 2;
constexpr int exponential = 0, exponential_of_root = 1, rational_quadratic = 2, inverse_multiquadric = 3,
              matern_3_2 = 4, matern_5_2 = 5, energy = 6, polynomial = 7;
constexpr double log_2 = 0.693147180559945309417;

// With the names of float and double alike.
__device__ __forceinline__ float power_of_2(float x) { return exp2f(x); }
__device__ __forceinline__ double power_of_2(double x) { return exp2(x); }
__device__ __forceinline__ float natural_exp(float x) { return expf(x); }
__device__ __forceinline__ double natural_exp(double x) { return exp(x); }
__device__ __forceinline__ float root(float x) { return sqrtf(x); }
__device__ __forceinline__ double root(double x) { return sqrt(x); }
__device__ __forceinline__ float power(float x, float y) { return powf(x, y); }
__device__ __forceinline__ double power(double x, double y) { return pow(x, y); }
__device__ __forceinline__ float size_of(float x) { return fabsf(x); }
__device__ __forceinline__ double size_of(double x) { return fabs(x); }

template <class T> __device__ __forceinline__ T whole_power(T x, int n) {
    T result = 1;
#pragma unroll 1
    for (; n > 0; n /= 2, x *= x)
        if (n % 2) result *= x;
    return result;
}

template <class T> struct Parameters {
    T exponent, coef0;
};

// f(v), as Functions.values in _kernels.py has it.
template <int function, class T> __device__ __forceinline__ T kernel_value(T v, T scale, Parameters<T> p) {
    if (function == exponential) return power_of_2(-scale * v);
    if (function == exponential_of_root) return power_of_2(-scale * root(v));
    if (function == rational_quadratic) return power(T(1) + scale * v, -p.exponent);
    if (function == inverse_multiquadric) return T(1) / root(T(1) + scale * v);
    if (function == energy) return -root(v);
    if (function == polynomial) return whole_power(scale * v + p.coef0, int(p.exponent));
    const T r = scale * root(v);
    return (T(1) + r + (function == matern_5_2 ? r * r / T(3) : T(0))) * natural_exp(-r);
}

// df/dv where f(v) = k, as Functions.slopes in _kernels.py; 0 at a cusp.
template <int function, class T> __device__ __forceinline__ T kernel_slope(T v, T scale, Parameters<T> p, T k) {
    if (function == exponential) return -scale * T(log_2) * k;
    if (function == exponential_of_root) return v > 0 ? T(-0.5 * log_2) * scale * k / root(v) : v * k;
    if (function == rational_quadratic) return -p.exponent * scale * k / (T(1) + scale * v);
    if (function == inverse_multiquadric) return T(-0.5) * scale * k * k * k;
    if (function == energy) return v > 0 ? T(-0.5) / root(v) : v;
    if (function == polynomial) return p.exponent * scale * whole_power(scale * v + p.coef0, int(p.exponent) - 1);
    const T r = scale * root(v);
    if (function == matern_3_2) return T(-0.5) * scale * scale * natural_exp(-r);
    return -scale * scale / T(6) * (T(1) + r) * natural_exp(-r);
}

template <int number> struct Function {
    static constexpr int value = number;
};

// use(Function<...>) of the function with this number.
template <class Use> __device__ __forceinline__ void with_function(long long number, Use use) {
    switch (number) {
    case exponential: return use(Function<exponential>{});
    case exponential_of_root: return use(Function<exponential_of_root>{});
    case rational_quadratic: return use(Function<rational_quadratic>{});
    case inverse_multiquadric: return use(Function<inverse_multiquadric>{});
    case matern_3_2: return use(Function<matern_3_2>{});
    case matern_5_2: return use(Function<matern_5_2>{});
    case energy: return use(Function<energy>{});
    default: return use(Function<polynomial>{});
    }
}

// The bandwidths: a row each of scales, squarings (how many lead from the kernel before to this one; 0: none do) and
// weights of the mixture.
template <class T> struct Table {
    const T *__restrict__ values;
    int n;
    __device__ T scale(int b) const { return values[b]; }
    __device__ int squarings(int b) const { return int(values[n + b]); }
    __device__ T weight(int b) const { return values[2 * n + b]; }
};

// Kernel b of a few measures, from those before it in k where that is a power and k holds them.
template <int function, int count, class T>
__device__ __forceinline__ void next_kernel(const T (&v)[count], T (&k)[count], Table<T> table, int b,
                                            Parameters<T> p, bool first = false) {
    const int squarings = first ? 0 : table.squarings(b);
    if (squarings == 0) {
        const T scale = table.scale(b);
#pragma unroll
        for (int q = 0; q < count; ++q) k[q] = kernel_value<function>(v[q], scale, p);
    }
#pragma unroll 1
    for (int s = 0; s < squarings; ++s)
#pragma unroll
        for (int q = 0; q < count; ++q) k[q] *= k[q];
}

// ---- samples and tiles ----------------------------------------------------------------------------------------------

// Up to three groups of samples, one after the other in z. For tensor cores `planes` holds them again less the centre
// `shift`, rounded to float16 after a scaling by a power of two, each group padded by rows of zeros to whole tiles: rows
// of `n_blocks` blocks of 64 float16, which are 32 features rounded and their 32 remainders, or with one product a pair
// 64 features. `norms` are the squared lengths of those rows and reach[0] the largest size of a value, as bits of a
// float; reach[1] is the largest squared length.
template <class T> struct Samples {
    const T *__restrict__ z;
    const T *__restrict__ shift;
    const unsigned short *__restrict__ planes;
    const float *__restrict__ norms;
    const int *__restrict__ reach;
    long long size_0, size_1, size_2, n_features, n_blocks;
    int measure;
};
#define SAMPLES(T)                                                                                                     \
    const T *__restrict__ z, const T *__restrict__ shift, const unsigned short *__restrict__ planes,                   \
        const float *__restrict__ norms, const int *__restrict__ reach, long long size_0, long long size_1,            \
        long long size_2, long long n_features, long long n_blocks, long long measure
#define GATHER(T)                                                                                                      \
    Samples<T> { z, shift, planes, norms, reach, size_0, size_1, size_2, n_features, n_blocks, int(measure) }

// The power of two that brings the largest value to 2^13 ... 2^14: remainders then keep 11 bits down to 2^-16 of it.
template <int limit = 60> __device__ __forceinline__ float half_scale(int reach) {
    const int exponent = reach >> 23;  // of 1.m 2^(exponent - 127), below 2^(exponent - 126)
    if (exponent == 0 || exponent == 255) return 1.0f;
    return __uint_as_float(unsigned(127 + clamp(140 - exponent, -limit, limit)) << 23);
}

// Rows of one group: the first of them in z and in planes, and how many there are.
struct Rows {
    long long first, padded;
    int count, group;
};

template <int tile> __device__ __forceinline__ long long n_tiles(long long size) { return (size + tile - 1) / tile; }

// Tile number `index` of all groups.
template <int tile, class T> __device__ __forceinline__ Rows rows_of(const Samples<T> &samples, long long index) {
    const long long tiles_0 = n_tiles<tile>(samples.size_0), tiles_1 = n_tiles<tile>(samples.size_1);
    const int group = index < tiles_0 ? 0 : index < tiles_0 + tiles_1 ? 1 : 2;
    const long long size = group == 0 ? samples.size_0 : group == 1 ? samples.size_1 : samples.size_2;
    const long long within = tile * (index - (group > 0 ? tiles_0 : 0) - (group > 1 ? tiles_1 : 0));
    const long long start = (group > 0 ? samples.size_0 : 0) + (group > 1 ? samples.size_1 : 0);
    return {start + within, index * tile, int(size - within < tile ? size - within : tile), group};
}

// Pair of tiles number t of those with i <= j < n. Pairs with neighbouring numbers, which run at the same time, share
// tiles: bands of 12 tile rows are gone through column by column.
__device__ inline void pair_of_tiles(long long t, long long n, long long &i, long long &j) {
    constexpr long long band = 12;
    const double edge = 2.0 * double(n) + 1.0;
    long long row = static_cast<long long>((edge - sqrt(edge * edge - 8.0 * double(t))) / 2.0) / band * band;
    const auto before = [n](long long row) { return row * n - row * (row - 1) / 2; };  // pairs in the rows above
    while (row > 0 && before(row) > t) row -= band;
    while (row + band < n && before(row + band) <= t) row += band;
    const long long height = n - row < band ? n - row : band;
    long long place = t - before(row), column = 0;
    if (place < height * (height + 1) / 2) {  // the triangle that the band begins with
        while (place > column) place -= ++column;
        i = row + place, j = row + column;
    } else {
        place -= height * (height + 1) / 2;
        i = row + place % height, j = row + height + place / height;
    }
}

// ---- the measure by differences, on CUDA cores ----------------------------------------------------------------------

// What a pair needs: `products` on tensor cores (3: float32 accuracy, 1: float16), or 0 for differences on CUDA cores.
template <class T, int products> struct Geometry {
    static constexpr int tile = products ? 128 : 64;
    // Values from row to row of the tile in shared memory: rows that are written together stand in different banks.
    static constexpr int stride = products ? 136 : 80;
    // Blocks a multiprocessor that registers must allow.
    static constexpr int blocks = products || sizeof(T) == 8 ? 1 : 2;
};

// Measures of a tile of pairs, in shared memory; those of rows beyond the group have no meaning. A squared distance has
// a sign where it was taken from the differences because the expansion would have cancelled: its size is the measure.
// All threads of the block come, and shared memory is free before and ready afterwards.
template <class T, int products>
__device__ void measure_tile(const Samples<T> &samples, const Rows &a, const Rows &b, bool diagonal,
                             unsigned char *shared);

template <class T> __device__ __forceinline__ void add_measure(int measure, T a, T b, T &sum) {
    const T difference = a - b;
    sum += measure == squared ? difference * difference : measure == city_block ? size_of(difference) : a * b;
}

template <int measure, class T>
__device__ __forceinline__ void add_features(const T *a, const T *b, int stride, int chunk, T (&sum)[4][4]) {
    const int ty = threadIdx.x / 16, tx = threadIdx.x % 16;
    T part[4][4] = {};
#pragma unroll 4
    for (int f = 0; f < chunk; ++f) {
        T of_a[4], of_b[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) of_a[i] = a[f * stride + ty + 16 * i], of_b[i] = b[f * stride + tx + 16 * i];
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
            for (int j = 0; j < 4; ++j) add_measure(measure, of_a[i], of_b[j], part[i][j]);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) sum[i][j] += part[i][j];
}

// 64 x 64 pairs, 4 x 4 a thread, 16 features at a time, whose sums are added to those before: rounding stays small.
template <class T>
__device__ void measure_by_differences(const Samples<T> &samples, const Rows &a, const Rows &b, unsigned char *shared) {
    constexpr int chunk = 16, stride = 65;
    T *const of_a = reinterpret_cast<T *>(shared), *const of_b = of_a + chunk * stride;
    const int ty = threadIdx.x / 16, tx = threadIdx.x % 16;
    const bool centred = samples.measure == product;  // differences need no centre
    T sum[4][4] = {};
    for (long long first = 0; first < samples.n_features; first += chunk) {
        const long long f = first + tx;
        const T shift = centred && f < samples.n_features ? samples.shift[f] : T(0);
        const auto value = [&](const Rows &rows, int row) {
            const bool in = row < rows.count && f < samples.n_features;
            return in ? samples.z[(rows.first + row) * samples.n_features + f] - shift : T(0);
        };
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            of_a[tx * stride + ty + 16 * i] = value(a, ty + 16 * i);
            of_b[tx * stride + ty + 16 * i] = value(b, ty + 16 * i);
        }
        __syncthreads();
        const int count = int(samples.n_features - first < chunk ? samples.n_features - first : chunk);
        if (samples.measure == squared) add_features<squared>(of_a, of_b, stride, count, sum);
        else if (samples.measure == city_block) add_features<city_block>(of_a, of_b, stride, count, sum);
        else add_features<product>(of_a, of_b, stride, count, sum);
        __syncthreads();
    }
    T *const tile = reinterpret_cast<T *>(shared);
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) tile[(ty + 16 * i) * Geometry<T, 0>::stride + tx + 16 * j] = sum[i][j];
    __syncthreads();
}

// The measure of one pair of rows, by a warp, in every lane.
template <class T>
__device__ __forceinline__ double measure_of_rows(const T *__restrict__ a, const T *__restrict__ b,
                                                  long long n_features, int measure) {
    double sum = 0;
    for (long long f = threadIdx.x % warp_size; f < n_features; f += warp_size)
        add_measure(measure, double(a[f]), double(b[f]), sum);
    return warp_sum(sum);
}

// ---- products of 128 x 128 rows of float16, on tensor cores ---------------------------------------------------------

constexpr int n_stages = 3, operand_bytes = 128 * 128, stage_bytes = 2 * operand_bytes;

// Which part of the 128 x 128 products a thread holds: the products of rows row(m, h) of a with columns column(n), + 1
// of b are sum[m][n][2 h], [2 h + 1]. Warps stand 2 x 4, each with 64 rows and 32 columns.
struct Share {
    int row, column;
    __device__ Share() {
        const int warp = threadIdx.x / warp_size, lane = threadIdx.x % warp_size;
        row = warp % 2 * 64 + lane / 4;
        column = warp / 2 * 32 + lane % 4 * 2;
    }
};

// Sums over all blocks of features of the products of 128 rows of a and of b; with three products a pair of features
// rounded x rounded + rounded x remainder + remainder x rounded. Tensor cores cut off when they add: sums run over one
// block there, the small products first, and blocks are added with rounding, times a factor for each 128 features if
// there are any (simulated with d = 1000: MMD^2 is off by 2e-7, or 4e-6 if only the end is rounded). Blocks pass through three stages of shared memory; 16 bytes number c of a row stand at c ^ row % 8, so that the
// eight rows of a matrix are in different banks.
template <int products>
__device__ __forceinline__ void multiply_rows(const unsigned short *__restrict__ a,
                                              const unsigned short *__restrict__ b, long long row_halves_a,
                                              long long row_halves_b, int n_blocks, const float *__restrict__ factors,
                                              unsigned char *shared, float (&sum)[4][4][4]) {
    const int thread = threadIdx.x, warp = thread / warp_size, lane = thread % warp_size;
    const int copy_row = thread / 8, copy_part = thread % 8;
    const unsigned short *const from_a = a + copy_row * row_halves_a + copy_part * 8;
    const unsigned short *const from_b = b + copy_row * row_halves_b + copy_part * 8;
    unsigned char *const to = shared + copy_row * 128 + ((copy_part ^ copy_row % 8) * 16);
    const auto fetch = [&](int block, int stage) {
        if (block < n_blocks) {
            unsigned char *const place = to + stage * stage_bytes;
#pragma unroll
            for (int q = 0; q < 4; ++q) {
                copy_16(place + q * 32 * 128, from_a + q * 32 * row_halves_a + block * 64);
                copy_16(place + q * 32 * 128 + operand_bytes, from_b + q * 32 * row_halves_b + block * 64);
            }
        }
        end_group_of_copies();
    };
    // Where this lane's rows of the matrices begin, and which of their 16 bytes it names.
    const int row_a = (warp % 2 * 64 + lane % 16) * 128, part_a = lane / 16;
    const int row_b = (warp / 2 * 32 + lane % 8 + lane / 16 * 8) * 128 + operand_bytes, part_b = lane / 8 % 2;

#pragma unroll
    for (int block = 0; block < n_stages - 1; ++block) fetch(block, block);
    for (int block = 0, now = 0; block < n_blocks; ++block, now = now < n_stages - 1 ? now + 1 : 0) {
        wait_for_copies<n_stages - 2>();
        __syncthreads();
        fetch(block + n_stages - 1, now ? now - 1 : n_stages - 1);  // the stage that all threads have left
        const unsigned char *const stage = shared + now * stage_bytes;
        float part[4][4][4] = {};
#pragma unroll
        for (int step = 0; step < (products == 3 ? 2 : 4); ++step) {
            const auto load_a = [&](unsigned(&r)[4][4], int first_part) {
#pragma unroll
                for (int m = 0; m < 4; ++m)
                    load_matrices(r[m], stage + row_a + m * 16 * 128 + ((first_part + part_a) ^ lane % 8) * 16);
            };
            const auto load_b = [&](unsigned(&r)[2][4], int first_part) {
#pragma unroll
                for (int n = 0; n < 2; ++n)
                    load_matrices(r[n], stage + row_b + n * 16 * 128 + ((first_part + part_b) ^ lane % 8) * 16);
            };
            const auto multiply = [&](const unsigned(&of_a)[4][4], const unsigned(&of_b)[2][4]) {
#pragma unroll
                for (int m = 0; m < 4; ++m)
#pragma unroll
                    for (int n = 0; n < 4; ++n) multiply_halves(part[m][n], of_a[m], &of_b[n / 2][n % 2 * 2]);
            };
            unsigned rounded_a[4][4], rounded_b[2][4];
            load_a(rounded_a, 2 * step);
            load_b(rounded_b, 2 * step);
            if (products == 3) {
                unsigned rest_a[4][4], rest_b[2][4];
                load_b(rest_b, 4 + 2 * step);
                multiply(rounded_a, rest_b);
                load_a(rest_a, 4 + 2 * step);
                multiply(rest_a, rounded_b);
            }
            multiply(rounded_a, rounded_b);
        }
        const float factor = factors ? factors[block / (products == 3 ? 4 : 2)] : 1.0f;
#pragma unroll
        for (int m = 0; m < 4; ++m)
#pragma unroll
            for (int n = 0; n < 4; ++n)
#pragma unroll
                for (int q = 0; q < 4; ++q)
                    sum[m][n][q] = factors ? sum[m][n][q] + factor * part[m][n][q] : sum[m][n][q] + part[m][n][q];
    }
    wait_for_copies<0>();
    __syncthreads();
}

// Below this share of |a|^2 + |b|^2 a squared distance is taken from the differences.
constexpr float close = 1e-2f;

template <int products>
__device__ void measure_by_products(const Samples<float> &samples, const Rows &a, const Rows &b, bool diagonal,
                                    unsigned char *shared) {
    constexpr int stride = Geometry<float, products>::stride;
    const long long row_halves = samples.n_blocks * 64;
    float sum[4][4][4] = {};
    multiply_rows<products>(samples.planes + a.padded * row_halves, samples.planes + b.padded * row_halves, row_halves,
                            row_halves, int(samples.n_blocks), nullptr, shared, sum);
    const float scale = half_scale(*samples.reach), unit = 1.0f / (scale * scale);
    float *const tile = reinterpret_cast<float *>(shared);
    const Share share;
    bool any_close = false;
#pragma unroll
    for (int n = 0; n < 4; ++n) {
        const int column = share.column + 8 * n;
        const float norm_b[2] = {samples.norms[b.padded + column], samples.norms[b.padded + column + 1]};
#pragma unroll
        for (int m = 0; m < 4; ++m)
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                const int row = share.row + 16 * m + 8 * h;
                const float norm_a = samples.norms[a.padded + row];
                float v[2];
#pragma unroll
                for (int q = 0; q < 2; ++q) {
                    v[q] = unit * sum[m][n][2 * h + q];
                    if (samples.measure != product) {
                        const float both = norm_a + norm_b[q];
                        v[q] = both - 2.0f * v[q];
                        any_close |= v[q] < close * both && !(diagonal && row == column + q);
                        v[q] = v[q] < 0 ? 0.0f : v[q];  // NaN stays
                    }
                }
                *reinterpret_cast<float2 *>(tile + row * stride + column) = make_float2(v[0], v[1]);
            }
    }
    // Pairs that are close, rarely any: lanes look at one row of the warp's part after the other, and together take up
    // those that one of them finds.
    if (__ballot_sync(full_warp, any_close)) {
        const int warp = threadIdx.x / warp_size, lane = threadIdx.x % warp_size;
        const int column = warp / 2 * 32 + lane;
        const float norm_b = samples.norms[b.padded + column];
        __syncwarp();
        for (int row = warp % 2 * 64; row < warp % 2 * 64 + 64; ++row) {
            float &v = tile[row * stride + column];
            const bool is_close = row < a.count && column < b.count && !(diagonal && row == column) &&
                                  v < close * (samples.norms[a.padded + row] + norm_b);
            for (unsigned found = __ballot_sync(full_warp, is_close); found; found &= found - 1) {
                const int which = __ffs(int(found)) - 1;
                const float *const z_a = samples.z + (a.first + row) * samples.n_features;
                const float *const z_b = samples.z + (b.first + warp / 2 * 32 + which) * samples.n_features;
                const double exact = measure_of_rows(z_a, z_b, samples.n_features, squared);
                if (lane == which) v = -float(exact);
            }
        }
    }
    __syncthreads();
}

template <class T, int products>
__device__ void measure_tile(const Samples<T> &samples, const Rows &a, const Rows &b, bool diagonal,
                             unsigned char *shared) {
    if constexpr (products == 0) measure_by_differences(samples, a, b, shared);
    else measure_by_products<products>(samples, a, b, diagonal, shared);
}

// ---- going through a tile -------------------------------------------------------------------------------------------

__device__ __forceinline__ void load_4(const float *p, float (&v)[4]) {
    const float4 four = *reinterpret_cast<const float4 *>(p);
    v[0] = four.x, v[1] = four.y, v[2] = four.z, v[3] = four.w;
}
__device__ __forceinline__ void load_4(const double *p, double (&v)[4]) {
    const double2 low = *reinterpret_cast<const double2 *>(p), high = *reinterpret_cast<const double2 *>(p + 2);
    v[0] = low.x, v[1] = low.y, v[2] = high.x, v[3] = high.y;
}

// use(row, first column, four measures, four signs) for this thread's share of the tile: four columns at a time, the
// lanes of a warp one after the other, so that a row belongs to one warp.
template <class T, int products, class Use>
__device__ __forceinline__ void for_each_four(const unsigned char *shared, int measure, Use use) {
    using G = Geometry<T, products>;
    const T *const tile = reinterpret_cast<const T *>(shared);
#pragma unroll 1
    for (int e = threadIdx.x; e < G::tile * G::tile / 4; e += pair_threads) {
        const int row = e / (G::tile / 4), column = e % (G::tile / 4) * 4;
        T v[4];
        load_4(tile + row * G::stride + column, v);
        bool is_close[4];
#pragma unroll
        for (int q = 0; q < 4; ++q) {
            is_close[q] = products && measure == squared && v[q] < 0;
            if (measure != product) v[q] = size_of(v[q]);
        }
        use(row, column, v, is_close);
    }
}

// The mixture of the kernels at four measures.
template <int function, class T>
__device__ __forceinline__ void mixture(const T (&v)[4], Table<T> table, Parameters<T> p, T (&mix)[4]) {
    T k[4] = {};
    for (int q = 0; q < 4; ++q) mix[q] = 0;
#pragma unroll 1
    for (int b = 0; b < table.n; ++b) {
        next_kernel<function>(v, k, table, b, p);
        const T weight = table.weight(b);
#pragma unroll
        for (int q = 0; q < 4; ++q) mix[q] += weight * k[q];
    }
}

}  // namespace ecgkern
