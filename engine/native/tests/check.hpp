// The data files of the tests, and their assertion.
#pragma once

#include "../../../kernels/cpu/tests/check.hpp"

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

inline const std::string MODEL = std::string(SGI_TEST_DATA) + "/tiny.onnx",
                         MODEL_OF_WS = std::string(SGI_TEST_DATA) + "/tiny_ws.onnx";
// Fraction of the range; the expected values are those of ONNX Runtime through Python.
constexpr float PARITY = 4e-6f;

inline std::string read_bytes(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}
