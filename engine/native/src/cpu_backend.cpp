// The backend of this project's own kernels: it reads the layers from the file and needs no runtime.
#include "backend.hpp"

#include "cpu_pass.hpp"
#include "error.hpp"
#include "onnx_wire.hpp"

#include <processors.hpp>
#include <target.hpp>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <system_error>

namespace sgi::internal {
namespace {

class CpuBackend final : public Backend {
  public:
    CpuBackend(const OnnxGraph &graph, const Artifact &artifact, const BackendOptions &options)
        : artifact_(artifact), passes_(make_passes(options)),
          network_(read_network(graph, artifact), artifact, passes_.front()->pool(), precision_of(options.precision)) {
        for (const auto &pass : passes_) free_.push_back(pass.get());
    }

    void run(size_t count, const std::vector<const float *> &inputs,
             const std::vector<OutputBuffer> &outputs) override {
        const Lease pass(*this);
        for (size_t start = 0; start < count; start += AT_ONCE) {
            std::vector<const float *> values;
            for (size_t i = 0; i < inputs.size(); ++i)
                values.push_back(inputs[i] +
                                 (artifact_.inputs[i].shape.empty() ? 0 : artifact_.inputs[i].values_of(start)));
            std::vector<OutputBuffer> buffers = outputs;
            for (OutputBuffer &buffer : buffers)
                buffer.data += start * artifact_.image_size(artifact_.types[buffer.type]);
            pass->run(network_, std::min(AT_ONCE, count - start), values, buffers);
        }
    }

    std::string runtime() const override {
        const size_t threads = passes_.front()->pool().threads();
        const std::string count = std::to_string(threads) + (threads == 1 ? " thread" : " threads");
        const std::string passes = passes_.size() == 1 ? "" : std::to_string(passes_.size()) + " passes at once, each ";
        return std::string("sgi-engine " SGI_VERSION " (") + cpu::target_name() + ", " + passes + count + ")";
    }

  private:
    // A pass that no other caller uses, for which it waits.
    class Lease {
      public:
        explicit Lease(CpuBackend &backend) : backend_(backend) {
            std::unique_lock lock(backend_.mutex_);
            backend_.returned_.wait(lock, [this] { return !backend_.free_.empty(); });
            pass_ = backend_.free_.back();
            backend_.free_.pop_back();
        }
        ~Lease() {
            {
                const std::lock_guard lock(backend_.mutex_);
                backend_.free_.push_back(pass_);
            }
            backend_.returned_.notify_one();
        }
        Lease(const Lease &) = delete;
        Lease &operator=(const Lease &) = delete;
        CpuPass *operator->() const { return pass_; }

      private:
        CpuBackend &backend_;
        CpuPass *pass_;
    };

    // More images at once are no faster, and take memory for their styles.
    static constexpr size_t AT_ONCE = 32;

    static cpu::Precision precision_of(const std::string &name) {
        if (name != "bf16") return cpu::Precision::FLOAT32;
        if (!cpu::has_bfloat16())
            throw Failure(SGI_ERROR_BACKEND,
                          "sgi_options.precision: this CPU has no AVX512-BF16; leave it NULL, float32 is exact");
        return cpu::Precision::BFLOAT16;
    }

    // The threads are divided among the passes.
    static std::vector<std::unique_ptr<CpuPass>> make_passes(const BackendOptions &options) {
        const size_t threads = options.threads ? options.threads : cpu::usable_processors();
        const size_t streams = std::clamp<size_t>(options.streams, 1, threads);
        std::vector<std::unique_ptr<CpuPass>> passes;
        for (size_t i = 0; i < streams; ++i)
            passes.push_back(std::make_unique<CpuPass>((threads + streams - 1 - i) / streams));
        return passes;
    }

    Artifact artifact_;
    std::vector<std::unique_ptr<CpuPass>> passes_;
    CpuNetwork network_;
    std::mutex mutex_; // guards free_
    std::condition_variable returned_;
    std::vector<CpuPass *> free_;
};

} // namespace

std::unique_ptr<Backend> open_cpu(std::string_view model, const Artifact &artifact, const BackendOptions &options) {
    if (options.device != "cpu") throw Failure(SGI_ERROR_BACKEND, "cpu has no device " + options.device);
    const OnnxGraph graph(find_graph(model));
    check_ports(artifact, graph.inputs(), graph.outputs());
    try {
        return std::make_unique<CpuBackend>(graph, artifact, options);
    } catch (const std::system_error &error) {
        throw Failure(SGI_ERROR_ARGUMENT, std::string("sgi_options.threads: ") + error.what() + "; ask for fewer");
    }
}

} // namespace sgi::internal
