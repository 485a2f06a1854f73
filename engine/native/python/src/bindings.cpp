// The functions of sgi.h for Python. Arrays are checked for type and layout here; src/sgi_cpu/__init__.py makes them.
#include <sgi/sgi.h>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cctype>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace nb = nanobind;
using namespace nb::literals;

namespace {

template <class T, int Dimensions> using Array = nb::ndarray<T, nb::ndim<Dimensions>, nb::c_contig, nb::device::cpu>;
template <int Dimensions> using Input = std::optional<Array<const float, Dimensions>>;
using Output = std::pair<std::string, Array<float, 4>>;

struct Failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};
struct ArgumentFailure : Failure {
    using Failure::Failure;
};
struct ModelFailure : Failure {
    using Failure::Failure;
};
struct UnsupportedFailure : Failure {
    using Failure::Failure;
};

// The message with the fields of sgi.h as parameters of Python.
std::string in_python(std::string message) {
    for (const std::string prefix : {"sgi_options.", "sgi_request."})
        for (size_t at = 0; (at = message.find(prefix, at)) != std::string::npos; ++at) {
            size_t end = at + prefix.size();
            while (end < message.size() && (std::isalpha(static_cast<unsigned char>(message[end])))) ++end;
            message = message.substr(0, at) + '`' + message.substr(at + prefix.size(), end - at - prefix.size()) + '`' +
                      message.substr(end);
        }
    const std::string null = "leave it NULL";
    const size_t at = message.find(null);
    return at == std::string::npos ? message : message.replace(at, null.size(), "leave it out");
}

void check(sgi_status status, const std::string &error) {
    const std::string message = in_python(error);
    switch (status) {
    case SGI_OK: return;
    case SGI_ERROR_ARGUMENT: throw ArgumentFailure(message);
    case SGI_ERROR_MODEL: throw ModelFailure(message);
    case SGI_ERROR_BACKEND: throw UnsupportedFailure(message);
    case SGI_ERROR_MEMORY: PyErr_SetString(PyExc_MemoryError, message.c_str()); throw nb::python_error();
    case SGI_ERROR_RUNTIME: break;
    }
    throw Failure(message);
}

// Calls a function of sgi.h without the interpreter's lock; the message belongs to this thread.
template <class Call> void unlocked(Call call) {
    sgi_status status;
    std::string message;
    {
        nb::gil_scoped_release release;
        status = call();
        if (status != SGI_OK) message = sgi_last_error();
    }
    check(status, message);
}

// An open model. It is freed when it is closed and the last call has returned.
class Engine {
  public:
    Engine(const std::optional<nb::bytes> &path, const std::optional<nb::bytes> &model,
           const std::optional<std::string> &types, uint32_t threads, uint32_t batch, uint32_t streams,
           const std::optional<std::string> &precision, const std::string &backend) {
        sgi_options options = sgi_options_default();
        options.backend = backend.c_str();
        options.types = types ? types->c_str() : nullptr;
        options.threads = threads;
        options.batch = batch;
        options.streams = streams;
        options.precision = precision ? precision->c_str() : nullptr;
        const char *file = path ? path->c_str() : nullptr, *bytes = model ? model->c_str() : nullptr;
        const size_t size = model ? model->size() : 0;
        sgi_engine *opened = nullptr;
        unlocked(
            [&] { return file ? sgi_open(file, &options, &opened) : sgi_open_memory(bytes, size, &options, &opened); });
        engine_.reset(opened, sgi_close);
    }

