// Plain 3x3 convolutions by Winograd's minimal filtering.
#pragma once

#include "convolution.hpp"

namespace sgi::cpu {

// weight: [O][I][3][3]; shape.up is false.
std::unique_ptr<Convolution> make_winograd(const ConvShape &shape, const float *weight);

} // namespace sgi::cpu
