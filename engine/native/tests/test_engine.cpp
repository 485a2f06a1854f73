// Correct models and calls through the C++ wrapper. Usage: test_engine BACKEND
#include "check.hpp"

#include <sgi/sgi.hpp>

#include <cmath>
#include <cstring>

namespace {

sgi::Options BACKEND;

float difference(sgi::Span<const float> a, sgi::Span<const float> b) {
    CHECK(a.size() == b.size());
    float largest = 0;
    for (size_t i = 0; i < a.size(); ++i) {
        CHECK(std::isfinite(a[i]));
        largest = std::max(largest, std::fabs(a[i] - b[i]));
    }
    return largest;
}

std::vector<float> expected_values(const std::string &file) {
    const std::string bytes = read_bytes(std::string(SGI_TEST_DATA) + "/" + file);
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
}

void agrees_with_python() {
    sgi::Engine engine(MODEL, BACKEND);
    const sgi::Maps maps = engine.generate({0, 4294967295u}, 0.5f);
    const std::vector<float> expected = expected_values("tiny.f32");
    const size_t images = 2 * 3 * 16 * 16;
    CHECK(maps.size() == 2);
    CHECK(difference(maps["image"].values(), {expected.data(), images}) <= PARITY);
    CHECK(difference(maps["depth"].values(), {expected.data() + images, expected.size() - images}) <= PARITY);
    CHECK(maps["image"](1, 2, 15, 15) == maps["image"].values()[images - 1]);
    CHECK(maps["image"].image(1)[0] == maps["image"](1, 0, 0, 0));
}

void seeds_and_z_are_one() {
    sgi::Engine engine(MODEL, BACKEND);
    std::vector<double> latent(8);
    CHECK(sgi_latent(7, latent.data(), latent.size()) == SGI_OK);
    const std::vector<float> z(latent.begin(), latent.end());
    sgi::Request request;
    request.z = z;
    CHECK(difference(engine.generate(request)["image"].values(), engine.generate({7})["image"].values()) == 0);
}

// w+ of tiny_ws.f32: row i of image n is the latent of seed 6 n + i.
std::vector<float> rows_of_w(size_t count) {
    std::vector<float> rows;
    double row[12];
    for (uint32_t seed = 0; seed < count; ++seed) {
        CHECK(sgi_latent(seed, row, 12) == SGI_OK);
        rows.insert(rows.end(), row, row + 12);
    }
    return rows;
}

void w_plus_agrees_with_python() {
    sgi::Engine engine(MODEL_OF_WS, BACKEND);
    const sgi_model_info info = engine.info();
    CHECK(std::string(info.input) == "w+" && info.w_dim == 12 && info.num_ws == 6 && info.z_dim == 8);
    const std::vector<float> ws = rows_of_w(2 * 6), expected = expected_values("tiny_ws.f32");
    sgi::Request request;
    request.ws = ws;
    const sgi::Maps maps = engine.generate(request);
    const size_t images = 2 * 3 * 16 * 16;
    CHECK(difference(maps["image"].values(), {expected.data(), images}) <= PARITY);
    CHECK(difference(maps["depth"].values(), {expected.data() + images, expected.size() - images}) <= PARITY);
}

void one_w_is_used_for_every_row() {
    constexpr size_t COUNT = 5;
    const std::vector<float> w = rows_of_w(COUNT);
    std::vector<float> ws;
    for (size_t n = 0; n < COUNT; ++n)
        for (size_t i = 0; i < 6; ++i) ws.insert(ws.end(), &w[12 * n], &w[12 * n] + 12);
    sgi::Options two = BACKEND;
    two.batch = 2;
    sgi::Engine engine(MODEL_OF_WS, two);
    sgi::Request one, all;
    one.w = w;
    all.ws = ws;
    const sgi::Maps repeated = engine.generate(one), given = engine.generate(all);
    CHECK(repeated["depth"].count() == COUNT);
    CHECK(difference(repeated["image"].values(), given["image"].values()) == 0);
    CHECK(difference(given["image"].image(0), given["image"].image(4)) > 1e-3f);
}

void passes_make_no_difference() {
    std::vector<uint32_t> seeds(7);
    for (uint32_t i = 0; i < seeds.size(); ++i) seeds[i] = i * 1000;
    sgi::Options three = BACKEND;
    three.batch = 3;
    sgi::Engine whole(MODEL, BACKEND), cut(MODEL, three);
    const sgi::Maps a = whole.generate(seeds), b = cut.generate(seeds);
    for (const sgi::Map &map : a) CHECK(difference(map.values(), b[map.type()].values()) <= 1e-5f);
}

void psi_counts_in_each_call() {
    sgi::Engine engine(MODEL, BACKEND);
    const sgi::Maps own = engine.generate({3}), same = engine.generate({3}, 0.7f), other = engine.generate({3}, 0.1f);
    CHECK(difference(own["image"].values(), same["image"].values()) == 0);
    CHECK(difference(own["image"].values(), other["image"].values()) > 1e-3f);
}

void types_are_cut_from_the_model() {
    sgi::Options depth_only = BACKEND;
    depth_only.types = " depth";
    sgi::Engine all(MODEL, BACKEND), depth(MODEL, depth_only);
    CHECK(all.types().size() == 2);
    CHECK(depth.types().size() == 1);
    const sgi::Maps maps = depth.generate({5});
    CHECK(maps.size() == 1);
    CHECK(difference(maps["depth"].values(), all.generate({5})["depth"].values()) <= PARITY);
}

void buffers_are_filled_exactly() {
    sgi::Engine engine(MODEL, BACKEND);
    std::vector<float> buffer(3 * 16 * 16 + 2, -7.0f);
    sgi::Request request;
    const uint32_t seed = 9;
    request.seeds = {&seed, 1};
    engine.generate_into(request, {{"image", {buffer.data() + 1, buffer.size() - 2}}});
    CHECK(buffer.front() == -7.0f && buffer.back() == -7.0f);
    CHECK(difference({buffer.data() + 1, buffer.size() - 2}, engine.generate({9})["image"].values()) == 0);
}

// tiny.onnx is of an early version: its types have no decoding and no PNG bits, so those of the built-in types apply.
void types_of_early_files() {
    sgi::Engine engine(MODEL, BACKEND);
    const sgi_type &image = engine.types()[0], &depth = engine.types()[1];
    CHECK(image.decoding == SGI_DECODING_IDENTITY && image.png_bits == 8);
    CHECK(depth.decoding == SGI_DECODING_INVERSE && depth.png_bits == 16);
    CHECK(image.class_count == 0 && !image.classes && !image.colours && sgi::classes(depth).size() == 0);
}

void display_codes() {
    const auto code = [](sgi_decoding decoding, float low, float high, float value) {
        return sgi::display_code({"heat", 1, low, high, "", decoding, 8, 0, nullptr, nullptr}, value);
    };
    CHECK(code(SGI_DECODING_IDENTITY, 2, 6, 3) == 0.25f);
    CHECK(code(SGI_DECODING_INVERSE, -20, 60, 0) == 0.75f);
    CHECK(code(SGI_DECODING_INVERSE, -20, 60, 100) == 0);
    CHECK(code(SGI_DECODING_UNIT, -1, 1, 0) == 0.5f);
    CHECK(std::fabs(code(SGI_DECODING_LINEAR, 0, 1, 0.21404114f) - 0.5f) <= PARITY);
    CHECK(std::fabs(code(SGI_DECODING_LINEAR, 0, 1, 0.001f) - 0.01292f) <= PARITY);
    CHECK(code(SGI_DECODING_IDENTITY, 0, 1, NAN) == 0);
}

void the_runtime_is_named() {
    sgi::Options one = BACKEND;
    one.threads = 1;
    const std::string runtime = sgi::Engine(MODEL, one).info().runtime;
    if (BACKEND.backend == "cpu")
        CHECK(runtime.find("sgi-engine 0.") == 0 && runtime.find(", 1 thread)") + 11 == runtime.size());
    else CHECK(runtime.find("ONNX Runtime ") == 0);
}

void engines_move() {
    const std::string bytes = read_bytes(MODEL);
    sgi::Engine first(
        sgi::Span<const unsigned char>(reinterpret_cast<const unsigned char *>(bytes.data()), bytes.size()), BACKEND);
    sgi::Engine second(std::move(first));
    CHECK(second.info().resolution == 16);
    second = sgi::Engine(MODEL, BACKEND);
    CHECK(second.info().backend == BACKEND.backend);
    CHECK(second.generate({1}).size() == 2);
}

} // namespace

int main(int argc, char **argv) {
    CHECK(argc == 2);
    BACKEND.backend = argv[1];
    agrees_with_python();
    seeds_and_z_are_one();
    w_plus_agrees_with_python();
    one_w_is_used_for_every_row();
    passes_make_no_difference();
    psi_counts_in_each_call();
    types_are_cut_from_the_model();
    buffers_are_filled_exactly();
    types_of_early_files();
    display_codes();
    the_runtime_is_named();
    engines_move();
    return 0;
}
