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

struct Artifact {
    uint32_t resolution = 0, z_dim = 0, c_dim = 0;
    float psi = 1;
    std::string generator_sha256, json;
    std::string graph_sha256; // of the field `graph` of an .onnx; empty in files of older versions
    std::vector<OutputType> types;

    size_t image_size(const OutputType &type) const { return size_t{type.channels} * resolution * resolution; }
};

// Reads a model's description. Throws Failure(SGI_ERROR_MODEL) for bytes that are not a model, a model of another
// program, another format version, values that no model can have, and a graph that differs from its checksum.
Artifact read_artifact(const Model &model);

} // namespace sgi::internal
