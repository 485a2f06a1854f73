// Arrays: their alignment, and that large ones return their memory to the system.
#include "aligned.hpp"
#include "check.hpp"

#include <cstdint>
#include <cstring>
#include <fstream>
#include <vector>

#include <unistd.h>

using namespace sgi::cpu;

[[maybe_unused]] static size_t resident_bytes() {
    size_t pages = 0, resident = 0;
    std::ifstream("/proc/self/statm") >> pages >> resident;
    return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

static void test_alignment() {
    for (const size_t bytes :
         {size_t{0}, size_t{1}, size_t{64}, size_t{100000}, (size_t{2} << 20) - 1, size_t{2} << 20, size_t{5} << 20}) {
        const AlignedArray<unsigned char> array = aligned_array<unsigned char>(bytes);
        CHECK(array && reinterpret_cast<uintptr_t>(array.get()) % 64 == 0);
        std::memset(array.get(), 1, bytes);
    }
}

// As models that are opened and closed do, with smaller memory that stays between the arrays.
static void test_memory_is_returned() {
#if SGI_CPU_MAPS_ARRAYS
    bool refused = false;
    try {
        aligned_array<float>(size_t{1} << 60);
    } catch (const std::bad_alloc &) {
        refused = true;
    }
    CHECK(refused);
    constexpr size_t BYTES = 3 << 20, COUNT = 10;
    std::vector<AlignedArray<unsigned char>> small;
    const size_t before = resident_bytes();
    for (int round = 0; round < 3; ++round) {
        std::vector<AlignedArray<unsigned char>> large;
        for (size_t i = 0; i < COUNT; ++i) {
            large.push_back(aligned_array<unsigned char>(BYTES));
            std::memset(large.back().get(), 1, BYTES);
            small.push_back(aligned_array<unsigned char>(1000));
        }
        CHECK(resident_bytes() > before + COUNT * BYTES / 2);
    }
    CHECK(resident_bytes() < before + COUNT * BYTES / 4);
#endif
}

int main() {
    test_alignment();
    test_memory_is_returned();
}
