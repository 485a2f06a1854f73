// Engines of TensorRT and TensorRT-RTX on the first GPU: two passes at a time, each with its own buffers.
#include "backend.hpp"
#include "cuda_driver.hpp"
#include "engine_file.hpp"
#include "error.hpp"
#include "tensorrt_library.hpp"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>

namespace sgi::internal {
namespace {

// One pass computes while the maps of the other are copied. A third pass would wait for the GPU.
constexpr size_t MOST_SLOTS = 2;

size_t size_of(const std::vector<int64_t> &shape, size_t rows) {
    size_t size = 1;
    for (const int64_t dimension : shape) size *= dimension < 0 ? rows : static_cast<size_t>(dimension);
    return size;
}

// An execution context, its stream, and buffers of every input and output for the largest pass.
class Slot {
  public:
    Slot(std::shared_ptr<CudaDriver> driver, TensorRtEngine &engine, size_t rows)
        : stream_(std::move(driver)), context_(engine.context()) {
        if (!context_) throw OutOfMemory();
        const std::vector<Port> inputs = engine.inputs(), outputs = engine.outputs();
        for (const Port &port : inputs) add(port, rows);
        for (const Port &port : outputs) add(port, rows);
        for (const Port &port : inputs) inputs_.push_back(port);
    }

    // A pass with fewer than `least` rows is padded with copies of its last row.
    void run(size_t rows, size_t least, const std::map<std::string, const float *> &values,
             const std::vector<std::pair<std::string, OutputBuffer>> &outputs) {
        const size_t filled = std::max(rows, least);
        for (const Port &input : inputs_) {
            const Buffer &buffer = buffers_.at(input.name);
            fill(buffer, values.at(input.name), rows, filled);
            stream_.to_device(buffer.device, buffer.host, size_of(input.shape, filled) * sizeof(float));
        }
        if (filled != rows_) set_shapes(filled);
        require(context_->enqueue(stream_.handle()));
        for (const auto &[name, output] : outputs) {
            const Buffer &buffer = buffers_.at(name);
            stream_.to_host(buffer.host, buffer.device, rows * buffer.row * sizeof(float));
        }
        stream_.wait();
        for (const auto &[name, output] : outputs) {
            const Buffer &buffer = buffers_.at(name);
            std::memcpy(output.data, buffer.host, rows * buffer.row * sizeof(float));
        }
    }

  private:
    struct Buffer {
        size_t row; // number of values per row
        bool batched;
        uint64_t device;
        float *host;
    };

    static void require(bool done) {
        if (!done) throw Failure(SGI_ERROR_RUNTIME, "TensorRT could not enqueue the pass");
    }

    void add(const Port &port, size_t rows) {
        const bool batched = !port.shape.empty() && port.shape[0] < 0;
        const size_t bytes = size_of(port.shape, rows) * sizeof(float);
        const Buffer buffer{size_of(port.shape, 1), batched, stream_.device_memory(bytes),
                            static_cast<float *>(stream_.pinned_memory(bytes))};
        require(context_->set_address(port.name, buffer.device));
        buffers_.emplace(port.name, buffer);
    }

    void set_shapes(size_t rows) {
        rows_ = 0;
        for (const Port &input : inputs_) {
            std::vector<int64_t> shape = input.shape;
            for (int64_t &dimension : shape)
                if (dimension < 0) dimension = static_cast<int64_t>(rows);
            require(context_->set_shape(input.name, shape));
        }
        rows_ = rows;
    }

    static void fill(const Buffer &buffer, const float *values, size_t rows, size_t filled) {
        std::memcpy(buffer.host, values, (buffer.batched ? rows : 1) * buffer.row * sizeof(float));
        if (!buffer.batched) return;
        const float *last = values + (rows - 1) * buffer.row;
        for (size_t n = rows; n < filled; ++n) std::copy_n(last, buffer.row, buffer.host + n * buffer.row);
    }

