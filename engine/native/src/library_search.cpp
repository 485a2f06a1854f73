#include "library_search.hpp"

#include "error.hpp"

#include <cstdlib>
#include <vector>

#include <dlfcn.h>
#include <glob.h>
#include <sys/stat.h>

namespace sgi::internal {
namespace {

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

std::vector<std::string> python_candidates(const std::string &pattern) {
    std::vector<std::string> prefixes{own_prefix()};
    for (const char *name : {"VIRTUAL_ENV", "CONDA_PREFIX"})
        if (const char *value = std::getenv(name)) prefixes.emplace_back(value);
    if (const char *home = std::getenv("HOME")) prefixes.push_back(std::string(home) + "/.local");
    prefixes.insert(prefixes.end(), {"/usr/local", "/usr"});
    std::vector<std::string> candidates;
    for (const std::string &prefix : prefixes) {
        if (prefix.empty()) continue;
        for (const std::string &path : expand(prefix + "/lib/python3*/*-packages/" + pattern))
            candidates.push_back(path);
    }
    return candidates;
}

void *open(const std::string &path) { return dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL); }

LoadedLibrary load_named(const LibraryNames &names, const std::string &wanted, const std::string &source) {
    std::string path = wanted;
    if (is_folder(wanted)) {
        const std::vector<std::string> inside = expand(wanted + "/" + names.file + "*");
        if (inside.empty()) throw Failure(SGI_ERROR_BACKEND, source + ": no " + names.file + " in " + wanted);
        path = inside.back();
    }
    if (void *handle = open(path)) return {handle, path};
    const char *message = dlerror();
    throw Failure(SGI_ERROR_BACKEND, source + " cannot be loaded: " + (message ? message : "unknown error"));
}

} // namespace

LoadedLibrary load_library(const LibraryNames &names, const std::string &wanted) {
    if (!wanted.empty()) return load_named(names, wanted, "sgi_options.runtime");
    const char *named = std::getenv(names.variable);
    if (named && *named) return load_named(names, named, names.variable);
    if (void *handle = open(names.soname)) return {handle, names.soname};
    for (const std::string &path : python_candidates(names.in_python))
        if (void *handle = open(path)) return {handle, path};
    throw Failure(SGI_ERROR_BACKEND, "no " + names.what + " found; " + names.remedy);
}

} // namespace sgi::internal
