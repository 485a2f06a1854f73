// NumPy's .npy format, version 1.0.
#pragma once

#include <sgi/sgi.hpp>

#include <string>

// The bytes of a file with values [channels, side, side] float32.
inline std::string npy(sgi::Span<const float> values, size_t channels, size_t side) {
    const std::string n = std::to_string(side);
    std::string header =
        "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(channels) + ", " + n + ", " + n + "), }";
    header.append(63 - (10 + header.size()) % 64, ' '); // the data starts at a multiple of 64
    header += '\n';
    const std::string length{static_cast<char>(header.size()), '\0'};
    const std::string data(reinterpret_cast<const char *>(values.data()), values.size() * sizeof(float));
    return std::string("\x93NUMPY\x01\x00", 8) + length + header + data;
}
