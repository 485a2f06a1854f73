// The layers on vectors: mapping, affine layers, demodulation.
//
// A value does not depend on the number of threads, nor on the other rows of a call.
#pragma once

#include "aligned.hpp"
#include "maps.hpp"
#include "pool.hpp"

#include <vector>

namespace sgi::cpu {

// y = x / sqrt(mean(x^2) + 1e-8) for every row of `width` numbers; x and y may be the same.
void normalise_second_moment(size_t rows, size_t width, const float *x, size_t x_stride, float *y, size_t y_stride);

// A matrix, packed in panels of columns.
class Matrix {
  public:
    // weight: [inputs][row] float32, without alignment, of which the first `outputs` columns are used.
    Matrix(size_t inputs, size_t outputs, const void *weight, size_t row);
    Matrix(size_t inputs, size_t outputs, const void *weight) : Matrix(inputs, outputs, weight, outputs) {}
    size_t inputs() const { return inputs_; }
    size_t outputs() const { return outputs_; }
    size_t bytes() const;
    // [panels][inputs][PANEL], zero past outputs, aligned to 64 bytes.
    const float *panels() const { return data_.get(); }
    static constexpr size_t PANEL = 2 * BLOCK;

  private:
    size_t inputs_, outputs_;
    AlignedArray<float> data_;
};

// y = lrelu(x matrix + bias) for every row. padded(outputs) numbers of each row of y are written.
struct LinearCall {
    const Matrix *matrix = nullptr;
    size_t rows = 0;
    const float *x = nullptr; // [rows][x_stride], the first `inputs` used
    size_t x_stride = 0;
    const float *bias = nullptr; // [padded(outputs)], zero past outputs; or nullptr
    float slope = 1;             // of the leaky ReLU, at most 1; 1 for none
    float *y = nullptr;          // [rows][y_stride]; not x
    size_t y_stride = 0;
};

// scale = gain / sqrt(style^2 energy + 1e-8) for every row. padded(outputs) numbers of each row are written; those past
// outputs are finite.
struct DemodulationCall {
    const Matrix *energy = nullptr; // [I][O], sum over the taps of the squared weights
    size_t rows = 0;
    const float *style = nullptr; // [rows][style_stride], the first I used
    size_t style_stride = 0;
    float gain = 1;
    float *scale = nullptr; // [rows][scale_stride]
    size_t scale_stride = 0;
};

// Independent calls at once, because one alone is too short to be divided over threads.
void linear(Pool &pool, const std::vector<LinearCall> &calls);
void demodulate(Pool &pool, const std::vector<DemodulationCall> &calls);

} // namespace sgi::cpu
