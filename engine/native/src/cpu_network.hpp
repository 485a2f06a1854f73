// A network with weights packed for this machine.
#pragma once

#include "cpu_plan.hpp"
#include "cpu_styles.hpp"
#include "network.hpp"

#include <aligned.hpp>
#include <convolution.hpp>
#include <decode.hpp>
#include <pool.hpp>
#include <styles.hpp>
#include <torgb.hpp>

#include <cstddef>
#include <memory>
#include <vector>

namespace sgi::internal {

struct CpuConv {
    Columns columns;
    size_t outputs;
    float gain, slope, clamp;
    cpu::AlignedArray<float> bias; // padded
    std::vector<float> noise;      // empty without noise
    std::unique_ptr<cpu::Convolution> kernel;
    std::unique_ptr<cpu::Matrix> energy;
};

struct CpuRgb {
    Columns columns;
    float clamp;
    bool has_below;
    cpu::ToRgb kernel;
};

struct CpuOutput {
    size_t raw_channels, image_size; // of the picture; floats of the values of an image
    cpu::Decoder decoder;
};

// The layers; passes share them.
struct CpuNetwork {
    // network: read from the model of `artifact`; its tensors are not used after the call. The pool packs the weights.
    CpuNetwork(const Network &network, const Artifact &artifact, cpu::Pool &pool, cpu::Precision precision);

    CpuStyles styles;
    PlannedLayers layers;
    cpu::AlignedArray<float> constant; // activations of one row
    std::vector<CpuConv> convs;
    std::vector<CpuRgb> rgbs;
    std::vector<CpuOutput> outputs;
    size_t pixels;

  private:
    void pack_convolutions(const Network &network, cpu::Pool &pool, cpu::Precision precision);
};

} // namespace sgi::internal
