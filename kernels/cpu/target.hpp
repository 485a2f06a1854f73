// The instructions that the kernels use on this processor.
#pragma once

namespace sgi::cpu {

// Highway's name of the target that was chosen, such as AVX2 or NEON.
const char *target_name();

} // namespace sgi::cpu
