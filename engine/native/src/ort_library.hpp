// Find and load libonnxruntime at run time, so that one binary serves every build of it, CPU and CUDA.
#pragma once

#include <onnxruntime_c_api.h>

#include <string>

namespace sgi::internal {

struct OrtLibrary {
    const OrtApi *api = nullptr;
    std::string path, version;
};

// In this order: `wanted` (a file or a folder), $SGI_ORT_LIB (likewise), the system's libonnxruntime.so.1, and the
// onnxruntime package of a Python environment: the one this library is installed in, the active one, the user's and
// the system's. A library that was asked for by name is never replaced by another.
// Throws Failure(SGI_ERROR_BACKEND).
OrtLibrary load_onnxruntime(const std::string &wanted);

} // namespace sgi::internal
