// Points and weight transforms of Winograd's minimal filtering, in double precision.
#pragma once

#include <cstddef>

namespace sgi::cpu {

// F(4, 3): points 0, +-A, +-B, infinity.
constexpr float F43_A = 0.70710678118654752f, F43_B = 1.41421356237309505f;
// F(4, 2): points 0, 1/2, -1, 2, infinity.
constexpr double F42_POINTS[] = {0, 0.5, -1, 2};

// row[p] = G g of F(4, 3): g(point) / product of the differences to the other points.
inline void f43_taps(double g0, double g1, double g2, double *row) {
    constexpr double points[] = {0, 0.70710678118654752, -0.70710678118654752, 1.41421356237309505, -1.41421356237309505};
    for (size_t p = 0; p < 5; ++p) {
        double divisor = 1;
        for (size_t q = 0; q < 5; ++q)
            if (q != p) divisor *= points[p] - points[q];
        row[p] = (g0 + points[p] * (g1 + points[p] * g2)) / divisor;
    }
    row[5] = g2;
}

// u = G g G^T for the taps g [3][3].
inline void f43_weight(const float *g, double (*u)[6]) {
    double rows[3][6];
    for (size_t i = 0; i < 3; ++i) f43_taps(g[3 * i], g[3 * i + 1], g[3 * i + 2], rows[i]);
    for (size_t j = 0; j < 6; ++j) {
        double column[6];
        f43_taps(rows[0][j], rows[1][j], rows[2][j], column);
        for (size_t i = 0; i < 6; ++i) u[i][j] = column[i];
    }
}

// row[p] = G g of F(4, 2).
inline void f42_taps(double g0, double g1, double *row) {
    for (size_t p = 0; p < 4; ++p) {
        double divisor = 1;
        for (size_t q = 0; q < 4; ++q)
            if (q != p) divisor *= F42_POINTS[p] - F42_POINTS[q];
        row[p] = (g0 + F42_POINTS[p] * g1) / divisor;
    }
    row[4] = g1;
}

// The 36 weights of an up-convolution for the taps w [3][3]: even-even [5][5], even-odd [5], odd-even [5], odd-odd, by
// the parity of line and column of the transposed convolution.
inline void up_weight(const float *w, double *u) {
    double even[3][5]; // each line of taps, its columns transformed
    for (size_t i = 0; i < 3; ++i) f42_taps(w[3 * i + 2], w[3 * i], even[i]);
    for (size_t j = 0; j < 5; ++j) {
        double column[5];
        f42_taps(even[2][j], even[0][j], column);
        for (size_t i = 0; i < 5; ++i) u[i * 5 + j] = column[i];
        u[30 + j] = even[1][j];
    }
    f42_taps(w[7], w[1], u + 25);
    u[35] = w[4];
}

} // namespace sgi::cpu
