// A model as it lies on disk: the bytes of an .onnx, or those of an engine with the JSON beside it.
#pragma once

#include <string>
#include <string_view>

namespace sgi::internal {

// What an engine is opened from. Of an .onnx the description is in the bytes and sidecar is empty.
struct Model {
    std::string_view bytes;
    std::string sidecar, path;

    bool is_engine() const { return !sidecar.empty(); }
};

// The bytes of a file. Throws Failure(SGI_ERROR_MODEL) for one that is missing, no file or not readable.
std::string read_file(const std::string &path);

// The JSON beside an .engine or .plan, "" for any other file. Throws Failure(SGI_ERROR_MODEL) where it is missing.
std::string read_sidecar(const std::string &path);

} // namespace sgi::internal
