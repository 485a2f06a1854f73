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
#include "up_input-inl.h"
#include "up_map-inl.h"
#include "up_tile-inl.h"
#include "winograd_points.hpp"

#include <stdexcept>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace sgi::cpu::HWY_NAMESPACE {
namespace {

constexpr size_t MAX_STRIP = 64;

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
        const size_t units = plan.image_groups() * plan.strips;
        if (units % threads != 0 && units < 4 * threads) {
            const Bands bands = divide_bands(units, tile_rows_, panels_, threads);
            plan.bands = bands.bands, plan.panel_groups = bands.panel_groups;
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
            read_chunk(shape_, call, chunk, layout, memory);
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
