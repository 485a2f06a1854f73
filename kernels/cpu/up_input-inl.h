// The inputs of an up-convolution: reads the pixels of a chunk, multiplies them by the styles and transforms them.
#if defined(SGI_CPU_UP_INPUT_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef SGI_CPU_UP_INPUT_INL_H
#undef SGI_CPU_UP_INPUT_INL_H
#else
#define SGI_CPU_UP_INPUT_INL_H
#endif

#include "convolution.hpp"
#include "up_tile-inl.h"

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace sgi::cpu::HWY_NAMESPACE {

// Pixels of LANES channels, times their styles; zero outside the picture.
struct Pixels {
    const float *x;
    Vec style;
    size_t height, width;

    HWY_INLINE Vec at(size_t line, size_t column) const { // -1 is larger than every size
        return line < height && column < width ? inside(line, column) : hn::Zero(TAG);
    }
    HWY_INLINE Vec inside(size_t line, size_t column) const {
        return hn::Mul(style, hn::LoadU(TAG, x + (line * width + column) * BLOCK));
    }
};

// Where the transformed inputs of one slot are: from the first block on, and LANES channels of a block.
template <class Number> struct Slot {
    // Start of a row of a product, and floats between its blocks.
    struct Row {
        float *start = nullptr;
        size_t step = 0;
    };
    Row single, by_column[TILE], by_line[TILE], by_pixel[TILE * TILE]; // rows of each parity
    size_t even_even_point, even_odd_point, lane = 0;

    Slot(const UpChunk &chunk, const Layout<Number> &layout, float *memory, size_t slot)
        : even_even_point(layout.even_even.units()), even_odd_point(layout.even_odd.units()) {
        const auto row = [&](size_t parity, const Rows<Number> &rows, size_t index) {
            return Row{memory + layout.v[parity] + rows.at(index, 0), rows.step(index)};
        };
        single = row(0, layout.even_even, slot);
        for (size_t i = 0; i < TILE; ++i) by_column[i] = row(1, layout.even_odd, TILE * slot + i);
        for (size_t i = 0; i < TILE; ++i) by_line[i] = row(2, layout.odd_even, TILE * slot + i);
        for (size_t i = 0; i < TILE * TILE && slot < chunk.tiles(); ++i)
            by_pixel[i] = row(3, layout.odd_odd, TILE * TILE * slot + i);
    }

    void next_block() {
        single.start += single.step;
        for (size_t i = 0; i < TILE; ++i) by_column[i].start += by_column[i].step, by_line[i].start += by_line[i].step;
        for (Row &row : by_pixel) row.start += row.step;
    }

    HWY_INLINE void even_even(size_t i, size_t j, Vec v) const {
        Number::store(v, single.start + (i * IN + j) * even_even_point, lane);
    }
    HWY_INLINE void even_odd(size_t i, size_t column, Vec v) const {
        Number::store(v, by_column[column].start + i * even_odd_point, lane);
    }
    HWY_INLINE void odd_even(size_t j, size_t line, Vec v) const {
        Number::store(v, by_line[line].start + j * even_odd_point, lane);
    }
    HWY_INLINE void odd_odd(size_t line, size_t column, Vec v) const {
        Number::store(v, by_pixel[line * TILE + column].start, lane);
    }
};

template <bool INSIDE, class Number>
HWY_INLINE void read_tile(const Pixels &pixels, size_t top, size_t left, const Slot<Number> &to) {
    Vec by_line[IN][IN]; // [point of the line][column]
    Vec d[IN][IN];
    for (size_t j = 0; j < IN; ++j) {
        Vec column[IN], t[IN];
        for (size_t i = 0; i < IN; ++i) {
            column[i] = INSIDE ? pixels.inside(top + i - 1, left + j - 1) : pixels.at(top + i - 1, left + j - 1);
            d[i][j] = column[i];
            if (i > 0 && j > 0) to.odd_odd(i - 1, j - 1, column[i]);
        }
        transform_input(column, t);
        for (size_t i = 0; i < IN; ++i) {
            by_line[i][j] = t[i];
            if (j > 0) to.even_odd(i, j - 1, t[i]);
        }
    }
    for (size_t i = 0; i < IN; ++i) {
        Vec t[IN];
        transform_input(by_line[i], t);
        for (size_t j = 0; j < IN; ++j) to.even_even(i, j, t[j]);
    }
    for (size_t i = 1; i < IN; ++i) {
        Vec t[IN];
        transform_input(d[i], t);
        for (size_t j = 0; j < IN; ++j) to.odd_even(j, i - 1, t[j]);
    }
}

// Line top - 1 to top + 3 of the last column, at point 0 of the columns.
template <class Number> HWY_INLINE void read_right(const Pixels &pixels, size_t top, const Slot<Number> &to) {
    Vec d[IN], t[IN];
    for (size_t i = 0; i < IN; ++i) d[i] = pixels.at(top + i - 1, pixels.width - 1);
    transform_input(d, t);
    for (size_t i = 0; i < IN; ++i) to.even_even(i, 0, t[i]);
    for (size_t i = 1; i < IN; ++i) to.odd_even(0, i - 1, d[i]);
}

// Column left - 1 to left + 3 of the last line, at point 0 of the lines.
template <class Number> HWY_INLINE void read_bottom(const Pixels &pixels, size_t left, const Slot<Number> &to) {
    Vec d[IN], t[IN];
    for (size_t j = 0; j < IN; ++j) d[j] = pixels.at(pixels.height - 1, left + j - 1);
    transform_input(d, t);
    for (size_t j = 0; j < IN; ++j) to.even_even(0, j, t[j]);
    for (size_t j = 1; j < IN; ++j) to.even_odd(0, j - 1, d[j]);
}

// The transformed inputs of all slots of a chunk.
template <class Number>
void read_chunk(const ConvShape &shape, const ConvCall &call, const UpChunk &chunk, const Layout<Number> &layout,
                float *memory) {
    const size_t blocks = blocks_of(shape.inputs);
    for (size_t image = 0; image < chunk.images; ++image) {
        const auto each_block = [&](size_t slot, auto read) {
            const size_t row = chunk.first_image + image, block_floats = shape.height * shape.width * BLOCK;
            Slot<Number> to(chunk, layout, memory, slot);
            Pixels pixels{call.x + call.source[row] * blocks * block_floats, {}, shape.height, shape.width};
            const float *style = call.style + row * call.style_stride;
            for (size_t block = 0; block < blocks; ++block, pixels.x += block_floats - BLOCK, to.next_block())
                for (size_t lane = 0; lane < BLOCK; lane += LANES, pixels.x += LANES) {
                    pixels.style = hn::LoadU(TAG, style + block * BLOCK + lane);
                    to.lane = lane;
                    read(pixels, to);
                }
        };
        for (size_t r = 0; r < chunk.rows; ++r)
            for (size_t c = 0; c < chunk.columns; ++c) {
                const size_t top = (chunk.top + r) * TILE, left = (chunk.left + c) * TILE;
                const bool inside = top > 0 && left > 0 && top + TILE <= shape.height && left + TILE <= shape.width;
                each_block(chunk.tile_slot(image, r, c), [&](const Pixels &pixels, const Slot<Number> &to) {
                    inside ? read_tile<true>(pixels, top, left, to) : read_tile<false>(pixels, top, left, to);
                });
            }
        if (chunk.has_right)
            for (size_t r = 0; r < chunk.rows; ++r)
                each_block(chunk.right_slot(image, r), [&](const Pixels &pixels, const Slot<Number> &to) {
                    read_right(pixels, (chunk.top + r) * TILE, to);
                });
        if (chunk.has_bottom)
            for (size_t c = 0; c < chunk.columns; ++c)
                each_block(chunk.bottom_slot(image, c), [&](const Pixels &pixels, const Slot<Number> &to) {
                    read_bottom(pixels, (chunk.left + c) * TILE, to);
                });
        if (chunk.corners())
            each_block(chunk.corner_slot(image), [&](const Pixels &pixels, const Slot<Number> &to) {
                to.even_even(0, 0, pixels.inside(shape.height - 1, shape.width - 1));
            });
    }
}

} // namespace sgi::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
