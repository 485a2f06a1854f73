// The pool of threads, and the number of threads it has by itself.
#include "check.hpp"
#include "pool.hpp"
#include "processors.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

using namespace sgi::cpu;

// Every item once, by a thread of the pool.
static void test_partition() {
    for (size_t threads = 1; threads <= 5; ++threads) {
        Pool pool(threads);
        CHECK(pool.threads() == threads);
        for (size_t items = 0; items <= 17; ++items) {
            std::vector<std::atomic<size_t>> calls(items);
            pool.run(items, [&](size_t item, size_t thread) {
                CHECK(thread < threads);
                ++calls[item];
            });
            for (const std::atomic<size_t> &count : calls) CHECK(count == 1);
        }
    }
}

// While the caller is held up in its first item, the other thread does the rest of the caller's share.
static void test_items_of_a_slow_thread_are_taken() {
    Pool pool(2);
    std::atomic<size_t> ended{0};
    pool.run(8, [&](size_t item, size_t) {
        if (item == 0)
            while (ended < 7) std::this_thread::yield();
        ++ended;
    });
    CHECK(ended == 8);
}

static void test_an_error_is_thrown() {
    Pool pool(3);
    for (int round = 0; round < 100; ++round) {
        bool caught = false;
        try {
            pool.run(9, [](size_t item, size_t) {
                if (item % 3 == 1) throw std::runtime_error(std::to_string(item));
            });
        } catch (const std::runtime_error &error) {
            caught = std::strlen(error.what()) == 1;
        }
        CHECK(caught);
        std::atomic<size_t> count{0};
        pool.run(9, [&](size_t, size_t) { ++count; });
        CHECK(count == 9);
    }
}

// Calls of several threads, with pauses that are longer and shorter than the pool spins.
static void test_callers_take_turns() {
    Pool pool(3);
    size_t inside = 0; // written without a lock: calls run one after the other
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 4; ++caller)
        callers.emplace_back([&, caller] {
            for (int round = 0; round < 100; ++round) {
                std::atomic<size_t> sum{0};
                pool.run(7, [&](size_t item, size_t) {
                    if (item == 0) ++inside;
                    sum += item;
                });
                CHECK(sum == 21);
                if (round % 25 == caller) std::this_thread::sleep_for(std::chrono::milliseconds(1));
            }
        });
    for (std::thread &caller : callers) caller.join();
    CHECK(inside == 4 * 100);
}

// A forked process has none of the threads: it starts its own, and its end does not wait for the others.
static void test_a_forked_process() {
#ifndef __SANITIZE_THREAD__ // which does not allow it to start threads
    const auto exit_of_child = [](auto work) {
        const pid_t child = fork();
        if (child == 0) {
            alarm(20);
            work();
            _exit(0);
        }
        int status = -1;
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        return status;
    };
    auto pool = std::make_unique<Pool>(3);
    const auto sum = [&] {
        std::atomic<size_t> sum{0};
        for (int round = 0; round < 3; ++round) pool->run(7, [&](size_t item, size_t) { sum += item; });
        return sum.load();
    };
    CHECK(sum() == 3 * 21);
    CHECK(exit_of_child([&] { CHECK(sum() == 3 * 21 && pool->threads() == 3 && (pool = nullptr) == nullptr); }) == 0);
    CHECK(exit_of_child([&] { pool = nullptr; }) == 0);
    CHECK(exit_of_child([&] { CHECK(sum() == 3 * 21 && exit_of_child([&] { CHECK(sum() == 3 * 21); }) == 0); }) == 0);
    CHECK(sum() == 3 * 21);
#endif
}

static void test_scratch() {
    Pool pool(2);
    pool.run(2, [&](size_t, size_t thread) {
        for (const size_t bytes : {1, 4096, 64, 100000}) {
            void *data = pool.scratch(thread, bytes);
            CHECK(reinterpret_cast<uintptr_t>(data) % 64 == 0);
            std::memset(data, 1, bytes);
        }
        CHECK(pool.scratch(thread, 10) == pool.scratch(thread, 100000));
    });
}

static void write(const std::filesystem::path &path, const char *text) {
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
}

static void test_quota() {
    const std::filesystem::path root =
        std::filesystem::temp_directory_path() / ("sgi-cgroup-" + std::to_string(std::random_device{}()));
    const auto quota = [&](const char *cgroup) { return quota_processors(cgroup, root.string()); };
    CHECK(quota("0::/\n") == 0 && quota("") == 0 && quota("nonsense\n") == 0);
    write(root / "cpu.max", "max 100000\n"); // version 2, as the kernel's cgroup-v2.rst gives it
    CHECK(quota("0::/\n") == 0);
    write(root / "a" / "cpu.max", "250000 100000\n");
    write(root / "a" / "b" / "cpu.max", "max 100000\n");
    CHECK(quota("0::/a/b\n") == 3 && quota("0::/a\n") == 3 && quota("0::/\n") == 0);
    CHECK(quota("0::/a/not-mounted\n") == 3);
    write(root / "a" / "b" / "cpu.max", "20000 100000\n");
    CHECK(quota("0::/a/b\n") == 1);
    write(root / "cpu" / "c" / "cpu.cfs_quota_us", "400000\n"); // version 1, as sched-bwc.rst gives it
    write(root / "cpu" / "c" / "cpu.cfs_period_us", "100000\n");
    write(root / "cpu" / "cpu.cfs_quota_us", "-1\n");
    write(root / "cpu" / "cpu.cfs_period_us", "100000\n");
    CHECK(quota("12:memory:/c\n4:cpu,cpuacct:/c\n0::/\n") == 4);
    CHECK(quota("4:cpuset:/c\n") == 0 && quota("4:cpu,cpuacct:/\n") == 0);
    std::filesystem::remove_all(root);
}

static void test_omp_threads() {
    CHECK(omp_threads(nullptr) == 0 && omp_threads("") == 0 && omp_threads("x") == 0 && omp_threads("-1") == 0);
    CHECK(omp_threads("3") == 3 && omp_threads(" 4,2") == 4 && omp_threads("0") == 0 && omp_threads("3x") == 0);
    CHECK(usable_processors() >= 1 && Pool().threads() == usable_processors());
}

int main() {
    test_partition();
    test_items_of_a_slow_thread_are_taken();
    test_an_error_is_thrown();
    test_callers_take_turns();
    test_a_forked_process();
    test_scratch();
    test_quota();
    test_omp_threads();
}
