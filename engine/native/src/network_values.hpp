// The decoding of a type in a graph.
#pragma once

#include "graph_pattern.hpp"
#include "network.hpp"

#include <string_view>

namespace sgi::internal {

// Reads the decoding of the output `value`, and sets `picture` to the value of the picture that it decodes.
Values read_values(const GraphPattern &pattern, std::string_view value, std::string_view &picture);

} // namespace sgi::internal
