// A libcuda.so.1 without a GPU: the functions that the library calls, in host memory. Work on a stream runs only when
// the stream is synchronized, so that a missing wait is detected.
#include "fake_cuda.hpp"

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

namespace {

enum Result { SUCCESS = 0, OUT_OF_MEMORY = 2, INVALID_CONTEXT = 201, INVALID_HANDLE = 400, LAUNCH_FAILED = 719 };

std::mutex mutex;
std::map<void *, size_t> device_blocks, host_blocks;
std::map<void *, std::deque<std::function<void()>>> streams;
thread_local int current = 0;
int context = 0;

int allocate(std::map<void *, size_t> &blocks, void **address, size_t bytes, size_t capacity) {
    if (!current) return INVALID_CONTEXT;
    const std::lock_guard lock(mutex);
    size_t used = 0;
    for (const auto &[place, size] : blocks) used += size;
    if (used + bytes > capacity) return OUT_OF_MEMORY;
    *address = std::malloc(bytes);
    std::memset(*address, 0xff, bytes);
    blocks[*address] = bytes;
    return SUCCESS;
}

int release(std::map<void *, size_t> &blocks, void *address) {
    if (!current) return INVALID_CONTEXT;
    const std::lock_guard lock(mutex);
    if (!blocks.erase(address)) return INVALID_HANDLE;
    std::free(address);
    return SUCCESS;
}

int enqueue(void *stream, std::function<void()> work) {
    if (!current) return INVALID_CONTEXT;
    const std::lock_guard lock(mutex);
    const auto found = streams.find(stream);
    if (found == streams.end()) return INVALID_HANDLE;
    found->second.push_back(std::move(work));
    return SUCCESS;
}

size_t live_blocks() {
    const std::lock_guard lock(mutex);
    return device_blocks.size() + host_blocks.size() + streams.size();
}

int enqueue_call(void *stream, void (*work)(void *), void *argument) {
    return enqueue(stream, [work, argument] { work(argument); });
}

void *pointer(uint64_t address) { return reinterpret_cast<void *>(address); }

} // namespace

extern "C" {

FakeCuda *fake_cuda() {
    static FakeCuda fake = [] {
        FakeCuda made;
        made.enqueue = enqueue_call;
        made.blocks = live_blocks;
        return made;
    }();
    return &fake;
}

int cuInit(unsigned) { return SUCCESS; }
int cuDeviceGetCount(int *count) {
    *count = fake_cuda()->devices;
    return SUCCESS;
}
int cuDeviceGet(int *device, int number) {
    *device = number;
    return SUCCESS;
}
int cuDeviceGetName(char *name, int size, int) {
    std::strncpy(name, fake_cuda()->name, static_cast<size_t>(size));
    return SUCCESS;
}
int cuDeviceGetAttribute(int *value, int attribute, int) {
    *value = fake_cuda()->capability[attribute == 76];
    return SUCCESS;
}
int cuDevicePrimaryCtxRetain(void **made, int) {
    *made = &context;
    return SUCCESS;
}
int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
int cuCtxPushCurrent_v2(void *) {
    ++current;
    return SUCCESS;
}
int cuCtxPopCurrent_v2(void **) {
    --current;
    return SUCCESS;
}
int cuMemAlloc_v2(uint64_t *address, size_t bytes) {
    void *block = nullptr;
    const int result = allocate(device_blocks, &block, bytes, fake_cuda()->capacity);
    *address = reinterpret_cast<uint64_t>(block);
    return result;
}
int cuMemFree_v2(uint64_t address) { return release(device_blocks, pointer(address)); }
int cuMemHostAlloc(void **address, size_t bytes, unsigned) {
    return allocate(host_blocks, address, bytes, size_t{1} << 40);
}
int cuMemFreeHost(void *address) { return release(host_blocks, address); }
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, void *stream) {
    return enqueue(stream, [=] { std::memcpy(pointer(to), from, bytes); });
}
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *stream) {
    return enqueue(stream, [=] { std::memcpy(to, pointer(from), bytes); });
}
int cuStreamCreate(void **stream, unsigned) {
    if (!current) return INVALID_CONTEXT;
    const std::lock_guard lock(mutex);
    *stream = std::malloc(1);
    streams[*stream];
    return SUCCESS;
}
int cuStreamSynchronize(void *stream) {
    std::deque<std::function<void()>> works;
    {
        const std::lock_guard lock(mutex);
        works.swap(streams.at(stream));
    }
    for (const auto &work : works) work();
    std::this_thread::sleep_for(std::chrono::microseconds(fake_cuda()->microseconds));
    return fake_cuda()->fails ? LAUNCH_FAILED : SUCCESS;
}
int cuStreamDestroy_v2(void *stream) {
    const std::lock_guard lock(mutex);
    streams.erase(stream);
    std::free(stream);
    return SUCCESS;
}
int cuGetErrorName(int result, const char **name) {
    *name = result == LAUNCH_FAILED ? "CUDA_ERROR_LAUNCH_FAILED" : "CUDA_ERROR";
    return SUCCESS;
}
}
