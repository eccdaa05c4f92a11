// Products of small matrices by a warp on the tensor cores, and what feeds them.
//
// Who holds what, as the PTX manual has it, with g = lane / 4 and t = lane % 4 (D += A B; A has rows m, B columns n):
//
//   multiply_halves, m16 n8 k16, two float16 in a register, the lower k in the lower half
//       a[0]: m = g, k = 2t, 2t + 1      a[1]: m = g + 8, the same k    a[2], a[3]: as those, k + 8
//       b[0]: n = g, k = 2t, 2t + 1      b[1]: k + 8
//   multiply_bytes, m16 n8 k32, four bytes in a register, the lowest k lowest
//       a[0]: m = g, k = 4t ... 4t + 3   a[1]: m = g + 8, the same k    a[2], a[3]: as those, k + 16
//       b[0]: n = g, k = 4t ... 4t + 3   b[1]: k + 16
//   both: d[0], d[1]: m = g, n = 2t, 2t + 1      d[2], d[3]: m = g + 8
//
// Cards before compute capability 8.0 have the same products in pieces, whose registers are these. On the CPU the warp
// exchanges its registers and every lane computes its own four numbers.
#pragma once
#include "common.cuh"

namespace ecgkern {

#ifdef __CUDACC__

// The nearest float16, as bits.
__device__ __forceinline__ unsigned short to_half(float x) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}
__device__ __forceinline__ float from_half(unsigned short bits) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
}

__device__ __forceinline__ unsigned shared_address(const void *pointer) {
    unsigned address;
    asm("{ .reg .u64 a; cvta.to.shared.u64 a, %1; cvt.u32.u64 %0, a; }" : "=r"(address) : "l"(pointer));
    return address;
}

// Copy 16 bytes to shared memory, past the registers; they are there after wait_for_copies and a barrier.
__device__ __forceinline__ void copy_16(void *shared, const void *__restrict__ global) {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(shared)), "l"(global) : "memory");
#else
    *static_cast<uint4 *>(shared) = *static_cast<const uint4 *>(global);
#endif
}
// The copies since the last call are one group; wait until all groups but the `pending` last have arrived.
__device__ __forceinline__ void end_group_of_copies() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
template <int pending> __device__ __forceinline__ void wait_for_copies() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
#endif
}

// Four matrices of 8 rows of 16 bytes: lane l names row l % 8 of matrix l / 8 and gets the 4 bytes number l % 4 of row
// l / 4 of each, which is how the products above take float16.
__device__ __forceinline__ void load_matrices(unsigned (&r)[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

__device__ __forceinline__ void multiply_halves(float (&d)[4], const unsigned (&a)[4], const unsigned *b) {
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    for (int k = 0; k < 2; ++k)
        asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[2 * k]), "r"(a[2 * k + 1]), "r"(b[k]));
#endif
}

// The bytes of a have a sign or not, those of b have one.
template <bool with_sign>
__device__ __forceinline__ void multiply_bytes(int (&d)[4], const unsigned (&a)[4], const unsigned *b) {
#if __CUDA_ARCH__ >= 800
    if (with_sign)
        asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    else
        asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    for (int m = 0; m < 2; ++m)
        for (int k = 0; k < 2; ++k)
            if (with_sign)
                asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
                    : "+r"(d[2 * m]), "+r"(d[2 * m + 1])
                    : "r"(a[2 * k + m]), "r"(b[k]));
            else
                asm("mma.sync.aligned.m8n8k16.row.col.s32.u8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
                    : "+r"(d[2 * m]), "+r"(d[2 * m + 1])
                    : "r"(a[2 * k + m]), "r"(b[k]));
#endif
}

#else  // on the CPU, for tests

inline unsigned short to_half(float x) {
    const _Float16 half = static_cast<_Float16>(x);
    unsigned short bits;
    std::memcpy(&bits, &half, 2);
    return bits;
}
inline float from_half(unsigned short bits) {
    _Float16 half;
    std::memcpy(&half, &bits, 2);
    return half;
}

inline void copy_16(void *shared, const void *global) { std::memcpy(shared, global, 16); }
inline void end_group_of_copies() {}
template <int pending> void wait_for_copies() {}

inline void load_matrices(unsigned (&r)[4], const void *row) {
    const unsigned lane = emulator::self->rank % 32;
    struct Four {
        unsigned r[4];
    };
    const Four four = emulator::exchange(static_cast<const unsigned char *>(row), [&](auto row_of) {
        Four found;
        for (unsigned i = 0; i < 4; ++i) std::memcpy(&found.r[i], row_of(8 * i + lane / 4) + 4 * (lane % 4), 4);
        return found;
    });
    for (int i = 0; i < 4; ++i) r[i] = four.r[i];
}

// d += A B where value_a(register, place in it) and value_b are what a register holds.
template <int per_register, class D, class OfA, class OfB>
void multiply_exchanged(D (&d)[4], const unsigned (&a)[4], const unsigned *b, OfA value_a, OfB value_b) {
    struct Fragments {
        unsigned a[4], b[2];
    };
    struct Four {
        D d[4];
    };
    const unsigned lane = emulator::self->rank % 32;
    const Four sum = emulator::exchange(Fragments{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}}, [&](auto of) {
        Four sum = {};
        for (unsigned t = 0; t < 4; ++t) {
            const Fragments of_a = of(lane / 4 * 4 + t), of_b[2] = {of(lane % 4 * 8 + t), of(lane % 4 * 8 + 4 + t)};
            for (unsigned k = 0; k < 2; ++k)
                for (unsigned place = 0; place < per_register; ++place)
                    for (unsigned i = 0; i < 4; ++i)
                        sum.d[i] += value_a(of_a.a[2 * k + i / 2], place) * value_b(of_b[i % 2].b[k], place);
        }
        return sum;
    });
    for (int i = 0; i < 4; ++i) d[i] += sum.d[i];
}

inline void multiply_halves(float (&d)[4], const unsigned (&a)[4], const unsigned *b) {
    const auto value = [](unsigned r, unsigned place) { return from_half(r >> 16 * place & 0xffff); };
    multiply_exchanged<2>(d, a, b, value, value);
}

template <bool with_sign> void multiply_bytes(int (&d)[4], const unsigned (&a)[4], const unsigned *b) {
    const auto plain = [](unsigned r, unsigned place) { return int(r >> 8 * place & 0xff); };
    const auto with = [](unsigned r, unsigned place) { return int(static_cast<signed char>(r >> 8 * place)); };
    if (with_sign) multiply_exchanged<4>(d, a, b, with, with);
    else multiply_exchanged<4>(d, a, b, plain, with);
}

#endif

}  // namespace ecgkern
