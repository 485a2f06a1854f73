#include "cpu_network.hpp"

#include <algorithm>

namespace sgi::internal {
namespace {

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

} // namespace

CpuNetwork::CpuNetwork(const Network &network, const Artifact &artifact, cpu::Pool &pool, cpu::Precision precision)
    : styles(network), constant(blocked(network.constant->floats(), network.constant->dims[1])),
      pixels(size_t{artifact.resolution} * artifact.resolution) {
    pack_convolutions(network, pool, precision);
    for (const RgbLayer &layer : network.rgbs) {
        const size_t side = network.convs[layer.conv].out_side();
        rgbs.push_back({layer.columns, layer.clamp, layer.below.has_value(),
                        cpu::ToRgb({layer.inputs, layer.channels, side, side}, layer.weight->floats().data(),
                                   layer.bias->floats().data())});
        layers.rgbs.push_back({layer.channels * side * side, layer.conv, layer.below, layer.variants});
    }
    for (size_t i = 0; i < network.outputs.size(); ++i) {
        const NetworkOutput &output = network.outputs[i];
        const size_t channels = network.rgbs[output.rgb].channels;
        const cpu::Decoder decoder = decoder_of(output.values, artifact.types[i], output.mean ? 1 : channels);
        outputs.push_back({channels, artifact.image_size(artifact.types[i]), decoder});
        layers.outputs.push_back({output.rgb, output.variant});
    }
}

void CpuNetwork::pack_convolutions(const Network &network, cpu::Pool &pool, cpu::Precision precision) {
    for (const ConvLayer &layer : network.convs) {
        CpuConv &conv = convs.emplace_back();
        conv.columns = layer.columns;
        conv.outputs = layer.outputs;
        conv.gain = layer.gain;
        conv.slope = layer.slope;
        conv.clamp = layer.clamp;
        conv.bias = padded_copy(layer.bias->floats());
        if (layer.noise) conv.noise = layer.noise->floats();
        conv.kernel = cpu::make_convolution(pool, {layer.inputs, layer.outputs, layer.side, layer.side, layer.up},
                                            {layer.weight->bytes.data(), layer.up}, precision);
        conv.energy = std::make_unique<cpu::Matrix>(layer.inputs, layer.outputs, layer.energy->bytes.data());
        layers.convs.push_back({cpu::floats_of(layer.outputs, layer.out_side(), layer.out_side()), layer.variants});
    }
}

} // namespace sgi::internal
