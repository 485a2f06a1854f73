#include "convolution.hpp"

#include "up_winograd.hpp"
#include "winograd.hpp"

namespace sgi::cpu {

std::unique_ptr<Convolution> make_convolution(Pool &pool, const ConvShape &shape, const ConvWeight &weight,
                                              Precision precision) {
    return shape.up ? make_up_winograd(pool, shape, weight, precision) : make_winograd(pool, shape, weight, precision);
}

} // namespace sgi::cpu
