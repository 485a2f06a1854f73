// The C interface: sequences of calls with arguments from the input, on existing and missing engines.
#include <sgi/sgi.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

class Choices {
  public:
    Choices(const uint8_t *data, size_t size) : data_(data), size_(size) {}
    bool left() const { return size_ > 0; }
    template <class T> T take() {
        T value{};
        const size_t size = std::min(size_, sizeof value);
        std::memcpy(&value, data_, size);
        data_ += size;
        size_ -= size;
        return value;
    }
    template <class T> T one_of(std::initializer_list<T> options) {
        return options.begin()[take<uint8_t>() % options.size()];
    }

  private:
    const uint8_t *data_;
    size_t size_;
};

const char *name(Choices &choices) {
    return choices.one_of<const char *>({nullptr, "", "image", "depth", "image,depth", "depth,", ",", "cpu", "cuda",
                                         "onnxruntime", "openvino", "/tmp", "normal"});
}

void open(Choices &choices, sgi_engine *&engine) {
    sgi_options options = sgi_options_default();
    options.size = choices.one_of<size_t>({sizeof options, sizeof options, sizeof options, 0, 7, 8, 20});
    options.types = name(choices);
    options.backend = choices.one_of<const char *>({nullptr, "onnxruntime", "openvino", "x"});
    options.device = choices.one_of<const char *>({nullptr, "cpu", "cuda", "x"});
    options.runtime = choices.one_of<const char *>({nullptr, nullptr, nullptr, "/tmp", "/dev/null"});
    options.threads = choices.one_of<uint32_t>({1, 1, 1, 2000000000});
    options.batch = choices.one_of<uint32_t>({0, 1, 3, 0xffffffff});
    sgi_engine *opened = nullptr;
    const char *path = choices.one_of<const char *>(
        {SGI_TEST_DATA "/tiny.onnx", SGI_TEST_DATA "/tiny_ws.onnx", SGI_TEST_DATA "/tiny.f32", "", nullptr});
    const sgi_status status = sgi_open(path, choices.take<uint8_t>() & 1 ? &options : nullptr, &opened);
    if ((status == SGI_OK) != (opened != nullptr)) std::abort();
    if (opened) {
        sgi_close(engine);
        engine = opened;
    }
}

void generate(Choices &choices, sgi_engine *engine) {
    constexpr size_t ROOM = 4 * 3 * 16 * 16;
    std::vector<float> first(ROOM), second(ROOM), latents(4 * 6 * 12);
    std::vector<uint32_t> seeds(4), classes(4);
    for (uint32_t &seed : seeds) seed = choices.take<uint32_t>();
    for (float &value : latents) value = choices.take<float>();
    const float psi = choices.take<float>();
    sgi_request request{};
    request.size = choices.one_of<size_t>({sizeof request, sizeof request, sizeof request, 0, 7, 16, 24, 56});
    request.count = choices.one_of<size_t>({1, 2, 3, 4, 0, SIZE_MAX, SIZE_MAX / 768});
    const uint8_t parts = choices.take<uint8_t>();
    // A count larger than the arrays is allowed only if the buffers are too small, which is checked before reading.
    request.seeds = parts & 1 ? seeds.data() : nullptr;
    request.z = parts & 2 ? latents.data() : nullptr;
    request.classes = parts & 4 ? classes.data() : nullptr;
    request.psi = parts & 8 ? &psi : nullptr;
    request.labels = parts & 64 ? latents.data() : nullptr;
    request.w = parts & 128 ? latents.data() : nullptr;
    request.ws = choices.one_of<const float *>({nullptr, nullptr, latents.data()});
    const sgi_output outputs[] = {
        {name(choices), parts & 16 ? nullptr : first.data(), choices.one_of<size_t>({ROOM * 4, 0, 1024, 3072, 4096})},
        {name(choices), second.data(), choices.one_of<size_t>({ROOM * 4, 0, 1024, 3072, 4096})},
    };
    const sgi_status status =
        sgi_generate(engine, &request, parts & 32 ? outputs : nullptr, choices.take<uint8_t>() % 3);
    if (status == SGI_OK && !engine) std::abort();
    if (status != SGI_OK && !*sgi_last_error()) std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Choices choices(data, size);
    sgi_options options = sgi_options_default();
    options.threads = 1;
    // Opening takes a hundred times longer than generating, so one engine is used for many inputs.
    static sgi_engine *lasting = [&] {
        sgi_engine *engine = nullptr;
        if (sgi_open(SGI_TEST_DATA "/tiny.onnx", &options, &engine) != SGI_OK) std::abort();
        return engine;
    }();
    sgi_engine *engine = nullptr;
    while (choices.left()) {
        switch (choices.take<uint8_t>() % 64) {
        case 0: open(choices, engine); break; // rare, because it is the slowest call
        case 1:
        case 2:
        case 3: generate(choices, engine); break;
        case 4:
        case 5:
        case 6: {
            sgi_model_info info{};
            info.size = choices.one_of<size_t>({sizeof info, 0, 8, 20, 1000});
            std::vector<unsigned char> room(1000);
            std::memcpy(room.data(), &info, sizeof info);
            sgi_info(engine, reinterpret_cast<sgi_model_info *>(room.data()));
            break;
        }
        case 7:
        case 8:
        case 9: {
            double z[32];
            sgi_latent(choices.take<uint32_t>(), z, choices.take<uint8_t>() % 33);
            break;
        }
        default: generate(choices, lasting);
        }
    }
    sgi_close(engine);
    return 0;
}
