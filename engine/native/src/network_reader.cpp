// What export/network.py and export/onnx_layers.py write in float32, read from each output backwards.
#include "network.hpp"

#include "graph_pattern.hpp"
#include "network_styles.hpp"
#include "network_values.hpp"

#include <algorithm>
#include <cmath>
#include <map>

namespace sgi::internal {
namespace {

constexpr uint64_t ANY = GraphPattern::ANY;

// A layer and a variant of it.
struct Place {
    size_t layer, variant;
};

// The index of a variant, which is added if the layer does not have it.
template <class Variant> size_t place_in(std::vector<Variant> &variants, const Variant &variant) {
    const auto found = std::find(variants.begin(), variants.end(), variant);
    if (found != variants.end()) return static_cast<size_t>(found - variants.begin());
    variants.push_back(variant);
    return variants.size() - 1;
}

bool is_same(const ConvLayer &a, const ConvLayer &b) {
    return a.weight == b.weight && a.energy == b.energy && a.bias == b.bias && a.noise == b.noise && a.up == b.up &&
           a.columns.first == b.columns.first && a.gain == b.gain && a.slope == b.slope && a.clamp == b.clamp;
}

bool is_same(const RgbLayer &a, const RgbLayer &b) {
    return a.conv == b.conv && a.below == b.below && a.weight == b.weight && a.bias == b.bias &&
           a.columns.first == b.columns.first && a.clamp == b.clamp;
}

// Whether kernels [rows, columns, 4, 4] are the low-pass filter [1, 3, 3, 1] of gain 4; of a dense kernel those on the
// diagonal, and the others zero.
bool is_filter(const Tensor &tensor, bool dense) {
    constexpr float TAPS[] = {1, 3, 3, 1};
    const std::vector<float> values = tensor.floats();
    const size_t columns = tensor.dims[1];
    for (size_t i = 0; i < values.size(); ++i) {
        const size_t tap = i % 16, row = i / 16 / columns, column = i / 16 % columns;
        const bool used = !dense || row == column;
        if (values[i] != (used ? TAPS[tap / 4] * TAPS[tap % 4] / 16 : 0.0f)) return false;
    }
    return true;
}

class NetworkReader {
  public:
    NetworkReader(const OnnxGraph &graph, const Artifact &artifact)
        : pattern_(graph), artifact_(artifact), styles_(pattern_, artifact, network_) {}

    Network read() {
        for (const OutputType &type : artifact_.types) network_.outputs.push_back(output(type));
        return std::move(network_);
    }

  private:
    NetworkOutput output(const OutputType &type) {
        std::string_view picture;
        NetworkOutput output{};
        output.values = read_values(pattern_, type.name, picture);
        if (pattern_.is(picture, "ReduceMean")) {
            const Node &mean = pattern_.node(picture, "ReduceMean", 2, {{"keepdims", {1}}});
            pattern_.require_integers(mean.inputs[1], {1});
            output.mean = true;
            picture = mean.inputs[0];
        }
        const Place place = rgb(picture);
        output.rgb = place.layer;
        output.variant = place.variant;
        check(type, output);
        return output;
    }

    void check(const OutputType &type, const NetworkOutput &output) const {
        const RgbLayer &layer = network_.rgbs[output.rgb];
        const Values &values = output.values;
        const size_t shown = output.mean ? 1 : layer.channels;
        const bool is_palette = values.decoding == SGI_DECODING_PALETTE, is_unit = values.decoding == SGI_DECODING_UNIT;
        const float range = type.high - type.low, rounding = 1e-5f * range;
        bool fits = values.decoding == type.decoding && type.channels == (is_palette ? 1 : shown) &&
                    network_.convs[layer.conv].out_side() == artifact_.resolution;
        if (is_palette) fits = fits && shown == 3 && values.colours->dims[0] == type.classes.size();
        else if (!is_unit)
            fits = fits && std::fabs(values.scale - range) <= rounding && std::fabs(values.low - type.low) <= rounding;
        if (!fits)
            throw Failure(SGI_ERROR_MODEL, "its " + type.name + " is not what its description gives; export it again");
    }

