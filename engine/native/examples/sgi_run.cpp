// sgi-run: generates PNG or NPY files of seeds, or of latents in a file, with the names of `sgi-engine run`, in one
// folder without subfolders. It writes no run.json and no manifest, so it refuses a folder that has a run.json, and
// `sgi-engine run` refuses the folders of sgi-run.
#include "../src/printable.hpp"
#include "class_label.hpp"
#include "flag_names.hpp"
#include "latents_file.hpp"
#include "npy.hpp"
#include "png_file.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace {

constexpr const char *USAGE =
    "usage: sgi-run MODEL [--seeds 0-7,42] [--outdir out] [--type depth,image] [--trunc 0.7] [--format png|npy]\n"
    "               [--backend cpu|onnxruntime|openvino] [--threads 2] [--precision bf16]\n"
    "               [--class 3] (or weights of classes, 3:0.7,5:0.3)\n"
    "               [--latents FILE.npy|.npz] [--latents-kind z|w|w+] (in place of --seeds)\n";

struct Flags {
    std::string model, latents, kind, outdir = "out", types, label, format = "png", backend, precision;
    uint32_t threads = 0;
    std::optional<std::string> seeds;
    std::optional<float> psi;
};

uint32_t parse_number(const std::string &flag, const std::string &text) {
    uint32_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size())
        throw std::runtime_error(flag + ": cannot parse '" + text + "'");
    return number;
}

float parse_psi(const std::string &text) {
    char *end = nullptr;
    const float psi = std::strtof(text.c_str(), &end);
    if (text.empty() || *end || !std::isfinite(psi)) throw std::runtime_error("--trunc: cannot parse '" + text + "'");
    return psi;
}

std::vector<uint32_t> parse_seeds(const std::string &text) {
    std::vector<uint32_t> seeds;
    for (size_t start = 0; start <= text.size();) {
        const size_t end = std::min(text.find(',', start), text.size());
        const std::string item = text.substr(start, end - start);
        const size_t dash = item.find('-');
        const uint32_t first = parse_number("--seeds", item.substr(0, dash));
        const uint32_t last = dash == std::string::npos ? first : parse_number("--seeds", item.substr(dash + 1));
        if (last < first) throw std::runtime_error("--seeds: the range " + item + " is reversed");
        for (uint64_t seed = first; seed <= last; ++seed) seeds.push_back(static_cast<uint32_t>(seed));
        start = end + 1;
    }
    return seeds;
}

// The label [c_dim] of all images, empty for a model without classes.
std::vector<float> label_of(const std::string &text, uint32_t c_dim) {
    if (!c_dim && text.empty()) return {};
    if (!c_dim) throw std::runtime_error("--class " + text + ": the model has no classes; leave it out");
    if (text.empty()) throw std::runtime_error("--class: the model needs a class, 0 to " + std::to_string(c_dim - 1));
    try {
        return class_label(text, c_dim);
    } catch (const std::invalid_argument &error) {
        throw std::runtime_error("--class " + text + ": " + error.what());
    }
}

// What the maps are computed of, and the start of the names of its files.
class Items {
  public:
    Items(const Flags &flags, const sgi_model_info &model) {
        if (!flags.latents.empty()) latents_ = read_latents(flags.latents, model, flags.kind);
        else if (std::string(model.input) == "z") seeds_ = parse_seeds(flags.seeds.value_or("0-7"));
        else throw std::runtime_error(flags.model + ": the model takes " + model.input + ", not seeds; give --latents");
        if (takes_label()) label_ = label_of(flags.label, model.c_dim);
        else if (flags.psi || !flags.label.empty())
            throw std::runtime_error((flags.psi ? "--trunc" : "--class") + std::string(" has no effect on ") +
                                     latents_.kind +
                                     ", which is after the mapping network and truncation; leave it out");
        const size_t last = seeds_.empty() ? latents_.count - 1 : *std::max_element(seeds_.begin(), seeds_.end());
        digits_ = std::max<size_t>(seeds_.empty() ? 4 : 6, std::to_string(last).size());
        psi_ = flags.psi;
    }

    size_t count() const { return seeds_.empty() ? latents_.count : seeds_.size(); }

