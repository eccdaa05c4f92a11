// Sums of kernels over all pairs of samples, and what is made of them: MMD^2 and its gradient, the witness function,
// quadratic forms of signs (permutation tests) and the median distance.
//
//   S(g, h) = sum over i of group g and j of group h of k(z_i, z_j)
//   k = f(|z_i - z_j|^2), f(|z_i - z_j|_1) or f(z_i . z_j)
//
// A block takes tiles of 128 x 128 pairs (64 x 64 for differences) of the upper triangle of the pooled samples; nothing
// of size n x n is stored. cuda/pairs.cuh leaves the measures of a tile in shared memory, and each kernel here goes
// through them once: every use of pairs is one loop over the same tile.
//
// Measures. float32 of more than 16 features: |a|^2 + |b|^2 - 2 a.b with a.b on tensor cores, as three products of
// float16 (22 bits of each value, after centring and a power of two): as exact as three of TF32, at twice their rate.
// Pairs for which the expansion cancels are taken from the differences. Everything else (float64, city-block distances,
// few features, cards before compute capability 8.0): differences on CUDA cores, which never cancel.
//
// Counts, for n = m = 10000, d = 1000, five bandwidths: 2e8 pairs x 1000 x 3 products = 1.2e12 flop, 1.2 ms at the 990
// TFLOP/s of an H200, and 2.0 ms at the two thirds of it that mma.sync reaches there. A warp computes 96 products of
// 16 x 8 x 16 for each block of 32 features from 24 loads of matrices, and 64 additions that round (tensor cores cut
// off): shared memory is busy 1000 cycles a block, tensor cores 1200. Tiles of 128 x 128 read 13 GB of float16 through
// the second-level cache, bands of 12 tile rows keep the last 12 MB there. Kernels of the measures: one exponential for
// every two bandwidths in ratio 2 and some 10 instructions a bandwidth, 0.3 ms, which does not overlap with the
// products of the same block. Device memory sees the samples four times, 0.1 ms. With d <= 16 kernels are nearly all.
//
// Gradient: slopes of 2048 x 4096 pairs are written as float16 pairs to a panel that stays in the second-level cache
// (32 MB), and a second product, of the same kind, adds panel x samples: 2 + 2 times the products of the sums alone.
// Forms: K in fixed point, a byte at a time through the integer tensor cores, whose sums are exact: 4 products of bytes
// at twice the rate of float16.
//
// Everything is added in an order that depends on the shapes alone, never by atomics on floats: the same bits from run
// to run, on every card.
#include "pairs.cuh"

