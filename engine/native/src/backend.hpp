// The interface of runtimes.
#pragma once

#include "artifact.hpp"
#include "model_file.hpp"

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sgi::internal {

// A type (index into the loaded types) and the buffer for its values [N, C, R, R].
struct OutputBuffer {
    size_t type;
    float *data;
};

struct BackendOptions {
    std::string device, runtime;
    uint32_t threads = 0, batch = 0;
    std::string precision; // empty: that of the model
    uint32_t streams = 0;  // 0: one
};

// A loaded model. Thread-safe.
class Backend {
  public:
    virtual ~Backend() = default;
    // Runs one pass: inputs are the values of each of Artifact::inputs for `count` rows, count is from 1 to the batch
    // of BackendOptions. Throws Failure(SGI_ERROR_RUNTIME).
    virtual void run(size_t count, const std::vector<const float *> &inputs,
                     const std::vector<OutputBuffer> &outputs) = 0;
    // Library and version, for messages.
    virtual std::string runtime() const = 0;
};

// Load a model. artifact.types are the outputs of an .onnx, or some of the outputs of an engine or, of the backend cpu,
// of an .onnx. Throw Failure(SGI_ERROR_BACKEND), of which Unsupported means that another backend may run the model.
std::unique_ptr<Backend> open_cpu(std::string_view model, const Artifact &artifact, const BackendOptions &options);
std::unique_ptr<Backend> open_onnxruntime(std::string_view model, const Artifact &artifact,
                                          const BackendOptions &options);
std::unique_ptr<Backend> open_openvino(std::string_view model, const Artifact &artifact, const BackendOptions &options);
std::unique_ptr<Backend> open_tensorrt(const Model &model, const Artifact &artifact, const BackendOptions &options);

// One input or output of a loaded model; a dynamic dimension is -1.
struct Port {
    std::string name;
    bool is_float32 = false;
    std::vector<int64_t> shape;
};

// Throws Failure(SGI_ERROR_MODEL) unless the loaded graph has the inputs and outputs of its description.
void check_ports(const Artifact &artifact, const std::vector<Port> &inputs, const std::vector<Port> &outputs);

} // namespace sgi::internal
