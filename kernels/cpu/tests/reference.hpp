// Every layer by its definition, in plain float64 loops. Pictures and activations are [C][H][W] of one row.
#pragma once

#include "convolution.hpp"
#include "decode.hpp"

#include <cstddef>
#include <vector>

namespace sgi::cpu::reference {

using Values = std::vector<double>;
using Floats = std::vector<float>;

// y = clamp(lrelu(scale * conv(style * x) + noise + bias)); weight: [O][I][3][3]; noise: [H'][W'] or empty.
// An up-convolution is the transposed convolution of stride 2 to 2H + 1 by 2W + 1, which the filter [1, 3, 3, 1] / 4 in
// each direction follows, with one pixel of zeros around.
Values convolution(const ConvShape &shape, const Floats &weight, const Values &x, const Values &style,
                   const Values &scale, const Values &noise, const Values &bias, double slope, double clamp);

// clamp(weight (style * x) + bias); weight: [C][I].
Values to_rgb(size_t pixels, const Floats &weight, const Values &x, const Values &style, const Values &bias,
              double clamp);

// Twice the side: the transposed convolution of stride 2 with the filter [1, 3, 3, 1] / 4 in each direction and one
// pixel of padding.
Values upsampled(const Values &x, size_t channels, size_t height, size_t width);

// x / sqrt(mean(x^2) + 1e-8).
Values normalised(const Values &x);

// lrelu(x weight + bias); weight: [inputs][outputs].
Values linear(const Values &x, const Floats &weight, const Values &bias, double slope);

// gain / sqrt(style^2 energy + 1e-8); energy: [inputs][outputs].
Values demodulation(const Values &style, const Floats &energy, size_t outputs, double gain);

// The values of a raw picture with raw_channels channels.
Values decode(const Decoder &decoder, const Values &raw, size_t raw_channels);

} // namespace sgi::cpu::reference
