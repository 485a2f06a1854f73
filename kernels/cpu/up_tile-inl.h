// A tile of an up-convolution: its sizes, its transforms in one direction, and the buffers of a chunk of tiles.
#if defined(SGI_CPU_UP_TILE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef SGI_CPU_UP_TILE_INL_H
#undef SGI_CPU_UP_TILE_INL_H
#else
#define SGI_CPU_UP_TILE_INL_H
#endif

#include "gemm-inl.h"
#include "up_chunk.hpp"

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace sgi::cpu::HWY_NAMESPACE {

constexpr size_t TILE = 4, IN = 5; // inputs of a tile, and with one pixel before it
constexpr size_t OUT = 2 * TILE;   // lines of the transposed convolution
// Matrices of weights by the parity of (line, column): even-even 5 x 5, even-odd 5, odd-even 5, odd-odd 1.
constexpr size_t EVEN_EVEN = 0, EVEN_ODD = 25, ODD_EVEN = 30, ODD_ODD = 35, MATRICES = 36;
constexpr size_t PRODUCTS = 81;
constexpr size_t BEFORE = 3; // lines and columns before those of a chunk that its outputs need

// B^T d for one direction.
HWY_INLINE void transform_input(const Vec *d, Vec *v) {
    const Vec half = hn::Set(TAG, 0.5f), three_halves = hn::Set(TAG, 1.5f);
    v[0] = hn::NegMulAdd(three_halves, hn::Add(d[1], d[2]), hn::Add(d[0], d[3]));
    v[1] = hn::NegMulAdd(hn::Set(TAG, 2.0f), d[1], hn::Sub(d[3], d[2]));
    v[2] = hn::NegMulAdd(hn::Set(TAG, 2.5f), d[2], hn::Add(d[1], d[3]));
    v[3] = hn::MulAdd(half, hn::Sub(d[2], d[1]), d[3]);
    v[4] = hn::NegMulAdd(three_halves, hn::Add(d[2], d[3]), hn::Add(d[1], d[4]));
}

// A^T m for one direction.
HWY_INLINE void transform_output(const Vec *m, Vec *y) {
    const Vec half = hn::Set(TAG, 0.5f), four = hn::Set(TAG, 4.0f);
    y[0] = hn::Add(hn::Add(m[0], m[1]), hn::Add(m[2], m[3]));
    y[1] = hn::MulAdd(half, m[1], hn::NegMulAdd(hn::Set(TAG, -2.0f), m[3], hn::Neg(m[2])));
    y[2] = hn::MulAdd(hn::Set(TAG, 0.25f), m[1], hn::MulAdd(four, m[3], m[2]));
    y[3] = hn::MulAdd(hn::Set(TAG, 0.125f), m[1], hn::MulAdd(hn::Set(TAG, 8.0f), m[3], hn::Sub(m[4], m[2])));
}

// The buffers of a chunk: transformed inputs and products of each parity, and a map.
template <class Number> struct Layout {
    Rows<Number> even_even, even_odd, odd_even, odd_odd; // transformed inputs of one matrix of weights
    size_t v[4], m[4], map, line, total;                 // starts, in units; `line`: of the map

    Layout(const UpChunk &chunk, size_t blocks)
        : even_even(chunk.slots(), blocks), even_odd(4 * chunk.slots(), blocks), odd_even(even_odd),
          odd_odd(16 * chunk.tiles(), blocks) {
        const Rows<Number> *rows[] = {&even_even, &even_odd, &odd_even, &odd_odd};
        const size_t matrices[] = {25, 5, 5, 1};
        total = 0;
        for (size_t i = 0; i < 4; ++i) v[i] = total, total += matrices[i] * rows[i]->units();
        for (size_t i = 0; i < 4; ++i) m[i] = total, total += matrices[i] * rows[i]->count * PANEL;
        map = total;
        line = (BEFORE + OUT * chunk.columns + 2) * LANES;
        total += (BEFORE + OUT * chunk.rows + 2) * line;
    }
};

} // namespace sgi::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