    // The picture of a resolution, with those of lower ones added.
    Place rgb(std::string_view value) {
        const auto known = rgbs_.find(value);
        if (known != rgbs_.end()) return known->second;
        RgbLayer layer{};
        Place below{};
        std::string_view x = value;
        if (pattern_.is(x, "Add")) {
            const Node &sum = pattern_.node(x, "Add", 2);
            const Node &upsampled =
                pattern_.node(sum.inputs[0], "ConvTranspose", 2,
                              {{"kernel_shape", {4, 4}}, {"pads", {1, 1, 1, 1}}, {"strides", {2, 2}}});
            below = rgb(upsampled.inputs[0]);
            layer.below = below.layer;
            const uint64_t channels = network_.rgbs[below.layer].channels;
            if (!is_filter(pattern_.weights(upsampled.inputs[1], {channels, channels, 4, 4}), true))
                pattern_.unexpected(upsampled.inputs[1], "the filter [1, 3, 3, 1]");
            x = sum.inputs[1];
        }
        layer.clamp = clamp(x);
        const Node &summed = pattern_.node(x, "Conv", 3, {{"kernel_shape", {1, 1}}});
        const auto [input, style] = modulated(summed.inputs[0]);
        const Place conv = this->conv(input);
        const auto [set, columns] = styles_.read(style);
        layer.conv = conv.layer;
        layer.columns = columns;
        layer.inputs = network_.convs[conv.layer].outputs;
        layer.weight = &pattern_.weights(summed.inputs[1], {ANY, layer.inputs, 1, 1});
        layer.channels = layer.weight->dims[0];
        layer.bias = &pattern_.weights(summed.inputs[2], {layer.channels});
        if (layer.columns.count != layer.inputs) pattern_.unexpected(style, "of as many channels as its layer has");
        if (layer.below) check_below(layer, value);
        size_t index = 0;
        while (index < network_.rgbs.size() && !is_same(network_.rgbs[index], layer)) ++index;
        if (index == network_.rgbs.size()) network_.rgbs.push_back(layer);
        const RgbVariant variant{conv.variant, set, below.variant};
        return rgbs_[value] = {index, place_in(network_.rgbs[index].variants, variant)};
    }

    void check_below(const RgbLayer &layer, std::string_view value) const {
        const RgbLayer &below = network_.rgbs[*layer.below];
        if (2 * network_.convs[below.conv].out_side() != network_.convs[layer.conv].out_side() ||
            below.channels != layer.channels)
            pattern_.unexpected(value, "a sum of pictures of one size");
    }

    // The activations after a convolution.
    Place conv(std::string_view value) {
        const auto known = convs_.find(value);
        if (known != convs_.end()) return known->second;
        ConvLayer layer{};
        std::string_view x = value;
        layer.clamp = clamp(x);
        const Node &activation = pattern_.node(x, "LeakyRelu", 1);
        layer.slope = activation.numbers.at("alpha");
        const Node &biased = pattern_.node(activation.inputs[0], "Add", 2);
        x = biased.inputs[0];
        std::string_view noise;
        if (pattern_.is(x, "Add")) {
            const Node &noisy = pattern_.node(x, "Add", 2);
            noise = noisy.inputs[1];
            x = noisy.inputs[0];
        }
        const Node &scaled = pattern_.node(x, "Mul", 2);
        const Node &convolved = convolution(scaled.inputs[0], layer);
        const auto [input, style] = modulated(convolved.inputs[0]);
        const Place parent = pattern_.is_weight(input) ? constant(input) : this->conv(input);
        const auto [set, columns] = styles_.read(style);
        layer.columns = columns;
        const size_t index = pattern_.is_weight(input) ? 0 : parent.layer + 1;
        layer.inputs = index ? network_.convs[parent.layer].outputs : network_.constant->dims[1];
        layer.side = index ? network_.convs[parent.layer].out_side() : network_.constant->dims[2];
        if (layer.columns.count != layer.inputs) pattern_.unexpected(style, "of as many channels as its layer has");
        if (layer.out_side() > artifact_.resolution)
            throw Failure(SGI_ERROR_MODEL, "its maps are larger than its description gives; export it again");
        shape(layer, convolved, biased.inputs[1], noise);
        demodulation(layer, scaled.inputs[1], style);
        if (index == network_.convs.size()) network_.convs.push_back(layer);
        else if (!is_same(network_.convs[index], layer)) pattern_.unexpected(value, "of the weights of other types");
        return convs_[value] = {index, place_in(network_.convs[index].variants, ConvVariant{parent.variant, set})};
    }

