// The numbers that products are made of: float32, or bfloat16 with sums in float32.
#if defined(SGI_CPU_NUMBERS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef SGI_CPU_NUMBERS_INL_H
#undef SGI_CPU_NUMBERS_INL_H
#else
#define SGI_CPU_NUMBERS_INL_H
#endif

#include "maps.hpp"

#include <cstring>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace sgi::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::CappedTag<float, BLOCK>;
using Vec = hn::Vec<Tag>;
constexpr Tag TAG;
constexpr size_t LANES = hn::MaxLanes(TAG);
static_assert(BLOCK % LANES == 0, "vectors divide a block");

// Operands are stored in units of the size of a float. A step multiplies one unit of a row by a vector of units of a
// panel; a block of 16 channels has STEPS units.
struct Float32 {
    static constexpr size_t STEPS = BLOCK;
    using Operand = Vec;

    static HWY_INLINE Operand load(const float *unit) { return hn::Load(TAG, unit); }
    static HWY_INLINE Operand broadcast(const float *unit) { return hn::Set(TAG, *unit); }
    static HWY_INLINE Vec multiply_add(Operand a, Operand b, Vec sum) { return hn::MulAdd(a, b, sum); }

    // Stores the channels from `lane` on of a block of a row that starts at `units`.
    static HWY_INLINE void store(Vec v, float *units, size_t lane) { hn::Store(v, TAG, units + lane); }
    // Stores the weight of a channel and one output of a panel that has `panel` outputs.
    static void put(double weight, float *matrix, size_t channel, size_t panel, size_t output) {
        matrix[channel * panel + output] = static_cast<float>(weight);
    }
};

#undef SGI_CPU_HAS_BFLOAT16 // of the target before
#if HWY_NATIVE_DOT_BF16 && HWY_ARCH_X86
#define SGI_CPU_HAS_BFLOAT16 1
// A unit is two channels; the instruction of a step adds both products.
struct BFloat16 {
    static constexpr size_t STEPS = BLOCK / 2;
    static constexpr hn::Repartition<hwy::bfloat16_t, Tag> PAIRS{};
    static constexpr hn::Rebind<uint32_t, Tag> UNITS{};
    using Operand = hn::Vec<hn::Repartition<hwy::bfloat16_t, Tag>>;

    static HWY_INLINE Operand load(const float *unit) { return hn::BitCast(PAIRS, hn::Load(TAG, unit)); }
    static HWY_INLINE Operand broadcast(const float *unit) { return hn::BitCast(PAIRS, hn::Set(TAG, *unit)); }
    static HWY_INLINE Vec multiply_add(Operand a, Operand b, Vec sum) {
        Vec unused = hn::Zero(TAG);
        return hn::ReorderWidenMulAccumulate(TAG, a, b, sum, unused);
    }

    static HWY_INLINE void store(Vec v, float *units, size_t lane) {
        const hn::Rebind<hwy::bfloat16_t, Tag> half;
        hn::StoreU(hn::DemoteTo(half, v), half, reinterpret_cast<hwy::bfloat16_t *>(units) + lane);
    }
    static void put(double weight, float *matrix, size_t channel, size_t panel, size_t output) {
        const hwy::bfloat16_t rounded = hwy::BF16FromF32(static_cast<float>(weight));
        std::memcpy(reinterpret_cast<char *>(matrix + channel / 2 * panel + output) + channel % 2 * sizeof(rounded),
                    &rounded, sizeof(rounded));
    }
};
#else
#define SGI_CPU_HAS_BFLOAT16 0
#endif

} // namespace sgi::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
