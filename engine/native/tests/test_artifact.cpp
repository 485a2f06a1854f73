// Descriptions of models: the fields of a type, defaults of early versions, and fields that are refused.
#include "check.hpp"

#include "../src/artifact.hpp"
#include "../src/error.hpp"
#include "../src/onnx_shapes.hpp"
#include "../src/palette.hpp"
#include "../src/sha256.hpp"

#include <functional>
#include <stdexcept>

namespace {

using namespace sgi::internal;

// The first type of a description with this type alone.
OutputType read(const std::string &type) {
    const std::string json = R"({"format": 1, "resolution": 16, "z_dim": 8, "c_dim": 0, "psi": 0.5,
        "generator": {"sha256": "abc"}, "types": [)" +
                             type + "]}";
    return read_artifact(Model{"", json, "maps.engine"}).types.at(0);
}

std::string heat(const std::string &more, const std::string &range = "\"low\": -20, \"high\": 60") {
    return R"({"name": "heat", "meaning": "C", "channels": 1, )" + range + more + "}";
}

void refused(const std::function<void()> &call, const std::string &what, const std::string &text) {
    try {
        call();
    } catch (const Failure &failure) {
        if (failure.status == SGI_ERROR_MODEL && std::string(failure.what()).find(text) != std::string::npos) return;
        std::fprintf(stderr, "expected '%s', got '%s'\n", text.c_str(), failure.what());
        std::exit(1);
    }
    std::fprintf(stderr, "not refused: %s\n", what.c_str());
    std::exit(1);
}

void refused(const std::string &type, const std::string &text) {
    refused([&] { read(type); }, type, text);
}

void user_defined_types() {
    const OutputType type = read(heat(R"(, "decoding": "inverse", "png_bits": 16, "classes": [])"));
    CHECK(type.decoding == SGI_DECODING_INVERSE && type.png_bits == 16 && type.classes.empty());
    CHECK(type.low == -20 && type.high == 60);
    CHECK(read(heat(R"(, "decoding": "linear")")).png_bits == 8);
}

void classes() {
    const OutputType type =
        read(heat(R"(, "decoding": "palette", "classes": ["leg", "seat", "back"])", R"("low": 0, "high": 2)"));
    CHECK(type.decoding == SGI_DECODING_PALETTE);
    CHECK((type.classes == std::vector<std::string>{"leg", "seat", "back"}));
}

void early_versions() {
    const auto early = [](const std::string &name, const std::string &more = "") {
        return read("{\"name\": \"" + name + R"(", "meaning": "", "channels": 1, "low": 0, "high": 1)" + more + "}");
    };
    CHECK(early("depth").decoding == SGI_DECODING_INVERSE && early("depth").png_bits == 16);
    CHECK(early("edges").decoding == SGI_DECODING_IDENTITY && early("edges").png_bits == 8);
    CHECK(early("mask-bed").decoding == SGI_DECODING_IDENTITY && early("mask-bed").png_bits == 8);
    CHECK(early("segmentation", R"(, "classes": ["a", "b"])").decoding == SGI_DECODING_PALETTE);
    refused(heat(""), "wrong at decoding");
}

void refusals() {
    const std::string binary = R"("low": 0, "high": 1)";
    refused(heat(R"(, "decoding": "log")"), "type heat has the decoding 'log', which this version does not support");
    refused(heat(R"(, "decoding": 3)"), "wrong at decoding");
    refused(heat(R"(, "decoding": "unit")"), "wrong at decoding");
    refused(heat(R"(, "decoding": "inverse", "png_bits": 12)"), "wrong at png_bits");
    refused(heat(R"(, "decoding": "inverse", "png_bits": -8)"), "wrong at png_bits");
    refused(heat(R"(, "decoding": "inverse", "png_bits": 18446744073709551624)"), "wrong at png_bits");
    refused(heat(R"(, "decoding": "inverse", "classes": ["a", "b"])"), "wrong at classes");
    refused(heat(R"(, "decoding": "palette")", binary), "wrong at classes");
    refused(heat(R"(, "decoding": "palette", "classes": ["a"])", binary), "wrong at classes");
    refused(heat(R"(, "decoding": "palette", "classes": ["a", 7])", binary), "wrong at classes");
    refused(heat(R"(, "decoding": "palette", "classes": ["a", "b\u0000"])", binary), "wrong at classes");
    refused(heat(R"(, "decoding": "palette", "classes": {"a": "b"})", binary), "wrong at classes");
    refused(heat(R"(, "decoding": "palette", "classes": ["a", "b"], "png_bits": 16)", binary), "wrong at decoding");
    refused(heat(R"(, "decoding": "palette", "classes": ["a", "b"])"), "wrong at high");
    std::string many;
    for (size_t i = 0; i <= MAX_CLASSES; ++i) many += i ? ", \"a\"" : "\"a\"";
    refused(heat(R"(, "decoding": "palette", "classes": [)" + many + "]", R"("low": 0, "high": 256)"),
            "wrong at classes");
}

