// Text for a terminal: names in files and names of files can contain escape sequences, and bytes that are no text.
#pragma once

#include <cstdint>
#include <string>

namespace sgi::internal {

// The number of bytes of the character of UTF-8 at `i`, and its code point; no bytes where there is none.
struct Character {
    size_t bytes;
    uint32_t code;
};

inline Character character(const std::string &text, size_t i) {
    static constexpr uint32_t LEAST[] = {0, 0, 0x80, 0x800, 0x10000}; // of this many bytes; shorter forms are not valid
    const auto first = static_cast<unsigned char>(text[i]);
    if (first < 0x80) return {1, first};
    const size_t bytes = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 0;
    if (bytes == 0 || first >= 0xf8 || i + bytes > text.size()) return {0, 0};
    uint32_t code = first & (0x7fu >> bytes);
    for (size_t k = 1; k < bytes; ++k) {
        const auto next = static_cast<unsigned char>(text[i + k]);
        if ((next & 0xc0) != 0x80) return {0, 0};
        code = code << 6 | (next & 0x3f);
    }
    const bool is_valid = code >= LEAST[bytes] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
    return is_valid ? Character{bytes, code} : Character{0, 0};
}

// The text as UTF-8 on one line; every other byte, every control character and every character that reverses the
// direction of text is replaced.
inline std::string printable(const std::string &text) {
    std::string shown;
    for (size_t i = 0; i < text.size();) {
        const auto [bytes, code] = character(text, i);
        const bool is_control = code < 0x20 || (code >= 0x7f && code < 0xa0);
        const bool is_direction = (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
        if (code == '\n' || code == '\r') shown += ' ';
        else if (bytes == 0 || is_control || is_direction) shown += '?';
        else shown.append(text, i, bytes);
        i += bytes ? bytes : 1;
    }
    return shown;
}

} // namespace sgi::internal
