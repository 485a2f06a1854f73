#include "cuda_driver.hpp"

#include "error.hpp"

#include <dlfcn.h>

namespace sgi::internal {
namespace {

// CUresult and CUdevice_attribute of cuda.h; these numbers and entry points are stable across driver versions.
constexpr int SUCCESS = 0, OUT_OF_MEMORY = 2, CAPABILITY_MAJOR = 75, CAPABILITY_MINOR = 76;
constexpr unsigned NON_BLOCKING = 1;

} // namespace

struct CudaDriver::Functions {
    explicit Functions(void *library) : library(library) {
        load(init, "cuInit");
        load(device_count, "cuDeviceGetCount");
        load(device_get, "cuDeviceGet");
        load(device_name, "cuDeviceGetName");
        load(device_attribute, "cuDeviceGetAttribute");
        load(retain, "cuDevicePrimaryCtxRetain");
        load(release, "cuDevicePrimaryCtxRelease_v2");
        load(push, "cuCtxPushCurrent_v2");
        load(pop, "cuCtxPopCurrent_v2");
        load(allocate, "cuMemAlloc_v2");
        load(free, "cuMemFree_v2");
        load(allocate_host, "cuMemHostAlloc");
        load(free_host, "cuMemFreeHost");
        load(to_device, "cuMemcpyHtoDAsync_v2");
        load(to_host, "cuMemcpyDtoHAsync_v2");
        load(create_stream, "cuStreamCreate");
        load(destroy_stream, "cuStreamDestroy_v2");
        load(synchronize, "cuStreamSynchronize");
        load(error_name, "cuGetErrorName");
    }

    template <class Function> void load(Function &function, const char *name) {
        function = reinterpret_cast<Function>(dlsym(library, name));
        if (!function)
            throw Failure(SGI_ERROR_BACKEND, std::string("libcuda.so.1 has no ") + name + "; update the driver");
    }

    void *library;
    int (*init)(unsigned);
    int (*device_count)(int *);
    int (*device_get)(int *, int);
    int (*device_name)(char *, int, int);
    int (*device_attribute)(int *, int, int);
    int (*retain)(void **, int);
    int (*release)(int);
    int (*push)(void *);
    int (*pop)(void **);
    int (*allocate)(uint64_t *, size_t);
    int (*free)(uint64_t);
    int (*allocate_host)(void **, size_t, unsigned);
    int (*free_host)(void *);
    int (*to_device)(uint64_t, const void *, size_t, void *);
    int (*to_host)(void *, uint64_t, size_t, void *);
    int (*create_stream)(void **, unsigned);
    int (*destroy_stream)(void *);
    int (*synchronize)(void *);
    int (*error_name)(int, const char **);
};

CudaDriver::CudaDriver() = default;

std::shared_ptr<CudaDriver> CudaDriver::open() {
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL); // never closed: its threads outlive this library
    if (!library) return nullptr;
    std::shared_ptr<CudaDriver> driver(new CudaDriver);
    driver->call_ = std::make_unique<Functions>(library);
    const Functions &call = *driver->call_;
    int count = 0;
    if (call.init(0) != SUCCESS || call.device_count(&count) != SUCCESS || count < 1) return nullptr;
    char name[256] = {};
    driver->check(call.device_get(&driver->device_, 0));
    driver->check(call.device_name(name, sizeof name - 1, driver->device_));
    driver->check(call.device_attribute(&driver->gpu_.capability.first, CAPABILITY_MAJOR, driver->device_));
    driver->check(call.device_attribute(&driver->gpu_.capability.second, CAPABILITY_MINOR, driver->device_));
    driver->gpu_.name = name;
    driver->check(call.retain(&driver->context_, driver->device_));
    return driver;
}

CudaDriver::~CudaDriver() {
    if (context_) call_->release(device_);
}

void CudaDriver::check(int result) const {
    if (result == SUCCESS) return;
    if (result == OUT_OF_MEMORY) throw OutOfMemory();
    const char *name = nullptr;
    call_->error_name(result, &name);
    throw Failure(SGI_ERROR_RUNTIME, std::string("CUDA: ") + (name ? name : std::to_string(result).c_str()));
}

CudaDriver::Current::Current(const CudaDriver &driver) : driver_(driver) {
    driver.check(driver.call_->push(driver.context_));
}

CudaDriver::Current::~Current() {
    void *popped = nullptr;
    driver_.call_->pop(&popped);
}

CudaStream::CudaStream(std::shared_ptr<CudaDriver> driver) : driver_(std::move(driver)) {
    driver_->check(driver_->call_->create_stream(&stream_, NON_BLOCKING));
}

CudaStream::~CudaStream() {
    const CudaDriver::Functions &call = *driver_->call_;
    call.synchronize(stream_);
    for (const uint64_t address : device_) call.free(address);
    for (void *address : pinned_) call.free_host(address);
    call.destroy_stream(stream_);
}

uint64_t CudaStream::device_memory(size_t bytes) {
    uint64_t address = 0;
    driver_->check(driver_->call_->allocate(&address, bytes));
    device_.push_back(address);
    return address;
}

void *CudaStream::pinned_memory(size_t bytes) {
    void *address = nullptr;
    driver_->check(driver_->call_->allocate_host(&address, bytes, 0));
    pinned_.push_back(address);
    return address;
}

void CudaStream::to_device(uint64_t to, const void *from, size_t bytes) {
    driver_->check(driver_->call_->to_device(to, from, bytes, stream_));
}

void CudaStream::to_host(void *to, uint64_t from, size_t bytes) {
    driver_->check(driver_->call_->to_host(to, from, bytes, stream_));
}

void CudaStream::wait() { driver_->check(driver_->call_->synchronize(stream_)); }

} // namespace sgi::internal
