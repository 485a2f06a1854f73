// Overhead of the library over OrtApi::Run, measured alternately on the same model and inputs.
// Usage: bench_overhead MODEL [calls]; prints JSON with medians in milliseconds of CPU time.
#include "../src/ort_library.hpp"

#include <sgi/sgi.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace {

class BareSession {
  public:
    BareSession(const std::string &path, const sgi_model_info &info, uint32_t threads)
        : api_(*sgi::internal::load_onnxruntime("").api), z_(info.z_dim) {
        OrtEnv *env = nullptr;
        OrtSessionOptions *options = nullptr;
        check(api_.CreateEnv(ORT_LOGGING_LEVEL_FATAL, "bare", &env));
        check(api_.CreateSessionOptions(&options));
        check(api_.SetSessionGraphOptimizationLevel(options, ORT_ENABLE_ALL));
        check(api_.SetIntraOpNumThreads(options, static_cast<int>(threads)));
        check(api_.AddSessionConfigEntry(options, "session.force_spinning_stop", "1"));
        check(api_.CreateSession(env, path.c_str(), options, &session_));
        check(api_.CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory_));
        const int64_t side = info.resolution;
        add(z_.data(), {1, info.z_dim});
        add(&psi_, {});
        for (size_t i = 0; i < info.type_count; ++i) {
            names_.push_back(info.types[i].name);
            maps_.emplace_back(info.types[i].channels * side * side);
            add(maps_.back().data(), {1, info.types[i].channels, side, side});
        }
    }

    void run() {
        const char *inputs[] = {"z", "psi"};
        check(api_.Run(session_, nullptr, inputs, values_.data(), 2, names_.data(), names_.size(), values_.data() + 2));
    }

    std::vector<float> &z() { return z_; }

  private:
    void add(float *data, const std::vector<int64_t> &shape) {
        size_t size = sizeof(float);
        for (const int64_t dimension : shape) size *= static_cast<size_t>(dimension);
        values_.push_back(nullptr);
        check(api_.CreateTensorWithDataAsOrtValue(memory_, data, size, shape.data(), shape.size(),
                                                  ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &values_.back()));
    }
    void check(OrtStatus *status) {
        if (!status) return;
        std::fprintf(stderr, "error: %s\n", api_.GetErrorMessage(status));
        std::exit(1);
    }

    const OrtApi &api_;
    OrtSession *session_ = nullptr;
    OrtMemoryInfo *memory_ = nullptr;
    float psi_ = 1;
    std::vector<float> z_;
    std::vector<OrtValue *> values_;
    std::vector<const char *> names_;
    std::vector<std::vector<float>> maps_;
};

// CPU time of this thread: all work runs in one thread, and other programs do not affect it.
double now() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) * 1e-6;
}

template <class Call> double milliseconds(Call call) {
    const double start = now();
    call();
    return now() - start;
}

double median(std::vector<double> times) {
    std::nth_element(times.begin(), times.begin() + static_cast<long>(times.size() / 2), times.end());
    return times[times.size() / 2];
}

} // namespace

int main(int argc, char **argv) {
    if (argc < 2) return std::fputs("usage: bench_overhead MODEL [calls]\n", stderr), 2;
    const int calls = argc > 2 ? std::atoi(argv[2]) : 300;
    sgi::Options options;
    options.threads = 1;
    sgi::Engine engine(argv[1], options);
    const sgi_model_info info = engine.info();
    BareSession bare(argv[1], info, options.threads);

    std::vector<std::vector<float>> maps;
    std::vector<sgi_output> outputs;
    for (const sgi_type &type : engine.types()) {
        maps.emplace_back(size_t{type.channels} * info.resolution * info.resolution);
        outputs.push_back({type.name, maps.back().data(), maps.back().size() * sizeof(float)});
    }
    std::vector<double> ours, theirs;
    for (int i = -calls / 10; i < calls; ++i) {
        const auto seed = static_cast<uint32_t>(i + calls);
        sgi_request request{};
        request.size = sizeof request;
        request.count = 1;
        request.seeds = &seed;
        std::vector<double> z(info.z_dim);
        sgi_latent(seed, z.data(), z.size());
        std::copy(z.begin(), z.end(), bare.z().begin());
        double with = 0, without = 0;
        const auto run_ours = [&] {
            with = milliseconds([&] {
                if (sgi_generate(engine.get(), &request, outputs.data(), outputs.size())) std::abort();
            });
        };
        // The second run has a warmer cache, so the order alternates.
        if (i % 2) run_ours();
        without = milliseconds([&] { bare.run(); });
        if (i % 2 == 0) run_ours();
        if (i < 0) continue; // warm-up
        ours.push_back(with);
        theirs.push_back(without);
    }
    std::printf("{\"calls\": %d, \"sgi_generate_ms\": %.4f, \"bare_run_ms\": %.4f, \"overhead\": %.4f}\n", calls,
                median(ours), median(theirs), median(ours) / median(theirs) - 1);
    return 0;
}
