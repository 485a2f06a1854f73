// Many threads on one engine: correct values, one error message per thread, constant memory.
// Usage: test_threads BACKEND [seconds] [threads] [streams]
#include "check.hpp"

#include <sgi/sgi.hpp>

#include <atomic>
#include <chrono>
#include <cmath>
#include <thread>

#include <unistd.h>

namespace {

constexpr size_t SEEDS = 16;
// Growth of the allocators of 64 threads after the warm-up.
constexpr long SLACK_KB = 16 * 1024;

long resident_kb() {
    long pages = 0, resident = 0;
    std::ifstream("/proc/self/statm") >> pages >> resident;
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

struct Work {
    sgi::Engine &engine;
    const sgi::Maps &expected;
    std::atomic<bool> stop{false};
    std::atomic<long> calls{0}, wrong{0};

    void run(size_t number) {
        const std::string unknown = "thread-" + std::to_string(number);
        sgi::Request request;
        for (size_t i = number; !stop; ++i) {
            const uint32_t seed = static_cast<uint32_t>(i % SEEDS);
            const sgi::Maps maps = engine.generate({seed});
            for (const sgi::Map &map : maps) {
                const sgi::Span<const float> want = expected[map.type()].image(seed), got = map.image(0);
                for (size_t k = 0; k < got.size(); ++k) wrong += !(std::fabs(got[k] - want[k]) <= 1e-5f);
            }
            float value = 0;
            sgi_request raw{};
            raw.size = sizeof raw;
            raw.count = 1;
            raw.seeds = &seed;
            const sgi_output output{unknown.c_str(), &value, sizeof value};
            wrong += sgi_generate(engine.get(), &raw, &output, 1) != SGI_ERROR_ARGUMENT;
            wrong += std::string(sgi_last_error()).find("'" + unknown + "'") == std::string::npos;
            ++calls;
        }
    }
};

} // namespace

int main(int argc, char **argv) {
    CHECK(argc > 1);
    const double seconds = argc > 2 ? std::atof(argv[2]) : 3;
    const size_t count = argc > 3 ? static_cast<size_t>(std::atoi(argv[3])) : 64;
    sgi::Options options;
    options.backend = argv[1];
    options.streams = argc > 4 ? static_cast<uint32_t>(std::atoi(argv[4])) : 0;
    options.threads = options.streams + options.streams / 2; // not divisible
    sgi::Engine engine(MODEL, options);
    std::vector<uint32_t> seeds(SEEDS);
    for (uint32_t i = 0; i < SEEDS; ++i) seeds[i] = i;
    const sgi::Maps expected = engine.generate(seeds);

    Work work{engine, expected};
    std::vector<std::thread> threads;
    for (size_t i = 0; i < count; ++i) threads.emplace_back([&work, i] { work.run(i); });
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds / 3));
    const long warm = resident_kb();
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds * 2 / 3));
    const long end = resident_kb();
    work.stop = true;
    for (std::thread &thread : threads) thread.join();

    std::printf("%zu threads, %.0f s: %ld calls, %ld wrong, %ld kB resident, then %ld kB\n", count, seconds,
                work.calls.load(), work.wrong.load(), warm, end);
    CHECK(work.calls >= static_cast<long>(count));
    CHECK(work.wrong == 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    CHECK(end - warm < SLACK_KB);
#endif
    return 0;
}
