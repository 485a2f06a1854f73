// What follows a convolution: y = clamp(lrelu(scale * sum + noise + bias)).
#if defined(SGI_CPU_EPILOGUE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef SGI_CPU_EPILOGUE_INL_H
#undef SGI_CPU_EPILOGUE_INL_H
#else
#define SGI_CPU_EPILOGUE_INL_H
#endif

#include "convolution.hpp"
#include "gemm-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sgi::cpu::HWY_NAMESPACE {

// The epilogue of LANES channels of a row.
struct Epilogue {
    Vec scale, bias, slope, low, high;

    // gain: a further factor of the sums.
    HWY_INLINE Epilogue(const ConvCall &call, size_t row, size_t channel, float gain = 1)
        : scale(hn::Mul(hn::LoadU(TAG, call.scale + row * call.scale_stride + channel), hn::Set(TAG, gain))),
          bias(hn::LoadU(TAG, call.bias + channel)), slope(hn::Set(TAG, call.slope)), low(hn::Set(TAG, -call.clamp)),
          high(hn::Set(TAG, call.clamp)) {}

    HWY_INLINE Vec operator()(Vec sum, float noise) const {
        const Vec y = hn::MulAdd(scale, sum, hn::Add(bias, hn::Set(TAG, noise)));
        return hn::Min(hn::Max(hn::Max(y, hn::Mul(y, slope)), low), high);
    }
};

} // namespace sgi::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
