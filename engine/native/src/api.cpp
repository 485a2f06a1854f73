// The C interface: it converts exceptions to a status and keeps their message for the calling thread.
#include "engine.hpp"
#include "error.hpp"
#include "printable.hpp"
#include "seeds.hpp"

#include <algorithm>
#include <cstring>
#include <new>

using sgi::internal::Failure;

namespace {

thread_local std::string last_error;

sgi_status fail(sgi_status status, const char *message) noexcept {
    try {
        last_error = sgi::internal::printable(message);
    } catch (...) {
        last_error.clear();
    }
    return status;
}

template <class Call> sgi_status guarded(Call call) noexcept {
    try {
        call();
        return SGI_OK;
    } catch (const Failure &failure) {
        return fail(failure.status, failure.what());
    } catch (const std::bad_alloc &) {
        return fail(SGI_ERROR_MEMORY, "out of memory; ask for fewer images, or a smaller sgi_options.batch");
    } catch (const std::exception &error) {
        return fail(SGI_ERROR_RUNTIME, error.what());
    } catch (...) {
        return fail(SGI_ERROR_RUNTIME, "unknown exception");
    }
}

void require(bool condition, const char *message) {
    if (!condition) throw Failure(SGI_ERROR_ARGUMENT, message);
}

// Reads a struct of a caller whose header may be older or newer. Fields missing from an older struct are zero. Fields
// that this version does not have must be zero, because a request in them would be ignored.
template <class T> T read_struct(const T *given, const char *name) {
    if (given->size < sizeof given->size)
        throw Failure(SGI_ERROR_ARGUMENT, std::string(name) + ".size is not set; set it to sizeof(" + name + ")");
    T known{};
    std::memcpy(&known, given, std::min(given->size, sizeof known));
    const auto *bytes = reinterpret_cast<const unsigned char *>(given);
    for (size_t i = sizeof known; i < given->size; ++i)
        if (bytes[i])
            throw Failure(SGI_ERROR_ARGUMENT,
                          std::string(name) + " has fields of a newer version; upgrade the library");
    return known;
}

sgi_options read_options(const sgi_options *options) {
    return options ? read_struct(options, "sgi_options") : sgi_options_default();
}

} // namespace

sgi_options sgi_options_default(void) {
    sgi_options options{};
    options.size = sizeof options;
    return options;
}

sgi_status sgi_open(const char *path, const sgi_options *options, sgi_engine **engine) {
    return guarded([&] {
        require(engine, "engine is NULL");
        *engine = nullptr;
        require(path, "path is NULL");
        const sgi_options read = read_options(options);
        try {
            using namespace sgi::internal;
            const std::string bytes = read_file(path);
            *engine = new sgi_engine(Model{bytes, read_sidecar(path), path}, read);
        } catch (const Failure &failure) {
            if (failure.status == SGI_ERROR_ARGUMENT) throw; // the message names the argument
            throw Failure(failure.status, std::string(path) + ": " + failure.what());
        }
    });
}

sgi_status sgi_open_memory(const void *model, size_t bytes, const sgi_options *options, sgi_engine **engine) {
    return guarded([&] {
        require(engine, "engine is NULL");
        *engine = nullptr;
        require(model, "model is NULL");
        *engine = new sgi_engine(sgi::internal::Model{{static_cast<const char *>(model), bytes}, "", ""},
                                 read_options(options));
    });
}

sgi_status sgi_info(const sgi_engine *engine, sgi_model_info *info) {
    return guarded([&] {
        require(engine && info, "engine or info is NULL");
        require(info->size >= sizeof info->size, "sgi_model_info.size is not set; set it to sizeof(sgi_model_info)");
        sgi_model_info result{};
        engine->info(result);
        result.size = std::min(info->size, sizeof result);
        std::memcpy(info, &result, result.size);
    });
}

sgi_status sgi_generate(sgi_engine *engine, const sgi_request *request, const sgi_output *outputs,
                        size_t output_count) {
    return guarded([&] {
        require(engine && request && outputs, "engine, request or outputs is NULL");
        engine->generate(read_struct(request, "sgi_request"), outputs, output_count);
    });
}

void sgi_close(sgi_engine *engine) { delete engine; }

const char *sgi_last_error(void) { return last_error.c_str(); }

sgi_status sgi_latent(uint32_t seed, double *z, size_t z_dim) {
    return guarded([&] {
        require(z || !z_dim, "z is NULL");
        sgi::internal::latent(seed, z, z_dim);
    });
}

const char *sgi_version(void) { return SGI_VERSION; }
