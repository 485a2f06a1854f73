// Up-convolutions by Winograd's minimal filtering.
#pragma once

#include "convolution.hpp"

namespace sgi::cpu {

// weight: [O][I][3][3]; shape.up is true.
std::unique_ptr<Convolution> make_up_winograd(const ConvShape &shape, const float *weight);

} // namespace sgi::cpu
