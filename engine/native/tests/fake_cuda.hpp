// Controls of fake_cuda.cpp for tests.
#pragma once

#include <cstddef>

struct FakeCuda {
    int devices = 1;
    const char *name = "Fake GPU";
    int capability[2] = {9, 0};
    size_t capacity = size_t{1} << 30;                                  // bytes of device memory
    int microseconds = 0;                                               // least duration of a synchronization
    bool fails = false;                                                 // synchronizations return an error
    int (*enqueue)(void *stream, void (*work)(void *), void *argument); // work's argument is freed by work
    size_t (*blocks)();                                                 // number of allocations that are not freed
};

// Exported by the fake libcuda.so.1.
extern "C" FakeCuda *fake_cuda();
