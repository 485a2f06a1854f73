// How the tiles and output channels of a layer are divided among threads.
#pragma once

#include <algorithm>
#include <cstddef>
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

inline Partition partition(size_t tiles, size_t panels, size_t threads, size_t chunk) {
    chunk = std::min(chunk, tiles);
    size_t chunks = (tiles + chunk - 1) / chunk;
    if (chunks >= 4 * threads) {
        chunks = (chunks + threads - 1) / threads * threads;
        return {tiles, panels, (tiles + chunks - 1) / chunks, panels};
    }
    // Few tiles: threads share the panels of a chunk.
    size_t groups = std::min(panels, (threads + chunks - 1) / chunks);
    while (groups < panels && chunks * groups % threads != 0) ++groups;
    return {tiles, panels, (tiles + chunks - 1) / chunks, (panels + groups - 1) / groups};
}

} // namespace sgi::cpu
