#include "engine.hpp"

#include "error.hpp"
#include "onnx_wire.hpp"
#include "palette.hpp"
#include "request.hpp"

#include <algorithm>
#include <limits>

using namespace sgi::internal;

namespace {

constexpr uint32_t DEFAULT_BATCH = 8, MAX_BATCH = 1 << 16, MAX_THREADS = 1 << 10, MAX_STREAMS = 64;

[[noreturn]] void argument(const std::string &message) { throw Failure(SGI_ERROR_ARGUMENT, message); }

std::string or_default(const char *text, const char *fallback) { return text ? text : fallback; }

std::string names_of(const std::vector<OutputType> &types) {
    std::string names;
    for (const OutputType &type : types) names += (names.empty() ? "" : ", ") + type.name;
    return names;
}

// The types of a list such as "image, depth", in the model's order.
std::vector<OutputType> choose_types(const std::vector<OutputType> &all, const std::string &wanted) {
    std::vector<std::string> names;
    for (size_t start = 0; start <= wanted.size();) {
        const size_t end = std::min(wanted.find(',', start), wanted.size());
        std::string name = wanted.substr(start, end - start);
        name.erase(0, name.find_first_not_of(' '));
        name.erase(name.find_last_not_of(' ') + 1);
        names.push_back(name);
        start = end + 1;
    }
    const auto has = [&](const std::string &name) {
        return std::any_of(all.begin(), all.end(), [&](const OutputType &type) { return type.name == name; });
    };
    for (const std::string &name : names)
        if (!has(name)) argument("sgi_options.types: no type '" + name + "'; the model has " + names_of(all));
    std::vector<OutputType> chosen;
    for (const OutputType &type : all)
        if (std::find(names.begin(), names.end(), type.name) != names.end()) chosen.push_back(type);
    return chosen;
}

// Backends: name, the CMake option that builds it in, and whether it runs engines.
struct Kind {
    const char *name, *option;
    bool engines;
};
constexpr Kind KINDS[] = {{"cpu", "SGI_WITH_CPU", false},
                          {"onnxruntime", "SGI_WITH_ORT", false},
                          {"openvino", "SGI_WITH_OPENVINO", false},
                          {"tensorrt", "SGI_WITH_TENSORRT", true}};

// Checks before anything is loaded that the backend exists and runs files of this kind.
void check_backend(const std::string &name, bool engine) {
    for (const Kind &kind : KINDS) {
        if (name != kind.name) continue;
        if (kind.engines == engine) return;
        argument("sgi_options.backend: " + name + " runs " +
                 (kind.engines ? ".engine and .plan files" : ".onnx files") + "; leave it NULL");
    }
    argument("sgi_options.backend: no backend '" + name + "'; choose cpu, onnxruntime, openvino or tensorrt");
}

std::unique_ptr<Backend> open_backend(const std::string &name, const Model &model, const Artifact &artifact,
                                      const BackendOptions &options) {
#ifdef SGI_WITH_CPU
    if (name == "cpu") return open_cpu(model.bytes, artifact, options);
#endif
#ifdef SGI_WITH_ORT
    if (name == "onnxruntime") return open_onnxruntime(model.bytes, artifact, options);
#endif
#ifdef SGI_WITH_OPENVINO
    if (name == "openvino") return open_openvino(model.bytes, artifact, options);
#endif
#ifdef SGI_WITH_TENSORRT
    if (name == "tensorrt") return open_tensorrt(model, artifact, options);
#endif
    std::string option;
    for (const Kind &kind : KINDS)
        if (name == kind.name) option = kind.option;
    throw Failure(SGI_ERROR_BACKEND, "this library was built without " + name + "; build it with -D " + option + "=ON");
}

bool is_built_in([[maybe_unused]] const std::string &name) {
#ifdef SGI_WITH_CPU
    if (name == "cpu") return true;
#endif
#ifdef SGI_WITH_ORT
    if (name == "onnxruntime") return true;
#endif
    return false;
}

// The backend of options that name none. A device or a runtime library that only ONNX Runtime has chooses it.
std::string default_backend(const Model &model, const sgi_options &options) {
    if (model.is_engine()) return "tensorrt";
    const bool is_for_cpu = !options.runtime && or_default(options.device, "cpu") == "cpu";
    return is_for_cpu && is_built_in("cpu") ? "cpu" : "onnxruntime";
}

} // namespace

