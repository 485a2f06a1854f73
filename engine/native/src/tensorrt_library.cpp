// The only file that includes TensorRT's headers. TensorRT exports two functions, and all else is virtual methods, so
// the library is loaded at run time and not linked: one binary works with and without TensorRT.
#include "tensorrt_library.hpp"

#include "error.hpp"
#include "library_search.hpp"

#include <mutex>

#include <NvInferRuntime.h>
#include <dlfcn.h>

namespace sgi::internal {
namespace {

#ifdef TRT_MAJOR_RTX
constexpr const char *MODULE = "tensorrt_rtx", *NAME = "TensorRT-RTX", *FILE_NAME = "libtensorrt_rtx.so",
                     *PYTHON_FOLDER = "tensorrt_rtx_libs";
#else
constexpr const char *MODULE = "tensorrt", *NAME = "TensorRT", *FILE_NAME = "libnvinfer.so",
                     *PYTHON_FOLDER = "tensorrt_libs";
#endif

// Keeps the last error for the message of our exception instead of printing it.
class Log final : public nvinfer1::ILogger {
  public:
    void log(Severity severity, const char *message) noexcept override {
        if (severity > Severity::kERROR) return;
        try {
            const std::lock_guard lock(mutex_);
            last_ = message;
        } catch (...) { // no memory for the text; the status reports the error as well
        }
    }

    std::string last() const {
        const std::lock_guard lock(mutex_);
        return last_;
    }

  private:
    mutable std::mutex mutex_;
    std::string last_;
};

class Context final : public TensorRtContext {
  public:
    explicit Context(nvinfer1::IExecutionContext *context) : context_(context) {}

    bool set_shape(const std::string &input, const std::vector<int64_t> &shape) override {
        nvinfer1::Dims dims{};
        if (shape.size() > nvinfer1::Dims::MAX_DIMS) return false;
        dims.nbDims = static_cast<int32_t>(shape.size());
        for (size_t i = 0; i < shape.size(); ++i) dims.d[i] = shape[i];
        return context_->setInputShape(input.c_str(), dims);
    }

    bool set_address(const std::string &name, uint64_t address) override {
        return context_->setTensorAddress(name.c_str(), reinterpret_cast<void *>(address));
    }

    bool enqueue(void *stream) override { return context_->enqueueV3(static_cast<cudaStream_t>(stream)); }

  private:
    std::unique_ptr<nvinfer1::IExecutionContext> context_;
};

class Engine final : public TensorRtEngine {
  public:
    explicit Engine(nvinfer1::ICudaEngine *engine) : engine_(engine) {}

    std::vector<Port> inputs() const override { return ports(nvinfer1::TensorIOMode::kINPUT); }
    std::vector<Port> outputs() const override { return ports(nvinfer1::TensorIOMode::kOUTPUT); }

    std::unique_ptr<TensorRtContext> context() override {
        nvinfer1::IExecutionContext *context = engine_->createExecutionContext();
        return context ? std::make_unique<Context>(context) : nullptr;
    }

  private:
    std::vector<Port> ports(nvinfer1::TensorIOMode mode) const {
        std::vector<Port> ports;
        for (int32_t i = 0; i < engine_->getNbIOTensors(); ++i) {
            const char *name = engine_->getIOTensorName(i);
            if (engine_->getTensorIOMode(name) != mode) continue;
            Port port;
            port.name = name;
            port.is_float32 = engine_->getTensorDataType(name) == nvinfer1::DataType::kFLOAT;
            const nvinfer1::Dims dims = engine_->getTensorShape(name);
            for (int32_t d = 0; d < dims.nbDims; ++d) port.shape.push_back(dims.d[d]);
            ports.push_back(port);
        }
        return ports;
    }

    std::unique_ptr<nvinfer1::ICudaEngine> engine_;
};

class Library final : public TensorRtLibrary {
  public:
    explicit Library(const LoadedLibrary &loaded) : path_(loaded.path) {
        for (const char *part : {"Major", "Minor", "Patch", "Build"}) {
            const auto number = find<int32_t (*)()>(loaded.handle, std::string("getInferLib") + part + "Version");
            version_ += (version_.empty() ? "" : ".") + std::to_string(number());
        }
        const auto create = find<void *(*)(void *, int32_t)>(loaded.handle, "createInferRuntime_INTERNAL");
        runtime_.reset(static_cast<nvinfer1::IRuntime *>(create(&log_, NV_TENSORRT_VERSION)));
        if (!runtime_) throw Failure(SGI_ERROR_BACKEND, path_ + ": " + NAME + " " + version_ + " does not start");
    }

    std::string module() const override { return MODULE; }
    std::string version() const override { return version_; }
    std::string path() const override { return path_; }
    std::string last_error() const override { return log_.last(); }

    std::unique_ptr<TensorRtEngine> load(std::string_view engine) override {
        nvinfer1::ICudaEngine *loaded = runtime_->deserializeCudaEngine(engine.data(), engine.size());
        return loaded ? std::make_unique<Engine>(loaded) : nullptr;
    }

  private:
    template <class Function> Function find(void *handle, const std::string &name) const {
        const auto function = reinterpret_cast<Function>(dlsym(handle, name.c_str()));
        if (!function) throw Failure(SGI_ERROR_BACKEND, path_ + ": not a " + NAME + " that has " + name);
        return function;
    }

    Log log_;
    std::string path_, version_;
    std::unique_ptr<nvinfer1::IRuntime> runtime_;
};

} // namespace

std::unique_ptr<TensorRtLibrary> load_tensorrt(const std::string &wanted) {
    const std::string soname = FILE_NAME + ("." + std::to_string(NV_TENSORRT_MAJOR));
    return std::make_unique<Library>(
        load_library({NAME, soname, FILE_NAME, PYTHON_FOLDER + ("/" + soname), "SGI_TENSORRT_LIB",
                      "install it, or name " + soname + " or its folder in SGI_TENSORRT_LIB or sgi_options.runtime"},
                     wanted));
}

} // namespace sgi::internal
