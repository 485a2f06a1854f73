// To-rgb: bound by memory, so x is read once and in order.
//
// A dot product over channels is a sum over lanes and blocks. The lanes are added last, for four pixels at once, and
// long rows of blocks are taken a few blocks at a time, because a processor prefetches only few streams.
#include "torgb.hpp"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "torgb.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "numbers-inl.h"

#ifndef SGI_CPU_TORGB_ONCE
#define SGI_CPU_TORGB_ONCE
namespace sgi::cpu {

constexpr size_t QUAD = 4;   // pixels whose lanes are added together
constexpr size_t TILE = 128; // pixels whose partial sums are kept: with three channels 24 KB
constexpr size_t STREAMS = 4;

// Whole lines of one picture.
struct RgbLines {
    RgbShape shape;
    size_t first, end;              // lines
    const float *x, *weight, *bias; // activations; [C][padded(I)] times the style; [C]
    const float *below;             // picture of half the side, or nullptr
    float clamp;
    float *y;
    float *partial; // [TILE / QUAD][C][QUAD][16] of scratch
    float *line;    // [W / 2 + 2] of scratch
};

} // namespace sgi::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace sgi::cpu {
namespace HWY_NAMESPACE {
namespace {

using D4 = hn::FixedTag<float, QUAD>;
using V4 = hn::Vec<D4>;
constexpr D4 d4;

template <class Tag, class Vector> HWY_INLINE V4 add_parts(Tag tag, Vector v) {
    if constexpr (hn::MaxLanes(tag) == QUAD) {
        return v;
    } else {
        const hn::Half<Tag> half;
        return add_parts(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
    }
}

// The sums over the lanes of four vectors.
HWY_INLINE V4 add_lanes(Vec a, Vec b, Vec c, Vec e) {
    const hn::Repartition<uint64_t, Tag> pairs;
    const auto ab = hn::BitCast(pairs, hn::Add(hn::InterleaveLower(TAG, a, b), hn::InterleaveUpper(TAG, a, b)));
    const auto ce = hn::BitCast(pairs, hn::Add(hn::InterleaveLower(TAG, c, e), hn::InterleaveUpper(TAG, c, e)));
    const Vec low = hn::BitCast(TAG, hn::InterleaveLower(pairs, ab, ce));
    const Vec high = hn::BitCast(TAG, hn::InterleaveUpper(pairs, ab, ce));
    return add_parts(TAG, hn::Add(low, high));
}

// Adds the products of some blocks for four pixels, whose numbers in x start at `pixel`.
template <size_t C>
HWY_INLINE void add_blocks(const RgbLines &lines, size_t begin, size_t end, const size_t (&pixel)[QUAD],
                           Vec (&sums)[C][QUAD]) {
    const size_t area = lines.shape.height * lines.shape.width * BLOCK, row = padded(lines.shape.inputs);
    for (size_t block = begin; block < end; ++block)
        for (size_t lane = 0; lane < BLOCK; lane += LANES) {
            Vec x[QUAD];
            for (size_t k = 0; k < QUAD; ++k) x[k] = hn::Load(TAG, lines.x + block * area + pixel[k] + lane);
            for (size_t c = 0; c < C; ++c) {
                const Vec w = hn::LoadU(TAG, lines.weight + c * row + block * BLOCK + lane);
                for (size_t k = 0; k < QUAD; ++k) sums[c][k] = hn::MulAdd(x[k], w, sums[c][k]);
            }
        }
}

// Writes clamp(weight x + bias) of at most TILE pixels.
template <size_t C> HWY_INLINE void write_tile(const RgbLines &lines, size_t first, size_t count) {
    const size_t pixels = lines.shape.height * lines.shape.width, blocks = blocks_of(lines.shape.inputs);
    const V4 low = hn::Set(d4, -lines.clamp), high = hn::Set(d4, lines.clamp);
    for (size_t block = 0; block < blocks; block += STREAMS) {
        const size_t end = HWY_MIN(block + STREAMS, blocks);
        for (size_t quad = 0; quad < count; quad += QUAD) {
            const size_t left = HWY_MIN(QUAD, count - quad);
            size_t pixel[QUAD];
            for (size_t k = 0; k < QUAD; ++k) pixel[k] = (first + quad + HWY_MIN(k, left - 1)) * BLOCK;
            float *partial = lines.partial + quad * C * LANES;
            Vec sums[C][QUAD];
            for (size_t c = 0; c < C; ++c)
                for (size_t k = 0; k < QUAD; ++k)
                    sums[c][k] = block ? hn::Load(TAG, partial + (c * QUAD + k) * LANES) : hn::Zero(TAG);
            add_blocks<C>(lines, block, end, pixel, sums);
            if (end < blocks) {
                for (size_t c = 0; c < C; ++c)
                    for (size_t k = 0; k < QUAD; ++k) hn::Store(sums[c][k], TAG, partial + (c * QUAD + k) * LANES);
                continue;
            }
            for (size_t c = 0; c < C; ++c) {
                const V4 sum =
                    hn::Add(add_lanes(sums[c][0], sums[c][1], sums[c][2], sums[c][3]), hn::Set(d4, lines.bias[c]));
                const V4 value = hn::Min(hn::Max(sum, low), high);
                float *y = lines.y + c * pixels + first + quad;
                if (left == QUAD) hn::StoreU(value, d4, y);
                else hn::StoreN(value, d4, y, left);
            }
        }
    }
}

// Adds a line of the upsampled picture: in each direction a pixel is 3/4 of the nearer and 1/4 of the farther one.
HWY_INLINE void add_upsampled(const RgbLines &lines, size_t channel, size_t number) {
    const size_t height = lines.shape.height / 2, width = lines.shape.width / 2, middle = number / 2;
    const float *near = lines.below + (channel * height + middle) * width;
    const float *far = nullptr; // zero outside of the picture
    if (number % 2 ? middle + 1 < height : middle > 0) far = number % 2 ? near + width : near - width;
    const Vec quarter = hn::Set(TAG, 0.25f), rest = hn::Set(TAG, 0.75f);
    float *line = lines.line + 1;
    line[-1] = line[width] = 0;
    size_t i = 0;
    for (; i + LANES <= width; i += LANES) {
        const Vec v = far ? hn::LoadU(TAG, far + i) : hn::Zero(TAG);
        hn::StoreU(hn::MulAdd(rest, hn::LoadU(TAG, near + i), hn::Mul(quarter, v)), TAG, line + i);
    }
    for (; i < width; ++i) line[i] = 0.75f * near[i] + (far ? 0.25f * far[i] : 0);
    float *y = lines.y + (channel * lines.shape.height + number) * lines.shape.width;
    for (i = 0; i + LANES <= width; i += LANES) {
        const Vec centre = hn::Mul(rest, hn::LoadU(TAG, line + i));
        const Vec even = hn::MulAdd(quarter, hn::LoadU(TAG, line + i - 1), centre);
        const Vec odd = hn::MulAdd(quarter, hn::LoadU(TAG, line + i + 1), centre);
        float *two = y + 2 * i;
        const Vec lower = hn::InterleaveWholeLower(TAG, even, odd), upper = hn::InterleaveWholeUpper(TAG, even, odd);
        hn::StoreU(hn::Add(hn::LoadU(TAG, two), lower), TAG, two);
        hn::StoreU(hn::Add(hn::LoadU(TAG, two + LANES), upper), TAG, two + LANES);
    }
    for (; i < width; ++i) {
        y[2 * i] += 0.75f * line[i] + 0.25f * line[i - 1];
        y[2 * i + 1] += 0.75f * line[i] + 0.25f * line[i + 1];
    }
}

template <size_t C> void write_channels(const RgbLines &lines) {
    const size_t end = lines.end * lines.shape.width;
    for (size_t pixel = lines.first * lines.shape.width; pixel < end; pixel += TILE)
        write_tile<C>(lines, pixel, HWY_MIN(TILE, end - pixel));
    if (!lines.below) return;
    for (size_t channel = 0; channel < C; ++channel)
        for (size_t line = lines.first; line < lines.end; ++line) add_upsampled(lines, channel, line);
}

void write_lines(const RgbLines &lines) {
    switch (lines.shape.channels) {
    case 1: return write_channels<1>(lines);
    case 2: return write_channels<2>(lines);
    case 3: return write_channels<3>(lines);
    default: return write_channels<4>(lines);
    }
}

} // namespace
} // namespace HWY_NAMESPACE
} // namespace sgi::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sgi::cpu {
namespace {

HWY_EXPORT(write_lines);

} // namespace

