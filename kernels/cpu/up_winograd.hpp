// Up-convolutions by Winograd's minimal filtering.
#pragma once

#include "convolution.hpp"

namespace sgi::cpu {

// shape.up is true.
std::unique_ptr<Convolution> make_up_winograd(Pool &pool, const ConvShape &shape, const ConvWeight &weight,
                                              Precision precision);

} // namespace sgi::cpu
