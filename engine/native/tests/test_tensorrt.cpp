// Engines through the C interface, with stand-ins for TensorRT and for the driver: passes, threads, memory, refusals.
#include "check.hpp"
#include "fake_cuda.hpp"
#include "fake_tensorrt.hpp"

#include "../src/sha256.hpp"

#include <sgi/sgi.hpp>

#include <cmath>
#include <functional>
#include <thread>

#include <dlfcn.h>
#include <unistd.h>

namespace {

constexpr size_t Z = 8, PIXELS = 16 * 16;
const std::string FOLDER = "/tmp/sgi-test-tensorrt-" + std::to_string(getpid());
const std::string PATH = FOLDER + "/maps.engine";

FakeCuda &driver() {
    static FakeCuda *fake =
        reinterpret_cast<decltype(&fake_cuda)>(dlsym(dlopen("libcuda.so.1", RTLD_NOW), "fake_cuda"))();
    return *fake;
}

const std::string BUILDER = R"("module": "tensorrt", "version": "11.4.0.106", "gpu": "Fake GPU",
    "compute_capability": [9, 0], "targets": [], "batch": [1, 4, 8], "optimization_level": null,
    "engine_sha256": ")" + sgi::internal::sha256("engine") +
                            "\"";

std::string sidecar(const std::string &builder = BUILDER, const std::string &c_dim = "0") {
    return R"({"format": 1, "resolution": 16, "z_dim": 8, "c_dim": )" + c_dim +
           R"(, "psi": 0.5, "precision": "fp16", "generator": {"sha256": "abc"}, "types": [
        {"name": "image", "meaning": "", "channels": 3, "low": 0, "high": 1},
        {"name": "depth", "meaning": "", "channels": 1, "low": 0, "high": 1}], "builder": {)" +
           builder + "}}";
}

void write(const std::string &path, const std::string &text) { std::ofstream(path) << text; }

std::string replaced(std::string text, const std::string &from, const std::string &to) {
    const size_t at = text.find(from);
    CHECK(at != std::string::npos);
    return text.replace(at, from.size(), to);
}

void write_engine(const std::string &json = sidecar(), const std::string &bytes = "engine") {
    write(PATH, bytes);
    write(FOLDER + "/maps.json", json);
}

float mean(uint32_t seed) {
    double z[Z], sum = 0;
    CHECK(sgi_latent(seed, z, Z) == SGI_OK);
    for (const double value : z) sum += static_cast<float>(value);
    return static_cast<float>(sum / Z);
}

bool near(float a, float b) { return std::fabs(a - b) <= 1e-6f; }

std::vector<uint32_t> seeds(size_t count) {
    std::vector<uint32_t> seeds(count);
    for (size_t i = 0; i < count; ++i) seeds[i] = static_cast<uint32_t>(i * 7);
    return seeds;
}

void check_maps(sgi::Engine &engine, size_t count) {
    const std::vector<uint32_t> seed_values = seeds(count);
    const sgi::Maps maps = engine.generate(seed_values, 0.25f);
    for (size_t n = 0; n < count; ++n) {
        CHECK(near(maps["depth"](n, 0, 15, 15), 0.25f * mean(seed_values[n])));
        CHECK(near(maps["image"](n, 2, 0, 15), -0.25f * mean(seed_values[n])));
    }
}

void passes_of_any_size() {
    write_engine();
    sgi::Options five;
    five.batch = 5;
    sgi::Engine engine(PATH, five);
    for (const size_t count : {1, 3, 5, 8, 19}) check_maps(engine, count);
    CHECK(std::string(engine.info().backend) == "tensorrt" && std::string(engine.info().device) == "cuda");
    CHECK(std::string(engine.info().runtime) == "TensorRT 11.4.0.106 (libnvinfer.so.11) on Fake GPU");
    CHECK(std::string(engine.info().description) == sidecar());
    CHECK(near(engine.generate({9})["depth"](0, 0, 0, 0), 0.5f * mean(9)));
}

