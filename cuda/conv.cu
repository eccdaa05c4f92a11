// Multi-scale dilated convolution with its ReLU and merge, forward and backward:
//     h_c(t) = b_c + sum_i sum_k w_ci(k) x_i(t + d (k - r)),   y_m(t) = mu_m + sum_c M_mc max(h_c(t), 0)
//
// Layout. With dilation d, moments t = s d + p of one phase p only meet moments of the same phase. So a batch of
// records is taken as rows, one for each record and phase, in which every convolution is dense: row = record d + p,
// sample s. Each thread computes `tile` channels at `steps` neighbouring samples of a row, a unit; a block has some
// rows, some units of each, and their samples of x in shared memory, with those that the longest kernel reaches on
// either side. Channels are taken in groups of `tile`, weights as (group, input, tap, channel of the group), filled up
// with zeros.
//
// Speed. Arithmetic is all that counts: x and y are 1/1900 of it. One tap of a unit is tile x steps multiply-adds, 64
// in float, for which a thread reads 8 weights (2 loads of 16 bytes, the same for the whole warp) and a single sample,
// as the 8 of the tap before move on by one register: 3 loads and 64 multiply-adds, 94 % of all instructions issued.
// Units stand steps + 1 values apart in shared memory, so that the 32 samples of a warp are in 32 banks. 64 sums, 8
// samples and 8 weights leave room under 128 registers, so 16 warps a multiprocessor. The gradients of weights are the
// same inner loop with other names, `slide`: the sums are 8 channels x 8 taps, what moves on is x, and the gradients of
// h at a moment stand for the weights of a tap. So are those of x, with the gradients of h as x and transposed kernels.
// Five kernels of 233 taps and 32 channels over 1024 records of 1000: 15.3 Gflop forward, 30.5 backward, 0.23 and 0.46
// ms at the peak of an H200, 67 Tflop/s.
//
// Instructions of the inner loops in SASS for sm_90: 512 FFMA of 545 forward, 512 of some 570 for the weights.
//
// The channels before the merge never leave the block. The backward pass computes them again: a block has one group of
// channels and a chunk of the rows. Sums over a block's tile are in the working type, those over tiles in double, per
// chunk, added in a fixed order at the end.
//
// On the tensor cores, in TF32 (convolve_tf32, differentiate_tf32; cuda/conv_mma.cuh): 16 channels and 64 samples a
// warp, taps filled up to multiples of 8, 256 for 233. 8 products of 1024 multiply-adds take the tensor cores of a
// multiprocessor 8 cycles at the peak of an H200, and what they need from shared memory 6.
#include "conv_mma.cuh"

namespace ecgkern {

constexpr int most_taps = 128;  // of a kernel in shared memory, where not all of it fits

// The channels that a thread computes at a time: 32 bytes of weights a tap.
template <class T> constexpr int group_size = 32 / int(sizeof(T));
// Of a block: leaves 128 registers to each thread in float, and 255 in double.
template <class T> constexpr int most_threads = 2048 / int(sizeof(T));

// Rows of the table of groups.
struct Group {
    long long channel, n_channels;  // the first, and how many up to the next group or kernel
    long long taps;
    long long weights;       // where they begin among the packed ones
    long long source, size;  // and among those given, of which a kernel has `size` taps
    long long taps_before;   // of all channels of the groups before
    // What threads compute at a time of the gradients of weights: inputs, and `steps` taps of each.
    long long inputs_of_pass, columns_of_input;
    // Of the pair of groups with the number of this group: the first, and whether there is a second, of the same taps.
    long long pair, has_second;
};

// What a block computes: `rows` rows, of each `units` units.
struct Tile {
    int n_rows, n_inputs, length, dilation, rows, units, first_row, first_unit;

