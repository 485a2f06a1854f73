// The assertion of the tests, and their data files.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#define CHECK(condition)                                                                                               \
    ((condition) ? void(0)                                                                                             \
                 : (std::fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition), std::exit(1)))

inline const std::string MODEL = std::string(SGI_TEST_DATA) + "/tiny.onnx",
                         MODEL_OF_WS = std::string(SGI_TEST_DATA) + "/tiny_ws.onnx";
// Fraction of the range; the expected values are those of ONNX Runtime through Python.
constexpr float PARITY = 4e-6f;

inline std::string read_bytes(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}
