#include "cpu_network.hpp"

#include <algorithm>
#include <limits>

namespace sgi::internal {
namespace {

// Bytes of the rows that a step computes: they stay in the cache that cores share, for the layer that reads them.
constexpr size_t BUDGET = size_t{16} << 20;
constexpr size_t MOST_PLANS = 16; // kept; a caller uses few different batches

// A vector over channels with zeros at its end.
cpu::AlignedArray<float> padded_copy(const std::vector<float> &values) {
    cpu::AlignedArray<float> copy = cpu::aligned_array<float>(cpu::padded(values.size()));
    std::fill_n(std::copy(values.begin(), values.end(), copy.get()), cpu::padded(values.size()) - values.size(), 0.0f);
    return copy;
}

// [C][pixels] to [blocks of C][pixels][16].
cpu::AlignedArray<float> blocked(const std::vector<float> &maps, size_t channels) {
    const size_t pixels = maps.size() / channels;
    cpu::AlignedArray<float> blocks = cpu::aligned_array<float>(cpu::padded(channels) * pixels);
    std::fill_n(blocks.get(), cpu::padded(channels) * pixels, 0.0f);
    for (size_t c = 0; c < channels; ++c)
        for (size_t p = 0; p < pixels; ++p)
            blocks[(c / cpu::BLOCK * pixels + p) * cpu::BLOCK + c % cpu::BLOCK] = maps[c * pixels + p];
    return blocks;
}

cpu::Decoder decoder_of(const Values &values, const OutputType &type, size_t channels) {
    static constexpr cpu::Decoding DECODINGS[] = {cpu::Decoding::IDENTITY, cpu::Decoding::INVERSE, cpu::Decoding::UNIT,
                                                  cpu::Decoding::LINEAR, cpu::Decoding::PALETTE}; // of sgi_decoding
    cpu::Decoder decoder;
    decoder.decoding = DECODINGS[values.decoding];
    decoder.channels = channels;
    decoder.low = type.low;
    decoder.high = type.high;
    if (values.colours) {
        decoder.colours = values.colours->floats();
        decoder.bias = values.bias->floats();
    }
    return decoder;
}

// Distance of the rows of a style.
size_t stride_of(size_t channels) { return cpu::padded(channels); }

} // namespace

float *CpuNetwork::Memory::floats(size_t count) {
    if (count > count_) {
        data_ = {}; // before the next is there
        count_ = 0;
        data_ = cpu::aligned_array<float>(count);
        count_ = count;
    }
    return data_.get();
}

CpuNetwork::CpuNetwork(const Network &network, const Artifact &artifact, size_t threads, cpu::Precision precision)
    : pool_(threads), styles_(network), constant_(blocked(network.constant->floats(), network.constant->dims[1])),
      pixels_(size_t{artifact.resolution} * artifact.resolution) {
    pack_convolutions(network, precision);
    for (const RgbLayer &layer : network.rgbs) {
        const size_t side = network.convs[layer.conv].out_side();
        rgbs_.push_back({layer.columns, layer.clamp, layer.below.has_value(),
                         cpu::ToRgb({layer.inputs, layer.channels, side, side}, layer.weight->floats().data(),
                                    layer.bias->floats().data())});
        layers_.rgbs.push_back({layer.channels * side * side, layer.conv, layer.below, layer.variants});
    }
    for (size_t i = 0; i < network.outputs.size(); ++i) {
        const NetworkOutput &output = network.outputs[i];
        const size_t channels = network.rgbs[output.rgb].channels;
        const cpu::Decoder decoder = decoder_of(output.values, artifact.types[i], output.mean ? 1 : channels);
        outputs_.push_back({channels, artifact.image_size(artifact.types[i]), decoder});
        layers_.outputs.push_back({output.rgb, output.variant});
    }
}

void CpuNetwork::pack_convolutions(const Network &network, cpu::Precision precision) {
    for (const ConvLayer &layer : network.convs) {
        Conv &conv = convs_.emplace_back();
        conv.columns = layer.columns;
        conv.outputs = layer.outputs;
        conv.gain = layer.gain;
        conv.slope = layer.slope;
        conv.clamp = layer.clamp;
        conv.bias = padded_copy(layer.bias->floats());
        if (layer.noise) conv.noise = layer.noise->floats();
        conv.kernel = cpu::make_convolution(pool_, {layer.inputs, layer.outputs, layer.side, layer.side, layer.up},
                                            {layer.weight->bytes.data(), layer.up}, precision);
        conv.energy = std::make_unique<cpu::Matrix>(layer.inputs, layer.outputs, layer.energy->bytes.data());
        layers_.convs.push_back({cpu::floats_of(layer.outputs, layer.out_side(), layer.out_side()), layer.variants});
    }
}

const Plan &CpuNetwork::plan(size_t count, const std::vector<OutputBuffer> &outputs) {
    std::vector<size_t> types;
    for (const OutputBuffer &output : outputs) types.push_back(output.type);
    std::sort(types.begin(), types.end());
    const auto known = plans_.find({count, types});
    if (known != plans_.end()) return known->second;
    if (plans_.size() >= MOST_PLANS) plans_.clear();
    return plans_[{count, types}] = make_plan(layers_, count, types, BUDGET);
}

// Computes the styles of all rows of all layers, and the demodulation of the convolutions.
void CpuNetwork::prepare(const Plan &plan, const CpuStyles::AllProducts &products) {
    size_t floats = 0;
    for (size_t i = 0; i < convs_.size(); ++i)
        floats += plan.conv_rows[i].size() * (stride_of(convs_[i].columns.count) + stride_of(convs_[i].outputs));
    for (size_t i = 0; i < rgbs_.size(); ++i) floats += plan.rgb_rows[i].size() * stride_of(rgbs_[i].columns.count);
    float *next = row_styles_.floats(floats);

    const auto styles = [&](const auto &variants, const std::vector<Row> &rows, const Columns &columns) {
        float *style = next;
        for (const Row &row : rows) {
            styles_.style(products, variants[row.variant].styles, row.image, columns, next);
            next += stride_of(columns.count);
        }
        return style;
    };
    conv_styles_.assign(convs_.size(), {});
    rgb_styles_.assign(rgbs_.size(), {});
    std::vector<cpu::DemodulationCall> calls;
    for (size_t i = 0; i < convs_.size(); ++i) {
        const Conv &conv = convs_[i];
        const size_t rows = plan.conv_rows[i].size();
        const float *style = styles(layers_.convs[i].variants, plan.conv_rows[i], conv.columns);
        conv_styles_[i] = {style, next};
        calls.push_back(
            {conv.energy.get(), rows, style, stride_of(conv.columns.count), conv.gain, next, stride_of(conv.outputs)});
        next += rows * stride_of(conv.outputs);
    }
    for (size_t i = 0; i < rgbs_.size(); ++i)
        rgb_styles_[i].style = styles(layers_.rgbs[i].variants, plan.rgb_rows[i], rgbs_[i].columns);
    cpu::demodulate(pool_, calls);
}

void CpuNetwork::convolve(const Step &step) {
    const Conv &conv = convs_[step.layer];
    cpu::ConvCall call;
    call.rows = step.rows;
    call.x = step.layer ? memory_ + step.x : constant_.get();
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

void CpuNetwork::show(const Step &step) {
    const Rgb &rgb = rgbs_[step.layer];
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

void CpuNetwork::decode(const Step &step, float *values) {
    const Output &output = outputs_[step.layer];
    cpu::DecodeCall call;
    call.rows = step.rows;
    call.pixels = pixels_;
    call.raw = memory_ + step.x;
    call.raw_stride = step.stride;
    call.raw_channels = output.raw_channels;
    call.values = values + step.image * output.image_size;
    call.values_stride = output.image_size;
    cpu::decode(pool_, output.decoder, call);
}

void CpuNetwork::run(size_t count, const std::vector<const float *> &inputs, const std::vector<OutputBuffer> &outputs) {
    const std::lock_guard lock(mutex_);
    const Plan &plan = this->plan(count, outputs);
    prepare(plan, styles_.products(pool_, count, inputs));
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