    // Samples of a row of this tile from its first unit on: below 1 if there are none.
    template <int steps> __device__ int samples(int row) const {
        const int of_all = first_row + row;
        if (of_all >= n_rows) return 0;
        return (length - 1 - of_all % dilation) / dilation + 1 - first_unit * steps;
    }
    // Where the first moment of a row of this tile is, among `n_channels` channels of all records.
    template <int steps> __device__ long long place(int row, int n_channels, int channel) const {
        const int of_all = first_row + row;
        return ((long long)(of_all / dilation) * n_channels + channel) * length + of_all % dilation +
               (long long)first_unit * steps * dilation;
    }
};

template <int n, class T> __device__ __forceinline__ void read(T (&to)[n], const T *__restrict__ from) {
    if constexpr (n * sizeof(T) % 16 == 0) {  // as vectors
        struct alignas(16) Vector {
            T value[16 / sizeof(T)];
        };
        constexpr int each = 16 / sizeof(T);
#pragma unroll
        for (int i = 0; i < n / each; ++i) {
            const Vector vector = reinterpret_cast<const Vector *>(from)[i];
#pragma unroll
            for (int j = 0; j < each; ++j) to[i * each + j] = vector.value[j];
        }
    } else {
#pragma unroll
        for (int i = 0; i < n; ++i) to[i] = from[i];
    }
}

// sums[c][j] += weights[i][c] x[i + j] for i = 0 ... steps - 1, or only from `low` to before `high`. Before and after,
// moving[j] is the sample j from which x begins, and then from which it goes on.
template <bool whole, int tile, int steps, class T>
__device__ __forceinline__ void slide(T (&sums)[tile][steps], T (&moving)[steps], const T *__restrict__ x,
                                      const T *__restrict__ weights, int low, int high) {
#pragma unroll
    for (int i = 0; i < steps; ++i) {
        if (whole || (i >= low && i < high)) {
            T weight[tile];
            read(weight, weights + i * tile);
#pragma unroll
            for (int c = 0; c < tile; ++c)
#pragma unroll
                for (int j = 0; j < steps; ++j) sums[c][j] += weight[c] * moving[(i + j) % steps];
        }
        moving[i] = x[steps + 1 + i];
    }
}

// sums[c][j] += sum of weights[i][c] x[low + i + j] over the taps i; x begins with a unit, 0 <= low < steps.
template <int tile, int steps, class T>
__device__ __forceinline__ void add_taps(T (&sums)[tile][steps], const T *__restrict__ x,
                                         const T *__restrict__ weights, int low, int n_taps) {
    T moving[steps];
#pragma unroll
    for (int j = 0; j < steps; ++j) moving[j] = x[j];
    const int end = low + n_taps;
    weights -= low * tile;
    for (int i = 0; i < end; i += steps, x += steps + 1, weights += steps * tile)
        if (i >= low && i + steps <= end) slide<true>(sums, moving, x, weights, 0, steps);
        else slide<false>(sums, moving, x, weights, low - i, end - i);
}

// Write `width` samples of all rows of a tile, from `begin` samples beyond the first unit on, zeros beyond the ends of
// a record; rows stand `stride` apart. For products they are rounded, and one after another without gaps.
template <int steps, bool for_products = false, class T>
__device__ void load_rows(const T *__restrict__ x, const Tile &tile, int n_inputs, int first_input, int begin,
                          int width, int stride, T *__restrict__ to) {
    const int thread = threadIdx.x + blockDim.x * threadIdx.y;
    const int lane = thread % warp_size, n_warps = blockDim.x * blockDim.y / warp_size;
    for (int i = thread / warp_size; i < n_inputs * tile.rows; i += n_warps) {
        const int row = i % tile.rows, n_samples = tile.samples<steps>(row);
        const T *__restrict__ from = x + tile.place<steps>(row, tile.n_inputs, first_input + i / tile.rows);
        for (int a = lane; a < width; a += warp_size) {
            const int s = begin + a;
            const bool inside = s >= -tile.first_unit * steps && s < n_samples;
            const T value = inside ? from[(long long)s * tile.dilation] : T(0);
            if constexpr (for_products) to[i * stride + a] = to_tf32(value);
            else to[i * stride + a + a / steps] = value;
        }
    }
}

// Write results (result, row, unit, step + 1) of a tile to y from channel `first` on, or add them to it.
template <int steps, class T>
__device__ void write_rows(const T *__restrict__ results, const Tile &tile, int n_results, int first, int n_channels,
                           bool add, T *__restrict__ y) {
    const int thread = threadIdx.x + blockDim.x * threadIdx.y;
    const int lane = thread % warp_size, n_warps = blockDim.x * blockDim.y / warp_size;
    for (int i = thread / warp_size; i < n_results * tile.rows; i += n_warps) {
        const int row = i % tile.rows, n_samples = min(tile.samples<steps>(row), tile.units * steps);
        const T *__restrict__ from = results + i * tile.units * (steps + 1);
        T *__restrict__ to = y + tile.place<steps>(row, n_channels, first + i / tile.rows);
        for (int a = lane; a < n_samples; a += warp_size) {
            const int t = a * tile.dilation;
            to[t] = add ? to[t] + from[a + a / steps] : from[a + a / steps];
        }
    }
}

// Copy weights of `n` taps, rounded if they are for products.
template <int tile, bool for_products = false, class T>
__device__ void copy(const T *__restrict__ from, int n, T *__restrict__ to) {
    const int thread = threadIdx.x + blockDim.x * threadIdx.y, n_threads = blockDim.x * blockDim.y;
    constexpr int each = tile * sizeof(T) % 16 == 0 ? 16 / sizeof(T) : 1;
    for (int i = thread; i < n * tile / each; i += n_threads) {
        T value[each];
        read(value, from + i * each);
#pragma unroll
        for (int j = 0; j < each; ++j)
            if constexpr (for_products) to[i * each + j] = to_tf32(value[j]);
            else to[i * each + j] = value[j];
    }
}

// Where a block finds the samples and weights that it needs in shared memory: all from the start, or those of one
// input, or of one for each slice of the block, and at most `most_taps` taps of it at a time.
template <class T> struct Shared {
    T *x, *weights;
    bool all_x, all_weights;
    int halo, stride;  // samples of x before the first unit, where all are there, and from row to row
    const T *first_weight;  // which the first in `weights` is, where all are there
};

// sums += weights * x over some inputs, or every so many-th of them from the slice on, where a kernel has `n_taps`
// taps. All threads must come, as they load together; those without a unit compute nothing that is used.
template <int tile, int steps, class T>
__device__ __forceinline__ void add_inputs(T (&sums)[tile][steps], const T *__restrict__ x, const Tile &where, int row,
                                           int unit, const Shared<T> &shared, const T *__restrict__ weights,
                                           int first_input, int n_inputs, int n_taps, int slice = 0,
                                           int n_slices = 1) {
    const int reach = n_taps / 2;
    for (int input = 0; input < n_inputs; input += n_slices)
        for (int first = 0; first < n_taps; first += most_taps) {
            const int n = min(n_taps - first, most_taps), n_here = min(n_slices, n_inputs - input);
            const T *from = weights + (input * n_taps + first) * tile, *weight = shared.weights;
            const T *sample = shared.x + row * shared.stride;
            int low = 0;
            if (!shared.all_x || !shared.all_weights) __syncthreads();  // what was there may still be in use
            if (shared.all_x) {
                const int begin = shared.halo - reach + first;
                sample += (first_input + input) * where.rows * shared.stride + begin / steps * (steps + 1);
                low = begin % steps;
            } else {
                const int width = (where.units + (n + steps - 1) / steps) * steps;
                load_rows<steps>(x, where, n_here, first_input + input, first - reach, width, shared.stride, shared.x);
                sample += slice * where.rows * shared.stride;
            }
            if (shared.all_weights) {
                weight += from - shared.first_weight;
            } else {
                for (int i = 0; i < n_here; ++i)
                    copy<tile>(from + i * n_taps * tile, n, shared.weights + i * most_taps * tile);
                weight += slice * most_taps * tile;
            }
            if (!shared.all_x || !shared.all_weights) __syncthreads();
            if (slice < n_here) add_taps(sums, sample + unit * (steps + 1), weight, low, n);
        }
}

// The convolutions of a batch, merged or not. A slice of the block (threadIdx.y) has every so many-th group.
// With `transposed`, x are the gradients of h, group by group, and y those of the inputs: kernels are then (block of
// inputs, channel of a group, tap reversed, input of the block), and a slice has every so many-th channel.
template <class T, int tile, int steps, bool transposed>
__global__ void __launch_bounds__(most_threads<T>, 1)
    convolve(const T *__restrict__ x, const T *__restrict__ weights, const Group *__restrict__ groups,
             const T *__restrict__ biases, const T *__restrict__ merge, const T *__restrict__ merge_bias,
             T *__restrict__ y, long long n_records, long long n_inputs, long long length, long long dilation,
             long long n_groups, long long n_out, long long relu, long long add, long long most_merged, long long rows,
             long long units, long long tiles_of_row, long long halo, long long stride, long long x_values,
             long long weight_values, long long all_x, long long all_weights, long long n_sections,
             long long section_taps) {
    DYNAMIC_SHARED(memory);
    const Tile where{int(n_records * dilation), int(n_inputs), int(length), int(dilation), int(rows), int(units),
                     int(blockIdx.x) / int(tiles_of_row) * int(rows),
                     int(blockIdx.x) % int(tiles_of_row) * int(units)};
    const int row = threadIdx.x / where.units < where.rows ? threadIdx.x / where.units : 0;
    const int unit = threadIdx.x % where.units;
    const bool has_unit = threadIdx.x / where.units < where.rows;
    const int slice = threadIdx.y, n_slices = blockDim.y;

    Shared<T> shared{reinterpret_cast<T *>(memory), nullptr, all_x != 0, all_weights != 0, int(halo), int(stride),
                     weights};
    shared.weights = shared.x + x_values;
    T *const results = shared.weights + weight_values;  // (slice, output, row, unit, step + 1)
    const int result_row = where.units * (steps + 1), result_size = where.rows * result_row;
    const int first_merged = blockIdx.y * int(most_merged);
    const int n_results = merge == nullptr ? tile : min(int(most_merged), int(n_out) - first_merged);
    T *const own = results + slice * n_results * result_size + row * result_row + unit * (steps + 1);

    if (all_x) load_rows<steps>(x, where, where.n_inputs, 0, -int(halo), where.units * steps + 2 * int(halo),
                                shared.stride, shared.x);
    if (all_weights) copy<tile>(weights, int(weight_values) / tile, shared.weights);
    if (merge != nullptr && has_unit)
        for (int m = 0; m < n_results; ++m)
#pragma unroll
            for (int j = 0; j < steps; ++j) own[m * result_size + j] = T(0);
    __syncthreads();

    const int groups_at_once = transposed ? 1 : n_slices;
    for (int first = 0; first < int(n_groups); first += groups_at_once) {
        const int group = transposed ? first : first + slice;
        T h[tile][steps];
#pragma unroll
        for (int c = 0; c < tile; ++c)
#pragma unroll
            for (int j = 0; j < steps; ++j)
                h[c][j] = biases == nullptr || group >= n_groups ? T(0) : biases[group * tile + c];
        if constexpr (transposed) {
            for (int section = 0; section < int(n_sections); ++section) {
                const Group &from = groups[section];
                const T *of_section = weights + (group * int(section_taps) + int(from.taps_before)) * tile;
                add_inputs(h, x, where, row, unit, shared, of_section,
                           section * group_size<T>, int(from.n_channels), int(from.taps), slice, n_slices);
            }
        } else if (group < n_groups) {
            add_inputs(h, x, where, row, unit, shared, weights + groups[group].weights, 0, where.n_inputs,
                       int(groups[group].taps));
        }
#pragma unroll
        for (int c = 0; c < tile; ++c)
#pragma unroll
            for (int j = 0; j < steps; ++j)
                if (relu) h[c][j] = h[c][j] <= T(0) ? T(0) : h[c][j];  // NaN stays

        if (merge != nullptr) {
            if (!has_unit || group >= n_groups) continue;
#pragma unroll
            for (int c = 1; c < tile; ++c)
                if (c >= int(groups[group].n_channels))  // 0 times infinity, which is not part of the sum
#pragma unroll
                    for (int j = 0; j < steps; ++j) h[c][j] = T(0);
            for (int m = 0; m < n_results; ++m) {
                T weight[tile], sum[steps];
                read(weight, merge + ((first_merged + m) * int(n_groups) + group) * tile);
#pragma unroll
                for (int j = 0; j < steps; ++j) sum[j] = own[m * result_size + j];
#pragma unroll
                for (int c = 0; c < tile; ++c)
#pragma unroll
                    for (int j = 0; j < steps; ++j) sum[j] += weight[c] * h[c][j];
#pragma unroll
                for (int j = 0; j < steps; ++j) own[m * result_size + j] = sum[j];
            }
            continue;
        }
        __syncthreads();  // the results before have been written
        if (has_unit)
#pragma unroll
            for (int c = 0; c < tile; ++c)
#pragma unroll
                for (int j = 0; j < steps; ++j) own[c * result_size + j] = h[c][j];
        __syncthreads();
        if (transposed && n_slices > 1) {
            if (has_unit && slice == 0)
                for (int i = 1; i < n_slices; ++i)
                    for (int c = 0; c < tile; ++c)
                        for (int j = 0; j < steps; ++j)
                            own[c * result_size + j] += own[(i * n_results + c) * result_size + j];
            __syncthreads();
        }
        for (int i = 0; i < groups_at_once && first + i < n_groups; ++i) {
            const int channel = transposed ? first * tile : int(groups[first + i].channel);
            const int left = transposed ? int(n_out) - channel : int(groups[first + i].n_channels);
            write_rows<steps>(results + i * n_results * result_size, where, min(left, tile), channel, int(n_out),
                              add != 0, y);
        }
    }
    if (merge == nullptr) return;
    __syncthreads();
    if (has_unit && slice == 0)
        for (int m = 0; m < n_results; ++m)
#pragma unroll
            for (int j = 0; j < steps; ++j) {
                T sum = merge_bias[first_merged + m];
                for (int i = 0; i < n_slices; ++i) sum += own[(i * n_results + m) * result_size + j];
                own[m * result_size + j] = sum;
            }
    __syncthreads();
    write_rows<steps>(results, where, n_results, first_merged, int(n_out), false, y);
}

// Put weights, biases and merge into the order of groups, a block for each group, and the weights transposed too if
// there is room for them; given are those of all kernels one after another.
template <class T>
__global__ void pack(const T *__restrict__ weights, const T *__restrict__ biases, const T *__restrict__ merge,
                     const Group *__restrict__ groups, T *__restrict__ packed, T *__restrict__ packed_biases,
                     T *__restrict__ packed_merge, T *__restrict__ transposed, long long n_inputs, long long n_groups,
                     long long n_channels, long long n_merged, long long inputs_of_block, long long all_taps) {
    constexpr int tile = group_size<T>;
    const Group group = groups[blockIdx.x];
    const long long n_values = n_inputs * group.taps * tile, cut = (group.size - group.taps) / 2;
    for (long long i = threadIdx.x; i < n_values; i += blockDim.x) {
        const long long c = i % tile, tap = i / tile % group.taps, input = i / tile / group.taps;
        packed[group.weights + i] =
            c < group.n_channels ? weights[group.source + (c * n_inputs + input) * group.size + cut + tap] : T(0);
    }
    for (long long c = threadIdx.x; c < tile; c += blockDim.x) {
        const bool there = c < group.n_channels;
        packed_biases[blockIdx.x * tile + c] = there && biases != nullptr ? biases[group.channel + c] : T(0);
        for (long long m = 0; m < n_merged; ++m)
            packed_merge[(m * n_groups + blockIdx.x) * tile + c] =
                there ? merge[m * n_channels + group.channel + c] : T(0);
    }
    if (transposed == nullptr) return;
    const long long n_blocks = (n_inputs + inputs_of_block - 1) / inputs_of_block;
    const long long n_of_block = tile * group.taps * inputs_of_block;
    for (long long i = threadIdx.x; i < n_blocks * n_of_block; i += blockDim.x) {
        const long long block = i / n_of_block, input = block * inputs_of_block + i % inputs_of_block;
        const long long tap = i / inputs_of_block % group.taps;
        const long long c = i % n_of_block / (inputs_of_block * group.taps);
        const bool there = c < group.n_channels && input < n_inputs;
        transposed[(block * all_taps + group.taps_before) * inputs_of_block + i % n_of_block] =
            there ? weights[group.source + (c * n_inputs + input) * group.size + cut + group.taps - 1 - tap] : T(0);
    }
}

// The sum of values[i] over a warp, in lanes i, i + n, ...; always in the same order.
template <int n, class T> __device__ __forceinline__ T sum_for_lane(T (&values)[n]) {
    const int lane = threadIdx.x % warp_size;
#pragma unroll
    for (int half = n / 2; half > 0; half /= 2)
#pragma unroll
        for (int i = 0; i < half; ++i) {
            const bool upper = (lane & half) != 0;
            const T away = upper ? values[i] : values[i + half], stays = upper ? values[i + half] : values[i];
            values[i] = stays + __shfl_xor_sync(full_warp, away, half);
        }
    T sum = values[0];
#pragma unroll
    for (int distance = n; distance < warp_size; distance *= 2) sum += __shfl_xor_sync(full_warp, sum, distance);
    return sum;
}

// Add a chunk of tiles to the gradients of the weights, biases and merge of one group of channels, and write those of h
// to grad_h (record, channel of all groups of this launch, moment) if there is one.
//
// Gradients of weights: a thread has one column, `steps` taps of an input, and sums over every so many-th unit; threads
// of one column are added by way of shared memory. Columns that have no thread come in a later pass.
template <class T>
__global__ void __launch_bounds__(128, sizeof(T) == 4 ? 3 : 2)
    differentiate(const T *__restrict__ grad_y, const T *__restrict__ x, const T *__restrict__ weights,
                  const Group *__restrict__ groups, const T *__restrict__ biases, const T *__restrict__ merge,
                  double *__restrict__ weight_sums, double *__restrict__ row_sums, T *__restrict__ grad_h,
                  long long n_records, long long n_inputs, long long length, long long dilation, long long first_group,
                  long long n_groups, long long n_channels, long long n_merged, long long relu, long long rows,
                  long long units, long long tiles_of_row, long long n_tiles, long long stride,
                  long long x_values, long long n_weights, long long n_rows_of_sums, long long all_x) {
    constexpr int tile = group_size<T>, steps = 8, at_once = 8 / int(sizeof(T));
    constexpr int unit_size = steps * tile + 16 / sizeof(T);  // of grad_h in shared memory: the banks differ
    DYNAMIC_SHARED(memory);
    const int thread = threadIdx.x, n_threads = blockDim.x, lane = thread % warp_size;
    const int group_index = int(first_group) + blockIdx.y;
    const Group &group = groups[group_index];
    const int taps = int(group.taps), reach = taps / 2, n_columns = (taps + steps - 1) / steps;
    const int n_units = int(rows) * int(units);

    Tile where{int(n_records * dilation), int(n_inputs), int(length), int(dilation), int(rows), int(units), 0, 0};
    const int row = thread < n_units ? thread / where.units : 0, unit = thread % where.units;
    Shared<T> shared{reinterpret_cast<T *>(memory), nullptr, all_x != 0, false, reach, int(stride), nullptr};
    shared.weights = shared.x + x_values;
    T *const gradients = shared.weights + most_taps * tile;  // (row, unit, step, channel)
    T *const parts = gradients + n_units * unit_size;
    int *const n_moments = reinterpret_cast<int *>(parts + at_once * steps * n_threads);

    weight_sums += blockIdx.x * n_weights + group.weights;
    row_sums += (blockIdx.x * (n_threads / warp_size) + thread / warp_size) * n_rows_of_sums;
    const int width = int(n_groups) * tile, own = group_index * tile + lane;  // of a row of these sums
    const int last = int(n_tiles * (blockIdx.x + 1) / gridDim.x);
    for (int index = int(n_tiles * blockIdx.x / gridDim.x); index < last; ++index) {
        where.first_row = index / int(tiles_of_row) * where.rows;
        where.first_unit = index % int(tiles_of_row) * where.units;
        __syncthreads();  // the tile before is done
        if (all_x) {
            load_rows<steps>(x, where, where.n_inputs, 0, -reach, (where.units + n_columns) * steps, shared.stride,
                             shared.x);
            __syncthreads();
        }

        T h[tile][steps];
#pragma unroll
        for (int c = 0; c < tile; ++c)
#pragma unroll
            for (int j = 0; j < steps; ++j) h[c][j] = biases[group_index * tile + c];
        if (relu || n_merged)
            add_inputs(h, x, where, row, unit, shared, weights + group.weights, 0, where.n_inputs, taps);

        const int n = thread < n_units ? clamp(where.samples<steps>(row) - unit * steps, 0, steps) : 0;
        unsigned open[tile];  // a bit for each h whose gradient passes
#pragma unroll
        for (int c = 0; c < tile; ++c) {
            open[c] = 0;
#pragma unroll
            for (int j = 0; j < steps; ++j) {
                const bool passes = j < n && !(relu && h[c][j] <= T(0));
                open[c] = 2 * open[c] + passes;  // the last one in the lowest bit
                h[c][j] = passes ? h[c][j] : T(0);
            }
        }
        if (n_merged) {
            const T *upstream =
                grad_y + where.place<steps>(row, int(n_merged), 0) + (long long)unit * steps * where.dilation;
#pragma unroll 1
            for (int m = 0; m < int(n_merged); ++m) {
                T from[steps], sums[tile];
#pragma unroll
                for (int j = 0; j < steps; ++j) from[j] = j < n ? upstream[j * where.dilation] : T(0);
                upstream += where.length;
#pragma unroll
                for (int c = 0; c < tile; ++c) {
                    sums[c] = T(0);
#pragma unroll
                    for (int j = 0; j < steps; ++j) sums[c] += h[c][j] * from[j];
                }
                const T sum = sum_for_lane(sums);
                if (lane < tile) row_sums[m * width + own] += sum;
                if (group_index == 0) {
                    T of_thread = T(0);
#pragma unroll
                    for (int j = 0; j < steps; ++j) of_thread += from[j];
                    of_thread = warp_sum(of_thread);
                    if (lane == 0) row_sums[(int(n_merged) + 1) * width + m] += of_thread;
                }
            }
#pragma unroll
            for (int c = 0; c < tile; ++c)
#pragma unroll
                for (int j = 0; j < steps; ++j) h[c][j] = T(0);
            upstream -= n_merged * length;
#pragma unroll 1
            for (int m = 0; m < int(n_merged); ++m, upstream += where.length) {
                T weight[tile];
                read(weight, merge + m * width + group_index * tile);
#pragma unroll
                for (int j = 0; j < steps; ++j) {
                    const T from = j < n ? upstream[j * where.dilation] : T(0);
#pragma unroll
                    for (int c = 0; c < tile; ++c) h[c][j] += weight[c] * from;
                }
            }
        } else {
            const T *upstream = grad_y + where.place<steps>(row, int(n_channels), int(group.channel)) +
                                (long long)unit * steps * where.dilation;
#pragma unroll
            for (int c = 0; c < tile; ++c, upstream += where.length)
#pragma unroll
                for (int j = 0; j < steps; ++j)
                    h[c][j] = j < n && c < int(group.n_channels) ? upstream[j * where.dilation] : T(0);
        }
        T sums[tile];
#pragma unroll
        for (int c = 0; c < tile; ++c) {
            sums[c] = T(0);
#pragma unroll
            for (int j = 0; j < steps; ++j) {
                h[c][j] = open[c] >> (steps - 1 - j) & 1 ? h[c][j] : T(0);
                sums[c] += h[c][j];
            }
        }
        const T sum = sum_for_lane(sums);
        if (lane < tile) row_sums[int(n_merged) * width + own] += sum;

        if (thread < n_units) {
            n_moments[thread] = n;
#pragma unroll
            for (int j = 0; j < steps; ++j)
#pragma unroll
                for (int c = 0; c < tile; ++c) gradients[thread * unit_size + j * tile + c] = h[c][j];
        }
        __syncthreads();
        if (grad_h != nullptr)
            for (int i = thread / warp_size; i < tile * where.rows; i += n_threads / warp_size) {
                const int c = i / where.rows, of_row = i % where.rows;
                const int n_samples = min(where.samples<steps>(of_row), where.units * steps);
                T *__restrict__ to = grad_h + where.place<steps>(of_row, gridDim.y * tile, blockIdx.y * tile + c);
                for (int a = lane; a < n_samples; a += warp_size)
                    to[a * where.dilation] =
                        gradients[(of_row * where.units + a / steps) * unit_size + a % steps * tile + c];
            }

        for (int input = 0; input < where.n_inputs; input += int(group.inputs_of_pass))
            for (int begin = 0; begin < n_columns; begin += int(group.columns_of_input)) {
                const int n_of_pass = min(int(group.inputs_of_pass), where.n_inputs - input);
                const int n_of_input = min(int(group.columns_of_input), n_columns - begin);
                if (!all_x) {
                    __syncthreads();  // x is in use by the pass before
                    load_rows<steps>(x, where, n_of_pass, input, begin * steps - reach,
                                     (where.units + n_of_input) * steps, shared.stride, shared.x);
                    __syncthreads();
                }
                const int n_here = n_of_pass * n_of_input, n_parts = n_threads / n_here;
                const int column = thread % n_here, part = thread / n_here;
                const T *__restrict__ from = shared.x;
                from += (all_x ? input + column / n_of_input : column / n_of_input) * where.rows * shared.stride;
                from += (all_x ? begin + column % n_of_input : column % n_of_input) * (steps + 1);
                T products[tile][steps];
#pragma unroll
                for (int c = 0; c < tile; ++c)
#pragma unroll
                    for (int j = 0; j < steps; ++j) products[c][j] = T(0);
                int of_row = part % where.units;
                from += part / where.units * shared.stride + of_row * (steps + 1);
                for (int i = part < n_parts ? part : n_units; i < n_units; i += n_parts) {
                    const T *__restrict__ sample = from;
                    from += n_parts * (steps + 1);
                    for (of_row += n_parts; of_row >= where.units; of_row -= where.units)
                        from += shared.stride - where.units * (steps + 1);  // the next row
                    T moving[steps];
#pragma unroll
                    for (int j = 0; j < steps; ++j) moving[j] = sample[j];
                    const int until = n_moments[i];
                    if (until == steps) slide<true>(products, moving, sample, gradients + i * unit_size, 0, steps);
                    else slide<false>(products, moving, sample, gradients + i * unit_size, 0, until);
                }
#pragma unroll
                for (int c = 0; c < tile; c += at_once) {
                    __syncthreads();  // the parts before have been added
#pragma unroll
                    for (int i = 0; i < at_once * steps; ++i)
                        parts[i * n_threads + thread] = products[c + i / steps][i % steps];
                    __syncthreads();
                    for (int i = thread; i < at_once * steps * n_here; i += n_threads) {
                        const int of_thread = i / n_here, of_pass = i % n_here;
                        const int tap = (begin + of_pass % n_of_input) * steps + of_thread % steps;
                        const int of_input = input + of_pass / n_of_input;
                        T total = T(0);
                        for (int k = 0; k < n_parts; ++k) total += parts[of_thread * n_threads + k * n_here + of_pass];
                        if (tap < taps)
                            weight_sums[(of_input * taps + tap) * tile + c + of_thread / steps] += total;
                    }
                }
            }
    }
}

// The gradients of one kernel from the sums of all chunks or warps in their order: of its weights (channel, input,
// tap), 32 of them a block, then of its columns of the merge, of its biases and of those of the merge, one a block.
template <class T>
__global__ void __launch_bounds__(256)
    add_up(const double *__restrict__ weight_sums, const double *__restrict__ row_sums, T *__restrict__ of_weights,
           T *__restrict__ of_biases, T *__restrict__ of_merge, T *__restrict__ of_merge_bias, long long n_chunks,
           long long n_weights, long long n_parts, long long n_of_part, long long n_columns, long long first_column,
           long long n_channels, long long n_inputs, long long taps, long long size, long long n_merged,
           long long row_size) {
    constexpr int tile = group_size<T>, block_size = 256, n_slices = block_size / warp_size;
    const int thread = threadIdx.x, lane = thread % warp_size, slice = thread / warp_size;
    const long long n = (n_channels + tile - 1) / tile * n_inputs * taps * tile;
    const long long n_blocks = (n + warp_size - 1) / warp_size;
    if (blockIdx.x < n_blocks) {
        __shared__ double parts[n_slices][warp_size];
        const long long i = blockIdx.x * warp_size + lane;
        double sum = 0;
        for (long long chunk = slice; chunk < n_chunks && i < n; chunk += n_slices)
            sum += weight_sums[chunk * n_weights + i];
        parts[slice][lane] = sum;
        __syncthreads();
        if (slice || i >= n) return;
        for (int k = 1; k < n_slices; ++k) sum += parts[k][lane];
        const long long input = i / tile / taps % n_inputs, channel = i / (tile * taps * n_inputs) * tile + i % tile;
        if (channel < n_channels)
            of_weights[(channel * n_inputs + input) * size + (size - taps) / 2 + i / tile % taps] = T(sum);
        return;
    }
    const long long result = blockIdx.x - n_blocks, row = result / n_channels, channel = result % n_channels;
    const bool last = row > n_merged;  // the biases of the merge stand beyond the last row
    const long long moved = result - (n_merged + 1) * n_channels;
    const long long column = last ? (n_merged + 1) * n_columns + moved : row * n_columns + first_column + channel;
    double sum = 0;
    for (long long i = thread; i < n_parts; i += block_size) sum += row_sums[i * n_of_part + column];
    sum = block_sum<block_size>(sum);
    if (thread) return;
    if (last) of_merge_bias[moved] = T(sum);
    else if (row == n_merged) of_biases[channel] = T(sum);
    else of_merge[row * row_size + channel] = T(sum);
}

// --- on the tensor cores --------------------------------------------------------------------------------------------
//
// Each warp has `span` samples of a row, and two groups of channels at a time.

// sums = the biases and convolutions of two groups of channels, number `first` and `second`, at the samples of a warp,
// which begin `halo` samples after x does. All threads must come, as they load weights together if not all are in
// shared memory; warps without samples compute nothing.
__device__ __forceinline__ void convolve_pair(float (&sums)[n_columns_of_warp][4], const float *__restrict__ x,
                                              int input_stride, int halo, bool has_samples,
                                              const float *__restrict__ weights, float *__restrict__ shared,
                                              bool all_weights, const Group *__restrict__ groups, int first, int second,
                                              const float *__restrict__ biases, int n_inputs) {
    constexpr int tile = group_size<float>;
    const int n_taps = int(groups[first].taps), channel = threadIdx.x % warp_size / 4;
    const float *of_first = weights + groups[first].weights, *of_second = weights + groups[second].weights;
#pragma unroll
    for (int n = 0; n < n_columns_of_warp; ++n) {
        sums[n][0] = sums[n][1] = biases[first * tile + channel];
        sums[n][2] = sums[n][3] = biases[second * tile + channel];
    }
    for (int input = 0; input < n_inputs; ++input, x += input_stride)
        for (int begin = 0; begin < n_taps; begin += most_taps) {
            const int n = min(n_taps - begin, most_taps), place = (input * n_taps + begin) * tile;
            if (!all_weights) {
                __syncthreads();  // those before may still be in use
                copy<tile, true>(of_first + place, n, shared);
                copy<tile, true>(of_second + place, n, shared + most_taps * tile);
                __syncthreads();
            }
            if (has_samples)
                add_products(sums, x + halo - n_taps / 2 + begin,
                             all_weights ? shared + (of_first - weights) + place : shared,
                             all_weights ? shared + (of_second - weights) + place : shared + most_taps * tile, n);
        }
}

// As `convolve`.
template <int>  // so that it is compiled where it is asked for, as the others are
__global__ void __launch_bounds__(128, blocks_of_products)
    convolve_tf32(const float *__restrict__ x, const float *__restrict__ weights, const Group *__restrict__ groups,
                  const float *__restrict__ biases, const float *__restrict__ merge,
                  const float *__restrict__ merge_bias, float *__restrict__ y, long long n_records, long long n_inputs,
                  long long length, long long dilation, long long n_groups, long long n_pairs, long long n_out,
                  long long relu, long long most_merged, long long rows, long long units, long long tiles_of_row,
                  long long halo, long long stride, long long n_weights, long long all_weights) {
    constexpr int tile = group_size<float>, n_columns = n_columns_of_warp;
    DYNAMIC_SHARED(memory);
    const Tile where{int(n_records * dilation), int(n_inputs), int(length), int(dilation), int(rows), int(units),
                     int(blockIdx.x) / int(tiles_of_row) * int(rows),
                     int(blockIdx.x) % int(tiles_of_row) * int(units)};
    const int thread = threadIdx.x, n_threads = blockDim.x, lane = thread % warp_size, warp = thread / warp_size;
    float *const samples = reinterpret_cast<float *>(memory);
    float *const shared = samples + where.n_inputs * where.rows * int(stride);
    float *const results = shared + int(n_weights) + thread;  // (output, column, one of two moments, thread)
    const int first_merged = blockIdx.y * int(most_merged);
    const int n_results = merge == nullptr ? 0 : min(int(most_merged), int(n_out) - first_merged);

    load_rows<span, true>(x, where, where.n_inputs, 0, -int(halo), where.units * span + 2 * int(halo), int(stride),
                          samples);
    if (all_weights) copy<tile, true>(weights, (int(n_weights) - span) / tile, shared);  // and room to read on
    __syncthreads();

    for (int of_first_warp = 0; of_first_warp < where.rows * where.units; of_first_warp += n_threads / warp_size) {
        const bool has_samples = of_first_warp + warp < where.rows * where.units;
        const int row = has_samples ? (of_first_warp + warp) / where.units : 0;
        const int begin = (of_first_warp + warp) % where.units * span;
        const int moments = where.samples<span>(row) - begin - lane % 4 * 2;  // left from this thread's first one on
        const long long moment = (long long)(begin + lane % 4 * 2) * where.dilation;
        for (int i = 0; i < n_results * 2 * n_columns; ++i) results[i * n_threads] = 0;

        for (int pair = 0; pair < int(n_pairs); ++pair) {
            const int first = int(groups[pair].pair), second = first + int(groups[pair].has_second), channel = lane / 4;
            const bool in_first = channel < int(groups[first].n_channels);
            const bool in_second = second > first && channel < int(groups[second].n_channels);
            float h[n_columns][4];
            convolve_pair(h, samples + row * int(stride) + begin, where.rows * int(stride), int(halo), has_samples,
                          weights, shared, all_weights != 0, groups, first, second, biases, where.n_inputs);
#pragma unroll
            for (int n = 0; n < n_columns; ++n)
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    if (relu) h[n][i] = h[n][i] <= 0 ? 0 : h[n][i];
                    if (!(i < 2 ? in_first : in_second)) h[n][i] = 0;
                }
            for (int m = 0; m < n_results; ++m) {
                const float *__restrict__ row_of_merge = merge + (first_merged + m) * int(n_groups) * tile + channel;
                const float of_first = row_of_merge[first * tile];
                const float of_second = in_second ? row_of_merge[second * tile] : 0;
#pragma unroll
                for (int n = 0; n < n_columns; ++n)
#pragma unroll
                    for (int i = 0; i < 2; ++i) {
                        const float sum = of_first * h[n][i] + of_second * h[n][i + 2];
                        results[((m * n_columns + n) * 2 + i) * n_threads] += sum;
                    }
            }
            if (merge != nullptr || !has_samples) continue;
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                if (!(i < 2 ? in_first : in_second)) continue;
                const int of_layer = int(groups[i < 2 ? first : second].channel) + channel;
                float *__restrict__ to = y + where.place<span>(row, int(n_out), of_layer) + moment;
#pragma unroll
                for (int n = 0; n < n_columns; ++n)
                    if (n * 8 + i % 2 < moments) to[(n * 8 + i % 2) * where.dilation] = h[n][i];
            }
        }

