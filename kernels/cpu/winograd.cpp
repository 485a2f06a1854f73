// A plain 3x3 convolution by Winograd's minimal filtering F(4x4, 3x3): 36 products for 16 outputs instead of 144
// (Lavin and Gray 2016, arXiv 1509.09308). The points are 0, +-1/sqrt 2, +-sqrt 2 and infinity; their rounding errors
// are half those of 0, +-1, +-2 (docs/experiments.md, "Points of Winograd's transforms").
#include "winograd.hpp"

#include "aligned.hpp"
#include "partition.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "winograd.cpp"
#include <hwy/foreach_target.h> // IWYU pragma: keep

#include "epilogue-inl.h"
#include "gemm-inl.h"
#include "packing-inl.h"
#include "winograd_points.hpp"

#include <stdexcept>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace sgi::cpu::HWY_NAMESPACE {
namespace {

constexpr size_t IN = 6, OUT = 4, POINTS = IN * IN;

// B^T d for one direction.
HWY_INLINE void transform_input(const Vec *d, Vec *v) {
    const Vec a = hn::Set(TAG, F43_A), b = hn::Set(TAG, F43_B);
    const Vec half = hn::Set(TAG, 0.5f), two = hn::Set(TAG, 2.0f), five_halves = hn::Set(TAG, 2.5f);
    const Vec even_a = hn::NegMulAdd(two, d[2], d[4]), odd_a = hn::NegMulAdd(two, d[1], d[3]);
    const Vec even_b = hn::NegMulAdd(half, d[2], d[4]), odd_b = hn::NegMulAdd(half, d[1], d[3]);
    v[0] = hn::NegMulAdd(five_halves, d[2], hn::Add(d[0], d[4]));
    v[1] = hn::MulAdd(a, odd_a, even_a);
    v[2] = hn::NegMulAdd(a, odd_a, even_a);
    v[3] = hn::MulAdd(b, odd_b, even_b);
    v[4] = hn::NegMulAdd(b, odd_b, even_b);
    v[5] = hn::NegMulAdd(five_halves, d[3], hn::Add(d[1], d[5]));
}

// A^T m for one direction.
HWY_INLINE void transform_output(const Vec *m, Vec *y) {
    const Vec a = hn::Set(TAG, F43_A), b = hn::Set(TAG, F43_B);
    const Vec sum_a = hn::Add(m[1], m[2]), difference_a = hn::Sub(m[1], m[2]);
    const Vec sum_b = hn::Add(m[3], m[4]), difference_b = hn::Sub(m[3], m[4]);
    y[0] = hn::Add(m[0], hn::Add(sum_a, sum_b));
    y[1] = hn::MulAdd(a, difference_a, hn::Mul(b, difference_b));
    y[2] = hn::MulAdd(hn::Set(TAG, 0.5f), sum_a, hn::Add(sum_b, sum_b));
    y[3] = hn::MulAdd(hn::Set(TAG, 0.5f * F43_A), difference_a,
                      hn::MulAdd(hn::Set(TAG, 2.0f * F43_B), difference_b, m[5]));
}

// G g G^T.
void transform_weight(const PanelValues *taps, PanelValues *u) {
    PanelValues lines[3][IN]; // each line of taps, its columns transformed
    for (size_t i = 0; i < 3; ++i)
        for (size_t j = 0; j < IN; ++j)
            combine(F43[j], {&taps[3 * i], &taps[3 * i + 1], &taps[3 * i + 2]}, lines[i][j]);
    for (size_t i = 0; i < IN; ++i)
        for (size_t j = 0; j < IN; ++j) combine(F43[i], {&lines[0][j], &lines[1][j], &lines[2][j]}, u[i * IN + j]);
}

template <class Number> class Winograd final : public Convolution {
  public:
    Winograd(Pool &pool, const ConvShape &shape, const ConvWeight &weight)
        : shape_(shape), tile_columns_((shape.width + OUT - 1) / OUT),
          tiles_((shape.height + OUT - 1) / OUT * tile_columns_), panels_((shape.outputs + PANEL - 1) / PANEL),
          weights_(pack<Number, POINTS>(pool, shape, weight, transform_weight)) {}

    size_t bytes() const override { return panels_ * POINTS * matrix_units<Number>(shape_.inputs) * sizeof(float); }

    void run(Pool &pool, const ConvCall &call) const override {
        const size_t tiles = call.rows * tiles_;
        const Partition part = partition(tiles, panels_, pool.threads(), chunk_tiles(tile_bytes(), bytes()), bytes());
        const size_t v_floats = POINTS * Rows<Number>(part.tiles, blocks_of(shape_.inputs)).units();
        const size_t m_floats = part.tiles * POINTS * PANEL;
        pool.run(part.items(), [&](size_t item, size_t thread) {
            float *v = static_cast<float *>(pool.scratch(thread, (v_floats + m_floats) * sizeof(float)));
            const auto [first, last] = part.tiles_of(item);
            const auto [first_panel, last_panel] = part.panels_of(item);
            const Rows<Number> rows(last - first, blocks_of(shape_.inputs));
            for (size_t tile = first; tile < last; ++tile) read_tile(call, tile, tile - first, rows, v);
            for (size_t panel = first_panel; panel < last_panel; ++panel) {
                multiply_panel(panel, rows, v, v + v_floats);
                for (size_t tile = first; tile < last; ++tile)
                    write_tile(call, tile, panel, v + v_floats + (tile - first) * POINTS * PANEL);
            }
        });
    }

  private:
    size_t tile_bytes() const { return POINTS * blocks_of(shape_.inputs) * Number::STEPS * sizeof(float); }

    // The transformed inputs of one tile, v: [points], each as `Rows`.
    void read_tile(const ConvCall &call, size_t tile, size_t place_in_rows, const Rows<Number> &rows, float *v) const {
        const size_t place = tile % tiles_;
        const size_t top = place / tile_columns_ * OUT, left = place % tile_columns_ * OUT;
        const bool inside = top > 0 && left > 0 && top + OUT < shape_.height && left + OUT < shape_.width;
        inside ? read_tile<true>(call, tile, top, left, place_in_rows, rows, v)
               : read_tile<false>(call, tile, top, left, place_in_rows, rows, v);
    }

    // INSIDE: no pixel of the tile is padding.
    template <bool INSIDE>
    void read_tile(const ConvCall &call, size_t tile, size_t top, size_t left, size_t place, const Rows<Number> &rows,
                   float *v) const {
        const size_t row = tile / tiles_, blocks = blocks_of(shape_.inputs), width = shape_.width;
        const size_t block_floats = shape_.height * width * BLOCK, point = rows.units();
        const float *style = call.style + row * call.style_stride;
        const float *x = call.x + call.source[row] * blocks * block_floats;
        // Pixels are those of lines top - 1 + i and columns left - 1 + j; unsigned wrap-around makes -1 too large.
        for (size_t block = 0; block < blocks; ++block, x += block_floats)
            for (size_t lane = 0; lane < BLOCK; lane += LANES) {
                const Vec factor = hn::LoadU(TAG, style + block * BLOCK + lane);
                Vec columns[IN][IN];
                for (size_t j = 0; j < IN; ++j) {
                    Vec d[IN], t[IN];
                    for (size_t i = 0; i < IN; ++i) {
                        const size_t line = top + i - 1, column = left + j - 1;
                        const bool exists = INSIDE || (line < shape_.height && column < width);
                        const float *pixel = x + (line * width + column) * BLOCK + lane;
                        d[i] = exists ? hn::Mul(factor, hn::LoadU(TAG, pixel)) : hn::Zero(TAG);
                    }
                    transform_input(d, t);
                    for (size_t i = 0; i < IN; ++i) columns[i][j] = t[i];
                }
                float *to = v + rows.at(place, block);
                for (size_t i = 0; i < IN; ++i) {
                    Vec t[IN];
                    transform_input(columns[i], t);
                    for (size_t j = 0; j < IN; ++j) Number::store(t[j], to + (i * IN + j) * point, lane);
                }
            }
    }

    // m: [tiles][points][PANEL].
    void multiply_panel(size_t panel, const Rows<Number> &rows, const float *v, float *m) const {
        const size_t matrix = matrix_units<Number>(shape_.inputs);
        const float *weight = weights_.get() + panel * POINTS * matrix;
        for (size_t p = 0; p < POINTS; ++p, weight += matrix, v += rows.units())
            multiply(rows, 0, rows.count, v, weight, m + p * PANEL, POINTS * PANEL);
    }

    // The outputs of one panel of one tile, m: [points][PANEL].
    void write_tile(const ConvCall &call, size_t tile, size_t panel, const float *m) const {
        const size_t row = tile / tiles_, place = tile % tiles_, outputs = padded(shape_.outputs);
        const size_t top = place / tile_columns_ * OUT, left = place % tile_columns_ * OUT;
        const size_t lines = std::min(OUT, shape_.height - top), columns = std::min(OUT, shape_.width - left);
        const size_t block_floats = shape_.height * shape_.width * BLOCK, first = top * shape_.width + left;
        float noise[OUT][OUT] = {};
        if (call.noise)
            for (size_t i = 0; i < lines; ++i)
                for (size_t j = 0; j < columns; ++j) noise[i][j] = call.noise[first + i * shape_.width + j];
        for (size_t lane = 0; lane < PANEL && panel * PANEL + lane < outputs; lane += LANES) {
            const size_t channel = panel * PANEL + lane;
            Vec half[OUT][IN];
            for (size_t j = 0; j < IN; ++j) {
                Vec d[IN], t[OUT];
                for (size_t i = 0; i < IN; ++i) d[i] = hn::Load(TAG, m + (i * IN + j) * PANEL + lane);
                transform_output(d, t);
                for (size_t i = 0; i < OUT; ++i) half[i][j] = t[i];
            }
            const Epilogue epilogue(call, row, channel);
            float *y = call.y + (row * blocks_of(shape_.outputs) + channel / BLOCK) * block_floats + channel % BLOCK +
                       first * BLOCK;
            const auto write = [&](size_t line, size_t count) {
                Vec t[OUT];
                transform_output(half[line], t);
                for (size_t j = 0; j < count; ++j)
                    hn::StoreU(epilogue(t[j], noise[line][j]), TAG, y + (line * shape_.width + j) * BLOCK);
            };
            if (lines == OUT && columns == OUT)
                for (size_t i = 0; i < OUT; ++i) write(i, OUT);
            else
                for (size_t i = 0; i < lines; ++i) write(i, columns);
        }
    }

    ConvShape shape_;
    size_t tile_columns_, tiles_, panels_;
    AlignedArray<float> weights_; // [panels][points], see pack()
};

} // namespace

std::unique_ptr<Convolution> make_winograd(Pool &pool, const ConvShape &shape, const ConvWeight &weight,
                                           Precision precision) {
#if SGI_CPU_HAS_BFLOAT16
    if (precision == Precision::BFLOAT16) return std::make_unique<Winograd<BFloat16>>(pool, shape, weight);
#else
    if (precision == Precision::BFLOAT16) throw std::invalid_argument("this processor has no bfloat16 products");
#endif
    return std::make_unique<Winograd<Float32>>(pool, shape, weight);
}

bool has_bfloat16() { return SGI_CPU_HAS_BFLOAT16; }

} // namespace sgi::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sgi::cpu {

HWY_EXPORT(make_winograd);
HWY_EXPORT(has_bfloat16);

bool has_bfloat16() { return HWY_DYNAMIC_DISPATCH(has_bfloat16)(); }

std::unique_ptr<Convolution> make_winograd(Pool &pool, const ConvShape &shape, const ConvWeight &weight,
                                           Precision precision) {
    return HWY_DYNAMIC_DISPATCH(make_winograd)(pool, shape, weight, precision);
}

} // namespace sgi::cpu
#endif
