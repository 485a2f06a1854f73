// Arrays that start on a cache line.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>

namespace sgi::cpu {

constexpr std::align_val_t CACHE_LINE{64};

struct AlignedDelete {
    void operator()(void *data) const noexcept { ::operator delete(data, CACHE_LINE); }
};

template <class T> using AlignedArray = std::unique_ptr<T[], AlignedDelete>;

// `count` numbers, not initialised.
template <class T> AlignedArray<T> aligned_array(size_t count) {
    static_assert(std::is_trivial_v<T>);
    return AlignedArray<T>(static_cast<T *>(::operator new(count * sizeof(T), CACHE_LINE)));
}

} // namespace sgi::cpu
