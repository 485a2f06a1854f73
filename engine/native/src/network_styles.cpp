// What export/network.py and engine/model_input.py write between the latents and the styles.
#include "network_styles.hpp"

#include <algorithm>
#include <numeric>

namespace sgi::internal {
namespace {

constexpr uint64_t ANY = GraphPattern::ANY;

uint64_t columns_of(const Products &products) { return products.back().first + products.back().columns; }

} // namespace

std::pair<size_t, Columns> StyleReader::read(std::string_view value) {
    if (!pattern_.is(value, "Split")) pattern_.unexpected(value, "a part of the styles");
    const Node &split = pattern_.node(value, "Split", 2, {{"axis", {1}}});
    const size_t set = styles(split.inputs[0]);
    const std::vector<int64_t> sizes = pattern_.integers(split.inputs[1]);
    if (sizes_.empty()) sizes_ = sizes;
    uint64_t total = 0;
    for (const int64_t size : sizes) {
        if (size < 1 || static_cast<uint64_t>(size) > network_.columns)
            pattern_.unexpected(value, "a style of a layer");
        total += static_cast<uint64_t>(size);
    }
    if (sizes != sizes_ || total != network_.columns || sizes.size() != split.outputs.size())
        pattern_.unexpected(value, "a part of styles that all types divide alike");
    const auto index = std::find(split.outputs.begin(), split.outputs.end(), value) - split.outputs.begin();
    const int64_t first = std::accumulate(sizes.begin(), sizes.begin() + index, int64_t{0});
    return {set, {static_cast<size_t>(first), static_cast<size_t>(sizes[static_cast<size_t>(index)])}};
}

// The sum of products and a bias.
size_t StyleReader::styles(std::string_view value) {
    const auto known = styles_.find(value);
    if (known != styles_.end()) return known->second;
    const Node &sum = pattern_.node(value, "Add", 2);
    const size_t product = products(sum.inputs[0]);
    const uint64_t columns = columns_of(network_.products[product]);
    if (network_.columns && network_.columns != columns)
        pattern_.unexpected(value, "a sum with as many styles as another type has");
    network_.columns = columns;
    network_.styles.push_back({product, &pattern_.weights(sum.inputs[1], {columns})});
    return styles_[value] = network_.styles.size() - 1;
}

size_t StyleReader::products(std::string_view value) {
    const auto known = products_.find(value);
    if (known != products_.end()) return known->second;
    Products products;
    if (pattern_.is(value, "Concat")) {
        const Node &joined = pattern_.node(value, "Concat", 2, {{"axis", {1}}});
        for (const std::string_view part : joined.inputs) {
            Product next = product(part);
            next.first = products.empty() ? 0 : columns_of(products);
            products.push_back(next);
        }
    } else {
        products.push_back(product(value));
    }
    network_.products.push_back(products);
    return products_[value] = network_.products.size() - 1;
}

Product StyleReader::product(std::string_view value) {
    if (artifact_.input != "w+") {
        const Node &multiplied = pattern_.node(value, "MatMul", 2);
        const Source from = source(multiplied.inputs[0]);
        const Tensor &weight = matrix(multiplied.inputs[1]);
        return {from, &weight, nullptr, 0, weight.dims[1]};
    }
    const Node &sum = pattern_.node(value, "ReduceSum", 2, {{"keepdims", {0}}});
    const Node &masked = pattern_.node(sum.inputs[0], "Mul", 2);
    const Node &multiplied = pattern_.node(masked.inputs[0], "MatMul", 2);
    pattern_.require_integers(sum.inputs[1], {1});
    pattern_.require_input(multiplied.inputs[0], "ws");
    const Tensor &weight = matrix(multiplied.inputs[1]);
    const Tensor &mask = pattern_.weights(masked.inputs[1], {artifact_.num_ws(), weight.dims[1]});
    network_.num_ws = artifact_.num_ws();
    return {Source::ROWS, &weight, &mask, 0, weight.dims[1]};
}

// An affine matrix [w_dim, columns].
const Tensor &StyleReader::matrix(std::string_view value) {
    const Tensor &weight = pattern_.weights(value, {network_.w_dim ? network_.w_dim : ANY, ANY});
    network_.w_dim = weight.dims[0];
    if (artifact_.w_dim && artifact_.w_dim != network_.w_dim)
        throw Failure(SGI_ERROR_MODEL, "its affine layers are not what its description gives; export it again");
    return weight;
}

Source StyleReader::source(std::string_view value) {
    if (artifact_.input == "w") {
        pattern_.require_input(value, "w");
        return Source::W;
    }
    if (!pattern_.is(value, "Add")) {
        mapping(value);
        return Source::W;
    }
    const Node &sum = pattern_.node(value, "Add", 2);
    if (!pattern_.is_weight(sum.inputs[0])) { // w + clip(psi, 0, 0) of models that truncate no row
        const Node &nothing = pattern_.node(sum.inputs[1], "Clip", 3);
        pattern_.require_input(nothing.inputs[0], "psi");
        pattern_.require_scalar(nothing.inputs[1], 0.0f);
        pattern_.require_scalar(nothing.inputs[2], 0.0f);
        mapping(sum.inputs[0]);
        return Source::W;
    }
    const Node &scaled = pattern_.node(sum.inputs[1], "Mul", 2);
    const Node &difference = pattern_.node(scaled.inputs[1], "Sub", 2);
    pattern_.require_input(scaled.inputs[0], "psi");
    if (difference.inputs[1] != sum.inputs[0]) pattern_.unexpected(difference.inputs[1], sum.inputs[0]);
    mapping(difference.inputs[0]);
    network_.average = &pattern_.weights(sum.inputs[0], {network_.w_dim});
    return Source::TRUNCATED;
}

// Reads the mapping network that writes the value; all types have the same one.
void StyleReader::mapping(std::string_view value) {
    if (network_.mapping) {
        if (value != w_) pattern_.unexpected(value, w_);
        return;
    }
    w_ = value;
    Mapping mapping{};
    while (pattern_.is(value, "LeakyRelu")) {
        const Node &activation = pattern_.node(value, "LeakyRelu", 1);
        const Node &linear = pattern_.node(activation.inputs[0], "Gemm", 3);
        const uint64_t outputs = mapping.layers.empty() ? ANY : mapping.layers.back().inputs();
        const Tensor &weight = pattern_.weights(linear.inputs[1], {ANY, outputs});
        const float slope = activation.numbers.at("alpha");
        if (!mapping.layers.empty() && slope != mapping.slope)
            pattern_.unexpected(value, "of the slope of other layers");
        mapping.slope = slope;
        mapping.layers.push_back({&weight, &pattern_.weights(linear.inputs[2], {weight.dims[1]})});
        value = linear.inputs[0];
    }
    if (mapping.layers.empty()) pattern_.unexpected(value, "a mapping network");
    std::reverse(mapping.layers.begin(), mapping.layers.end());
    network_.w_dim = mapping.layers.back().outputs();
    uint64_t inputs = artifact_.z_dim;
    if (artifact_.c_dim) {
        const Node &joined = pattern_.node(value, "Concat", 2, {{"axis", {1}}});
        const Node &embedded = pattern_.node(normalised(joined.inputs[1]), "Gemm", 3);
        const Tensor &weight = pattern_.weights(embedded.inputs[1], {artifact_.c_dim, ANY});
        pattern_.require_input(embedded.inputs[0], "label");
        mapping.embed = Linear{&weight, &pattern_.weights(embedded.inputs[2], {weight.dims[1]})};
        inputs += weight.dims[1];
        value = joined.inputs[0];
    }
    pattern_.require_input(normalised(value), "z");
    if (mapping.layers.front().inputs() != inputs) pattern_.unexpected(w_, "a mapping network of this z and label");
    network_.mapping = mapping;
}

// x of x / sqrt(mean(x^2) + EPSILON).
std::string_view StyleReader::normalised(std::string_view value) const {
    const Node &quotient = pattern_.node(value, "Div", 2);
    const Node &root = pattern_.node(quotient.inputs[1], "Sqrt", 1);
    const Node &above = pattern_.node(root.inputs[0], "Add", 2);
    const Node &mean = pattern_.node(above.inputs[0], "ReduceMean", 2, {{"keepdims", {1}}});
    const Node &square = pattern_.node(mean.inputs[0], "Mul", 2);
    pattern_.require_integers(mean.inputs[1], {1});
    pattern_.require_scalar(above.inputs[1], EPSILON);
    for (const std::string_view same : {square.inputs[0], square.inputs[1]})
        if (same != quotient.inputs[0]) pattern_.unexpected(same, quotient.inputs[0]);
    return quotient.inputs[0];
}

} // namespace sgi::internal
