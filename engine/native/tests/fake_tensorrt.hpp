// How a test steers fake_tensorrt.cpp, which stands in for tensorrt_library.cpp.
#pragma once

#include <atomic>

struct FakeTensorRt {
    bool refuses = false;           // the bytes of any engine
    std::atomic<int> failing{0};    // passes that cannot be enqueued from now on
    std::atomic<int> contexts{0};   // that are alive
    std::atomic<int> asked{0};      // contexts asked for, ever
    std::atomic<int> not_finite{0}; // rows of inputs, those that fill a pass up among them
    std::atomic<int> most{1 << 10}; // contexts that there is memory for
};

FakeTensorRt &fake_tensorrt();
