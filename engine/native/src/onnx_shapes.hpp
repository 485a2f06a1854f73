// Upper bounds of the sizes of values in a graph, for one image. engine/onnx_shapes.py has the same rules and the
// reasons.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace sgi::internal {

using Shape = std::vector<uint64_t>;

constexpr uint64_t LONGEST_VECTOR = 1 << 17; // numbers of a value that no node computes: z, label, psi
constexpr size_t MOST_AXES = 4;

// The settings that a node's attributes give, by name, and the integers of its second input if it is a constant.
struct NodeForm {
    std::string_view op;
    std::vector<Shape> inputs;
    std::map<std::string_view, std::vector<uint64_t>> settings;
    std::vector<uint64_t> numbers;
};

// Upper bounds of the shapes of a node's outputs. Throws std::invalid_argument, which says what the exporter does not
// write.
std::vector<Shape> output_shapes(const NodeForm &node, size_t outputs);

// Numbers of a value, at most 2^63.
uint64_t numbers_in(const Shape &shape);

} // namespace sgi::internal
