#include "serve_query.hpp"

#include "class_label.hpp"
#include "npy.hpp"
#include "npz.hpp"
#include "png_file.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

namespace {

using Parameters = std::multimap<std::string, std::string>;
constexpr float PSI_LIMIT = 100; // that of engine/arguments.py

[[noreturn]] void wrong(const std::string &name, const std::string &value, const std::string &what) {
    throw BadRequest("`" + name + "=" + shown(value) + "`: " + what);
}

std::vector<std::string> split(const std::string &text, char at) {
    std::vector<std::string> parts;
    for (size_t start = 0; start <= text.size();) {
        const size_t end = std::min(text.find(at, start), text.size());
        std::string part = text.substr(start, end - start);
        part.erase(0, part.find_first_not_of(' '));
        part.erase(part.find_last_not_of(' ') + 1);
        parts.push_back(part);
        start = end + 1;
    }
    return parts;
}

std::vector<uint32_t> parse_seeds(const std::string &text, size_t most) {
    std::vector<uint32_t> seeds;
    std::set<uint32_t> seen; // a seed that is named twice is generated once
    uint64_t count = 0;
    for (const std::string &item : split(text, ',')) {
        const size_t dash = item.find('-');
        uint32_t first = 0, last = 0;
        if (!read_number(item.substr(0, dash), first) ||
            !read_number(dash == std::string::npos ? item : item.substr(dash + 1), last))
            wrong("seeds", text, "write seeds from 0 to 4294967295 and ranges, such as 0-3,9");
        if (last < first) wrong("seeds", text, "the range " + shown(item) + " is reversed");
        count += uint64_t{last} - first + 1;
        if (count > most) wrong("seeds", text, "one request takes " + std::to_string(most));
        for (uint64_t seed = first; seed <= last; ++seed)
            if (seen.insert(static_cast<uint32_t>(seed)).second) seeds.push_back(static_cast<uint32_t>(seed));
    }
    return seeds;
}

std::vector<std::string> choose_types(const std::optional<std::string> &text, const sgi_model_info &model) {
    std::vector<std::string> all, chosen;
    std::string known;
    for (size_t i = 0; i < model.type_count; ++i) {
        all.emplace_back(model.types[i].name);
        known += (i ? ", " : "") + all.back();
    }
    if (!text) return all;
    const std::vector<std::string> wanted = split(*text, ',');
    for (const std::string &name : wanted)
        if (std::find(all.begin(), all.end(), name) == all.end()) wrong("types", name, "the model has " + known);
    for (const std::string &name : all)
        if (std::find(wanted.begin(), wanted.end(), name) != wanted.end()) chosen.push_back(name);
    return chosen;
}

std::string choose_format(const std::optional<std::string> &given, size_t seeds, size_t types) {
    const std::string text = given.value_or(types == 1 ? "npy" : "npz");
    if (media_type(text).empty()) wrong("format", text, "choose from png, npy, npz");
    if (text == "png" && (seeds != 1 || types != 1)) wrong("format", text, "contains one map; use npz");
    if (text == "npy" && types != 1) wrong("format", text, "contains one type; use npz");
    return text;
}

} // namespace

std::string shown(std::string text) {
    if (text.size() > 60) text = text.substr(0, 57) + "...";
    for (char &letter : text)
        if (letter < ' ' || letter > '~') letter = '?';
    return text;
}

Query parse_query(const Parameters &parameters, const sgi_model_info &model, size_t most_seeds) {
    for (const auto &[name, value] : parameters) {
        if (std::set<std::string>{"seeds", "types", "psi", "class_index", "format"}.count(name) == 0)
            throw BadRequest("`" + shown(name) + "`: choose from seeds, types, psi, class_index, format");
        if (parameters.count(name) > 1) throw BadRequest("`" + name + "`: was given twice");
    }
    const auto given = [&](const char *name) -> std::optional<std::string> {
        const auto found = parameters.find(name);
        return found == parameters.end() ? std::nullopt : std::optional(found->second);
    };
    const auto value_of = [&](const char *name) { return given(name).value_or(""); };
    Query query;
    if (value_of("seeds").empty()) throw BadRequest("`seeds`: is required, such as 5 or 0-3,9");
    query.seeds = parse_seeds(value_of("seeds"), most_seeds);
    query.types = choose_types(given("types"), model);
    query.format = choose_format(given("format"), query.seeds.size(), query.types.size());
    query.psi = model.psi;
    if (parameters.count("psi") && (!read_number(value_of("psi"), query.psi) || !(std::abs(query.psi) <= PSI_LIMIT)))
        wrong("psi", value_of("psi"), "must be a number from -100 to 100, such as 0.7");
    const bool has_class = parameters.count("class_index");
    if (!model.c_dim && has_class) throw BadRequest("`class_index`: the model has no classes; leave it out");
    if (!model.c_dim) return query;
    if (!has_class) throw BadRequest("`class_index`: the model needs a class, 0 to " + std::to_string(model.c_dim - 1));
    try {
        query.label = class_label(value_of("class_index"), model.c_dim);
    } catch (const std::invalid_argument &error) {
        wrong("class_index", value_of("class_index"), error.what());
    }
    return query;
}

std::string encode(const Query &query, const Found &found, const sgi_model_info &model) {
    const size_t count = query.seeds.size();
    std::vector<std::pair<std::string, std::string>> files;
    for (const std::string &name : query.types) {
        const sgi::Map &map = (*found.maps)[name];
        if (query.format == "png")
            for (const sgi_type *type = model.types;; ++type)
                if (type->name == name) return encode_png(map.image(found.first), *type, map.side());
        const sgi::Span<const float> values(map.image(found.first).data(), count * map.image(0).size());
        std::string bytes = npy(values, {count, map.channels()}, map.side());
        if (query.format == "npy") return bytes;
        files.emplace_back(name, std::move(bytes));
    }
    return npz(files);
}

std::string media_type(const std::string &format) {
    if (format == "png") return "image/png";
    return format == "npy" || format == "npz" ? "application/x-" + format : "";
}
