// Status and message of every bad model, option and request. Usage: test_refusals BACKEND
#include "check.hpp"

#include <sgi/sgi.hpp>

#include <functional>
#include <limits>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

sgi::Options BACKEND;

void refused(sgi_status status, const std::string &text, const std::function<void()> &call) {
    try {
        call();
    } catch (const sgi::Error &error) {
        const std::string message = error.what();
        if (error.status() == status && message.find(text) != std::string::npos &&
            message.find('\n') == std::string::npos)
            return;
        std::fprintf(stderr, "expected status %d and '%s', got %d and '%s'\n", status, text.c_str(), error.status(),
                     message.c_str());
        std::exit(1);
    }
    std::fprintf(stderr, "not refused: %s\n", text.c_str());
    std::exit(1);
}

sgi::Engine open_bytes(const std::string &bytes) {
    return sgi::Engine(
        sgi::Span<const unsigned char>(reinterpret_cast<const unsigned char *>(bytes.data()), bytes.size()), BACKEND);
}

void models() {
    const std::string model = read_bytes(MODEL);
    refused(SGI_ERROR_MODEL, "/nowhere.onnx: no such file", [] { sgi::Engine("/nowhere.onnx"); });
    refused(SGI_ERROR_MODEL, "/tmp: not a file", [] { sgi::Engine("/tmp"); });
    refused(SGI_ERROR_MODEL, "not an ONNX model", [] { open_bytes("hello"); });
    const std::string foreign = "\x08\x0a\x3a\x02\x12\x00"; // ir_version and a graph with an empty name
    refused(SGI_ERROR_MODEL, "without sgi-engine metadata", [&] { open_bytes({foreign.data(), 6}); });
    for (size_t length = 1; length < model.size(); length += 997)
        refused(SGI_ERROR_MODEL, "", [&] { open_bytes(model.substr(0, length)); });

    const auto edited = [](std::string bytes, const std::string &from, const std::string &to) {
        const size_t at = bytes.rfind(from);
        CHECK(from.size() == to.size() && at != std::string::npos);
        return bytes.replace(at, from.size(), to);
    };
    const std::pair<const char *, const char *> wrong[][2] = {
        {{"\"format\": 1", "\"format\": 2"}, {"another format", ""}},
        {{"\"format\": 1", "\"format\": x"}, {"not JSON", ""}},
        {{"\"resolution\": 16", "\"resolution\": 17"}, {"wrong at resolution", ""}},
        {{"\"resolution\": 16", "\"resolution\": 32"}, {"its image is not", ""}},
        {{"\"z_dim\": 8", "\"z_dim\": 9"}, {"its z is not", ""}},
        {{"\"z_dim\": 8", "\"z_dim\": 0"}, {"wrong at z_dim", ""}},
        {{"\"c_dim\": 0", "\"c_dim\": 3"}, {"its label is not", ""}},
        {{"\"channels\": 3", "\"channels\": 1"}, {"its image is not", ""}},
        {{"\"name\": \"depth\"", "\"name\": \"edges\""}, {"its edges is not", ""}},
        {{"\"name\": \"depth\"", "\"name\": \"dapth\""}, {"wrong at decoding", ""}},
        {{"\"name\": \"depth\"", "\"name\": \"image\""}, {"wrong at types", ""}},
        {{"\"psi\": 0.7", "\"psi\": nul"}, {"not JSON", ""}},
        {{"\"types\": ", "\"typos\": "}, {"wrong at types", ""}},
    };
    for (const auto &[edit, text] : wrong)
        refused(SGI_ERROR_MODEL, text.first, [&, &edit = edit] { open_bytes(edited(model, edit.first, edit.second)); });

    const std::string takes_ws = read_bytes(MODEL_OF_WS);
    const std::pair<const char *, const char *> wrong_of_ws[][2] = {
        {{"\"input\": \"w+\"", "\"input\": \"w\" "}, {"its w is not", ""}},
        {{"\"input\": \"w+\"", "\"input\": \"z\" "}, {"its z is not", ""}},
        {{"\"input\": \"w+\"", "\"input\": \"x+\""}, {"wrong at input", ""}},
        {{"\"w_dim\": 12", "\"w_dim\": 13"}, {"its ws is not", ""}},
        {{"\"w_dim\": 12", "\"w_dam\": 12"}, {"wrong at w_dim", ""}},
        {{"\"resolution\": 16", "\"resolution\": 32"}, {"its ws is not", ""}},
    };
    for (const auto &[edit, text] : wrong_of_ws)
        refused(SGI_ERROR_MODEL, text.first,
                [&, &edit = edit] { open_bytes(edited(takes_ws, edit.first, edit.second)); });
}

