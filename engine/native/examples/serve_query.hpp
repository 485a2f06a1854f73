// The query of GET /maps, and the body of its response.
#pragma once

#include "serve_batcher.hpp"

#include <map>
#include <stdexcept>

// A wrong request; the text names the parameter.
struct BadRequest : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// A text of a request as one short line of ASCII in an error.
std::string shown(std::string text);

// Reads the parameters of a request to a model. Throws BadRequest.
Query parse_query(const std::multimap<std::string, std::string> &parameters, const sgi_model_info &model,
                  size_t most_seeds);

// The body of a response in query.format: the first map as PNG, the one type as .npy, or .npz.
std::string encode(const Query &query, const Found &found, const sgi_model_info &model);
// The media type of a format, "" for an unknown one.
std::string media_type(const std::string &format);
