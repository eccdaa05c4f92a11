// What the kernels of all families share. Kernel parameters are pointers, long long and double, nothing else.
#pragma once

#ifdef __CUDACC__
#define DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#else  // on the CPU, for tests: tests/emulator/cuda_cpu.hpp stands before this file
#define DYNAMIC_SHARED(name) unsigned char *const name = emulator::dynamic_shared
#endif

namespace ecgkern {

constexpr int warp_size = 32;
constexpr unsigned full_warp = 0xffffffffu;

template <class T> __device__ __forceinline__ T clamp(T value, T low, T high) {
    return value < low ? low : value > high ? high : value;
}

// Sum over the lanes of a warp, in every lane, always in the same order.
template <class T> __device__ __forceinline__ T warp_sum(T value) {
    for (int distance = warp_size / 2; distance > 0; distance /= 2)
        value += __shfl_xor_sync(full_warp, value, distance);
    return value;
}

// Sum over a block of whole warps, in every thread, always in the same order. All threads of the block must come.
template <int block_size, class T> __device__ T block_sum(T value) {
    constexpr int n_warps = block_size / warp_size;
    static_assert(block_size % warp_size == 0 && n_warps <= warp_size, "whole warps, at most 32 of them");
    __shared__ T of_warp[n_warps];
    const int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    value = warp_sum(value);
    __syncthreads();  // of_warp may still be read from the call before
    if (thread % warp_size == 0) of_warp[thread / warp_size] = value;
    __syncthreads();
    T sum = 0;
    for (int i = 0; i < n_warps; ++i) sum += of_warp[i];
    return sum;
}

// The first index in [low, high) whose value is not below `wanted`, high if there is none; values ascend.
template <class T>
__device__ long long lower_bound(const T *__restrict__ values, long long low, long long high, T wanted) {
    while (low < high) {
        const long long middle = low + (high - low) / 2;
        if (values[middle] < wanted) low = middle + 1;
        else high = middle;
    }
    return low;
}

}  // namespace ecgkern