namespace ecgkern {

// ---- the pool -------------------------------------------------------------------------------------------------------

// What to subtract from each feature so that samples do not stand off zero: the median of up to 32 of them, spread over
// the groups, where it exceeds four times their spread; a warp a feature.
template <class T>
__global__ void centre(const T *__restrict__ z, long long size_0, long long size_1, long long size_2,
                       long long n_features, T *__restrict__ shift) {
    const long long f = blockIdx.x * (blockDim.x / warp_size) + threadIdx.x / warp_size;
    const int lane = threadIdx.x % warp_size;
    const int of_group = warp_size / (1 + (size_1 > 0) + (size_2 > 0)), group = lane / of_group;
    const long long start = (group > 0 ? size_0 : 0) + (group > 1 ? size_1 : 0);
    const long long size = group == 0 ? size_0 : group == 1 ? size_1 : group == 2 ? size_2 : 0;
    const long long row = lane % of_group * (size > of_group ? size / of_group : 1);
    const bool in = row < size && f < n_features;
    const T value = in ? z[(start + row) * n_features + f] : T(0);
    const unsigned valid = __ballot_sync(full_warp, in);
    const auto median = [&](T mine) {
        const int count = __popc(valid);
        int rank = 0;
        for (int i = 0; i < warp_size; ++i) {
            const T other = __shfl_sync(full_warp, mine, i);
            rank += (valid >> i & 1) && (other < mine || (other == mine && i < lane));
        }
        const T low = warp_sum(in && rank == (count - 1) / 2 ? mine : T(0));
        const T high = warp_sum(in && rank == count / 2 ? mine : T(0));
        return (low + high) / 2;
    };
    const T middle = median(value), spread = median(size_of(value - middle));
    if (lane == 0 && f < n_features) shift[f] = size_of(middle) > 4 * spread ? middle : T(0);
}

// Squared lengths of the rows less the centre; reach[0]: the largest size of a value, reach[1]: the largest squared
// length, both rounded up and as bits of a float; a warp a row.
template <class T>
__global__ void extent(const T *__restrict__ z, const T *__restrict__ shift, long long n_rows, long long n_features,
                       double *__restrict__ lengths, int *__restrict__ reach) {
    const long long row = blockIdx.x * (blockDim.x / warp_size) + threadIdx.x / warp_size;
    if (row >= n_rows) return;
    const int lane = threadIdx.x % warp_size;
    double length = 0, largest = 0;
    for (long long f = lane; f < n_features; f += warp_size) {
        const double value = z[row * n_features + f] - shift[f];
        length += value * value;
        largest = size_of(value) > largest || value != value ? size_of(value) : largest;
    }
    length = warp_sum(length);
    for (int distance = warp_size / 2; distance > 0; distance /= 2) {
        const double other = __shfl_xor_sync(full_warp, largest, distance);
        largest = other > largest || other != other ? other : largest;
    }
    if (lane > 0) return;
    const auto bits = [](double x) { return int(__float_as_uint(float(x)) + (float(x) < x)) & 0x7fffffff; };
    lengths[row] = length;
    atomicMax(&reach[0], bits(largest));
    atomicMax(&reach[1], bits(length));
}

// Rows of float16 and their squared lengths, as `Samples` in pairs.cuh describes them; a warp a row.
template <int products>
__global__ void split(SAMPLES(float), unsigned short *__restrict__ planes_out, float *__restrict__ norms_out) {
    const Samples<float> samples = GATHER(float);
    const long long padded = blockIdx.x * (blockDim.x / warp_size) + threadIdx.x / warp_size;
    const Rows rows = rows_of<128>(samples, padded / 128);
    const int lane = threadIdx.x % warp_size, row = int(padded % 128);
    const float scale = half_scale(*reach);
    const float *const from = z + (rows.first + row) * n_features;
    unsigned short *const to = planes_out + padded * n_blocks * 64;
    const auto value = [&](long long f) { return row < rows.count && f < n_features ? from[f] - shift[f] : 0.0f; };
    double norm = 0;
    for (long long block = 0; block < n_blocks; ++block) {
        const float first = value(products == 3 ? block * 32 + lane : block * 64 + lane);
        const float second = products == 3 ? 0.0f : value(block * 64 + 32 + lane);
        norm += double(first) * first + double(second) * second;
        const unsigned short rounded = to_half(scale * first);
        to[block * 64 + lane] = rounded;
        to[block * 64 + 32 + lane] = to_half(products == 3 ? scale * first - from_half(rounded) : scale * second);
    }
    norm = warp_sum(norm);
    if (lane == 0) norms_out[padded] = float(norm);
}

// ---- sums -----------------------------------------------------------------------------------------------------------

// Kernels whose sums a thread keeps at once, where one may be a power of another.
constexpr int most_at_once = 8;

// Sums of each kernel over the pairs of different samples, for the pairs of groups (0, 0) and (1, 1), each pair in both
// orders, and (0, 1): partials[block][pair of groups][kernel], to be added over the blocks. A block takes the pairs of
// tiles first + step (block + n_blocks s), s = 0, 1, ...
template <class T, int products>
__global__ void __launch_bounds__(pair_threads, Geometry<T, products>::blocks)
    sums(SAMPLES(T), const T *__restrict__ table_values, long long n_bandwidths, long long function, double exponent,
         double coef0, long long first, long long step, double *__restrict__ partials) {
    DYNAMIC_SHARED(shared);
    __shared__ double of_warp[most_at_once][n_warps];
    using G = Geometry<T, products>;
    const Samples<T> samples = GATHER(T);
    const Table<T> table{table_values, int(n_bandwidths)};
    const Parameters<T> p{T(exponent), T(coef0)};
    const long long n = n_tiles<G::tile>(size_0) + n_tiles<G::tile>(size_1);
    double *const mine = partials + blockIdx.x * 3 * n_bandwidths;
    for (long long t = first + step * blockIdx.x; t < n * (n + 1) / 2; t += step * gridDim.x) {
        long long i, j;
        pair_of_tiles(t, n, i, j);
        const Rows a = rows_of<G::tile>(samples, i), b = rows_of<G::tile>(samples, j);
        const bool diagonal = i == j;
        measure_tile<T, products>(samples, a, b, diagonal, shared);
        const int groups = a.group != b.group ? 2 : a.group;
        const double times = groups == 2 ? 1.0 : 2.0;  // a diagonal tile counts its upper triangle
        with_function(function, [&](auto number) {
            constexpr int which = decltype(number)::value;
            constexpr int at_once = which <= exponential_of_root ? most_at_once : 1;
#pragma unroll 1
            for (int start = 0; start < table.n; start += at_once) {
                double total[at_once] = {};
                for_each_four<T, products>(shared, samples.measure, [&](int row, int column, const T(&v)[4], auto &) {
                    T k[4] = {}, counts[4];
#pragma unroll
                    for (int q = 0; q < 4; ++q) {
                        const bool in = row < a.count && column + q < b.count && (!diagonal || column + q > row);
                        counts[q] = in ? T(1) : T(0);
                    }
#pragma unroll
                    for (int s = 0; s < at_once; ++s) {
                        if (start + s >= table.n) break;
                        next_kernel<which>(v, k, table, start + s, p, s == 0);
                        total[s] += (counts[0] * k[0] + counts[1] * k[1]) + (counts[2] * k[2] + counts[3] * k[3]);
                    }
                });
#pragma unroll
                for (int s = 0; s < at_once; ++s) {
                    if (start + s >= table.n) break;
                    total[s] = warp_sum(total[s]);
                    if (threadIdx.x % warp_size == 0) of_warp[s][threadIdx.x / warp_size] = total[s];
                }
                __syncthreads();
                if (threadIdx.x < at_once && start + int(threadIdx.x) < table.n) {  // a thread a kernel
                    double sum = 0;
                    for (int warp = 0; warp < n_warps; ++warp) sum += of_warp[threadIdx.x][warp];
                    mine[groups * n_bandwidths + start + threadIdx.x] += times * sum;
                }
                __syncthreads();
            }
        });
    }
}

// Sums over the rows of an array, in order: out[column].
template <int>  // so that it is compiled where it is asked for, as the others are
__global__ void add_rows(const double *__restrict__ rows, long long n_rows, long long width, double *__restrict__ out) {
    double sum = 0;
    for (long long row = threadIdx.x; row < n_rows; row += blockDim.x) sum += rows[row * width + blockIdx.x];
    sum = block_sum<pair_threads>(sum);
    if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

// Sums of k(x_i, x_i) over each of two groups, (2, n_bandwidths): of the squared lengths where k is one of products.
template <class T>
__global__ void own_sums(const double *__restrict__ lengths, long long size_0, long long size_1, long long measure,
                         const T *__restrict__ table_values, long long n_bandwidths, long long function,
                         double exponent, double coef0, double *__restrict__ out) {
    const int group = blockIdx.x / n_bandwidths, bandwidth = blockIdx.x % n_bandwidths;
    const long long first = group ? size_0 : 0, size = group ? size_1 : size_0;
    const Parameters<double> p{exponent, coef0};
    const double scale = table_values[bandwidth];
    double sum = 0;
    with_function(function, [&](auto number) {
        constexpr int which = decltype(number)::value;
        for (long long i = threadIdx.x; i < size; i += blockDim.x)
            sum += kernel_value<which>(measure == product ? lengths[first + i] : 0.0, scale, p);
    });
    sum = block_sum<pair_threads>(sum);
    if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

// MMD^2 of the mixture from the sums over pairs of different samples (3, n_bandwidths), or (3,) if they are
// those of the mixture, and of samples with themselves (2, n_bandwidths).
template <class T>
__global__ void combine(const double *__restrict__ of_pairs, const double *__restrict__ own,
                        const T *__restrict__ table_values, long long n_bandwidths, long long is_mixture, double n,
                        double m, long long biased, T *__restrict__ out) {
    const auto mixed = [&](const double *of_kernels) {
        double sum = 0;
        for (int b = 0; b < n_bandwidths; ++b) sum += double(table_values[2 * n_bandwidths + b]) * of_kernels[b];
        return sum;
    };
    const auto of_groups = [&](int g) { return is_mixture ? of_pairs[g] : mixed(of_pairs + g * n_bandwidths); };
    const double xx = of_groups(0), yy = of_groups(1), xy = of_groups(2);
    const double within = biased ? (xx + mixed(own)) / (n * n) + (yy + mixed(own + n_bandwidths)) / (m * m)
                                 : xx / (n * (n - 1)) + yy / (m * (m - 1));
    *out = T(within - 2 * xy / (n * m));
}

template <class T> __global__ void root_of(const T *__restrict__ square, T *__restrict__ out) {
    *out = *square < 0 ? T(0) : root(*square);
}

// The sums that the caller sees, in his order of bandwidths (the last row of the table): xx, yy, xy, traces.
template <class T>
__global__ void arrange(const double *__restrict__ of_pairs, const double *__restrict__ own,
                        const T *__restrict__ table_values, long long n_bandwidths, double share_of_own,
                        double *__restrict__ out) {
    for (int b = threadIdx.x; b < n_bandwidths; b += blockDim.x) {
        const int place = int(table_values[3 * n_bandwidths + b]);
        const double own_x = share_of_own * own[b], own_y = share_of_own * own[n_bandwidths + b];
        out[place] = of_pairs[b] + own_x;
        out[n_bandwidths + place] = of_pairs[n_bandwidths + b] + own_y;
        out[2 * n_bandwidths + place] = of_pairs[2 * n_bandwidths + b];
        out[3 * n_bandwidths + place] = own_x;
        out[4 * n_bandwidths + place] = own_y;
    }
}

// Scales of bandwidths that are on the card: those at bandwidth 1 over bandwidth^power.
template <class T>
__global__ void scales(const double *__restrict__ bandwidths, long long n_bandwidths, double at_1, long long power,
                       T *__restrict__ table_values) {
    for (int b = threadIdx.x; b < n_bandwidths; b += blockDim.x)
        table_values[b] = T(at_1 / (power == 2 ? bandwidths[b] * bandwidths[b] : bandwidths[b]));
}

// ---- the median distance --------------------------------------------------------------------------------------------

constexpr int n_bins = 4096;

__device__ __forceinline__ double length_of(double v, long long measure) { return measure == squared ? sqrt(v) : v; }

// The measures of all pairs i < j, in the order of the pairs.
template <class T, int products>
__global__ void __launch_bounds__(pair_threads, Geometry<T, products>::blocks)
    store_measures(SAMPLES(T), T *__restrict__ out) {
    DYNAMIC_SHARED(shared);
    using G = Geometry<T, products>;
    const Samples<T> samples = GATHER(T);
    const long long n_rows = size_0 + size_1;
    long long i, j;
    pair_of_tiles(blockIdx.x, n_tiles<G::tile>(size_0) + n_tiles<G::tile>(size_1), i, j);
    const Rows a = rows_of<G::tile>(samples, i), b = rows_of<G::tile>(samples, j);
    measure_tile<T, products>(samples, a, b, i == j, shared);
    for_each_four<T, products>(shared, samples.measure, [&](int row, int column, const T(&v)[4], auto &) {
        for (int q = 0; q < 4; ++q) {
            const long long first = a.first + row, second = b.first + column + q;
            if (row < a.count && column + q < b.count && first < second)
                out[first * (2 * n_rows - first - 1) / 2 + second - first - 1] = v[q];
        }
    });
}

// Random bits of a number (the finaliser of SplitMix64).
__device__ __forceinline__ unsigned long long mixed_bits(unsigned long long x) {
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

// The measures of the pairs given by their indices, or without any of random pairs of different rows; a warp a pair.
template <class T>
__global__ void measure_pairs(const T *__restrict__ z, long long n_rows, long long n_features, long long measure,
                              const long long *__restrict__ first, const long long *__restrict__ second,
                              long long n_pairs, T *__restrict__ out) {
    const long long pair = blockIdx.x * (blockDim.x / warp_size) + threadIdx.x / warp_size;
    if (pair >= n_pairs) return;
    const long long i = first ? first[pair] : static_cast<long long>(mixed_bits(2 * pair) % n_rows);
    const long long j = second ? second[pair]
                               : (i + 1 + static_cast<long long>(mixed_bits(2 * pair + 1) % (n_rows - 1))) % n_rows;
    const double v = measure_of_rows(z + i * n_features, z + j * n_features, n_features, int(measure));
    if (threadIdx.x % warp_size == 0) out[pair] = T(v);
}

// The median of measures in ascending order, as a distance; where it is 0 their mean, or 1 if all are 0.
template <class T>
__global__ void median_of_sorted(const T *__restrict__ measures, long long count, long long measure,
                                 double *__restrict__ out) {
    const double low = length_of(measures[(count - 1) / 2], measure), high = length_of(measures[count / 2], measure);
    double median = (low + high) / 2;
    if (measures[count - 1] != measures[count - 1]) median = double(measures[count - 1]);  // NaN comes last
    if (median == 0) {
        double sum = 0;
        for (long long i = threadIdx.x; i < count; i += blockDim.x) sum += length_of(measures[i], measure);
        sum = block_sum<pair_threads>(sum);
        median = sum > 0 ? sum / double(count) : 1.0;
    }
    if (threadIdx.x == 0) *out = median;
}

// From measures of random pairs in ascending order: between which two the median of all lies, but for one set of
// samples in ten millions.
template <class T>
__global__ void bracket(const T *__restrict__ measures, long long count, T *__restrict__ out) {
    const double spread = 2.7 * sqrt(double(count));
    out[0] = T(measures[static_cast<long long>(double(count) / 2 - spread)] * (1 - 1e-5));
    out[1] = T(measures[static_cast<long long>(double(count) / 2 + spread)] * (1 + 1e-5));
}

// How many pairs lie below the bracket, and of those within how many are in each of `n_bins` parts, with the largest
// and the smallest measure there (as bits, and as inverted bits). sums[block]: of the distances.
template <class T, int products>
__global__ void __launch_bounds__(pair_threads, Geometry<T, products>::blocks)
    count_measures(SAMPLES(T), const T *__restrict__ ends, unsigned long long *__restrict__ n_below,
                   unsigned long long *__restrict__ counts, unsigned long long *__restrict__ largest,
                   unsigned long long *__restrict__ smallest, double *__restrict__ sums) {
    DYNAMIC_SHARED(shared);
    using G = Geometry<T, products>;
    const Samples<T> samples = GATHER(T);
    const T low = ends[0], high = ends[1], bins_per_unit = high > low ? T(n_bins) / (high - low) : T(0);
    const long long n = n_tiles<G::tile>(size_0) + n_tiles<G::tile>(size_1);
    double sum = 0;
    unsigned long long below = 0;
    for (long long t = blockIdx.x; t < n * (n + 1) / 2; t += gridDim.x) {
        long long i, j;
        pair_of_tiles(t, n, i, j);
        const Rows a = rows_of<G::tile>(samples, i), b = rows_of<G::tile>(samples, j);
        const bool diagonal = i == j;
        measure_tile<T, products>(samples, a, b, diagonal, shared);
        for_each_four<T, products>(shared, samples.measure, [&](int row, int column, const T(&v)[4], auto &) {
            T distances = 0;
#pragma unroll
            for (int q = 0; q < 4; ++q) {
                if (!(row < a.count && column + q < b.count && (!diagonal || column + q > row))) continue;
                distances += samples.measure == squared ? root(v[q]) : v[q];
                below += v[q] < low;
                if (v[q] >= low && v[q] <= high) {
                    const int bin = clamp(int((v[q] - low) * bins_per_unit), 0, n_bins - 1);
                    const unsigned long long bits = __double_as_longlong(double(v[q]));
                    atomicAdd(&counts[bin], 1ull);
                    atomicMax(&largest[bin], bits);
                    atomicMax(&smallest[bin], ~bits);
                }
            }
            sum += double(distances);
        });
        __syncthreads();
    }
    sum = block_sum<pair_threads>(sum);
    const long long below_of_block = block_sum<pair_threads>(static_cast<long long>(below));
    if (threadIdx.x == 0) {
        sums[blockIdx.x] = sum;
        atomicAdd(n_below, static_cast<unsigned long long>(below_of_block));
    }
}

// The median distance from those counts: within a part of the bracket, measures are taken to be evenly spread.
template <class T>
__global__ void median_of_counts(const T *__restrict__ ends, const unsigned long long *__restrict__ n_below,
                                 const unsigned long long *__restrict__ counts,
                                 const unsigned long long *__restrict__ largest,
                                 const unsigned long long *__restrict__ smallest, const double *__restrict__ sums,
                                 long long n_sums, long long n_pairs, long long measure, double *__restrict__ out) {
    constexpr int bins_of_thread = n_bins / pair_threads;
    __shared__ unsigned long long of_thread[pair_threads];
    unsigned long long within = 0;
    for (int k = 0; k < bins_of_thread; ++k) within += counts[threadIdx.x * bins_of_thread + k];
    of_thread[threadIdx.x] = within;
    double sum = 0;
    for (long long i = threadIdx.x; i < n_sums; i += pair_threads) sum += sums[i];
    sum = block_sum<pair_threads>(sum);  // its barriers are those of of_thread, too
    if (threadIdx.x > 0) return;
    const auto of_rank = [&](unsigned long long rank) {
        unsigned long long before = *n_below;
        if (rank < before) return double(ends[0]);
        int thread = 0;
        while (thread < pair_threads && rank >= before + of_thread[thread]) before += of_thread[thread++];
        if (thread == pair_threads) return double(ends[1]);
        int bin = thread * bins_of_thread;
        while (rank >= before + counts[bin]) before += counts[bin++];
        const double low = __longlong_as_double(~smallest[bin]), high = __longlong_as_double(largest[bin]);
        const double last = counts[bin] > 1 ? double(counts[bin] - 1) : 1.0;
        return low + (high - low) * (double(rank - before) / last);
    };
    const double low = length_of(of_rank((n_pairs - 1) / 2), measure), high = length_of(of_rank(n_pairs / 2), measure);
    const double middle = (low + high) / 2;
    *out = sum != sum ? sum : middle > 0 ? middle : sum > 0 ? sum / double(n_pairs) : 1.0;
}

// ---- rows: the witness ----------------------------------------------------------------------------------------------

// partials[blockIdx.y][row of group 0]: factor_1 times the sum of the mixture over group 1 + factor_2 times that over
// group 2, over the tiles of these that the block takes.
template <class T, int products>
__global__ void __launch_bounds__(pair_threads, Geometry<T, products>::blocks)
    row_sums(SAMPLES(T), const T *__restrict__ table_values, long long n_bandwidths, long long function,
             double exponent, double coef0, double factor_1, double factor_2, double *__restrict__ partials) {
    DYNAMIC_SHARED(shared);
    using G = Geometry<T, products>;
    __shared__ double of_row[G::tile];
    const Samples<T> samples = GATHER(T);
    const Table<T> table{table_values, int(n_bandwidths)};
    const Parameters<T> p{T(exponent), T(coef0)};
    const long long of_points = n_tiles<G::tile>(size_0);
    const long long n = of_points + n_tiles<G::tile>(size_1) + n_tiles<G::tile>(size_2);
    const Rows a = rows_of<G::tile>(samples, blockIdx.x);
    for (int row = threadIdx.x; row < G::tile; row += pair_threads) of_row[row] = 0;
    for (long long j = of_points + blockIdx.y; j < n; j += gridDim.y) {
        const Rows b = rows_of<G::tile>(samples, j);
        measure_tile<T, products>(samples, a, b, false, shared);
        with_function(function, [&](auto number) {
            constexpr int which = decltype(number)::value;
            for_each_four<T, products>(shared, samples.measure, [&](int row, int column, const T(&v)[4], auto &) {
                T mix[4];
                mixture<which>(v, table, p, mix);
                double sum = 0;
#pragma unroll
                for (int q = 0; q < 4; ++q) sum += column + q < b.count ? double(mix[q]) : 0.0;
                for (int distance = G::tile / 8; distance > 0; distance /= 2)  // the lanes that share a row
                    sum += __shfl_xor_sync(full_warp, sum, distance);
                if (column == 0) of_row[row] += (b.group == 1 ? factor_1 : factor_2) * sum;
            });
        });
        __syncthreads();
    }
    for (int row = threadIdx.x; row < a.count; row += pair_threads)
        partials[blockIdx.y * size_0 + a.first + row] = of_row[row];
}

// out[i]: the sum over the rows of partials.
template <class T>
__global__ void add_parts(const double *__restrict__ partials, long long n_parts, long long width,
                          T *__restrict__ out) {
    const long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= width) return;
    double sum = 0;
    for (long long part = 0; part < n_parts; ++part) sum += partials[part * width + i];
    out[i] = T(sum);
}

// ---- quadratic forms: permutations ----------------------------------------------------------------------------------

// A power of two that no |k| of the mixture exceeds.
__device__ __forceinline__ double bound_of(long long function, double scale, double exponent, double coef0, int reach) {
    const double longest = __uint_as_float(unsigned(reach));  // squared, from the centre
    double bound = 1.0;
    if (function == energy) bound = 2.0 * sqrt(longest);
    if (function == polynomial) bound = whole_power(scale * longest + fabs(coef0), int(exponent));
    return bound > 0 ? ldexp(1.0, int(ceil(log2(bound)))) : 1.0;
}

// For each row s of `signs` (-1, 0 or 1), with K the mixture between different samples: of every block and every 16
// rows of a tile a row of `partials`, whose sum is s^T K s for each form, s^T K 1 for each form, 1^T K 1, and the sum
// of |k|. K is rounded to 31 bits of fixed point, whose four bytes go through the tensor cores one by one: all sums are
// exact, and divisions that are the same in another order get the same number. Tiles are those of i <= j; a warp keeps
// 16 rows of K in registers while the forms pass by.
template <class T, int products>
__global__ void __launch_bounds__(pair_threads, Geometry<T, products>::blocks)
    forms(SAMPLES(T), const T *__restrict__ table_values, long long n_bandwidths, long long function, double exponent,
          double coef0, const signed char *__restrict__ signs, long long n_forms, double *__restrict__ partials) {
    DYNAMIC_SHARED(shared);
    using G = Geometry<T, products>;
    constexpr int row_parts = G::tile / 16, steps = G::tile / 32;
    const Samples<T> samples = GATHER(T);
    const Table<T> table{table_values, int(n_bandwidths)};
    const Parameters<T> p{T(exponent), T(coef0)};
    const long long n = n_tiles<G::tile>(size_0) + n_tiles<G::tile>(size_1), n_columns = n * G::tile;
    const double unit = bound_of(function, table.scale(0), exponent, coef0, reach[1]) / double(1 << 30), units = 1.0 / unit;
    int *const fixed = reinterpret_cast<int *>(shared + (sizeof(T) == 8 ? G::tile * G::stride * sizeof(T) : 0));
    const int warp = threadIdx.x / warp_size, lane = threadIdx.x % warp_size, g = lane / 4, quad = lane % 4;
    const int row_part = warp % row_parts;
    double *const mine = partials + (static_cast<long long>(blockIdx.x) * row_parts + row_part) * (2 * n_forms + 2);
    for (long long t = blockIdx.x; t < n * (n + 1) / 2; t += gridDim.x) {
        long long i, j;
        pair_of_tiles(t, n, i, j);
        const Rows a = rows_of<G::tile>(samples, i), b = rows_of<G::tile>(samples, j);
        const bool diagonal = i == j;
        measure_tile<T, products>(samples, a, b, diagonal, shared);
        double size = 0;
        with_function(function, [&](auto number) {
            constexpr int which = decltype(number)::value;
            for_each_four<T, products>(shared, samples.measure, [&](int row, int column, const T(&v)[4], auto &) {
                T mix[4];
                mixture<which>(v, table, p, mix);
#pragma unroll
                for (int q = 0; q < 4; ++q) {
                    const bool in = row < a.count && column + q < b.count && (!diagonal || column + q > row);
                    size += in ? double(size_of(mix[q])) : 0.0;
                    fixed[row * G::stride + column + q] = in ? int(rint(double(mix[q]) * units)) : 0;
                }
            });
        });
        size = block_sum<pair_threads>(size);
        __syncthreads();

        unsigned bytes[steps][4][4];  // of K: step of 32 columns, byte, register
        long long of_row[2] = {};
#pragma unroll
        for (int step = 0; step < steps; ++step)
#pragma unroll
            for (int r = 0; r < 4; ++r) {
                const int row = row_part * 16 + g + r % 2 * 8, column = step * 32 + r / 2 * 16 + 4 * quad;
                const uint4 four = *reinterpret_cast<const uint4 *>(fixed + row * G::stride + column);
                of_row[r % 2] += static_cast<long long>(int(four.x)) + int(four.y) + int(four.z) + int(four.w);
#pragma unroll
                for (int byte = 0; byte < 4; ++byte)
                    bytes[step][byte][r] = (four.x >> 8 * byte & 0xff) | (four.y >> 8 * byte & 0xff) << 8 |
                                           (four.z >> 8 * byte & 0xff) << 16 | four.w >> 8 * byte << 24;
            }
#pragma unroll
        for (int r = 0; r < 2; ++r)
            for (int distance = 1; distance < 4; distance *= 2)
                of_row[r] += __shfl_xor_sync(full_warp, of_row[r], distance);

        const signed char *const of_a = signs + i * G::tile + row_part * 16 + g;
        const signed char *const of_b = signs + j * G::tile + 4 * quad;
        for (long long form = warp / row_parts * 8; form < n_forms; form += n_warps / row_parts * 8) {
            int sums[4][4] = {};
#pragma unroll
            for (int step = 0; step < steps; ++step) {
                const signed char *const at = of_b + (form + g) * n_columns + step * 32;
                const unsigned s[2] = {*reinterpret_cast<const unsigned *>(at),
                                       *reinterpret_cast<const unsigned *>(at + 16)};
#pragma unroll
                for (int byte = 0; byte < 3; ++byte) multiply_bytes<false>(sums[byte], bytes[step][byte], s);
                multiply_bytes<true>(sums[3], bytes[step][3], s);
            }
            long long with_signs[2] = {}, without[2] = {};
#pragma unroll
            for (int q = 0; q < 4; ++q) {  // row g + q / 2 * 8, form 2 quad + q % 2
                const long long ks = sums[0][q] + 256ll * sums[1][q] + 65536ll * sums[2][q] + 16777216ll * sums[3][q];
                const long long s = of_a[(form + 2 * quad + q % 2) * n_columns + q / 2 * 8];
                with_signs[q % 2] += s * ks;
                without[q % 2] += ks + s * of_row[q / 2];
            }
#pragma unroll
            for (int q = 0; q < 2; ++q)
                for (int distance = 4; distance < warp_size; distance *= 2) {
                    with_signs[q] += __shfl_xor_sync(full_warp, with_signs[q], distance);
                    without[q] += __shfl_xor_sync(full_warp, without[q], distance);
                }
            if (g == 0)
#pragma unroll
                for (int q = 0; q < 2; ++q) {
                    mine[form + 2 * quad + q] += 2.0 * unit * double(with_signs[q]);
                    mine[n_forms + form + 2 * quad + q] += unit * double(without[q]);
                }
        }
        if (warp < row_parts) {
            long long total = of_row[0] + of_row[1];
            for (int distance = 4; distance < warp_size; distance *= 2)
                total += __shfl_xor_sync(full_warp, total, distance);
            if (lane == 0) {
                mine[2 * n_forms] += 2.0 * unit * double(total);
                if (warp == 0) mine[2 * n_forms + 1] += 2.0 * size;
            }
        }
        __syncthreads();
    }
}

// ---- gradients ------------------------------------------------------------------------------------------------------

// The samples with a row for each feature, in float16 as in `split`, all groups with their padding from left to right,
// and then a row of ones, whose products with slopes are the sums of these. A block takes 32 x 32 of them.
template <int products>
__global__ void split_columns(SAMPLES(float), long long n_rows, unsigned short *__restrict__ columns) {
    __shared__ float values[32][33];
    const Samples<float> samples = GATHER(float);
    const int x = threadIdx.x % 32;
    const float scale = half_scale(*reach);
    const long long f = blockIdx.y * 32ll + x;
    for (int y = threadIdx.x / 32; y < 32; y += n_warps) {
        const long long padded = blockIdx.x * 32ll + y;
        const Rows rows = rows_of<128>(samples, padded / 128);
        const int row = int(padded % 128);
        const bool in = row < rows.count && f <= n_features;
        values[y][x] = in && f == n_features ? 1.0f : 0.0f;
        if (in && f < n_features) values[y][x] = scale * (z[(rows.first + row) * n_features + f] - shift[f]);
    }
    __syncthreads();
    for (int y = threadIdx.x / 32; y < 32; y += n_warps) {
        constexpr int halves = products == 3 ? 2 : 1;
        unsigned short *const to = columns + ((blockIdx.y * 32ll + y) * n_rows + blockIdx.x * 32ll) * halves;
        const unsigned short rounded = to_half(values[x][y]);
        to[x] = rounded;
        if (products == 3) to[32 + x] = to_half(values[x][y] - from_half(rounded));
    }
}

__device__ __forceinline__ float largest_of_block(float value) {
    __shared__ float of_warp[n_warps];
    for (int distance = warp_size / 2; distance > 0; distance /= 2) {
        const float other = __shfl_xor_sync(full_warp, value, distance);
        value = other > value ? other : value;
    }
    __syncthreads();
    if (threadIdx.x % warp_size == 0) of_warp[threadIdx.x / warp_size] = value;
    __syncthreads();
    for (int i = 0; i < n_warps; ++i) value = of_warp[i] > value ? of_warp[i] : value;
    return value;
}

// The factor of a pair of groups, those of (x, x), (y, y) and (x, y).
__device__ __forceinline__ double factor_of(const Rows &a, const Rows &b, double xx, double yy, double xy) {
    return a.group != b.group ? xy : a.group == 0 ? xx : yy;
}

// The slopes f'(v) of the mixture between the tiles first_a, ... and first_b, ..., a block a tile, as a matrix of
// 128 gridDim.x x 128 gridDim.y (or 64 x 64) values: for tensor cores in float16 like `Samples.planes`, with a power of
// two to divide by and the factor of the groups in factors[tile of a][tile of b], else times that factor. Pairs that
// are close are left out there and stand as bits in `close_pairs`. Added to partials[block][pair of groups]: sums of
// the mixture over pairs of different samples.
template <class T, int products>
__global__ void __launch_bounds__(pair_threads, Geometry<T, products>::blocks)
    slopes(SAMPLES(T), const T *__restrict__ table_values, long long n_bandwidths, long long function, double exponent,
           double coef0, long long first_a, long long first_b, long long with_diagonal, double factor_xx,
           double factor_yy, double factor_xy, void *__restrict__ out, float *__restrict__ factors,
           unsigned *__restrict__ close_pairs, double *__restrict__ partials) {
    DYNAMIC_SHARED(shared);
    using G = Geometry<T, products>;
    const Samples<T> samples = GATHER(T);
    const Table<T> table{table_values, int(n_bandwidths)};
    const Parameters<T> p{T(exponent), T(coef0)};
    const Rows a = rows_of<G::tile>(samples, first_a + blockIdx.x), b = rows_of<G::tile>(samples, first_b + blockIdx.y);
    const bool diagonal = a.first == b.first;
    const double factor = factor_of(a, b, factor_xx, factor_yy, factor_xy);
    const long long n_columns = static_cast<long long>(gridDim.y) * G::tile;
    T *const tile = reinterpret_cast<T *>(shared);
    measure_tile<T, products>(samples, a, b, diagonal, shared);
    double sum = 0;
    float largest = 0;
    with_function(function, [&](auto number) {
        constexpr int which = decltype(number)::value;
        for_each_four<T, products>(
            shared, samples.measure, [&](int row, int column, const T(&v)[4], const bool(&is_close)[4]) {
                T k[4] = {}, mix[4] = {}, slope[4] = {};
#pragma unroll 1
                for (int s = 0; s < table.n; ++s) {
                    next_kernel<which>(v, k, table, s, p);
                    const T weight = table.weight(s), scale = table.scale(s);
#pragma unroll
                    for (int q = 0; q < 4; ++q) {
                        mix[q] += weight * k[q];
                        slope[q] += weight * kernel_slope<which>(v[q], scale, p, k[q]);
                    }
                }
                unsigned bits = 0;
#pragma unroll
                for (int q = 0; q < 4; ++q) {
                    const bool in = row < a.count && column + q < b.count, same = diagonal && row == column + q;
                    sum += in && !same ? double(mix[q]) : 0.0;
                    if (products && in && is_close[q]) bits |= 1u << (column + q) % 32;
                    const bool counts =
                        in && !(products && is_close[q]) && (!same || (with_diagonal && measure == product));
                    slope[q] = counts ? slope[q] : T(0);
                    largest = float(size_of(slope[q])) > largest ? float(size_of(slope[q])) : largest;
                    tile[row * G::stride + column + q] = slope[q];
                }
                if (products) {  // eight lanes hold the bits of 32 columns
                    for (int distance = 1; distance < 8; distance *= 2)
                        bits |= __shfl_xor_sync(full_warp, bits, distance);
                    if (threadIdx.x % 8 == 0)
                        close_pairs[((blockIdx.x * 128ll + row) * n_columns + blockIdx.y * 128ll + column) / 32] = bits;
                }
            });
    });
    sum = block_sum<pair_threads>(sum);
    const bool crossed = a.group != b.group;  // both orders come by, and one is wanted
    if (threadIdx.x == 0)
        partials[(blockIdx.x * gridDim.y + blockIdx.y) * 3 + (crossed ? 2 : a.group)] += crossed ? 0.5 * sum : sum;
    if constexpr (products == 0) {
        __syncthreads();
        for (int e = threadIdx.x; e < G::tile * G::tile; e += pair_threads) {
            const int row = e / G::tile, column = e % G::tile;
            static_cast<T *>(out)[(static_cast<long long>(blockIdx.x) * G::tile + row) * n_columns +
                                  static_cast<long long>(blockIdx.y) * G::tile + column] =
                T(factor * tile[row * G::stride + column]);
        }
    } else {
        const float scale = half_scale<120>(int(__float_as_uint(largest_of_block(largest))));
        if (threadIdx.x == 0) factors[blockIdx.x * gridDim.y + blockIdx.y] = float(factor / scale);
        for (int e = threadIdx.x; e < 128 * 64; e += pair_threads) {  // two neighbouring columns
            const int row = e / 64, column = e % 64 * 2;
            unsigned rounded = 0, rest = 0;
#pragma unroll
            for (int q = 0; q < 2; ++q) {
                const float value = scale * tile[row * G::stride + column + q];
                const unsigned short half = to_half(value);
                rounded |= unsigned(half) << 16 * q;
                rest |= unsigned(to_half(value - from_half(half))) << 16 * q;
            }
            const long long place = (blockIdx.x * 128ll + row) * n_columns + blockIdx.y * 128ll;
            unsigned *const to = static_cast<unsigned *>(out);
            if (products == 3) {
                to[place + column / 32 * 32 + column % 32 / 2] = rounded;
                to[place + column / 32 * 32 + column % 32 / 2 + 16] = rest;
            } else {
                to[(place + column) / 2] = rounded;
            }
        }
    }
}

// out[i] += sum over j of slopes[i][j] z_j, scaled as in `columns`, for a matrix of slopes; a block 128 samples and 128
// features.
template <int products>
__global__ void __launch_bounds__(pair_threads, 1)
    add_products(const unsigned short *__restrict__ slopes, const float *__restrict__ factors,
                 const unsigned short *__restrict__ columns, long long n_rows, long long first_a, long long first_b,
                 long long n_tiles_b, float *__restrict__ out) {
    DYNAMIC_SHARED(shared);
    const long long width = gridDim.y * 128ll;
    float sum[4][4][4] = {};
    constexpr int tile_halves = products == 3 ? 256 : 128;  // of a row
    const long long row_slopes = n_tiles_b * tile_halves, row_columns = n_rows / 128 * tile_halves;
    multiply_rows<products>(slopes + blockIdx.x * 128ll * row_slopes,
                            columns + blockIdx.y * 128ll * row_columns + first_b * tile_halves, row_slopes, row_columns,
                            int(row_slopes / 64), factors + blockIdx.x * n_tiles_b, shared, sum);
    const Share share;
#pragma unroll
    for (int m = 0; m < 4; ++m)
#pragma unroll
        for (int h = 0; h < 2; ++h)
#pragma unroll
            for (int n = 0; n < 4; ++n) {
                float *const to = out + ((first_a + blockIdx.x) * 128 + share.row + 16 * m + 8 * h) * width +
                                  blockIdx.y * 128ll + share.column + 8 * n;
                to[0] += sum[m][n][2 * h];
                to[1] += sum[m][n][2 * h + 1];
            }
}

// The close pairs of a matrix of slopes, whose terms would cancel, from the differences: a warp a row.
template <int>  // so that it is compiled where it is asked for, as the others are
__global__ void add_close_pairs(SAMPLES(float), const float *__restrict__ table_values, long long n_bandwidths,
                                long long function, double exponent, double coef0, long long first_a, long long first_b,
                                long long n_tiles_b, long long width, double factor_xx, double factor_yy,
                                double factor_xy, const unsigned *__restrict__ close_pairs, float *__restrict__ out) {
    const Samples<float> samples = GATHER(float);
    const Table<float> table{table_values, int(n_bandwidths)};
    const Parameters<float> p{float(exponent), float(coef0)};
    const int lane = threadIdx.x % warp_size;
    const long long row = static_cast<long long>(blockIdx.x) * n_warps + threadIdx.x / warp_size;
    const Rows a = rows_of<128>(samples, first_a + row / 128);
    const float *const z_a = z + (a.first + row % 128) * n_features;
    float *const to = out + (first_a * 128 + row) * width;
    const float scale = half_scale(*reach);
    for (long long word = 0; word < n_tiles_b * 4; word += warp_size) {
        const unsigned mine = word + lane < n_tiles_b * 4 ? close_pairs[row * n_tiles_b * 4 + word + lane] : 0u;
        for (unsigned lanes = __ballot_sync(full_warp, mine != 0); lanes; lanes &= lanes - 1) {
            const int holder = __ffs(int(lanes)) - 1;
            for (unsigned bits = __shfl_sync(full_warp, mine, holder); bits; bits &= bits - 1) {
                const long long column = (word + holder) * 32 + __ffs(int(bits)) - 1;
                const Rows b = rows_of<128>(samples, first_b + column / 128);
                const float *const z_b = z + (b.first + column % 128) * n_features;
                const float v[1] = {float(measure_of_rows(z_a, z_b, n_features, squared))};
                float slope = 0;
                with_function(function, [&](auto number) {
                    constexpr int which = decltype(number)::value;
                    float k[1] = {};
                    for (int s = 0; s < table.n; ++s) {
                        next_kernel<which>(v, k, table, s, p);
                        slope += table.weight(s) * kernel_slope<which>(v[0], table.scale(s), p, k[0]);
                    }
                });
                const float w = float(factor_of(a, b, factor_xx, factor_yy, factor_xy) * slope * scale);
                for (long long f = lane; f < n_features; f += warp_size) to[f] -= w * (z_a[f] - z_b[f]);
            }
        }
    }
}

// The derivatives by each value, from sums of w_ij z_j and of w_ij: 4 (sum_j w_ij z_i - sum_j w_ij z_j), or of products
// 2 sum_j w_ij z_j; a block a sample and 256 features.
template <int>  // so that it is compiled where it is asked for, as the others are
__global__ void finish_gradient(SAMPLES(float), long long width, const float *__restrict__ sums,
                                float *__restrict__ out) {
    const Samples<float> samples = GATHER(float);
    const long long f = static_cast<long long>(blockIdx.y) * blockDim.x + threadIdx.x;
    const Rows rows = rows_of<128>(samples, blockIdx.x / 128);
    const int row = int(blockIdx.x % 128);
    if (f >= n_features || row >= rows.count) return;
    const float *const from = sums + blockIdx.x * width;
    const float of_others = from[f] / half_scale(*reach);
    const long long place = (rows.first + row) * n_features + f;
    out[place] = measure == product ? 2.0f * of_others : 4.0f * (from[n_features] * (z[place] - shift[f]) - of_others);
}

// out[i] += sum over j of slopes[i][j] times 4 (z_i - z_j), 2 sign(z_i - z_j) or 2 z_j, as the measure has it, for a
// matrix of slopes; a block 64 samples and 64 features, 4 x 4 a thread.
template <class T>
__global__ void __launch_bounds__(pair_threads, Geometry<T, 0>::blocks)
    add_slopes(SAMPLES(T), const T *__restrict__ slopes, long long first_a, long long first_b, long long n_tiles_b,
               T *__restrict__ out) {
    constexpr int chunk = 16, stride = 65;
    __shared__ T of_slopes[chunk * stride], of_b[chunk * stride];
    const Samples<T> samples = GATHER(T);
    const int ty = threadIdx.x / 16, tx = threadIdx.x % 16;
    const Rows a = rows_of<64>(samples, first_a + blockIdx.x);
    const long long first_feature = blockIdx.y * 64ll;
    T of_a[4][4], sum[4][4] = {};
    const auto centred = [&](const Rows &rows, int row, long long f) {
        if (!(row < rows.count && f < n_features)) return T(0);
        return z[(rows.first + row) * n_features + f] - (measure == product ? shift[f] : T(0));
    };
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int k = 0; k < 4; ++k) of_a[i][k] = centred(a, ty + 16 * i, first_feature + tx + 16 * k);
    for (long long first = 0; first < n_tiles_b * 64; first += chunk) {
        const Rows b = rows_of<64>(samples, first_b + first / 64);
        const int row = int(first % 64);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            of_slopes[tx * stride + ty + 16 * i] =
                slopes[(blockIdx.x * 64ll + ty + 16 * i) * n_tiles_b * 64 + first + tx];
            of_b[ty * stride + tx + 16 * i] = centred(b, row + ty, first_feature + tx + 16 * i);
        }
        __syncthreads();
        T part[4][4] = {};
        const auto add = [&](auto kind) {
            constexpr int which = decltype(kind)::value;
#pragma unroll 4
            for (int j = 0; j < chunk; ++j) {
                T w[4], other[4];
#pragma unroll
                for (int i = 0; i < 4; ++i)
                    w[i] = of_slopes[j * stride + ty + 16 * i], other[i] = of_b[j * stride + tx + 16 * i];
#pragma unroll
                for (int i = 0; i < 4; ++i)
#pragma unroll
                    for (int k = 0; k < 4; ++k) {
                        const T difference = of_a[i][k] - other[k];
                        part[i][k] += w[i] * (which == squared      ? 2 * difference
                                              : which == city_block ? T(difference > 0) - T(difference < 0)
                                                                         : other[k]);
                    }
            }
        };
        if (measure == squared) add(Function<squared>{});
        else if (measure == city_block) add(Function<city_block>{});
        else add(Function<product>{});
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
            for (int k = 0; k < 4; ++k) sum[i][k] += part[i][k];
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            const int row = ty + 16 * i;
            const long long f = first_feature + tx + 16 * k;
            if (row < a.count && f < n_features) out[(a.first + row) * n_features + f] += 2 * sum[i][k];
        }
}

}  // namespace ecgkern
