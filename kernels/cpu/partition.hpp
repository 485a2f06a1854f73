// How the tiles and output channels of a layer are divided among threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <numeric>
#include <utility>

namespace sgi::cpu {

// Items of `tiles` consecutive tiles and `panels` consecutive panels of output channels. An item transforms the inputs
// of its tiles itself, so that threads need no barrier inside a layer.
struct Partition {
    size_t all_tiles, all_panels, tiles, panels;

    size_t chunks() const { return (all_tiles + tiles - 1) / tiles; }
    size_t panel_groups() const { return (all_panels + panels - 1) / panels; }
    size_t items() const { return chunks() * panel_groups(); }

    std::pair<size_t, size_t> tiles_of(size_t item) const {
        const size_t first = item % chunks() * tiles;
        return {first, std::min(first + tiles, all_tiles)};
    }
    std::pair<size_t, size_t> panels_of(size_t item) const {
        const size_t first = item / chunks() * panels;
        return {first, std::min(first + panels, all_panels)};
    }
};

// Tiles of a chunk. tile_bytes: of the transformed inputs of a tile, which should stay in a core's L2 cache.
// weight_bytes: of the packed weights, which are read once for each chunk: those that do not stay in a cache need
// chunks of more tiles.
inline size_t chunk_tiles(size_t tile_bytes, size_t weight_bytes) {
    constexpr size_t CACHE = 192 << 10, LARGE_WEIGHTS = 4 << 20, MOST = 112;
    return std::clamp<size_t>(CACHE / tile_bytes, weight_bytes > LARGE_WEIGHTS ? 84 : 28, MOST);
}

// The smallest number of parts, at least `least`, whose `times` are divided evenly among threads.
inline size_t even_parts(size_t least, size_t times, size_t threads) {
    const size_t step = threads / std::gcd(threads, times);
    return (least + step - 1) / step * step;
}

// Times are those of the products of a tile and a panel: the transforms of the inputs of a tile take this.
constexpr double INPUT_TIME = 0.2;

// How long the slowest thread computes items of equal length.
inline double makespan(size_t items, size_t threads, double item) {
    return static_cast<double>((items + threads - 1) / threads) * item;
}

// weight_bytes: of the packed weights. Those of a panel come from a cache or from memory in the time of `weights`
// tiles.
inline Partition partition(size_t tiles, size_t panels, size_t threads, size_t chunk, size_t weight_bytes) {
    const double weights = weight_bytes > (4 << 20) ? 42 : weight_bytes > (512 << 10) ? 12 : 3;
    const size_t least = (tiles + chunk - 1) / chunk;
    if (least >= 4 * threads) {
        const size_t chunks = even_parts(least, 1, threads);
        return {tiles, panels, (tiles + chunks - 1) / chunks, panels};
    }
    // Few tiles: threads share the panels of a chunk, or chunks are smaller.
    Partition best{tiles, panels, (tiles + least - 1) / least, panels};
    double best_time = std::numeric_limits<double>::infinity();
    for (size_t groups = 1; groups <= panels; ++groups)
        for (const size_t chunks : {least, even_parts(least, groups, threads)}) {
            const Partition part{tiles, panels, (tiles + chunks - 1) / chunks, (panels + groups - 1) / groups};
            const double count = static_cast<double>(part.tiles);
            const double item = INPUT_TIME * count + static_cast<double>(part.panels) * std::max(count, weights);
            const double time = makespan(part.items(), threads, item);
            if (time < best_time) best = part, best_time = time;
        }
    return best;
}

// Parts of each unit of an up-convolution: bands of tile rows, of which every item below another repeats one, and
// groups of panels, which repeat the transforms of the inputs.
struct Bands {
    size_t bands, panel_groups;
};

inline Bands divide_bands(size_t units, size_t tile_rows, size_t panels, size_t threads) {
    Bands best{1, 1};
    double best_time = std::numeric_limits<double>::infinity();
    for (size_t groups = 1; groups <= panels; ++groups)
        for (const size_t bands : {size_t{1}, even_parts(1, units * groups, threads)}) {
            if (bands > tile_rows) continue;
            const size_t rows = (tile_rows + bands - 1) / bands + (bands > 1 ? 1 : 0);
            const double item =
                static_cast<double>(rows) * (INPUT_TIME + static_cast<double>((panels + groups - 1) / groups));
            const double time = makespan(units * bands * groups, threads, item);
            if (time < best_time) best = {bands, groups}, best_time = time;
        }
    return best;
}

} // namespace sgi::cpu
