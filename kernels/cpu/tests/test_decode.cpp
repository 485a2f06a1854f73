// Values of raw pictures against their definition, for every decoding, random sizes, threads and targets.
#include "cases.hpp"
#include "decode.hpp"
#include "reference.hpp"

using namespace sgi::cpu;

namespace {

constexpr double TOLERANCE = 1e-6; // of the range

std::vector<float> run(size_t threads, const Decoder &decoder, const std::vector<float> &raw, size_t rows,
                       size_t raw_channels) {
    const size_t pixels = raw.size() / rows / raw_channels, row = decoder.value_channels() * pixels;
    Guarded values(rows * row);
    Pool pool(threads);
    DecodeCall call;
    call.rows = rows, call.pixels = pixels;
    call.raw = raw.data(), call.raw_stride = raw_channels * pixels, call.raw_channels = raw_channels;
    call.values = values.get(), call.values_stride = row;
    decode(pool, decoder, call);
    return values.values();
}

void test_case(const Decoder &decoder, const std::vector<float> &raw, size_t rows, size_t raw_channels) {
    const std::vector<float> values = run(2, decoder, raw, rows, raw_channels);
    const size_t row = values.size() / rows, raw_row = raw.size() / rows;
    for (size_t r = 0; r < rows; ++r) {
        const reference::Values of = as_double(&raw[r * raw_row], raw_row);
        CHECK(largest_difference(&values[r * row], reference::decode(decoder, of, raw_channels)) <=
              TOLERANCE * (decoder.high - decoder.low));
    }
    for (const size_t threads : {1, 3}) CHECK(same_bits(run(threads, decoder, raw, rows, raw_channels), values));
}

Decoder decoder_of(Decoding decoding, size_t channels, float low = 0, float high = 1) {
    Decoder decoder;
    decoder.decoding = decoding, decoder.channels = channels, decoder.low = low, decoder.high = high;
    return decoder;
}

Decoder palette_of(std::vector<float> colours) {
    Decoder decoder = decoder_of(Decoding::PALETTE, 3);
    for (size_t k = 0; k < colours.size(); k += 3)
        decoder.bias.push_back(
            -0.5f * (colours[k] * colours[k] + colours[k + 1] * colours[k + 1] + colours[k + 2] * colours[k + 2]));
    decoder.colours = std::move(colours);
    return decoder;
}

void test_decodings() {
    Random random(5);
    for (const size_t pixels : {1, 16, 77, 5000}) {
        const auto raw = [&](size_t channels) { return random.normal(2 * channels * pixels, 0, 0.8f); };
        test_case(decoder_of(Decoding::IDENTITY, 4), raw(4), 2, 4);
        test_case(decoder_of(Decoding::IDENTITY, 3, -2, 5), raw(3), 2, 3);
        test_case(decoder_of(Decoding::INVERSE, 1), raw(1), 2, 1);
        test_case(decoder_of(Decoding::INVERSE, 1), raw(3), 2, 3); // the code is the mean
        test_case(decoder_of(Decoding::UNIT, 3, -1, 1), raw(3), 2, 3);
        test_case(decoder_of(Decoding::LINEAR, 3), raw(3), 2, 3);
        test_case(decoder_of(Decoding::LINEAR, 1, 0, 1.5f), raw(1), 2, 1);
    }
    // Codes of 8 bits, at which a mistake in one of the two branches shows.
    std::vector<float> codes;
    for (int code = 0; code < 256; ++code) codes.push_back(float(code) / 127.5f - 1);
    test_case(decoder_of(Decoding::LINEAR, 1), codes, 1, 1);
    // A zero vector, whose length is kept above zero.
    test_case(decoder_of(Decoding::UNIT, 3, -1, 1), {0, 0, 0}, 1, 3);
}

void test_palette() {
    const Decoder decoder = palette_of({0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0.75f, 1});
    // Of equally near classes the first.
    CHECK(run(1, palette_of({0, 0, 0, 1, 1, 1}), {0, 0, 0}, 1, 3)[0] == 0);
    CHECK(run(1, palette_of({1, 0, 0, 0, 1, 0, 0, 1, 0}), {-1, 1, -1}, 1, 3)[0] == 1);
    Random random(6);
    // Colours with noise of less than half the distance of the nearest two.
    std::vector<float> raw(3 * 999);
    std::vector<size_t> classes(999);
    for (size_t p = 0; p < 999; ++p) {
        classes[p] = random.whole(0, 3);
        for (size_t c = 0; c < 3; ++c) {
            const float noise = float(random.whole(0, 200)) / 1000 - 0.1f;
            raw[c * 999 + p] = 2 * (decoder.colours[3 * classes[p] + c] + noise) - 1;
        }
    }
    const std::vector<float> values = run(2, decoder, raw, 1, 3);
    for (size_t p = 0; p < 999; ++p) CHECK(values[p] == float(classes[p]));
    test_case(decoder, raw, 1, 3);
}

} // namespace

int main() {
    for_each_target([] {
        test_decodings();
        test_palette();
    });
}
