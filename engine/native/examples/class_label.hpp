// Labels of conditional models as users write them.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

// A number that is the whole text.
template <class Number> bool read_number(const std::string &text, Number &value) {
    const char *end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    return error == std::errc() && stop == end && !text.empty();
}

// The label [c_dim] of a class, `3`, or of weights of classes, `3:0.7,5:0.3`. Throws std::invalid_argument, which says
// what to write.
inline std::vector<float> class_label(const std::string &text, uint32_t c_dim) {
    std::vector<float> label(c_dim);
    std::set<uint32_t> seen;
    const bool weighted = text.find(':') != std::string::npos;
    for (size_t start = 0; start <= text.size();) {
        const size_t end = weighted ? std::min(text.find(',', start), text.size()) : text.size();
        std::string item = text.substr(start, end - start);
        item.erase(0, item.find_first_not_of(' '));
        item.erase(item.find_last_not_of(' ') + 1);
        const size_t colon = item.find(':');
        uint32_t index = 0;
        float weight = 1;
        const bool has_weight = colon != std::string::npos && read_number(item.substr(colon + 1), weight);
        if (!read_number(item.substr(0, colon), index) || has_weight != weighted || !std::isfinite(weight))
            throw std::invalid_argument("write one class such as 3, or weights of classes such as 3:0.7,5:0.3");
        if (index >= c_dim) throw std::invalid_argument("choose classes from 0 to " + std::to_string(c_dim - 1));
        if (!seen.insert(index).second)
            throw std::invalid_argument("class " + std::to_string(index) + " has two weights; write one");
        label[index] = weight;
        start = end + 1;
    }
    return label;
}
