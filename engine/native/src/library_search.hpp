// Find and load a runtime's shared library where programs leave theirs, so that nothing of it is linked.
#pragma once

#include <string>

namespace sgi::internal {

struct LibraryNames {
    std::string what;      // for people: ONNX Runtime
    std::string soname;    // the system's: libonnxruntime.so.1
    std::string file;      // its name in a folder, a prefix: libonnxruntime.so
    std::string in_python; // pattern below site-packages
    const char *variable;  // of the environment
    std::string remedy;    // what to do where there is none, after "; "
};

struct LoadedLibrary {
    void *handle = nullptr; // never closed: a runtime's threads and thread-local data outlive any engine
    std::string path;
};

// In this order: `wanted` (a file or a folder, sgi_options.runtime), the variable (likewise), the system's library, and
// that of a Python environment: the one this library is installed in, the active one, the user's and the system's.
// A library that was asked for by name is never replaced by another. Throws Failure(SGI_ERROR_BACKEND).
LoadedLibrary load_library(const LibraryNames &names, const std::string &wanted);

} // namespace sgi::internal
