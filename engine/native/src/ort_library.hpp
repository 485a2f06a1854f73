// Finds and loads libonnxruntime at run time, so that one binary works with CPU and CUDA builds of it.
#pragma once

#include <onnxruntime_c_api.h>

#include <string>

namespace sgi::internal {

struct OrtLibrary {
    const OrtApi *api = nullptr;
    std::string path, version;
};

// `wanted`, $SGI_ORT_LIB, libonnxruntime.so.1, or the onnxruntime package of a Python environment: see load_library.
// Throws Failure(SGI_ERROR_BACKEND).
OrtLibrary load_onnxruntime(const std::string &wanted);

} // namespace sgi::internal
