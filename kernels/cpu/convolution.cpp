#include "convolution.hpp"

#include "up_winograd.hpp"
#include "winograd.hpp"

namespace sgi::cpu {

std::unique_ptr<Convolution> make_convolution(Pool &pool, const ConvShape &shape, const ConvWeight &weight, Precision) {
    return shape.up ? make_up_winograd(pool, shape, weight) : make_winograd(pool, shape, weight);
}

} // namespace sgi::cpu