        for (int m = 0; m < n_results; ++m) {  // sums over the lanes that have the same moments, each keeps one column
            float sums[n_columns][2];
#pragma unroll
            for (int n = 0; n < n_columns; ++n)
#pragma unroll
                for (int i = 0; i < 2; ++i) sums[n][i] = results[((m * n_columns + n) * 2 + i) * n_threads];
#pragma unroll
            for (int half = n_columns / 2; half > 0; half /= 2)
#pragma unroll
                for (int n = 0; n < half; ++n)
#pragma unroll
                    for (int i = 0; i < 2; ++i) {
                        const bool upper = (lane / 4 & half) != 0;
                        const float away = upper ? sums[n][i] : sums[n + half][i];
                        const float stays = upper ? sums[n + half][i] : sums[n][i];
                        sums[n][i] = stays + __shfl_xor_sync(full_warp, away, 4 * half);
                    }
            float *__restrict__ to = y + where.place<span>(row, int(n_out), first_merged + m) + moment;
#pragma unroll
            for (int i = 0; i < 2; ++i)
                if (has_samples && lane / 4 * 8 + i < moments)
                    to[(lane / 4 * 8 + i) * where.dilation] = sums[0][i] + merge_bias[first_merged + m];
        }
    }
}

// As `differentiate`, for a pair of groups. Gradients of weights: a warp has an input, `span` of its taps and a part of
// the moments of a tile, which has sums of its own in weight_sums.
template <int>  // so that it is compiled where it is asked for, as the others are
__global__ void __launch_bounds__(128, blocks_of_products)
    differentiate_tf32(const float *__restrict__ grad_y, const float *__restrict__ x, const float *__restrict__ weights,
                       const Group *__restrict__ groups, const float *__restrict__ biases,
                       const float *__restrict__ merge, double *__restrict__ weight_sums, double *__restrict__ row_sums,
                       float *__restrict__ grad_h, long long n_records, long long n_inputs, long long length,
                       long long dilation, long long n_groups, long long n_channels, long long n_merged, long long relu,
                       long long rows, long long units, long long tiles_of_row, long long n_tiles, long long stride,
                       long long n_weights, long long n_rows_of_sums, long long n_parts) {
    constexpr int tile = group_size<float>, n_columns = n_columns_of_warp;
    DYNAMIC_SHARED(memory);
    const int thread = threadIdx.x, lane = thread % warp_size, warp = thread / warp_size;
    const int n_warps = blockDim.x / warp_size, channel = lane / 4;
    const int first = int(groups[blockIdx.y].pair), second = first + int(groups[blockIdx.y].has_second);
    const bool in_first = channel < int(groups[first].n_channels);
    const bool in_second = second > first && channel < int(groups[second].n_channels);
    const int taps = int(groups[first].taps), reach = taps / 2, n_spans = (taps + span - 1) / span;
    Tile where{int(n_records * dilation), int(n_inputs), int(length), int(dilation), int(rows), int(units), 0, 0};
    const int n_units = where.rows * where.units, n_samples = n_units * span;
    float *const samples = reinterpret_cast<float *>(memory);
    float *const shared = samples + where.n_inputs * where.rows * int(stride);
    float *const gradients = shared + 2 * most_taps * tile;  // (group, row, moment, channel)

    weight_sums += blockIdx.x * n_parts * n_weights;
    row_sums += (blockIdx.x * n_warps + warp) * n_rows_of_sums;
    const int width = int(n_groups) * tile;  // of a row of these sums
    const int last = int(n_tiles * (blockIdx.x + 1) / gridDim.x);
    for (int index = int(n_tiles * blockIdx.x / gridDim.x); index < last; ++index) {
        where.first_row = index / int(tiles_of_row) * where.rows;
        where.first_unit = index % int(tiles_of_row) * where.units;
        __syncthreads();  // the tile before is done
        load_rows<span, true>(x, where, where.n_inputs, 0, -reach, (where.units + n_spans) * span, int(stride),
                              samples);
        __syncthreads();

        for (int of_first_warp = 0; of_first_warp < n_units; of_first_warp += n_warps) {
            const int unit = of_first_warp + warp, row = unit < n_units ? unit / where.units : 0;
            const int begin = unit % where.units * span + lane % 4 * 2;
            const int moments = unit < n_units ? where.samples<span>(row) - begin : 0;
            float h[n_columns][4];
            convolve_pair(h, samples + row * int(stride) + unit % where.units * span, where.rows * int(stride), reach,
                          unit < n_units, weights, shared, false, groups, first, second, biases, where.n_inputs);
            unsigned open = 0;  // a bit for each h whose gradient passes, the last one in the lowest bit
#pragma unroll
            for (int n = 0; n < n_columns; ++n)
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    const bool there = (i < 2 ? in_first : in_second) && n * 8 + i % 2 < moments;
                    const bool passes = there && !(relu && h[n][i] <= 0);
                    open = 2 * open + passes;
                    h[n][i] = passes ? h[n][i] : 0;
                }
            float of_bias[2] = {0, 0};
            const long long moment = (long long)begin * where.dilation;
            if (n_merged) {
                const float *upstream = grad_y + where.place<span>(row, int(n_merged), 0) + moment;
#pragma unroll 1
                for (int m = 0; m < int(n_merged); ++m, upstream += where.length) {
                    float sums[2] = {0, 0}, of_thread = 0;
#pragma unroll
                    for (int n = 0; n < n_columns; ++n)
#pragma unroll
                        for (int i = 0; i < 2; ++i) {
                            const float from = n * 8 + i < moments ? upstream[(n * 8 + i) * where.dilation] : 0;
                            sums[0] += h[n][i] * from;
                            sums[1] += h[n][i + 2] * from;
                            of_thread += from;
                        }
#pragma unroll
                    for (int distance = 1; distance < 4; distance *= 2)
#pragma unroll
                        for (int i = 0; i < 2; ++i) sums[i] += __shfl_xor_sync(full_warp, sums[i], distance);
                    if (lane % 4 == 0) {
                        row_sums[m * width + first * tile + channel] += sums[0];
                        if (in_second) row_sums[m * width + second * tile + channel] += sums[1];
                    }
                    if (first == 0) {
                        of_thread = warp_sum(channel == 0 ? of_thread : 0);
                        if (lane == 0) row_sums[(int(n_merged) + 1) * width + m] += of_thread;
                    }
                }
                upstream -= n_merged * length;
#pragma unroll
                for (int n = 0; n < n_columns; ++n)
#pragma unroll
                    for (int i = 0; i < 4; ++i) h[n][i] = 0;
#pragma unroll 1
                for (int m = 0; m < int(n_merged); ++m, upstream += where.length) {
                    const float of_first = merge[m * width + first * tile + channel];
                    const float of_second = in_second ? merge[m * width + second * tile + channel] : 0;
#pragma unroll
                    for (int n = 0; n < n_columns; ++n)
#pragma unroll
                        for (int i = 0; i < 2; ++i) {
                            const float from = n * 8 + i < moments ? upstream[(n * 8 + i) * where.dilation] : 0;
                            h[n][i] += of_first * from;
                            h[n][i + 2] += of_second * from;
                        }
                }
            } else {
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    const int of_layer = int(groups[i < 2 ? first : second].channel) + channel;
                    const float *upstream = grad_y + where.place<span>(row, int(n_channels), of_layer) + moment;
#pragma unroll
                    for (int n = 0; n < n_columns; ++n) {
                        const bool there = (i < 2 ? in_first : in_second) && n * 8 + i % 2 < moments;
                        h[n][i] = there ? upstream[(n * 8 + i % 2) * where.dilation] : 0;
                    }
                }
            }
#pragma unroll
            for (int n = 0; n < n_columns; ++n)
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    h[n][i] = open >> (4 * (n_columns - n) - 1 - i) & 1 ? h[n][i] : 0;
                    of_bias[i / 2] += h[n][i];
                    if (unit < n_units)
                        gradients[(i / 2 * n_samples + row * where.units * span + begin + n * 8 + i % 2) * tile +
                                  channel] = to_tf32(h[n][i]);
                }
