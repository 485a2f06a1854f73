// What export/onnx_values.py writes. Multiplications by 1 and additions of 0 are left out there.
#include "network_values.hpp"

namespace sgi::internal {
namespace {

constexpr float UNIT_EPS = 1e-6f;

// The share of the range [0, 1] from the code u: identity, inverse or linear light of sRGB. Returns u.
std::string_view read_share(const GraphPattern &pattern, std::string_view value, Values &values) {
    values.decoding = SGI_DECODING_IDENTITY;
    if (pattern.is(value, "Sub")) {
        const Node &rest = pattern.node(value, "Sub", 2);
        pattern.require_scalar(rest.inputs[0], 1.0f);
        values.decoding = SGI_DECODING_INVERSE;
        return rest.inputs[1];
    }
    if (!pattern.is(value, "Where")) return value;
    values.decoding = SGI_DECODING_LINEAR;
    const Node &choice = pattern.node(value, "Where", 3);
    const Node &condition = pattern.node(choice.inputs[0], "LessOrEqual", 2);
    const Node &low = pattern.node(choice.inputs[1], "Div", 2);
    const Node &power = pattern.node(choice.inputs[2], "Pow", 2);
    const Node &base = pattern.node(power.inputs[0], "Div", 2);
    const Node &sum = pattern.node(base.inputs[0], "Add", 2);
    const Node &bounded = pattern.node(sum.inputs[0], "Max", 2);
    const std::string_view u = condition.inputs[0];
    pattern.require_scalar(condition.inputs[1], 0.04045f);
    pattern.require_scalar(low.inputs[1], 12.92f);
    pattern.require_scalar(power.inputs[1], 2.4f);
    pattern.require_scalar(base.inputs[1], 1.055f);
    pattern.require_scalar(sum.inputs[1], 0.055f);
    pattern.require_scalar(bounded.inputs[1], 0.04045f);
    for (const std::string_view same : {low.inputs[0], bounded.inputs[0]})
        if (same != u) pattern.unexpected(same, u);
    return u;
}

// n / sqrt(sum over channels of n^2 + 1e-6) with n = 2 u - 1. Returns u.
std::string_view read_unit(const GraphPattern &pattern, std::string_view value, Values &values) {
    values.decoding = SGI_DECODING_UNIT;
    const Node &quotient = pattern.node(value, "Div", 2);
    const Node &root = pattern.node(quotient.inputs[1], "Sqrt", 1);
    const Node &above = pattern.node(root.inputs[0], "Add", 2);
    const Node &sum = pattern.node(above.inputs[0], "ReduceSum", 2, {{"keepdims", {1}}});
    const Node &square = pattern.node(sum.inputs[0], "Mul", 2);
    const std::string_view n = quotient.inputs[0];
    const Node &difference = pattern.node(n, "Sub", 2);
    const Node &twice = pattern.node(difference.inputs[0], "Mul", 2);
    pattern.require_scalar(above.inputs[1], UNIT_EPS);
    pattern.require_integers(sum.inputs[1], {1});
    pattern.require_scalar(difference.inputs[1], 1.0f);
    pattern.require_scalar(twice.inputs[1], 2.0f);
    for (const std::string_view same : {square.inputs[0], square.inputs[1]})
        if (same != n) pattern.unexpected(same, n);
    return twice.inputs[0];
}

// The index of the largest score weight u + bias. Returns u.
std::string_view read_palette(const GraphPattern &pattern, std::string_view value, Values &values) {
    constexpr int64_t FLOAT = Tensor::FLOAT32;
    values.decoding = SGI_DECODING_PALETTE;
    const Node &cast = pattern.node(value, "Cast", 1, {{"to", {FLOAT}}});
    const Node &largest =
        pattern.node(cast.inputs[0], "ArgMax", 1, {{"axis", {1}}, {"keepdims", {1}}, {"select_last_index", {0}}});
    const Node &scores = pattern.node(largest.inputs[0], "Conv", 3, {{"kernel_shape", {1, 1}}});
    values.colours = &pattern.weights(scores.inputs[1], {GraphPattern::ANY, 3, 1, 1});
    values.bias = &pattern.weights(scores.inputs[2], {values.colours->dims[0]});
    return scores.inputs[0];
}

} // namespace

Values read_values(const GraphPattern &pattern, std::string_view value, std::string_view &picture) {
    Values values{};
    // Files of early versions have no Identity at the end.
    if (pattern.is(value, "Identity")) value = pattern.node(value, "Identity", 1).inputs[0];
    std::string_view u;
    if (pattern.is(value, "Div")) u = read_unit(pattern, value, values);
    else if (pattern.is(value, "Cast")) u = read_palette(pattern, value, values);
    else {
        if (pattern.is(value, "Add")) {
            const Node &shifted = pattern.node(value, "Add", 2);
            values.low = pattern.scalar(shifted.inputs[1]);
            value = shifted.inputs[0];
        }
        if (pattern.is(value, "Mul")) {
            const Node &scaled = pattern.node(value, "Mul", 2);
            values.scale = pattern.scalar(scaled.inputs[1]);
            value = scaled.inputs[0];
        }
        u = read_share(pattern, value, values);
    }
    const Node &clip = pattern.node(u, "Clip", 3);
    const Node &centred = pattern.node(clip.inputs[0], "Add", 2);
    const Node &half = pattern.node(centred.inputs[0], "Mul", 2);
    pattern.require_scalar(clip.inputs[1], 0.0f);
    pattern.require_scalar(clip.inputs[2], 1.0f);
    pattern.require_scalar(centred.inputs[1], 0.5f);
    pattern.require_scalar(half.inputs[1], 0.5f);
    picture = half.inputs[0];
    return values;
}

} // namespace sgi::internal