ToRgb::ToRgb(const RgbShape &shape, const float *weight, const float *bias)
    : shape_(shape), weight_(shape.channels * padded(shape.inputs)), bias_(bias, bias + shape.channels) {
    for (size_t c = 0; c < shape.channels; ++c)
        for (size_t i = 0; i < shape.inputs; ++i) weight_[c * padded(shape.inputs) + i] = weight[c * shape.inputs + i];
}

void ToRgb::run(Pool &pool, const RgbCall &call) const {
    const size_t channels = shape_.channels, height = shape_.height, width = shape_.width;
    const size_t inputs = padded(shape_.inputs), pixels = height * width;
    // Of whole lines and at least a tile, so that the weights are multiplied by the style for few items.
    const size_t step = std::max<size_t>(1, TILE / width), groups = (height + step - 1) / step;
    const size_t partial = TILE * channels * BLOCK, line = padded(width / 2 + 2), weight = channels * inputs;
    pool.run(call.rows * groups, [&](size_t item, size_t thread) {
        const size_t row = item / groups, first = item % groups * step;
        float *scratch = static_cast<float *>(pool.scratch(thread, (partial + line + weight) * sizeof(float)));
        float *styled = scratch + partial + line;
        for (size_t c = 0; c < channels; ++c)
            for (size_t i = 0; i < inputs; ++i)
                styled[c * inputs + i] = weight_[c * inputs + i] * call.style[row * call.style_stride + i];
        RgbLines lines{};
        lines.shape = shape_;
        lines.first = first, lines.end = std::min(first + step, height);
        lines.x = call.x + call.source[row] * inputs * pixels;
        lines.weight = styled, lines.bias = bias_.data();
        lines.below = call.below ? call.below + call.below_source[row] * channels * (pixels / 4) : nullptr;
        lines.clamp = call.clamp;
        lines.y = call.y + row * channels * pixels;
        lines.partial = scratch, lines.line = scratch + partial;
        HWY_DYNAMIC_DISPATCH(write_lines)(lines);
    });
}

} // namespace sgi::cpu
#endif // HWY_ONCE
