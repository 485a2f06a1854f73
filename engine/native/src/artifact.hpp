// The description of an exported model: the JSON in its metadata property `sgi_engine`, or beside an engine.
#pragma once

#include "model_file.hpp"

#include <sgi/sgi.h>

#include <cstdint>
#include <string>
#include <vector>

namespace sgi::internal {

struct OutputType {
    std::string name, meaning;
    uint32_t channels = 0;
    float low = 0, high = 0;
    sgi_decoding decoding = SGI_DECODING_IDENTITY;
    uint32_t png_bits = 8;
    std::vector<std::string> classes; // of a segmentation, else empty
};

// An input of the graph: [batch, ...] float32, where the batch is -1, or one number [].
struct Input {
    std::string name;
    std::vector<int64_t> shape;

    // The shape for a number of rows.
    std::vector<int64_t> shape_of(size_t rows) const;
    // The number of values for a number of rows.
    size_t values_of(size_t rows) const;
};

struct Artifact {
    uint32_t resolution = 0, z_dim = 0, c_dim = 0;
    float psi = 1;
    std::string input = "z";   // what the model takes: z, w or w+
    uint32_t w_dim = 0;        // 0 in files that take z
    std::vector<Input> inputs; // z, psi and, with classes, label; w; or ws. The latent is the first
    std::string generator_sha256, json;
    std::string graph_sha256; // of the field `graph` of an .onnx; empty in files of older versions
    std::vector<OutputType> types;

    size_t image_size(const OutputType &type) const { return size_t{type.channels} * resolution * resolution; }
    // Rows of w+: two for each resolution from 4 px up.
    uint32_t num_ws() const;
};

// Reads a model's description. Throws Failure(SGI_ERROR_MODEL) for bytes that are not a model, a model of another
// program, another format version, values that no model can have, and a graph that differs from its checksum.
Artifact read_artifact(const Model &model);

} // namespace sgi::internal
