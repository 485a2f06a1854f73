// Checks of requests, and the inputs of a model for each pass. engine/requests.py has the same rules.
#pragma once

#include "artifact.hpp"

#include <cstddef>
#include <vector>

namespace sgi::internal {

// Throws Failure(SGI_ERROR_ARGUMENT) for a request that the model cannot take. Reads no latents, so that the sizes of
// buffers can be checked before.
void check_request(const sgi_request &request, const Artifact &artifact);

// Throws Failure(SGI_ERROR_ARGUMENT) for z, w or ws that are not finite.
void check_latents(const sgi_request &request, const Artifact &artifact);

// The inputs of passes of at most `pass` images of a request that was checked.
class Passes {
  public:
    Passes(const sgi_request &request, const Artifact &artifact, size_t pass);

    // The values of each of Artifact::inputs for the images start to start + count - 1, valid until the next call.
    std::vector<const float *> inputs(size_t start, size_t count);

  private:
    const float *latent(size_t start, size_t count);
    const float *label(size_t start, size_t count);

    const sgi_request &request_;
    const Artifact &artifact_;
    float psi_;
    std::vector<float> latent_, label_; // where the request has seeds, classes, or w for a model that takes w+
};

} // namespace sgi::internal
