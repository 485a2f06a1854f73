#include "reference.hpp"

#include <algorithm>
#include <cmath>

namespace sgi::cpu::reference {
namespace {

constexpr double EPS = 1e-8;
constexpr double TAPS[4] = {0.25, 0.75, 0.75, 0.25};

double lrelu(double x, double slope) { return x < 0 ? slope * x : x; }

// A picture of one channel that is zero outside.
struct Plane {
    size_t height, width;
    Values values;

    Plane(size_t of_height, size_t of_width) : height(of_height), width(of_width), values(height * width) {}
    double &at(size_t y, size_t x) { return values[y * width + x]; }
    double get(ptrdiff_t y, ptrdiff_t x) const {
        const bool inside = y >= 0 && x >= 0 && size_t(y) < height && size_t(x) < width;
        return inside ? values[size_t(y) * width + size_t(x)] : 0;
    }
};

// Sums over the taps of one input channel. w: [3][3].
void add_plain(Plane &sums, const Plane &x, const float *w) {
    for (size_t i = 0; i < x.height; ++i)
        for (size_t j = 0; j < x.width; ++j)
            for (size_t a = 0; a < 3; ++a)
                for (size_t b = 0; b < 3; ++b)
                    sums.at(i, j) += w[3 * a + b] * x.get(ptrdiff_t(i + a) - 1, ptrdiff_t(j + b) - 1);
}

void add_transposed(Plane &sums, const Plane &x, const float *w) {
    for (size_t i = 0; i < x.height; ++i)
        for (size_t j = 0; j < x.width; ++j)
            for (size_t a = 0; a < 3; ++a)
                for (size_t b = 0; b < 3; ++b)
                    sums.at(2 * i + a, 2 * j + b) += w[3 * a + b] * x.get(ptrdiff_t(i), ptrdiff_t(j));
}

Plane filtered(const Plane &x) {
    Plane y(x.height - 1, x.width - 1);
    for (size_t i = 0; i < y.height; ++i)
        for (size_t j = 0; j < y.width; ++j)
            for (size_t a = 0; a < 4; ++a)
                for (size_t b = 0; b < 4; ++b)
                    y.at(i, j) += TAPS[a] * TAPS[b] * x.get(ptrdiff_t(i + a) - 1, ptrdiff_t(j + b) - 1);
    return y;
}

double linear_light(double u) { return u <= 0.04045 ? u / 12.92 : std::pow((u + 0.055) / 1.055, 2.4); }

size_t nearest_class(const Decoder &decoder, const double *u) {
    size_t best = 0;
    double least = INFINITY;
    for (size_t k = 0; k < decoder.bias.size(); ++k) {
        double distance = 0;
        for (size_t c = 0; c < 3; ++c) distance += std::pow(u[c] - decoder.colours[3 * k + c], 2);
        if (distance < least) least = distance, best = k;
    }
    return best;
}

} // namespace

Values convolution(const ConvShape &shape, const Floats &weight, const Values &x, const Values &style,
                   const Values &scale, const Values &noise, const Values &bias, double slope, double clamp) {
    Values out;
    const size_t pixels = shape.height * shape.width;
    for (size_t o = 0; o < shape.outputs; ++o) {
        Plane sums(shape.up ? 2 * shape.height + 1 : shape.height, shape.up ? 2 * shape.width + 1 : shape.width);
        for (size_t i = 0; i < shape.inputs; ++i) {
            Plane plane(shape.height, shape.width);
            for (size_t p = 0; p < pixels; ++p) plane.values[p] = x[i * pixels + p] * style[i];
            const float *w = &weight[(o * shape.inputs + i) * 9];
            shape.up ? add_transposed(sums, plane, w) : add_plain(sums, plane, w);
        }
        if (shape.up) sums = filtered(sums);
        for (size_t p = 0; p < sums.values.size(); ++p) {
            const double y = scale[o] * sums.values[p] + (noise.empty() ? 0 : noise[p]) + bias[o];
            out.push_back(std::clamp(lrelu(y, slope), -clamp, clamp));
        }
    }
    return out;
}

Values to_rgb(size_t pixels, const Floats &weight, const Values &x, const Values &style, const Values &bias,
              double clamp) {
    Values out;
    for (size_t c = 0; c < bias.size(); ++c)
        for (size_t p = 0; p < pixels; ++p) {
            double sum = bias[c];
            for (size_t i = 0; i < style.size(); ++i)
                sum += double(weight[c * style.size() + i]) * style[i] * x[i * pixels + p];
            out.push_back(std::clamp(sum, -clamp, clamp));
        }
    return out;
}

Values upsampled(const Values &x, size_t channels, size_t height, size_t width) {
    Values out(channels * 4 * height * width);
    for (size_t c = 0; c < channels; ++c)
        for (size_t i = 0; i < height; ++i)
            for (size_t j = 0; j < width; ++j)
                for (size_t a = 0; a < 4; ++a)
                    for (size_t b = 0; b < 4; ++b) {
                        const size_t y = 2 * i + a - 1, z = 2 * j + b - 1; // too large where it would be -1
                        if (y < 2 * height && z < 2 * width)
                            out[(c * 2 * height + y) * 2 * width + z] +=
                                TAPS[a] * TAPS[b] * x[(c * height + i) * width + j];
                    }
    return out;
}

Values normalised(const Values &x) {
    double sum = 0;
    for (const double v : x) sum += v * v;
    Values out;
    for (const double v : x) out.push_back(v / std::sqrt(sum / double(x.size()) + EPS));
    return out;
}

Values linear(const Values &x, const Floats &weight, const Values &bias, double slope) {
    Values out;
    for (size_t o = 0; o < bias.size(); ++o) {
        double sum = bias[o];
        for (size_t i = 0; i < x.size(); ++i) sum += x[i] * weight[i * bias.size() + o];
        out.push_back(lrelu(sum, slope));
    }
    return out;
}

Values demodulation(const Values &style, const Floats &energy, size_t outputs, double gain) {
    Values out;
    for (size_t o = 0; o < outputs; ++o) {
        double sum = EPS;
        for (size_t i = 0; i < style.size(); ++i) sum += style[i] * style[i] * energy[i * outputs + o];
        out.push_back(gain / std::sqrt(sum));
    }
    return out;
}

Values decode(const Decoder &decoder, const Values &raw, size_t raw_channels) {
    const size_t pixels = raw.size() / raw_channels, channels = decoder.channels, merged = raw_channels / channels;
    Values out(decoder.value_channels() * pixels);
    for (size_t p = 0; p < pixels; ++p) {
        double u[4] = {}, energy = 1e-6;
        for (size_t c = 0; c < channels; ++c) {
            for (size_t k = 0; k < merged; ++k) u[c] += raw[(c + k) * pixels + p] / double(merged);
            u[c] = std::clamp(u[c] * 0.5 + 0.5, 0.0, 1.0);
            energy += std::pow(2 * u[c] - 1, 2);
        }
        for (size_t c = 0; c < decoder.value_channels(); ++c) {
            double &value = out[c * pixels + p];
            const auto over_range = [&](double share) { return share * (decoder.high - decoder.low) + decoder.low; };
            switch (decoder.decoding) {
            case Decoding::IDENTITY: value = over_range(u[c]); break;
            case Decoding::INVERSE: value = over_range(1 - u[c]); break;
            case Decoding::LINEAR: value = over_range(linear_light(u[c])); break;
            case Decoding::UNIT: value = (2 * u[c] - 1) / std::sqrt(energy); break;
            case Decoding::PALETTE: value = double(nearest_class(decoder, u)); break;
            }
        }
    }
    return out;
}

} // namespace sgi::cpu::reference
