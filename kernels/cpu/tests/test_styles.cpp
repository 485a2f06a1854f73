// The layers on vectors against their definition, for random sizes, rows, threads and targets.
#include "cases.hpp"
#include "reference.hpp"
#include "styles.hpp"

#include <array>

using namespace sgi::cpu;

namespace {

constexpr double TOLERANCE = 2e-6; // relative RMS

using Pair = std::array<std::vector<float>, 2>;

// Two layers on the same rows.
struct Case {
    size_t inputs, outputs[2], rows;
    std::vector<float> x, weight[2], energy[2], bias[2];
    std::vector<reference::Values> linear[2], demodulation[2]; // expected, of every row

    Case(Random &random, size_t input_count, size_t output_count, size_t row_count)
        : inputs(input_count), outputs{output_count, random.whole(1, 100)}, rows(row_count),
          x(random.normal(rows * inputs)) {
        for (size_t k = 0; k < 2; ++k) {
            weight[k] = random.normal(inputs * outputs[k], 0, 1 / std::sqrt(float(inputs)));
            energy[k] = random.normal(inputs * outputs[k], 1, 0.1f);
            bias[k] = random.normal(outputs[k]);
            // The second linear layer has no bias.
            const reference::Values biases =
                k == 0 ? as_double(bias[k].data(), outputs[k]) : reference::Values(outputs[k]);
            for (size_t row = 0; row < rows; ++row) {
                const reference::Values values = as_double(&x[row * inputs], inputs);
                linear[k].push_back(reference::linear(values, weight[k], biases, 0.2f));
                demodulation[k].push_back(reference::demodulation(values, energy[k], outputs[k], 1.5));
            }
        }
    }

    // Both layers' outputs of rows first to end.
    Pair run_linear(Pool &pool, const Matrix (&matrix)[2], size_t first, size_t end) const {
        const size_t strides[2] = {padded(outputs[0]), padded(outputs[1])};
        Guarded y0((end - first) * strides[0]), y1((end - first) * strides[1]);
        Guarded biases0(to_stride(bias[0], outputs[0]));
        LinearCall calls[2];
        for (LinearCall &call : calls)
            call.rows = end - first, call.x = &x[first * inputs], call.x_stride = inputs, call.slope = 0.2f;
        calls[0].matrix = &matrix[0], calls[0].bias = biases0.get(), calls[0].y = y0.get();
        calls[1].matrix = &matrix[1], calls[1].y = y1.get(); // without bias
        calls[0].y_stride = strides[0], calls[1].y_stride = strides[1];
        sgi::cpu::linear(pool, {calls[0], calls[1]});
        return {y0.values(), y1.values()};
    }

    Pair run_demodulation(Pool &pool, const Matrix (&matrix)[2], size_t first, size_t end) const {
        const size_t strides[2] = {padded(outputs[0]), padded(outputs[1])};
        Guarded y0((end - first) * strides[0]), y1((end - first) * strides[1]);
        DemodulationCall calls[2];
        for (DemodulationCall &call : calls)
            call.rows = end - first, call.style = &x[first * inputs], call.style_stride = inputs, call.gain = 1.5f;
        calls[0].energy = &matrix[0], calls[0].scale = y0.get(), calls[0].scale_stride = strides[0];
        calls[1].energy = &matrix[1], calls[1].scale = y1.get(), calls[1].scale_stride = strides[1];
        demodulate(pool, {calls[0], calls[1]});
        return {y0.values(), y1.values()};
    }
};

using Run = Pair (Case::*)(Pool &, const Matrix (&)[2], size_t, size_t) const;

void test_layers(const Case &of, const Matrix (&matrix)[2], Run run,
                 const std::vector<reference::Values> (&expected)[2]) {
    Pool pool(2);
    const Pair y = (of.*run)(pool, matrix, 0, of.rows);
    const auto row_of = [&](size_t k, size_t row) { return y[k].begin() + ptrdiff_t(row * padded(of.outputs[k])); };
    for (size_t k = 0; k < 2; ++k)
        for (size_t row = 0; row < of.rows; ++row) CHECK(relative_rms(&*row_of(k, row), expected[k][row]) <= TOLERANCE);
    for (const size_t threads : {1, 3}) {
        Pool other(threads);
        const Pair same = (of.*run)(other, matrix, 0, of.rows);
        for (size_t k = 0; k < 2; ++k) CHECK(same_bits(same[k], y[k]));
        for (size_t row = threads / 2; row < of.rows; row += 2) { // the same bits, whatever the other rows
            const Pair alone = (of.*run)(other, matrix, row, row + 1);
            for (size_t k = 0; k < 2; ++k) CHECK(same_bits(alone[k], {row_of(k, row), row_of(k, row + 1)}));
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
    test_layers(of, weights, &Case::run_linear, of.linear);
    test_layers(of, energies, &Case::run_demodulation, of.demodulation);
}

std::vector<Case> cases() {
    Random random(3);
    std::vector<Case> cases;
    for (size_t rows = 1; rows <= 9; rows += SANITIZED ? 4 : 1)
        cases.push_back(Case(random, random.whole(1, 80), random.whole(1, 100), rows));
    cases.push_back(Case(random, 512, 700, 26)); // enough for several threads, more rows than registers hold
    return cases;
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
    const std::vector<Case> all = cases();
    for_each_target([&all] {
        for (const Case &of : all) test_case(of);
    });
}
