// The layers on vectors against their definition, for random sizes, rows, threads and targets.
#include "cases.hpp"
#include "reference.hpp"
#include "styles.hpp"

using namespace sgi::cpu;

namespace {

constexpr double TOLERANCE = 2e-6; // relative RMS

// Two layers on the same rows.
struct Case {
    size_t inputs, outputs[2], rows;
    std::vector<float> x, weight[2], energy[2], bias[2];

    Case(Random &random, size_t input_count, size_t output_count, size_t row_count)
        : inputs(input_count), outputs{output_count, random.whole(1, 100)}, rows(row_count),
          x(random.normal(rows * inputs)) {
        for (size_t k = 0; k < 2; ++k) {
            weight[k] = random.normal(inputs * outputs[k], 0, 1 / std::sqrt(float(inputs)));
            energy[k] = random.normal(inputs * outputs[k], 1, 0.1f);
            bias[k] = random.normal(outputs[k]);
        }
    }

    std::vector<float> run_linear(Pool &pool, const Matrix (&matrix)[2], size_t k, size_t first, size_t end) const {
        const size_t strides[2] = {padded(outputs[0]), padded(outputs[1])};
        Guarded y0((end - first) * strides[0]), y1((end - first) * strides[1]);
        Guarded biases0(to_stride(bias[0], outputs[0]));
        LinearCall calls[2];
        for (LinearCall &call : calls)
            call.rows = end - first, call.x = &x[first * inputs], call.x_stride = inputs, call.slope = 0.2f;
        calls[0].matrix = &matrix[0], calls[0].bias = biases0.get(), calls[0].y = y0.get();
        calls[1].matrix = &matrix[1], calls[1].y = y1.get(); // without bias
        calls[0].y_stride = strides[0], calls[1].y_stride = strides[1];
        linear(pool, {calls[0], calls[1]});
        const std::vector<float> all[2] = {y0.values(), y1.values()};
        return all[k];
    }

    std::vector<float> run_demodulation(Pool &pool, const Matrix (&matrix)[2], size_t k, size_t first,
                                        size_t end) const {
        const size_t strides[2] = {padded(outputs[0]), padded(outputs[1])};
        Guarded y0((end - first) * strides[0]), y1((end - first) * strides[1]);
        DemodulationCall calls[2];
        for (DemodulationCall &call : calls)
            call.rows = end - first, call.style = &x[first * inputs], call.style_stride = inputs, call.gain = 1.5f;
        calls[0].energy = &matrix[0], calls[0].scale = y0.get(), calls[0].scale_stride = strides[0];
        calls[1].energy = &matrix[1], calls[1].scale = y1.get(), calls[1].scale_stride = strides[1];
        demodulate(pool, {calls[0], calls[1]});
        const std::vector<float> all[2] = {y0.values(), y1.values()};
        return all[k];
    }
};

using Run = std::vector<float> (Case::*)(Pool &, const Matrix (&)[2], size_t, size_t, size_t) const;

template <class Expected> void test_layers(const Case &of, const Matrix (&matrix)[2], Run run, Expected expected) {
    for (size_t k = 0; k < 2; ++k) {
        const size_t stride = padded(of.outputs[k]);
        Pool pool(2);
        const std::vector<float> y = (of.*run)(pool, matrix, k, 0, of.rows);
        for (size_t row = 0; row < of.rows; ++row) {
            const reference::Values x = as_double(&of.x[row * of.inputs], of.inputs);
            CHECK(relative_rms(&y[row * stride], expected(k, x)) <= TOLERANCE);
        }
        for (const size_t threads : {1, 3}) {
            Pool other(threads);
            CHECK(same_bits((of.*run)(other, matrix, k, 0, of.rows), y));
            for (size_t row = 0; row < of.rows; ++row) // the same bits, whatever the other rows
                CHECK(same_bits((of.*run)(other, matrix, k, row, row + 1),
                                {y.begin() + ptrdiff_t(row * stride), y.begin() + ptrdiff_t((row + 1) * stride)}));
        }
    }
}

void test_case(const Case &of) {
    // The second one is the end of a larger matrix, behind one other byte.
    const size_t before = 3, row = before + of.outputs[1];
    std::vector<char> bytes(1 + of.inputs * row * sizeof(float));
    for (size_t i = 0; i < of.inputs; ++i)
        std::memcpy(&bytes[1 + (i * row + before) * sizeof(float)], &of.weight[1][i * of.outputs[1]],
                    of.outputs[1] * sizeof(float));
    const Matrix weights[2] = {{of.inputs, of.outputs[0], of.weight[0].data()},
                               {of.inputs, of.outputs[1], &bytes[1 + before * sizeof(float)], row}};
    const Matrix energies[2] = {{of.inputs, of.outputs[0], of.energy[0].data()},
                                {of.inputs, of.outputs[1], of.energy[1].data()}};
    test_layers(of, weights, &Case::run_linear, [&](size_t k, const reference::Values &x) {
        const reference::Values bias = as_double(of.bias[k].data(), of.bias[k].size());
        return reference::linear(x, of.weight[k], k == 0 ? bias : reference::Values(bias.size()), 0.2f);
    });
    test_layers(of, energies, &Case::run_demodulation, [&](size_t k, const reference::Values &x) {
        return reference::demodulation(x, of.energy[k], of.outputs[k], 1.5);
    });
}

void test_sizes() {
    Random random(3);
    for (size_t rows = 1; rows <= 9; ++rows) test_case(Case(random, random.whole(1, 80), random.whole(1, 100), rows));
    test_case(Case(random, 512, 700, 26)); // enough for several threads, more rows than registers hold
}

void test_normalisation() {
    Random random(4);
    for (const size_t width : {1, 7, 512}) {
        Guarded x(random.normal(2 * width, 0, 3)), y(2 * width);
        normalise_second_moment(2, width, x.get(), width, y.get(), width);
        for (size_t row = 0; row < 2; ++row)
            CHECK(relative_rms(&y.values()[row * width],
                               reference::normalised(as_double(x.get() + row * width, width))) < 1e-7);
        const std::vector<float> apart = y.values();
        normalise_second_moment(2, width, x.get(), width, x.get(), width);
        CHECK(same_bits(x.values(), apart));
    }
    std::vector<float> zero(5);
    normalise_second_moment(1, 5, zero.data(), 5, zero.data(), 5);
    CHECK(same_bits(zero, std::vector<float>(5)));
}

} // namespace

int main() {
    test_normalisation();
    for_each_target(test_sizes);
}
