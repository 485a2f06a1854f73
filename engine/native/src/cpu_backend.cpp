// The backend of this project's own kernels: it reads the layers from the file and needs no runtime.
#include "backend.hpp"

#include "cpu_network.hpp"
#include "error.hpp"
#include "onnx_wire.hpp"

#include <target.hpp>

#include <algorithm>
#include <system_error>

namespace sgi::internal {
namespace {

class CpuBackend final : public Backend {
  public:
    CpuBackend(const OnnxGraph &graph, const Artifact &artifact, const BackendOptions &options)
        : artifact_(artifact),
          network_(read_network(graph, artifact), artifact, options.threads, precision_of(options.precision)) {}

    void run(size_t count, const std::vector<const float *> &inputs,
             const std::vector<OutputBuffer> &outputs) override {
        for (size_t start = 0; start < count; start += AT_ONCE) {
            std::vector<const float *> values;
            for (size_t i = 0; i < inputs.size(); ++i)
                values.push_back(inputs[i] +
                                 (artifact_.inputs[i].shape.empty() ? 0 : artifact_.inputs[i].values_of(start)));
            std::vector<OutputBuffer> buffers = outputs;
            for (OutputBuffer &buffer : buffers)
                buffer.data += start * artifact_.image_size(artifact_.types[buffer.type]);
            network_.run(std::min(AT_ONCE, count - start), values, buffers);
        }
    }

    std::string runtime() const override {
        const size_t threads = network_.threads();
        return std::string("sgi-engine " SGI_VERSION " (") + cpu::target_name() + ", " + std::to_string(threads) +
               (threads == 1 ? " thread)" : " threads)");
    }

  private:
    // More images at once are no faster, and take memory for their styles.
    static constexpr size_t AT_ONCE = 32;

    static cpu::Precision precision_of(const std::string &name) {
        if (name != "bf16") return cpu::Precision::FLOAT32;
        if (!cpu::has_bfloat16())
            throw Failure(SGI_ERROR_BACKEND,
                          "sgi_options.precision: this CPU has no AVX512-BF16; leave it NULL, float32 is exact");
        return cpu::Precision::BFLOAT16;
    }

    Artifact artifact_;
    CpuNetwork network_;
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
