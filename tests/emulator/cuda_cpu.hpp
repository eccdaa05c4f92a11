// CUDA C++ on the CPU, for tests: the words of the language, a block of threads at a time.
//
// Blocks run one after another. The threads of a block are fibers of one thread of the system, each run until it waits
// at a barrier, or, with EMULATOR_THREADS, threads of the system, so that ThreadSanitizer sees a missing barrier.
// Dynamic shared memory is filled with NaN before each block. Shuffles and matrix products (cuda/mma.cuh) need all
// threads of a warp, as the full mask says. What only a GPU shows: speed, rounding of fused operations, registers.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>
#ifdef EMULATOR_THREADS
#include <atomic>
#include <barrier>
#include <thread>
#else
#include <csetjmp>
#include <ucontext.h>
#endif

struct dim3 {
    unsigned x = 1, y = 1, z = 1;
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(16) double2 {
    double x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

namespace emulator {

constexpr int warp_size = 32, mailbox_bytes = 128;

struct Thread {
    dim3 index;
    unsigned rank = 0;
    alignas(16) unsigned char mailbox[mailbox_bytes];
#ifndef EMULATOR_THREADS
    ucontext_t context;
    std::jmp_buf resume;
    bool started = false, finished = false;
#endif
};

#ifdef EMULATOR_THREADS
inline thread_local Thread *self = nullptr;
struct Barrier {
    std::unique_ptr<std::barrier<>> barrier;
    explicit Barrier(int n) : barrier(std::make_unique<std::barrier<>>(n)) {}
    void wait() { barrier->arrive_and_wait(); }
    void leave() { barrier->arrive_and_drop(); }
};
#else
inline Thread *self = nullptr;
inline std::jmp_buf scheduler;
inline void yield() {
    if (_setjmp(self->resume) == 0) _longjmp(scheduler, 1);
}
struct Barrier {
    int expected, arrived = 0;
    unsigned generation = 0;
    explicit Barrier(int n) : expected(n) {}
    void wait() {
        const unsigned mine = generation;
        if (++arrived == expected) open();
        else while (generation == mine) yield();
    }
    void leave() {
        --expected;
        if (expected > 0 && arrived == expected) open();
    }
    void open() { arrived = 0, ++generation; }
};
#endif

inline dim3 block_index, block_extent, grid_extent;
inline std::vector<Thread> threads;
inline std::vector<Barrier> warps;
inline std::unique_ptr<Barrier> block;
inline unsigned char *dynamic_shared = nullptr;

inline Barrier &warp() { return warps[self->rank / warp_size]; }
inline Thread &lane(unsigned i) { return threads[self->rank / warp_size * warp_size + i]; }

// Every thread of the warp shows `mine` to the others; `read` then looks at what they show.
template <class T, class Read> auto exchange(const T &mine, Read read) {
    static_assert(sizeof(T) <= mailbox_bytes);
    std::memcpy(self->mailbox, &mine, sizeof mine);
    warp().wait();
    auto result = read([](unsigned i) {
        T theirs;
        std::memcpy(&theirs, lane(i).mailbox, sizeof theirs);
        return theirs;
    });
    warp().wait();
    return result;
}

struct Call {
    void (*kernel)(void **);
    void **arguments;
};
inline Call call;

inline void run_thread() {
    call.kernel(call.arguments);
    warp().leave();
    block->leave();
}

#ifdef EMULATOR_THREADS
inline void run_block() {
    std::vector<std::thread> running;
    for (Thread &thread : threads)
        running.emplace_back([&thread] {
            self = &thread;
            run_thread();
        });
    for (std::thread &thread : running) thread.join();
}
#else
constexpr std::size_t stack_bytes = 256 * 1024;
inline std::vector<std::unique_ptr<unsigned char[]>> stacks;

inline void begin_fiber() {
    run_thread();
    self->finished = true;
    _longjmp(scheduler, 1);
}

inline void run_block() {
    while (stacks.size() < threads.size()) stacks.emplace_back(new unsigned char[stack_bytes]);
    std::size_t left = threads.size(), idle = 0;
    while (left) {
        for (volatile std::size_t i = 0; i < threads.size(); i = i + 1) {
            self = &threads[i];
            if (self->finished) continue;
            if (_setjmp(scheduler) == 0) {
                if (self->started) _longjmp(self->resume, 1);
                self->started = true;
                getcontext(&self->context);
                self->context.uc_stack.ss_sp = stacks[i].get();
                self->context.uc_stack.ss_size = stack_bytes;
                makecontext(&self->context, begin_fiber, 0);
                setcontext(&self->context);
            }
            if (threads[i].finished) left = left - 1, idle = 0;
        }
        if (++idle > 1000000) {
            std::fprintf(stderr, "emulator: some threads wait at a barrier that others never reach\n");
            std::abort();
        }
    }
}
#endif

template <class... P, std::size_t... I>
void apply(void (*kernel)(P...), void **arguments, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_cv_t<P> *>(arguments[I])...);
}
template <class... P> void apply(void (*kernel)(P...), void **arguments) {
    apply(kernel, arguments, std::index_sequence_for<P...>{});
}
template <class... P> constexpr int count(void (*)(P...)) { return sizeof...(P); }

struct Kernel {
    const char *name;
    int n_parameters;
    void (*run)(void **);
};
template <auto kernel> constexpr Kernel entry(const char *name) {
    return {name, count(kernel), [](void **arguments) { apply(kernel, arguments); }};
}

inline void launch(const Kernel &kernel, dim3 grid, dim3 extent, std::size_t shared, void **arguments) {
    const unsigned n = extent.x * extent.y * extent.z;
    static std::vector<unsigned char> memory;
    memory.resize(shared + 128);
    dynamic_shared = memory.data() + (128 - reinterpret_cast<std::uintptr_t>(memory.data()) % 128);
    grid_extent = grid, block_extent = extent;
    call = {kernel.run, arguments};
    for (unsigned z = 0; z < grid.z; ++z)
        for (unsigned y = 0; y < grid.y; ++y)
            for (unsigned x = 0; x < grid.x; ++x) {
                block_index = {x, y, z};
                std::memset(dynamic_shared, 0xff, shared);
                threads = std::vector<Thread>(n);
                warps.clear();
                for (unsigned first = 0; first < n; first += warp_size)
                    warps.emplace_back(static_cast<int>(std::min<unsigned>(warp_size, n - first)));
                block = std::make_unique<Barrier>(static_cast<int>(n));
                for (unsigned i = 0; i < n; ++i) {
                    threads[i].rank = i;
                    threads[i].index = {i % extent.x, i / extent.x % extent.y, i / (extent.x * extent.y)};
                }
                run_block();
            }
}

}  // namespace emulator

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __noinline__
#define __restrict__ __restrict
#define __shared__ static
#define __align__(n) alignas(n)
#define __launch_bounds__(...)
#define threadIdx (emulator::self->index)
#define blockIdx (emulator::block_index)
#define blockDim (emulator::block_extent)
#define gridDim (emulator::grid_extent)
#define warpSize 32

inline void __syncthreads() { emulator::block->wait(); }
inline void __syncwarp(unsigned = ~0u) { emulator::warp().wait(); }
template <class T> T __shfl_sync(unsigned, T value, int source, int width = 32) {
    const unsigned i = emulator::self->rank % 32;
    return emulator::exchange(value, [&](auto of) { return of(i / width * width + source % width); });
}
template <class T> T __shfl_xor_sync(unsigned, T value, int mask, int = 32) {
    const unsigned i = emulator::self->rank % 32;
    return emulator::exchange(value, [&](auto of) { return of(i ^ mask); });
}
template <class T> T __shfl_down_sync(unsigned, T value, int delta, int width = 32) {
    const unsigned i = emulator::self->rank % 32;
    return emulator::exchange(value, [&](auto of) { return of(i % width + delta < unsigned(width) ? i + delta : i); });
}
template <class T> T __shfl_up_sync(unsigned, T value, int delta, int width = 32) {
    const unsigned i = emulator::self->rank % 32;
    return emulator::exchange(value, [&](auto of) { return of(int(i % width) - delta >= 0 ? i - delta : i); });
}
inline unsigned __ballot_sync(unsigned, int predicate) {
    return emulator::exchange(predicate, [&](auto of) {
        unsigned bits = 0;
        for (int i = 0; i < 32; ++i) bits |= unsigned(of(i) != 0) << i;
        return bits;
    });
}

template <class T> T __ldg(const T *p) { return *p; }
template <class T, class U> T atomicAdd(T *p, U value) {
#ifdef EMULATOR_THREADS
    return std::atomic_ref<T>(*p).fetch_add(T(value));
#else
    const T before = *p;
    *p = before + T(value);
    return before;
#endif
}
inline unsigned atomicOr(unsigned *p, unsigned value) {
#ifdef EMULATOR_THREADS
    return std::atomic_ref<unsigned>(*p).fetch_or(value);
#else
    const unsigned before = *p;
    *p = before | value;
    return before;
#endif
}
template <class T> T atomicMax(T *p, T value) {
#ifdef EMULATOR_THREADS
    std::atomic_ref<T> shared(*p);
    T before = shared.load();
    while (before < value && !shared.compare_exchange_weak(before, value)) {}
    return before;
#else
    const T before = *p;
    *p = std::max(before, value);
    return before;
#endif
}

inline unsigned __float_as_uint(float x) { unsigned r; std::memcpy(&r, &x, 4); return r; }
inline float __uint_as_float(unsigned x) { float r; std::memcpy(&r, &x, 4); return r; }
inline long long __double_as_longlong(double x) { long long r; std::memcpy(&r, &x, 8); return r; }
inline double __longlong_as_double(long long x) { double r; std::memcpy(&r, &x, 8); return r; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float rsqrt(float x) { return rsqrtf(x); }
inline float __expf(float x) { return std::exp(x); }
inline void sincospi(double x, double *s, double *c) {
    const double r = std::remainder(x, 2.0);
    *s = std::sin(M_PI * r), *c = std::cos(M_PI * r);
}
inline void sincospif(float x, float *s, float *c) {
    double a, b;
    sincospi(x, &a, &b);
    *s = float(a), *c = float(b);
}
template <class T, class U> constexpr std::common_type_t<T, U> min(T a, U b) { return b < a ? b : a; }
template <class T, class U> constexpr std::common_type_t<T, U> max(T a, U b) { return a < b ? b : a; }

#define EMULATE(...)                                                                                                  \
    static const emulator::Kernel kernels[] = {__VA_ARGS__};                                                          \
    extern "C" int emulate(const char *name, const unsigned *grid, const unsigned *extent, std::size_t shared,        \
                           int n_arguments, void **arguments) {                                                       \
        for (const emulator::Kernel &kernel : kernels)                                                                \
            if (!std::strcmp(kernel.name, name)) {                                                                    \
                if (kernel.n_parameters != n_arguments) return 2;                                                     \
                emulator::launch(kernel, {grid[0], grid[1], grid[2]}, {extent[0], extent[1], extent[2]}, shared,      \
                                 arguments);                                                                          \
                return 0;                                                                                             \
            }                                                                                                         \
        return 1;                                                                                                     \
    }
