// NumPy's .npy format, version 1.0.
#pragma once

#include <sgi/sgi.hpp>

#include <string>

// The bytes of a file with values [..., channels, side, side] float32; `shape` has the axes before side.
inline std::string npy(sgi::Span<const float> values, std::initializer_list<size_t> shape, size_t side) {
    std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
    for (const size_t axis : shape) header += std::to_string(axis) + ", ";
    header += std::to_string(side) + ", " + std::to_string(side) + "), }";
    header.append(63 - (10 + header.size()) % 64, ' '); // the data starts at a multiple of 64
    header += '\n';
    std::string file("\x93NUMPY\x01\x00", 8);
    file.reserve(10 + header.size() + values.size() * sizeof(float));
    file += {static_cast<char>(header.size()), '\0'};
    file += header;
    return file.append(reinterpret_cast<const char *>(values.data()), values.size() * sizeof(float));
}

// The bytes of a file with values [channels, side, side] float32.
inline std::string npy(sgi::Span<const float> values, size_t channels, size_t side) {
    return npy(values, {channels}, side);
}
