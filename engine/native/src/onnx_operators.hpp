// The operators of exported models, and the check that a graph has no others before a runtime sees it.
#pragma once

#include <cstdint>
#include <string_view>

namespace sgi::internal {

// Throws Failure(SGI_ERROR_MODEL) for a model that the exporter cannot have written, by the rules and the table of
// engine/onnx_operators.py. resolution: of its description; no path of the graph may enlarge a map beyond it.
// num_ws: rows of w+.
void check_graph(std::string_view model, uint32_t resolution, uint32_t num_ws);

} // namespace sgi::internal