    void run(const std::optional<Array<const uint32_t, 1>> &seeds, const Input<2> &z, const Input<2> &w,
             const Input<3> &ws, const Input<2> &labels, std::optional<float> psi, size_t count,
             const std::vector<Output> &outputs) const {
        const std::shared_ptr<sgi_engine> engine = opened();
        sgi_model_info info = {};
        info.size = sizeof info;
        check(sgi_info(engine.get(), &info), sgi_last_error());
        require(!seeds || seeds->shape(0) == count, "seeds");
        require(!z || (z->shape(0) == count && z->shape(1) == info.z_dim), "z");
        require(!w || (w->shape(0) == count && w->shape(1) == info.w_dim), "w");
        require(!ws || (ws->shape(0) == count && ws->shape(1) == info.num_ws && ws->shape(2) == info.w_dim), "ws");
        require(!labels || (labels->shape(0) == count && labels->shape(1) == info.c_dim), "labels");

        sgi_request request = {};
        request.size = sizeof request;
        request.count = count;
        if (seeds) request.seeds = seeds->data();
        if (z) request.z = z->data();
        if (w) request.w = w->data();
        if (ws) request.ws = ws->data();
        if (labels) request.labels = labels->data();
        if (psi) request.psi = &*psi;
        std::vector<sgi_output> buffers;
        for (const Output &output : outputs)
            buffers.push_back({output.first.c_str(), output.second.data(), output.second.nbytes()});
        unlocked([&] { return sgi_generate(engine.get(), &request, buffers.data(), buffers.size()); });
    }

    nb::dict info() const {
        const std::shared_ptr<sgi_engine> engine = opened();
        sgi_model_info info = {};
        info.size = sizeof info;
        check(sgi_info(engine.get(), &info), sgi_last_error());
        nb::dict channels;
        for (size_t i = 0; i < info.type_count; ++i) channels[info.types[i].name] = info.types[i].channels;
        nb::dict found;
        found["channels"] = channels;
        found["resolution"] = info.resolution;
        found["z_dim"] = info.z_dim;
        found["w_dim"] = info.w_dim;
        found["num_ws"] = info.num_ws;
        found["c_dim"] = info.c_dim;
        found["psi"] = info.psi;
        found["input"] = info.input;
        found["runtime"] = info.runtime;
        found["description"] = info.description;
        return found;
    }

    void close() { engine_.reset(); }

  private:
    std::shared_ptr<sgi_engine> opened() const {
        if (!engine_) throw ArgumentFailure("the engine is closed");
        return engine_;
    }

    static void require(bool fits, const char *name) {
        if (!fits)
            throw ArgumentFailure(std::string("the shape of ") + name + " does not fit the model and the others");
    }

    std::shared_ptr<sgi_engine> engine_;
};

} // namespace

NB_MODULE(_core, module) {
    nb::set_leak_warnings(false); // an engine that a thread still has when the interpreter ends is no error
    auto failure = nb::exception<Failure>(module, "Error", PyExc_RuntimeError);
    nb::exception<ArgumentFailure>(module, "ArgumentError", failure.ptr());
    nb::exception<ModelFailure>(module, "ModelError", failure.ptr());
    nb::exception<UnsupportedFailure>(module, "UnsupportedError", failure.ptr());
    nb::class_<Engine>(module, "Engine")
        .def(nb::init<const std::optional<nb::bytes> &, const std::optional<nb::bytes> &,
                      const std::optional<std::string> &, uint32_t, uint32_t, uint32_t,
                      const std::optional<std::string> &, const std::string &>(),
             "path"_a.none(), "model"_a.none(), "types"_a.none(), "threads"_a, "batch"_a, "streams"_a,
             "precision"_a.none(), "backend"_a)
        .def("run", &Engine::run, "seeds"_a.none(), "z"_a.none(), "w"_a.none(), "ws"_a.none(), "labels"_a.none(),
             "psi"_a.none(), "count"_a, "outputs"_a)
        .def("info", &Engine::info)
        .def("close", &Engine::close);
    module.def("latent", [](uint32_t seed, const Array<double, 1> &z) {
        const sgi_status status = sgi_latent(seed, z.data(), z.shape(0));
        check(status, sgi_last_error());
    });
    module.attr("__version__") = sgi_version();
}