#pragma unroll
            for (int distance = 1; distance < 4; distance *= 2)
#pragma unroll
                for (int i = 0; i < 2; ++i) of_bias[i] += __shfl_xor_sync(full_warp, of_bias[i], distance);
            if (lane % 4 == 0) {
                row_sums[int(n_merged) * width + first * tile + channel] += of_bias[0];
                if (in_second) row_sums[int(n_merged) * width + second * tile + channel] += of_bias[1];
            }
            if (grad_h != nullptr)
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    if (!(i < 2 ? in_first : in_second)) continue;
                    float *__restrict__ to =
                        grad_h + where.place<span>(row, width, (i < 2 ? first : second) * tile + channel) + moment;
#pragma unroll
                    for (int n = 0; n < n_columns; ++n)
                        if (n * 8 + i % 2 < moments) to[(n * 8 + i % 2) * where.dilation] = h[n][i];
                }
        }
        __syncthreads();

        for (int job = warp; job < where.n_inputs * n_spans * int(n_parts); job += n_warps) {
            const int part = job % int(n_parts), of_part = job / int(n_parts);
            const int input = of_part / n_spans, tap = of_part % n_spans * span;
            const int from = part * where.units / int(n_parts) * span;
            const int until = (part + 1) * where.units / int(n_parts) * span;
            float products[n_columns][4];
#pragma unroll
            for (int n = 0; n < n_columns; ++n)
#pragma unroll
                for (int i = 0; i < 4; ++i) products[n][i] = 0;
            for (int row = 0; row < where.rows; ++row) {
                const float *of_row = gradients + (row * where.units * span + from) * tile;
                const float *of_second = of_row + (second > first ? n_samples * tile : 0);
                add_products(products, samples + (input * where.rows + row) * int(stride) + from + tap, of_row,
                             of_second, min(until, where.samples<span>(row)) - from);
            }
            double *__restrict__ to = weight_sums + part * n_weights + input * taps * tile + channel;
#pragma unroll
            for (int n = 0; n < n_columns; ++n)
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    const int of_tap = tap + n * 8 + lane % 4 * 2 + i % 2;
                    if (of_tap < taps && (i < 2 || second > first))
                        to[groups[i < 2 ? first : second].weights + of_tap * tile] += products[n][i];
                }
        }
    }
}

}  // namespace ecgkern
