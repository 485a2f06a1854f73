#include "onnx_shapes.hpp"

#include <algorithm>
#include <stdexcept>

namespace sgi::internal {
namespace {

constexpr std::string_view ELEMENTWISE[] = {"Abs",         "Add", "Cast", "Clip", "Div",  "Identity", "LeakyRelu",
                                            "LessOrEqual", "Max", "Mul",  "Pow",  "Sqrt", "Sub",      "Where"};
constexpr std::string_view SAME[] = {"ArgMax", "ReduceMax", "ReduceMean", "ReduceSum"};
constexpr uint64_t LARGEST_BLOCK = 1024;
constexpr uint64_t MOST = uint64_t{1} << 62;

template <size_t N> bool is_in(const std::string_view (&names)[N], std::string_view name) {
    return std::find(names, names + N, name) != names + N;
}

// Products and sums that stop at MOST.
uint64_t times(uint64_t a, uint64_t b) { return a && b > MOST / a ? MOST : a * b; }
uint64_t plus(uint64_t a, uint64_t b) { return std::min(MOST, a + b); }

Shape broadcast(const std::vector<Shape> &shapes) {
    size_t rank = 0;
    for (const Shape &shape : shapes) rank = std::max(rank, shape.size());
    if (rank > MOST_AXES) throw std::invalid_argument("a value of " + std::to_string(rank) + " axes");
    Shape result(rank, 0);
    for (size_t axis = 0; axis < rank; ++axis)
        for (const Shape &shape : shapes) {
            const size_t missing = rank - shape.size();
            result[axis] = std::max(result[axis], axis < missing ? 1 : shape[axis - missing]);
        }
    return result;
}

std::vector<uint64_t> setting(const NodeForm &node, std::string_view name, std::vector<uint64_t> otherwise) {
    const auto found = node.settings.find(name);
    if (found == node.settings.end()) return otherwise;
    std::vector<uint64_t> values = found->second;
    for (size_t i = values.size(); i < otherwise.size(); ++i) values.push_back(otherwise[i]);
    return values;
}

Shape convolved(const NodeForm &node) {
    for (const auto &[name, values] : node.settings)
        if (name != "group" && name != "kernel_shape" && name != "pads" && name != "strides")
            throw std::invalid_argument("an unknown setting of " + std::string(node.op));
    const Shape &x = node.inputs[0], &kernel = node.inputs[1];
    const bool is_transposed = node.op == "ConvTranspose";
    const std::vector<uint64_t> pads = setting(node, "pads", {0, 0, 0, 0}), strides = setting(node, "strides", {1, 1});
    Shape result{x[0], is_transposed ? times(kernel[1], setting(node, "group", {1})[0]) : kernel[0]};
    for (size_t axis = 0; axis < 2; ++axis) {
        const uint64_t side = x[2 + axis], width = kernel[2 + axis], padded = pads[axis] + pads[2 + axis];
        const uint64_t stride = std::max<uint64_t>(strides[axis], 1);
        const uint64_t grown = is_transposed ? plus(times(side ? side - 1 : 0, stride), width) : plus(side, padded + 1);
        const uint64_t lost = is_transposed ? padded : width;
        result.push_back(grown > lost ? grown - lost : 1);
    }
    return result;
}

} // namespace

std::vector<Shape> output_shapes(const NodeForm &node, size_t outputs) {
    const std::string_view op = node.op;
    const std::vector<Shape> &inputs = node.inputs;
    if (inputs.empty()) throw std::invalid_argument("an operator without inputs");
    const Shape &x = inputs[0];
    if (setting(node, "keepdims", {1})[0] != 1) {
        if (op != "ReduceSum" || x.size() != 3 || node.numbers != std::vector<uint64_t>{1})
            throw std::invalid_argument("an operator that removes an axis");
        return {{x[0], x[2]}}; // the rows of w+
    }
    const bool is_axis_1 = setting(node, "axis", {}) == std::vector<uint64_t>{1};
    if (is_in(ELEMENTWISE, op)) return std::vector<Shape>(outputs, broadcast(inputs));
    if (is_in(SAME, op)) return std::vector<Shape>(outputs, x);
    if (op == "Unsqueeze" && node.numbers == std::vector<uint64_t>{2, 3} && x.size() == 2) return {{x[0], x[1], 1, 1}};
    if (op == "Unsqueeze" && std::all_of(x.begin(), x.end(), [](uint64_t side) { return side == 1; }))
        return {Shape(x.size() + node.numbers.size(), 1)};
    if (op == "Split" && is_axis_1 && x.size() == 2 && node.numbers.size() == outputs) {
        std::vector<Shape> parts;
        for (const uint64_t number : node.numbers)
            parts.push_back({x[0], std::min(x[1], std::max<uint64_t>(number, 1))});
        return parts;
    }
    if (op == "Split") return std::vector<Shape>(outputs, x);
    if (op == "Concat" && is_axis_1 &&
        std::all_of(inputs.begin(), inputs.end(), [](const Shape &shape) { return shape.size() == 2; })) {
        Shape whole{0, 0};
        for (const Shape &shape : inputs) whole = {std::max(whole[0], shape[0]), plus(whole[1], shape[1])};
        return {whole};
    }
    if ((op == "Gemm" || op == "MatMul") && node.settings.empty() && inputs.size() > 1 && x.size() == 2 &&
        inputs[1].size() == 2) {
        std::vector<Shape> terms(inputs.begin() + 1, inputs.end());
        terms[0] = {x[0], inputs[1][1]};
        return {broadcast(terms)};
    }
    if (op == "MatMul" && node.settings.empty() && inputs.size() == 2 && x.size() == 3 && inputs[1].size() == 2)
        return {{x[0], x[1], inputs[1][1]}};
    if (op == "DepthToSpace" && x.size() == MOST_AXES) {
        const uint64_t block = setting(node, "blocksize", {1})[0];
        if (block > 0 && block <= LARGEST_BLOCK)
            return {{x[0], plus(x[1], block * block - 1) / (block * block), times(block, x[2]), times(block, x[3])}};
    }
    if ((op == "Conv" || op == "ConvTranspose") && inputs.size() > 1 && x.size() == MOST_AXES &&
        inputs[1].size() == MOST_AXES)
        return {convolved(node)};
    throw std::invalid_argument("an unknown form of " + std::string(op));
}

uint64_t numbers_in(const Shape &shape) {
    uint64_t count = 1;
    for (const uint64_t side : shape) count = times(count, side);
    return count;
}

} // namespace sgi::internal
