// Many threads on one engine: correct values, one error message per thread, constant memory.
// Usage: test_threads BACKEND [threads] [streams]
#include "check.hpp"

#include <sgi/sgi.hpp>

#include <atomic>
#include <cmath>
#include <thread>

#include <malloc.h>
#include <unistd.h>

namespace {

constexpr size_t SEEDS = 16;
constexpr size_t CALLS = SANITIZED ? 192 : 3840; // of all threads together
// Growth of the allocators of 64 threads after the warm-up.
constexpr long SLACK_KB = 4 * 1024;

long resident_kb() {
    long pages = 0, resident = 0;
    std::ifstream("/proc/self/statm") >> pages >> resident;
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

struct Work {
    sgi::Engine &engine;
    const sgi::Maps &expected;
    std::atomic<size_t> calls{0}, wrong{0};

    void run(size_t number, size_t times) {
        const std::string unknown = "thread-" + std::to_string(number);
        sgi::Request request;
        for (size_t i = number; i < number + times; ++i) {
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
#ifdef M_ARENA_MAX
    mallopt(M_ARENA_MAX, 2); // so that memory soon stops to grow
#endif
    const size_t count = argc > 2 ? static_cast<size_t>(std::atoi(argv[2])) : 64;
    const size_t calls = CALLS / count; // of each thread
    sgi::Options options;
    options.backend = argv[1];
    options.streams = argc > 3 ? static_cast<uint32_t>(std::atoi(argv[3])) : 0;
    options.threads = options.streams + options.streams / 2; // not divisible
    sgi::Engine engine(MODEL, options);
    std::vector<uint32_t> seeds(SEEDS);
    for (uint32_t i = 0; i < SEEDS; ++i) seeds[i] = i;
    const sgi::Maps expected = engine.generate(seeds);

    Work work{engine, expected};
    const auto run_all = [&](size_t times) {
        std::vector<std::thread> threads;
        for (size_t i = 0; i < count; ++i) threads.emplace_back([&work, i, times] { work.run(i, times); });
        for (std::thread &thread : threads) thread.join();
        return resident_kb();
    };
    const long warm = run_all(calls - calls / 3);
    const long end = run_all(calls / 3);

    std::printf("%zu threads: %zu calls, %zu wrong, %ld kB resident, then %ld kB\n", count, work.calls.load(),
                work.wrong.load(), warm, end);
    CHECK(work.calls == count * calls);
    CHECK(work.wrong == 0);
    CHECK(SANITIZED || end - warm < SLACK_KB);
    return 0;
}
