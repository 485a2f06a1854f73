// The colours of segmentation classes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sgi::internal {

constexpr size_t MAX_CLASSES = 256; // the largest number that an 8-bit indexed PNG can hold

// Colours [count][3] in RGB, 8 bits per channel: those of engine/palette.py.
std::vector<uint8_t> palette(size_t count);

} // namespace sgi::internal
