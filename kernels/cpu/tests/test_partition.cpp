// The division of layers among threads: every tile and panel once, and no thread without work.
#include "check.hpp"
#include "partition.hpp"

#include <vector>

using namespace sgi::cpu;

static void test_every_tile_and_panel_once() {
    for (const size_t tiles : {1, 4, 16, 17, 64, 100, 256, 1000})
        for (const size_t panels : {1, 2, 3, 4, 16})
            for (const size_t threads : {1, 2, 3, 5, 8, 64})
                for (const size_t weight_bytes : {size_t{100} << 10, size_t{2} << 20, size_t{40} << 20}) {
                    const Partition part = partition(tiles, panels, threads, 28, weight_bytes);
                    CHECK(part.tiles <= 28);
                    std::vector<int> count(tiles * panels);
                    for (size_t item = 0; item < part.items(); ++item) {
                        const auto [first, last] = part.tiles_of(item);
                        const auto [first_panel, last_panel] = part.panels_of(item);
                        CHECK(first < last && first_panel < last_panel);
                        for (size_t tile = first; tile < last; ++tile)
                            for (size_t panel = first_panel; panel < last_panel; ++panel)
                                ++count[tile * panels + panel];
                    }
                    for (const int times : count) CHECK(times == 1);
                }
}

// One image of the bundled model on two threads: the share of the slower thread.
static void test_one_image_on_two_threads() {
    const auto share = [](size_t tiles, size_t panels, size_t chunk, size_t weight_bytes) {
        const Partition part = partition(tiles, panels, 2, chunk, weight_bytes);
        const size_t items = (part.items() + 1) / 2;
        return static_cast<double>(items * part.tiles * part.panels) / static_cast<double>(tiles * panels);
    };
    CHECK(share(1, 4, 28, 2359296) == 0.5);  // 4 px, 128 channels
    CHECK(share(16, 4, 28, 2359296) == 0.5); // 16 px
    CHECK(share(64, 2, 28, 589824) == 0.5);  // 32 px, 64 channels
    CHECK(share(256, 1, 42, 147456) == 0.5); // 64 px, 32 channels: 8 chunks, not 7
}

static void test_bands_of_up_convolutions() {
    const auto divided = [](size_t units, size_t tile_rows, size_t panels, size_t threads, size_t bands,
                            size_t groups) {
        const Bands found = divide_bands(units, tile_rows, panels, threads);
        return found.bands == bands && found.panel_groups == groups;
    };
    CHECK(divided(1, 8, 1, 2, 2, 1));   // 64 to 32 channels, 32 to 64 px: one panel
    CHECK(divided(1, 4, 2, 2, 1, 2));   // 128 to 64 channels, 16 to 32 px
    CHECK(divided(1, 32, 2, 2, 2, 1));  // 128 to 64 channels, 128 to 256 px: a row of 32 costs less than the transforms
    CHECK(divided(1, 1, 1, 2, 1, 1));   // one tile row of one panel cannot be divided
    CHECK(divided(1, 16, 4, 16, 4, 4)); // more threads than panels
    CHECK(divided(3, 8, 4, 1, 1, 1));
}

int main() {
    test_every_tile_and_panel_once();
    test_one_image_on_two_threads();
    test_bands_of_up_convolutions();
}