void options() {
    const auto with = [](auto change) {
        return [change] {
            sgi::Options options = BACKEND;
            change(options);
            sgi::Engine(MODEL, options);
        };
    };
    refused(SGI_ERROR_ARGUMENT, "no type 'normal'; the model has image, depth",
            with([](auto &o) { o.types = "normal"; }));
    refused(SGI_ERROR_ARGUMENT, "no type ''", with([](auto &o) { o.types = "depth,"; }));
    refused(SGI_ERROR_ARGUMENT, "no backend 'tpu'", with([](auto &o) { o.backend = "tpu"; }));
    refused(SGI_ERROR_ARGUMENT, "no device 'npu'", with([](auto &o) { o.device = "npu"; }));
    refused(SGI_ERROR_ARGUMENT, "sgi_options.batch", with([](auto &o) { o.batch = 1u << 20; }));
    refused(SGI_ERROR_ARGUMENT, "sgi_options.streams", with([](auto &o) { o.streams = 1u << 20; }));
    refused(SGI_ERROR_ARGUMENT, "sgi_options.threads", with([](auto &o) { o.threads = 1u << 20; }));
    refused(SGI_ERROR_ARGUMENT, "no precision 'int8'; choose bf16", with([](auto &o) { o.precision = "int8"; }));
    if (BACKEND.backend == "onnxruntime") {
        refused(SGI_ERROR_ARGUMENT, "onnxruntime does not have bf16; use cpu or openvino",
                with([](auto &o) { o.precision = "bf16"; }));
        refused(SGI_ERROR_BACKEND, "sgi_options.runtime cannot be loaded",
                with([](auto &o) { o.runtime = "/no/lib.so"; }));
        refused(SGI_ERROR_BACKEND, "no libonnxruntime.so in", with([](auto &o) { o.runtime = "/tmp"; }));
    } else {
        refused(SGI_ERROR_BACKEND, "cpu has no device cuda", with([](auto &o) { o.device = "cuda"; }));
    }

    struct Newer {
        sgi_options options;
        void *field;
    } newer{sgi_options_default(), nullptr};
    newer.options.size = sizeof newer;
    sgi_engine *engine = nullptr;
    CHECK(sgi_open(MODEL.c_str(), &newer.options, &engine) == SGI_OK);
    sgi_close(engine);
    newer.field = &newer;
    CHECK(sgi_open(MODEL.c_str(), &newer.options, &engine) == SGI_ERROR_ARGUMENT && !engine);
    CHECK(std::string(sgi_last_error()).find("newer version") != std::string::npos);
    newer.options.size = 0;
    CHECK(sgi_open(MODEL.c_str(), &newer.options, &engine) == SGI_ERROR_ARGUMENT);
    CHECK(std::string(sgi_last_error()).find("sgi_options.size is not set") != std::string::npos);
    CHECK(sgi_open(nullptr, nullptr, &engine) == SGI_ERROR_ARGUMENT);
    CHECK(sgi_open(MODEL.c_str(), nullptr, nullptr) == SGI_ERROR_ARGUMENT);
    CHECK(sgi_open_memory(nullptr, 0, nullptr, &engine) == SGI_ERROR_ARGUMENT);
}

void requests() {
    sgi::Engine engine(MODEL, BACKEND);
    const uint32_t seed = 0;
    const float z[8] = {};
    std::vector<float> buffer(3 * 16 * 16);
    const sgi_output image{"image", buffer.data(), buffer.size() * sizeof(float)};
    sgi_request good{};
    good.size = sizeof good;
    good.count = 1;
    good.seeds = &seed;
    const auto refuse = [&](const char *text, sgi_request request, std::vector<sgi_output> outputs) {
        refused(SGI_ERROR_ARGUMENT, text, [&] {
            const sgi_status status = sgi_generate(engine.get(), &request, outputs.data(), outputs.size());
            if (status) throw sgi::Error(status, sgi_last_error());
        });
    };
    const auto with = [&](auto change) {
        sgi_request request = good;
        change(request);
        return request;
    };
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const float broken[8] = {0, nan};
    const char *one = "sgi_request: give exactly one of seeds, z, w and ws";
    refuse("count is 0", with([](auto &r) { r.count = 0; }), {image});
    refuse(one, with([](auto &r) { r.seeds = nullptr; }), {image});
    refuse(one, with([&](auto &r) { r.z = z; }), {image});
    refuse(one, with([&](auto &r) { r.z = r.w = r.ws = z; }), {image});
    refuse("psi is not a number", with([&](auto &r) { r.psi = &nan; }), {image});
    refuse("sgi_request.classes: the model has no classes", with([&](auto &r) { r.classes = &seed; }), {image});
    refuse("sgi_request.labels: the model has no classes", with([&](auto &r) { r.labels = z; }), {image});
    refuse("size is not set", with([](auto &r) { r.size = 0; }), {image});
    refuse("sgi_request.z: row 0 has a value that is not finite", with([&](auto &r) {
               r.seeds = nullptr;
               r.z = broken;
           }),
           {image});
    refuse("is named twice", good, {image, image});
    refuse("'normal' is not loaded", good, {{"normal", buffer.data(), 4}});
    refuse("buffer for image has 4 bytes", good, {{"image", buffer.data(), 4}});
    refuse("must not be NULL", good, {{"image", nullptr, 4}});
    refuse("must not be NULL", good, {{nullptr, buffer.data(), 4}});
    const size_t most = std::numeric_limits<size_t>::max();
    refuse("buffer for image", with([&](auto &r) { r.count = most; }), {image});
    refuse("buffer for image", with([&](auto &r) {
               r.seeds = nullptr;
               r.z = z;
               r.count = most;
           }),
           {image});
    CHECK(sgi_generate(engine.get(), &good, &image, 0) == SGI_ERROR_ARGUMENT);
    CHECK(sgi_generate(nullptr, &good, &image, 1) == SGI_ERROR_ARGUMENT);
    CHECK(sgi_info(engine.get(), nullptr) == SGI_ERROR_ARGUMENT);
    refused(SGI_ERROR_ARGUMENT, "no map of type normal", [&] { engine.generate({1})["normal"]; });

    sgi::Engine moved(std::move(engine));
    refused(SGI_ERROR_ARGUMENT, "engine", [&] { engine.info(); });
}

