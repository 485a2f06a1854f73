// Random cases for the tests of kernels, their layouts, and the targets of Highway that this machine has.
#pragma once

#include "aligned.hpp"
#include "check.hpp"
#include "maps.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include <hwy/highway.h>
#include <hwy/targets.h>

namespace sgi::cpu {

// Numbers of a fixed seed.
class Random {
  public:
    explicit Random(unsigned seed) : engine_(seed) {}
    // From first to last.
    size_t whole(size_t first, size_t last) { return std::uniform_int_distribution<size_t>(first, last)(engine_); }
    std::vector<float> normal(size_t count, float mean = 0, float deviation = 1) {
        std::normal_distribution<float> distribution(mean, deviation);
        std::vector<float> values(count);
        for (float &value : values) value = distribution(engine_);
        return values;
    }
    // A row for each of `rows`, from `count` ones.
    std::vector<uint32_t> sources(size_t rows, size_t count) {
        std::vector<uint32_t> values(rows);
        for (uint32_t &value : values) value = uint32_t(whole(0, count - 1));
        return values;
    }

  private:
    std::mt19937 engine_;
};

// An aligned array with numbers behind its end that a kernel must not change.
class Guarded {
  public:
    explicit Guarded(size_t count) : count_(count), data_(aligned_array<float>(count + GUARD)) {
        std::fill_n(data_.get(), count + GUARD, CANARY);
    }
    Guarded(const std::vector<float> &values) : Guarded(values.size()) { // NOLINT: a copy at another address
        std::copy(values.begin(), values.end(), data_.get());
    }
    float *get() { return data_.get(); }
    // The numbers; fails where those behind them were changed.
    std::vector<float> values() const {
        CHECK(std::all_of(data_.get() + count_, data_.get() + count_ + GUARD, [](float v) { return v == CANARY; }));
        return {data_.get(), data_.get() + count_};
    }

  private:
    static constexpr size_t GUARD = 64;
    static constexpr float CANARY = 12345;
    size_t count_;
    AlignedArray<float> data_;
};

inline std::vector<double> as_double(const float *values, size_t count) { return {values, values + count}; }

// [C][pixels] to [blocks][pixels][16], with numbers in channels past C that a layer must ignore.
inline void to_blocks(const std::vector<float> &x, size_t channels, size_t pixels, float *out) {
    std::fill_n(out, padded(channels) * pixels, 1000.0f);
    for (size_t c = 0; c < channels; ++c)
        for (size_t p = 0; p < pixels; ++p) out[(c / BLOCK * pixels + p) * BLOCK + c % BLOCK] = x[c * pixels + p];
}

// The inverse of to_blocks; fails unless channels past C are finite.
inline std::vector<float> from_blocks(const float *x, size_t channels, size_t pixels) {
    std::vector<float> out(channels * pixels);
    for (size_t c = 0; c < padded(channels); ++c)
        for (size_t p = 0; p < pixels; ++p) {
            const float value = x[(c / BLOCK * pixels + p) * BLOCK + c % BLOCK];
            if (c < channels) out[c * pixels + p] = value;
            else CHECK(std::isfinite(value));
        }
    return out;
}

// [rows][width] to [rows][padded(width)], with zeros past width.
inline std::vector<float> to_stride(const std::vector<float> &x, size_t width) {
    std::vector<float> out(x.size() / width * padded(width));
    for (size_t i = 0; i < x.size(); ++i) out[i / width * padded(width) + i % width] = x[i];
    return out;
}

// Root of the mean square of the differences over that of the expected values.
inline double relative_rms(const float *values, const std::vector<double> &expected) {
    double error = 0, size = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
        error += std::pow(values[i] - expected[i], 2);
        size += expected[i] * expected[i];
    }
    return std::sqrt(error / std::max(size, 1e-12));
}

inline double largest_difference(const float *values, const std::vector<double> &expected) {
    double largest = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
        const double difference = std::abs(values[i] - expected[i]);
        if (!(difference <= largest)) largest = difference; // also where it is no number
    }
    return largest;
}

inline bool same_bits(const std::vector<float> &a, const std::vector<float> &b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// Calls test() once for every target that is compiled and that this machine has.
inline void for_each_target(const std::function<void()> &test) {
    const std::vector<int64_t> targets = hwy::SupportedAndGeneratedTargets();
    CHECK(!targets.empty());
    for (const int64_t target : targets) {
        hwy::SetSupportedTargetsForTest(target);
        std::printf("%s\n", hwy::TargetName(target));
        test();
    }
    hwy::SetSupportedTargetsForTest(0);
}

} // namespace sgi::cpu
