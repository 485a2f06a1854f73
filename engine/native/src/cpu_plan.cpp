#include "cpu_plan.hpp"

#include <algorithm>
#include <numeric>

namespace sgi::internal {
namespace {

constexpr size_t NONE = ~size_t{0};

// Memory of the rows that a step writes, until the last step that reads them.
struct Block {
    size_t floats, first_step, last_step, offset = 0;

    bool is_beside(const Block &other) const { return first_step <= other.last_step && other.first_step <= last_step; }
};

// Places blocks that are in use at the same time beside each other, the largest first. Returns the size of the memory.
size_t place(std::vector<Block> &blocks) {
    std::vector<size_t> order(blocks.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return blocks[a].floats > blocks[b].floats; });
    const auto by_offset = [](const Block *a, const Block *b) { return a->offset < b->offset; };
    size_t size = 0;
    for (size_t i = 0; i < order.size(); ++i) {
        Block &block = blocks[order[i]];
        std::vector<const Block *> beside;
        for (size_t k = 0; k < i; ++k)
            if (block.is_beside(blocks[order[k]])) beside.push_back(&blocks[order[k]]);
        std::sort(beside.begin(), beside.end(), by_offset);
        for (const Block *other : beside) {
            if (block.offset + block.floats <= other->offset) break; // it fits before this one
            block.offset = std::max(block.offset, other->offset + other->floats);
        }
        size = std::max(size, block.offset + block.floats);
    }
    return size;
}

// The place of a row among rows in the order of their images; the number of rows if it is not there.
size_t find_row(const std::vector<Row> &rows, const Row &row) {
    const auto first = std::lower_bound(rows.begin(), rows.end(), row.image,
                                        [](const Row &other, uint32_t image) { return other.image < image; });
    return static_cast<size_t>(std::find(first, rows.end(), row) - rows.begin());
}

// Rows that are in memory.
struct Rows {
    std::vector<Row> rows;
    size_t block = NONE;

    uint32_t index(const Row &row) const { return static_cast<uint32_t>(find_row(rows, row)); }
};

// Appends a row unless it is there; rows are added in the order of their images.
void add_row(std::vector<Row> &rows, const Row &row) {
    for (size_t i = rows.size(); i-- > 0 && rows[i].image == row.image;)
        if (rows[i] == row) return;
    rows.push_back(row);
}

// An image of an output, with the variants of all layers that it needs.
struct Leaf {
    uint32_t image;
    size_t output;
    std::vector<uint32_t> convs;               // variant of each convolution
    std::vector<std::optional<uint32_t>> rgbs; // variant of each to-rgb layer, if it needs it
};

// The blocks that a step reads and writes; NONE for those it does not have.
struct StepBlocks {
    size_t x, below, y;
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
        plan_.floats = place(blocks_);
        for (size_t i = 0; i < plan_.steps.size(); ++i) {
            Step &step = plan_.steps[i];
            const StepBlocks &blocks = step_blocks_[i];
            if (blocks.x != NONE) step.x += blocks_[blocks.x].offset;
            if (blocks.below != NONE) step.below += blocks_[blocks.below].offset;
            if (blocks.y != NONE) step.y += blocks_[blocks.y].offset;
        }
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
        for (size_t i = begin; i < end; ++i) add_row(rows, {leaves_[i].image, leaves_[i].convs[level]});
        return rows;
    }

    // The block that a step writes.
    size_t block(size_t floats) {
        blocks_.push_back({floats, plan_.steps.size(), plan_.steps.size()});
        return blocks_.size() - 1;
    }

    // Adds a step; its offsets are within the blocks.
    void add(Step step, StepBlocks blocks) {
        for (const size_t read : {blocks.x, blocks.below})
            if (read != NONE) blocks_[read].last_step = plan_.steps.size();
        plan_.steps.push_back(std::move(step));
        step_blocks_.push_back(blocks);
    }

