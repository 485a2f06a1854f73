#include "onnx_graph.hpp"

#include "wire_reader.hpp"

#include <cstring>

namespace sgi::internal {
namespace {

// Field numbers of onnx.proto.
enum Graph : uint64_t { GRAPH_NODE = 1, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum NodeField : uint64_t { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_OP_TYPE = 4, NODE_ATTRIBUTE = 5 };
enum Attribute : uint64_t { ATTRIBUTE_NAME = 1, ATTRIBUTE_FLOAT = 2, ATTRIBUTE_INT = 3, ATTRIBUTE_INTS = 8 };
enum TensorField : uint64_t { TENSOR_DIMS = 1, TENSOR_TYPE = 2, TENSOR_NAME = 8, TENSOR_RAW = 9 };
enum Value : uint64_t { VALUE_NAME = 1, VALUE_TYPE = 2 };
enum Type : uint64_t { TYPE_TENSOR = 1, TYPE_ELEMENT = 1, TYPE_SHAPE = 2 };
enum Shape : uint64_t { SHAPE_DIMENSION = 1, DIMENSION_VALUE = 1 };

template <class Visit> void each(std::string_view message, Visit visit) {
    Field field{};
    for (Reader reader(message); reader.next(field);) visit(field);
}

// The numbers of a field that is one varint or a packed list of them.
template <class Number> void append_numbers(const Field &field, std::vector<Number> &numbers) {
    if (field.wire == VARINT) numbers.push_back(static_cast<Number>(field.value));
    else
        for (Reader reader(field.payload); !reader.is_at_end();)
            numbers.push_back(static_cast<Number>(reader.varint()));
}

// Field `number` of a message, empty if it has none.
std::string_view part(std::string_view message, uint64_t number) {
    std::string_view found;
    each(message, [&](const Field &field) {
        if (field.number == number && field.wire == BYTES) found = field.payload;
    });
    return found;
}

Port port_of(std::string_view value) {
    Port port;
    port.name = part(value, VALUE_NAME);
    each(part(part(value, VALUE_TYPE), TYPE_TENSOR), [&](const Field &field) {
        if (field.number == TYPE_ELEMENT) port.is_float32 = field.value == Tensor::FLOAT32;
        if (field.number != TYPE_SHAPE) return;
        each(field.payload, [&](const Field &dimension) {
            if (dimension.number != SHAPE_DIMENSION) return;
            int64_t size = -1; // a name, or nothing
            each(dimension.payload, [&](const Field &entry) {
                if (entry.number == DIMENSION_VALUE && entry.wire == VARINT) size = static_cast<int64_t>(entry.value);
            });
            port.shape.push_back(size);
        });
    });
    return port;
}

void add_attribute(std::string_view message, Node &node) {
    std::string_view name;
    std::vector<int64_t> integers;
    each(message, [&](const Field &field) {
        if (field.number == ATTRIBUTE_NAME) name = field.payload;
        else if (field.number == ATTRIBUTE_INT || field.number == ATTRIBUTE_INTS) append_numbers(field, integers);
    });
    each(message, [&](const Field &field) {
        if (field.number == ATTRIBUTE_FLOAT && field.wire == FIXED32)
            std::memcpy(&node.numbers[name], field.payload.data(), sizeof(float));
    });
    if (!integers.empty()) node.integers[name] = integers;
}

template <class Number> std::vector<Number> copy_of(std::string_view bytes) {
    std::vector<Number> values(bytes.size() / sizeof(Number));
    if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(Number));
    return values;
}

} // namespace

std::vector<float> Tensor::floats() const { return copy_of<float>(bytes); }
std::vector<int64_t> Tensor::integers() const { return copy_of<int64_t>(bytes); }

OnnxGraph::OnnxGraph(std::string_view graph) {
    each(graph, [&](const Field &field) {
        if (field.number == GRAPH_INITIALIZER) add_tensor(field.payload);
        else if (field.number == GRAPH_INPUT) inputs_.push_back(port_of(field.payload));
        else if (field.number == GRAPH_OUTPUT) outputs_.push_back(port_of(field.payload));
    });
    each(graph, [&](const Field &field) { // nodes come before the initializers that they read
        if (field.number == GRAPH_NODE) add_node(field.payload);
    });
}

const Node *OnnxGraph::writer(std::string_view value) const {
    const auto found = writers_.find(value);
    return found == writers_.end() ? nullptr : &nodes_[found->second];
}

const Tensor *OnnxGraph::tensor(std::string_view value) const {
    const auto found = tensors_.find(value);
    return found == tensors_.end() ? nullptr : &found->second;
}

void OnnxGraph::add_tensor(std::string_view message) {
    Tensor tensor;
    each(message, [&](const Field &field) {
        if (field.number == TENSOR_DIMS) append_numbers(field, tensor.dims);
        else if (field.number == TENSOR_TYPE) tensor.type = field.value;
        else if (field.number == TENSOR_NAME) tensor.name = field.payload;
        else if (field.number == TENSOR_RAW) tensor.bytes = field.payload;
    });
    if (tensor.type == Tensor::FLOAT16 || tensor.type == Tensor::BFLOAT16)
        throw Unsupported(std::string("it was exported in ") + (tensor.type == Tensor::FLOAT16 ? "fp16" : "bf16") +
                          ", and this backend reads fp32, from which it can compute in bf16 itself");
    for (const uint64_t size : tensor.dims) tensor.count *= size; // below 2^31, by check_graph
    const size_t width = tensor.type == Tensor::INT64 ? sizeof(int64_t) : sizeof(float);
    if (tensor.bytes.size() != tensor.count * width)
        throw Unsupported("its weight " + std::string(tensor.name) + " has other bytes than its shape needs");
    if (!tensors_.emplace(tensor.name, tensor).second)
        throw Unsupported("it has the weights " + std::string(tensor.name) + " twice");
}

void OnnxGraph::add_node(std::string_view message) {
    Node node;
    each(message, [&](const Field &field) {
        if (field.number == NODE_OP_TYPE) node.op = field.payload;
        else if (field.number == NODE_INPUT) node.inputs.push_back(field.payload);
        else if (field.number == NODE_OUTPUT) node.outputs.push_back(field.payload);
        else if (field.number == NODE_ATTRIBUTE) add_attribute(field.payload, node);
    });
    const auto is_input = [&](std::string_view name) {
        for (const Port &port : inputs_)
            if (port.name == name) return true;
        return false;
    };
    // The reader follows values backwards, which ends because every value is written before it is read.
    for (const std::string_view name : node.inputs)
        if (!tensors_.count(name) && !writers_.count(name) && !is_input(name))
            throw Unsupported("the value " + std::string(name) + " is read before it is written");
    for (const std::string_view name : node.outputs)
        if (tensors_.count(name) || is_input(name) || !writers_.emplace(name, nodes_.size()).second)
            throw Unsupported("the value " + std::string(name) + " is written twice");
    nodes_.push_back(std::move(node));
}

} // namespace sgi::internal
