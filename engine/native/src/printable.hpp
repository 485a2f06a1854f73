// Text for a terminal: names in files and names of files can contain escape sequences.
#pragma once

#include <string>

namespace sgi::internal {

// Whether a byte continues a character of UTF-8 rather than standing alone, where terminals may read it as C1.
inline bool is_inside(const std::string &text, size_t i) {
    for (size_t back = 1; back <= 3 && back <= i; ++back) {
        const auto byte = static_cast<unsigned char>(text[i - back]);
        if (byte >= 0xc0) return (byte >= 0xf0 ? 3u : byte >= 0xe0 ? 2u : 1u) >= back;
        if (byte < 0x80) return false;
    }
    return false;
}

// The text on one line; every control character and every character that reverses the direction of text is replaced.
inline std::string printable(const std::string &text) {
    std::string shown;
    for (size_t i = 0; i < text.size(); ++i) {
        const auto at = [&](size_t k) { return k < text.size() ? static_cast<unsigned char>(text[k]) : 0u; };
        const unsigned byte = at(i), second = at(i + 1), third = at(i + 2);
        if (byte == '\n' || byte == '\r') shown += ' ';
        else if (byte < 0x20 || byte == 0x7f) shown += '?';
        else if (byte == 0xc2 && second >= 0x80 && second < 0xa0) shown += '?', i += 1; // C1, 8-bit escape sequences
        else if (byte == 0xe2 && ((second == 0x80 && (third >= 0xa8 && third <= 0xae)) ||
                                  (second == 0x81 && third >= 0xa6 && third <= 0xa9)))
            shown += '?', i += 2; // U+2028 to U+202E and U+2066 to U+2069
        else if (byte >= 0x80 && byte < 0xa0 && !is_inside(text, i)) shown += '?';
        else shown += text[i];
    }
    return shown;
}

} // namespace sgi::internal
