// The part of Protobuf's wire format that ModelProto uses; field numbers are those of onnx.proto.
#include "onnx_wire.hpp"

#include "error.hpp"
#include "wire_reader.hpp"

#include <cstdint>
#include <set>

namespace sgi::internal {
namespace {

enum Model : uint64_t { MODEL_GRAPH = 7, MODEL_METADATA = 14 };
enum Graph : uint64_t { GRAPH_NODE = 1, GRAPH_INITIALIZER = 5, GRAPH_OUTPUT = 12, GRAPH_VALUE_INFO = 13 };
enum Node : uint64_t { NODE_INPUT = 1, NODE_OUTPUT = 2 };
constexpr uint64_t TENSOR_NAME = 8, VALUE_NAME = 1, ENTRY_KEY = 1, ENTRY_VALUE = 2;
constexpr char IR_VERSION_TAG = '\x08'; // the required first field
constexpr char GRAPH_TAG = MODEL_GRAPH * 8 + BYTES;

void append_varint(std::string &out, uint64_t value) {
    for (; value > 0x7f; value >>= 7) out.push_back(static_cast<char>((value & 0x7f) | 0x80));
    out.push_back(static_cast<char>(value));
}

template <class Visit> void each_string(std::string_view message, uint64_t number, Visit visit) {
    Field field{};
    for (Reader reader(message); reader.next(field);)
        if (field.number == number && field.wire == BYTES) visit(field.payload);
}

std::string_view name_of(std::string_view message, uint64_t number) {
    std::string_view name;
    each_string(message, number, [&](std::string_view text) { name = text; });
    return name;
}

std::string keep_graph_outputs(std::string_view graph, const std::vector<std::string> &names) {
    std::vector<Field> fields;
    Field field{};
    for (Reader reader(graph); reader.next(field);) fields.push_back(field);

    const std::set<std::string_view> wanted(names.begin(), names.end());
    std::set<std::string_view> needed = wanted;
    std::vector<bool> kept(fields.size());
    for (size_t i = fields.size(); i-- > 0;) { // ONNX keeps nodes in topological order
        if (fields[i].number != GRAPH_NODE) continue;
        each_string(fields[i].payload, NODE_OUTPUT, [&](std::string_view name) {
            if (needed.count(name)) kept[i] = true;
        });
        if (kept[i]) each_string(fields[i].payload, NODE_INPUT, [&](std::string_view name) { needed.insert(name); });
    }

    std::string smaller;
    smaller.reserve(graph.size());
    for (size_t i = 0; i < fields.size(); ++i) {
        const std::string_view payload = fields[i].payload;
        switch (fields[i].number) {
        case GRAPH_NODE: break;
        case GRAPH_INITIALIZER: kept[i] = needed.count(name_of(payload, TENSOR_NAME)) > 0; break;
        case GRAPH_OUTPUT: kept[i] = wanted.count(name_of(payload, VALUE_NAME)) > 0; break;
        default: kept[i] = fields[i].number != GRAPH_VALUE_INFO;
        }
        if (kept[i]) smaller.append(fields[i].whole);
    }
    return smaller;
}

} // namespace

bool read_metadata(std::string_view model, std::string_view key, std::string &value) {
    if (model.empty() || model.front() != IR_VERSION_TAG) not_onnx();
    bool has_graph = false, found = false;
    Field field{};
    for (Reader reader(model); reader.next(field);) {
        has_graph |= field.number == MODEL_GRAPH;
        if (field.number != MODEL_METADATA || field.wire != BYTES) continue;
        if (name_of(field.payload, ENTRY_KEY) == key) {
            value = name_of(field.payload, ENTRY_VALUE);
            found = true;
        }
    }
    if (!has_graph) cut_short();
    return found;
}

std::string_view find_graph(std::string_view model) {
    Field field{};
    for (Reader reader(model); reader.next(field);)
        if (field.number == MODEL_GRAPH && field.wire == BYTES) return field.payload;
    cut_short();
}

std::string keep_outputs(std::string_view model, const std::vector<std::string> &names) {
    std::string smaller;
    smaller.reserve(model.size());
    Field field{};
    for (Reader reader(model); reader.next(field);) {
        if (field.number == MODEL_GRAPH && field.wire == BYTES) {
            const std::string graph = keep_graph_outputs(field.payload, names);
            smaller.push_back(GRAPH_TAG);
            append_varint(smaller, graph.size());
            smaller += graph;
        } else {
            smaller.append(field.whole);
        }
    }
    return smaller;
}

} // namespace sgi::internal