    CudaStream stream_; // declared before the context, which must be destroyed first, while its memory exists
    std::unique_ptr<TensorRtContext> context_;
    std::vector<Port> inputs_;
    std::map<std::string, Buffer> buffers_;
    size_t rows_ = 0; // for which the shapes are set
};

class TensorRtBackend final : public Backend {
  public:
    TensorRtBackend(const Model &model, const Artifact &artifact, const BackendOptions &options)
        : artifact_(artifact), facts_(model), driver_(CudaDriver::open()) {
        facts_.check_gpu(driver_ ? std::optional<Gpu>(driver_->gpu()) : std::nullopt);
        library_ = load_tensorrt(options.runtime);
        facts_.check_library(library_->module(), library_->version());
        check_sha256(model.bytes, facts_.engine_sha256);
        const CudaDriver::Current current(*driver_);
        engine_ = library_->load(model.bytes);
        if (!engine_)
            throw Failure(SGI_ERROR_BACKEND, facts_.module + " cannot load it" + reason() + "; " + facts_.rebuild);
        check_ports(artifact, engine_->inputs(), engine_->outputs());
        rows_ = std::max<size_t>(std::min<size_t>(options.batch, facts_.largest), facts_.least);
        idle_.push_back(add_slot());
        if (!idle_.back())
            throw Failure(SGI_ERROR_MEMORY, "the GPU has no memory for " + std::to_string(rows_) +
                                                " rows; free some, set a smaller sgi_options.batch, or " +
                                                facts_.rebuild);
    }

    ~TensorRtBackend() override {
        try {
            const CudaDriver::Current current(*driver_);
            clear();
        } catch (const std::exception &) {
            clear(); // the driver has shut down and freed its memory
        }
    }

    void run(size_t count, const std::vector<const float *> &inputs,
             const std::vector<OutputBuffer> &outputs) override {
        const CudaDriver::Current current(*driver_);
        const Lease slot(*this);
        std::vector<std::pair<std::string, OutputBuffer>> named;
        for (const OutputBuffer &output : outputs) named.emplace_back(artifact_.types[output.type].name, output);
        for (size_t start = 0; start < count; start += rows_) {
            const size_t rows = std::min(rows_, count - start);
            std::map<std::string, const float *> values;
            for (size_t i = 0; i < inputs.size(); ++i) {
                const Input &input = artifact_.inputs[i];
                values[input.name] = inputs[i] + (input.shape.empty() ? 0 : input.values_of(start));
            }
            try {
                slot->run(rows, facts_.least, values, named);
            } catch (const OutOfMemory &) {
                throw Failure(SGI_ERROR_MEMORY, "the GPU has no memory left; free some");
            } catch (const Failure &failure) {
                throw Failure(failure.status, failure.what() + reason());
            }
            for (auto &[name, output] : named) output.data += rows * artifact_.image_size(artifact_.types[output.type]);
        }
    }

    std::string runtime() const override {
        const std::string name = facts_.module == "tensorrt" ? "TensorRT " : "TensorRT-RTX ";
        return name + library_->version() + " (" + library_->path() + ") on " + driver_->gpu().name;
    }

  private:
    // A slot for one pass; waits while all are in use.
    class Lease {
      public:
        explicit Lease(TensorRtBackend &backend) : backend_(backend), slot_(backend.take()) {}
        ~Lease() {
            {
                const std::lock_guard lock(backend_.mutex_);
                backend_.idle_.push_back(slot_);
            }
            backend_.released_.notify_one();
        }
        Lease(const Lease &) = delete;
        Lease &operator=(const Lease &) = delete;
        Slot *operator->() const { return slot_; }

      private:
        TensorRtBackend &backend_;
        Slot *slot_;
    };

    Slot *take() {
        std::unique_lock lock(mutex_);
        if (idle_.empty() && slots_.size() < most_) {
            if (Slot *slot = add_slot()) return slot;
            most_ = slots_.size(); // from now on passes run one after the other
        }
        released_.wait(lock, [this] { return !idle_.empty(); });
        Slot *slot = idle_.back();
        idle_.pop_back();
        return slot;
    }

    // NULL if the GPU does not have the memory.
    Slot *add_slot() {
        try {
            slots_.push_back(std::make_unique<Slot>(driver_, *engine_, rows_));
        } catch (const OutOfMemory &) {
            return nullptr;
        }
        return slots_.back().get();
    }

    std::string reason() const {
        const std::string error = library_->last_error();
        return error.empty() ? "" : " (" + error.substr(0, 200) + ")";
    }

    void clear() {
        slots_.clear();
        engine_.reset();
    }

    Artifact artifact_;
    EngineFacts facts_;
    std::shared_ptr<CudaDriver> driver_;
    std::unique_ptr<TensorRtLibrary> library_;
    std::unique_ptr<TensorRtEngine> engine_;
    size_t rows_ = 0;
    std::mutex mutex_; // guards the slots
    std::condition_variable released_;
    std::vector<std::unique_ptr<Slot>> slots_;
    std::vector<Slot *> idle_;
    size_t most_ = MOST_SLOTS;
};

} // namespace

std::unique_ptr<Backend> open_tensorrt(const Model &model, const Artifact &artifact, const BackendOptions &options) {
    return std::make_unique<TensorRtBackend>(model, artifact, options);
}

} // namespace sgi::internal
