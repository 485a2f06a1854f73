#include "cpu_plan.hpp"

#include <algorithm>
#include <list>
#include <memory>

namespace sgi::internal {
namespace {

// Places blocks into memory at the lowest free offset.
class Arena {
  public:
    // A block, which is free again when the last copy of its pointer is gone.
    using Block = std::shared_ptr<const size_t>;

    Block block(size_t floats) {
        size_t start = 0;
        auto next = used_.begin();
        for (; next != used_.end() && next->start < start + floats; ++next) start = next->end;
        const auto place = used_.insert(next, {start, start + floats});
        size_ = std::max(size_, start + floats);
        return Block(new size_t(start), [this, place](const size_t *offset) {
            used_.erase(place);
            delete offset;
        });
    }
    size_t size() const { return size_; }

  private:
    struct Extent {
        size_t start, end;
    };
    std::list<Extent> used_; // in the order of their offsets
    size_t size_ = 0;
};

// Rows that are in memory.
struct Rows {
    std::vector<Row> rows;
    Arena::Block block;

    uint32_t index(const Row &row) const {
        return static_cast<uint32_t>(std::find(rows.begin(), rows.end(), row) - rows.begin());
    }
};

// An image of an output, with the variants of all layers that it needs.
struct Leaf {
    uint32_t image;
    size_t output;
    std::vector<uint32_t> convs;               // variant of each convolution
    std::vector<std::optional<uint32_t>> rgbs; // variant of each to-rgb layer, if it needs it
};

class Planner {
  public:
    Planner(const PlannedLayers &layers, size_t budget) : layers_(layers), budget_(budget) {
        plan_.conv_rows.resize(layers.convs.size());
        plan_.rgb_rows.resize(layers.rgbs.size());
    }

    Plan plan(size_t images, const std::vector<size_t> &outputs) {
        std::vector<Leaf> types;
        for (const size_t output : outputs) types.push_back(leaf(output));
        // Types that share variants come one after the other, so that dividing rows does not separate them.
        std::sort(types.begin(), types.end(), [](const Leaf &a, const Leaf &b) { return a.convs < b.convs; });
        for (uint32_t image = 0; image < images; ++image)
            for (Leaf &type : types) {
                type.image = image;
                leaves_.push_back(type);
            }
        step(0, 0, leaves_.size(), {}, std::vector<Rows>(layers_.rgbs.size()));
        plan_.floats = arena_.size();
        return std::move(plan_);
    }

  private:
    Leaf leaf(size_t output) const {
        Leaf leaf{0, output, std::vector<uint32_t>(layers_.convs.size()),
                  std::vector<std::optional<uint32_t>>(layers_.rgbs.size())};
        std::optional<size_t> layer = layers_.outputs[output].rgb;
        size_t variant = layers_.outputs[output].variant, conv = layers_.rgbs[*layer].variants[variant].conv;
        while (layer) {
            leaf.rgbs[*layer] = static_cast<uint32_t>(variant);
            const PlannedRgb &rgb = layers_.rgbs[*layer];
            variant = rgb.variants[variant].below;
            layer = rgb.below;
        }
        for (size_t level = layers_.convs.size(); level-- > 0;) {
            leaf.convs[level] = static_cast<uint32_t>(conv);
            conv = layers_.convs[level].variants[conv].parent;
        }
        return leaf;
    }

    // The distinct rows of a convolution that leaves [begin, end) need.
    std::vector<Row> conv_rows(size_t level, size_t begin, size_t end) const {
        std::vector<Row> rows;
        for (size_t i = begin; i < end; ++i) {
            const Row row{leaves_[i].image, leaves_[i].convs[level]};
            if (std::find(rows.begin(), rows.end(), row) == rows.end()) rows.push_back(row);
        }
        return rows;
    }

    // Computes leaves [begin, end) from convolution `level` on. x: the convolution before. pictures: of the resolution
    // before, for each to-rgb layer.
    void step(size_t level, size_t begin, size_t end, Rows x, std::vector<Rows> pictures) {
        const std::vector<Row> rows = conv_rows(level, begin, end);
        if (rows.size() > 1 && rows.size() * layers_.convs[level].floats * sizeof(float) > budget_) {
            const size_t middle = middle_of(level, begin, end);
            step(level, begin, middle, x, pictures);
            return step(level, middle, end, std::move(x), std::move(pictures));
        }
        const PlannedConv &conv = layers_.convs[level];
        Rows y{rows, arena_.block(rows.size() * conv.floats)};
        Step work{Step::CONV, level, plan_.conv_rows[level].size(), rows.size(), {}, {}, 0, 0, *y.block, 0, 0};
        for (const Row &row : rows)
            work.source.push_back(level ? x.index({row.image, static_cast<uint32_t>(conv.variants[row.variant].parent)})
                                        : 0);
        if (level) work.x = *x.block;
        append(plan_.conv_rows[level], rows);
        plan_.steps.push_back(std::move(work));
        x = {};

        for (size_t rgb = 0; rgb < layers_.rgbs.size(); ++rgb)
            if (layers_.rgbs[rgb].conv == level) picture(rgb, begin, end, y, pictures);
        if (level + 1 < layers_.convs.size()) step(level + 1, begin, end, std::move(y), std::move(pictures));
        else decode(begin, end, pictures);
    }

