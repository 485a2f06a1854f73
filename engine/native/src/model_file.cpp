#include "model_file.hpp"

#include "error.hpp"
#include "sha256.hpp"

#include <fstream>

#include <sys/stat.h>

namespace sgi::internal {

std::string read_file(const std::string &path) {
    constexpr off_t LARGEST = (off_t{1} << 31) - 1; // the limit of Protobuf
    struct stat status{};
    if (stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) throw Failure(SGI_ERROR_MODEL, "not a file");
    if (status.st_size > LARGEST) throw Failure(SGI_ERROR_MODEL, "larger than 2 GiB, which no model is");
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    if (!file) throw Failure(SGI_ERROR_MODEL, "no such file, or not readable");
    const std::streamoff size = file.tellg();
    std::string bytes(size > 0 ? static_cast<size_t>(size) : 0, '\0');
    file.seekg(0);
    if (size < 0 || !file.read(bytes.data(), size)) throw Failure(SGI_ERROR_MODEL, "cannot be read");
    return bytes;
}

void check_sha256(std::string_view bytes, const std::string &expected) {
    if (sha256(bytes) != expected)
        throw Failure(SGI_ERROR_MODEL, "its contents differ from the checksum in its description: the file is damaged; "
                                       "copy it again or export it again with `sgi-engine export`");
}

std::string read_sidecar(const std::string &path) {
    const size_t dot = path.rfind('.'), slash = path.rfind('/');
    if (dot == std::string::npos || (slash != std::string::npos && dot < slash)) return {};
    const std::string suffix = path.substr(dot);
    if (suffix != ".engine" && suffix != ".plan") return {};
    const std::string sidecar = path.substr(0, dot) + ".json";
    struct stat status{};
    if (stat(sidecar.c_str(), &status) != 0 || !S_ISREG(status.st_mode))
        throw Failure(SGI_ERROR_MODEL, "its description " + sidecar.substr(slash + 1) +
                                           " is not beside it; copy it too or export it again with `sgi-engine "
                                           "export`");
    const std::string json = read_file(sidecar);
    return json.empty() ? " " : json; // "" would mark it as an .onnx; the parser refuses " "
}

} // namespace sgi::internal
