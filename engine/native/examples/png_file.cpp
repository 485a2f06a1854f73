#include "png_file.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <vector>

#include <png.h>

namespace {

// The code of one value in a PNG file: a class index, a 16-bit share of the range, or an 8-bit display code.
unsigned code_of(const sgi_type &type, float value) {
    if (type.decoding == SGI_DECODING_PALETTE)
        return static_cast<unsigned>(std::min(std::max(0.0f, std::nearbyint(value)), type.high));
    if (type.png_bits == 8) return static_cast<unsigned>(sgi::display_code(type, value) * 255 + 0.5f);
    const float share = std::min(std::max(0.0f, (value - type.low) / (type.high - type.low)), 1.0f);
    return static_cast<unsigned>(share * 65535 + 0.5f);
}

// Big-endian samples, channels last.
std::vector<png_byte> samples(sgi::Span<const float> values, const sgi_type &type, size_t side) {
    std::vector<png_byte> bytes;
    bytes.reserve(values.size() * type.png_bits / 8);
    for (size_t pixel = 0; pixel < side * side; ++pixel) {
        for (size_t c = 0; c < type.channels; ++c) {
            const unsigned code = code_of(type, values[c * side * side + pixel]);
            if (type.png_bits == 16) bytes.push_back(static_cast<png_byte>(code >> 8));
            bytes.push_back(static_cast<png_byte>(code & 0xff));
        }
    }
    return bytes;
}

// The colours of a segmentation's classes as a PNG palette; empty for every other type.
std::vector<png_color> palette(const sgi_type &type) {
    std::vector<png_color> colours;
    for (const png_byte *rgb = type.colours; colours.size() < type.class_count; rgb += 3)
        colours.push_back({rgb[0], rgb[1], rgb[2]});
    return colours;
}

// libpng reports errors by longjmp, so this function must not have objects with destructors.
bool encode(std::FILE *file, png_structp png, png_infop info, png_uint_32 side, const sgi_type &type,
            const png_color *colours, png_byte *bytes, size_t stride) {
    if (setjmp(png_jmpbuf(png))) return false;
    const int color = colours              ? PNG_COLOR_TYPE_PALETTE
                      : type.channels == 1 ? PNG_COLOR_TYPE_GRAY
                      : type.channels == 4 ? PNG_COLOR_TYPE_RGB_ALPHA
                                           : PNG_COLOR_TYPE_RGB;
    png_init_io(png, file);
    png_set_IHDR(png, info, side, side, static_cast<int>(type.png_bits), color, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (colours) png_set_PLTE(png, info, colours, static_cast<int>(type.class_count));
    png_write_info(png, info);
    for (png_uint_32 y = 0; y < side; ++y) png_write_row(png, bytes + y * stride);
    png_write_end(png, info);
    return true;
}

bool write_to(std::FILE *file, sgi::Span<const float> values, const sgi_type &type, size_t side) {
    std::vector<png_byte> bytes = samples(values, type, side);
    const std::vector<png_color> colours = palette(type);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
    png_infop info = png_create_info_struct(png);
    const bool written = encode(file, png, info, static_cast<png_uint_32>(side), type,
                                colours.empty() ? nullptr : colours.data(), bytes.data(), bytes.size() / side);
    png_destroy_write_struct(&png, &info);
    return written && !std::fflush(file);
}

} // namespace

void write_png(const std::string &path, sgi::Span<const float> values, const sgi_type &type, size_t side) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE *)> file(std::fopen(path.c_str(), "wb"), std::fclose);
    if (!file || !write_to(file.get(), values, type, side)) throw std::runtime_error(path + ": cannot be written");
}

std::string encode_png(sgi::Span<const float> values, const sgi_type &type, size_t side) {
    char *bytes = nullptr;
    size_t size = 0;
    std::FILE *file = open_memstream(&bytes, &size);
    const bool written = file && write_to(file, values, type, side);
    if (file) std::fclose(file);
    const std::unique_ptr<char, void (*)(void *)> owner(bytes, std::free);
    if (!written) throw std::runtime_error("out of memory");
    return std::string(bytes, size);
}