    // Reads weight, bias and noise, all of the layer's shape.
    void shape(ConvLayer &layer, const Node &convolved, std::string_view bias, std::string_view noise) const {
        layer.weight = layer.up ? &pattern_.weights(convolved.inputs[1], {layer.inputs, layer.outputs, 3, 3})
                                : &pattern_.weights(convolved.inputs[1], {ANY, layer.inputs, 3, 3});
        layer.outputs = layer.weight->dims[layer.up ? 1 : 0];
        layer.bias = &pattern_.weights(bias, {1, layer.outputs, 1, 1});
        if (!noise.empty()) layer.noise = &pattern_.weights(noise, {1, 1, layer.out_side(), layer.out_side()});
    }

    // The convolution that writes a value, or the transposed convolution before its filter. Of the latter it sets the
    // number of channels, which is that of the filter.
    const Node &convolution(std::string_view value, ConvLayer &layer) const {
        if (!pattern_.setting(value, "group"))
            return pattern_.node(value, "Conv", 2, {{"kernel_shape", {3, 3}}, {"pads", {1, 1, 1, 1}}});
        layer.up = true;
        const int64_t channels = pattern_.setting(value, "group");
        const Node &filtered =
            pattern_.node(value, "Conv", 2, {{"group", {channels}}, {"kernel_shape", {4, 4}}, {"pads", {1, 1, 1, 1}}});
        layer.outputs = static_cast<size_t>(channels);
        const Tensor &filter = pattern_.weights(filtered.inputs[1], {layer.outputs, 1, 4, 4});
        if (!is_filter(filter, false)) pattern_.unexpected(filtered.inputs[1], "the filter [1, 3, 3, 1]");
        return pattern_.node(filtered.inputs[0], "ConvTranspose", 2, {{"kernel_shape", {3, 3}}, {"strides", {2, 2}}});
    }

    // gain / sqrt(style^2 energy + EPSILON), as a factor of maps.
    void demodulation(ConvLayer &layer, std::string_view value, std::string_view style) {
        const Node &quotient = pattern_.node(pattern_.as_maps(value), "Div", 2);
        const Node &root = pattern_.node(quotient.inputs[1], "Sqrt", 1);
        const Node &above = pattern_.node(root.inputs[0], "Add", 2);
        const Node &sum = pattern_.node(above.inputs[0], "MatMul", 2);
        const Node &square = pattern_.node(sum.inputs[0], "Mul", 2);
        layer.gain = pattern_.scalar(quotient.inputs[0]);
        pattern_.require_scalar(above.inputs[1], EPSILON);
        layer.energy = &pattern_.weights(sum.inputs[1], {layer.inputs, layer.outputs});
        for (const std::string_view same : {square.inputs[0], square.inputs[1]})
            if (same != style) pattern_.unexpected(same, style);
    }

    // The activations and the style of a product of both.
    std::pair<std::string_view, std::string_view> modulated(std::string_view value) const {
        const Node &product = pattern_.node(value, "Mul", 2);
        return {product.inputs[0], pattern_.as_maps(product.inputs[1])};
    }

    // The bound of a clip to [-bound, bound]; infinity, and the same value, without one.
    float clamp(std::string_view &value) const {
        if (!pattern_.is(value, "Clip")) return std::numeric_limits<float>::infinity();
        const Node &clip = pattern_.node(value, "Clip", 3);
        const float bound = pattern_.scalar(clip.inputs[2]);
        pattern_.require_scalar(clip.inputs[1], -bound);
        value = clip.inputs[0];
        return bound;
    }

    Place constant(std::string_view value) {
        const Tensor &tensor = pattern_.weights(value, {1, ANY, 4, 4});
        if (network_.constant && network_.constant != &tensor)
            pattern_.unexpected(value, "the constant of other types");
        network_.constant = &tensor;
        return {0, 0};
    }

    const GraphPattern pattern_;
    const Artifact &artifact_;
    Network network_{};
    StyleReader styles_;
    std::map<std::string_view, Place> rgbs_, convs_; // by value
};

} // namespace

Network read_network(const OnnxGraph &graph, const Artifact &artifact) { return NetworkReader(graph, artifact).read(); }

} // namespace sgi::internal
