// Checks of the nodes of a graph against what the exporter writes.
#pragma once

#include "onnx_graph.hpp"

#include <initializer_list>
#include <string_view>
#include <utility>
#include <vector>

namespace sgi::internal {

class GraphPattern {
  public:
    using Settings = std::initializer_list<std::pair<std::string_view, std::vector<int64_t>>>;
    static constexpr uint64_t ANY = ~uint64_t{0};

    explicit GraphPattern(const OnnxGraph &graph) : graph_(graph) {}

    // Whether a node of this operator writes the value.
    bool is(std::string_view value, std::string_view op) const {
        const Node *node = graph_.writer(value);
        return node && node->op == op;
    }
    bool is_weight(std::string_view value) const { return graph_.tensor(value) != nullptr; }

    // The first number of a setting of the node that writes a value; 0 if it has none.
    int64_t setting(std::string_view value, std::string_view name) const;

    // The node that writes a value. Throws Unsupported unless it has this operator, this number of inputs and exactly
    // these integer settings, and no others but `alpha` of a leaky ReLU.
    const Node &node(std::string_view value, std::string_view op, size_t inputs, Settings settings = {}) const;

    // Float32 weights of a shape, of which ANY matches every size.
    const Tensor &weights(std::string_view value, const std::vector<uint64_t> &dims) const;
    float scalar(std::string_view value) const;
    std::vector<int64_t> integers(std::string_view value) const;

    // Throw Unsupported unless the value is that.
    void require_input(std::string_view value, std::string_view name) const;
    void require_scalar(std::string_view value, float number) const;
    void require_integers(std::string_view value, const std::vector<int64_t> &numbers) const;

    // The vector [N, C] that a value [N, C, 1, 1] is made of.
    std::string_view as_maps(std::string_view value) const;

    [[noreturn]] void unexpected(std::string_view value, std::string_view wanted) const;

  private:
    const OnnxGraph &graph_;
};

} // namespace sgi::internal