void batch_limits_of_an_engine() {
    write_engine(sidecar(replaced(BUILDER, "[1, 4, 8]", "[4, 4, 6]")));
    sgi::Engine engine(PATH);
    for (const size_t count : {1, 5, 13}) check_maps(engine, count);
}

void only_requested_types_are_copied() {
    write_engine();
    sgi::Options options;
    options.types = "depth";
    sgi::Engine engine(PATH, options);
    CHECK(engine.types().size() == 1);
    CHECK(near(engine.generate({3})["depth"](0, 0, 1, 1), 0.5f * mean(3)));
}

void classes() {
    write_engine(sidecar(replaced(BUILDER, sgi::internal::sha256("engine"), sgi::internal::sha256("classes")), "3"),
                 "classes");
    sgi::Engine engine(PATH);
    const uint32_t seed_values[] = {5, 6}, chosen[] = {2, 1};
    sgi::Request request;
    request.seeds = {seed_values, 2};
    request.classes = {chosen, 2};
    const sgi::Maps maps = engine.generate(request);
    for (size_t n = 0; n < 2; ++n)
        CHECK(near(maps["depth"](n, 0, 0, 0), 0.5f * mean(seed_values[n]) + static_cast<float>(chosen[n])));

    const float labels[] = {0, 0.5f, 0.25f, 1, 0, 0};
    request.classes = {};
    request.labels = {labels, 6};
    const sgi::Maps mixed = engine.generate(request);
    CHECK(near(mixed["depth"](0, 0, 0, 0), 0.5f * mean(5) + 1));
    CHECK(near(mixed["depth"](1, 0, 0, 0), 0.5f * mean(6)));
    const auto message = [&] {
        try {
            engine.generate(request);
        } catch (const sgi::Error &error) {
            return std::string(error.what());
        }
        return std::string();
    };
    request.classes = {chosen, 2};
    CHECK(message() == "sgi_request: give either classes or labels");
    request.classes = {};
    request.labels = {labels, 3};
    CHECK(message() == "labels takes c_dim values for each image");
    const float broken[] = {0, 0, 0, 0, NAN, 0};
    request.labels = {broken, 6};
    CHECK(message() == "sgi_request.labels: row 1 has a value that is not finite");
    request.labels = {};
    CHECK(message() == "sgi_request.classes: the model needs one for each image, 0 to 2");
}

void refused(sgi_status status, const std::string &text, const std::string &path = PATH,
             const sgi_options *options = nullptr) {
    sgi_engine *engine = nullptr;
    const sgi_status got = sgi_open(path.c_str(), options, &engine);
    const std::string message = sgi_last_error();
    if (got != status || engine || message.find(text) == std::string::npos || message.find('\n') != std::string::npos) {
        std::fprintf(stderr, "expected status %d and '%s', got %d and '%s'\n", status, text.c_str(), got,
                     message.c_str());
        std::exit(1);
    }
}

void engines_of_w_plus() {
    const std::string json =
        sidecar(replaced(BUILDER, sgi::internal::sha256("engine"), sgi::internal::sha256("w+")), "3");
    write_engine(replaced(json, "\"z_dim\": 8", "\"z_dim\": 8, \"input\": \"w+\", \"w_dim\": 8"), "w+");
    sgi::Options five; // more than one pass, the last one shorter
    five.batch = 5;
    sgi::Engine engine(PATH, five);
    CHECK(std::string(engine.info().input) == "w+" && engine.info().num_ws == 6);
    constexpr size_t COUNT = 12, ROW = 6 * Z;
    std::vector<float> ws(COUNT * ROW);
    for (size_t n = 0; n < COUNT; ++n) std::fill_n(&ws[n * ROW + 5 * Z], Z, static_cast<float>(n));
    sgi::Request request;
    request.ws = ws;
    const sgi::Maps maps = engine.generate(request);
    for (size_t n = 0; n < COUNT; ++n) CHECK(near(maps["depth"](n, 0, 3, 3), static_cast<float>(n)));

    write_engine(sidecar(replaced(BUILDER, sgi::internal::sha256("engine"), sgi::internal::sha256("w+"))), "w+");
    refused(SGI_ERROR_MODEL, "its z is not what its description gives");
}

