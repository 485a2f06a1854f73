// The backend of this project's own kernels: it reads the layers from the file and needs no runtime.
#include "backend.hpp"

#include "cpu_network.hpp"
#include "error.hpp"
#include "onnx_wire.hpp"

namespace sgi::internal {
namespace {

class CpuBackend final : public Backend {
  public:
    CpuBackend(const OnnxGraph &graph, const Artifact &artifact, const BackendOptions &options)
        : network_(read_network(graph, artifact), artifact, options.threads, precision_of(options.precision)) {}

    void run(size_t count, const std::vector<const float *> &inputs,
             const std::vector<OutputBuffer> &outputs) override {
        network_.run(count, inputs, outputs);
    }

    std::string runtime() const override { return "sgi-engine " SGI_VERSION; }

  private:
    static cpu::Precision precision_of(const std::string &name) {
        return name == "bf16" ? cpu::Precision::BFLOAT16 : cpu::Precision::FLOAT32;
    }

    CpuNetwork network_;
};

} // namespace

std::unique_ptr<Backend> open_cpu(std::string_view model, const Artifact &artifact, const BackendOptions &options) {
    if (options.device != "cpu") throw Unsupported("it has no device " + options.device);
    const OnnxGraph graph(find_graph(model));
    check_ports(artifact, graph.inputs(), graph.outputs());
    return std::make_unique<CpuBackend>(graph, artifact, options);
}

} // namespace sgi::internal
