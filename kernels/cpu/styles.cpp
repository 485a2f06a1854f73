// Layers on vectors: bound by the memory of the weights, which are read once for all rows.
//
// Every sum is over the inputs in their order, whatever the number of rows and threads.
#include "styles.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "styles.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "numbers-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sgi::cpu {
namespace HWY_NAMESPACE {
namespace {

constexpr size_t VECTORS = Matrix::PANEL / LANES;
// Rows at once: as many as the registers hold sums of.
constexpr bool MANY_REGISTERS = HWY_ARCH_ARM_A64 || LANES == BLOCK;
constexpr size_t ROWS = std::max<size_t>(1, (MANY_REGISTERS ? 24 : 12) / VECTORS);

HWY_INLINE Vec finished(const LinearCall &call, Vec sum, size_t column) {
    if (call.bias) sum = hn::Add(sum, hn::LoadU(TAG, call.bias + column));
    return hn::Max(sum, hn::Mul(sum, hn::Set(TAG, call.slope)));
}

HWY_INLINE Vec finished(const DemodulationCall &call, Vec sum, size_t) {
    return hn::Div(hn::Set(TAG, call.gain), hn::Sqrt(hn::Add(sum, hn::Set(TAG, 1e-8f))));
}

HWY_INLINE const Matrix &matrix_of(const LinearCall &call) { return *call.matrix; }
HWY_INLINE const Matrix &matrix_of(const DemodulationCall &call) { return *call.energy; }
HWY_INLINE const float *input_of(const LinearCall &call, size_t row) { return call.x + row * call.x_stride; }
HWY_INLINE const float *input_of(const DemodulationCall &call, size_t row) {
    return call.style + row * call.style_stride;
}
HWY_INLINE float factor(const LinearCall &, float x) { return x; }
HWY_INLINE float factor(const DemodulationCall &, float style) { return style * style; }
HWY_INLINE float *output_of(const LinearCall &call, size_t row) { return call.y + row * call.y_stride; }
HWY_INLINE float *output_of(const DemodulationCall &call, size_t row) { return call.scale + row * call.scale_stride; }

// R rows of one panel of columns.
template <size_t R, class Call> HWY_INLINE void write_rows(const Call &call, size_t panel, size_t row) {
    const size_t inputs = matrix_of(call).inputs(), column = panel * Matrix::PANEL;
    const float *weight = matrix_of(call).panels() + column * inputs;
    const float *x[R];
    Vec sums[R][VECTORS];
    for (size_t r = 0; r < R; ++r) {
        x[r] = input_of(call, row + r);
        for (size_t v = 0; v < VECTORS; ++v) sums[r][v] = hn::Zero(TAG);
    }
    for (size_t i = 0; i < inputs; ++i) {
        Vec w[VECTORS];
        for (size_t v = 0; v < VECTORS; ++v) w[v] = hn::Load(TAG, weight + i * Matrix::PANEL + v * LANES);
        for (size_t r = 0; r < R; ++r) {
            const Vec value = hn::Set(TAG, factor(call, x[r][i]));
            for (size_t v = 0; v < VECTORS; ++v) sums[r][v] = hn::MulAdd(value, w[v], sums[r][v]);
        }
    }
    const size_t columns = std::min(Matrix::PANEL, padded(matrix_of(call).outputs()) - column);
    for (size_t r = 0; r < R; ++r)
        for (size_t v = 0; v * LANES < columns; ++v)
            hn::StoreU(finished(call, sums[r][v], column + v * LANES), TAG,
                       output_of(call, row + r) + column + v * LANES);
}

template <size_t R, class Call> HWY_INLINE void write_last_rows(const Call &call, size_t panel, size_t row) {
    if constexpr (R > 0) {
        if (call.rows - row == R) write_rows<R>(call, panel, row);
        else write_last_rows<R - 1>(call, panel, row);
    }
}

template <class Call> HWY_INLINE void write_panel(const Call &call, size_t panel) {
    size_t row = 0;
    for (; row + ROWS <= call.rows; row += ROWS) write_rows<ROWS>(call, panel, row);
    write_last_rows<ROWS - 1>(call, panel, row);
}

void linear_panel(const LinearCall &call, size_t panel) { write_panel(call, panel); }
void demodulation_panel(const DemodulationCall &call, size_t panel) { write_panel(call, panel); }

} // namespace
} // namespace HWY_NAMESPACE
} // namespace sgi::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sgi::cpu {
namespace {

HWY_EXPORT(linear_panel);
HWY_EXPORT(demodulation_panel);

constexpr size_t SHARE = 1 << 16; // products that take about as long as waking a thread

size_t panels_of(const Matrix &matrix) { return (matrix.outputs() + Matrix::PANEL - 1) / Matrix::PANEL; }

// Calls write(call, panel) for every panel of every call, with about as many products on each thread.
template <class Call, class Write>
void divide(Pool &pool, const std::vector<Call> &calls, const Matrix *Call::*matrix, Write write) {
    size_t total = 0; // inputs of all panels
    size_t products = 0;
    for (const Call &call : calls) {
        const Matrix &of = *(call.*matrix);
        total += panels_of(of) * of.inputs();
        products += panels_of(of) * of.inputs() * Matrix::PANEL * call.rows;
    }
    const size_t shares = std::min(pool.threads(), products / SHARE + 1);
    pool.run(shares, [&](size_t share, size_t) {
        const size_t begin = total * share / shares, end = total * (share + 1) / shares;
        size_t at = 0;
        for (const Call &call : calls) {
            const Matrix &of = *(call.*matrix);
            for (size_t panel = 0; panel < panels_of(of); ++panel, at += of.inputs())
                if (at >= begin && at < end) write(call, panel);
        }
    });
}

} // namespace

void normalise_second_moment(size_t rows, size_t width, const float *x, size_t x_stride, float *y, size_t y_stride) {
    for (size_t row = 0; row < rows; ++row) {
        const float *from = x + row * x_stride;
        double sum = 0;
        for (size_t i = 0; i < width; ++i) sum += double(from[i]) * from[i];
        const double norm = std::sqrt(sum / double(width) + 1e-8);
        for (size_t i = 0; i < width; ++i) y[row * y_stride + i] = float(from[i] / norm);
    }
}

Matrix::Matrix(size_t inputs, size_t outputs, const void *weight, size_t row)
    : inputs_(inputs), outputs_(outputs), data_(aligned_array<float>(panels_of(*this) * inputs * PANEL)) {
    const char *from = static_cast<const char *>(weight);
    for (size_t column = 0; column < outputs; column += PANEL) {
        const size_t count = std::min(PANEL, outputs - column);
        for (size_t i = 0; i < inputs; ++i) {
            float *to = data_.get() + column * inputs + i * PANEL;
            std::memcpy(to, from + (i * row + column) * sizeof(float), count * sizeof(float));
            std::fill_n(to + count, PANEL - count, 0.0f);
        }
    }
}

size_t Matrix::bytes() const { return panels_of(*this) * inputs_ * PANEL * sizeof(float); }

void linear(Pool &pool, const std::vector<LinearCall> &calls) {
    divide(pool, calls, &LinearCall::matrix, HWY_DYNAMIC_DISPATCH(linear_panel));
}

void demodulate(Pool &pool, const std::vector<DemodulationCall> &calls) {
    divide(pool, calls, &DemodulationCall::energy, HWY_DYNAMIC_DISPATCH(demodulation_panel));
}

} // namespace sgi::cpu
#endif // HWY_ONCE
