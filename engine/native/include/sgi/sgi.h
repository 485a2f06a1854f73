/* sgi-engine: images and intrinsic maps from an exported model, in C.
 *
 *     #include <sgi/sgi.h>
 *     #include <stdio.h>
 *     int main(void) {
 *         static float depth[64 * 64]; // [1, 1, 64, 64], 0 near, 1 far
 *         uint32_t seed = 42;
 *         sgi_engine *engine = NULL;
 *         sgi_request request = {.size = sizeof request, .count = 1, .seeds = &seed};
 *         sgi_output output = {"depth", depth, sizeof depth};
 *         int failed = sgi_open("rooms.onnx", NULL, &engine) || sgi_generate(engine, &request, &output, 1);
 *         puts(failed ? sgi_last_error() : "done");
 *         sgi_close(engine);
 *         return failed;
 *     }
 *
 * Threads: any number of threads may use one engine at the same time. sgi_close is the exception: it must come after
 * every other call has returned. The text of sgi_last_error belongs to the calling thread. A process that is forked
 * while no call is running may use and close its copy of an engine with "cpu"; other runtimes do not allow that.
 *
 * Ownership: the caller owns all arguments; the library keeps no pointer to them after a call, including model bytes
 * and option strings. Outputs are written into buffers of the caller. Strings and arrays that sgi_info returns belong
 * to the engine and are valid until sgi_close. Nothing else needs to be freed.
 *
 * Errors: after every sgi_status other than SGI_OK, sgi_last_error returns a line that names the argument or file and
 * the remedy. Output buffers may then be partly written. No call prints, exits, throws, or falls back to another
 * device.
 *
 * Compatibility: the soname has the version's first two numbers (libsgi-engine.so.0.1), and the interface may change
 * with each 0.x. Within one soname, structs with a `size` field may gain fields at their end: the library reads and
 * writes only the first `size` bytes. sgi_type and sgi_output are elements of arrays and keep their size.
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
    SGI_ERROR_ARGUMENT = 1, /* a value that the call or the model does not accept */
    SGI_ERROR_MODEL = 2,    /* a file that is missing, truncated, or not an exported model */
    SGI_ERROR_BACKEND = 3,  /* a runtime or device that is missing, or that cannot load the model */
    SGI_ERROR_RUNTIME = 4,  /* the runtime failed while generating */
    SGI_ERROR_MEMORY = 5
} sgi_status;

/* Options of sgi_open. Start from sgi_options_default(); zero and NULL mean the default. */
typedef struct sgi_options {
    size_t size;           /* sizeof(sgi_options): which fields the caller's header has */
    const char *backend;   /* for an .onnx "cpu", "onnxruntime" or "openvino", for an .engine or .plan "tensorrt"; each
                              must be built into the library. Default for an .onnx: "cpu", which needs no other library,
                              and "onnxruntime" if cpu is not built in, if it cannot run the model
                              (sgi_model_info.fallback), or if `runtime` or another device is given */
    const char *device;    /* for an .onnx "cpu" (default) or, with "onnxruntime", "cuda"; an engine runs on "cuda" */
    const char *types;     /* outputs to load, such as "image,depth"; default all. Other outputs of an .onnx are removed
                              from the graph and cost nothing; those of an engine are computed and not copied */
    const char *runtime;   /* path of libonnxruntime, for an engine of libnvinfer or libtensorrt_rtx, or of its folder.
                              Default: $SGI_ORT_LIB or $SGI_TENSORRT_LIB, then the system's library, then the package of
                              a Python environment */
    uint32_t threads;      /* CPU threads for one pass; default all cores. "cpu" computes the same values with any
                              number, and by default uses no more than affinity, cgroup and OMP_NUM_THREADS allow */
    uint32_t batch;        /* largest number of images in one pass; bounds memory; default 8. An engine has a limit of
                              its own as well */
    const char *precision; /* "bf16", with "cpu" or "openvino": faster on CPUs that support it, accurate enough for
                              8-bit pictures. Default: that of the model */
    uint32_t streams; /* with "cpu", how many calls of sgi_generate on several threads compute at the same time, each
                         on its share of the threads and with memory of its own; others wait. Several are faster
                         than one where a call has few pixels to compute. Default 1 */
} sgi_options;

