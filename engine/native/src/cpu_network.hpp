// A network on the kernels of processors.
#pragma once

#include "backend.hpp"
#include "cpu_plan.hpp"
#include "cpu_styles.hpp"
#include "network.hpp"

#include <aligned.hpp>
#include <convolution.hpp>
#include <decode.hpp>
#include <pool.hpp>
#include <styles.hpp>
#include <torgb.hpp>

#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace sgi::internal {

// Weights packed for this machine. Thread-safe: passes run one after the other, each on all threads of the pool.
class CpuNetwork {
  public:
    // network: read from the model of `artifact`; its tensors are not used after the call. threads: 0 for all
    // processors.
    CpuNetwork(const Network &network, const Artifact &artifact, size_t threads, cpu::Precision precision);

    // The values of the outputs for `count` rows of each of Artifact::inputs. They do not depend on the number of
    // threads nor on the other rows.
    void run(size_t count, const std::vector<const float *> &inputs, const std::vector<OutputBuffer> &outputs);

    size_t threads() const { return pool_.threads(); }

  private:
    struct Conv {
        Columns columns;
        size_t outputs;
        float gain, slope, clamp;
        cpu::AlignedArray<float> bias; // padded
        std::vector<float> noise;      // empty without noise
        std::unique_ptr<cpu::Convolution> kernel;
        std::unique_ptr<cpu::Matrix> energy;
    };
    struct Rgb {
        Columns columns;
        float clamp;
        bool has_below;
        cpu::ToRgb kernel;
    };
    struct Output {
        size_t raw_channels, image_size; // of the picture; floats of the values of an image
        cpu::Decoder decoder;
    };
    // The styles of the rows of a layer, and the demodulation of a convolution: [rows][padded channels].
    struct RowStyles {
        const float *style = nullptr, *scale = nullptr;
    };
    // Memory that grows and is kept between passes, because new pages are slow.
    class Memory {
      public:
        float *floats(size_t count);

      private:
        cpu::AlignedArray<float> data_;
        size_t count_ = 0;
    };

    void pack_convolutions(const Network &network, cpu::Precision precision);
    const Plan &plan(size_t count, const std::vector<OutputBuffer> &outputs);
    void prepare(const Plan &plan, const CpuStyles::AllProducts &products);
    void convolve(const Step &step);
    void show(const Step &step);
    void decode(const Step &step, float *values);

    cpu::Pool pool_;
    CpuStyles styles_;
    PlannedLayers layers_;
    cpu::AlignedArray<float> constant_; // activations of one row
    std::vector<Conv> convs_;
    std::vector<Rgb> rgbs_;
    std::vector<Output> outputs_;
    size_t pixels_;

    std::mutex mutex_; // guards what follows
    std::map<std::pair<size_t, std::vector<size_t>>, Plan> plans_;
    Memory activations_, row_styles_;
    float *memory_ = nullptr; // of the pass
    std::vector<RowStyles> conv_styles_, rgb_styles_;
};

} // namespace sgi::internal
