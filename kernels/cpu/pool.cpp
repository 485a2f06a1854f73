#include "pool.hpp"

#include "aligned.hpp"
#include "processors.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <pthread.h>

namespace sgi::cpu {
namespace {

// Longer than the serial code between two layers, shorter than a scheduler's time slice.
constexpr std::chrono::microseconds SPIN{50};

void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("isb" ::: "memory"); // a longer pause than `yield`, which most cores skip
#endif
}

// Whether `ready` holds after waiting for at most `limit`.
template <class Ready> bool spin(Ready ready, std::chrono::microseconds limit) {
    if (ready()) return true;
    if (limit.count() == 0) return false;
    const auto until = std::chrono::steady_clock::now() + limit;
    do {
        for (int i = 0; i < 16; ++i) {
            pause();
            if (ready()) return true;
        }
    } while (std::chrono::steady_clock::now() < until);
    return false;
}

// What a thread owns; a cache line each, so that threads do not write to the same one.
struct alignas(64) Slot {
    AlignedArray<unsigned char> scratch;
    size_t bytes = 0;
    std::exception_ptr error;
    std::atomic<size_t> next{0}; // of the thread's items, the first that nobody has begun
};

// Number of forks between the first process with a pool and this one. A forked process has none of the threads.
std::atomic<unsigned> forks{0};

unsigned forks_so_far() {
    static const int registered = pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1); });
    return registered == 0 ? forks.load(std::memory_order_relaxed) : 0;
}

} // namespace

struct Pool::State {
    explicit State(size_t threads)
        : slots(threads), patience(threads <= usable_processors() ? SPIN : std::chrono::microseconds{0}) {
        workers.reserve(threads - 1);
        try {
            for (size_t thread = 1; thread < threads; ++thread) workers.emplace_back([this, thread] { serve(thread); });
        } catch (const std::system_error &error) {
            const std::string started = std::to_string(workers.size());
            stop();
            throw std::system_error(error.code(), "only " + started + " of " + std::to_string(threads - 1) +
                                                      " threads could be started");
        } catch (...) {
            stop();
            throw;
        }
    }

    ~State() { stop(); }

    void stop() {
        {
            const std::lock_guard<std::mutex> lock(mutex);
            work = nullptr;
            generation.fetch_add(1, std::memory_order_release);
        }
        start.notify_all();
        for (std::thread &worker : workers) worker.join();
    }

    // The items of one thread, then what others have not begun: another program may hold up one of them. An error is
    // kept for the caller.
    void do_share(size_t thread) noexcept {
        const size_t threads = slots.size();
        try {
            for (size_t i = 0; i < threads; ++i) {
                const size_t owner = (thread + i) % threads, end = items * (owner + 1) / threads;
                for (size_t item; (item = slots[owner].next.fetch_add(1, std::memory_order_relaxed)) < end;)
                    (*work)(item, thread);
            }
        } catch (...) {
            slots[thread].error = std::current_exception();
        }
    }

    void serve(size_t thread) {
        for (uint64_t seen = 0;;) {
            const auto started = [&] { return generation.load(std::memory_order_acquire) != seen; };
            if (!spin(started, patience)) {
                std::unique_lock<std::mutex> lock(mutex);
                start.wait(lock, started);
            }
            ++seen; // the next generation starts only after this one has ended
            if (!work) return;
            do_share(thread);
            if (running.fetch_sub(1, std::memory_order_acq_rel) == 1) {
                // The lock, because otherwise the caller could go to sleep between its check and this notification.
                const std::lock_guard<std::mutex> lock(mutex);
                done.notify_one();
            }
        }
    }

    void run(size_t count, const std::function<void(size_t, size_t)> &function) {
        if (count <= 1 || slots.size() == 1) {
            for (size_t item = 0; item < count; ++item) function(item, 0);
            return;
        }
        {
            const std::lock_guard<std::mutex> lock(mutex);
            items = count, work = &function;
            for (size_t thread = 0; thread < slots.size(); ++thread)
                slots[thread].next.store(count * thread / slots.size(), std::memory_order_relaxed);
            running.store(workers.size(), std::memory_order_relaxed);
            generation.fetch_add(1, std::memory_order_release);
        }
        start.notify_all();
        do_share(0);
        const auto ended = [&] { return running.load(std::memory_order_acquire) == 0; };
        if (!spin(ended, patience)) {
            std::unique_lock<std::mutex> lock(mutex);
            done.wait(lock, ended);
        }
        std::exception_ptr first;
        for (Slot &slot : slots) {
            if (!first) first = slot.error;
            slot.error = nullptr;
        }
        if (first) std::rethrow_exception(first);
    }

    std::vector<Slot> slots; // of the caller, then of every worker
    const std::chrono::microseconds patience;
    const unsigned process = forks_so_far();
    std::mutex mutex;
    std::condition_variable start, done;
    std::atomic<uint64_t> generation{0};
    std::atomic<size_t> running{0};
    // Of the present generation; no work means the end.
    size_t items = 0;
    const std::function<void(size_t, size_t)> *work = nullptr;
    std::vector<std::thread> workers;
};

Pool::Pool(size_t threads) : state_(std::make_unique<State>(threads ? threads : usable_processors())) {}

Pool::~Pool() { forget_foreign(state_); }

size_t Pool::threads() const { return state_->slots.size(); }

void Pool::run(size_t items, const std::function<void(size_t item, size_t thread)> &work) {
    const std::lock_guard<std::mutex> turn(callers_);
    if (state_->process != forks_so_far()) {
        std::unique_ptr<State> own = std::make_unique<State>(threads());
        state_.swap(own);
        forget_foreign(own);
    }
    state_->run(items, work);
}

// Leaves the state of the process that forked this one: its end would wait for threads that do not exist here.
void Pool::forget_foreign(std::unique_ptr<State> &state) {
    if (state->process != forks_so_far()) static_cast<void>(state.release());
}

void *Pool::scratch(size_t thread, size_t bytes) {
    Slot &slot = state_->slots[thread];
    if (bytes > slot.bytes) {
        slot.scratch.reset(); // before the next one is there, to need less memory
        slot.bytes = 0;
        slot.scratch = aligned_array<unsigned char>(bytes);
        slot.bytes = bytes;
    }
    return slot.scratch.get();
}

} // namespace sgi::cpu
