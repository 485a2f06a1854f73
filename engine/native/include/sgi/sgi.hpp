// sgi-engine in C++17: header-only wrapper of sgi.h that owns its objects and throws exceptions.
//
//     sgi::Engine engine("rooms.onnx");
//     sgi::Maps maps = engine.generate({0, 1, 42});
//     float far = maps["depth"](2, 0, 32, 32);   // third seed, channel 0, row 32, column 32
//
// Errors are thrown as sgi::Error. Threads may share an Engine; move or destroy it after all other calls have returned.
#ifndef SGI_SGI_HPP
#define SGI_SGI_HPP

#include <sgi/sgi.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace sgi {

// A failed call: status() is the kind of error, what() names the argument or file and the remedy.
class Error : public std::runtime_error {
  public:
    Error(sgi_status status, const std::string &message) : std::runtime_error(message), status_(status) {}
    sgi_status status() const noexcept { return status_; }

  private:
    sgi_status status_;
};

// A view of contiguous elements without ownership: std::span for C++17.
template <class T> class Span {
  public:
    constexpr Span() noexcept = default;
    constexpr Span(T *data, size_t size) noexcept : data_(data), size_(size) {}
    // From std::vector, std::array, std::span and other containers with data() and size().
    template <class C, class = decltype(static_cast<T *>(std::declval<C &>().data()))>
    constexpr Span(C &&container) noexcept : data_(container.data()), size_(container.size()) {}

    constexpr T *data() const noexcept { return data_; }
    constexpr size_t size() const noexcept { return size_; }
    constexpr T &operator[](size_t i) const noexcept { return data_[i]; }
    constexpr T *begin() const noexcept { return data_; }
    constexpr T *end() const noexcept { return data_ + size_; }

  private:
    T *data_ = nullptr;
    size_t size_ = 0;
};

// sgi_options with owned strings; see there for the fields.
struct Options {
    std::string backend, device, types, runtime;
    uint32_t threads = 0, batch = 0;
    std::string precision;
    uint32_t streams = 0;
};

// sgi_request: one of seeds, z, w and ws; with seeds or z one of classes and labels for a conditional model.
struct Request {
    Span<const uint32_t> seeds;
    Span<const float> z; // [N, z_dim]
    Span<const uint32_t> classes;
    std::optional<float> psi;
    Span<const float> labels; // [N, c_dim]
    Span<const float> w;      // [N, w_dim]
    Span<const float> ws;     // [N, num_ws, w_dim]
};

// A type and the buffer for its values.
struct Output {
    std::string type;
    Span<float> values; // [N, C, R, R]
};

// The names of the classes of a segmentation; empty for every other type.
inline Span<const char *const> classes(const sgi_type &type) noexcept { return {type.classes, type.class_count}; }

// The display code u in [0, 1] of a value: what a picture of the map shows. For class indices use sgi_type.colours.
inline float display_code(const sgi_type &type, float value) noexcept {
    const float share = std::min(std::max(0.0f, (value - type.low) / (type.high - type.low)), 1.0f);
    switch (type.decoding) {
    case SGI_DECODING_INVERSE: return 1 - share;
    case SGI_DECODING_LINEAR: // IEC 61966-2-1
        return share <= 0.0031308f ? share * 12.92f : 1.055f * std::pow(share, 1 / 2.4f) - 0.055f;
    default: return share;
    }
}

// One type of map for N images: [N, C, R, R] float32.
class Map {
  public:
    Map(std::string type, size_t count, size_t channels, size_t side)
        : type_(std::move(type)), count_(count), channels_(channels), side_(side), values_(count * image_size()) {}

    const std::string &type() const noexcept { return type_; }
    size_t count() const noexcept { return count_; }
    size_t channels() const noexcept { return channels_; }
    size_t side() const noexcept { return side_; }
    Span<float> values() noexcept { return {values_.data(), values_.size()}; }
    Span<const float> values() const noexcept { return {values_.data(), values_.size()}; }
    // The values of image n: [C, R, R].
    Span<const float> image(size_t n) const noexcept { return {values_.data() + n * image_size(), image_size()}; }
    float operator()(size_t n, size_t c, size_t y, size_t x) const noexcept {
        return values_[((n * channels_ + c) * side_ + y) * side_ + x];
    }

  private:
    size_t image_size() const noexcept { return channels_ * side_ * side_; }

    std::string type_;
    size_t count_, channels_, side_;
    std::vector<float> values_;
};

// The maps of one call, in the order of the model's types.
class Maps : public std::vector<Map> {
  public:
    using std::vector<Map>::vector;
    using std::vector<Map>::operator[];
    const Map &operator[](std::string_view type) const {
        for (const Map &map : *this)
            if (map.type() == type) return map;
        throw Error(SGI_ERROR_ARGUMENT, "no map of type " + std::string(type) + " was generated");
    }
};

