// From latents to the styles of all layers, on the kernels of processors.
#pragma once

#include "cpu_plan.hpp"
#include "network.hpp"

#include <pool.hpp>
#include <styles.hpp>

#include <vector>

namespace sgi::internal {

class CpuStyles {
  public:
    explicit CpuStyles(const Network &network);

    // Products A w of each image: for every one of Network::products [count][width].
    using AllProducts = std::vector<std::vector<float>>;
    // inputs: values of Artifact::inputs.
    AllProducts products(cpu::Pool &pool, size_t count, const std::vector<const float *> &inputs) const;

    // Where the style of a layer starts within a row of products; it is padded with zeros to full blocks.
    size_t offset(const Columns &columns) const;

    // y = the style of a layer of an image, for a set of styles; padded(columns.count) numbers.
    void style(const AllProducts &products, size_t set, size_t image, const Columns &columns, float *y) const;

  private:
    // The affine matrix of a layer, and what it is multiplied with.
    struct Affine {
        Source source;
        size_t row; // of w+
        cpu::Matrix matrix;
    };
    struct FullyConnected {
        cpu::Matrix matrix;
        std::vector<float> bias; // padded
    };
    struct Set {
        size_t products;
        std::vector<float> bias; // [width]
    };

    static FullyConnected fully_connected(const Linear &linear);
    void add_products(const Network &network, const Products &products);
    std::vector<float> map(cpu::Pool &pool, size_t count, const std::vector<const float *> &inputs) const;

    std::vector<Columns> layers_; // in the order of their columns
    std::vector<size_t> offsets_; // of each layer
    size_t width_ = 0, w_dim_, num_ws_;
    bool has_mapping_;
    std::vector<FullyConnected> embed_, mapping_; // embed_: one or none
    size_t z_dim_ = 0, c_dim_ = 0;
    float slope_ = 1;
    std::vector<float> average_;               // empty in models without truncated rows
    std::vector<std::vector<Affine>> affines_; // of each of Network::products, for each layer
    std::vector<Set> sets_;
};

} // namespace sgi::internal
