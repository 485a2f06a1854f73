#include "backend.hpp"
#include "error.hpp"

#include <algorithm>

namespace sgi::internal {
namespace {

// A dynamic dimension matches any size: the batch is dynamic, and a runtime may not infer the others.
bool fits(const Port &port, const std::vector<int64_t> &wanted) {
    return port.is_float32 && port.shape.size() == wanted.size() &&
           std::equal(wanted.begin(), wanted.end(), port.shape.begin(),
                      [](int64_t size, int64_t found) { return found == -1 || found == size; });
}

void check(const std::vector<Port> &ports, const std::string &name, const std::vector<int64_t> &shape) {
    const auto found = std::find_if(ports.begin(), ports.end(), [&](const Port &port) { return port.name == name; });
    if (found == ports.end() || !fits(*found, shape))
        throw Failure(SGI_ERROR_MODEL, "its " + name + " is not what its description gives; export it again");
}

} // namespace

void check_ports(const Artifact &artifact, const std::vector<Port> &inputs, const std::vector<Port> &outputs) {
    const int64_t side = artifact.resolution;
    for (const Input &input : artifact.inputs) check(inputs, input.name, input.shape);
    if (inputs.size() != artifact.inputs.size())
        throw Failure(SGI_ERROR_MODEL, "it has other inputs than its description gives; export it again");
    for (const OutputType &type : artifact.types) check(outputs, type.name, {-1, type.channels, side, side});
}

} // namespace sgi::internal
