// Controls of fake_tensorrt.cpp, the stand-in for tensorrt_library.cpp, for tests.
#pragma once

#include <atomic>

struct FakeTensorRt {
    bool load_fails = false;        // no engine can be loaded
    std::atomic<int> failing{0};    // number of passes from now on that cannot be enqueued
    std::atomic<int> contexts{0};   // existing contexts
    std::atomic<int> requested{0};  // contexts requested so far
    std::atomic<int> not_finite{0}; // rows of inputs, including padding
    std::atomic<int> most{1 << 10}; // largest number of contexts
};

FakeTensorRt &fake_tensorrt();
