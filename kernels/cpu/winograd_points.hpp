// Points and weight transforms of Winograd's minimal filtering (Lavin and Gray 2016, arXiv 1509.09308).
#pragma once

#include <cstddef>

namespace sgi::cpu {

// F(4, 3): points 0, +-A, +-B, infinity.
constexpr double SQRT_2 = 1.41421356237309504880;
constexpr float F43_A = static_cast<float>(SQRT_2 / 2), F43_B = static_cast<float>(SQRT_2);

// Rows are the powers of the points, divided by the product of their differences to the other points.
constexpr double F43[6][3] = {{1, 0, 0},
                              {-2.0 / 3, -SQRT_2 / 3, -1.0 / 3},
                              {-2.0 / 3, SQRT_2 / 3, -1.0 / 3},
                              {1.0 / 6, SQRT_2 / 6, 1.0 / 3},
                              {1.0 / 6, -SQRT_2 / 6, 1.0 / 3},
                              {0, 0, 1}};

// F(4, 2): points 0, 1/2, -1, 2, infinity.
constexpr double F42[5][2] = {{1, 0}, {-8.0 / 9, -4.0 / 9}, {-2.0 / 9, 2.0 / 9}, {1.0 / 9, 2.0 / 9}, {0, 1}};

} // namespace sgi::cpu
