// Plain 3x3 convolutions by Winograd's minimal filtering.
#pragma once

#include "convolution.hpp"

namespace sgi::cpu {

// shape.up is false.
std::unique_ptr<Convolution> make_winograd(Pool &pool, const ConvShape &shape, const ConvWeight &weight,
                                           Precision precision);

} // namespace sgi::cpu
