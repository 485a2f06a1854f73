// Passes of a network on the kernels of processors.
#pragma once

#include "backend.hpp"
#include "cpu_network.hpp"

#include <map>
#include <utility>
#include <vector>

namespace sgi::internal {

// The threads and the memory of one pass at a time. Not thread-safe; several share a network.
class CpuPass {
  public:
    // threads: 0 for all processors.
    explicit CpuPass(size_t threads) : pool_(threads) {}

    // The values of the outputs for `count` rows of each of Artifact::inputs. They do not depend on the number of
    // threads nor on the other rows.
    void run(const CpuNetwork &network, size_t count, const std::vector<const float *> &inputs,
             const std::vector<OutputBuffer> &outputs);

    cpu::Pool &pool() { return pool_; }

  private:
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

    const Plan &plan(size_t count, const std::vector<OutputBuffer> &outputs);
    void prepare(const Plan &plan, const CpuStyles::AllProducts &products);
    void convolve(const Step &step);
    void show(const Step &step);
    void decode(const Step &step, float *values);

    cpu::Pool pool_;
    std::map<std::pair<size_t, std::vector<size_t>>, Plan> plans_;
    Memory activations_, row_styles_;
    // Of the pass that runs.
    const CpuNetwork *network_ = nullptr;
    float *memory_ = nullptr;
    std::vector<RowStyles> conv_styles_, rgb_styles_;
};

} // namespace sgi::internal
