#include "cpu_pass.hpp"

#include <algorithm>

namespace sgi::internal {
namespace {

// Bytes of the rows that a step computes: they stay in the cache that cores share, for the layer that reads them.
constexpr size_t BUDGET = size_t{16} << 20;
constexpr size_t MOST_PLANS = 16; // kept; a caller uses few different batches

// Distance of the rows of a style.
size_t stride_of(size_t channels) { return cpu::padded(channels); }

} // namespace

float *CpuPass::Memory::floats(size_t count) {
    if (count > count_) {
        data_ = {}; // before the next is there
        count_ = 0;
        data_ = cpu::aligned_array<float>(count);
        count_ = count;
    }
    return data_.get();
}

const Plan &CpuPass::plan(size_t count, const std::vector<OutputBuffer> &outputs) {
    std::vector<size_t> types;
    for (const OutputBuffer &output : outputs) types.push_back(output.type);
    std::sort(types.begin(), types.end());
    const auto known = plans_.find({count, types});
    if (known != plans_.end()) return known->second;
    if (plans_.size() >= MOST_PLANS) plans_.clear();
    return plans_[{count, types}] = make_plan(network_->layers, count, types, BUDGET);
}

// Computes the styles of all rows of all layers, and the demodulation of the convolutions.
void CpuPass::prepare(const Plan &plan, const CpuStyles::AllProducts &products) {
    size_t floats = 0;
    for (size_t i = 0; i < network_->convs.size(); ++i)
        floats += plan.conv_rows[i].size() *
                  (stride_of(network_->convs[i].columns.count) + stride_of(network_->convs[i].outputs));
    for (size_t i = 0; i < network_->rgbs.size(); ++i)
        floats += plan.rgb_rows[i].size() * stride_of(network_->rgbs[i].columns.count);
    float *next = row_styles_.floats(floats);

    const auto styles = [&](const auto &variants, const std::vector<Row> &rows, const Columns &columns) {
        float *style = next;
        for (const Row &row : rows) {
            network_->styles.style(products, variants[row.variant].styles, row.image, columns, next);
            next += stride_of(columns.count);
        }
        return style;
    };
    conv_styles_.assign(network_->convs.size(), {});
    rgb_styles_.assign(network_->rgbs.size(), {});
    std::vector<cpu::DemodulationCall> calls;
    for (size_t i = 0; i < network_->convs.size(); ++i) {
        const CpuConv &conv = network_->convs[i];
        const size_t rows = plan.conv_rows[i].size();
        const float *style = styles(network_->layers.convs[i].variants, plan.conv_rows[i], conv.columns);
        conv_styles_[i] = {style, next};
        calls.push_back(
            {conv.energy.get(), rows, style, stride_of(conv.columns.count), conv.gain, next, stride_of(conv.outputs)});
        next += rows * stride_of(conv.outputs);
    }
    for (size_t i = 0; i < network_->rgbs.size(); ++i)
        rgb_styles_[i].style = styles(network_->layers.rgbs[i].variants, plan.rgb_rows[i], network_->rgbs[i].columns);
    cpu::demodulate(pool_, calls);
}

void CpuPass::convolve(const Step &step) {
    const CpuConv &conv = network_->convs[step.layer];
    cpu::ConvCall call;
    call.rows = step.rows;
    call.x = step.layer ? memory_ + step.x : network_->constant.get();
    call.source = step.source.data();
    call.style_stride = stride_of(conv.columns.count);
    call.style = conv_styles_[step.layer].style + step.first * call.style_stride;
    call.scale_stride = stride_of(conv.outputs);
    call.scale = conv_styles_[step.layer].scale + step.first * call.scale_stride;
    call.noise = conv.noise.empty() ? nullptr : conv.noise.data();
    call.bias = conv.bias.get();
    call.slope = conv.slope;
    call.clamp = conv.clamp;
    call.y = memory_ + step.y;
    conv.kernel->run(pool_, call);
}

void CpuPass::show(const Step &step) {
    const CpuRgb &rgb = network_->rgbs[step.layer];
    cpu::RgbCall call;
    call.rows = step.rows;
    call.x = memory_ + step.x;
    call.source = step.source.data();
    call.style_stride = stride_of(rgb.columns.count);
    call.style = rgb_styles_[step.layer].style + step.first * call.style_stride;
    if (rgb.has_below) {
        call.below = memory_ + step.below;
        call.below_source = step.below_source.data();
    }
    call.clamp = rgb.clamp;
    call.y = memory_ + step.y;
    rgb.kernel.run(pool_, call);
}

void CpuPass::decode(const Step &step, float *values) {
    const CpuOutput &output = network_->outputs[step.layer];
    cpu::DecodeCall call;
    call.rows = step.rows;
    call.pixels = network_->pixels;
    call.raw = memory_ + step.x;
    call.raw_stride = step.stride;
    call.raw_channels = output.raw_channels;
    call.values = values + step.image * output.image_size;
    call.values_stride = output.image_size;
    cpu::decode(pool_, output.decoder, call);
}

void CpuPass::run(const CpuNetwork &network, size_t count, const std::vector<const float *> &inputs,
                  const std::vector<OutputBuffer> &outputs) {
    network_ = &network;
    const Plan &plan = this->plan(count, outputs);
    prepare(plan, network_->styles.products(pool_, count, inputs));
    memory_ = activations_.floats(plan.floats);
    for (const Step &step : plan.steps) {
        if (step.kind == Step::CONV) convolve(step);
        else if (step.kind == Step::RGB) show(step);
        else
            for (const OutputBuffer &buffer : outputs)
                if (buffer.type == step.layer) decode(step, buffer.data);
    }
}

} // namespace sgi::internal
