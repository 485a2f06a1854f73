// The filter [1, 3, 3, 1] in both directions, with the epilogue, over an intermediate map of an up-convolution.
#if defined(SGI_CPU_FIR_ROWS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef SGI_CPU_FIR_ROWS_INL_H
#undef SGI_CPU_FIR_ROWS_INL_H
#else
#define SGI_CPU_FIR_ROWS_INL_H
#endif

#include "epilogue-inl.h"
#include "gemm-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sgi::cpu::HWY_NAMESPACE {

// The filter of each direction is [1, 3, 3, 1] / 4; the divisors are applied in the epilogue.
constexpr float FIR_GAIN = 1.0f / 16;

HWY_INLINE Vec fir(Vec a, Vec b, Vec c, Vec d) { return hn::MulAdd(hn::Set(TAG, 3.0f), hn::Add(b, c), hn::Add(a, d)); }

// Filters `count` + 3 pixels of a line to `count` ones, in place: pixel k becomes the sum over k to k + 3.
HWY_INLINE void fir_line(float *line, size_t count) {
    Vec a = hn::Load(TAG, line), b = hn::Load(TAG, line + LANES), c = hn::Load(TAG, line + 2 * LANES);
    for (size_t k = 0; k < count; ++k, line += LANES) {
        const Vec d = hn::Load(TAG, line + 3 * LANES);
        hn::Store(fir(a, b, c, d), TAG, line);
        a = b, b = c, c = d;
    }
}

// One line of outputs from four filtered lines, `stride` floats apart. y: pixels BLOCK floats apart.
HWY_INLINE void fir_column(const Epilogue &epilogue, const float *line, size_t stride, size_t count, const float *noise,
                           float *y) {
    const float *lines[4] = {line, line + stride, line + 2 * stride, line + 3 * stride};
    for (size_t k = 0; k < count; ++k) {
        const size_t at = k * LANES;
        const Vec sum = fir(hn::Load(TAG, lines[0] + at), hn::Load(TAG, lines[1] + at), hn::Load(TAG, lines[2] + at),
                            hn::Load(TAG, lines[3] + at));
        hn::StoreU(epilogue(sum, noise ? noise[k] : 0.0f), TAG, y + k * BLOCK);
    }
}

} // namespace sgi::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
