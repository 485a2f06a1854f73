// Finds and loads the shared library of a runtime, so that it is not linked.
#pragma once

#include <string>

namespace sgi::internal {

struct LibraryNames {
    std::string what;      // name in messages: ONNX Runtime
    std::string soname;    // of the system's library: libonnxruntime.so.1
    std::string file;      // prefix of its file name in a folder: libonnxruntime.so
    std::string in_python; // pattern below site-packages
    const char *variable;  // environment variable
    std::string remedy;    // end of the message if none is found, after "; "
};

struct LoadedLibrary {
    void *handle = nullptr; // never closed: threads and thread-local data of a runtime outlive every engine
    std::string path;
};

// Searches in this order: `wanted` (sgi_options.runtime, a file or a folder), the environment variable (a file or a
// folder), the system's library, and the package of a Python environment: the one this library is installed in, the
// active one, the user's and the system's. If `wanted` or the variable is set, no other place is searched. Throws
// Failure(SGI_ERROR_BACKEND).
LoadedLibrary load_library(const LibraryNames &names, const std::string &wanted);

} // namespace sgi::internal
