// Packing of weights: transforms them and puts them in the order in which products read them.
#if defined(SGI_CPU_PACKING_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef SGI_CPU_PACKING_INL_H
#undef SGI_CPU_PACKING_INL_H
#else
#define SGI_CPU_PACKING_INL_H
#endif

#include "aligned.hpp"
#include "convolution.hpp"
#include "gemm-inl.h"

#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace sgi::cpu::HWY_NAMESPACE {

// The taps of one input channel and a panel of output channels, in double precision: [taps][PANEL].
using PanelValues = double[PANEL];

// out = sum over k of factors[k] in[k].
template <size_t COUNT>
HWY_INLINE void combine(const double (&factors)[COUNT], const PanelValues *const (&in)[COUNT], PanelValues &out) {
    for (size_t p = 0; p < PANEL; ++p) {
        double sum = 0;
        for (size_t k = 0; k < COUNT; ++k) sum += factors[k] * (*in[k])[p];
        out[p] = sum;
    }
}

// Units of one matrix of weights of a panel.
template <class Number> constexpr size_t matrix_units(size_t inputs) {
    return blocks_of(inputs) * Number::STEPS * PANEL;
}

// Packs weights to [panels][MATRICES][I / channels of a unit][PANEL] units; transform(taps [9], matrices) fills those
// of one input.
template <class Number, size_t MATRICES, class Transform>
AlignedArray<float> pack(Pool &pool, const ConvShape &shape, const ConvWeight &weight, const Transform &transform) {
    const size_t matrix = matrix_units<Number>(shape.inputs), panels = (shape.outputs + PANEL - 1) / PANEL;
    auto packed = aligned_array<float>(panels * MATRICES * matrix);
    pool.run(panels, [&](size_t panel, size_t) {
        float *to = packed.get() + panel * MATRICES * matrix;
        const size_t outputs = std::min(PANEL, shape.outputs - panel * PANEL);
        for (size_t i = 0; i < padded(shape.inputs); ++i) {
            PanelValues taps[9] = {}, matrices[MATRICES];
            for (size_t o = 0; i < shape.inputs && o < outputs; ++o) {
                const size_t output = panel * PANEL + o;
                const size_t kernel = weight.inputs_first ? i * shape.outputs + output : output * shape.inputs + i;
                float values[9];
                std::memcpy(values, static_cast<const char *>(weight.bytes) + kernel * sizeof(values), sizeof(values));
                for (size_t t = 0; t < 9; ++t) taps[t][o] = values[t];
            }
            transform(taps, matrices);
            for (size_t m = 0; m < MATRICES; ++m)
                for (size_t o = 0; o < PANEL; ++o) Number::put(matrices[m][o], to + m * matrix, i, PANEL, o);
        }
    });
    return packed;
}

} // namespace sgi::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