/* How the code u in [0, 1] that a generator's picture shows becomes a value. */
typedef enum sgi_decoding {
    SGI_DECODING_IDENTITY = 0, /* low + (high - low) * u */
    SGI_DECODING_INVERSE = 1,  /* low + (high - low) * (1 - u) */
    SGI_DECODING_UNIT = 2,     /* 2 * u - 1, scaled to length 1 over the three channels */
    SGI_DECODING_LINEAR = 3,   /* low + (high - low) * s, s the linear light of the sRGB code u */
    SGI_DECODING_PALETTE = 4   /* index of the class whose colour is nearest to u */
} sgi_decoding;

/* One type of map that a model computes. */
typedef struct sgi_type {
    const char *name;    /* such as "depth", or the name of a user-defined type */
    uint32_t channels;   /* 1 or 3; 4 for the image of a generator with pictures of four channels */
    float low, high;     /* range of the values */
    const char *meaning; /* units, axes, colour space, in English */
    sgi_decoding decoding;
    uint32_t png_bits;          /* bits per channel in PNG files: 8 for u, or 16 for (value - low) / (high - low) */
    uint32_t class_count;       /* of a segmentation, 2 to 256; 0 for every other type */
    const char *const *classes; /* [class_count] names in the order of the indices; NULL without classes */
    const uint8_t *colours;     /* [class_count][3] RGB of the classes; NULL without classes */
} sgi_type;

/* Description of a loaded model. Set size before the call. */
typedef struct sgi_model_info {
    size_t size; /* sizeof(sgi_model_info) */
    uint32_t resolution, z_dim, c_dim;
    float psi; /* default truncation */
    const char *backend, *device;
    const char *runtime; /* library and version that run the model */
    const char *generator_sha256;
    const char *description; /* the whole description, the JSON in the file */
    const sgi_type *types;   /* [type_count], the loaded ones in the model's order */
    size_t type_count;
    const char *input;    /* what the model takes: "z", "w" or "w+" */
    uint32_t w_dim;       /* size of w; 0 in files that take z */
    uint32_t num_ws;      /* rows of w+ */
    const char *fallback; /* why the default backend cpu cannot run the model, which another one runs; else NULL */
} sgi_model_info;

/* Images to generate, from exactly one of seeds, z, w and ws. A model that takes z needs seeds or z, one that takes w
 * needs w, and one that takes w+ needs ws or w, which is then used for every row (sgi_model_info.input). w and ws are
 * after the mapping network and truncation: psi, classes and labels are NULL with them. */
typedef struct sgi_request {
    size_t size;             /* sizeof(sgi_request) */
    size_t count;            /* N, number of images, at least 1 */
    const uint32_t *seeds;   /* [N]; the latents of numpy.random.RandomState(seed).randn(1, z_dim), bit for bit */
    const float *z;          /* [N, z_dim], finite, standard normal */
    const uint32_t *classes; /* [N], each below c_dim; if c_dim > 0 either this or labels, else NULL */
    const float *psi;        /* truncation of this call, NULL for the model's own */
    const float *labels;     /* [N, c_dim], finite: label vectors instead of classes, such as weights of classes */
    const float *w;          /* [N, w_dim], finite */
    const float *ws;         /* [N, num_ws, w_dim], finite: one w for every row of w+ */
} sgi_request;

/* Buffer for one type: [N, channels, resolution, resolution] float32, values within sgi_type's range. */
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

/* Describe a loaded model. */
SGI_API sgi_status sgi_info(const sgi_engine *engine, sgi_model_info *info);

/* Generate maps of output_count different types. */
SGI_API sgi_status sgi_generate(sgi_engine *engine, const sgi_request *request, const sgi_output *outputs,
                                size_t output_count);

/* Free an engine; NULL is allowed. */
SGI_API void sgi_close(sgi_engine *engine);

/* Message of this thread's last failed call, one line; "" if none failed. Valid until its next failed call. */
SGI_API const char *sgi_last_error(void);

/* z of one seed as sgi_generate uses it: z_dim doubles, equal to NumPy's bit for bit. */
SGI_API sgi_status sgi_latent(uint32_t seed, double *z, size_t z_dim);

/* Version of the library, "0.1.0". */
SGI_API const char *sgi_version(void);

#ifdef __cplusplus
}
#endif

#endif
