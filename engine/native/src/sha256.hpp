// SHA-256 (FIPS 180-4).
#pragma once

#include <string>
#include <string_view>

namespace sgi::internal {

// The digest of bytes, 64 hexadecimal digits.
std::string sha256(std::string_view bytes);
// The same without instructions that only some CPUs have.
std::string sha256_portable(std::string_view bytes);

} // namespace sgi::internal
