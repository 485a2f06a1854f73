#include "ort_library.hpp"

#include "error.hpp"

#include <cstdlib>
#include <vector>

#include <dlfcn.h>
#include <glob.h>
#include <sys/stat.h>

namespace sgi::internal {
namespace {

// The oldest table of functions that has all we call: any release from 1.17 on serves.
constexpr uint32_t API_VERSION = 17;
constexpr const char *SONAME = "libonnxruntime.so.1";
constexpr const char *REMEDY = "; `pip install onnxruntime`, or name the library in SGI_ORT_LIB or sgi_options.runtime";

std::vector<std::string> expand(const std::string &pattern) {
    glob_t found{};
    std::vector<std::string> paths;
    if (glob(pattern.c_str(), 0, nullptr, &found) == 0) paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
    globfree(&found);
    return paths;
}

bool is_folder(const std::string &path) {
    struct stat status{};
    return stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

std::string own_prefix() {
    Dl_info self{};
    if (!dladdr(reinterpret_cast<const void *>(&sgi_version), &self) || !self.dli_fname) return {};
    const std::string path = self.dli_fname;
    const size_t lib = path.rfind("/lib/");
    return lib == std::string::npos ? std::string{} : path.substr(0, lib);
}

std::vector<std::string> python_candidates() {
    std::vector<std::string> prefixes{own_prefix()};
    for (const char *name : {"VIRTUAL_ENV", "CONDA_PREFIX"})
        if (const char *value = std::getenv(name)) prefixes.emplace_back(value);
    if (const char *home = std::getenv("HOME")) prefixes.push_back(std::string(home) + "/.local");
    prefixes.insert(prefixes.end(), {"/usr/local", "/usr"});
    std::vector<std::string> candidates;
    for (const std::string &prefix : prefixes) {
        if (prefix.empty()) continue;
        for (const std::string &path : expand(prefix + "/lib/python3*/*-packages/onnxruntime/capi/libonnxruntime.so.*"))
            candidates.push_back(path);
    }
    return candidates;
}

std::string dl_message() {
    const char *message = dlerror();
    return message ? message : "unknown error";
}

// Never closed: the runtime's threads and thread-local data outlive any engine.
OrtLibrary attach(void *handle, const std::string &path) {
    using GetApiBase = const OrtApiBase *(*)();
    const auto get_base = reinterpret_cast<GetApiBase>(dlsym(handle, "OrtGetApiBase"));
    const OrtApiBase *base = get_base ? get_base() : nullptr;
    if (!base) throw Failure(SGI_ERROR_BACKEND, path + ": not an ONNX Runtime" + REMEDY);
    OrtLibrary library;
    library.path = path;
    library.version = base->GetVersionString();
    library.api = base->GetApi(API_VERSION);
    if (!library.api)
        throw Failure(SGI_ERROR_BACKEND, path + ": ONNX Runtime " + library.version + " is older than 1.17" + REMEDY);
    return library;
}

OrtLibrary load(const std::string &wanted, const char *source) {
    std::string path = wanted;
    if (is_folder(wanted)) {
        const std::vector<std::string> inside = expand(wanted + "/libonnxruntime.so*");
        if (inside.empty())
            throw Failure(SGI_ERROR_BACKEND, std::string(source) + ": no libonnxruntime.so in " + wanted);
        path = inside.back();
    }
    void *handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle) throw Failure(SGI_ERROR_BACKEND, std::string(source) + " cannot be loaded: " + dl_message());
    return attach(handle, path);
}

} // namespace

OrtLibrary load_onnxruntime(const std::string &wanted) {
    if (!wanted.empty()) return load(wanted, "sgi_options.runtime");
    const char *named = std::getenv("SGI_ORT_LIB");
    if (named && *named) return load(named, "SGI_ORT_LIB");
    if (void *handle = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL)) return attach(handle, SONAME);
    for (const std::string &path : python_candidates())
        if (void *handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return attach(handle, path);
    throw Failure(SGI_ERROR_BACKEND, std::string("no ONNX Runtime found") + REMEDY);
}

} // namespace sgi::internal
