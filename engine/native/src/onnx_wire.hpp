// Operations on ONNX files without a runtime: read the metadata, and remove outputs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sgi::internal {

// The value of a key in the model's metadata_props, false if it has none.
// Throws Failure(SGI_ERROR_MODEL) for bytes that are not a complete ONNX model.
bool read_metadata(std::string_view model, std::string_view key, std::string &value);

// The field `graph` of a complete model, with its weights.
std::string_view find_graph(std::string_view model);

// The model without the nodes and weights that only other outputs use. Runtimes compute every node of a graph,
// whichever outputs are fetched, so unrequested types must be removed before a runtime loads the model. The model has
// no control flow (onnx_operators.hpp), whose inner graphs could use any outer value.
std::string keep_outputs(std::string_view model, const std::vector<std::string> &names);

} // namespace sgi::internal
