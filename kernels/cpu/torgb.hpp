// The to-rgb layer of a resolution and the sum of pictures of all resolutions.
#pragma once

#include "maps.hpp"
#include "pool.hpp"

#include <limits>
#include <vector>

namespace sgi::cpu {

// inputs: channels of activations. channels: of pictures, 1 to 4. height, width: of both.
struct RgbShape {
    size_t inputs, channels, height, width;
};

// y = clamp(weight (style * x) + bias) + upsampled(below) for every row.
struct RgbCall {
    size_t rows = 0;
    const float *x = nullptr;         // activations [.., blocks of I][H][W][16]
    const uint32_t *source = nullptr; // [rows] row of x that each row reads
    const float *style = nullptr;     // [rows][style_stride], the first padded(I) used; zero past I
    size_t style_stride = 0;
    const float *below = nullptr;           // pictures [.., C][H / 2][W / 2], or nullptr
    const uint32_t *below_source = nullptr; // [rows] row of `below` that each row reads
    float clamp = std::numeric_limits<float>::infinity();
    float *y = nullptr; // pictures [rows][C][H][W]
};

// Reads x once. run() can be called by several threads.
class ToRgb {
  public:
    // weight: [C][I]; bias: [C].
    ToRgb(const RgbShape &shape, const float *weight, const float *bias);
    // `below` is upsampled by 2 with the filter [1, 3, 3, 1] / 4 in each direction: a transposed convolution of
    // stride 2 with one pixel of padding.
    void run(Pool &pool, const RgbCall &call) const;
    size_t bytes() const { return (weight_.size() + bias_.size()) * sizeof(float); }

  private:
    RgbShape shape_;
    std::vector<float> weight_, bias_; // [C][padded(I)], [C]
};

} // namespace sgi::cpu
