// The formats: NumPy's documentation of numpy.lib.format, and APPNOTE.TXT 6.3.10 of PKWARE for the archive.
#include "latents_file.hpp"

#include "npz.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>

namespace {

using std::string_view_literals::operator""sv;

constexpr uintmax_t LARGEST_FILE = (uintmax_t{1} << 31) - 1;
constexpr size_t MOST_AXES = 8, MOST_COMMENT = 0xffff;
const char *const REMEDY = "; write it with `numpy.savez(file, w=numpy.ascontiguousarray(array, 'float32'))`";

struct Kind {
    std::string name;
    std::vector<size_t> row;
};

struct Entry {
    std::string name;
    std::string_view npy;
};

struct Array {
    std::vector<size_t> shape;
    std::vector<float> values;
};

[[noreturn]] void wrong(const std::string &what) { throw std::runtime_error(what + REMEDY); }

std::string read_file(const std::string &path) {
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error)) throw std::runtime_error("no such file, or not a file");
    if (std::filesystem::file_size(path, error) > LARGEST_FILE) throw std::runtime_error("larger than 2 GiB");
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("not readable");
    return {std::istreambuf_iterator<char>(file), {}};
}

// A number of the archive or of the header, little-endian.
size_t number(std::string_view bytes, size_t at, size_t size) {
    if (at > bytes.size() || bytes.size() - at < size) wrong("the file is truncated");
    size_t value = 0;
    for (size_t i = 0; i < size; ++i) value |= size_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
    return value;
}

std::string_view part(std::string_view bytes, size_t at, size_t size) {
    if (at > bytes.size() || bytes.size() - at < size) wrong("the file is truncated");
    return bytes.substr(at, size);
}

// What follows the key in the header, a literal of a Python dict.
std::string_view value_of(std::string_view header, std::string_view key) {
    const size_t at = header.find(key);
    if (at == std::string_view::npos) wrong("not a .npy array");
    const std::string_view rest = header.substr(at + key.size());
    return rest.substr(std::min(rest.find_first_not_of(' '), rest.size()));
}

std::vector<size_t> shape_of(std::string_view text) {
    std::vector<size_t> shape;
    const size_t end = text.find(')');
    if (text.empty() || text[0] != '(' || end == std::string_view::npos) wrong("not a .npy array");
    for (size_t i = 1; i < end;) {
        if (text[i] == ',' || text[i] == ' ') {
            ++i;
            continue;
        }
        size_t side = 0, digits = 0;
        for (; i < end && text[i] >= '0' && text[i] <= '9' && digits < 10; ++i, ++digits)
            side = 10 * side + static_cast<size_t>(text[i] - '0');
        if (!digits || digits == 10 || shape.size() == MOST_AXES) wrong("not a .npy array");
        shape.push_back(side);
    }
    return shape;
}

template <class Number> std::vector<float> numbers(std::string_view data, size_t count) {
    std::vector<float> values(count);
    for (size_t i = 0; i < count; ++i) {
        Number value;
        std::memcpy(&value, data.data() + i * sizeof value, sizeof value);
        values[i] = static_cast<float>(value);
    }
    return values;
}

Array read_npy(std::string_view file) {
    if (file.substr(0, 6) != "\x93NUMPY"sv) wrong("not a .npy array");
    const size_t length_size = number(file, 6, 1) == 1 ? 2 : 4, start = 8 + length_size;
    const size_t length = number(file, 8, length_size);
    const std::string_view header = part(file, start, length), data = file.substr(start + length);
    const std::string_view dtype = value_of(header, "'descr':").substr(0, 5);
    if (dtype != "'<f4'" && dtype != "'<f8'") wrong("its values are neither float32 nor float64");
    Array array{shape_of(value_of(header, "'shape':")), {}};
    if (value_of(header, "'fortran_order':").substr(0, 5) != "False" && array.shape.size() > 1)
        wrong("the array is in Fortran order");
    const size_t width = dtype == "'<f4'" ? sizeof(float) : sizeof(double), most = data.size() / width;
    size_t count = 1;
    for (const size_t side : array.shape) {
        if (side && count > most / side) wrong("the file is truncated");
        count *= side;
    }
    array.values = width == sizeof(float) ? numbers<float>(data, count) : numbers<double>(data, count);
    return array;
}

