#include "palette.hpp"

#include <algorithm>
#include <array>

namespace sgi::internal {
namespace {

constexpr int STEPS = 17; // levels per channel of the grid that colours are chosen from
using Colour = std::array<int, 3>;

int distance(const Colour &a, const Colour &b) {
    int sum = 0;
    for (size_t c = 0; c < 3; ++c) sum += (a[c] - b[c]) * (a[c] - b[c]);
    return sum;
}

} // namespace

std::vector<uint8_t> palette(size_t count) {
    std::vector<Colour> grid;
    for (int r = 0; r < STEPS; ++r)
        for (int g = 0; g < STEPS; ++g)
            for (int b = 0; b < STEPS; ++b) grid.push_back({r, g, b});
    std::vector<uint8_t> colours;
    std::vector<int> nearest(grid.size()); // squared distance of each candidate to the chosen colours
    Colour chosen{0, 0, 0};
    for (size_t k = 0; k < count; ++k) {
        for (size_t i = 0; i < grid.size(); ++i) {
            const int apart = distance(grid[i], chosen);
            nearest[i] = k ? std::min(nearest[i], apart) : apart;
        }
        for (const int level : chosen) colours.push_back(static_cast<uint8_t>((level * 255 * 2 / (STEPS - 1) + 1) / 2));
        chosen = grid[static_cast<size_t>(std::max_element(nearest.begin(), nearest.end()) - nearest.begin())];
    }
    return colours;
}

} // namespace sgi::internal
