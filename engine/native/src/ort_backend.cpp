// ONNX Runtime through its C interface: CPU, and CUDA if the loaded library is a CUDA build.
#include "backend.hpp"
#include "error.hpp"
#include "ort_library.hpp"

namespace sgi::internal {
namespace {

// An object of the runtime and the function that frees it.
template <class T> class Owned {
  public:
    explicit Owned(void (*release)(T *)) : release_(release) {}
    Owned(Owned &&other) noexcept : object_(other.object_), release_(other.release_) { other.object_ = nullptr; }
    Owned(const Owned &) = delete;
    Owned &operator=(const Owned &) = delete;
    ~Owned() {
        if (object_) release_(object_);
    }
    T *get() const { return object_; }
    T **out() { return &object_; }

  private:
    T *object_ = nullptr;
    void (*release_)(T *);
};

class OrtBackend final : public Backend {
  public:
    OrtBackend(std::string_view model, const Artifact &artifact, const BackendOptions &options)
        : library_(load_onnxruntime(options.runtime)), api_(*library_.api), env_(api_.ReleaseEnv),
          memory_(api_.ReleaseMemoryInfo), session_(api_.ReleaseSession), artifact_(artifact) {
        check(api_.CreateEnv(ORT_LOGGING_LEVEL_FATAL, "sgi", env_.out()));
        check(api_.CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, memory_.out()));
        const Owned<OrtSessionOptions> settings = session_options(options);
        check(api_.CreateSessionFromArray(env_.get(), model.data(), model.size(), settings.get(), session_.out()));
        check_ports(artifact, ports(true), ports(false));
    }

    void run(size_t count, const std::vector<const float *> &inputs,
             const std::vector<OutputBuffer> &outputs) override {
        const auto n = static_cast<int64_t>(count), side = static_cast<int64_t>(artifact_.resolution);
        std::vector<const char *> input_names, names;
        std::vector<Owned<OrtValue>> values; // of inputs, then outputs
        values.reserve(inputs.size() + outputs.size());
        for (size_t i = 0; i < inputs.size(); ++i) {
            values.push_back(tensor(inputs[i], artifact_.inputs[i].shape_of(count)));
            input_names.push_back(artifact_.inputs[i].name.c_str());
        }
        for (const OutputBuffer &output : outputs) {
            const OutputType &type = artifact_.types[output.type];
            values.push_back(tensor(output.data, {n, type.channels, side, side}));
            names.push_back(type.name.c_str());
        }
        std::vector<OrtValue *> pointers;
        for (const Owned<OrtValue> &value : values) pointers.push_back(value.get());
        check(api_.Run(session_.get(), nullptr, input_names.data(), pointers.data(), inputs.size(), names.data(),
                       names.size(), pointers.data() + inputs.size()),
              SGI_ERROR_RUNTIME);
    }

    std::string runtime() const override { return "ONNX Runtime " + library_.version + " (" + library_.path + ")"; }

  private:
    void check(OrtStatus *status, sgi_status kind = SGI_ERROR_BACKEND) const {
        if (!status) return;
        const std::string message = api_.GetErrorMessage(status);
        api_.ReleaseStatus(status);
        throw Failure(kind, "ONNX Runtime " + library_.version + ": " + message);
    }

    Owned<OrtSessionOptions> session_options(const BackendOptions &options) const {
        Owned<OrtSessionOptions> settings(api_.ReleaseSessionOptions);
        check(api_.CreateSessionOptions(settings.out()));
        check(api_.SetSessionGraphOptimizationLevel(settings.get(), ORT_ENABLE_ALL));
        check(api_.SetIntraOpNumThreads(settings.get(), static_cast<int>(options.threads)));
        // Between two runs the cores are free for the rest of the program.
        check(api_.AddSessionConfigEntry(settings.get(), "session.force_spinning_stop", "1"));
        if (options.device == "cuda") append_cuda(settings.get());
        return settings;
    }

    void append_cuda(OrtSessionOptions *settings) const {
        Owned<OrtCUDAProviderOptionsV2> cuda(api_.ReleaseCUDAProviderOptions);
        check(api_.CreateCUDAProviderOptions(cuda.out()));
        // TF32 has 10 bits of mantissa; its error exceeds the parity bound of exports.
        const char *const keys[] = {"use_tf32"}, *const values[] = {"0"};
        check(api_.UpdateCUDAProviderOptions(cuda.get(), keys, values, 1));
        check(api_.SessionOptionsAppendExecutionProvider_CUDA_V2(settings, cuda.get()));
    }

    Owned<OrtValue> tensor(const float *data, const std::vector<int64_t> &shape) const {
        size_t size = sizeof(float);
        for (const int64_t dimension : shape) size *= static_cast<size_t>(dimension);
        Owned<OrtValue> value(api_.ReleaseValue);
        // The interface takes a mutable pointer for inputs, too, but does not write to them.
        check(api_.CreateTensorWithDataAsOrtValue(memory_.get(), const_cast<float *>(data), size, shape.data(),
                                                  shape.size(), ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, value.out()),
              SGI_ERROR_RUNTIME);
        return value;
    }

    std::vector<Port> ports(bool inputs) const {
        size_t count = 0;
        check(inputs ? api_.SessionGetInputCount(session_.get(), &count)
                     : api_.SessionGetOutputCount(session_.get(), &count));
        std::vector<Port> ports;
        for (size_t i = 0; i < count; ++i) ports.push_back(port(inputs, i));
        return ports;
    }

    Port port(bool input, size_t i) const {
        OrtAllocator *allocator = nullptr; // owned by the runtime
        check(api_.GetAllocatorWithDefaultOptions(&allocator));
        char *name = nullptr;
        check(input ? api_.SessionGetInputName(session_.get(), i, allocator, &name)
                    : api_.SessionGetOutputName(session_.get(), i, allocator, &name));
        Port port;
        port.name = name;
        check(api_.AllocatorFree(allocator, name));

        Owned<OrtTypeInfo> info(api_.ReleaseTypeInfo);
        check(input ? api_.SessionGetInputTypeInfo(session_.get(), i, info.out())
                    : api_.SessionGetOutputTypeInfo(session_.get(), i, info.out()));
        const OrtTensorTypeAndShapeInfo *shape = nullptr; // part of info
        check(api_.CastTypeInfoToTensorInfo(info.get(), &shape));
        if (!shape) return port; // a sequence or a map
        ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
        check(api_.GetTensorElementType(shape, &type));
        port.is_float32 = type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
        size_t rank = 0;
        check(api_.GetDimensionsCount(shape, &rank));
        port.shape.resize(rank);
        check(api_.GetDimensions(shape, port.shape.data(), rank));
        return port;
    }

    OrtLibrary library_;
    const OrtApi &api_;
    Owned<OrtEnv> env_;
    Owned<OrtMemoryInfo> memory_;
    Owned<OrtSession> session_;
    Artifact artifact_;
};

} // namespace

std::unique_ptr<Backend> open_onnxruntime(std::string_view model, const Artifact &artifact,
                                          const BackendOptions &options) {
    return std::make_unique<OrtBackend>(model, artifact, options);
}

} // namespace sgi::internal
