// make_convolution in plain loops: a stand-in until the kernels are here.
#include "convolution.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace sgi::cpu {
namespace {

struct Naive final : Convolution {
    Naive(const ConvShape &of, const float *values) : shape(of), weight(values, values + of.outputs * of.inputs * 9) {}

    size_t bytes() const override { return weight.size() * sizeof(float); }

    void run(Pool &pool, const ConvCall &call) const override {
        const size_t blocks = blocks_of(shape.outputs);
        pool.run(call.rows * blocks, [&](size_t item, size_t) { block(call, item / blocks, item % blocks); });
    }

    void block(const ConvCall &call, size_t row, size_t number) const {
        const size_t height = shape.out_height(), width = shape.out_width();
        const float *x = call.x + call.source[row] * floats_of(shape.inputs, shape.height, shape.width);
        float *y = call.y + row * floats_of(shape.outputs, height, width) + number * height * width * BLOCK;
        for (size_t lane = 0; lane < BLOCK; ++lane) {
            const size_t o = number * BLOCK + lane;
            const std::vector<float> sums = o < shape.outputs ? filtered(x, call.style + row * call.style_stride, o)
                                                              : std::vector<float>(height * width);
            for (size_t i = 0; i < height * width; ++i) {
                float v = 0;
                if (o < shape.outputs) {
                    v = sums[i] * call.scale[row * call.scale_stride + o] + (call.noise ? call.noise[i] : 0) +
                        call.bias[o];
                    v = std::clamp(v < 0 ? v * call.slope : v, -call.clamp, call.clamp);
                }
                y[i * BLOCK + lane] = v;
            }
        }
    }

    // conv(style * x) of one output, [H'][W'].
    std::vector<float> filtered(const float *x, const float *style, size_t o) const {
        const size_t height = shape.height, width = shape.width;
        const size_t padded_width = shape.up ? 2 * width + 3 : width + 2;
        std::vector<float> sums((shape.up ? 2 * height + 3 : height + 2) * padded_width);
        for (size_t c = 0; c < shape.inputs; ++c) {
            const float *w = &weight[(o * shape.inputs + c) * 9];
            for (size_t py = 0; py < height; ++py)
                for (size_t px = 0; px < width; ++px) {
                    const float v = x[((c / BLOCK * height + py) * width + px) * BLOCK + c % BLOCK] * style[c];
                    for (size_t a = 0; a < 3; ++a)
                        for (size_t b = 0; b < 3; ++b) {
                            if (shape.up) sums[(2 * py + a + 1) * padded_width + 2 * px + b + 1] += v * w[3 * a + b];
                            else sums[(py + 2 - a) * padded_width + px + 2 - b] += v * w[3 * a + b];
                        }
                }
        }
        std::vector<float> out(shape.out_height() * shape.out_width());
        constexpr float TAPS[4] = {0.25f, 0.75f, 0.75f, 0.25f};
        for (size_t py = 0; py < shape.out_height(); ++py)
            for (size_t px = 0; px < shape.out_width(); ++px) {
                float &v = out[py * shape.out_width() + px];
                if (!shape.up) v = sums[(py + 1) * padded_width + px + 1];
                else
                    for (size_t a = 0; a < 4; ++a)
                        for (size_t b = 0; b < 4; ++b) v += TAPS[a] * TAPS[b] * sums[(py + a) * padded_width + px + b];
            }
        return out;
    }

    ConvShape shape;
    std::vector<float> weight;
};

} // namespace

std::unique_ptr<Convolution> make_convolution(const ConvShape &shape, const float *weight, Precision) {
    return std::make_unique<Naive>(shape, weight);
}

} // namespace sgi::cpu