    sgi::Maps generate(sgi::Engine &engine, size_t first, size_t images) const {
        sgi::Request request = seeds_.empty() ? latents_.request(first, images) : sgi::Request{};
        if (!seeds_.empty()) request.seeds = {seeds_.data() + first, images};
        std::vector<float> labels;
        for (size_t n = 0; n < images; ++n) labels.insert(labels.end(), label_.begin(), label_.end());
        request.labels = labels;
        request.psi = psi_;
        return engine.generate(request);
    }

    std::string stem(size_t item) const {
        const std::string number = std::to_string(seeds_.empty() ? item : seeds_[item]);
        return (seeds_.empty() ? "latent" : "seed") + std::string(digits_ - number.size(), '0') + number;
    }

  private:
    bool takes_label() const { return !seeds_.empty() || latents_.kind == "z"; }

    std::vector<uint32_t> seeds_; // empty with latents
    Latents latents_;
    std::vector<float> label_; // [c_dim], or empty
    std::optional<float> psi_;
    size_t digits_ = 0;
};

void write_npy(const std::string &path, const std::string &bytes) {
    std::ofstream file(path, std::ios::binary);
    if (!file.write(bytes.data(), static_cast<std::streamsize>(bytes.size())).flush())
        throw std::runtime_error(path + ": cannot be written");
}

void run(const Flags &flags) {
    const std::filesystem::path outdir = flags.outdir;
    if (std::filesystem::exists(outdir / "run.json")) {
        throw std::runtime_error("--outdir " + outdir.string() +
                                 ": it is a folder of `sgi-engine run` (run.json); choose another --outdir");
    }
    sgi::Options options;
    options.types = flags.types;
    options.backend = flags.backend;
    options.threads = flags.threads;
    options.precision = flags.precision;
    sgi::Engine engine(flags.model, options);
    const Items items(flags, engine.info());
    std::filesystem::create_directories(outdir);
    constexpr size_t AT_ONCE = 8;
    for (size_t start = 0; start < items.count(); start += AT_ONCE) {
        const size_t count = std::min(AT_ONCE, items.count() - start);
        const sgi::Maps maps = items.generate(engine, start, count);
        for (size_t k = 0; k < maps.size(); ++k) {
            for (size_t n = 0; n < count; ++n) {
                const std::string path = outdir / (items.stem(start + n) + "_" + maps[k].type() + "." + flags.format);
                if (flags.format == "png") write_png(path, maps[k].image(n), engine.types()[k], maps[k].side());
                else write_npy(path, npy(maps[k].image(n), maps[k].channels(), maps[k].side()));
            }
        }
    }
}

} // namespace

int main(int argc, char **argv) try {
    if (argc == 2 && (std::string(argv[1]) == "--help" || std::string(argv[1]) == "-h"))
        return std::fputs(USAGE, stdout), 0;
    Flags flags;
    for (int i = 2; i < argc; i += 2) {
        const std::string flag = argv[i];
        if (i + 1 == argc) throw std::runtime_error(flag + " needs a value");
        const std::string value = argv[i + 1];
        if (flag == "--seeds") flags.seeds = value;
        else if (flag == "--latents") flags.latents = value;
        else if (flag == "--latents-kind") flags.kind = value;
        else if (flag == "--outdir") flags.outdir = value;
        else if (flag == "--type") flags.types = value;
        else if (flag == "--class") flags.label = value;
        else if (flag == "--trunc") flags.psi = parse_psi(value);
        else if (flag == "--format") flags.format = value;
        else if (flag == "--backend") flags.backend = value;
        else if (flag == "--precision") flags.precision = value;
        else if (flag == "--threads") flags.threads = parse_number(flag, value);
        else throw std::runtime_error("no flag " + flag);
    }
    if (argc < 2 || argv[1][0] == '-') return std::fputs(USAGE, stderr), 2;
    flags.model = argv[1];
    if (flags.format != "png" && flags.format != "npy")
        throw std::runtime_error("--format " + flags.format + ": choose png or npy");
    if (flags.seeds && !flags.latents.empty()) throw std::runtime_error("give either --seeds or --latents");
    if (!flags.kind.empty() && flags.latents.empty())
        throw std::runtime_error("--latents-kind has no effect without --latents; leave it out");
    if (!flags.kind.empty() && flags.kind != "z" && flags.kind != "w" && flags.kind != "w+")
        throw std::runtime_error("--latents-kind " + flags.kind + ": choose z, w or w+");
    run(flags);
    return 0;
} catch (const std::exception &error) {
    std::fprintf(stderr, "error: %s\n", sgi::internal::printable(with_flags(error.what())).c_str());
    return 2;
}
