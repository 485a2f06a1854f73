/* sgi-engine: images and intrinsic maps out of an exported model, in C.
 *
 *     #include <sgi/sgi.h>
 *     #include <stdio.h>
 *     int main(void) {
 *         static float depth[64 * 64]; // [1, 1, 64, 64], 0 near, 1 far
 *         uint32_t seed = 42;
 *         sgi_engine *engine = NULL;
 *         sgi_request request = {sizeof request, 1, &seed, NULL, NULL, NULL};
 *         sgi_output output = {"depth", depth, sizeof depth};
 *         int failed = sgi_open("rooms.onnx", NULL, &engine) || sgi_generate(engine, &request, &output, 1);
 *         puts(failed ? sgi_last_error() : "done");
 *         sgi_close(engine);
 *         return failed;
 *     }
 *
 * Threads: any number of threads may use one engine at the same time. sgi_close is the exception: it must come after
 * every other call has returned. The text of sgi_last_error belongs to the calling thread.
 *
 * Ownership: what you pass in stays yours and is not kept after the call, model bytes and option strings included.
 * Outputs are written into your buffers. Strings and arrays that sgi_info gives belong to the engine and live until
 * sgi_close. Nothing else needs freeing.
 *
 * Failure: every sgi_status other than SGI_OK leaves a line in sgi_last_error that names the argument or file and the
 * remedy. Output buffers may then be partly written. No call prints, exits, throws, or falls back to another device.
 */
#ifndef SGI_SGI_H
#define SGI_SGI_H

#include <stddef.h>
#include <stdint.h>

#if defined(SGI_STATIC)
#define SGI_API
#else
#define SGI_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sgi_engine sgi_engine;

typedef enum sgi_status {
    SGI_OK = 0,
    SGI_ERROR_ARGUMENT = 1, /* a value that the call or the model cannot take */
    SGI_ERROR_MODEL = 2,    /* a file that is missing, cut short, or no exported model */
    SGI_ERROR_BACKEND = 3,  /* a runtime or device that is not there, or that refuses the model */
    SGI_ERROR_RUNTIME = 4,  /* the runtime failed while generating */
    SGI_ERROR_MEMORY = 5
} sgi_status;

/* How to open a model. Start from sgi_options_default(); zero and NULL always mean the default. */
typedef struct sgi_options {
    size_t size;         /* sizeof(sgi_options): tells the library which fields your header has */
    const char *backend; /* of an .onnx "onnxruntime" (default), or "openvino" where the library was built with it; of
                            an .engine or .plan "tensorrt" (default), likewise */
    const char *device;  /* of an .onnx "cpu" (default) or "cuda"; an engine runs on "cuda" */
    const char *types;   /* outputs to load, "image,depth"; default all. Others are cut away and cost nothing; of an
                            engine they are computed and not copied */
    const char *runtime; /* path of libonnxruntime, of libnvinfer or libtensorrt_rtx for an engine, or of a folder with
                            it. Default: $SGI_ORT_LIB or $SGI_TENSORRT_LIB, then the system's library, then the package
                            of a Python environment */
    uint32_t threads;    /* CPU threads that one image may use; default all cores */
    uint32_t batch;      /* most images in one pass, which bounds memory; default 8. An engine's own limits hold too */
    const char *precision; /* "bf16", with "openvino": faster on CPUs that have it, and good for 8-bit pictures. Default
                              that of the model */
} sgi_options;

/* One type of map that a model makes. */
typedef struct sgi_type {
    const char *name;    /* "image", "depth", "normal", "albedo", "shading" */
    uint32_t channels;   /* 1 or 3 */
    float low, high;     /* range of the values */
    const char *meaning; /* units, axes, colour space, in English */
} sgi_type;

/* What a model says of itself. Set size before the call. */
typedef struct sgi_model_info {
    size_t size; /* sizeof(sgi_model_info) */
    uint32_t resolution, z_dim, c_dim;
    float psi; /* truncation used when a request names none */
    const char *backend, *device;
    const char *runtime; /* library and version that run the model */
    const char *generator_sha256;
    const char *description; /* everything, as the JSON that the file holds */
    const sgi_type *types;   /* [type_count], the loaded ones in the model's order */
    size_t type_count;
} sgi_model_info;

/* What to generate. Exactly one of seeds and z. */
typedef struct sgi_request {
    size_t size;             /* sizeof(sgi_request) */
    size_t count;            /* N, images to make; any number from 1 */
    const uint32_t *seeds;   /* [N]; the latents of numpy.random.RandomState(seed).randn(1, z_dim), bit for bit */
    const float *z;          /* [N, z_dim], standard normal */
    const uint32_t *classes; /* [N], each below c_dim, if and only if c_dim > 0 */
    const float *psi;        /* truncation of this call, NULL for the model's own */
} sgi_request;

/* Where one type goes: [N, channels, resolution, resolution] float32, values within sgi_type's range. */
typedef struct sgi_output {
    const char *type;
    float *data;
    size_t bytes; /* of the buffer, at least N * channels * resolution^2 * 4 */
} sgi_output;

/* The default options, size included. */
SGI_API sgi_options sgi_options_default(void);

/* Open a model file, an .onnx, or an .engine or .plan that has its .json beside it; NULL options are the defaults. On
 * failure *engine is NULL. */
SGI_API sgi_status sgi_open(const char *path, const sgi_options *options, sgi_engine **engine);

/* Open a model from the bytes of an .onnx. */
SGI_API sgi_status sgi_open_memory(const void *model, size_t bytes, const sgi_options *options, sgi_engine **engine);

SGI_API sgi_status sgi_info(const sgi_engine *engine, sgi_model_info *info);

/* Generate maps: output_count entries of outputs, each of another type. */
SGI_API sgi_status sgi_generate(sgi_engine *engine, const sgi_request *request, const sgi_output *outputs,
                                size_t output_count);

/* Free an engine; NULL is allowed. */
SGI_API void sgi_close(sgi_engine *engine);

/* Why the last failing call of this thread failed, one line; "" if none has. Valid until its next failing call. */
SGI_API const char *sgi_last_error(void);

/* z of one seed as `sgi_generate` uses it: z_dim doubles, NumPy's own. */
SGI_API sgi_status sgi_latent(uint32_t seed, double *z, size_t z_dim);

/* Version of the library, "0.1.0". */
SGI_API const char *sgi_version(void);

#ifdef __cplusplus
}
#endif

#endif
