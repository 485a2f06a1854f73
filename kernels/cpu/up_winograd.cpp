// An up-convolution: the transposed 3x3 convolution of stride 2 by Winograd's minimal filtering, then the filter
// [1, 3, 3, 1] in both directions and the epilogue, without an intermediate map in memory.
//
// In one direction the even outputs of the transposed convolution are w[2] x[i - 1] + w[0] x[i], two taps, and the odd
// ones w[1] x[i]. Even outputs take five products for four outputs, F(4, 2), instead of eight; odd ones take four. A
// tile of 4 x 4 inputs takes 81 products instead of 144, with 36 matrices of weights. See docs/cpu-kernels.md.
#include "up_winograd.hpp"

#include "aligned.hpp"
#include "partition.hpp"
#include "up_chunk.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "up_winograd.cpp"
#include <hwy/foreach_target.h> // IWYU pragma: keep

#include "epilogue-inl.h"
#include "fir_rows-inl.h"
#include "gemm-inl.h"
#include "packing-inl.h"
#include "winograd_points.hpp"

#include <stdexcept>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace sgi::cpu::HWY_NAMESPACE {
namespace {

constexpr size_t TILE = 4, IN = 5; // inputs of a tile, and with one pixel before it
constexpr size_t OUT = 2 * TILE;   // lines of the transposed convolution
// Matrices of weights by the parity of (line, column): even-even 5 x 5, even-odd 5, odd-even 5, odd-odd 1.
constexpr size_t EVEN_EVEN = 0, EVEN_ODD = 25, ODD_EVEN = 30, ODD_ODD = 35, MATRICES = 36;
constexpr size_t PRODUCTS = 81;
constexpr size_t BEFORE = 3; // lines and columns before those of a chunk that its outputs need
constexpr size_t MAX_STRIP = 64;

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

// The weights of each parity: two taps of an even line or column are transformed, the tap of an odd one stays.
void transform_weight(const PanelValues *taps, PanelValues *u) {
    PanelValues even[3][IN]; // each line of taps, as an even column
    for (size_t i = 0; i < 3; ++i)
        for (size_t j = 0; j < IN; ++j) combine(F42[j], {&taps[3 * i + 2], &taps[3 * i]}, even[i][j]);
    for (size_t i = 0; i < IN; ++i)
        for (size_t j = 0; j < IN; ++j) combine(F42[i], {&even[2][j], &even[0][j]}, u[EVEN_EVEN + i * IN + j]);
    for (size_t i = 0; i < IN; ++i) combine(F42[i], {&taps[7], &taps[1]}, u[EVEN_ODD + i]);
    for (size_t j = 0; j < IN; ++j) std::copy_n(even[1][j], PANEL, u[ODD_EVEN + j]);
    std::copy_n(taps[4], PANEL, u[ODD_ODD]);
}

template <class Number> class UpWinograd final : public Convolution {
  public:
    UpWinograd(Pool &pool, const ConvShape &shape, const ConvWeight &weight)
        : shape_(shape), tile_rows_((shape.height + TILE - 1) / TILE), tile_columns_((shape.width + TILE - 1) / TILE),
          blocks_(blocks_of(shape.inputs)), panels_((shape.outputs + PANEL - 1) / PANEL),
          weights_(pack<Number, MATRICES>(pool, shape, weight, transform_weight)) {}

    size_t bytes() const override { return panels_ * MATRICES * matrix_units<Number>(shape_.inputs) * sizeof(float); }

    void run(Pool &pool, const ConvCall &call) const override {
        const Plan plan = make_plan(call.rows, pool.threads());
        pool.run(plan.items(), [&](size_t item, size_t thread) { run_item(pool, thread, call, plan, item); });
    }

  private:
    // Items: groups of images x bands of tile rows x strips of tile columns x groups of panels.
    struct Plan {
        size_t all_images, images, bands, strips, panel_groups, chunk_rows;

        size_t image_groups() const { return (all_images + images - 1) / images; }
        size_t items() const { return image_groups() * bands * strips * panel_groups; }
    };

    Plan make_plan(size_t images, size_t threads) const {
        const size_t chunk = chunk_tiles(PRODUCTS * blocks_ * Number::STEPS * sizeof(float), bytes());
        const size_t tiles = tile_rows_ * tile_columns_;
        Plan plan{images, std::max<size_t>(1, std::min(chunk / tiles, (images + threads - 1) / threads)),
                  1,      (tile_columns_ + MAX_STRIP - 1) / MAX_STRIP,
                  1,      1};
        const size_t columns = (tile_columns_ + plan.strips - 1) / plan.strips;
        plan.chunk_rows = std::clamp<size_t>(chunk / columns, 1, tile_rows_);
        // Bands repeat one tile row, and groups of panels repeat the transforms of the inputs.
        const size_t units = plan.image_groups() * plan.strips;
        if (units % threads != 0 && units < 4 * threads) {
            const size_t parts = units < threads ? (threads + units - 1) / units : threads;
            if (tile_rows_ >= 16 * parts && parts * 2 > panels_) plan.bands = parts;
            else plan.panel_groups = std::min(panels_, parts);
        }
        return plan;
    }

    void run_item(Pool &pool, size_t thread, const ConvCall &call, const Plan &plan, size_t item) const {
        const auto part = [](size_t count, size_t parts, size_t k) { return count * k / parts; };
        const size_t panel_group = item % plan.panel_groups, strip = item / plan.panel_groups % plan.strips;
        const size_t band = item / plan.panel_groups / plan.strips % plan.bands;
        const size_t group = item / plan.panel_groups / plan.strips / plan.bands;
        const size_t first_panel = part(panels_, plan.panel_groups, panel_group);
        const size_t last_panel = part(panels_, plan.panel_groups, panel_group + 1);
        const size_t first_image = group * plan.images;
        const size_t images = std::min(plan.images, plan.all_images - first_image);
        const size_t top = part(tile_rows_, plan.bands, band), bottom = part(tile_rows_, plan.bands, band + 1);
        const size_t left = part(tile_columns_, plan.strips, strip),
                     right = part(tile_columns_, plan.strips, strip + 1);
        // Outputs of a tile need the tile above and the tile to the left; each item computes those of its border again.
        const size_t first_row = top ? top - 1 : 0, first_column = left ? left - 1 : 0;
        const bool last_strip = right == tile_columns_, last_band = bottom == tile_rows_;
        const Range columns{left ? OUT * left - 2 : 0, last_strip ? shape_.out_width() : OUT * right - 2};
        const bool has_right = last_strip && shape_.width % TILE == 0;

        const size_t rows = std::min(plan.chunk_rows, bottom - first_row);
        const UpChunk largest{first_image, images, 0, rows, 0, right - first_column, true, has_right};
        const Layout<Number> largest_layout(largest, blocks_);
        const size_t carried = BEFORE * largest_layout.line, carry_panel = images * PANEL / LANES * carried;
        float *memory = static_cast<float *>(
            pool.scratch(thread, (largest_layout.total + (last_panel - first_panel) * carry_panel) * sizeof(float)));
        float *carry = memory + largest_layout.total;
        for (size_t row = first_row; row < bottom; row += rows) {
            const bool last = row + rows >= bottom;
            const UpChunk chunk{first_image,
                                images,
                                row,
                                std::min(rows, bottom - row),
                                first_column,
                                right - first_column,
                                last && last_band && shape_.height % TILE == 0,
                                has_right};
            const Layout<Number> layout(chunk, blocks_);
            const Range lines{row > top || !top ? (row ? OUT * row - 2 : 0) : OUT * top - 2,
                              last ? (last_band ? shape_.out_height() : OUT * bottom - 2) : OUT * (row + rows) - 2};
            read_chunk(call, chunk, layout, memory);
            for (size_t panel = first_panel; panel < last_panel; ++panel) {
                multiply_panel(panel, chunk, layout, memory);
                float *panel_carry = carry + (panel - first_panel) * carry_panel;
                for (size_t image = 0; image < images; ++image)
                    for (size_t lane = 0; lane < PANEL && panel * PANEL + lane < padded(shape_.outputs); lane += LANES)
                        write_map(call, chunk, layout, memory, image, panel, lane, lines, columns, row == first_row,
                                  panel_carry + (image * PANEL + lane) / LANES * carried);
            }
        }
    }

    struct Range {
        size_t first, last;
    };

    // The transformed inputs of all slots of a chunk.
    void read_chunk(const ConvCall &call, const UpChunk &chunk, const Layout<Number> &layout, float *memory) const {
        for (size_t image = 0; image < chunk.images; ++image) {
            const auto each_block = [&](size_t slot, auto read) {
                const size_t row = chunk.first_image + image, block_floats = shape_.height * shape_.width * BLOCK;
                Slot to(chunk, layout, memory, slot);
                Pixels pixels{call.x + call.source[row] * blocks_ * block_floats, {}, shape_.height, shape_.width};
                const float *style = call.style + row * call.style_stride;
                for (size_t block = 0; block < blocks_; ++block, pixels.x += block_floats - BLOCK, to.next_block())
                    for (size_t lane = 0; lane < BLOCK; lane += LANES, pixels.x += LANES) {
                        pixels.style = hn::LoadU(TAG, style + block * BLOCK + lane);
                        to.lane = lane;
                        read(pixels, to);
                    }
            };
            for (size_t r = 0; r < chunk.rows; ++r)
                for (size_t c = 0; c < chunk.columns; ++c) {
                    const size_t top = (chunk.top + r) * TILE, left = (chunk.left + c) * TILE;
                    const bool inside =
                        top > 0 && left > 0 && top + TILE <= shape_.height && left + TILE <= shape_.width;
                    each_block(chunk.tile_slot(image, r, c), [&](const Pixels &pixels, const Slot &to) {
                        inside ? read_tile<true>(pixels, top, left, to) : read_tile<false>(pixels, top, left, to);
                    });
                }
            if (chunk.has_right)
                for (size_t r = 0; r < chunk.rows; ++r)
                    each_block(chunk.right_slot(image, r), [&](const Pixels &pixels, const Slot &to) {
                        read_right(pixels, (chunk.top + r) * TILE, to);
                    });
            if (chunk.has_bottom)
                for (size_t c = 0; c < chunk.columns; ++c)
                    each_block(chunk.bottom_slot(image, c), [&](const Pixels &pixels, const Slot &to) {
                        read_bottom(pixels, (chunk.left + c) * TILE, to);
                    });
            if (chunk.corners())
                each_block(chunk.corner_slot(image), [&](const Pixels &pixels, const Slot &to) {
                    to.even_even(0, 0, pixels.inside(shape_.height - 1, shape_.width - 1));
                });
        }
    }

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
    struct Slot {
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
            for (size_t i = 0; i < TILE; ++i)
                by_column[i].start += by_column[i].step, by_line[i].start += by_line[i].step;
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

    template <bool INSIDE>
    HWY_INLINE void read_tile(const Pixels &pixels, size_t top, size_t left, const Slot &to) const {
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
    HWY_INLINE void read_right(const Pixels &pixels, size_t top, const Slot &to) const {
        Vec d[IN], t[IN];
        for (size_t i = 0; i < IN; ++i) d[i] = pixels.at(top + i - 1, shape_.width - 1);
        transform_input(d, t);
        for (size_t i = 0; i < IN; ++i) to.even_even(i, 0, t[i]);
        for (size_t i = 1; i < IN; ++i) to.odd_even(0, i - 1, d[i]);
    }

    // Column left - 1 to left + 3 of the last line, at point 0 of the lines.
    HWY_INLINE void read_bottom(const Pixels &pixels, size_t left, const Slot &to) const {
        Vec d[IN], t[IN];
        for (size_t j = 0; j < IN; ++j) d[j] = pixels.at(shape_.height - 1, left + j - 1);
        transform_input(d, t);
        for (size_t j = 0; j < IN; ++j) to.even_even(0, j, t[j]);
        for (size_t j = 1; j < IN; ++j) to.even_odd(0, j - 1, d[j]);
    }

    void multiply_panel(size_t panel, const UpChunk &chunk, const Layout<Number> &layout, float *memory) const {
        const size_t matrix = matrix_units<Number>(shape_.inputs), slots = chunk.slots(), tiles = chunk.tiles();
        const float *weight = weights_.get() + panel * MATRICES * matrix;
        const size_t below = tiles + chunk.right();
        const float *v = memory + layout.v[0];
        float *m = memory + layout.m[0];
        for (size_t p = 0; p < 25; ++p, weight += matrix, v += layout.even_even.units(), m += PANEL) {
            const bool first_column = p % IN == 0;
            multiply(layout.even_even, 0, first_column ? below : tiles, v, weight, m, 25 * PANEL);
            if (p < IN)
                multiply(layout.even_even, below, first_column ? slots : below + chunk.bottom(), v, weight, m,
                         25 * PANEL);
        }
        v = memory + layout.v[1], m = memory + layout.m[1];
        for (size_t p = 0; p < IN; ++p, weight += matrix, v += layout.even_odd.units(), m += 4 * slots * PANEL) {
            multiply(layout.even_odd, 0, 4 * tiles, v, weight, m, PANEL);
            if (p == 0) multiply(layout.even_odd, 4 * below, 4 * (below + chunk.bottom()), v, weight, m, PANEL);
        }
        v = memory + layout.v[2], m = memory + layout.m[2];
        for (size_t p = 0; p < IN; ++p, weight += matrix, v += layout.odd_even.units(), m += 4 * slots * PANEL)
            multiply(layout.odd_even, 0, 4 * (p == 0 ? below : tiles), v, weight, m, PANEL);
        multiply(layout.odd_odd, 0, 16 * tiles, memory + layout.v[3], weight, memory + layout.m[3], PANEL);
    }

    // The outputs of LANES channels of one image. The map has the lines of the transposed convolution from BEFORE lines
    // above the chunk on; those above the first tile are carried over from the chunk above, already filtered.
    void write_map(const ConvCall &call, const UpChunk &chunk, const Layout<Number> &layout, float *memory,
                   size_t image, size_t panel, size_t lane, Range lines, Range columns, bool first,
                   float *carry) const {
        float *map = memory + layout.map;
        const size_t line = layout.line, width = columns.last - columns.first;
        const size_t new_lines = OUT * chunk.rows + (chunk.has_bottom ? 1 : 0), channel = panel * PANEL + lane;
        fill_map(chunk, layout, memory, image, lane, map);
        // Column k of an output needs columns k - 1 to k + 2.
        const size_t skipped = (columns.first + 2 - OUT * chunk.left) * LANES;
        for (size_t i = 0; i < new_lines; ++i) fir_line(map + (BEFORE + i) * line + skipped, width);
        if (first) std::fill_n(map, BEFORE * line, 0.0f);
        else std::copy_n(carry, BEFORE * line, map);
        std::copy_n(map + OUT * chunk.rows * line, BEFORE * line, carry);
        if (chunk.has_bottom) std::fill_n(map + (BEFORE + new_lines) * line, line, 0.0f);

        const size_t row = chunk.first_image + image, out_width = shape_.out_width();
        const Epilogue epilogue(call, row, channel, FIR_GAIN);
        float *y = call.y +
                   (row * blocks_of(shape_.outputs) + channel / BLOCK) * shape_.out_height() * out_width * BLOCK +
                   channel % BLOCK;
        for (size_t i = lines.first; i < lines.last; ++i) {
            const size_t pixel = i * out_width + columns.first;
            fir_column(epilogue, map + (i + 2 - OUT * chunk.top) * line + skipped, line, width,
                       call.noise ? call.noise + pixel : nullptr, y + pixel * BLOCK);
        }
    }

    // The transposed convolution of LANES channels of one image, from line BEFORE and column BEFORE of `map` on.
    void fill_map(const UpChunk &chunk, const Layout<Number> &layout, const float *memory, size_t image, size_t lane,
                  float *map) const {
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
            hn::Store(hn::Load(TAG, even_even + chunk.corner_slot(image) * 25 * PANEL), TAG,
                      at(y, OUT * chunk.columns));
        clear_sides(chunk, layout, map + (BEFORE + y) * line);
    }

    // Zeros in the columns before the first and after the last of a line.
    static void clear_sides(const UpChunk &chunk, const Layout<Number> &layout, float *line) {
        std::fill_n(line, BEFORE * LANES, 0.0f);
        const size_t end = (BEFORE + OUT * chunk.columns + (chunk.has_right ? 1 : 0)) * LANES;
        std::fill_n(line + end, layout.line - end, 0.0f);
    }

    ConvShape shape_;
    size_t tile_rows_, tile_columns_, blocks_, panels_;
    AlignedArray<float> weights_; // [panels][matrices], see pack()
};

} // namespace

std::unique_ptr<Convolution> make_up_winograd(Pool &pool, const ConvShape &shape, const ConvWeight &weight,
                                              Precision precision) {
#if SGI_CPU_HAS_BFLOAT16
    if (precision == Precision::BFLOAT16) return std::make_unique<UpWinograd<BFloat16>>(pool, shape, weight);
#else
    if (precision == Precision::BFLOAT16) throw std::invalid_argument("this processor has no bfloat16 products");
#endif
    return std::make_unique<UpWinograd<Float32>>(pool, shape, weight);
}

} // namespace sgi::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sgi::cpu {

HWY_EXPORT(make_up_winograd);

std::unique_ptr<Convolution> make_up_winograd(Pool &pool, const ConvShape &shape, const ConvWeight &weight,
                                              Precision precision) {
    return HWY_DYNAMIC_DISPATCH(make_up_winograd)(pool, shape, weight, precision);
}

} // namespace sgi::cpu
#endif
