// The lines of the transposed convolution of a chunk from its products.
#if defined(SGI_CPU_UP_MAP_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef SGI_CPU_UP_MAP_INL_H
#undef SGI_CPU_UP_MAP_INL_H
#else
#define SGI_CPU_UP_MAP_INL_H
#endif

#include "up_tile-inl.h"

#include <algorithm>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace sgi::cpu::HWY_NAMESPACE {

// Zeros in the columns before the first and after the last of a line.
template <class Number> void clear_sides(const UpChunk &chunk, const Layout<Number> &layout, float *line) {
    std::fill_n(line, BEFORE * LANES, 0.0f);
    const size_t end = (BEFORE + OUT * chunk.columns + (chunk.has_right ? 1 : 0)) * LANES;
    std::fill_n(line + end, layout.line - end, 0.0f);
}

// The transposed convolution of LANES channels of one image, from line BEFORE and column BEFORE of `map` on.
template <class Number>
void fill_map(const UpChunk &chunk, const Layout<Number> &layout, const float *memory, size_t image, size_t lane,
              float *map) {
    const size_t line = layout.line, slots = chunk.slots();
    const float *even_even = memory + layout.m[0] + lane, *even_odd = memory + layout.m[1] + lane;
    const float *odd_even = memory + layout.m[2] + lane, *odd_odd = memory + layout.m[3] + lane;
    const size_t point = 4 * slots * PANEL;
    float *start = map + BEFORE * line + BEFORE * LANES;
    const auto at = [&](size_t y, size_t x) { return start + y * line + x * LANES; };
    for (size_t r = 0; r < chunk.rows; ++r) {
        for (size_t c = 0; c < chunk.columns; ++c) {
            const size_t slot = chunk.tile_slot(image, r, c);
            float *to = at(OUT * r, OUT * c);
            Vec m[IN], t[TILE], half[TILE][IN];
            for (size_t j = 0; j < IN; ++j) {
                for (size_t i = 0; i < IN; ++i) m[i] = hn::Load(TAG, even_even + (slot * 25 + i * IN + j) * PANEL);
                transform_output(m, t);
                for (size_t i = 0; i < TILE; ++i) half[i][j] = t[i];
            }
            for (size_t i = 0; i < TILE; ++i) {
                transform_output(half[i], t);
                for (size_t j = 0; j < TILE; ++j) hn::Store(t[j], TAG, to + 2 * i * line + 2 * j * LANES);
            }
            for (size_t j = 0; j < TILE; ++j) {
                for (size_t i = 0; i < IN; ++i) m[i] = hn::Load(TAG, even_odd + i * point + (4 * slot + j) * PANEL);
                transform_output(m, t);
                for (size_t i = 0; i < TILE; ++i) hn::Store(t[i], TAG, to + 2 * i * line + (2 * j + 1) * LANES);
            }
            for (size_t i = 0; i < TILE; ++i) {
                for (size_t j = 0; j < IN; ++j) m[j] = hn::Load(TAG, odd_even + j * point + (4 * slot + i) * PANEL);
                transform_output(m, t);
                for (size_t j = 0; j < TILE; ++j) {
                    hn::Store(t[j], TAG, to + (2 * i + 1) * line + 2 * j * LANES);
                    hn::Store(hn::Load(TAG, odd_odd + (16 * slot + i * TILE + j) * PANEL), TAG,
                              to + (2 * i + 1) * line + (2 * j + 1) * LANES);
                }
            }
        }
        if (chunk.has_right) {
            const size_t slot = chunk.right_slot(image, r);
            Vec m[IN], t[TILE];
            for (size_t i = 0; i < IN; ++i) m[i] = hn::Load(TAG, even_even + (slot * 25 + i * IN) * PANEL);
            transform_output(m, t);
            for (size_t i = 0; i < TILE; ++i) {
                hn::Store(t[i], TAG, at(OUT * r + 2 * i, OUT * chunk.columns));
                hn::Store(hn::Load(TAG, odd_even + (4 * slot + i) * PANEL), TAG,
                          at(OUT * r + 2 * i + 1, OUT * chunk.columns));
            }
        }
        for (size_t y = OUT * r; y < OUT * (r + 1); ++y) clear_sides(chunk, layout, map + (BEFORE + y) * line);
    }
    if (!chunk.has_bottom) return;
    const size_t y = OUT * chunk.rows;
    for (size_t c = 0; c < chunk.columns; ++c) {
        const size_t slot = chunk.bottom_slot(image, c);
        Vec m[IN], t[TILE];
        for (size_t j = 0; j < IN; ++j) m[j] = hn::Load(TAG, even_even + (slot * 25 + j) * PANEL);
        transform_output(m, t);
        for (size_t j = 0; j < TILE; ++j) {
            hn::Store(t[j], TAG, at(y, OUT * c + 2 * j));
            hn::Store(hn::Load(TAG, even_odd + (4 * slot + j) * PANEL), TAG, at(y, OUT * c + 2 * j + 1));
        }
    }
    if (chunk.has_right)
        hn::Store(hn::Load(TAG, even_even + chunk.corner_slot(image) * 25 * PANEL), TAG, at(y, OUT * chunk.columns));
    clear_sides(chunk, layout, map + (BEFORE + y) * line);
}

} // namespace sgi::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
