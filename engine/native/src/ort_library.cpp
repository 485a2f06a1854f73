#include "ort_library.hpp"

#include "error.hpp"
#include "library_search.hpp"

#include <cstdlib>
#include <dlfcn.h>

namespace sgi::internal {
namespace {

// The oldest API version with every function that we call; all releases from 1.17 on provide it.
constexpr uint32_t API_VERSION = 17;

} // namespace

OrtLibrary load_onnxruntime(const std::string &wanted) {
    const std::string remedy = "`pip install onnxruntime`, or name the library in SGI_ORT_LIB or sgi_options.runtime";
    // From version 1.29 on, ONNX Runtime sends events to its maker and writes files into the user's cache folder,
    // unless this is set when it is loaded. A value of the user's own is kept.
    setenv("ORT_DISABLE_TELEMETRY", "1", 0);
    const LoadedLibrary loaded = load_library({"ONNX Runtime", "libonnxruntime.so.1", "libonnxruntime.so",
                                               "onnxruntime/capi/libonnxruntime.so.*", "SGI_ORT_LIB", remedy},
                                              wanted);
    using GetApiBase = const OrtApiBase *(*)();
    const auto get_base = reinterpret_cast<GetApiBase>(dlsym(loaded.handle, "OrtGetApiBase"));
    const OrtApiBase *base = get_base ? get_base() : nullptr;
    if (!base) throw Failure(SGI_ERROR_BACKEND, loaded.path + ": not an ONNX Runtime; " + remedy);
    OrtLibrary library;
    library.path = loaded.path;
    library.version = base->GetVersionString();
    library.api = base->GetApi(API_VERSION);
    if (!library.api)
        throw Failure(SGI_ERROR_BACKEND,
                      library.path + ": ONNX Runtime " + library.version + " is older than 1.17; " + remedy);
    return library;
}

} // namespace sgi::internal
