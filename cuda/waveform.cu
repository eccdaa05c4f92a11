// Batches of ECGs as sums of Gaussian waves at R peaks, and the gradients, in float or double.
//
//   y(n, c, t) = sum over beats b of record n, waves w of  gain(c, w) * amplitude(b, w) * exp(-(t - m)^2 / 2 s^2)
//   m = r_peak(b) + delay(b, w), s = width(b, w), all in samples, for m - cutoff * s <= t <= m + cutoff * s
//
// Records have the peaks r_peaks[row_offsets[n] .. row_offsets[n + 1]), in any order; offsets are read on the card and
// clamped. With n_sets = 1 all beats share one set of waves, else each has its own. A peak that is not a number makes
// its record one. What a peak does depends on it alone, and every sum has one order: the same bits from run to run.
//
// waves: a gather. A sample is written once, and there are no atomic sums. At 100 Hz a record of ten seconds has some 70
// waves of about 25 samples: 1.8 exponentials a sample, against 4 bytes to write, for which an H100 has time for 40 to
// 50 instructions. So the work around the exponentials must be small: a block of four warps computes each wave of its
// stretch of the record once, enters it into the lists of those tiles of 32 samples that it reaches (bit masks first,
// then ranks, so that the order does not depend on timing), and a warp then sums the 4 or so entries of its tile at 7
// instructions each: load, multiply-add, square, exponential, window test, multiply-add. Counted so, L = 1000 takes 40
// to 50 instructions a sample in all, which is about the time that its 4 bytes take to write.
//
// waves_gradient: a block takes 16 beats and reads their stretch of grad_out through the first-level cache; 4 lanes
// share a wave, wave by wave over the beats, so that the lanes of a warp have windows of one length. Some 12
// instructions for each of the 1.8 samples under waves, beside the 4 bytes to read. Sums over a window are in the
// working type, sums over beats in double, per block, and added up in order by sum_rows.
#include "common.cuh"

namespace ecgkern {

constexpr int tile = warp_size;         // samples that a warp sums at a time
constexpr int block_threads = 128;      // four warps
constexpr int warps = block_threads / warp_size;
constexpr double sqrt_half_log2_e = 0.84932180028801904272;  // exp(-x^2 / 2) = 2^-(sqrt_half_log2_e * x)^2

__device__ __forceinline__ float power_of_two(float x) { return exp2f(x); }
__device__ __forceinline__ double power_of_two(double x) { return exp2(x); }

// The waves of all beats, in samples.
struct Waves {
    const double *amplitude, *delay, *width, *inverse;  // inverse: 1 / width, so that no kernel divides
    long long n_sets, n_waves;
    double cutoff;

    __device__ long long at(long long beat, long long wave) const { return (n_sets > 1 ? beat : 0) * n_waves + wave; }
};

// The samples under a wave: all that are not below `first` and not above `last`; all of the record for NaN.
struct Window {
    double centre;
    long long first, last;

