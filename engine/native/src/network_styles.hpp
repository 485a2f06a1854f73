// The part of a graph from the latents to the styles.
#pragma once

#include "graph_pattern.hpp"
#include "network.hpp"

#include <map>
#include <string_view>

namespace sgi::internal {

class StyleReader {
  public:
    StyleReader(const GraphPattern &pattern, const Artifact &artifact, Network &network)
        : pattern_(pattern), artifact_(artifact), network_(network) {}

    // The style [N, I] of a layer: returns the index into Network::styles and the columns.
    std::pair<size_t, Columns> read(std::string_view value);

  private:
    size_t styles(std::string_view value);
    size_t products(std::string_view value);
    Product product(std::string_view value);
    Source source(std::string_view value);
    void mapping(std::string_view value);
    std::string_view normalised(std::string_view value) const;
    const Tensor &matrix(std::string_view value);

    const GraphPattern &pattern_;
    const Artifact &artifact_;
    Network &network_;
    std::map<std::string_view, size_t> styles_, products_; // by value
    std::vector<int64_t> sizes_;                           // columns of each layer
    std::string_view w_;                                   // the value that the mapping network writes
};

} // namespace sgi::internal
