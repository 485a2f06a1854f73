// The facts of the build of a TensorRT engine, and checks that this machine can run it, as in
// engine/backends/engine_file.py.
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
// empty for a build for targets, which are compute capabilities such as SM120. least, best, largest: rows of a pass.
// engine_sha256: hash of the engine.
struct EngineFacts {
    std::string module, version, gpu, engine_sha256;
    std::optional<std::pair<int, int>> capability;
    std::vector<std::string> targets;
    uint32_t least = 1, best = 1, largest = 1;
    std::string rebuild; // how to build it again, with the flags of the build

    // Throws Failure(SGI_ERROR_MODEL) if the sidecar does not contain the facts.
    explicit EngineFacts(const Model &model);

    // Each throws Failure(SGI_ERROR_BACKEND) if this machine cannot run the engine.
    void check_gpu(const std::optional<Gpu> &here) const;
    void check_library(const std::string &module_here, const std::string &version_here) const;
};

} // namespace sgi::internal
