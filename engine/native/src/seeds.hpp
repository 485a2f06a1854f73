// Latents of seeds, equal to those of NumPy's RandomState bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sgi::internal {

// numpy.random.RandomState(seed).randn(z_dim) into z [z_dim].
void latent(uint32_t seed, double *z, size_t z_dim);

// The same rounded to float32, for each of the seeds [count], into z [count, z_dim].
void latents(const uint32_t *seeds, size_t count, float *z, size_t z_dim);

} // namespace sgi::internal
