// OpenVINO on the CPU, the fastest CPU runtime after its warm-up.
#include "backend.hpp"
#include "error.hpp"

#include <algorithm>
#include <map>
#include <mutex>

#include <openvino/openvino.hpp>

namespace sgi::internal {
namespace {

// The model compiled for one batch size, with its idle inference requests.
struct Compiled {
    ov::CompiledModel model;
    std::vector<ov::InferRequest> idle;
};

template <class Call> auto guarded(sgi_status status, Call call) {
    try {
        return call();
    } catch (const ov::Exception &error) {
        throw Failure(status, std::string("OpenVINO: ") + error.what());
    }
}

Port port(const ov::Output<const ov::Node> &node) {
    Port port;
    port.name = node.get_any_name();
    port.is_float32 = node.get_element_type() == ov::element::f32;
    const ov::PartialShape &shape = node.get_partial_shape();
    if (shape.rank().is_static())
        for (const ov::Dimension &size : shape) port.shape.push_back(size.is_static() ? size.get_length() : -1);
    return port;
}

bool has_bf16(const ov::Core &core) {
    const auto found = core.get_property("CPU", ov::device::capabilities);
    return std::find(found.begin(), found.end(), ov::device::capability::BF16) != found.end();
}

// Compiled for static batch sizes, because a dynamic one is slower (docs/experiments.md, "OpenVINO settings"). The
// sizes are powers of two up to the largest pass; smaller passes are padded with zeros, so that few compilations are
// enough.
class OpenVinoBackend final : public Backend {
  public:
    OpenVinoBackend(std::string_view model, const Artifact &artifact, const BackendOptions &options)
        : artifact_(artifact), batch_(options.batch) {
        if (options.device != "cpu") throw Failure(SGI_ERROR_BACKEND, "openvino has no device " + options.device);
        const bool bf16 = options.precision == "bf16";
        if (bf16 && !has_bf16(core_))
            throw Failure(SGI_ERROR_BACKEND, "sgi_options.precision: this CPU does not have bf16; leave it NULL");
        // OpenVINO's default is bfloat16 on CPUs that support it, which exceeds the parity bound of exports.
        settings_ = {ov::hint::inference_precision(bf16 ? ov::element::bf16 : ov::element::f32),
                     ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY)};
        if (options.threads) settings_.insert(ov::inference_num_threads(static_cast<int>(options.threads)));
        guarded(SGI_ERROR_BACKEND, [&] {
            model_ = core_.read_model(std::string(model), ov::Tensor());
            std::vector<Port> inputs, outputs;
            for (const auto &node : std::as_const(*model_).inputs()) inputs.push_back(port(node));
            for (const auto &node : std::as_const(*model_).outputs()) outputs.push_back(port(node));
            check_ports(artifact_, inputs, outputs);
            compile(1);
        });
    }

    void run(size_t count, const std::vector<const float *> &inputs,
             const std::vector<OutputBuffer> &outputs) override {
        const size_t size = batch_size(count);
        guarded(SGI_ERROR_RUNTIME, [&] {
            ov::InferRequest request = take(size);
            for (size_t i = 0; i < inputs.size(); ++i) {
                const Input &input = artifact_.inputs[i];
                fill(request.get_tensor(input.name), inputs[i], input.values_of(count));
            }
            request.infer();
            for (const OutputBuffer &output : outputs) {
                const OutputType &type = artifact_.types[output.type];
                const ov::Tensor maps = request.get_tensor(type.name);
                // Shapes in a file can leave sizes open, so those of a model that opened can still be wrong.
                if (maps.get_shape() != ov::Shape{size, type.channels, artifact_.resolution, artifact_.resolution})
                    throw Failure(SGI_ERROR_MODEL,
                                  "its output " + type.name + " is not what its description gives; export it again");
                std::copy_n(maps.data<float>(), count * artifact_.image_size(type), output.data);
            }
            const std::lock_guard lock(mutex_);
            compiled_.at(size).idle.push_back(request);
        });
    }

    std::string runtime() const override { return std::string("OpenVINO ") + ov::get_openvino_version().buildNumber; }

  private:
    size_t batch_size(size_t count) const {
        size_t size = 1;
        while (size < count) size *= 2;
        return std::min<size_t>(size, batch_);
    }

    static void fill(ov::Tensor tensor, const float *values, size_t size) {
        float *data = tensor.data<float>();
        std::copy_n(values, size, data);
        std::fill(data + size, data + tensor.get_size(), 0.0f);
    }

    Compiled &compile(size_t size) {
        const auto found = compiled_.find(size);
        if (found != compiled_.end()) return found->second;
        std::map<std::string, ov::PartialShape> shapes;
        for (const Input &input : artifact_.inputs) {
            const std::vector<int64_t> sizes = input.shape_of(size);
            if (!sizes.empty()) shapes[input.name] = ov::PartialShape(sizes);
        }
        const std::shared_ptr<ov::Model> model = model_->clone();
        model->reshape(shapes);
        return compiled_[size] = {core_.compile_model(model, "CPU", settings_), {}};
    }

    ov::InferRequest take(size_t size) {
        const std::lock_guard lock(mutex_);
        Compiled &compiled = compile(size);
        if (compiled.idle.empty()) return compiled.model.create_infer_request();
        ov::InferRequest request = compiled.idle.back();
        compiled.idle.pop_back();
        return request;
    }

    Artifact artifact_;
    size_t batch_;
    ov::AnyMap settings_;
    ov::Core core_;
    std::shared_ptr<ov::Model> model_;
    std::mutex mutex_; // guards compiled_
    std::map<size_t, Compiled> compiled_;
};

} // namespace

std::unique_ptr<Backend> open_openvino(std::string_view model, const Artifact &artifact,
                                       const BackendOptions &options) {
    return std::make_unique<OpenVinoBackend>(model, artifact, options);
}

} // namespace sgi::internal
