#include "graph_pattern.hpp"

#include <algorithm>
#include <string>

namespace sgi::internal {

void GraphPattern::unexpected(std::string_view value, std::string_view wanted) const {
    const Node *node = graph_.writer(value);
    const std::string kind = node                   ? "the result of " + std::string(node->op)
                             : graph_.tensor(value) ? "a weight"
                                                    : "an input";
    throw Unsupported("its value " + std::string(value.substr(0, 80)) + " is " + kind + ", not " + std::string(wanted));
}

int64_t GraphPattern::setting(std::string_view value, std::string_view name) const {
    const Node *node = graph_.writer(value);
    if (!node || !node->integers.count(name)) return 0;
    return node->integers.at(name).front();
}

const Node &GraphPattern::node(std::string_view value, std::string_view op, size_t inputs, Settings settings) const {
    const Node *node = graph_.writer(value);
    if (!node || node->op != op) unexpected(value, "that of " + std::string(op));
    const bool has_alpha = node->numbers.count("alpha") > 0;
    bool known = node->inputs.size() == inputs && node->integers.size() == settings.size() &&
                 node->numbers.size() == has_alpha && has_alpha == (op == "LeakyRelu");
    for (const auto &[name, numbers] : settings) {
        const auto found = node->integers.find(name);
        known = known && found != node->integers.end() && found->second == numbers;
    }
    if (!known) unexpected(value, "in the form that is known");
    return *node;
}

const Tensor &GraphPattern::weights(std::string_view value, const std::vector<uint64_t> &dims) const {
    const Tensor *tensor = graph_.tensor(value);
    if (!tensor) unexpected(value, "a weight");
    const bool fits = tensor->dims.size() == dims.size() &&
                      std::equal(dims.begin(), dims.end(), tensor->dims.begin(),
                                 [](uint64_t size, uint64_t found) { return found && (size == ANY || size == found); });
    if (tensor->type != Tensor::FLOAT32 || !fits) unexpected(value, "of the shape that its layer needs");
    return *tensor;
}

float GraphPattern::scalar(std::string_view value) const { return weights(value, {}).floats()[0]; }

std::vector<int64_t> GraphPattern::integers(std::string_view value) const {
    const Tensor *tensor = graph_.tensor(value);
    if (!tensor || tensor->type != Tensor::INT64) unexpected(value, "a list of whole numbers");
    return tensor->integers();
}

void GraphPattern::require_input(std::string_view value, std::string_view name) const {
    if (value != name || graph_.writer(value) || graph_.tensor(value))
        unexpected(value, "the input " + std::string(name));
}

void GraphPattern::require_scalar(std::string_view value, float number) const {
    if (!(scalar(value) == number)) unexpected(value, std::to_string(number));
}

void GraphPattern::require_integers(std::string_view value, const std::vector<int64_t> &numbers) const {
    if (integers(value) != numbers) unexpected(value, "a list of the axes that its reader needs");
}

std::string_view GraphPattern::as_maps(std::string_view value) const {
    const Node &unsqueeze = node(value, "Unsqueeze", 2);
    require_integers(unsqueeze.inputs[1], {2, 3});
    return unsqueeze.inputs[0];
}

} // namespace sgi::internal
