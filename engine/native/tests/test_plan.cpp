// The plan of a pass: every row that a step reads is in memory where the step reads it, and every map is computed once.
#include "check.hpp"

#include <cpu_plan.hpp>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <tuple>

using namespace sgi::internal;

namespace {

// What a float of memory holds: a kind and layer, an image, a variant, and the position within the row.
using Content = std::tuple<int, size_t, uint32_t, uint32_t, size_t>;

// A network of `levels` resolutions, of two convolutions each, with `types` types that leave each other at random.
PlannedLayers random_layers(std::mt19937 &random, size_t levels, size_t types) {
    const auto below = [&](size_t n) { return random() % n; };
    PlannedLayers layers;
    layers.convs.resize(2 * levels);
    layers.rgbs.resize(2 * levels); // of each level one that every second type uses, and one of the others
    const auto place = [](auto &variants, auto variant) {
        const auto found = std::find(variants.begin(), variants.end(), variant);
        if (found != variants.end()) return static_cast<size_t>(found - variants.begin());
        variants.push_back(variant);
        return variants.size() - 1;
    };
    for (size_t type = 0; type < types; ++type) {
        const size_t leaves_at = below(2 * levels + 1); // the first convolution with styles of its own
        size_t conv = 0, picture = 0;
        for (size_t level = 0; level < levels; ++level) {
            for (size_t i = 2 * level; i < 2 * level + 2; ++i) {
                layers.convs[i].floats = 128 << (2 * level);
                conv = place(layers.convs[i].variants, ConvVariant{conv, i < leaves_at ? 0 : type});
            }
            PlannedRgb &rgb = layers.rgbs[2 * level + type % 2];
            rgb.floats = (type % 2 ? 1 : 3) * 16 << (2 * level);
            rgb.conv = 2 * level + 1;
            if (level) rgb.below = 2 * level - 2 + type % 2;
            picture = place(rgb.variants, RgbVariant{conv, below(3) ? 0 : type, picture});
        }
        layers.outputs.push_back({2 * levels - 2 + type % 2, picture});
    }
    return layers;
}

class Memory {
  public:
    Memory(const PlannedLayers &layers, const Plan &plan) : layers_(layers), plan_(plan), content_(plan.floats) {}

    void run(const Step &step) {
        if (step.kind == Step::CONV) convolve(step);
        else if (step.kind == Step::RGB) show(step);
        else decode(step);
    }

    std::set<std::pair<size_t, size_t>> decoded; // output, image

  private:
    enum { NOTHING, CONV, RGB };

    void check(size_t at, size_t row, size_t floats, int kind, size_t layer, uint32_t image, size_t variant) const {
        for (size_t i = 0; i < floats; ++i)
            CHECK(content_.at(at + row * floats + i) == Content(kind, layer, image, static_cast<uint32_t>(variant), i));
    }

    void write(const Step &step, const std::vector<Row> &rows, size_t floats, int kind) {
        CHECK(step.y % 16 == 0);
        for (size_t r = 0; r < step.rows; ++r) {
            const Row &row = rows.at(step.first + r);
            for (size_t i = 0; i < floats; ++i)
                content_.at(step.y + r * floats + i) = Content(kind, step.layer, row.image, row.variant, i);
        }
    }

    // Rows are written before what is read is checked, so that they cannot overlap.
    void convolve(const Step &step) {
        const PlannedConv &layer = layers_.convs[step.layer];
        write(step, plan_.conv_rows[step.layer], layer.floats, CONV);
        for (size_t r = 0; r < step.rows; ++r) {
            const Row &row = plan_.conv_rows[step.layer].at(step.first + r);
            if (step.layer)
                check(step.x, step.source.at(r), layers_.convs[step.layer - 1].floats, CONV, step.layer - 1, row.image,
                      layer.variants.at(row.variant).parent);
            else CHECK(step.source.at(r) == 0);
        }
    }

    void show(const Step &step) {
        const PlannedRgb &layer = layers_.rgbs[step.layer];
        write(step, plan_.rgb_rows[step.layer], layer.floats, RGB);
        for (size_t r = 0; r < step.rows; ++r) {
            const Row &row = plan_.rgb_rows[step.layer].at(step.first + r);
            const RgbVariant &variant = layer.variants.at(row.variant);
            check(step.x, step.source.at(r), layers_.convs[layer.conv].floats, CONV, layer.conv, row.image,
                  variant.conv);
            if (layer.below)
                check(step.below, step.below_source.at(r), layers_.rgbs[*layer.below].floats, RGB, *layer.below,
                      row.image, variant.below);
        }
    }

    void decode(const Step &step) {
        const PlannedOutput &output = layers_.outputs.at(step.layer);
        for (size_t r = 0; r < step.rows; ++r) {
            check(step.x + r * step.stride, 0, layers_.rgbs[output.rgb].floats, RGB, output.rgb,
                  static_cast<uint32_t>(step.image + r), output.variant);
            CHECK(decoded.insert({step.layer, step.image + r}).second);
        }
    }

    const PlannedLayers &layers_;
    const Plan &plan_;
    std::vector<Content> content_;
};

void plans_are_consistent() {
    std::mt19937 random(1);
    for (int trial = 0; trial < (SANITIZED ? 50 : 200); ++trial) {
        const size_t types = 1 + random() % 6, images = 1 + random() % 5;
        const PlannedLayers layers = random_layers(random, 1 + random() % 4, types);
        std::vector<size_t> outputs;
        for (size_t type = 0; type < types; ++type)
            if (random() % 3) outputs.push_back(type);
        if (outputs.empty()) outputs = {0};
        const size_t budget = size_t{512} << (random() % 14);
        const Plan plan = make_plan(layers, images, outputs, budget);
        Memory memory(layers, plan);
        size_t floats = 0;
        for (const Step &step : plan.steps) {
            memory.run(step);
            if (step.kind != Step::CONV) continue;
            const size_t row = layers.convs[step.layer].floats;
            CHECK(step.rows == 1 || step.rows * row * sizeof(float) <= budget);
            floats += step.rows * row;
        }
        CHECK(memory.decoded.size() == images * outputs.size());
        // No row of a convolution is computed twice.
        size_t distinct = 0;
        for (size_t i = 0; i < layers.convs.size(); ++i) {
            std::set<std::pair<uint32_t, uint32_t>> rows;
            for (const Row &row : plan.conv_rows[i]) rows.insert({row.image, row.variant});
            CHECK(rows.size() == plan.conv_rows[i].size());
            distinct += rows.size() * layers.convs[i].floats;
        }
        CHECK(floats == distinct);
    }
}

// Memory is that of a few rows, whatever the number of images.
void memory_is_bounded() {
    constexpr size_t LEVELS = 5;
    std::mt19937 random(2);
    const PlannedLayers layers = random_layers(random, LEVELS, 1);
    const size_t row = layers.convs.back().floats, budget = 4 * row * sizeof(float);
    // At most one part of every resolution waits for its other half.
    CHECK(make_plan(layers, 512, {0}, budget).floats <= (LEVELS + 2) * 4 * row);
    // The input and the output of a layer, and the pictures of two resolutions.
    CHECK(make_plan(layers, 1, {0}, budget).floats <= 3 * row);
}

} // namespace

int main() {
    plans_are_consistent();
    memory_is_bounded();
    return 0;
}
