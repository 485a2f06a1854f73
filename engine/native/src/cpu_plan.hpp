// The order in which a pass of the network computes its layers, and where their results are in memory.
//
// A row is one image of one variant of a layer. All rows of a layer are computed by one step, so that its weights are
// read once, as long as the rows fit into a budget; from there on the rows are divided, and each part is computed to
// its end before the next, so that memory does not grow with the number of images and types.
#pragma once

#include "network.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace sgi::internal {

struct PlannedConv {
    size_t floats; // of a row of its output
    std::vector<ConvVariant> variants;
};

struct PlannedRgb {
    size_t floats, conv;
    std::optional<size_t> below;
    std::vector<RgbVariant> variants;
};

struct PlannedOutput {
    size_t rgb, variant;
};

// What a plan needs to know of a network.
struct PlannedLayers {
    std::vector<PlannedConv> convs;
    std::vector<PlannedRgb> rgbs;
    std::vector<PlannedOutput> outputs;
};

struct Row {
    uint32_t image, variant;
    bool operator==(const Row &other) const { return image == other.image && variant == other.variant; }
};

// Computes rows [first, first + rows) of Plan::conv_rows or rgb_rows of its layer, or decodes pictures of an output. x,
// below and y are offsets into the memory of the pass, in floats.
struct Step {
    enum Kind { CONV, RGB, DECODE } kind;
    size_t layer, first, rows;
    std::vector<uint32_t> source, below_source; // for each row, the row at x and at `below`
    size_t x, below, y;                         // the first convolution reads the constant instead of x
    size_t image, stride;                       // DECODE: of the first row; floats between pictures at x
};

struct Plan {
    std::vector<std::vector<Row>> conv_rows, rgb_rows; // of each layer, in the order of the steps
    std::vector<Step> steps;
    size_t floats = 0; // memory of the pass
};

// The plan of `images` images of some outputs. budget: bytes that the rows of one step may take, if there are several.
Plan make_plan(const PlannedLayers &layers, size_t images, const std::vector<size_t> &outputs, size_t budget);

} // namespace sgi::internal
