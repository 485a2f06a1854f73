// Model files: the bytes of an .onnx, or the bytes of an engine and the JSON beside it.
#pragma once

#include <string>
#include <string_view>

namespace sgi::internal {

// A model to open. The sidecar of an .onnx is empty, because its bytes contain the description.
struct Model {
    std::string_view bytes;
    std::string sidecar, path;

    bool is_engine() const { return !sidecar.empty(); }
};

// The bytes of a file. Throws Failure(SGI_ERROR_MODEL) for one that is missing, not a regular file, or not readable.
std::string read_file(const std::string &path);

// Compares bytes with a SHA-256. Throws Failure(SGI_ERROR_MODEL), with the remedy, where they differ.
void check_sha256(std::string_view bytes, const std::string &expected);

// The JSON beside an .engine or .plan, "" for any other file. Throws Failure(SGI_ERROR_MODEL) if it is missing.
std::string read_sidecar(const std::string &path);

} // namespace sgi::internal
