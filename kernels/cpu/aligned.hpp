// Arrays for vectors.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace sgi::cpu {

struct AlignedDelete {
    void operator()(void *data) const noexcept { std::free(data); }
};

template <class T> using AlignedArray = std::unique_ptr<T[], AlignedDelete>;

// `count` numbers, not initialised, that start on a cache line. Arrays of megabytes use pages of 2 MB where the system
// has them: weights and scratch memory are read at many places at once.
template <class T> AlignedArray<T> aligned_array(size_t count) {
    static_assert(std::is_trivial_v<T>);
    constexpr size_t LINE = 64, PAGE = 2 << 20;
    const size_t alignment = count * sizeof(T) >= PAGE ? PAGE : LINE;
    const size_t bytes = (count * sizeof(T) + alignment) / alignment * alignment;
    AlignedArray<T> array(static_cast<T *>(std::aligned_alloc(alignment, bytes)));
    if (!array) throw std::bad_alloc();
#ifdef __linux__
    if (alignment == PAGE) madvise(array.get(), bytes, MADV_HUGEPAGE);
#endif
    return array;
}

} // namespace sgi::cpu