// A loaded model.
class Engine {
  public:
    explicit Engine(const std::string &path, const Options &options = {}) {
        const sgi_options raw = c_options(options);
        check(sgi_open(path.c_str(), &raw, &engine_));
    }
    // From the bytes of a model file.
    explicit Engine(Span<const unsigned char> model, const Options &options = {}) {
        const sgi_options raw = c_options(options);
        check(sgi_open_memory(model.data(), model.size(), &raw, &engine_));
    }
    Engine(Engine &&other) noexcept : engine_(std::exchange(other.engine_, nullptr)) {}
    Engine &operator=(Engine &&other) noexcept {
        std::swap(engine_, other.engine_);
        return *this;
    }
    Engine(const Engine &) = delete;
    Engine &operator=(const Engine &) = delete;
    ~Engine() { sgi_close(engine_); }

    // Description of the model; its pointers are valid as long as the engine.
    sgi_model_info info() const {
        sgi_model_info info{};
        info.size = sizeof info;
        check(sgi_info(engine_, &info));
        return info;
    }
    Span<const sgi_type> types() const {
        const sgi_model_info model = info();
        return {model.types, model.type_count};
    }

    // Maps of every loaded type for these seeds.
    Maps generate(Span<const uint32_t> seeds, std::optional<float> psi = {}) {
        Request request;
        request.seeds = seeds;
        request.psi = psi;
        return generate(request);
    }
    Maps generate(std::initializer_list<uint32_t> seeds, std::optional<float> psi = {}) {
        return generate(Span<const uint32_t>(seeds.begin(), seeds.size()), psi);
    }
    Maps generate(const Request &request) {
        const sgi_model_info model = info();
        const size_t count = count_of(request, model);
        Maps maps;
        std::vector<Output> outputs;
        for (const sgi_type &type : Span<const sgi_type>(model.types, model.type_count))
            maps.emplace_back(type.name, count, type.channels, model.resolution);
        for (Map &map : maps) outputs.push_back({map.type(), map.values()});
        generate_into(request, outputs);
        return maps;
    }
    // Maps of the named types, written into buffers of the caller.
    void generate_into(const Request &request, const std::vector<Output> &outputs) {
        const bool is_sized = request.z.size() || request.w.size() || request.ws.size() || request.labels.size();
        const sgi_model_info model = is_sized ? info() : sgi_model_info{};
        const size_t images = count_of(request, model);
        if (request.classes.size() && request.classes.size() != images)
            throw Error(SGI_ERROR_ARGUMENT, "classes takes one value for each image");
        if (request.labels.size() && model.c_dim && request.labels.size() != images * model.c_dim)
            throw Error(SGI_ERROR_ARGUMENT, "labels takes c_dim values for each image");
        const float *psi = request.psi ? &*request.psi : nullptr;
        const sgi_request raw{sizeof raw,
                              images,
                              request.seeds.data(),
                              request.z.data(),
                              request.classes.data(),
                              psi,
                              request.labels.data(),
                              request.w.data(),
                              request.ws.data()};
        std::vector<sgi_output> buffers;
        for (const Output &output : outputs)
            buffers.push_back({output.type.c_str(), output.values.data(), output.values.size() * sizeof(float)});
        check(sgi_generate(engine_, &raw, buffers.data(), buffers.size()));
    }

    // The C engine, for calls that this wrapper does not have; this object keeps ownership.
    sgi_engine *get() const noexcept { return engine_; }

  private:
    // The number of images; latents are whole rows.
    static size_t count_of(const Request &request, const sgi_model_info &model) {
        const size_t ws_row = size_t{model.num_ws} * model.w_dim;
        if (request.z.size()) return count_of(request.z, model.z_dim, "z takes z_dim");
        if (request.w.size()) return count_of(request.w, model.w_dim, "w takes w_dim");
        if (request.ws.size()) return count_of(request.ws, ws_row, "ws takes num_ws * w_dim");
        return request.seeds.size();
    }
    static size_t count_of(Span<const float> values, size_t row, const char *takes) {
        if (!row) return 1; // a model without w, for which sgi_generate has the message
        if (values.size() % row) throw Error(SGI_ERROR_ARGUMENT, std::string(takes) + " values for each image");
        return values.size() / row;
    }
    static const char *or_null(const std::string &text) { return text.empty() ? nullptr : text.c_str(); }
    static sgi_options c_options(const Options &options) {
        sgi_options raw = sgi_options_default();
        raw.backend = or_null(options.backend);
        raw.device = or_null(options.device);
        raw.types = or_null(options.types);
        raw.runtime = or_null(options.runtime);
        raw.threads = options.threads;
        raw.batch = options.batch;
        raw.precision = or_null(options.precision);
        raw.streams = options.streams;
        return raw;
    }
    static void check(sgi_status status) {
        if (status != SGI_OK) throw Error(status, sgi_last_error());
    }

    sgi_engine *engine_ = nullptr;
};

} // namespace sgi

#endif
