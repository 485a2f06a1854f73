// Arrays for vectors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>

#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__) // which sees the ends of arrays of malloc alone
#define SGI_CPU_MAPS_ARRAYS 1
#include <sys/mman.h>
#else
#define SGI_CPU_MAPS_ARRAYS 0
#endif

namespace sgi::cpu {

// mapped: bytes of a mapping of its own; 0 for memory of malloc.
struct AlignedDelete {
    size_t mapped = 0;

    void operator()(void *data) const noexcept {
#if SGI_CPU_MAPS_ARRAYS
        if (mapped) return static_cast<void>(munmap(data, mapped));
#endif
        std::free(data);
    }
};

template <class T> using AlignedArray = std::unique_ptr<T[], AlignedDelete>;

#if SGI_CPU_MAPS_ARRAYS
// A mapping that starts at a multiple of `page`, or nullptr. bytes: a multiple of it.
inline void *map_pages(size_t bytes, size_t page) {
    void *mapping = mmap(nullptr, bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED) return nullptr;
    char *first = static_cast<char *>(mapping);
    const size_t before = (page - reinterpret_cast<uintptr_t>(first) % page) % page;
    if (before) munmap(first, before);
    munmap(first + before + bytes, page - before);
    madvise(first + before, bytes, MADV_HUGEPAGE);
    return first + before;
}
#endif

// `count` numbers, not initialised, that start on a cache line. Arrays of megabytes use pages of 2 MB where the system
// has them: weights and scratch memory are read at many places at once. They are mappings, because malloc would keep
// the memory of a closed model.
template <class T> AlignedArray<T> aligned_array(size_t count) {
    static_assert(std::is_trivial_v<T>);
    constexpr size_t LINE = 64;
    AlignedDelete freed;
    void *data;
#if SGI_CPU_MAPS_ARRAYS
    constexpr size_t PAGE = 2 << 20;
    if (count * sizeof(T) >= PAGE) {
        freed.mapped = (count * sizeof(T) + PAGE - 1) / PAGE * PAGE;
        data = map_pages(freed.mapped, PAGE);
    } else
#endif
        data = std::aligned_alloc(LINE, (count * sizeof(T) + LINE) / LINE * LINE);
    if (!data) throw std::bad_alloc();
    return AlignedArray<T>(static_cast<T *>(data), freed);
}

} // namespace sgi::cpu
