// sgi-run: generates PNG or NPY files of seeds with the names of `sgi-engine run`, in one folder without subfolders.
// It writes no run.json and no manifest, so it refuses a folder that has a run.json, and `sgi-engine run` refuses the
// folders of sgi-run.
#include "../src/printable.hpp"
#include "class_label.hpp"
#include "npy.hpp"
#include "png_file.hpp"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <filesystem>
#include <fstream>

namespace {

constexpr const char *USAGE =
    "usage: sgi-run MODEL [--seeds 0-7,42] [--outdir out] [--type depth,image] [--trunc 0.7] [--format png|npy]\n"
    "               [--class 3] (or weights of classes, 3:0.7,5:0.3)\n";

uint32_t parse_seed(const std::string &text) {
    size_t end = 0;
    const unsigned long long seed = text.empty() || !std::isdigit(text[0]) ? ~0ull : std::stoull(text, &end);
    if (end != text.size() || seed > 0xffffffffull) throw std::runtime_error("--seeds: cannot parse '" + text + "'");
    return static_cast<uint32_t>(seed);
}

std::vector<uint32_t> parse_seeds(const std::string &text) {
    std::vector<uint32_t> seeds;
    for (size_t start = 0; start <= text.size();) {
        const size_t end = std::min(text.find(',', start), text.size());
        const std::string item = text.substr(start, end - start);
        const size_t dash = item.find('-');
        const uint32_t first = parse_seed(item.substr(0, dash));
        const uint32_t last = dash == std::string::npos ? first : parse_seed(item.substr(dash + 1));
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

void run(const std::string &model, const std::string &seed_text, const std::filesystem::path &outdir,
         const std::string &types, const std::string &class_text, std::optional<float> psi, const std::string &format) {
    const std::vector<uint32_t> seeds = parse_seeds(seed_text);
    const size_t digits = std::max<size_t>(6, std::to_string(*std::max_element(seeds.begin(), seeds.end())).size());
    if (std::filesystem::exists(outdir / "run.json")) {
        throw std::runtime_error("--outdir " + outdir.string() +
                                 ": it is a folder of `sgi-engine run` (run.json); choose another --outdir");
    }
    sgi::Options options;
    options.types = types;
    sgi::Engine engine(model, options);
    const std::vector<float> label = label_of(class_text, engine.info().c_dim);
    std::filesystem::create_directories(outdir);
    constexpr size_t AT_ONCE = 8;
    for (size_t start = 0; start < seeds.size(); start += AT_ONCE) {
        const size_t count = std::min(AT_ONCE, seeds.size() - start);
        std::vector<float> labels;
        for (size_t n = 0; n < count; ++n) labels.insert(labels.end(), label.begin(), label.end());
        sgi::Request request;
        request.seeds = {seeds.data() + start, count};
        request.psi = psi;
        request.labels = labels;
        const sgi::Maps maps = engine.generate(request);
        for (size_t k = 0; k < maps.size(); ++k) {
            for (size_t n = 0; n < count; ++n) {
                const std::string seed = std::to_string(seeds[start + n]);
                const std::string stem = "seed" + std::string(digits - seed.size(), '0') + seed;
                const std::string path = outdir / (stem + "_" + maps[k].type() + "." + format);
                if (format == "png") write_png(path, maps[k].image(n), engine.types()[k], maps[k].side());
                else std::ofstream(path, std::ios::binary) << npy(maps[k].image(n), maps[k].channels(), maps[k].side());
            }
        }
    }
}

} // namespace

int main(int argc, char **argv) try {
    std::string seeds = "0-7", outdir = "out", types, label, format = "png";
    std::optional<float> psi;
    for (int i = 2; i < argc; i += 2) {
        const std::string flag = argv[i];
        if (i + 1 == argc) throw std::runtime_error(flag + " needs a value");
        if (flag == "--seeds") seeds = argv[i + 1];
        else if (flag == "--outdir") outdir = argv[i + 1];
        else if (flag == "--type") types = argv[i + 1];
        else if (flag == "--class") label = argv[i + 1];
        else if (flag == "--trunc") psi = std::stof(argv[i + 1]);
        else if (flag == "--format") format = argv[i + 1];
        else throw std::runtime_error("no flag " + flag);
    }
    if (argc < 2 || argv[1][0] == '-') return std::fputs(USAGE, stderr), 2;
    if (format != "png" && format != "npy") throw std::runtime_error("--format " + format + ": choose png or npy");
    run(argv[1], seeds, outdir, types, label, psi, format);
    return 0;
} catch (const std::exception &error) {
    std::fprintf(stderr, "error: %s\n", sgi::internal::printable(error.what()).c_str());
    return 2;
}
