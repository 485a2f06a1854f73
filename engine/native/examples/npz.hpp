// NumPy's .npz format: a ZIP archive of .npy files, not compressed (APPNOTE.TXT 6.3.10, PKWARE).
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

inline uint32_t crc32(std::string_view bytes) {
    static const auto tables = [] { // eight bytes a step
        std::array<std::array<uint32_t, 256>, 8> made{};
        for (uint32_t n = 0; n < 256; ++n) {
            uint32_t c = n;
            for (int k = 0; k < 8; ++k) c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
            made[0][n] = c;
        }
        for (size_t t = 1; t < 8; ++t)
            for (size_t n = 0; n < 256; ++n) made[t][n] = made[0][made[t - 1][n] & 0xff] ^ (made[t - 1][n] >> 8);
        return made;
    }();
    const auto *data = reinterpret_cast<const unsigned char *>(bytes.data());
    uint32_t crc = 0xffffffffu;
    size_t i = 0;
    for (; i + 8 <= bytes.size(); i += 8) {
        crc ^= data[i] | uint32_t{data[i + 1]} << 8 | uint32_t{data[i + 2]} << 16 | uint32_t{data[i + 3]} << 24;
        crc = tables[7][crc & 0xff] ^ tables[6][crc >> 8 & 0xff] ^ tables[5][crc >> 16 & 0xff] ^ tables[4][crc >> 24] ^
              tables[3][data[i + 4]] ^ tables[2][data[i + 5]] ^ tables[1][data[i + 6]] ^ tables[0][data[i + 7]];
    }
    for (; i < bytes.size(); ++i) crc = tables[0][(crc ^ data[i]) & 0xff] ^ (crc >> 8);
    return ~crc;
}

// The archive of files, name without ".npy" -> bytes. Throws std::length_error where it would exceed 4 GiB.
inline std::string npz(const std::vector<std::pair<std::string, std::string>> &files) {
    std::string archive, directory;
    const auto put = [](std::string &out, uint64_t value, int bytes) {
        for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
    };
    size_t total = 0;
    for (const auto &[name, bytes] : files) total += bytes.size() + 2 * name.size() + 100;
    if (total > std::numeric_limits<uint32_t>::max()) throw std::length_error("the maps of one request exceed 4 GiB");
    archive.reserve(total + 22);
    for (const auto &[name, bytes] : files) {
        std::string entry; // what the local header and the directory share
        put(entry, 20, 2); // version 2.0
        put(entry, 0, 2);  // flags
        put(entry, 0, 2);  // stored
        put(entry, 0, 2);  // midnight of
        put(entry, 33, 2); // 1 January 1980
        put(entry, crc32(bytes), 4);
        put(entry, bytes.size(), 4);
        put(entry, bytes.size(), 4);
        put(entry, name.size() + 4, 2);
        put(entry, 0, 2); // extra field
        directory += "PK\x01\x02";
        put(directory, 20, 2);
        directory += entry;
        put(directory, 0, 8);
        put(directory, 0, 2); // comment, disk, attributes
        put(directory, archive.size(), 4);
        directory += name + ".npy";
        archive += "PK\x03\x04" + entry + name + ".npy";
        archive += bytes;
    }
    const size_t start = archive.size();
    archive += directory;
    archive += "PK\x05\x06";
    put(archive, 0, 4); // disks
    put(archive, files.size(), 2);
    put(archive, files.size(), 2);
    put(archive, directory.size(), 4);
    put(archive, start, 4);
    put(archive, 0, 2); // comment
    return archive;
}
