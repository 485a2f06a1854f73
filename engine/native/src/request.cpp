#include "request.hpp"

#include "error.hpp"
#include "seeds.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace sgi::internal {
namespace {

[[noreturn]] void argument(const std::string &message) { throw Failure(SGI_ERROR_ARGUMENT, message); }

// The kind of latents of a request; nullptr for none and for several.
const char *kind_of(const sgi_request &request) {
    const std::pair<const void *, const char *> kinds[] = {
        {request.seeds, "seeds"}, {request.z, "z"}, {request.w, "w"}, {request.ws, "ws"}};
    const char *found = nullptr;
    for (const auto &[latents, name] : kinds) {
        if (!latents) continue;
        if (found) return nullptr;
        found = name;
    }
    return found;
}

void check_after_mapping(const sgi_request &request, const std::string &kind, const Artifact &artifact) {
    const std::string name = "sgi_request." + kind, wanted = kind == "ws" ? "w+" : "w";
    const auto refuse = [&](const void *given, const char *field) {
        if (given)
            argument(std::string("sgi_request.") + field + " has no effect on " + kind +
                     ", which is after the mapping network and truncation; leave it NULL");
    };
    refuse(request.psi, "psi");
    refuse(request.classes, "classes");
    refuse(request.labels, "labels");
    const std::string remedy = "make a model with `sgi-engine export --input " + wanted + "`";
    if (artifact.input == "z") argument(name + ": the model takes z; " + remedy);
    if (wanted == "w+" && artifact.input == "w")
        argument(name + ": the model takes one w for all rows; give w, or " + remedy);
}

void check_classes(const sgi_request &request, const Artifact &artifact) {
    if (!artifact.c_dim) {
        if (request.classes) argument("sgi_request.classes: the model has no classes; leave it NULL");
        if (request.labels) argument("sgi_request.labels: the model has no classes; leave it NULL");
        return;
    }
    const std::string range = "0 to " + std::to_string(artifact.c_dim - 1);
    if (request.classes && request.labels) argument("sgi_request: give either classes or labels");
    if (request.labels) {
        for (size_t n = 0; n < request.count; ++n)
            for (size_t c = 0; c < artifact.c_dim; ++c)
                if (!std::isfinite(request.labels[n * artifact.c_dim + c]))
                    argument("sgi_request.labels: row " + std::to_string(n) + " has a value that is not finite");
        return;
    }
    if (!request.classes) argument("sgi_request.classes: the model needs one for each image, " + range);
    for (size_t n = 0; n < request.count; ++n)
        if (request.classes[n] >= artifact.c_dim)
            argument("sgi_request.classes: " + std::to_string(request.classes[n]) + " is not in " + range);
}

} // namespace

void check_request(const sgi_request &request, const Artifact &artifact) {
    if (!request.count) argument("sgi_request.count is 0: ask for at least one image");
    const char *kind = kind_of(request);
    if (!kind) argument("sgi_request: give exactly one of seeds, z, w and ws");
    if (request.psi && !std::isfinite(*request.psi)) argument("sgi_request.psi is not a number");
    if (request.w || request.ws) return check_after_mapping(request, kind, artifact);
    if (artifact.input != "z")
        argument(std::string("sgi_request.") + kind + ": the model takes " + artifact.input +
                 " and has no mapping network for seeds and z; give " + (artifact.input == "w" ? "w" : "w or ws") +
                 ", or make a model with `sgi-engine export --input z`");
    check_classes(request, artifact);
}

void check_latents(const sgi_request &request, const Artifact &artifact) {
    const size_t z_dim = artifact.z_dim, w_dim = artifact.w_dim;
    const auto check = [&](const float *values, size_t row, const char *name) {
        for (size_t i = 0; values && i < request.count * row; ++i)
            if (!std::isfinite(values[i]))
                argument(std::string("sgi_request.") + name + ": row " + std::to_string(i / row) +
                         " has a value that is not finite");
    };
    check(request.z, z_dim, "z");
    check(request.w, w_dim, "w");
    check(request.ws, artifact.num_ws() * w_dim, "ws");
}

Passes::Passes(const sgi_request &request, const Artifact &artifact, size_t pass)
    : request_(request), artifact_(artifact), psi_(request.psi ? *request.psi : artifact.psi),
      label_(request.classes ? pass * artifact.c_dim : 0) {
    if (request.seeds || (request.w && artifact.input == "w+")) latent_.resize(artifact.inputs[0].values_of(pass));
}

std::vector<const float *> Passes::inputs(size_t start, size_t count) {
    std::vector<const float *> values{latent(start, count)};
    if (artifact_.input != "z") return values;
    values.push_back(&psi_);
    if (artifact_.c_dim) values.push_back(label(start, count));
    return values;
}

const float *Passes::latent(size_t start, size_t count) {
    const size_t w_dim = artifact_.w_dim;
    if (request_.z) return request_.z + start * artifact_.z_dim;
    if (request_.ws) return request_.ws + start * artifact_.num_ws() * w_dim;
    if (request_.w && artifact_.input == "w") return request_.w + start * w_dim;
    if (request_.seeds) latents(request_.seeds + start, count, latent_.data(), artifact_.z_dim);
    float *row = latent_.data();
    for (size_t n = 0; request_.w && n < count; ++n) // one w for all rows
        for (uint32_t i = 0; i < artifact_.num_ws(); ++i)
            row = std::copy_n(request_.w + (start + n) * w_dim, w_dim, row);
    return latent_.data();
}

const float *Passes::label(size_t start, size_t count) {
    const size_t c_dim = artifact_.c_dim;
    if (request_.labels) return request_.labels + start * c_dim;
    std::fill(label_.begin(), label_.end(), 0.0f);
    for (size_t n = 0; n < count; ++n) label_[n * c_dim + request_.classes[start + n]] = 1.0f;
    return label_.data();
}

} // namespace sgi::internal
