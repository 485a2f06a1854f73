// To-rgb and the sum of pictures against their definition, for random shapes, rows, threads and targets.
#include "cases.hpp"
#include "reference.hpp"
#include "torgb.hpp"

using namespace sgi::cpu;

namespace {

constexpr double TOLERANCE = 1e-6; // relative RMS

struct Case {
    RgbShape shape;
    size_t rows, pictures;
    bool has_below;
    float clamp;
    std::vector<float> weight, bias, x, style, below;
    std::vector<uint32_t> source, below_source;
    std::vector<reference::Values> expected; // of every row

    Case(Random &random, const RgbShape &of, size_t row_count, bool skip)
        : shape(of), rows(row_count), pictures(random.whole(1, rows)), has_below(skip),
          clamp(random.whole(0, 1) ? 1.5f : std::numeric_limits<float>::infinity()),
          weight(random.normal(of.channels * of.inputs, 0, 1 / std::sqrt(float(of.inputs)))),
          bias(random.normal(of.channels)), x(random.normal(pictures * of.inputs * of.height * of.width)),
          style(random.normal(rows * of.inputs, 1, 0.5f)),
          below(random.normal(pictures * of.channels * (of.height / 2) * (of.width / 2))),
          source(random.sources(rows, pictures)), below_source(random.sources(rows, pictures)) {
        for (size_t row = 0; row < rows; ++row) expected.push_back(expected_of(row));
    }

    size_t pixels() const { return shape.height * shape.width; }
    size_t out_floats() const { return shape.channels * pixels(); }

    std::vector<float> run(Pool &pool, const ToRgb &layer, size_t first, size_t end) const {
        Guarded blocked(pictures * padded(shape.inputs) * pixels());
        for (size_t p = 0; p < pictures; ++p) {
            const auto from = x.begin() + ptrdiff_t(p * shape.inputs * pixels());
            to_blocks({from, from + ptrdiff_t(shape.inputs * pixels())}, shape.inputs, pixels(),
                      blocked.get() + p * padded(shape.inputs) * pixels());
        }
        Guarded styles(to_stride(style, shape.inputs)), belows(below), y((end - first) * out_floats());
        RgbCall call;
        call.rows = end - first;
        call.x = blocked.get(), call.source = source.data() + first;
        call.style_stride = padded(shape.inputs), call.style = styles.get() + first * call.style_stride;
        call.below = has_below ? belows.get() : nullptr, call.below_source = below_source.data() + first;
        call.clamp = clamp;
        call.y = y.get();
        layer.run(pool, call);
        return y.values();
    }

    reference::Values expected_of(size_t row) const {
        reference::Values y = reference::to_rgb(
            pixels(), weight, as_double(&x[source[row] * shape.inputs * pixels()], shape.inputs * pixels()),
            as_double(&style[row * shape.inputs], shape.inputs), as_double(bias.data(), bias.size()), clamp);
        if (!has_below) return y;
        const size_t quarter = out_floats() / 4;
        const reference::Values up = reference::upsampled(as_double(&below[below_source[row] * quarter], quarter),
                                                          shape.channels, shape.height / 2, shape.width / 2);
        for (size_t i = 0; i < y.size(); ++i) y[i] += up[i];
        return y;
    }
};

void test_case(const Case &of) {
    const ToRgb layer(of.shape, of.weight.data(), of.bias.data());
    Pool pool(2);
    const std::vector<float> y = of.run(pool, layer, 0, of.rows);
    for (size_t row = 0; row < of.rows; ++row)
        CHECK(relative_rms(&y[row * of.out_floats()], of.expected[row]) <= TOLERANCE);
    for (const size_t threads : {1, 3}) {
        Pool other(threads);
        CHECK(same_bits(of.run(other, layer, 0, of.rows), y));
        const std::vector<float> last(y.end() - ptrdiff_t(of.out_floats()), y.end());
        CHECK(same_bits(of.run(other, layer, of.rows - 1, of.rows), last));
    }
}

std::vector<Case> cases() {
    Random random(2);
    std::vector<Case> cases;
    for (size_t channels = 1; channels <= 4; channels += SANITIZED ? 3 : 1) {
        cases.push_back(Case(random, {200, channels, 4, 4}, 2, false)); // several runs of blocks
        cases.push_back(Case(random, {72, channels, 64, 64}, 1, true)); // several tiles
        for (size_t rows = 1; rows <= 9; rows += SANITIZED ? 4 : 2) {
            const size_t inputs = random.whole(1, 40);
            cases.push_back(Case(random, {inputs, channels, random.whole(1, 20), random.whole(1, 20)}, rows, false));
            cases.push_back(
                Case(random, {inputs, channels, 2 * random.whole(1, 9), 2 * random.whole(1, 20)}, rows, true));
        }
    }
    cases.push_back(Case(random, {7, 3, 6, 300}, 1, true)); // a line of several tiles
    return cases;
}

} // namespace

int main() {
    const std::vector<Case> all = cases();
    for_each_target([&all] {
        for (const Case &of : all) test_case(of);
    });
}
