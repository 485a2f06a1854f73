// Values of raw pictures, a vector of pixels at a time.
#include "decode.hpp"

#include <algorithm>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "decode.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "numbers-inl.h"
#include "hwy/contrib/math/math-inl.h"

#ifndef SGI_CPU_DECODE_ONCE
#define SGI_CPU_DECODE_ONCE
namespace sgi::cpu {

constexpr size_t MAX_CODES = 4;

// Consecutive pixels of one picture.
struct DecodePixels {
    const Decoder *decoder;
    size_t raw_channels, pixels, first, end; // pixels: the distance between channels
    const float *raw;
    float *values;
};

} // namespace sgi::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace sgi::cpu {
namespace HWY_NAMESPACE {
namespace {

HWY_INLINE Vec number(float value) { return hn::Set(TAG, value); }

HWY_INLINE Vec load(const float *from, size_t count) {
    return count == LANES ? hn::LoadU(TAG, from) : hn::LoadN(TAG, from, count);
}

HWY_INLINE void store(Vec v, float *to, size_t count) {
    if (count == LANES) hn::StoreU(v, TAG, to);
    else hn::StoreN(v, TAG, to, count);
}

// Linear light of sRGB codes; IEC 61966-2-1. x^2.4 is x^2 exp(0.4 log x): the smaller the exponent, the less of the
// error of its rounding is left.
HWY_INLINE Vec linear_light(Vec u) {
    const Vec bound = number(0.04045f);
    const Vec base = hn::Mul(hn::Add(hn::Max(u, bound), number(0.055f)), number(1 / 1.055f));
    const Vec root = hn::Exp(TAG, hn::Mul(number(0.4f), hn::Log(TAG, base)));
    return hn::IfThenElse(hn::Le(u, bound), hn::Mul(u, number(1 / 12.92f)), hn::Mul(hn::Mul(base, base), root));
}

// The share of the range, in [0, 1].
template <Decoding DECODING> HWY_INLINE Vec share_of(Vec u) {
    if constexpr (DECODING == Decoding::INVERSE) return hn::Sub(number(1), u);
    else if constexpr (DECODING == Decoding::LINEAR) return linear_light(u);
    else return u;
}

HWY_INLINE Vec nearest_class(const Decoder &decoder, const Vec (&u)[MAX_CODES]) {
    Vec best = number(-std::numeric_limits<float>::infinity()), index = hn::Zero(TAG);
    for (size_t k = 0; k < decoder.bias.size(); ++k) {
        Vec score = number(decoder.bias[k]);
        for (size_t c = 0; c < 3; ++c) score = hn::MulAdd(u[c], number(decoder.colours[3 * k + c]), score);
        const auto better = hn::Gt(score, best);
        best = hn::IfThenElse(better, score, best);
        index = hn::IfThenElse(better, number(float(k)), index);
    }
    return index;
}

template <Decoding DECODING> HWY_INLINE void decode_vector(const DecodePixels &part, size_t pixel, size_t count) {
    const Decoder &decoder = *part.decoder;
    const size_t channels = decoder.channels, merged = part.raw_channels / channels;
    const Vec half = number(0.5f);
    Vec u[MAX_CODES];
    for (size_t c = 0; c < channels; ++c) {
        Vec raw = load(part.raw + c * part.pixels + pixel, count);
        for (size_t k = 1; k < merged; ++k) raw = hn::Add(raw, load(part.raw + k * part.pixels + pixel, count));
        if (merged > 1) raw = hn::Div(raw, number(float(merged)));
        u[c] = hn::Min(hn::Max(hn::MulAdd(raw, half, half), hn::Zero(TAG)), number(1));
    }
    float *values = part.values + pixel;
    if constexpr (DECODING == Decoding::PALETTE) {
        store(nearest_class(decoder, u), values, count);
    } else if constexpr (DECODING == Decoding::UNIT) {
        Vec energy = number(1e-6f);
        for (size_t c = 0; c < channels; ++c) {
            u[c] = hn::Sub(hn::Add(u[c], u[c]), number(1));
            energy = hn::MulAdd(u[c], u[c], energy);
        }
        const Vec length = hn::Sqrt(energy);
        for (size_t c = 0; c < channels; ++c) store(hn::Div(u[c], length), values + c * part.pixels, count);
    } else {
        const Vec range = number(decoder.high - decoder.low), low = number(decoder.low);
        for (size_t c = 0; c < channels; ++c)
            store(hn::MulAdd(share_of<DECODING>(u[c]), range, low), values + c * part.pixels, count);
    }
}

template <Decoding DECODING> void decode_as(const DecodePixels &part) {
    for (size_t pixel = part.first; pixel < part.end; pixel += LANES)
        decode_vector<DECODING>(part, pixel, HWY_MIN(LANES, part.end - pixel));
}

void decode_pixels(const DecodePixels &part) {
    switch (part.decoder->decoding) {
    case Decoding::IDENTITY: return decode_as<Decoding::IDENTITY>(part);
    case Decoding::INVERSE: return decode_as<Decoding::INVERSE>(part);
    case Decoding::UNIT: return decode_as<Decoding::UNIT>(part);
    case Decoding::LINEAR: return decode_as<Decoding::LINEAR>(part);
    case Decoding::PALETTE: return decode_as<Decoding::PALETTE>(part);
    }
}

} // namespace
} // namespace HWY_NAMESPACE
} // namespace sgi::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sgi::cpu {
namespace {

HWY_EXPORT(decode_pixels);

constexpr size_t PART = 4096; // pixels, a multiple of every vector

} // namespace

void decode(Pool &pool, const Decoder &decoder, const DecodeCall &call) {
    const size_t parts = (call.pixels + PART - 1) / PART;
    pool.run(call.rows * parts, [&](size_t item, size_t) {
        const size_t row = item / parts, first = item % parts * PART;
        HWY_DYNAMIC_DISPATCH(decode_pixels)
        ({&decoder, call.raw_channels, call.pixels, first, std::min(first + PART, call.pixels),
          call.raw + row * call.raw_stride, call.values + row * call.values_stride});
    });
}

} // namespace sgi::cpu
#endif // HWY_ONCE
