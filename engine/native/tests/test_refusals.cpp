// Status and message of every bad model, option and request.
#include "check.hpp"

#include <sgi/sgi.hpp>

#include <functional>
#include <limits>

namespace {

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
        sgi::Span<const unsigned char>(reinterpret_cast<const unsigned char *>(bytes.data()), bytes.size()));
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

    const auto edited = [&](const std::string &from, const std::string &to) {
        std::string bytes = model;
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
        refused(SGI_ERROR_MODEL, text.first, [&, &edit = edit] { open_bytes(edited(edit.first, edit.second)); });
}

void options() {
    const auto with = [](auto change) {
        return [change] {
            sgi::Options options;
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
    refused(SGI_ERROR_ARGUMENT, "sgi_options.threads", with([](auto &o) { o.threads = 1u << 20; }));
    refused(SGI_ERROR_ARGUMENT, "no precision 'int8'; choose bf16", with([](auto &o) { o.precision = "int8"; }));
    refused(SGI_ERROR_ARGUMENT, "onnxruntime does not have bf16; use openvino",
            with([](auto &o) { o.precision = "bf16"; }));
    refused(SGI_ERROR_BACKEND, "sgi_options.runtime cannot be loaded", with([](auto &o) { o.runtime = "/no/lib.so"; }));
    refused(SGI_ERROR_BACKEND, "no libonnxruntime.so in", with([](auto &o) { o.runtime = "/tmp"; }));

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
    sgi::Engine engine(MODEL);
    const uint32_t seed = 0;
    const float z[8] = {};
    std::vector<float> buffer(3 * 16 * 16);
    const sgi_output image{"image", buffer.data(), buffer.size() * sizeof(float)};
    const auto refuse = [&](const char *text, sgi_request request, std::vector<sgi_output> outputs) {
        refused(SGI_ERROR_ARGUMENT, text, [&] {
            const sgi_status status = sgi_generate(engine.get(), &request, outputs.data(), outputs.size());
            if (status) throw sgi::Error(status, sgi_last_error());
        });
    };
    const size_t size = sizeof(sgi_request);
    const float nan = std::numeric_limits<float>::quiet_NaN();
    refuse("count is 0", {size, 0, &seed, nullptr, nullptr, nullptr, nullptr}, {image});
    refuse("either seeds or z", {size, 1, nullptr, nullptr, nullptr, nullptr, nullptr}, {image});
    refuse("either seeds or z", {size, 1, &seed, z, nullptr, nullptr, nullptr}, {image});
    refuse("psi is not a number", {size, 1, &seed, nullptr, nullptr, &nan, nullptr}, {image});
    refuse("has no classes", {size, 1, &seed, nullptr, &seed, nullptr, nullptr}, {image});
    refuse("sgi_request.labels: the model has no classes", {size, 1, &seed, nullptr, nullptr, nullptr, z}, {image});
    refuse("size is not set", {0, 1, &seed, nullptr, nullptr, nullptr, nullptr}, {image});
    const sgi_request good{size, 1, &seed, nullptr, nullptr, nullptr, nullptr};
    refuse("is named twice", good, {image, image});
    refuse("'normal' is not loaded", good, {{"normal", buffer.data(), 4}});
    refuse("buffer for image has 4 bytes", good, {{"image", buffer.data(), 4}});
    refuse("must not be NULL", good, {{"image", nullptr, 4}});
    refuse("must not be NULL", good, {{nullptr, buffer.data(), 4}});
    const size_t most = std::numeric_limits<size_t>::max();
    refuse("buffer for image", {size, most, &seed, nullptr, nullptr, nullptr, nullptr}, {image});
    CHECK(sgi_generate(engine.get(), &good, &image, 0) == SGI_ERROR_ARGUMENT);
    CHECK(sgi_generate(nullptr, &good, &image, 1) == SGI_ERROR_ARGUMENT);
    CHECK(sgi_info(engine.get(), nullptr) == SGI_ERROR_ARGUMENT);
    refused(SGI_ERROR_ARGUMENT, "no map of type normal", [&] { engine.generate({1})["normal"]; });

    sgi::Engine moved(std::move(engine));
    refused(SGI_ERROR_ARGUMENT, "engine", [&] { engine.info(); });
}

} // namespace

int main() {
    models();
    options();
    requests();
    return 0;
}
