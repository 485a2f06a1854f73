// PNG files with the same pixels as those of the Python package.
#pragma once

#include <sgi/sgi.hpp>

#include <string>

// Writes values [C, side, side] of a type. With png_bits 8 a pixel is the display code, with 16 the value as a share of
// the type's range; a segmentation becomes an indexed PNG with the colours of its classes. Throws std::runtime_error if
// the file cannot be written.
void write_png(const std::string &path, sgi::Span<const float> values, const sgi_type &type, size_t side);

// The bytes of the same file.
std::string encode_png(sgi::Span<const float> values, const sgi_type &type, size_t side);