    __device__ Window(const Waves &waves, long long set, double r_peak, long long length) {
        centre = r_peak + waves.delay[set];
        const double reach = waves.cutoff * waves.width[set];
        first = 0, last = length - 1;
        if (centre - reach > 0) first = centre - reach < length ? (long long)ceil(centre - reach) : length;
        if (centre + reach < length - 1) last = centre + reach >= 0 ? (long long)floor(centre + reach) : -1;
    }
};

// One wave as a tile sees it: amplitude * 2^-(scale * t + offset)^2 for the samples of `mask`, t from its middle.
template <class T> struct __align__(4 * sizeof(T)) Entry {
    T offset, scale, amplitude;
    unsigned mask;
};

// Waves whose entries a block holds at a time, in each of its tiles.
template <class T> constexpr int batch = 256 / sizeof(T);

// out(n, c, t), for the leads of a group of n_group from lead_first. Block x is a record, y a stretch of tiles * warps
// tiles. reach_before and reach_after say how far any wave extends before and after its peak.
template <class T, int n_group, int tiles>
__global__ void __launch_bounds__(block_threads, 5)
    waves(const long long *__restrict__ row_offsets, const double *__restrict__ r_peaks,
          const double *__restrict__ amplitude, const double *__restrict__ delay, const double *__restrict__ width,
          const double *__restrict__ inverse, const double *__restrict__ gain, T *__restrict__ out, long long n_beats, long long n_sets, long long n_waves,
          long long n_leads, long long lead_first, long long length, double cutoff, double reach_before,
          double reach_after) {
    constexpr int n_tiles = tiles * warps, words = batch<T> / 32;
    __shared__ Entry<T> entries[n_tiles][batch<T>];
    __shared__ short wave_of[n_group > 1 ? n_tiles : 1][batch<T>];
    __shared__ unsigned reached[n_tiles][words];
    __shared__ int near[block_threads], of_warp[warps];

    const Waves all{amplitude, delay, width, inverse, n_sets, n_waves, cutoff};
    const int thread = threadIdx.x, lane = thread % warp_size, warp = thread / warp_size;
    const long long record = blockIdx.x, start = (long long)blockIdx.y * n_tiles * tile;
    const long long end = start + n_tiles * tile < length ? start + n_tiles * tile : length;
    const long long beat_first = clamp(row_offsets[record], 0LL, n_beats);
    const long long beat_end = clamp(row_offsets[record + 1], beat_first, n_beats);
    const int leads = n_leads - lead_first < n_group ? int(n_leads - lead_first) : n_group;

    T sums[tiles][n_group];
    for (int i = 0; i < tiles; ++i)
        for (int c = 0; c < n_group; ++c) sums[i][c] = 0;

    for (long long some = beat_first; some < beat_end; some += block_threads) {
        // The beats that may reach this stretch, in order.
        const long long beat = some + thread;
        const double peak = beat < beat_end ? r_peaks[beat] : 0;
        const bool inside = beat < beat_end && !(peak < start - reach_after || peak > end - 1 + reach_before);
        const unsigned votes = __ballot_sync(full_warp, inside);
        if (lane == 0) of_warp[warp] = __popc(votes);
        __syncthreads();
        int position = __popc(votes & ((1u << lane) - 1)), n_near = 0;
        for (int i = 0; i < warps; ++i) {
            if (i < warp) position += of_warp[i];
            n_near += of_warp[i];
        }
        if (inside) near[position] = thread;
        __syncthreads();

        const int n_pairs = n_near * int(n_waves);
        for (int pair_first = 0; pair_first < n_pairs; pair_first += batch<T>) {
            for (int i = thread; i < n_tiles * words; i += block_threads) reached[i / words][i % words] = 0;
            __syncthreads();
            const int pair = pair_first + thread;
            const bool mine = thread < batch<T> && pair < n_pairs;
            const int wave = mine ? pair % int(n_waves) : 0;
            const long long near_beat = mine ? some + near[pair / int(n_waves)] : beat_first;
            const long long set = all.at(near_beat, wave);
            const Window window(all, set, r_peaks[near_beat], length);
            const long long low = window.first > start ? window.first - start : 0;
            const long long high = (window.last < end - 1 ? window.last : end - 1) - start;
            const int tile_first = mine && low <= high ? int(low / tile) : 0;
            const int tile_end = mine && low <= high ? int(high / tile) + 1 : 0;
            for (int i = tile_first; i < tile_end; ++i) atomicOr(&reached[i][thread / 32], 1u << thread % 32);
            __syncthreads();
            const T scale = T(sqrt_half_log2_e * all.inverse[set]);
            const T height = T(all.amplitude[set]) * (n_group == 1 && gain ? T(gain[lead_first * n_waves + wave]) : T(1));
            for (int i = tile_first; i < tile_end; ++i) {
                int rank = __popc(reached[i][thread / 32] & ((1u << thread % 32) - 1));
#pragma unroll
                for (int word = 0; word < words; ++word)
                    if (word < thread / 32) rank += __popc(reached[i][word]);
                const int from = low > i * tile ? int(low - i * tile) : 0;
                const int to = high < i * tile + tile - 1 ? int(high - i * tile) : tile - 1;
                const double middle = double(start + i * tile + tile / 2);
                entries[i][rank] = {T(middle - window.centre) * scale, scale, height,
                                    (full_warp << from) & (full_warp >> (tile - 1 - to))};
                if (n_group > 1) wave_of[i][rank] = short(wave);
            }
            __syncthreads();
            const T t = T(lane - tile / 2);
            const unsigned bit = 1u << lane;
#pragma unroll
            for (int i = 0; i < tiles; ++i) {
                const int at = i * warps + warp;
                int n_entries = 0;
                for (int word = 0; word < words; ++word) n_entries += __popc(reached[at][word]);
                for (int k = 0; k < n_entries; ++k) {
                    const Entry<T> entry = entries[at][k];
                    const T z = t * entry.scale + entry.offset;
                    const T value = power_of_two(-z * z);
                    const T y = entry.mask & bit ? entry.amplitude * value : T(0);
                    if (n_group == 1) sums[i][0] += y;
                    else
                        for (int c = 0; c < n_group; ++c)
                            if (c < leads) sums[i][c] += T(gain[(lead_first + c) * n_waves + wave_of[at][k]]) * y;
                }
            }
            __syncthreads();
        }
    }
    for (int i = 0; i < tiles; ++i) {
        const long long t = start + (i * warps + warp) * tile + lane;
        for (int c = 0; c < n_group; ++c)
            if (t < length && c < leads) out[(record * n_leads + lead_first + c) * length + t] = sums[i][c];
    }
}

constexpr int beats_of_block = 16, lanes_of_wave = 4, groups = block_threads / lanes_of_wave;

// Adds, for the leads of a group, to what is left by the groups before it: of_peaks (n_beats), of_waves (n_beats,
// n_waves, 3: amplitude, delay, width) with n_sets > 1, else partial sums of them per block, block_waves (n_blocks,
// n_waves, 3); and writes block_gain (n_blocks, n_leads, n_waves), the partial sums of the gains. Delays and widths are
// per second: fs samples. All blocks need (3 + n_group) * n_waves * beats_of_block doubles of dynamic shared memory.
template <class T, int n_group>
__global__ void __launch_bounds__(block_threads, 5)
    waves_gradient(const long long *__restrict__ row_offsets, const double *__restrict__ r_peaks,
                   const double *__restrict__ amplitude, const double *__restrict__ delay,
                   const double *__restrict__ width, const double *__restrict__ inverse,
                   const double *__restrict__ gain, const T *__restrict__ grad_out,
                   double *__restrict__ of_peaks, double *__restrict__ of_waves, double *__restrict__ block_waves,
                   double *__restrict__ block_gain, long long n_records, long long n_beats, long long n_sets,
                   long long n_waves, long long n_leads, long long lead_first, long long length, double cutoff,
                   double fs) {
    DYNAMIC_SHARED(memory);
    double *const parts = reinterpret_cast<double *>(memory);  // (3 + n_group, n_waves, beats_of_block)
    const Waves all{amplitude, delay, width, inverse, n_sets, n_waves, cutoff};
    const int thread = threadIdx.x, lane = thread % lanes_of_wave;
    const long long first = (long long)blockIdx.x * beats_of_block;
    const int n_pairs = int(n_waves) * beats_of_block;
    const int leads = n_leads - lead_first < n_group ? int(n_leads - lead_first) : n_group;

    // A thread has one beat, in all passes. Its record is the last one that begins at or before it.
    static_assert(groups % beats_of_block == 0, "passes begin with the same beat");
    const long long beat = first + thread / lanes_of_wave % beats_of_block;
    const long long above = beat < n_beats ? lower_bound(row_offsets, 0LL, n_records + 1, beat + 1) : 0;
    const bool counted = above > 0 && above <= n_records;
    const long long record = counted ? above - 1 : 0;

    for (int pair_first = 0; pair_first < n_pairs; pair_first += groups) {
        const int pair = pair_first + thread / lanes_of_wave, wave = pair / beats_of_block;
        const bool mine = pair < n_pairs && beat < n_beats;
        T by_height = 0, by_centre = 0, by_width = 0, of_lead[n_group];
        for (int c = 0; c < n_group; ++c) of_lead[c] = 0;
        T narrow = 1, height = 0;  // 1 / width, amplitude
        if (mine) {
            const long long set = all.at(beat, wave);
            const Window window(all, set, r_peaks[beat], length);
            narrow = T(all.inverse[set]), height = T(all.amplitude[set]);
            const T scale = T(sqrt_half_log2_e) * narrow, x_first = T(window.first - window.centre);
            const int n = counted && window.last >= window.first ? int(window.last - window.first + 1) : 0;
            for (int k = lane; k < n; k += lanes_of_wave) {
                const T x = x_first + T(k), z = x * scale, g = power_of_two(-z * z);
                T u = 0;
                for (int c = 0; c < n_group; ++c)
                    if (c < leads) {
                        const long long row = record * n_leads + lead_first + c;
                        const T upstream = grad_out[row * length + window.first + k];
                        u += (gain ? T(gain[(lead_first + c) * n_waves + wave]) : T(1)) * upstream;
                        of_lead[c] += upstream * g;
                    }
                const T ug = u * g;
                by_height += ug;
                by_centre += ug * x;
                by_width += ug * x * x;
            }
        }
        for (int distance = lanes_of_wave / 2; distance > 0; distance /= 2) {
            by_height += __shfl_xor_sync(full_warp, by_height, distance);
            by_centre += __shfl_xor_sync(full_warp, by_centre, distance);
            by_width += __shfl_xor_sync(full_warp, by_width, distance);
            for (int c = 0; c < n_group; ++c) of_lead[c] += __shfl_xor_sync(full_warp, of_lead[c], distance);
        }
        if (lane == 0 && pair < n_pairs) {
            const T steep = height * narrow * narrow;
            parts[pair] = by_height;
            parts[n_pairs + pair] = steep * by_centre;
            parts[2 * n_pairs + pair] = steep * narrow * by_width;
            for (int c = 0; c < n_group; ++c) parts[(3 + c) * n_pairs + pair] = height * of_lead[c];
        }
    }
    __syncthreads();

    // Over waves, for each beat.
    if (thread < beats_of_block && first + thread < n_beats) {
        double sum = of_peaks[first + thread];
        for (int wave = 0; wave < n_waves; ++wave) sum += parts[n_pairs + wave * beats_of_block + thread];
        of_peaks[first + thread] = sum;
    }
    // Over beats, for each wave, unless each beat has waves of its own.
    for (int i = thread; i < (3 + n_group) * int(n_waves); i += block_threads) {
        const int kind = i / int(n_waves), wave = i % int(n_waves);
        const double *const of_beats = parts + i * beats_of_block;
        const double unit = kind == 1 || kind == 2 ? fs : 1.0;
        double sum = 0;
        for (int b = 0; b < beats_of_block && first + b < n_beats; ++b) {
            sum += of_beats[b];
            if (kind < 3 && n_sets > 1) of_waves[((first + b) * n_waves + wave) * 3 + kind] += unit * of_beats[b];
        }
        if (kind < 3 && n_sets == 1) block_waves[(blockIdx.x * n_waves + wave) * 3 + kind] += unit * sum;
        if (kind >= 3 && kind - 3 < leads && block_gain)
            block_gain[(blockIdx.x * n_leads + lead_first + kind - 3) * n_waves + wave] = sum;
    }
}

// out(i) = height * exp(-(x(i) * inverse)^2 / 2)
template <class T>
__global__ void __launch_bounds__(block_threads, 5)
    delta(const T *__restrict__ x, T *__restrict__ out, long long n, double inverse, double height) {
    const long long i = (long long)blockIdx.x * block_threads + threadIdx.x;
    if (i >= n) return;
    const double z = double(x[i]) * inverse;
    out[i] = T(height * exp(-0.5 * z * z));
}

// out(part, column) = sum over the rows of a part of x(row, column), in one order; block x is a column, y a part.
template <class T>
__global__ void __launch_bounds__(block_threads, 5)
    sum_rows(const double *__restrict__ x, T *__restrict__ out, long long n_rows, long long n_columns) {
    const long long end = n_rows * (blockIdx.y + 1) / gridDim.y;
    double sum = 0;
    for (long long row = n_rows * blockIdx.y / gridDim.y + threadIdx.x; row < end; row += block_threads)
        sum += x[row * n_columns + blockIdx.x];
    sum = block_sum<block_threads>(sum);
    if (threadIdx.x == 0) out[blockIdx.y * n_columns + blockIdx.x] = T(sum);
}

}  // namespace ecgkern
