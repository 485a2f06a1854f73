// Modulated convolutions against their definition, for random shapes, rows, threads and targets. The argument is the
// seed of the cases, 1 without.
#include "cases.hpp"
#include "convolution.hpp"
#include "reference.hpp"

#include <stdexcept>

using namespace sgi::cpu;

namespace {

constexpr double TOLERANCE = 1e-5, TOLERANCE_BFLOAT16 = 3e-2; // relative RMS of one layer

// A layer and the inputs of one call. Activations have `pictures` rows, which the rows of the call read.
struct Case {
    ConvShape shape;
    size_t rows, pictures;
    bool noisy;
    float clamp;
    std::vector<float> weight, x, style, scale, noise, bias;
    std::vector<uint32_t> source;
    std::vector<reference::Values> expected; // of every row

    Case(Random &random, const ConvShape &of, size_t row_count)
        : shape(of), rows(row_count), pictures(random.whole(1, rows)), noisy(random.whole(0, 1) == 1),
          clamp(random.whole(0, 1) ? 0.75f : std::numeric_limits<float>::infinity()),
          weight(random.normal(of.outputs * of.inputs * 9)),
          x(random.normal(pictures * of.inputs * of.height * of.width)),
          style(random.normal(rows * of.inputs, 1, 0.5f)),
          scale(random.normal(rows * of.outputs, 0.5f / std::sqrt(float(of.inputs)), 0.05f)),
          noise(random.normal(of.out_height() * of.out_width(), 0, 0.3f)), bias(random.normal(of.outputs, 0, 0.3f)),
          source(random.sources(rows, pictures)) {
        for (size_t row = 0; row < rows; ++row) expected.push_back(expected_of(row));
    }

    size_t pixels() const { return shape.height * shape.width; }
    size_t out_pixels() const { return shape.out_height() * shape.out_width(); }
    size_t out_floats() const { return padded(shape.outputs) * out_pixels(); }

    // The outputs of rows first to end.
    std::vector<float> run(Pool &pool, const Convolution &layer, size_t first, size_t end) const {
        Guarded blocked(pictures * padded(shape.inputs) * pixels());
        for (size_t p = 0; p < pictures; ++p) {
            const auto from = x.begin() + ptrdiff_t(p * shape.inputs * pixels());
            to_blocks({from, from + ptrdiff_t(shape.inputs * pixels())}, shape.inputs, pixels(),
                      blocked.get() + p * padded(shape.inputs) * pixels());
        }
        Guarded styles(to_stride(style, shape.inputs)), scales(to_stride(scale, shape.outputs));
        Guarded biases(to_stride(bias, shape.outputs)), noises(noise), y((end - first) * out_floats());
        ConvCall call;
        call.rows = end - first;
        call.x = blocked.get(), call.source = source.data() + first;
        call.style_stride = padded(shape.inputs), call.scale_stride = padded(shape.outputs);
        call.style = styles.get() + first * call.style_stride, call.scale = scales.get() + first * call.scale_stride;
        call.noise = noisy ? noises.get() : nullptr;
        call.bias = biases.get();
        call.clamp = clamp;
        call.y = y.get();
        layer.run(pool, call);
        return y.values();
    }

    // The bytes of the weights behind one other byte, [O][I][3][3] or [I][O][3][3].
    std::vector<char> weight_bytes(bool inputs_first) const {
        std::vector<char> bytes(1 + weight.size() * sizeof(float));
        for (size_t o = 0; o < shape.outputs; ++o)
            for (size_t i = 0; i < shape.inputs; ++i) {
                const size_t to = inputs_first ? i * shape.outputs + o : o * shape.inputs + i;
                std::memcpy(&bytes[1 + to * 9 * sizeof(float)], &weight[(o * shape.inputs + i) * 9], 9 * sizeof(float));
            }
        return bytes;
    }

    reference::Values expected_of(size_t row) const {
        return reference::convolution(
            shape, weight, as_double(&x[source[row] * shape.inputs * pixels()], shape.inputs * pixels()),
            as_double(&style[row * shape.inputs], shape.inputs), as_double(&scale[row * shape.outputs], shape.outputs),
            noisy ? as_double(noise.data(), noise.size()) : reference::Values(), as_double(bias.data(), bias.size()),
            0.2f, clamp);
    }
};

void test_case(const Case &of, Precision precision) {
    Pool pool(2);
    const auto layer = make_convolution(pool, of.shape, {of.weight.data()}, precision);
    CHECK(layer->bytes() >= of.weight.size() * (precision == Precision::FLOAT32 ? 4 : 2));
    const std::vector<float> y = of.run(pool, *layer, 0, of.rows);
    for (size_t row = 0; row < of.rows; ++row) {
        const float *of_row = &y[row * of.out_floats()];
        const std::vector<float> values = from_blocks(of_row, of.shape.outputs, of.out_pixels());
        const double error = relative_rms(values.data(), of.expected[row]);
        const double tolerance = precision == Precision::FLOAT32 ? TOLERANCE : TOLERANCE_BFLOAT16;
        if (!(error <= tolerance))
            std::fprintf(stderr, "%zu to %zu channels, %zu x %zu%s, row %zu of %zu: %g\n", of.shape.inputs,
                         of.shape.outputs, of.shape.height, of.shape.width, of.shape.up ? ", up" : "", row, of.rows,
                         error);
        CHECK(error <= tolerance);
    }
    for (const size_t threads : {1, 3}) { // the same bits, whatever the threads and the other rows of the call
        Pool other(threads);
        CHECK(same_bits(of.run(other, *layer, 0, of.rows), y));
        const bool inputs_first = threads == 1; // packed by other threads, from bytes without alignment
        const std::vector<char> bytes = of.weight_bytes(inputs_first);
        const auto same = make_convolution(other, of.shape, {&bytes[1], inputs_first}, precision);
        const size_t row = of.rows - 1;
        const std::vector<float> last(y.begin() + ptrdiff_t(row * of.out_floats()), y.end());
        CHECK(same_bits(of.run(other, *same, row, row + 1), last));
    }
}

std::vector<Case> cases(unsigned seed) {
    Random random(seed);
    std::vector<Case> cases;
    for (const bool up : {false, true}) {
        for (const size_t side : {4, 8, 16}) // those of generators
            cases.push_back(Case(random, {32, 48, side, side, up}, 3));
        for (size_t rows = 1; rows <= 9; rows += SANITIZED ? 4 : 1)
            cases.push_back(
                Case(random, {random.whole(1, 40), random.whole(1, 70), random.whole(1, 14), random.whole(1, 14), up},
                     rows));
    }
    cases.push_back(Case(random, {20, 40, 37, 41, false}, 1)); // more than one chunk of tiles
    cases.push_back(Case(random, {20, 40, 19, 21, true}, 2));
    return cases;
}

void test_refusal(bool up) {
    Pool pool(1);
    const std::vector<float> weight(9);
    bool refused = false;
    try {
        make_convolution(pool, {1, 1, 4, 4, up}, {weight.data()}, Precision::BFLOAT16);
    } catch (const std::invalid_argument &) {
        refused = true;
    }
    CHECK(refused);
}

} // namespace

int main(int count, char **arguments) {
    const unsigned seed = count > 1 ? unsigned(std::atoi(arguments[1])) : 1;
    const std::vector<Case> all = cases(seed);
    for_each_target([&all] {
        for (const Case &of : all) test_case(of, Precision::FLOAT32);
        if (has_bfloat16())
            for (const Case &of : all) test_case(of, Precision::BFLOAT16);
        else
            for (const bool up : {false, true}) test_refusal(up);
    });
}
