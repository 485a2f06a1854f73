// A modulated 3x3 convolution with its activation, and its forms.
#pragma once

#include "maps.hpp"
#include "pool.hpp"

#include <limits>
#include <memory>

namespace sgi::cpu {

// BFLOAT16: transformed inputs and weights are rounded to bfloat16; sums, activations and everything else are float32.
enum class Precision { FLOAT32, BFLOAT16 };

// Whether this processor multiplies bfloat16 (AVX512-BF16). Others have no use for it.
bool has_bfloat16();

// inputs, outputs: channels. height, width: of the input; an up-convolution doubles them.
struct ConvShape {
    size_t inputs, outputs, height, width;
    bool up;

    size_t out_height() const { return up ? 2 * height : height; }
    size_t out_width() const { return up ? 2 * width : width; }
};

// y = clamp(lrelu(scale * conv(style * x) + noise + bias)) for every row.
struct ConvCall {
    size_t rows = 0;
    const float *x = nullptr;         // activations [.., blocks of I][H][W][16]
    const uint32_t *source = nullptr; // [rows] row of x that each row reads
    const float *style = nullptr;     // [rows][style_stride], the first padded(I) used; zero past I
    size_t style_stride = 0;
    const float *scale = nullptr; // [rows][scale_stride], the first padded(O) used: demodulation times gain
    size_t scale_stride = 0;
    const float *noise = nullptr; // [H'][W'], or nullptr
    const float *bias = nullptr;  // [padded(O)], zero past O
    float slope = 0.2f, clamp = std::numeric_limits<float>::infinity();
    float *y = nullptr; // activations [rows][blocks of O][H'][W'][16]
};

// A layer with weights packed for this machine. run() can be called by several threads.
class Convolution {
  public:
    virtual ~Convolution() = default;
    virtual void run(Pool &pool, const ConvCall &call) const = 0;
    // Bytes of the packed weights.
    virtual size_t bytes() const = 0;
};

// [O][I][3][3] float32, or [I][O][3][3], without alignment: the bytes of a file.
struct ConvWeight {
    const void *bytes;
    bool inputs_first = false;
};

// weight: as torch.nn.functional.conv2d takes it (no flip); for `up` y is conv_transpose2d with stride 2,
// then the filter [1, 3, 3, 1] / 4 in each direction with one pixel of padding. The pool packs the weights. Throws
// std::invalid_argument for bfloat16 where has_bfloat16() is false.
std::unique_ptr<Convolution> make_convolution(Pool &pool, const ConvShape &shape, const ConvWeight &weight,
                                              Precision precision);

} // namespace sgi::cpu
