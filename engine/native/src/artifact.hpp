// What an exported model says of itself: the JSON in its metadata property `sgi_engine`, or beside an engine.
#pragma once

#include "model_file.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace sgi::internal {

struct OutputType {
    std::string name, meaning;
    uint32_t channels = 0;
    float low = 0, high = 0;
};

struct Artifact {
    uint32_t resolution = 0, z_dim = 0, c_dim = 0;
    float psi = 1;
    std::string generator_sha256, json;
    std::vector<OutputType> types;

    size_t image_size(const OutputType &type) const { return size_t{type.channels} * resolution * resolution; }
};

// Reads a model's description. Throws Failure(SGI_ERROR_MODEL) for bytes that are no model, a model that is not ours,
// another format version, and values that no model can have.
Artifact read_artifact(const Model &model);

} // namespace sgi::internal
