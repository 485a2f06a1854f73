#include "png_file.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <string_view>

#include <png.h>

namespace {

float srgb_encode(float linear) { // IEC 61966-2-1
    return linear <= 0.0031308f ? linear * 12.92f : 1.055f * std::pow(linear, 1 / 2.4f) - 0.055f;
}

bool is_segmentation(std::string_view name) { return name == "segmentation"; }

// The table of types gives 16 bits to maps that are measured, and 8 to those that are looked at or counted.
unsigned bits_of(const sgi_type &type) {
    const std::string_view name = type.name;
    const bool coarse = is_segmentation(name) || name == "edges" || name.substr(0, 5) == "mask-";
    return type.channels == 1 && !coarse ? 16 : 8;
}

// Big-endian samples, channels last.
std::vector<png_byte> samples(sgi::Span<const float> values, const sgi_type &type, size_t side, unsigned bits) {
    const bool encode = std::string_view(type.name) == "albedo";
    // A class is its own code.
    const float most = is_segmentation(type.name) ? type.high : static_cast<float>((1u << bits) - 1);
    std::vector<png_byte> bytes;
    bytes.reserve(values.size() * bits / 8);
    for (size_t pixel = 0; pixel < side * side; ++pixel) {
        for (size_t c = 0; c < type.channels; ++c) {
            const float value = (values[c * side * side + pixel] - type.low) / (type.high - type.low);
            const float unit = std::clamp(value, 0.0f, 1.0f);
            const auto code = static_cast<unsigned>((encode ? srgb_encode(unit) : unit) * most + 0.5f);
            if (bits == 16) bytes.push_back(static_cast<png_byte>(code >> 8));
            bytes.push_back(static_cast<png_byte>(code & 0xff));
        }
    }
    return bytes;
}

// libpng reports failure by longjmp, so nothing in here may need a destructor.
bool encode(std::FILE *file, png_structp png, png_infop info, png_uint_32 side, int bits, int color, png_byte *bytes,
            size_t stride) {
    if (setjmp(png_jmpbuf(png))) return false;
    png_init_io(png, file);
    png_set_IHDR(png, info, side, side, bits, color, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (png_uint_32 y = 0; y < side; ++y) png_write_row(png, bytes + y * stride);
    png_write_end(png, info);
    return true;
}

} // namespace

void write_png(const std::string &path, sgi::Span<const float> values, const sgi_type &type, size_t side) {
    const unsigned bits = bits_of(type);
    std::vector<png_byte> bytes = samples(values, type, side, bits);
    const std::unique_ptr<std::FILE, int (*)(std::FILE *)> file(std::fopen(path.c_str(), "wb"), std::fclose);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
    png_infop info = png_create_info_struct(png);
    const bool written = file && encode(file.get(), png, info, static_cast<png_uint_32>(side), static_cast<int>(bits),
                                        type.channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, bytes.data(),
                                        bytes.size() / side);
    png_destroy_write_struct(&png, &info);
    if (!written || std::fflush(file.get())) throw std::runtime_error(path + ": cannot be written");
}
