// The product of all forms of convolution: rows of 16-channel blocks times a panel of packed weights.
#if defined(SGI_CPU_GEMM_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef SGI_CPU_GEMM_INL_H
#undef SGI_CPU_GEMM_INL_H
#else
#define SGI_CPU_GEMM_INL_H
#endif

#include "numbers-inl.h"

#include <algorithm>
#include <array>
#include <utility>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace sgi::cpu::HWY_NAMESPACE {
// Output channels of a panel. Two vectors per row and 14 rows fill 32 registers with one broadcast; with 16 registers
// six rows do.
constexpr bool MANY_REGISTERS = HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM_A64;
constexpr size_t PANEL = LANES == 16 ? 32 : BLOCK;
constexpr size_t VECTORS = PANEL / LANES;
constexpr size_t MAX_ROWS = (MANY_REGISTERS ? 28 : 12) / VECTORS;

// c[row] = sum over channels of a[row] b, for ROWS rows.
// a: blocks of the rows, STEPS units each, one after the other; the next block of channels is `a_block` units behind.
// b: [blocks * STEPS][PANEL] units. c: rows of PANEL floats, `c_row` floats apart.
template <class Number, size_t ROWS>
HWY_NOINLINE void multiply_rows(const float *HWY_RESTRICT a, size_t a_block, size_t blocks, const float *HWY_RESTRICT b,
                                float *HWY_RESTRICT c, size_t c_row) {
    Vec sum[ROWS][VECTORS];
#pragma GCC unroll 16
    for (size_t i = 0; i < ROWS; ++i)
#pragma GCC unroll 16
        for (size_t v = 0; v < VECTORS; ++v) sum[i][v] = hn::Zero(TAG);
    for (size_t block = 0; block < blocks; ++block, a += a_block) {
#pragma GCC unroll 2
        for (size_t step = 0; step < Number::STEPS; ++step, b += PANEL) {
            typename Number::Operand weight[VECTORS];
#pragma GCC unroll 16
            for (size_t v = 0; v < VECTORS; ++v) weight[v] = Number::load(b + v * LANES);
#pragma GCC unroll 16
            for (size_t i = 0; i < ROWS; ++i) {
                const auto x = Number::broadcast(a + i * Number::STEPS + step);
#pragma GCC unroll 16
                for (size_t v = 0; v < VECTORS; ++v) sum[i][v] = Number::multiply_add(x, weight[v], sum[i][v]);
            }
        }
    }
#pragma GCC unroll 16
    for (size_t i = 0; i < ROWS; ++i)
#pragma GCC unroll 16
        for (size_t v = 0; v < VECTORS; ++v) hn::Store(sum[i][v], TAG, c + i * c_row + v * LANES);
}

using MultiplyRows = void (*)(const float *, size_t, size_t, const float *, float *, size_t);

template <class Number, size_t... ROWS>
constexpr std::array<MultiplyRows, sizeof...(ROWS)> multiply_table(std::index_sequence<ROWS...>) {
    return {multiply_rows<Number, ROWS + 1>...};
}

// How the rows of a product lie in memory: groups of at most MAX_ROWS rows, [groups][blocks][rows of the group][STEPS]
// units, so that a group is read from its first byte to its last.
template <class Number> struct Rows {
    size_t count, blocks, group;

    Rows(size_t rows, size_t blocks_of_channels)
        : count(rows), blocks(blocks_of_channels), group(rows / std::max<size_t>(1, (rows + MAX_ROWS - 1) / MAX_ROWS)) {
        if (group * ((rows + MAX_ROWS - 1) / MAX_ROWS) < rows) ++group; // groups of nearly equal size
    }

    size_t group_size(size_t first) const { return std::min(group, count - first); }
    // Where a row of a block is.
    size_t at(size_t row, size_t block) const {
        const size_t first = row - row % group;
        return (first * blocks + block * group_size(first) + row % group) * Number::STEPS;
    }
    // Units between blocks of a row.
    size_t step(size_t row) const { return group_size(row - row % group) * Number::STEPS; }
    // Units of all rows, in whole lines, and one line more, because powers of two share cache sets.
    size_t units() const { return (count * blocks * Number::STEPS + BLOCK) / BLOCK * BLOCK + BLOCK; }
};

// c[row] = a[row] b for the rows from `first` to `last`; the sum of a row does not depend on its group.
template <class Number>
void multiply(const Rows<Number> &rows, size_t first, size_t last, const float *a, const float *b, float *c,
              size_t c_row) {
    static constexpr auto table = multiply_table<Number>(std::make_index_sequence<MAX_ROWS>());
    while (first < last) {
        const size_t start = first - first % rows.group, size = rows.group_size(start);
        const size_t count = std::min(start + size, last) - first;
        table[count - 1](a + rows.at(first, 0), size * Number::STEPS, rows.blocks, b, c + first * c_row, c_row);
        first += count;
    }
}

} // namespace sgi::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
