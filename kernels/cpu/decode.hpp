// Values of a type from its raw picture. engine/decoding.py has the formulas.
#pragma once

#include "maps.hpp"
#include "pool.hpp"

#include <vector>

namespace sgi::cpu {

enum class Decoding { IDENTITY, INVERSE, UNIT, LINEAR, PALETTE };

// How the values of one type follow from its display codes u in [0, 1].
struct Decoder {
    Decoding decoding = Decoding::IDENTITY;
    size_t channels = 1;        // of the code: 1, 3 or 4; those of the values but for PALETTE, whose values have 1
    float low = 0, high = 1;    // range of IDENTITY, INVERSE and LINEAR
    std::vector<float> colours; // of PALETTE: [K][3]
    std::vector<float> bias;    // of PALETTE: [K], the class has the largest colour u + bias, of equal ones the first

    size_t value_channels() const { return decoding == Decoding::PALETTE ? 1 : channels; }
};

struct DecodeCall {
    size_t rows = 0, pixels = 0;
    const float *raw = nullptr; // [rows][raw_stride], pictures [raw_channels][pixels] of nominal range -1 to 1
    size_t raw_stride = 0;
    size_t raw_channels = 1; // those of the code, or more where the code is the mean over them
    float *values = nullptr; // [rows][values_stride], [value_channels][pixels]; not raw
    size_t values_stride = 0;
};

// u = clip(raw / 2 + 1/2, 0, 1), and the values of u.
void decode(Pool &pool, const Decoder &decoder, const DecodeCall &call);

} // namespace sgi::cpu
