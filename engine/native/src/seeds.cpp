// MT19937 and the polar method, with NumPy's order of draws (numpy/random/src/legacy/legacy-distributions.c).
#include "seeds.hpp"

#include <cmath>
#include <random>

namespace sgi::internal {
namespace {

class Gaussian {
  public:
    // std::mt19937 and RandomState(int) are both seeded by Knuth's recurrence.
    explicit Gaussian(uint32_t seed) : bits_(seed) {}

    double next() {
        if (has_second_) {
            has_second_ = false;
            return second_;
        }
        double x1, x2, r2;
        do {
            x1 = 2.0 * uniform() - 1.0;
            x2 = 2.0 * uniform() - 1.0;
            r2 = x1 * x1 + x2 * x2;
        } while (r2 >= 1.0 || r2 == 0.0);
        const double f = std::sqrt(-2.0 * std::log(r2) / r2);
        second_ = f * x1;
        has_second_ = true;
        return f * x2;
    }

  private:
    double uniform() { // 53 bits in [0, 1)
        const auto high = static_cast<double>(static_cast<uint32_t>(bits_()) >> 5);
        const auto low = static_cast<double>(static_cast<uint32_t>(bits_()) >> 6);
        return (high * 67108864.0 + low) / 9007199254740992.0;
    }

    std::mt19937 bits_;
    double second_ = 0;
    bool has_second_ = false;
};

} // namespace

void latent(uint32_t seed, double *z, size_t z_dim) {
    Gaussian gaussian(seed);
    for (size_t i = 0; i < z_dim; ++i) z[i] = gaussian.next();
}

void latents(const uint32_t *seeds, size_t count, float *z, size_t z_dim) {
    for (size_t n = 0; n < count; ++n) {
        Gaussian gaussian(seeds[n]);
        for (size_t i = 0; i < z_dim; ++i) z[n * z_dim + i] = static_cast<float>(gaussian.next());
    }
}

} // namespace sgi::internal