Artifact read_input(const std::string &more, const std::string &c_dim = "0") {
    const std::string json = R"({"format": 1, "resolution": 16, "z_dim": 8, "psi": 0.5, "c_dim": )" + c_dim + more +
                             R"(, "generator": {"sha256": "abc"}, "types": [)" + heat(R"(, "decoding": "inverse")") +
                             "]}";
    return read_artifact(Model{"", json, "maps.engine"});
}

void inputs() {
    const auto names = [](const Artifact &artifact) {
        std::string found;
        for (const Input &input : artifact.inputs) found += input.name + " ";
        return found;
    };
    CHECK(names(read_input("")) == "z psi " && names(read_input(R"(, "w_dim": null)", "3")) == "z psi label ");
    const Artifact w = read_input(R"(, "input": "w", "w_dim": 12)", "3");
    CHECK(names(w) == "w " && (w.inputs[0].shape == std::vector<int64_t>{-1, 12}) && w.inputs[0].values_of(3) == 36);
    const Artifact ws = read_input(R"(, "input": "w+", "w_dim": 12)");
    CHECK(names(ws) == "ws " && ws.num_ws() == 6 && (ws.inputs[0].shape_of(2) == std::vector<int64_t>{2, 6, 12}));
    for (const auto &[more, field] : {std::pair{R"(, "input": "w")", "w_dim"},
                                      {R"(, "input": "w+", "w_dim": null)", "w_dim"},
                                      {R"(, "input": "w+", "w_dim": 0)", "w_dim"},
                                      {R"(, "input": "w+", "w_dim": 1048577)", "w_dim"},
                                      {R"(, "w_dim": "12")", "w_dim"},
                                      {R"(, "input": "W", "w_dim": 12)", "input"},
                                      {R"(, "input": null)", "input"}})
        refused([&, more = more] { read_input(more); }, more, std::string("wrong at ") + field);
}

// The shapes of w+: the product with all rows, and the sum of the rows.
void shapes_of_rows() {
    const auto shape = [](NodeForm form) { return output_shapes(form, 1).at(0); };
    const Shape ws{1, 6, 12}, matrix{12, 40};
    CHECK((shape({"MatMul", {ws, matrix}, {}, {}}) == Shape{1, 6, 40}));
    CHECK((shape({"ReduceSum", {ws, {1}}, {{"keepdims", {0}}}, {1}}) == Shape{1, 12}));
    CHECK((shape({"ReduceSum", {ws, {1}}, {}, {1}}) == ws));
    const auto is_refused = [&](const NodeForm &form) {
        try {
            shape(form);
        } catch (const std::invalid_argument &) {
            return true;
        }
        return false;
    };
    CHECK(is_refused({"ReduceSum", {ws, {1}}, {{"keepdims", {0}}}, {2}}));
    CHECK(is_refused({"ReduceSum", {{1, 12}, {1}}, {{"keepdims", {0}}}, {1}}));
    CHECK(is_refused({"ReduceMean", {ws, {1}}, {{"keepdims", {0}}}, {1}}));
    CHECK(is_refused({"MatMul", {ws, ws}, {}, {}}));
}

void checksums() {
    CHECK(sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    for (size_t length = 0; length < 260; ++length) {
        const std::string text(length, static_cast<char>('a' + length % 26));
        CHECK(sha256(text) == sha256_portable(text));
    }
}

// ir_version, a graph with one name, and a description with a checksum of the graph.
std::string model(const std::string &graph, const std::string &checksum) {
    const std::string json = R"({"format": 1, "resolution": 16, "z_dim": 8, "c_dim": 0, "psi": 0.5,
        "generator": {"sha256": "abc"}, "graph_sha256": )" +
                             checksum + R"(, "types": [)" + heat(R"(, "decoding": "inverse")") + "]}";
    const auto field = [](char tag, const std::string &payload) {
        const size_t size = payload.size();
        const std::string length{static_cast<char>((size & 0x7f) | 0x80), static_cast<char>(size >> 7)};
        return tag + length + payload;
    };
    return "\x08\x0a" + field('\x3a', graph) + field('\x72', field('\x0a', "sgi_engine") + field('\x12', json));
}

void damage() {
    const std::string graph = "\x12\x04tiny", checksum = '"' + sha256(graph) + '"';
    const auto read = [](const std::string &bytes) { return read_artifact(Model{bytes, "", "maps.onnx"}); };
    CHECK('"' + read(model(graph, checksum)).graph_sha256 + '"' == checksum);
    CHECK(read(model(graph, "null")).graph_sha256.empty());
    try {
        read(model("\x12\x04tinx", checksum));
    } catch (const Failure &failure) {
        CHECK(failure.status == SGI_ERROR_MODEL && std::string(failure.what()).find("damaged") != std::string::npos);
        return;
    }
    CHECK(!"a damaged graph was read");
}

void colours() {
    CHECK((palette(3) == std::vector<uint8_t>{0, 0, 0, 255, 255, 255, 0, 128, 255}));
    CHECK(palette(0).empty() && palette(MAX_CLASSES).size() == 3 * MAX_CLASSES);
}

} // namespace

int main() {
    user_defined_types();
    classes();
    early_versions();
    refusals();
    inputs();
    shapes_of_rows();
    checksums();
    damage();
    colours();
    return 0;
}