    // Computes leaves [begin, end) from convolution `level` on. x: the convolution before. pictures: of the resolution
    // before, for each to-rgb layer.
    void step(size_t level, size_t begin, size_t end, const Rows &x, std::vector<Rows> pictures) {
        const std::vector<Row> rows = conv_rows(level, begin, end);
        const PlannedConv &conv = layers_.convs[level];
        if (rows.size() > 1 && rows.size() * conv.floats * sizeof(float) > budget_) {
            const size_t middle = middle_of(level, begin, end);
            step(level, begin, middle, x, pictures);
            return step(level, middle, end, x, std::move(pictures));
        }
        const Rows y{rows, block(rows.size() * conv.floats)};
        Step work{Step::CONV, level, plan_.conv_rows[level].size(), rows.size(), {}, {}, 0, 0, 0, 0, 0};
        for (const Row &row : rows)
            work.source.push_back(level ? x.index({row.image, static_cast<uint32_t>(conv.variants[row.variant].parent)})
                                        : 0);
        append(plan_.conv_rows[level], rows);
        add(std::move(work), {x.block, NONE, y.block});

        for (size_t rgb = 0; rgb < layers_.rgbs.size(); ++rgb)
            if (layers_.rgbs[rgb].conv == level) picture(rgb, begin, end, y, pictures);
        if (level + 1 < layers_.convs.size()) step(level + 1, begin, end, y, std::move(pictures));
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
            if (leaves_[i].rgbs[rgb]) add_row(rows, {leaves_[i].image, *leaves_[i].rgbs[rgb]});
        }
        if (rows.empty()) return;
        const Rows y{rows, block(rows.size() * layer.floats)};
        Step work{Step::RGB, rgb, plan_.rgb_rows[rgb].size(), rows.size(), {}, {}, 0, 0, 0, 0, 0};
        for (const Row &row : rows) {
            const RgbVariant &variant = layer.variants[row.variant];
            work.source.push_back(x.index({row.image, static_cast<uint32_t>(variant.conv)}));
            if (layer.below)
                work.below_source.push_back(
                    pictures[*layer.below].index({row.image, static_cast<uint32_t>(variant.below)}));
        }
        append(plan_.rgb_rows[rgb], rows);
        add(std::move(work), {x.block, layer.below ? pictures[*layer.below].block : NONE, y.block});
        pictures[rgb] = y;
    }

    void decode(size_t begin, size_t end, const std::vector<Rows> &pictures) {
        for (size_t index = 0; index < layers_.outputs.size(); ++index) {
            const PlannedOutput &output = layers_.outputs[index];
            const Rows &x = pictures[output.rgb];
            std::vector<Row> rows;
            for (size_t i = begin; i < end; ++i)
                if (leaves_[i].output == index)
                    rows.push_back({leaves_[i].image, static_cast<uint32_t>(output.variant)});
            if (rows.empty()) continue;
            // Images follow each other and have the same types in the same order, so their pictures are equally far
            // apart.
            const size_t floats = layers_.rgbs[output.rgb].floats, first = x.index(rows[0]);
            const size_t stride = rows.size() > 1 ? (x.index(rows[1]) - first) * floats : 0;
            add({Step::DECODE, index, 0, rows.size(), {}, {}, first * floats, 0, 0, rows[0].image, stride},
                {x.block, NONE, NONE});
        }
    }

    static void append(std::vector<Row> &all, const std::vector<Row> &rows) {
        all.insert(all.end(), rows.begin(), rows.end());
    }

    const PlannedLayers &layers_;
    const size_t budget_;
    std::vector<Leaf> leaves_;
    std::vector<Block> blocks_;
    std::vector<StepBlocks> step_blocks_; // of each step of the plan
    Plan plan_;
};

} // namespace

Plan make_plan(const PlannedLayers &layers, size_t images, const std::vector<size_t> &outputs, size_t budget) {
    return Planner(layers, budget).plan(images, outputs);
}

} // namespace sgi::internal
