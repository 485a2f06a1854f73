/* The header in C: options, requests, types, buffers, error messages. */
#include <sgi/sgi.h>

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: failed: %s (%s)\n", __FILE__, __LINE__, #condition, sgi_last_error());             \
            return 1;                                                                                                  \
        }                                                                                                              \
    } while (0)

int main(void) {
    static float depth[2 * 16 * 16];
    const uint32_t seeds[] = {0, 4294967295u};
    sgi_engine *engine = NULL;
    sgi_options options = sgi_options_default();
    options.types = "depth";
    options.threads = 1;
    CHECK(sgi_open(SGI_TEST_DATA "/tiny.onnx", &options, &engine) == SGI_OK);

    sgi_model_info info = {.size = sizeof info};
    CHECK(sgi_info(engine, &info) == SGI_OK);
    CHECK(info.resolution == 16 && info.z_dim == 8 && info.c_dim == 0 && info.psi == 0.7f);
    CHECK(info.type_count == 1 && !strcmp(info.types[0].name, "depth") && info.types[0].channels == 1);
    CHECK(info.types[0].decoding == SGI_DECODING_INVERSE && info.types[0].png_bits == 16);
    CHECK(info.types[0].class_count == 0 && !info.types[0].classes && !info.types[0].colours);
    CHECK(strstr(info.description, info.generator_sha256));

    CHECK(!strcmp(info.input, "z") && info.w_dim == 0 && info.num_ws == 6);

    sgi_request request = {.size = sizeof request, .count = 2, .seeds = seeds};
    sgi_output output = {"depth", depth, sizeof depth};
    CHECK(sgi_generate(engine, &request, &output, 1) == SGI_OK);
    CHECK(memcmp(depth, depth + 16 * 16, sizeof depth / 2) != 0);

    /* The structs of a program that was compiled before they had w and ws. */
    request.size = offsetof(sgi_request, w);
    request.w = depth;
    CHECK(sgi_generate(engine, &request, &output, 1) == SGI_OK);
    info.input = NULL;
    info.size = offsetof(sgi_model_info, input);
    CHECK(sgi_info(engine, &info) == SGI_OK && info.type_count == 1 && !info.input);

    output.bytes -= 1;
    CHECK(sgi_generate(engine, &request, &output, 1) == SGI_ERROR_ARGUMENT);
    CHECK(strstr(sgi_last_error(), "buffer for depth"));
    sgi_close(engine);
    sgi_close(NULL);
    return strcmp(sgi_version(), "") == 0;
}