    // The first leaf of the second half, where a row of the convolution begins.
    size_t middle_of(size_t level, size_t begin, size_t end) const {
        const auto is_start = [&](size_t i) {
            return leaves_[i].image != leaves_[i - 1].image || leaves_[i].convs[level] != leaves_[i - 1].convs[level];
        };
        const size_t half = begin + (end - begin) / 2;
        for (size_t i = half; i < end; ++i)
            if (is_start(i)) return i;
        size_t i = half;
        while (!is_start(i)) --i; // there are several rows, so one starts after `begin`
        return i;
    }

    void picture(size_t rgb, size_t begin, size_t end, const Rows &x, std::vector<Rows> &pictures) {
        const PlannedRgb &layer = layers_.rgbs[rgb];
        std::vector<Row> rows;
        for (size_t i = begin; i < end; ++i) {
            if (!leaves_[i].rgbs[rgb]) continue;
            const Row row{leaves_[i].image, *leaves_[i].rgbs[rgb]};
            if (std::find(rows.begin(), rows.end(), row) == rows.end()) rows.push_back(row);
        }
        if (rows.empty()) return;
        Rows y{rows, arena_.block(rows.size() * layer.floats)};
        Step work{Step::RGB, rgb, plan_.rgb_rows[rgb].size(), rows.size(), {}, {}, *x.block, 0, *y.block, 0, 0};
        for (const Row &row : rows) {
            const RgbVariant &variant = layer.variants[row.variant];
            work.source.push_back(x.index({row.image, static_cast<uint32_t>(variant.conv)}));
            if (layer.below)
                work.below_source.push_back(
                    pictures[*layer.below].index({row.image, static_cast<uint32_t>(variant.below)}));
        }
        if (layer.below) work.below = *pictures[*layer.below].block;
        append(plan_.rgb_rows[rgb], rows);
        plan_.steps.push_back(std::move(work));
        pictures[rgb] = std::move(y);
        if (!layer.below) return;
        // The picture below is free when the last layer that reads it has been computed.
        for (size_t later = rgb + 1; later < layers_.rgbs.size(); ++later)
            if (layers_.rgbs[later].below == layer.below) return;
        pictures[*layer.below] = {};
    }

    void decode(size_t begin, size_t end, const std::vector<Rows> &pictures) {
        for (size_t index = 0; index < layers_.outputs.size(); ++index) {
            const PlannedOutput &output = layers_.outputs[index];
            const Rows &x = pictures[output.rgb];
            const size_t floats = layers_.rgbs[output.rgb].floats;
            Step work{Step::DECODE, index, 0, 0, {}, {}, 0, 0, 0, 0, 0};
            size_t first = 0;
            for (size_t i = begin; i < end; ++i) {
                if (leaves_[i].output != index) continue;
                const uint32_t image = leaves_[i].image;
                const size_t row = x.index({image, static_cast<uint32_t>(output.variant)});
                // One step as long as the images follow each other and their pictures have the same distance.
                const size_t distance = (row - first) * floats;
                if (work.rows == 1) work.stride = distance;
                if (work.rows && image == work.image + work.rows && distance == work.rows * work.stride) {
                    ++work.rows;
                    continue;
                }
                if (work.rows) plan_.steps.push_back(work);
                first = row;
                work.rows = 1;
                work.image = image;
                work.x = *x.block + row * floats;
            }
            if (work.rows) plan_.steps.push_back(std::move(work));
        }
    }

    static void append(std::vector<Row> &all, const std::vector<Row> &rows) {
        all.insert(all.end(), rows.begin(), rows.end());
    }

    const PlannedLayers &layers_;
    const size_t budget_;
    std::vector<Leaf> leaves_;
    Arena arena_;
    Plan plan_;
};

} // namespace

Plan make_plan(const PlannedLayers &layers, size_t images, const std::vector<size_t> &outputs, size_t budget) {
    return Planner(layers, budget).plan(images, outputs);
}

} // namespace sgi::internal