// Returns the number of contexts that 16 threads used.
int threads_share_an_engine() {
    write_engine();
    driver().microseconds = 500;
    const int before = fake_tensorrt().requested;
    sgi::Engine engine(PATH);
    std::vector<std::thread> threads;
    for (size_t i = 0; i < 16; ++i)
        threads.emplace_back([&engine, i] {
            for (size_t n = 0; n < 6; ++n) check_maps(engine, 1 + (i + n) % 10);
        });
    for (std::thread &thread : threads) thread.join();
    driver().microseconds = 0;
    CHECK(fake_tensorrt().requested - before == 2);
    return fake_tensorrt().contexts;
}

void two_passes_run_at_a_time() { CHECK(threads_share_an_engine() == 2); }

void one_pass_runs_at_a_time_if_memory_is_short() {
    write_engine();
    fake_tensorrt().most = 1;
    CHECK(threads_share_an_engine() == 1);
    fake_tensorrt().most = 1 << 10;
    driver().capacity = 9 * (Z + 4 * PIXELS) * sizeof(float);
    CHECK(threads_share_an_engine() == 1);
    driver().capacity = size_t{1} << 30;
}

void engines_of_other_machines() {
    const std::string again =
        "; build it again here, with its --generator and --offset if it has its own: `sgi-engine export --format "
        "tensorrt --precision fp16 --batch-profile 1,4,8 --type image --type depth --out " +
        PATH + "`";
    const auto built = [](const std::string &from, const std::string &to) {
        write_engine(sidecar(replaced(BUILDER, from, to)));
    };
    built("Fake GPU", "NVIDIA L40S");
    refused(SGI_ERROR_BACKEND, PATH + ": built on NVIDIA L40S, and this is Fake GPU" + again);
    built("[9, 0]", "[8, 9]");
    refused(SGI_ERROR_BACKEND, "built on Fake GPU, and this is Fake GPU");
    built("[9, 0], \"targets\": []", "null, \"targets\": [\"SM80\", \"SM120\"]");
    refused(SGI_ERROR_BACKEND, PATH + ": built for SM80, SM120, and Fake GPU is SM90" + again);
    built("11.4.0.106", "10.13.3.9");
    refused(SGI_ERROR_BACKEND, PATH + ": built by tensorrt 10.13.3.9, and 11.4.0.106 is installed" + again);
    built("\"tensorrt\"", "\"tensorrt_rtx\"");
    refused(SGI_ERROR_BACKEND, "built by tensorrt_rtx, and this library runs engines of tensorrt");
    write_engine(sidecar(), "engime");
    refused(SGI_ERROR_MODEL, PATH + ": its contents differ from the checksum in its description");
    write_engine();
    fake_tensorrt().load_fails = true;
    refused(SGI_ERROR_BACKEND, PATH + ": tensorrt cannot load it (what TensorRT logged)" + again);
    fake_tensorrt().load_fails = false;
    driver().devices = 0;
    refused(SGI_ERROR_BACKEND,
            PATH + ": an engine runs on an NVIDIA GPU, and none with a driver is here; use an .onnx");
    driver().devices = 1;
}

