// Access to the first GPU through the driver's library, libcuda.so.1, which is loaded at run time and not linked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace sgi::internal {

struct Gpu {
    std::string name;
    std::pair<int, int> capability; // such as {9, 0}
};

// The GPU or the pinned memory of the host has no free memory.
struct OutOfMemory : std::runtime_error {
    OutOfMemory() : std::runtime_error("the GPU has no memory") {}
};

// The primary context of the first GPU, which TensorRT also uses.
class CudaDriver {
  public:
    // NULL without a driver or a GPU. Throws Failure(SGI_ERROR_BACKEND) for a driver without a function that we call.
    static std::shared_ptr<CudaDriver> open();
    ~CudaDriver();
    CudaDriver(const CudaDriver &) = delete;
    CudaDriver &operator=(const CudaDriver &) = delete;

    const Gpu &gpu() const { return gpu_; }

    // Makes the context current in this thread during its lifetime.
    class Current {
      public:
        explicit Current(const CudaDriver &driver);
        ~Current();
        Current(const Current &) = delete;
        Current &operator=(const Current &) = delete;

      private:
        const CudaDriver &driver_;
    };

  private:
    friend class CudaStream;
    struct Functions;
    CudaDriver();
    void check(int result) const;

    std::unique_ptr<Functions> call_;
    Gpu gpu_;
    int device_ = 0;
    void *context_ = nullptr;
};

// A stream and the memory that is used on it. Every member needs a Current. Not thread-safe.
class CudaStream {
  public:
    explicit CudaStream(std::shared_ptr<CudaDriver> driver);
    ~CudaStream(); // waits for enqueued work and frees all memory
    CudaStream(const CudaStream &) = delete;
    CudaStream &operator=(const CudaStream &) = delete;

    void *handle() const { return stream_; } // as cudaStream_t
    uint64_t device_memory(size_t bytes);    // throws OutOfMemory
    void *pinned_memory(size_t bytes);       // throws OutOfMemory
    void to_device(uint64_t to, const void *from, size_t bytes);
    void to_host(void *to, uint64_t from, size_t bytes);
    void wait();

  private:
    std::shared_ptr<CudaDriver> driver_;
    void *stream_ = nullptr;
    std::vector<uint64_t> device_;
    std::vector<void *> pinned_;
};

} // namespace sgi::internal
