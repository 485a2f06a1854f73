#include "convolution.hpp"

#include "up_winograd.hpp"
#include "winograd.hpp"

namespace sgi::cpu {

std::unique_ptr<Convolution> make_convolution(const ConvShape &shape, const float *weight, Precision) {
    return shape.up ? make_up_winograd(shape, weight) : make_winograd(shape, weight);
}

} // namespace sgi::cpu
