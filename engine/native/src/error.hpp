// The library's exception: a status and the line that sgi_last_error returns.
#pragma once

#include <sgi/sgi.h>

#include <stdexcept>
#include <string>

namespace sgi::internal {

struct Failure : std::runtime_error {
    Failure(sgi_status status, const std::string &message) : std::runtime_error(message), status(status) {}
    sgi_status status;
};

// A model that the backend cpu cannot run, although another backend may.
struct Unsupported : Failure {
    explicit Unsupported(const std::string &reason)
        : Failure(SGI_ERROR_BACKEND, "the backend cpu cannot run the model: " + reason +
                                         "; use the backend onnxruntime, or export the model again"),
          reason(reason) {}
    std::string reason;
};

} // namespace sgi::internal
