// The product of all forms of convolution: rows of 16-channel blocks times a panel of packed weights.
#if defined(SGI_CPU_GEMM_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef SGI_CPU_GEMM_INL_H
#undef SGI_CPU_GEMM_INL_H
#else
#define SGI_CPU_GEMM_INL_H
#endif

#include "maps.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace sgi::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::CappedTag<float, BLOCK>;
using Vec = hn::Vec<Tag>;
constexpr Tag TAG;
constexpr size_t LANES = hn::MaxLanes(TAG);
static_assert(BLOCK % LANES == 0, "vectors divide a block");

// Output channels of a panel. Two vectors per row and 14 rows fill 32 registers with one broadcast; with 16 registers
// six rows do.
constexpr bool MANY_REGISTERS = HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM_A64;
constexpr size_t PANEL = LANES == 16 ? 32 : BLOCK;
constexpr size_t VECTORS = PANEL / LANES;
constexpr size_t MAX_ROWS = (MANY_REGISTERS ? 28 : 12) / VECTORS;

// c[row] = sum over channels of a[row] b, for ROWS rows; with ADD, c is added to.
// a: rows of 16 channels, one after the other; the next block of channels is `a_block` floats behind. b: [blocks * 16]
// [PANEL]. c: rows of PANEL floats, `c_row` floats apart.
template <size_t ROWS, bool ADD>
HWY_NOINLINE void multiply_rows(const float *HWY_RESTRICT a, size_t a_block, size_t blocks, const float *HWY_RESTRICT b,
                                float *HWY_RESTRICT c, size_t c_row) {
    Vec sum[ROWS][VECTORS];
#pragma GCC unroll 16
    for (size_t i = 0; i < ROWS; ++i)
#pragma GCC unroll 16
        for (size_t v = 0; v < VECTORS; ++v)
            sum[i][v] = ADD ? hn::Load(TAG, c + i * c_row + v * LANES) : hn::Zero(TAG);
    for (size_t block = 0; block < blocks; ++block, a += a_block) {
#pragma GCC unroll 2
        for (size_t channel = 0; channel < BLOCK; ++channel, b += PANEL) {
            Vec weight[VECTORS];
#pragma GCC unroll 16
            for (size_t v = 0; v < VECTORS; ++v) weight[v] = hn::Load(TAG, b + v * LANES);
#pragma GCC unroll 16
            for (size_t i = 0; i < ROWS; ++i) {
                const Vec x = hn::Set(TAG, a[i * BLOCK + channel]);
#pragma GCC unroll 16
                for (size_t v = 0; v < VECTORS; ++v) sum[i][v] = hn::MulAdd(x, weight[v], sum[i][v]);
            }
        }
    }
#pragma GCC unroll 16
    for (size_t i = 0; i < ROWS; ++i)
#pragma GCC unroll 16
        for (size_t v = 0; v < VECTORS; ++v) hn::Store(sum[i][v], TAG, c + i * c_row + v * LANES);
}

using MultiplyRows = void (*)(const float *, size_t, size_t, const float *, float *, size_t);

template <bool ADD, size_t... ROWS>
constexpr std::array<MultiplyRows, sizeof...(ROWS)> multiply_table(std::index_sequence<ROWS...>) {
    return {multiply_rows<ROWS + 1, ADD>...};
}

// The same for any number of rows, in groups of nearly equal size. The sum of a row does not depend on its group.
template <bool ADD>
void multiply(size_t rows, const float *a, size_t a_block, size_t blocks, const float *b, float *c, size_t c_row) {
    static constexpr auto table = multiply_table<ADD>(std::make_index_sequence<MAX_ROWS>());
    size_t groups = (rows + MAX_ROWS - 1) / MAX_ROWS;
    for (size_t first = 0; groups > 0; --groups) {
        const size_t count = (rows - first + groups - 1) / groups;
        table[count - 1](a + first * BLOCK, a_block, blocks, b, c + first * c_row, c_row);
        first += count;
    }
}

} // namespace sgi::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
