// The calls that we make to TensorRT or TensorRT-RTX, so that only one file includes its headers.
#pragma once

#include "backend.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sgi::internal {

// Runs an engine. Not thread-safe. Every call returns false if TensorRT reports an error.
class TensorRtContext {
  public:
    virtual ~TensorRtContext() = default;
    virtual bool set_shape(const std::string &input, const std::vector<int64_t> &shape) = 0;
    virtual bool set_address(const std::string &name, uint64_t address) = 0;
    virtual bool enqueue(void *stream) = 0;
};

class TensorRtEngine {
  public:
    virtual ~TensorRtEngine() = default;
    virtual std::vector<Port> inputs() const = 0;
    virtual std::vector<Port> outputs() const = 0;
    // NULL if the GPU does not have memory for another.
    virtual std::unique_ptr<TensorRtContext> context() = 0;
};

class TensorRtLibrary {
  public:
    virtual ~TensorRtLibrary() = default;
    virtual std::string module() const = 0;  // tensorrt or tensorrt_rtx, as in a sidecar
    virtual std::string version() const = 0; // as in a sidecar, such as 11.4.0.106
    virtual std::string path() const = 0;
    // Needs the GPU's context to be current; NULL if TensorRT cannot load the bytes. The library must outlive it.
    virtual std::unique_ptr<TensorRtEngine> load(std::string_view engine) = 0;
    // The last error that TensorRT logged, "" for none.
    virtual std::string last_error() const = 0;
};

// `wanted`, $SGI_TENSORRT_LIB, the system's library of the headers' major version, or the one of a Python environment:
// see load_library. Throws Failure(SGI_ERROR_BACKEND).
std::unique_ptr<TensorRtLibrary> load_tensorrt(const std::string &wanted);

} // namespace sgi::internal
