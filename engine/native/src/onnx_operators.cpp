#include "onnx_operators.hpp"

#include "wire_reader.hpp"

#include <algorithm>
#include <iterator>
#include <map>
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
constexpr std::string_view DOUBLING = "ConvTranspose"; // DepthToSpace keeps the number of values
constexpr uint64_t LARGEST_SETTING = 4, LARGEST_STRIDE = 2;
constexpr uint32_t SMALLEST_SIDE = 4;
constexpr size_t MOST_FIELDS = 500000, MOST_NODES = 8000;
enum Model : uint64_t { MODEL_GRAPH = 7, MODEL_FUNCTIONS = 25 };
enum Graph : uint64_t { GRAPH_NODE = 1, GRAPH_INITIALIZER = 5, GRAPH_SPARSE_INITIALIZER = 15 };
enum Node : uint64_t { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_OP_TYPE = 4, NODE_ATTRIBUTE = 5, NODE_DOMAIN = 7 };
enum Attribute : uint64_t { ATTRIBUTE_NAME = 1, ATTRIBUTE_INTS = 8 };
constexpr uint64_t ATTRIBUTE_NESTED[] = {5, 6, 10, 11, 14, 15, 22, 23}; // tensors, graphs and types
enum Tensor : uint64_t { TENSOR_DIMS = 1, TENSOR_EXTERNAL = 13, TENSOR_LOCATION = 14 };

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
    explicit Check(uint32_t resolution) {
        for (uint32_t side = SMALLEST_SIDE; side < resolution; side *= 2) ++most_doublings_;
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
        each(graph, [&](const Field &field) {
            if (field.number == GRAPH_NODE) node(field.payload);
            else if (field.number == GRAPH_INITIALIZER) initializer(field.payload);
            else if (field.number == GRAPH_SPARSE_INITIALIZER) foreign("a sparse tensor");
        });
    }

    void node(std::string_view node) {
        if (++nodes_ > MOST_NODES) foreign("more than " + std::to_string(MOST_NODES) + " operators");
        std::string_view op;
        std::vector<std::string_view> outputs;
        unsigned doublings = 0;
        each(node, [&](const Field &field) {
            if (field.number == NODE_OP_TYPE) op = field.payload;
            else if (field.number == NODE_OUTPUT) outputs.push_back(field.payload);
            else if (field.number == NODE_ATTRIBUTE) attribute(field.payload);
            else if (field.number == NODE_DOMAIN && !field.payload.empty()) foreign("an operator of another domain");
            else if (field.number == NODE_INPUT) {
                const auto found = doublings_.find(field.payload);
                if (found != doublings_.end()) doublings = std::max(doublings, found->second);
            }
        });
        if (std::find(std::begin(OPERATORS), std::end(OPERATORS), op) == std::end(OPERATORS))
            foreign("the operator " + std::string(op.substr(0, 40)));
        if (op == DOUBLING) ++doublings;
        if (doublings > most_doublings_) foreign("larger maps than its description gives");
        for (const std::string_view name : outputs) doublings_[name] = doublings;
    }

    void attribute(std::string_view attribute) {
        std::string_view name;
        uint64_t largest = 0;
        each(attribute, [&](const Field &field) {
            if (std::find(std::begin(ATTRIBUTE_NESTED), std::end(ATTRIBUTE_NESTED), field.number) !=
                std::end(ATTRIBUTE_NESTED))
                foreign("a graph or a tensor as a setting");
            if (field.number == ATTRIBUTE_NAME) name = field.payload;
            if (field.number == ATTRIBUTE_INTS)
                for (const uint64_t number : numbers_of(field)) largest = std::max(largest, number);
        });
        if (largest > (name == "strides" ? LARGEST_STRIDE : LARGEST_SETTING))
            foreign("a kernel, pad or stride of " + std::to_string(largest));
    }

    void initializer(std::string_view tensor) {
        uint64_t count = 1;
        each(tensor, [&](const Field &field) {
            if (field.number == TENSOR_EXTERNAL) foreign("weights in another file");
            if (field.number == TENSOR_LOCATION)
                for (const uint64_t number : numbers_of(field))
                    if (number) foreign("weights in another file");
            if (field.number == TENSOR_DIMS)
                for (const uint64_t number : numbers_of(field)) {
                    if (number && count > tensor.size() / number) foreign("a tensor without its numbers");
                    count *= number;
                }
        });
    }

    unsigned most_doublings_ = 0;
    size_t fields_ = 0, nodes_ = 0;
    std::map<std::string_view, unsigned> doublings_; // of the value of a name
};

} // namespace

void check_graph(std::string_view model, uint32_t resolution) { Check(resolution).model(model); }

} // namespace sgi::internal