void bad_sidecars() {
    const std::string unknown = "does not say how it was built; build it again with `sgi-engine export --format";
    for (const auto &[from, to] : {std::pair{"[1, 4, 8]", "[1, 4]"},
                                   {"[1, 4, 8]", "[4, 1, 8]"},
                                   {"[1, 4, 8]", "8"},
                                   {"\"module\"", "\"modul\""},
                                   {"[9, 0]", "[9]"},
                                   {"\"version\"", "\"v\""},
                                   {"\"engine_sha256\"", "\"e\""}}) {
        write_engine(sidecar(replaced(BUILDER, from, to)));
        refused(SGI_ERROR_MODEL, unknown);
    }
    write_engine(replaced(sidecar(), "\"builder\"", "\"other\""));
    refused(SGI_ERROR_MODEL, unknown);
    for (const char *text : {"", "{", "[1]"}) {
        write_engine(text);
        refused(SGI_ERROR_MODEL, "its description is not JSON");
    }
    write_engine(replaced(sidecar(), "\"resolution\": 16", "\"resolution\": 32"));
    refused(SGI_ERROR_MODEL, "its image is not what its description gives");
    std::remove((FOLDER + "/maps.json").c_str());
    refused(SGI_ERROR_MODEL, PATH + ": its description maps.json is not beside it; copy it too");
    refused(SGI_ERROR_MODEL, "no such file", FOLDER + "/other.plan");
}

void options() {
    write_engine();
    sgi_options changed = sgi_options_default();
    changed.backend = "onnxruntime";
    refused(SGI_ERROR_ARGUMENT, "sgi_options.backend: onnxruntime runs .onnx files", PATH, &changed);
    changed.backend = "tensorrt";
    refused(SGI_ERROR_ARGUMENT, "sgi_options.backend: tensorrt runs .engine and .plan files", MODEL, &changed);
    changed.device = "cpu";
    refused(SGI_ERROR_ARGUMENT, "sgi_options.device: an engine runs on cuda", PATH, &changed);
    refused(SGI_ERROR_BACKEND, "built without onnxruntime; build it with -D SGI_WITH_ORT=ON", MODEL);
}

void no_memory() {
    write_engine();
    driver().capacity = 100;
    refused(SGI_ERROR_MEMORY, PATH + ": the GPU has no memory for 8 rows; free some, set a smaller sgi_options.batch");
    CHECK(driver().blocks() == 0);
    driver().capacity = 5 * (Z + 4 * PIXELS) * sizeof(float);
    sgi::Options four;
    four.batch = 4;
    sgi::Engine engine(PATH, four);
    check_maps(engine, 9);
    driver().capacity = size_t{1} << 30;
    fake_tensorrt().most = 0;
    refused(SGI_ERROR_MEMORY, "the GPU has no memory for 8 rows");
    fake_tensorrt().most = 1 << 10;
}

void errors_while_generating() {
    write_engine();
    sgi::Engine engine(PATH);
    const auto fails = [&](const std::string &text) {
        try {
            engine.generate({1});
        } catch (const sgi::Error &error) {
            CHECK(error.status() == SGI_ERROR_RUNTIME && std::string(error.what()).find(text) != std::string::npos);
            return;
        }
        CHECK(!"it fails");
    };
    fake_tensorrt().failing = 1;
    fails("TensorRT could not enqueue the pass (what TensorRT logged)");
    check_maps(engine, 3);
    driver().fails = true;
    fails("CUDA: CUDA_ERROR_LAUNCH_FAILED");
    driver().fails = false;
    check_maps(engine, 3);
}

} // namespace

int main() {
    CHECK(std::system(("mkdir -p " + FOLDER).c_str()) == 0);
    for (const auto test : {passes_of_any_size, batch_limits_of_an_engine, only_requested_types_are_copied, classes,
                            engines_of_w_plus, two_passes_run_at_a_time, one_pass_runs_at_a_time_if_memory_is_short,
                            engines_of_other_machines, bad_sidecars, options, no_memory, errors_while_generating}) {
        test();
        CHECK(driver().blocks() == 0 && fake_tensorrt().contexts == 0 && fake_tensorrt().not_finite == 0);
    }
    CHECK(std::system(("rm -r " + FOLDER).c_str()) == 0);
    return 0;
}