void latents_after_the_mapping_network() {
    sgi::Engine takes_z(MODEL, BACKEND), takes_ws(MODEL_OF_WS, BACKEND);
    const std::vector<float> z(8), w(12), ws(6 * 12), part(5);
    const std::vector<uint32_t> seeds{1};
    const auto refuse = [](sgi::Engine &engine, const std::string &text, auto change) {
        refused(SGI_ERROR_ARGUMENT, text, [&] {
            sgi::Request request;
            change(request);
            engine.generate(request);
        });
    };
    const std::string after = ", which is after the mapping network and truncation; leave it NULL";
    refuse(takes_z, "sgi_request.w: the model takes z; make a model with `sgi-engine export --input w`",
           [&](auto &r) { r.w = w; });
    refuse(takes_z, "sgi_request.ws: the model takes z; make a model with `sgi-engine export --input w+`",
           [&](auto &r) { r.ws = ws; });
    refuse(takes_ws,
           "sgi_request.seeds: the model takes w+ and has no mapping network for seeds and z; give w or ws, or make a "
           "model with `sgi-engine export --input z`",
           [&](auto &r) { r.seeds = seeds; });
    refuse(takes_ws, "sgi_request.z: the model takes w+ and has no mapping network", [&](auto &r) { r.z = z; });
    refuse(takes_ws, "sgi_request.psi has no effect on ws" + after, [&](auto &r) {
        r.ws = ws;
        r.psi = 0.5f;
    });
    refuse(takes_ws, "sgi_request.classes has no effect on w" + after, [&](auto &r) {
        r.w = w;
        r.classes = seeds;
    });
    refuse(takes_ws, "sgi_request.labels has no effect on w" + after, [&](auto &r) {
        r.w = w;
        r.labels = z;
    });
    refuse(takes_ws, "exactly one", [&](auto &r) {
        r.w = w;
        r.ws = ws;
    });
    refuse(takes_ws, "w takes w_dim values for each image", [&](auto &r) { r.w = part; });
    refuse(takes_ws, "ws takes num_ws * w_dim values for each image", [&](auto &r) { r.ws = w; });
    std::vector<float> broken(2 * 6 * 12);
    broken[6 * 12 + 3] = std::numeric_limits<float>::infinity();
    refuse(takes_ws, "sgi_request.ws: row 1 has a value that is not finite", [&](auto &r) { r.ws = broken; });
    broken.resize(5 * 12);
    broken[50] = std::numeric_limits<float>::infinity();
    refuse(takes_ws, "sgi_request.w: row 4 has a value that is not finite", [&](auto &r) { r.w = broken; });
}

// A limit on memory leaves no room for the stacks of many threads.
void threads_that_cannot_be_started() {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    const pid_t child = fork();
    if (child == 0) {
        size_t pages = 0;
        std::ifstream("/proc/self/statm") >> pages;
        const rlim_t bytes = pages * static_cast<size_t>(sysconf(_SC_PAGESIZE)) + (rlim_t{100} << 20);
        const rlimit limit{bytes, bytes};
        CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
        BACKEND.threads = 1000;
        refused(SGI_ERROR_ARGUMENT, "of 999 threads could be started", [] { sgi::Engine(MODEL, BACKEND); });
        refused(SGI_ERROR_ARGUMENT, "sgi_options.threads: only ", [] { sgi::Engine(MODEL, BACKEND); });
        _exit(0);
    }
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
#endif
}

} // namespace

int main(int argc, char **argv) {
    CHECK(argc == 2);
    BACKEND.backend = argv[1];
    models();
    options();
    requests();
    latents_after_the_mapping_network();
    if (BACKEND.backend == "cpu") threads_that_cannot_be_started();
    return 0;
}
