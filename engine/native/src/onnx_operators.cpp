#include "onnx_operators.hpp"

#include "onnx_shapes.hpp"
#include "wire_reader.hpp"

#include <algorithm>
#include <iterator>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace sgi::internal {
namespace {

// The table of engine/onnx_operators.py; tests/engine/test_onnx_operators.py compares them.
constexpr std::string_view OPERATORS[] = {"Abs",       "Add",           "ArgMax",       "Cast",  "Clip", "Concat",
                                          "Conv",      "ConvTranspose", "DepthToSpace", "Div",   "Gemm", "Identity",
                                          "LeakyRelu", "LessOrEqual",   "MatMul",       "Max",   "Mul",  "Pow",
                                          "ReduceMax", "ReduceMean",    "ReduceSum",    "Split", "Sqrt", "Sub",
                                          "Unsqueeze", "Where"};
constexpr uint64_t LARGEST_SETTING = 4, LARGEST_STRIDE = 2;
constexpr uint64_t BORDER = 4, NUMBERS_PER_BYTE = 256, MOST_NUMBERS = 134217728;
constexpr size_t MOST_FIELDS = 500000, MOST_NODES = 8000;
enum Model : uint64_t { MODEL_GRAPH = 7, MODEL_FUNCTIONS = 25 };
enum Graph : uint64_t { GRAPH_NODE = 1, GRAPH_INITIALIZER = 5, GRAPH_SPARSE_INITIALIZER = 15 };
enum Node : uint64_t { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_OP_TYPE = 4, NODE_ATTRIBUTE = 5, NODE_DOMAIN = 7 };
enum Attribute : uint64_t { ATTRIBUTE_NAME = 1, ATTRIBUTE_INT = 3, ATTRIBUTE_INTS = 8 };
constexpr uint64_t ATTRIBUTE_NESTED[] = {5, 6, 10, 11, 14, 15, 22, 23}; // tensors, graphs and types
enum Tensor : uint64_t {
    TENSOR_DIMS = 1,
    TENSOR_TYPE = 2,
    TENSOR_NAME = 8,
    TENSOR_RAW = 9,
    TENSOR_EXTERNAL = 13,
    TENSOR_LOCATION = 14
};
constexpr uint64_t INT64 = 7, MOST_INTEGERS = 4096;

[[noreturn]] void foreign(const std::string &what) {
    throw Failure(SGI_ERROR_MODEL,
                  "it has " + what + ", which `sgi-engine export` does not write; export the model again");
}

// The numbers of a field that is one varint or a packed list of them.
std::vector<uint64_t> numbers_of(const Field &field) {
    if (field.wire == VARINT) return {field.value};
    if (field.wire != BYTES) not_onnx();
    std::vector<uint64_t> numbers;
    for (Reader reader(field.payload); !reader.is_at_end();) numbers.push_back(reader.varint());
    return numbers;
}

class Check {
  public:
    Check(uint32_t resolution, uint32_t num_ws, size_t bytes)
        : most_side_(resolution + BORDER), most_numbers_(std::max(MOST_NUMBERS, NUMBERS_PER_BYTE * bytes)) {
        shapes_[""] = shapes_["psi"] = {}; // an input that is left out has no name
        shapes_["ws"] = {1, num_ws, LONGEST_VECTOR};
    }

    void model(std::string_view model) {
        each(model, [&](const Field &field) {
            if (field.number == MODEL_FUNCTIONS) foreign("functions of its own");
            if (field.number == MODEL_GRAPH) graph(field.payload);
        });
    }

  private:
    template <class Visit> void each(std::string_view message, Visit visit) {
        Field field{};
        for (Reader reader(message); reader.next(field);) {
            if (++fields_ > MOST_FIELDS) foreign("more than " + std::to_string(MOST_FIELDS) + " parts");
            visit(field);
        }
    }

    void graph(std::string_view graph) {
        std::vector<std::string_view> nodes;
        each(graph, [&](const Field &field) {
            if (field.number == GRAPH_NODE) nodes.push_back(field.payload);
            else if (field.number == GRAPH_INITIALIZER) initializer(field.payload);
            else if (field.number == GRAPH_SPARSE_INITIALIZER) foreign("a sparse tensor");
        });
        for (const std::string_view payload : nodes) node(payload); // they come before the initializers
    }

