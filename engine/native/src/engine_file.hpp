// What a TensorRT engine says of its build, and whether it can run here: engine/backends/engine_file.py in C++.
#pragma once

#include "cuda_driver.hpp"
#include "model_file.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sgi::internal {

// The `builder` entry of a sidecar. module: tensorrt or tensorrt_rtx. gpu and capability: of the GPU it was built on;
// none for a build for targets, compute capabilities such as SM120. least, best, largest: rows of a pass.
struct EngineFacts {
    std::string module, version, gpu;
    std::optional<std::pair<int, int>> capability;
    std::vector<std::string> targets;
    uint32_t least = 1, best = 1, largest = 1;
    std::string rebuild; // the advice to build it again, with the flags that it was built with

    // Throws Failure(SGI_ERROR_MODEL) where the sidecar does not tell how the engine was built.
    explicit EngineFacts(const Model &model);

    // Each throws Failure(SGI_ERROR_BACKEND) where this machine cannot run the engine.
    void check_gpu(const std::optional<Gpu> &here) const;
    void check_library(const std::string &module_here, const std::string &version_here) const;
};

} // namespace sgi::internal
