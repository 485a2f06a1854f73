#include "artifact.hpp"

#include "error.hpp"
#include "onnx_operators.hpp"
#include "onnx_wire.hpp"
#include "palette.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <set>

#include <nlohmann/json.hpp>

namespace sgi::internal {
namespace {

using Json = nlohmann::json;
constexpr int FORMAT = 1;
// Larger than any generator needs, and small enough that the size of one image cannot overflow.
constexpr uint32_t MAX_RESOLUTION = 1024, MAX_DIM = 1 << 20, MAX_CHANNELS = 4;
constexpr float PSI_LIMIT = 100;
constexpr size_t MAX_TYPES = 64, LARGEST_DESCRIPTION = 1 << 24;
constexpr size_t LEAST_WEIGHT_BYTES = 2; // each element of a row of an input has a weight, in float16 or bfloat16
constexpr size_t MAX_DEPTH = 64, MAX_VALUES = 50000;
constexpr const char *INPUTS[] = {"z", "w", "w+"};
constexpr const char *DECODINGS[] = {"identity", "inverse", "unit", "linear", "palette"}; // in sgi_decoding's order

// Decoding and PNG bits of the built-in types, for files of early versions, which do not contain them.
struct BuiltIn {
    const char *name;
    sgi_decoding decoding;
    uint32_t png_bits;
};
constexpr BuiltIn BUILT_IN[] = {{"image", SGI_DECODING_IDENTITY, 8},      {"depth", SGI_DECODING_INVERSE, 16},
                                {"normal", SGI_DECODING_UNIT, 8},         {"albedo", SGI_DECODING_LINEAR, 8},
                                {"shading", SGI_DECODING_LINEAR, 16},     {"edges", SGI_DECODING_IDENTITY, 8},
                                {"segmentation", SGI_DECODING_PALETTE, 8}};

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

std::string string_of(const Json &value, const char *name) {
    if (!value.is_string()) wrong(name);
    auto string = value.get<std::string>();
    if (string.find('\0') != std::string::npos) wrong(name);
    return string;
}

std::string text(const Json &object, const char *name) { return string_of(member(object, name), name); }

sgi_decoding decoding(const Json &entry, const OutputType &type, const BuiltIn *known) {
    if (known && !entry.contains("decoding")) return known->decoding;
    const std::string name = text(entry, "decoding");
    for (size_t i = 0; i < std::size(DECODINGS); ++i)
        if (name == DECODINGS[i]) return static_cast<sgi_decoding>(i);
    throw Failure(SGI_ERROR_MODEL, "its type " + type.name + " has the decoding '" + name +
                                       "', which this version does not support; upgrade the library");
}

std::vector<std::string> class_names(const Json &entry) {
    if (!entry.contains("classes")) return {};
    const Json &list = entry.at("classes");
    if (!list.is_array() || list.size() > MAX_CLASSES) wrong("classes");
    std::vector<std::string> names;
    for (const Json &name : list) names.push_back(string_of(name, "classes"));
    return names;
}

// Fields that the decoding determines: the checks of engine/intrinsics.py.
void check_decoding(const OutputType &type) {
    const size_t count = type.classes.size();
    if (type.decoding == SGI_DECODING_UNIT && (type.channels != 3 || type.low != -1 || type.high != 1))
        wrong("decoding");
    if (type.decoding != SGI_DECODING_PALETTE) {
        if (count) wrong("classes");
        return;
    }
    if (type.channels != 1 || type.png_bits != 8) wrong("decoding");
    if (count < 2) wrong("classes");
    if (type.low != 0 || type.high != static_cast<float>(count - 1)) wrong("high");
}

// The names of engine/intrinsics.py; names of files contain them.
bool is_type_name(const std::string &name) {
    const auto is_plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
    return !name.empty() && name.size() <= 64 && name[0] >= 'a' && name[0] <= 'z' &&
           std::all_of(name.begin(), name.end(), is_plain) && name != "all" && name != "label" && name != "psi" &&
           name != "w" && name != "ws" && name != "z";
}

OutputType output_type(const Json &entry) {
    OutputType type;
    type.name = text(entry, "name");
    type.meaning = text(entry, "meaning");
    type.channels = integer(entry, "channels", 1, MAX_CHANNELS);
    type.low = number(entry, "low");
    type.high = number(entry, "high");
    if (!is_type_name(type.name)) wrong("name");
    if (!(type.low < type.high)) wrong("low");

    const BuiltIn *known = std::find_if(std::begin(BUILT_IN), std::end(BUILT_IN),
                                        [&](const BuiltIn &row) { return type.name == row.name; });
    static constexpr BuiltIn MASK{"mask-", SGI_DECODING_IDENTITY, 8};
    if (known == std::end(BUILT_IN)) known = type.name.rfind(MASK.name, 0) == 0 ? &MASK : nullptr;
    type.decoding = decoding(entry, type, known);
    if (entry.contains("png_bits")) type.png_bits = integer(entry, "png_bits", 8, 16);
    else if (known) type.png_bits = known->png_bits;
    if (type.png_bits != 8 && (type.png_bits != 16 || type.channels != 1)) wrong("png_bits");
    type.classes = class_names(entry);
    check_decoding(type);
    return type;
}

// Throws for JSON that is too long, nested too deeply or has too many values; parsing it would take seconds.
void check_size(const std::string &json) {
    size_t depth = 0, values = 0;
    bool in_text = false;
    for (size_t i = 0; i < json.size(); ++i) {
        const char letter = json[i];
        if (in_text && letter == '\\') ++i;
        else if (letter == '"') in_text = !in_text;
        else if (in_text) continue;
        else if (letter == '[' || letter == '{') ++depth, ++values;
        else if (letter == ']' || letter == '}') depth -= depth > 0;
        else if (letter == ',') ++values;
        if (depth > MAX_DEPTH || values > MAX_VALUES || i > LARGEST_DESCRIPTION)
            throw Failure(SGI_ERROR_MODEL, "its description is too long or nested too deeply; export it again");
    }
}

// The inputs of the graph: `Artifact.inputs` of engine/artifact.py.
std::vector<Input> inputs_of(const Artifact &artifact) {
    constexpr int64_t BATCH = -1;
    if (artifact.input == "w") return {{"w", {BATCH, artifact.w_dim}}};
    if (artifact.input == "w+") return {{"ws", {BATCH, artifact.num_ws(), artifact.w_dim}}};
    std::vector<Input> inputs{{"z", {BATCH, artifact.z_dim}}, {"psi", {}}};
    if (artifact.c_dim) inputs.push_back({"label", {BATCH, artifact.c_dim}});
    return inputs;
}

Artifact parse(std::string json) {
    check_size(json);
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
    if (std::fabs(artifact.psi) > PSI_LIMIT) wrong("psi");
    artifact.generator_sha256 = text(member(values, "generator"), "sha256");
    if (values.contains("graph_sha256") && !values["graph_sha256"].is_null())
        artifact.graph_sha256 = text(values, "graph_sha256");
    if (values.contains("input")) artifact.input = text(values, "input");
    if (std::find(std::begin(INPUTS), std::end(INPUTS), artifact.input) == std::end(INPUTS)) wrong("input");
    const bool has_w_dim = values.contains("w_dim") && !values["w_dim"].is_null();
    if (has_w_dim || artifact.input != "z") artifact.w_dim = integer(values, "w_dim", 1, MAX_DIM);
    artifact.inputs = inputs_of(artifact);
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

std::vector<int64_t> Input::shape_of(size_t rows) const {
    std::vector<int64_t> sizes = shape;
    if (!sizes.empty()) sizes[0] = static_cast<int64_t>(rows);
    return sizes;
}

size_t Input::values_of(size_t rows) const {
    size_t values = 1;
    for (const int64_t size : shape_of(rows)) values *= static_cast<size_t>(size);
    return values;
}

uint32_t Artifact::num_ws() const {
    uint32_t rows = 0;
    for (uint32_t side = 4; side <= resolution; side *= 2) rows += 2;
    return rows;
}

Artifact read_artifact(const Model &model) {
    std::string json = model.sidecar;
    if (!model.is_engine() && !read_metadata(model.bytes, "sgi_engine", json))
        throw Failure(SGI_ERROR_MODEL, "a model without sgi-engine metadata; export it with `sgi-engine export`");
    if (json.find('\0') != std::string::npos)
        throw Failure(SGI_ERROR_MODEL, "its description is not JSON; export it again");
    Artifact artifact = parse(std::move(json));
    if (model.is_engine()) return artifact;
    for (const Input &input : artifact.inputs)
        if (!input.shape.empty() && static_cast<size_t>(input.shape.back()) * LEAST_WEIGHT_BYTES > model.bytes.size())
            wrong(input.name == "z" ? "z_dim" : input.name == "label" ? "c_dim" : "w_dim");
    if (!artifact.graph_sha256.empty()) check_sha256(find_graph(model.bytes), artifact.graph_sha256);
    check_graph(model.bytes, artifact.resolution, artifact.num_ws());
    return artifact;
}

} // namespace sgi::internal
