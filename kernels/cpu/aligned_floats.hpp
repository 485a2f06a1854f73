// An array of floats for vectors.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace sgi::cpu {

// Uninitialised floats, aligned to 64 bytes; arrays of megabytes are aligned to pages of 2 MB and use them where the
// system has them, because weights and scratch memory are read at many places at once.
class AlignedFloats {
  public:
    AlignedFloats() = default;
    explicit AlignedFloats(size_t count) : count_(count) {
        constexpr size_t LINE = 64, PAGE = 2 << 20;
        const size_t bytes = count * sizeof(float), alignment = bytes >= PAGE ? PAGE : LINE;
        const size_t rounded = (bytes + LINE) / LINE * LINE; // at least one line
        data_.reset(static_cast<float *>(std::aligned_alloc(alignment, (rounded + alignment - 1) / alignment * alignment)));
        if (!data_) throw std::bad_alloc();
#ifdef __linux__
        if (alignment == PAGE) madvise(data_.get(), rounded, MADV_HUGEPAGE);
#endif
    }

    float *data() { return data_.get(); }
    const float *data() const { return data_.get(); }
    size_t size() const { return count_; }

  private:
    struct Free {
        void operator()(float *data) const { std::free(data); }
    };
    std::unique_ptr<float[], Free> data_;
    size_t count_ = 0;
};

} // namespace sgi::cpu