// The arrays of an archive; their bytes are in `file`.
std::vector<Entry> entries_of(std::string_view file) {
    constexpr size_t END = 22, HEADER = 46, LOCAL = 30, IN_ZIP64 = 0xffffffff;
    const size_t end = file.rfind("PK\x05\x06"sv);
    if (end == std::string_view::npos || file.size() - end > END + MOST_COMMENT) wrong("not an .npz file");
    std::vector<Entry> entries;
    size_t at = number(file, end + 16, 4);
    for (size_t left = number(file, end + 10, 2); left; --left) {
        const std::string_view header = part(file, at, HEADER);
        const size_t crc = number(header, 16, 4), size = number(header, 20, 4), local = number(header, 42, 4);
        std::string name(part(file, at + HEADER, number(header, 28, 2)));
        at += HEADER + name.size() + number(header, 30, 2) + number(header, 32, 2);
        if (header.substr(0, 4) != "PK\x01\x02"sv || size == IN_ZIP64 || local == IN_ZIP64) wrong("not an .npz file");
        if (number(header, 10, 2)) wrong("the .npz file is compressed");
        const size_t start = local + LOCAL + number(file, local + 26, 2) + number(file, local + 28, 2);
        const std::string_view npy = part(file, start, size);
        if (crc32(npy) != crc) wrong("the file is damaged");
        if (name.size() > 4 && name.substr(name.size() - 4) == ".npy") name.resize(name.size() - 4);
        entries.push_back({name, npy});
    }
    return entries;
}

// The kinds of an array with this name.
std::vector<std::string> kinds_of(const std::string &name) {
    if (name == "z") return {"z"};
    if (name == "w") return {"w", "w+"}; // the `w` of the projector is w+
    if (name == "ws") return {"w+"};
    return {"z", "w", "w+"};
}

template <class List, class Value> bool has(const List &list, const Value &value) {
    return std::find(list.begin(), list.end(), value) != list.end();
}

// The array of latents: of a known name, or the only one.
Entry choose(const std::vector<Entry> &entries, const std::string &kind) {
    std::vector<Entry> known;
    std::string names;
    for (const Entry &entry : entries) {
        names += (names.empty() ? "" : ", ") + entry.name;
        const bool is_known = entry.name == "z" || entry.name == "w" || entry.name == "ws" || entry.name == "latents";
        if (is_known && (kind.empty() || has(kinds_of(entry.name), kind))) known.push_back(entry);
    }
    if (known.size() == 1) return known[0];
    if (known.empty() && entries.size() == 1) return entries[0];
    throw std::runtime_error("its arrays are " + (names.empty() ? "none" : names) +
                             "; write a file with one of them, named z, w, ws or latents");
}

std::string text_of(const std::vector<size_t> &shape, const std::string &first = "") {
    std::string text = first;
    for (const size_t side : shape) text += (text.empty() ? "" : ", ") + std::to_string(side);
    return "[" + text + "]";
}

// The kinds that the model takes.
std::vector<Kind> kinds_of(const sgi_model_info &model) {
    const std::string takes = model.input;
    const Kind w{"w", {model.w_dim}};
    if (takes == "z") return {{"z", {model.z_dim}}};
    if (takes == "w") return {w};
    return {w, {"w+", {model.num_ws, model.w_dim}}};
}

Latents read(const std::string &path, const sgi_model_info &model, const std::string &kind) {
    const std::string file = read_file(path);
    const Entry entry = file.substr(0, 2) == "PK" ? choose(entries_of(file), kind) : Entry{"", file};
    Array array = read_npy(entry.npy);
    const std::vector<size_t> &shape = array.shape;
    std::vector<Kind> fitting;
    std::string wanted, names;
    for (const Kind &own : kinds_of(model)) {
        wanted += (wanted.empty() ? "" : " or ") + own.name + " " + text_of(own.row, "N");
        if (!has(kinds_of(entry.name), own.name) || (!kind.empty() && own.name != kind)) continue;
        const bool is_row = shape == own.row;
        const bool is_list =
            shape.size() == own.row.size() + 1 && std::equal(own.row.begin(), own.row.end(), shape.begin() + 1);
        if (!is_row && !is_list) continue;
        names += (names.empty() ? "" : " or ") + own.name;
        fitting.push_back(own);
    }
    const std::string named = entry.name.empty() ? "" : " " + entry.name;
    if (fitting.empty()) {
        const bool takes_z = std::string(model.input) == "z";
        throw std::runtime_error("its array" + named + " " + text_of(shape) + " does not fit: the model takes " +
                                 wanted + (takes_z ? "; one of `sgi-engine export --input w+` takes w and w+" : ""));
    }
    if (fitting.size() > 1)
        throw std::runtime_error("its array" + named + " " + text_of(shape) + " can be " + names +
                                 "; say which with --latents-kind");
    if (array.values.empty()) throw std::runtime_error("it has no latents");
    size_t row = 1;
    for (const size_t side : fitting[0].row) row *= side;
    return {fitting[0].name, array.values.size() / row, std::move(array.values)};
}

} // namespace

sgi::Request Latents::request(size_t first, size_t images) const {
    const sgi::Span<const float> part{values.data() + first * row(), images * row()};
    sgi::Request request;
    (kind == "z" ? request.z : kind == "w" ? request.w : request.ws) = part;
    return request;
}

Latents read_latents(const std::string &path, const sgi_model_info &model, const std::string &kind) {
    try {
        return read(path, model, kind);
    } catch (const std::exception &error) {
        throw std::runtime_error("--latents " + path + ": " + error.what());
    }
}
