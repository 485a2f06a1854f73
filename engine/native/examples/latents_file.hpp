// Latents of .npy and .npz files, such as those of NVIDIA's projector.
#pragma once

#include <sgi/sgi.hpp>

#include <string>
#include <vector>

// Latents of one kind: z, w or w+.
struct Latents {
    std::string kind;
    size_t count = 0;
    std::vector<float> values; // [count, z_dim], [count, w_dim] or [count, num_ws, w_dim]

    size_t row() const { return count ? values.size() / count : 0; }
    // The request for `images` latents from `first` on.
    sgi::Request request(size_t first, size_t images) const;
};

// The latents of a file: float32 or float64 in C order, in an .npz not compressed. kind: z, w or w+; empty for the only
// kind that the model takes and that the name of the array in an .npz (z, w, ws) and its shape allow. Throws
// std::runtime_error, which says what to do.
Latents read_latents(const std::string &path, const sgi_model_info &model, const std::string &kind);
