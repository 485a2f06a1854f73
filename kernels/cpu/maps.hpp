// Activations in blocks of 16 channels, and pictures.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sgi::cpu {

// Channels of a block. Vectors of 4, 8 and 16 lanes divide it, so every target uses the same layout.
constexpr size_t BLOCK = 16;

constexpr size_t blocks_of(size_t channels) { return (channels + BLOCK - 1) / BLOCK; }
constexpr size_t padded(size_t channels) { return blocks_of(channels) * BLOCK; }

// Floats of one row of activations, [blocks of C][H][W][16]. Channels past C have
// any finite value; styles are zero there. Arrays of rows are contiguous
// and aligned to 64 bytes. A row is one picture of a pass: a seed and a type.
constexpr size_t floats_of(size_t channels, size_t height, size_t width) { return padded(channels) * height * width; }

} // namespace sgi::cpu
