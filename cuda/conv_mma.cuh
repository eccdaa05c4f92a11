// Convolutions as products of small matrices on the tensor cores, in TF32: 10 bits after the point, sums in float.
//
// Rows of the product are 16 channels, columns 8 neighbouring samples, and what is summed over 8 taps at a time: the
// second factor, (tap, sample), is x[tap + sample], read from x as it stands. A column further and 8 taps further it is
// the same, so that a warp that has 8 columns reads 2 values of x for 8 taps, and as many registers move on.
#pragma once
#include "mma.cuh"

namespace ecgkern {

// The nearest number that TF32 has.
__device__ __forceinline__ float to_tf32(float x) {
    const unsigned bits = __float_as_uint(x);
    return (bits & 0x7f800000u) == 0x7f800000u ? x : __uint_as_float((bits + 0x1000u) & 0xffffe000u);
}

// D += A B with A (16, 8), B (8, 8): with g = lane / 4 and t = lane % 4, a[0] and a[1] are rows g and g + 8 of column
// t, a[2] and a[3] of column t + 4; b0 and b1 rows t and t + 4 of column g; d[0] and d[1] row g, columns 2t and 2t + 1,
// d[2] and d[3] row g + 8.
__device__ __forceinline__ void multiply_tf32(float (&d)[4], const float (&a)[4], float b0, float b1) {
#if defined(__CUDACC__) && __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])),
          "r"(__float_as_uint(a[3])), "r"(__float_as_uint(b0)), "r"(__float_as_uint(b1)));
#elif defined(__CUDACC__)  // cards that have no TF32
    const int lane = threadIdx.x % warp_size;
#pragma unroll
    for (int k = 0; k < 8; ++k) {
        const int of_row = lane / 4 * 4 + k % 4, of_column = lane % 4 * 8 + k % 4;
        const float upper = __shfl_sync(full_warp, k < 4 ? a[0] : a[2], of_row);
        const float lower = __shfl_sync(full_warp, k < 4 ? a[1] : a[3], of_row);
        const float left = __shfl_sync(full_warp, k < 4 ? b0 : b1, of_column);
        const float right = __shfl_sync(full_warp, k < 4 ? b0 : b1, of_column + 4);
        d[0] += upper * left, d[1] += upper * right, d[2] += lower * left, d[3] += lower * right;
    }
#else
    const auto value = [](unsigned bits, unsigned) { return __uint_as_float(bits); };
    const unsigned first[4] = {__float_as_uint(a[0]), __float_as_uint(a[1]), __float_as_uint(a[2]),
                               __float_as_uint(a[3])};
    const unsigned second[2] = {__float_as_uint(b0), __float_as_uint(b1)};
    multiply_exchanged<1>(d, first, second, value, value);
#endif
}

constexpr int n_columns_of_warp = 8, span = 64;  // samples of a warp
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
constexpr int blocks_of_products = 3;  // of 128 threads at a time on a multiprocessor
#else
constexpr int blocks_of_products = 4;
#endif

// sums[n]: rows are channels, 8 of `first` and 8 of `second`, columns samples 8 n ... 8 n + 7; += the sum over taps i
// below n_taps of weights[i][channel] x[i + sample]. Weights are (tap, 8 channels); what x and weights hold beyond is
// read, but not used.
__device__ __forceinline__ void add_products(float (&sums)[n_columns_of_warp][4], const float *__restrict__ x,
                                             const float *__restrict__ first, const float *__restrict__ second,
                                             int n_taps) {
    constexpr int n_columns = n_columns_of_warp, size = 8;
    const int lane = threadIdx.x % warp_size, group = lane / 4, tap = lane % 4;
    float upper[n_columns], lower[n_columns];
    x += group + tap;
    first += tap * size + group;
    second += tap * size + group;
#pragma unroll
    for (int n = 0; n < n_columns; ++n) upper[n] = x[n * size], lower[n] = x[n * size + 4];
    for (int begin = 0; begin < n_taps; begin += n_columns * size)
#pragma unroll
        for (int i = 0; i < n_columns; ++i) {
            const int here = begin + i * size;
            if (here >= n_taps) break;
            float a[4] = {first[here * size], second[here * size], first[(here + 4) * size], second[(here + 4) * size]};
            if (here + size <= n_taps) {
#pragma unroll
                for (int n = 0; n < n_columns; ++n)
                    multiply_tf32(sums[n], a, upper[(i + n) % n_columns], lower[(i + n) % n_columns]);
            } else {  // neither factor beyond the last tap, where there may be NaN
                const bool one = here + tap < n_taps, other = here + tap + 4 < n_taps;
                a[0] = one ? a[0] : 0, a[1] = one ? a[1] : 0, a[2] = other ? a[2] : 0, a[3] = other ? a[3] : 0;
#pragma unroll
                for (int n = 0; n < n_columns; ++n)
                    multiply_tf32(sums[n], a, one ? upper[(i + n) % n_columns] : 0,
                                  other ? lower[(i + n) % n_columns] : 0);
            }
            upper[i] = x[here + span], lower[i] = x[here + span + 4];
        }
}

}  // namespace ecgkern
