// A graph of an exported .onnx in memory: its nodes, weights and ports by the names of values. It owns no bytes.
#pragma once

#include "backend.hpp"
#include "error.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string_view>
#include <vector>

namespace sgi::internal {

// An initializer. The bytes are little-endian and not aligned.
struct Tensor {
    enum Type : uint64_t { FLOAT32 = 1, INT64 = 7, FLOAT16 = 10, BFLOAT16 = 16 };
    std::string_view name, bytes;
    uint64_t type = 0;
    std::vector<uint64_t> dims;
    uint64_t count = 1; // the product of dims

    std::vector<float> floats() const;
    std::vector<int64_t> integers() const;
};

struct Node {
    std::string_view op;
    std::vector<std::string_view> inputs, outputs;
    std::map<std::string_view, std::vector<int64_t>> integers; // settings
    std::map<std::string_view, float> numbers;                 // settings of type float
};

class OnnxGraph {
  public:
    // graph: the field `graph` of a model that check_graph has accepted. Throws Unsupported for a value that is written
    // twice or read before it is written.
    explicit OnnxGraph(std::string_view graph);

    // The node that writes a value; nullptr for inputs of the graph and weights.
    const Node *writer(std::string_view value) const;
    // The weights of a name; nullptr for other values.
    const Tensor *tensor(std::string_view value) const;

    const std::vector<Port> &inputs() const { return inputs_; }
    const std::vector<Port> &outputs() const { return outputs_; }

  private:
    void add_tensor(std::string_view message);
    void add_node(std::string_view message);

    std::vector<Node> nodes_;
    std::map<std::string_view, size_t> writers_; // index into nodes_
    std::map<std::string_view, Tensor> tensors_;
    std::vector<Port> inputs_, outputs_;
};

} // namespace sgi::internal