    void node(std::string_view node) {
        if (++nodes_ > MOST_NODES) foreign("more than " + std::to_string(MOST_NODES) + " operators");
        NodeForm form;
        std::vector<std::string_view> inputs, outputs;
        each(node, [&](const Field &field) {
            if (field.number == NODE_OP_TYPE) form.op = field.payload;
            else if (field.number == NODE_INPUT) inputs.push_back(field.payload);
            else if (field.number == NODE_OUTPUT) outputs.push_back(field.payload);
            else if (field.number == NODE_ATTRIBUTE) attribute(field.payload, form);
            else if (field.number == NODE_DOMAIN && !field.payload.empty()) foreign("an operator of another domain");
        });
        if (std::find(std::begin(OPERATORS), std::end(OPERATORS), form.op) == std::end(OPERATORS))
            foreign("the operator " + std::string(form.op.substr(0, 40)));
        for (const std::string_view name : inputs) {
            const auto found = shapes_.find(name);
            form.inputs.push_back(found == shapes_.end() ? Shape{1, LONGEST_VECTOR} : found->second);
        }
        if (inputs.size() > 1 && integers_.count(inputs[1])) form.numbers = integers_[inputs[1]];
        const std::vector<Shape> shapes = shapes_of(form, outputs.size());
        for (size_t i = 0; i < std::min(outputs.size(), shapes.size()); ++i) {
            if (shapes[i].size() == MOST_AXES && std::max(shapes[i][2], shapes[i][3]) > most_side_)
                foreign("larger maps than its description gives");
            if (numbers_in(shapes[i]) > most_numbers_)
                foreign("a value of " + std::to_string(numbers_in(shapes[i])) + " numbers");
            shapes_[outputs[i]] = shapes[i];
        }
    }

    static std::vector<Shape> shapes_of(const NodeForm &form, size_t outputs) {
        try {
            return output_shapes(form, outputs);
        } catch (const std::invalid_argument &error) {
            foreign(error.what());
        }
    }

    void attribute(std::string_view attribute, NodeForm &form) {
        std::string_view name;
        std::vector<uint64_t> several, single;
        each(attribute, [&](const Field &field) {
            if (std::find(std::begin(ATTRIBUTE_NESTED), std::end(ATTRIBUTE_NESTED), field.number) !=
                std::end(ATTRIBUTE_NESTED))
                foreign("a graph or a tensor as a setting");
            if (field.number == ATTRIBUTE_NAME) name = field.payload;
            else if (field.number == ATTRIBUTE_INT) single = numbers_of(field);
            else if (field.number == ATTRIBUTE_INTS)
                for (const uint64_t number : numbers_of(field)) several.push_back(number);
        });
        const uint64_t largest = several.empty() ? 0 : *std::max_element(several.begin(), several.end());
        if (largest > (name == "strides" ? LARGEST_STRIDE : LARGEST_SETTING))
            foreign("a kernel, pad or stride of " + std::to_string(largest));
        if (several.empty()) several = single;
        if (!several.empty()) form.settings[name] = several;
    }

    void initializer(std::string_view tensor) {
        uint64_t count = 1, kind = 0;
        Shape shape;
        std::string_view name, raw;
        each(tensor, [&](const Field &field) {
            if (field.number == TENSOR_EXTERNAL) foreign("weights in another file");
            else if (field.number == TENSOR_LOCATION) {
                for (const uint64_t number : numbers_of(field))
                    if (number) foreign("weights in another file");
            } else if (field.number == TENSOR_DIMS) {
                for (const uint64_t number : numbers_of(field)) {
                    if (number && count > tensor.size() / number) foreign("a tensor without its numbers");
                    count *= number;
                    shape.push_back(number);
                }
            } else if (field.number == TENSOR_TYPE) kind = field.value;
            else if (field.number == TENSOR_NAME) name = field.payload;
            else if (field.number == TENSOR_RAW) raw = field.payload;
        });
        shapes_[name] = shape;
        if (kind == INT64 && raw.size() % 8 == 0 && raw.size() <= 8 * MOST_INTEGERS) {
            std::vector<uint64_t> &numbers = integers_[name];
            numbers.resize(raw.size() / 8);
            if (!raw.empty()) std::memcpy(numbers.data(), raw.data(), raw.size());
        }
    }

    uint64_t most_side_, most_numbers_;
    size_t fields_ = 0, nodes_ = 0;
    std::map<std::string_view, Shape> shapes_; // of the value of a name
    std::map<std::string_view, std::vector<uint64_t>> integers_;
};

} // namespace

void check_graph(std::string_view model, uint32_t resolution, uint32_t num_ws) {
    Check(resolution, num_ws, model.size()).model(model);
}

} // namespace sgi::internal
