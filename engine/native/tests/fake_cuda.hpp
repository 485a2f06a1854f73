// What a test may ask of fake_cuda.cpp beyond the driver's own functions.
#pragma once

#include <cstddef>

struct FakeCuda {
    int devices = 1;
    const char *name = "Fake GPU";
    int capability[2] = {9, 0};
    size_t capacity = size_t{1} << 30;                                  // bytes of device memory
    int microseconds = 0;                                               // that waiting for a stream takes at least
    bool fails = false;                                                 // whatever is waited for ends in an error
    int (*enqueue)(void *stream, void (*work)(void *), void *argument); // work's argument is freed by work
    size_t (*blocks)();                                                 // allocations that nobody has freed
};

// Exported by the fake libcuda.so.1.
extern "C" FakeCuda *fake_cuda();
