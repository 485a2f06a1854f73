// A stand-in for TensorRT. Every engine computes depth = psi * mean of z + index of the class, image = -depth. An
// engine with the bytes "classes" has a label with three classes; one with the bytes "w+" takes ws and computes the
// mean of its last row.
#include "fake_tensorrt.hpp"
#include "fake_cuda.hpp"
#include "tensorrt_library.hpp"

#include <cmath>
#include <map>
#include <numeric>

#include <dlfcn.h>

FakeTensorRt &fake_tensorrt() {
    static FakeTensorRt fake;
    return fake;
}

namespace sgi::internal {
namespace {

constexpr size_t Z = 8, PIXELS = 16 * 16, CLASSES = 3, ROWS = 6;

FakeCuda *driver() {
    const auto get = reinterpret_cast<decltype(&fake_cuda)>(dlsym(dlopen("libcuda.so.1", RTLD_NOW), "fake_cuda"));
    return get();
}

struct Pass {
    size_t rows;
    std::map<std::string, uint64_t> addresses;

    float *at(const char *name) const { return reinterpret_cast<float *>(addresses.at(name)); }

    void compute() const {
        for (size_t n = 0; n < rows; ++n) {
            const bool has_z = addresses.count("z");
            const float *latent = has_z ? at("z") + n * Z : at("ws") + (n * ROWS + ROWS - 1) * Z;
            float value = (has_z ? *at("psi") : 1) * std::accumulate(latent, latent + Z, 0.0f) / Z;
            for (size_t c = 0; addresses.count("label") && c < CLASSES; ++c)
                value += static_cast<float>(c) * at("label")[n * CLASSES + c];
            fake_tensorrt().not_finite += !std::isfinite(value);
            for (size_t i = 0; i < PIXELS; ++i) at("depth")[n * PIXELS + i] = value;
            for (size_t i = 0; i < 3 * PIXELS; ++i) at("image")[n * 3 * PIXELS + i] = -value;
        }
    }
};

class Context final : public TensorRtContext {
  public:
    Context() { ++fake_tensorrt().contexts; }
    ~Context() override { --fake_tensorrt().contexts; }

    bool set_shape(const std::string &input, const std::vector<int64_t> &shape) override {
        if (input == "z" || input == "ws") pass_.rows = static_cast<size_t>(shape.at(0));
        return true;
    }
    bool set_address(const std::string &name, uint64_t address) override {
        pass_.addresses[name] = address;
        return true;
    }
    bool enqueue(void *stream) override {
        if (fake_tensorrt().failing > 0 && fake_tensorrt().failing-- > 0) return false;
        const auto work = [](void *argument) {
            const std::unique_ptr<Pass> pass(static_cast<Pass *>(argument));
            pass->compute();
        };
        return driver()->enqueue(stream, work, new Pass(pass_)) == 0;
    }

  private:
    Pass pass_{};
};

class Engine final : public TensorRtEngine {
  public:
    explicit Engine(std::string_view bytes) : bytes_(bytes) {}
    std::vector<Port> inputs() const override {
        if (bytes_ == "w+") return {{"ws", true, {-1, ROWS, Z}}};
        std::vector<Port> ports{{"z", true, {-1, Z}}, {"psi", true, {}}};
        if (bytes_ == "classes") ports.push_back({"label", true, {-1, CLASSES}});
        return ports;
    }
    std::vector<Port> outputs() const override {
        return {{"image", true, {-1, 3, 16, 16}}, {"depth", true, {-1, 1, 16, 16}}};
    }
    std::unique_ptr<TensorRtContext> context() override {
        ++fake_tensorrt().requested;
        if (fake_tensorrt().contexts >= fake_tensorrt().most) return nullptr;
        return std::make_unique<Context>();
    }

  private:
    std::string bytes_;
};

class Library final : public TensorRtLibrary {
  public:
    std::string module() const override { return "tensorrt"; }
    std::string version() const override { return "11.4.0.106"; }
    std::string path() const override { return "libnvinfer.so.11"; }
    std::string last_error() const override { return "what TensorRT logged"; }
    std::unique_ptr<TensorRtEngine> load(std::string_view engine) override {
        return fake_tensorrt().load_fails ? nullptr : std::make_unique<Engine>(engine);
    }
};

} // namespace

std::unique_ptr<TensorRtLibrary> load_tensorrt(const std::string &) { return std::make_unique<Library>(); }

} // namespace sgi::internal
