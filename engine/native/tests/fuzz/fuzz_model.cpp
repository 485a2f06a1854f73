// The model file: any bytes are either refused or opened; an opened model describes itself and generates one image.
#include <sgi/sgi.h>

#include <cstdlib>
#include <cstring>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sgi_options options = sgi_options_default();
    options.threads = 1;
    const uint8_t last = size ? data[size - 1] : uint8_t{0};
    if (last & 1) options.types = "depth"; // removes nodes from the graph
    // With a backend that is not built in, a run ends after our own parsing, hundreds of times faster than with a
    // session.
    if (last & 6) options.backend = "openvino";
    sgi_engine *engine = nullptr;
    const sgi_status status = sgi_open_memory(data, size, &options, &engine);
    if (status != SGI_OK) {
        if (engine || !*sgi_last_error() || std::strchr(sgi_last_error(), '\n')) std::abort();
        return 0;
    }
    sgi_model_info info{};
    info.size = sizeof info;
    if (sgi_info(engine, &info) != SGI_OK || !info.type_count) std::abort();
    for (size_t i = 0; i < info.type_count; ++i) {
        const sgi_type &type = info.types[i];
        [[maybe_unused]] static volatile uint8_t read; // so that AddressSanitizer checks every colour
        for (uint32_t k = 0; k < type.class_count; ++k) {
            if (!type.classes[k] || std::strlen(type.classes[k]) > size) std::abort();
            for (uint32_t c = 0; c < 3; ++c) read = type.colours[3 * k + c];
        }
    }
    if (info.resolution <= 64) {
        const sgi_type &type = info.types[0];
        std::vector<float> values(size_t{type.channels} * info.resolution * info.resolution);
        const uint32_t seed = 0, label = 0;
        const std::vector<float> w(info.w_dim);
        const bool takes_z = std::strcmp(info.input, "z") == 0;
        sgi_request request{};
        request.size = sizeof request;
        request.count = 1;
        request.seeds = takes_z ? &seed : nullptr;
        request.w = takes_z ? nullptr : w.data();
        request.classes = takes_z && info.c_dim ? &label : nullptr;
        const sgi_output output{type.name, values.data(), values.size() * sizeof(float)};
        sgi_generate(engine, &request, &output, 1);
    }
    sgi_close(engine);
    return 0;
}
