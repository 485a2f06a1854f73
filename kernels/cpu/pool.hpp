// A fixed pool of threads.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>

namespace sgi::cpu {

class Pool {
  public:
    // threads: 0 means the processors that this process may use: its affinity, the quota of its cgroup, and
    // OMP_NUM_THREADS where it is smaller. Throws std::system_error where the system starts fewer threads.
    explicit Pool(size_t threads = 0);
    ~Pool();
    Pool(const Pool &) = delete;
    Pool &operator=(const Pool &) = delete;

    size_t threads() const;

    // Calls work(item, thread) for every item from 0 to items - 1 and returns when all have returned; thread is below
    // threads(). Each thread begins with a share of consecutive items, and then takes items that other threads have not
    // begun. Calls of several threads run one after the other; work must not call it. An error ends the items of its
    // thread; the one of the first thread is thrown again. A process that was forked while no call was running starts
    // threads of its own.
    void run(size_t items, const std::function<void(size_t item, size_t thread)> &work);

    // Scratch memory of a thread, aligned to 64 bytes, at least `bytes` large; kept until the pool is destroyed.
    // Only for use inside `work`, with its thread; a later call with more bytes invalidates it.
    void *scratch(size_t thread, size_t bytes);

  private:
    struct State;
    static void forget_foreign(std::unique_ptr<State> &state);

    std::mutex callers_;
    std::unique_ptr<State> state_;
};

} // namespace sgi::cpu