sgi_engine::sgi_engine(const Model &model, const sgi_options &options)
    : artifact_(read_artifact(model)), path_(model.path),
      backend_name_(options.backend ? options.backend : default_backend(model, options)),
      device_(or_default(options.device, model.is_engine() ? "cuda" : "cpu")),
      batch_(options.batch ? options.batch : DEFAULT_BATCH) {
    if (device_ != "cpu" && device_ != "cuda")
        argument("sgi_options.device: no device '" + device_ + "'; choose cpu or cuda");
    check_backend(backend_name_, model.is_engine());
    if (model.is_engine() && device_ != "cuda") argument("sgi_options.device: an engine runs on cuda; leave it NULL");
    if (batch_ > MAX_BATCH) argument("sgi_options.batch is more than " + std::to_string(MAX_BATCH));
    if (options.threads > MAX_THREADS) argument("sgi_options.threads is more than " + std::to_string(MAX_THREADS));

    if (options.streams > MAX_STREAMS) argument("sgi_options.streams is more than " + std::to_string(MAX_STREAMS));
    if (options.streams > 1 && backend_name_ != "cpu")
        argument("sgi_options.streams: " + backend_name_ + " has none; use cpu, or leave it 0");

    const std::string precision = or_default(options.precision, "");
    if (!precision.empty() && precision != "bf16")
        argument("sgi_options.precision: no precision '" + precision + "'; choose bf16, or leave it NULL");
    if (!precision.empty() && backend_name_ != "openvino" && backend_name_ != "cpu")
        argument("sgi_options.precision: " + backend_name_ +
                 " does not have bf16; use cpu or openvino, or leave it NULL");

    const BackendOptions settings{device_,        or_default(options.runtime, ""), options.threads, batch_, precision,
                                  options.streams};
    if (options.types) artifact_.types = choose_types(artifact_.types, options.types);
    open(model, options, settings);
    runtime_ = backend_->runtime();
    for (const OutputType &type : artifact_.types) {
        std::vector<const char *> &names = class_names_.emplace_back();
        for (const std::string &name : type.classes) names.push_back(name.c_str());
        const std::vector<uint8_t> &colours = colours_.emplace_back(palette(type.classes.size()));
        const auto count = static_cast<uint32_t>(names.size());
        types_.push_back({type.name.c_str(), type.channels, type.low, type.high, type.meaning.c_str(), type.decoding,
                          type.png_bits, count, count ? names.data() : nullptr, count ? colours.data() : nullptr});
    }
}

void sgi_engine::open(const Model &model, const sgi_options &options, const BackendOptions &settings) {
    if (backend_name_ == "cpu") {
        try {
            backend_ = open_backend(backend_name_, model, artifact_, settings);
            return;
        } catch (const Unsupported &unsupported) {
            if (options.backend || !settings.precision.empty() || !is_built_in("onnxruntime")) throw;
            fallback_ = unsupported.reason;
            backend_name_ = "onnxruntime";
        }
    }
    Model cut = model;
    std::string smaller;
    if (options.types && !model.is_engine()) {
        std::vector<std::string> names;
        for (const OutputType &type : artifact_.types) names.push_back(type.name);
        cut.bytes = smaller = keep_outputs(model.bytes, names);
    }
    try {
        backend_ = open_backend(backend_name_, cut, artifact_, settings);
    } catch (const Failure &failure) {
        if (fallback_.empty()) throw;
        throw Failure(failure.status,
                      std::string(failure.what()) + " (the backend cpu cannot run it: " + fallback_ + ")");
    }
}

void sgi_engine::info(sgi_model_info &info) const {
    info.resolution = artifact_.resolution;
    info.z_dim = artifact_.z_dim;
    info.c_dim = artifact_.c_dim;
    info.psi = artifact_.psi;
    info.backend = backend_name_.c_str();
    info.device = device_.c_str();
    info.runtime = runtime_.c_str();
    info.generator_sha256 = artifact_.generator_sha256.c_str();
    info.description = artifact_.json.c_str();
    info.types = types_.data();
    info.type_count = types_.size();
    info.input = artifact_.input.c_str();
    info.w_dim = artifact_.w_dim;
    info.num_ws = artifact_.num_ws();
    info.fallback = fallback_.empty() ? nullptr : fallback_.c_str();
}

void sgi_engine::generate(const sgi_request &request, const sgi_output *outputs, size_t output_count) {
    check_request(request, artifact_);
    std::vector<OutputBuffer> buffers = check_outputs(request.count, outputs, output_count);
    check_latents(request, artifact_);
    const size_t pass = std::min<size_t>(batch_, request.count);
    Passes passes(request, artifact_, pass);
    for (size_t start = 0; start < request.count; start += pass) {
        const size_t count = std::min(pass, request.count - start);
        try {
            backend_->run(count, passes.inputs(start, count), buffers);
        } catch (const Failure &failure) {
            if (path_.empty() || failure.status == SGI_ERROR_MEMORY) throw;
            throw Failure(failure.status, path_ + ": " + failure.what());
        }
        for (OutputBuffer &buffer : buffers) buffer.data += count * artifact_.image_size(artifact_.types[buffer.type]);
    }
}

std::vector<OutputBuffer> sgi_engine::check_outputs(size_t count, const sgi_output *outputs,
                                                    size_t output_count) const {
    if (!output_count) argument("outputs: name at least one of " + names_of(artifact_.types));
    std::vector<OutputBuffer> buffers;
    for (size_t i = 0; i < output_count; ++i) {
        if (!outputs[i].type || !outputs[i].data) argument("outputs: type and data must not be NULL");
        const std::string name = outputs[i].type;
        const auto found = std::find_if(artifact_.types.begin(), artifact_.types.end(),
                                        [&](const OutputType &type) { return type.name == name; });
        if (found == artifact_.types.end())
            argument("outputs: type '" + name + "' is not loaded; loaded are " + names_of(artifact_.types));
        const auto index = static_cast<size_t>(found - artifact_.types.begin());
        for (const OutputBuffer &buffer : buffers)
            if (buffer.type == index) argument("outputs: type '" + name + "' is named twice");
        const size_t image = artifact_.image_size(*found) * sizeof(float);
        if (count > std::numeric_limits<size_t>::max() / image || outputs[i].bytes < count * image)
            argument("outputs: the buffer for " + name + " has " + std::to_string(outputs[i].bytes) + " bytes; " +
                     std::to_string(count) + " images take " + std::to_string(image) + " each");
        buffers.push_back({index, outputs[i].data});
    }
    return buffers;
}
