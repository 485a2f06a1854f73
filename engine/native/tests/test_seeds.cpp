// Golden latents: numpy.random.RandomState(seed).randn(...), printed with float.hex().
#include "check.hpp"

#include <sgi/sgi.h>

#include <algorithm>

struct Golden {
    uint32_t seed;
    double first, second, near_last, last;
};

constexpr Golden GOLDEN[] = {
    {0u, 0x1.c398ef3e5cfa5p+0, 0x1.99c2cfacc8953p-2, 0x1.ca5f8df2f0c92p-1, 0x1.5ffda5225543bp+0},
    {1u, 0x1.9fd5190657c50p+0, -0x1.393822fb7d9adp-1, 0x1.b19d795b3d338p+0, 0x1.9330767b9b1e3p-3},
    {42u, 0x1.fca2a28a9307cp-2, -0x1.1b2a505de052ap-3, 0x1.14f2a256d1485p-2, -0x1.9b8cf3a319e6cp-5},
    {600u, 0x1.72ec039edd3cap-5, -0x1.ff3fc82c2e23dp-2, 0x1.1f3195ce732d9p+1, 0x1.c44ef771bdd02p-2},
    {999u, 0x1.046b54eaece2ep-3, 0x1.66e25224d569ep+0, 0x1.a9f21460e10a1p-4, 0x1.02de75d3a4b8ep+0},
    {2147483648u, 0x1.461e9b1db9e84p-2, -0x1.620d341998be7p-2, 0x1.216c61378220cp+0, -0x1.4e014f44d1c4bp-2},
    {4294967295u, 0x1.4bfc38c486d8ap-1, 0x1.56b192e507eeep-1, -0x1.09b882e42a6ffp-5, -0x1.4e87dae580c92p-3},
};

int main() {
    for (const Golden &golden : GOLDEN) {
        std::vector<double> z(512);
        CHECK(sgi_latent(golden.seed, z.data(), z.size()) == SGI_OK);
        CHECK(z[0] == golden.first);
        CHECK(z[1] == golden.second);
        CHECK(z[510] == golden.near_last);
        CHECK(z[511] == golden.last);
        // An odd length ends with a cached value; a longer latent has the same first values.
        std::vector<double> odd(7);
        CHECK(sgi_latent(golden.seed, odd.data(), odd.size()) == SGI_OK);
        CHECK(std::equal(odd.begin(), odd.end(), z.begin()));
    }
    CHECK(sgi_latent(0, nullptr, 1) == SGI_ERROR_ARGUMENT);
    return 0;
}
