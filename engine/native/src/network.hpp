// A generator as layers: what an exported .onnx computes, without its graph.
//
// Types share the layers, and differ in the styles that these get. A layer has a *variant* for every different input or
// style: types with equal offsets up to some layer share the variants before it.
#pragma once

#include "artifact.hpp"
#include "onnx_graph.hpp"

#include <cstddef>
#include <limits>
#include <optional>
#include <string_view>
#include <vector>

namespace sgi::internal {

// Weights are views of the bytes of the model.

// x @ weight + bias: weight [inputs, outputs].
struct Linear {
    const Tensor *weight, *bias;
    size_t inputs() const { return weight->dims[0]; }
    size_t outputs() const { return weight->dims[1]; }
};

// z, and a label of conditional models, to w: both are scaled to a mean square of 1, then fully connected layers.
struct Mapping {
    std::optional<Linear> embed; // of the label, before it is scaled
    std::vector<Linear> layers;
    float slope; // of the leaky ReLU
};

// What a product with an affine matrix reads. TRUNCATED: average + psi * (w - average). ROWS: rows of w+.
enum class Source { W, TRUNCATED, ROWS };

// Columns [first, first + columns) of the products A w.
struct Product {
    Source source;
    const Tensor *matrix; // [w_dim, columns]
    const Tensor *mask;   // ROWS: [num_ws, columns], 1 at the row that a column reads, else 0
    size_t first, columns;
};
using Products = std::vector<Product>; // one after the other

// The styles of a type: products + bias.
struct Styles {
    size_t products; // index into Network::products
    const Tensor *bias;
};

// The columns of the styles that a layer reads.
struct Columns {
    size_t first, count;
};

// One input and style of a layer.
struct ConvVariant {
    size_t parent; // variant of the convolution before; 0 for the first
    size_t styles; // index into Network::styles
    bool operator==(const ConvVariant &other) const { return parent == other.parent && styles == other.styles; }
};

constexpr float EPSILON = 1e-8f; // added to mean squares, and to the sums of demodulation

// A modulated convolution: y = clamp(lrelu(conv(style * x) * gain / sqrt(style^2 energy + EPSILON) + noise + bias)).
struct ConvLayer {
    size_t inputs, outputs, side; // channels, side of the input
    bool up;
    Columns columns;
    const Tensor *weight;          // [O, I, 3, 3]; of an up-convolution [I, O, 3, 3]
    const Tensor *energy, *bias;   // [I, O], [1, O, 1, 1]
    const Tensor *noise = nullptr; // [1, 1, side', side'], or nullptr
    float gain, slope, clamp = std::numeric_limits<float>::infinity();
    std::vector<ConvVariant> variants;

    size_t out_side() const { return up ? 2 * side : side; }
};

struct RgbVariant {
    size_t conv, styles, below; // variants of the convolution and of the layer below
    bool operator==(const RgbVariant &other) const {
        return conv == other.conv && styles == other.styles && below == other.below;
    }
};

// A picture: clamp(weight (style * x) + bias), plus the picture below, upsampled by 2 with the filter [1, 3, 3, 1].
struct RgbLayer {
    size_t conv;                 // index of the convolution whose output it reads
    std::optional<size_t> below; // index into Network::rgbs
    size_t inputs, channels;
    Columns columns;
    const Tensor *weight, *bias; // [channels, inputs, 1, 1], [channels]
    float clamp = std::numeric_limits<float>::infinity();
    std::vector<RgbVariant> variants;
};

// The values of a type from the display code u = clip(picture / 2 + 0.5, 0, 1), by engine/decoding.py.
struct Values {
    sgi_decoding decoding;
    float scale = 1, low = 0;                         // value = share * scale + low; identity, inverse and linear
    const Tensor *colours = nullptr, *bias = nullptr; // of a palette: scores [K, 3, 1, 1] and [K]
};

// An output of the graph. mean: whether its picture is the mean over the channels of the picture.
struct NetworkOutput {
    size_t rgb, variant;
    bool mean;
    Values values;
};

struct Network {
    std::optional<Mapping> mapping;  // of models that take z
    const Tensor *average = nullptr; // [w_dim], of models with truncated rows
    size_t w_dim = 0, num_ws = 0;    // num_ws: of models that take w+
    std::vector<Products> products;
    std::vector<Styles> styles;
    size_t columns = 0;                 // of the styles
    const Tensor *constant = nullptr;   // [1, C, 4, 4]
    std::vector<ConvLayer> convs;       // in order; each reads the one before
    std::vector<RgbLayer> rgbs;         // a layer comes after the one below it
    std::vector<NetworkOutput> outputs; // of Artifact::types
};

// Reads the network that the types of `artifact` need; it refers to tensors of `graph`. The structure is found from
// each output backwards, not by the names of values. Throws Unsupported, with the operator or value, for everything
// that export/network.py does not write in float32; Failure(SGI_ERROR_MODEL) for a graph that differs from its
// description.
Network read_network(const OnnxGraph &graph, const Artifact &artifact);

} // namespace sgi::internal
