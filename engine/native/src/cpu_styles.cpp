#include "cpu_styles.hpp"

#include <algorithm>
#include <string>

namespace sgi::internal {
namespace {

std::vector<float> padded_copy(std::vector<float> values) {
    values.resize(cpu::padded(values.size()));
    return values;
}

// The row of w+ that columns [first, first + count) of a product read.
size_t row_of(const Tensor &mask, size_t first, size_t count) {
    const std::vector<float> values = mask.floats();
    const size_t rows = mask.dims[0], columns = mask.dims[1];
    size_t chosen = 0;
    while (chosen < rows && values[chosen * columns + first] != 1) ++chosen;
    for (size_t row = 0; row < rows; ++row)
        for (size_t column = first; column < first + count; ++column)
            if (chosen == rows || values[row * columns + column] != (row == chosen ? 1.0f : 0.0f))
                throw Unsupported("its weight " + std::string(mask.name.substr(0, 80)) +
                                  " does not select one row of w+ for each layer");
    return chosen;
}

} // namespace

CpuStyles::CpuStyles(const Network &network)
    : w_dim_(network.w_dim), num_ws_(network.num_ws), has_mapping_(network.mapping.has_value()) {
    for (const ConvLayer &layer : network.convs) layers_.push_back(layer.columns);
    for (const RgbLayer &layer : network.rgbs) layers_.push_back(layer.columns);
    const auto before = [](const Columns &a, const Columns &b) { return a.first < b.first; };
    const auto same = [](const Columns &a, const Columns &b) { return a.first == b.first; };
    std::sort(layers_.begin(), layers_.end(), before);
    layers_.erase(std::unique(layers_.begin(), layers_.end(), same), layers_.end());
    for (const Columns &layer : layers_) {
        offsets_.push_back(width_);
        width_ += cpu::padded(layer.count);
    }
    if (network.mapping) {
        const Mapping &mapping = *network.mapping;
        if (mapping.embed) embed_.push_back(fully_connected(*mapping.embed));
        for (const Linear &linear : mapping.layers) mapping_.push_back(fully_connected(linear));
        slope_ = mapping.slope;
        c_dim_ = mapping.embed ? mapping.embed->inputs() : 0;
        z_dim_ = mapping.layers.front().inputs() - (mapping.embed ? mapping.embed->outputs() : 0);
    }
    if (network.average) average_ = network.average->floats();
    for (const Products &products : network.products) add_products(network, products);
    for (const Styles &styles : network.styles) {
        const std::vector<float> bias = styles.bias->floats();
        std::vector<float> all(width_);
        for (size_t i = 0; i < layers_.size(); ++i)
            std::copy_n(&bias[layers_[i].first], layers_[i].count, &all[offsets_[i]]);
        sets_.push_back({styles.products, std::move(all)});
    }
}

CpuStyles::FullyConnected CpuStyles::fully_connected(const Linear &linear) {
    return {cpu::Matrix(linear.inputs(), linear.outputs(), linear.weight->bytes.data()),
            padded_copy(linear.bias->floats())};
}

void CpuStyles::add_products(const Network &network, const Products &products) {
    std::vector<Affine> affines;
    for (const Product &product : products) {
        for (const Columns &layer : layers_) {
            if (layer.first < product.first || layer.first >= product.first + product.columns) continue;
            const size_t first = layer.first - product.first;
            if (first + layer.count > product.columns)
                throw Unsupported("its weight " + std::string(product.matrix->name.substr(0, 80)) +
                                  " ends within the styles of a layer");
            const char *weights = product.matrix->bytes.data() + first * sizeof(float);
            affines.push_back({product.source, product.mask ? row_of(*product.mask, first, layer.count) : 0,
                               cpu::Matrix(network.w_dim, layer.count, weights, product.columns)});
        }
    }
    affines_.push_back(std::move(affines));
}

size_t CpuStyles::offset(const Columns &columns) const {
    size_t i = 0;
    while (layers_[i].first != columns.first) ++i;
    return offsets_[i];
}

// w [count][padded(w_dim)] of z and label.
std::vector<float> CpuStyles::map(cpu::Pool &pool, size_t count, const std::vector<const float *> &inputs) const {
    const size_t embedded = embed_.empty() ? 0 : embed_[0].matrix.outputs();
    size_t stride = z_dim_ + cpu::padded(embedded);
    std::vector<float> x(count * stride), y;
    cpu::normalise_second_moment(count, z_dim_, inputs[0], z_dim_, x.data(), stride);
    if (embedded) {
        float *label = x.data() + z_dim_;
        cpu::linear(pool, {{&embed_[0].matrix, count, inputs[2], c_dim_, embed_[0].bias.data(), 1, label, stride}});
        cpu::normalise_second_moment(count, embedded, label, stride, label, stride);
    }
    for (const FullyConnected &layer : mapping_) {
        const size_t next = cpu::padded(layer.matrix.outputs());
        y.assign(count * next, 0);
        cpu::linear(pool, {{&layer.matrix, count, x.data(), stride, layer.bias.data(), slope_, y.data(), next}});
        x.swap(y);
        stride = next;
    }
    return x;
}

CpuStyles::AllProducts CpuStyles::products(cpu::Pool &pool, size_t count,
                                           const std::vector<const float *> &inputs) const {
    std::vector<float> w, truncated;
    const size_t stride = cpu::padded(w_dim_);
    if (has_mapping_) w = map(pool, count, inputs);
    if (!average_.empty()) {
        const float psi = *inputs[1];
        truncated.resize(w.size());
        for (size_t image = 0; image < count; ++image)
            for (size_t i = 0; i < w_dim_; ++i) {
                const size_t at = image * stride + i;
                truncated[at] = average_[i] + psi * (w[at] - average_[i]);
            }
    }
    AllProducts all;
    std::vector<cpu::LinearCall> calls;
    for (const std::vector<Affine> &affines : affines_) {
        std::vector<float> &products = all.emplace_back(count * width_);
        for (size_t i = 0; i < affines.size(); ++i) {
            const Affine &affine = affines[i];
            cpu::LinearCall call;
            call.matrix = &affine.matrix;
            call.rows = count;
            call.x = affine.source == Source::TRUNCATED ? truncated.data() : has_mapping_ ? w.data() : inputs[0];
            call.x_stride = has_mapping_ ? stride : w_dim_;
            if (affine.source == Source::ROWS) {
                call.x += affine.row * w_dim_;
                call.x_stride = num_ws_ * w_dim_;
            }
            call.y = products.data() + offsets_[i];
            call.y_stride = width_;
            calls.push_back(call);
        }
    }
    cpu::linear(pool, calls);
    return all;
}

void CpuStyles::style(const AllProducts &products, size_t set, size_t image, const Columns &columns, float *y) const {
    const size_t start = offset(columns);
    const float *product = products[sets_[set].products].data() + image * width_ + start;
    const float *bias = sets_[set].bias.data() + start;
    for (size_t i = 0; i < cpu::padded(columns.count); ++i) y[i] = product[i] + bias[i];
}

} // namespace sgi::internal
