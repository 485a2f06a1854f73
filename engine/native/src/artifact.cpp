#include "artifact.hpp"

#include "error.hpp"
#include "onnx_wire.hpp"

#include <cmath>
#include <set>

#include <nlohmann/json.hpp>

namespace sgi::internal {
namespace {

using Json = nlohmann::json;
constexpr int FORMAT = 1;
// Far beyond any generator, and small enough that sizes of one image cannot overflow.
constexpr uint32_t MAX_RESOLUTION = 1 << 14, MAX_DIM = 1 << 20, MAX_CHANNELS = 4;
constexpr size_t MAX_TYPES = 256;

[[noreturn]] void wrong(const std::string &field) {
    throw Failure(SGI_ERROR_MODEL, "its description is wrong at " + field + "; export it again");
}

const Json &member(const Json &object, const char *name) {
    if (!object.is_object()) wrong(name);
    const auto found = object.find(name);
    if (found == object.end()) wrong(name);
    return *found;
}

uint32_t integer(const Json &object, const char *name, uint32_t least, uint32_t most) {
    const Json &value = member(object, name);
    if (!value.is_number_unsigned()) wrong(name);
    const auto number = value.get<uint64_t>();
    if (number < least || number > most) wrong(name);
    return static_cast<uint32_t>(number);
}

float number(const Json &object, const char *name) {
    const Json &value = member(object, name);
    if (!value.is_number()) wrong(name);
    const auto narrowed = static_cast<float>(value.get<double>());
    if (!std::isfinite(narrowed)) wrong(name);
    return narrowed;
}

std::string text(const Json &object, const char *name) {
    const Json &value = member(object, name);
    if (!value.is_string()) wrong(name);
    auto string = value.get<std::string>();
    if (string.find('\0') != std::string::npos) wrong(name);
    return string;
}

OutputType output_type(const Json &entry) {
    OutputType type;
    type.name = text(entry, "name");
    type.meaning = text(entry, "meaning");
    type.channels = integer(entry, "channels", 1, MAX_CHANNELS);
    type.low = number(entry, "low");
    type.high = number(entry, "high");
    if (type.name.empty() || type.name.find(',') != std::string::npos) wrong("name");
    if (!(type.low < type.high)) wrong("low");
    return type;
}

Artifact parse(std::string json) {
    const Json values = Json::parse(json, nullptr, /*allow_exceptions=*/false);
    if (!values.is_object()) throw Failure(SGI_ERROR_MODEL, "its description is not JSON; export it again");
    if (member(values, "format") != FORMAT)
        throw Failure(SGI_ERROR_MODEL,
                      "its description has another format than this version reads; upgrade sgi-engine");

    Artifact artifact;
    artifact.resolution = integer(values, "resolution", 4, MAX_RESOLUTION);
    if (artifact.resolution & (artifact.resolution - 1)) wrong("resolution");
    artifact.z_dim = integer(values, "z_dim", 1, MAX_DIM);
    artifact.c_dim = integer(values, "c_dim", 0, MAX_DIM);
    artifact.psi = number(values, "psi");
    artifact.generator_sha256 = text(member(values, "generator"), "sha256");
    const Json &types = member(values, "types");
    if (!types.is_array() || types.empty() || types.size() > MAX_TYPES) wrong("types");
    std::set<std::string> names;
    for (const Json &entry : types) {
        artifact.types.push_back(output_type(entry));
        if (!names.insert(artifact.types.back().name).second) wrong("types");
    }
    artifact.json = std::move(json);
    return artifact;
}

} // namespace

Artifact read_artifact(const Model &model) {
    std::string json = model.sidecar;
    if (!model.is_engine() && !read_metadata(model.bytes, "sgi_engine", json))
        throw Failure(SGI_ERROR_MODEL, "a model without sgi-engine metadata; export it with `sgi-engine export`");
    if (json.find('\0') != std::string::npos)
        throw Failure(SGI_ERROR_MODEL, "its description is not JSON; export it again");
    return parse(std::move(json));
}

} // namespace sgi::internal
