// PNG files as sgi-engine's Python side writes them.
#pragma once

#include <sgi/sgi.hpp>

#include <string>

// Values [C, side, side]: three channels in 8 bits (albedo sRGB-encoded), one channel in 16 bits, low to high of the
// type's range; masks and edges in 8 bits, and of a segmentation the classes themselves, as grey. Throws
// std::runtime_error if the file cannot be written.
void write_png(const std::string &path, sgi::Span<const float> values, const sgi_type &type, size_t side);
