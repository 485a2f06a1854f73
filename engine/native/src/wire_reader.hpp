// A reader of Protobuf's wire format over bytes in memory. Every position is checked.
#pragma once

#include "error.hpp"

#include <cstdint>
#include <string_view>

namespace sgi::internal {

enum Wire : uint32_t { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

[[noreturn]] inline void not_onnx() { throw Failure(SGI_ERROR_MODEL, "not an ONNX model"); }
[[noreturn]] inline void cut_short() { throw Failure(SGI_ERROR_MODEL, "truncated; copy it again or export it again"); }

struct Field {
    uint64_t number;
    Wire wire;
    uint64_t value; // of a varint
    std::string_view whole, payload;
};

class Reader {
  public:
    explicit Reader(std::string_view message) : message_(message) {}

    bool next(Field &field) {
        if (position_ == message_.size()) return false;
        const size_t start = position_;
        const uint64_t tag = varint();
        field.number = tag >> 3;
        field.wire = static_cast<Wire>(tag & 7);
        if (field.number == 0) not_onnx();
        const size_t length = payload_length(field);
        field.payload = message_.substr(position_, length);
        position_ += length;
        field.whole = message_.substr(start, position_ - start);
        return true;
    }

    bool is_at_end() const { return position_ == message_.size(); }

    uint64_t varint() {
        uint64_t value = 0;
        for (unsigned shift = 0; shift < 70; shift += 7) {
            if (position_ == message_.size()) cut_short();
            const auto byte = static_cast<unsigned char>(message_[position_++]);
            if (shift < 64) value |= static_cast<uint64_t>(byte & 0x7f) << shift;
            if (byte < 0x80) return value;
        }
        not_onnx();
    }

  private:
    size_t payload_length(Field &field) {
        uint64_t length = 0;
        switch (field.wire) {
        case VARINT: field.value = varint(); break;
        case BYTES: length = varint(); break;
        case FIXED64: length = 8; break;
        case FIXED32: length = 4; break;
        default: not_onnx();
        }
        if (length > message_.size() - position_) cut_short();
        return static_cast<size_t>(length);
    }

    std::string_view message_;
    size_t position_ = 0;
};

} // namespace sgi::internal
