// The two things done to an ONNX file without a runtime: read its metadata, cut it down to some outputs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sgi::internal {

// The value of a key in the model's metadata_props, false if it has none.
// Throws Failure(SGI_ERROR_MODEL) for bytes that are no whole ONNX model.
bool read_metadata(std::string_view model, std::string_view key, std::string &value);

// The model without the nodes and weights that only other outputs need. Runtimes compute every node of a graph whatever
// outputs are fetched, so types that nobody wants must be gone before a runtime loads it. A model with control flow,
// whose inner graphs may use any outer value, comes back whole.
std::string keep_outputs(std::string_view model, const std::vector<std::string> &names);

} // namespace sgi::internal
