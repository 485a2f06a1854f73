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

} // namespace sgi::internal
