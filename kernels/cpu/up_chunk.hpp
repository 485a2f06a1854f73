// Which tiles of an up-convolution are computed together, and where their values are in memory.
#pragma once

#include <cstddef>

namespace sgi::cpu {

// Tiles of 4 x 4 input pixels of whole or partial images. The transposed convolution has one line and one column more
// than twice the input. They belong to edge tiles, of which only the product of point 0 exists.
struct UpChunk {
    size_t first_image, images; // rows of the call
    size_t top, rows;           // tile rows
    size_t left, columns;       // tile columns
    bool has_bottom, has_right; // edge tiles below and to the right

    // Slots: all tiles, then the edge tiles to the right, below, and in the corner.
    size_t tiles() const { return images * rows * columns; }
    size_t right() const { return has_right ? images * rows : 0; }
    size_t bottom() const { return has_bottom ? images * columns : 0; }
    size_t corners() const { return has_bottom && has_right ? images : 0; }
    size_t slots() const { return tiles() + right() + bottom() + corners(); }

    size_t tile_slot(size_t image, size_t row, size_t column) const { return (image * rows + row) * columns + column; }
    size_t right_slot(size_t image, size_t row) const { return tiles() + image * rows + row; }
    size_t bottom_slot(size_t image, size_t column) const { return tiles() + right() + image * columns + column; }
    size_t corner_slot(size_t image) const { return tiles() + right() + bottom() + image; }
};

} // namespace sgi::cpu
