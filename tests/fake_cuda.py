"""A fake GPU behind the names of cuda-python's runtime and of pycuda's driver (wrap_cudadrv.cpp of pycuda 2026.1)."""

from __future__ import annotations

import ctypes
import weakref
from types import SimpleNamespace

import numpy as np


class FakeRuntime:
    """cuda.bindings.runtime: every call gives (error, values...)."""

    class cudaError_t:
        cudaSuccess, cudaErrorMemoryAllocation, cudaErrorUnknown = (
            SimpleNamespace(name=n) for n in ("cudaSuccess", "cudaErrorMemoryAllocation", "cudaErrorUnknown")
        )

    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)
    cudaStreamNonBlocking, cudaEventDisableTiming = 1, 2

    def __init__(self, gpu):
        self._gpu = gpu

    def _ok(self, *values):
        return (self.cudaError_t.cudaSuccess, *values)

    def _block(self, address):
        return (self.cudaError_t.cudaErrorMemoryAllocation, None) if address is None else self._ok(address)

    def cudaStreamCreateWithFlags(self, flags):
        return self._ok(self._gpu.stream())

    def cudaMalloc(self, size):
        return self._block(self._gpu.allocate(size))

    def cudaMallocHost(self, size):
        return self._block(self._gpu.allocate(size, host=True))

    def cudaFree(self, address):
        if "cudaFree" in self._gpu.fails:
            return (self.cudaError_t.cudaErrorUnknown,)
        self._gpu.free(address)
        return self._ok()

    def cudaFreeHost(self, address):
        self._gpu.free(address, host=True)
        return self._ok()

    def cudaMemcpyAsync(self, target, source, size, kind, stream):
        words = "copied in" if kind == 1 else "copied out"
        self._gpu.enqueue(stream, lambda: self._gpu.copy(target, source, size), words)
        return self._ok()

    def cudaEventCreateWithFlags(self, flags):
        handle = self._gpu.handle()
        self._gpu.events[handle] = None
        return self._ok(handle)

    def cudaEventDestroy(self, event):
        del self._gpu.events[event]
        return self._ok()

    def cudaEventRecord(self, event, stream):
        self._gpu.record(event, stream)
        return self._ok()

    def cudaStreamWaitEvent(self, stream, event, flags):
        self._gpu.wait_in(stream, event)
        return self._ok()

    def cudaEventSynchronize(self, event):
        if "cudaEventSynchronize" in self._gpu.fails:
            return (self.cudaError_t.cudaErrorUnknown,)
        self._gpu.reach(self._gpu.events[event])
        return self._ok()

    def cudaStreamSynchronize(self, stream):
        self._gpu.finish(stream)
        return self._ok()

    def cudaStreamBeginCapture(self, stream, mode):
        self._gpu.recording = []
        return self._ok()

    def cudaStreamEndCapture(self, stream):
        graph = self._gpu.handle()
        self._gpu.graphs[graph], self._gpu.recording = self._gpu.recording, None
        return self._ok(graph)

    def cudaGraphInstantiate(self, graph, flags):
        executable = self._gpu.handle()
        self._gpu.graphs[executable] = self._gpu.graphs[graph]
        return self._ok(executable)

    def cudaGraphLaunch(self, graph, stream):
        self._gpu.launch(graph)
        return self._ok()

    def cudaGraphDestroy(self, graph):
        del self._gpu.graphs[graph]
        return self._ok()

    def cudaGraphExecDestroy(self, graph):
        del self._gpu.graphs[graph]
        return self._ok()

    def cudaGetLastError(self):
        return self._ok()


class FakePycuda:
    """pycuda.driver as of 2026.1: a call without a current context is an error, as is one that is never popped."""

    class Error(Exception):
        pass

    class MemoryError(Error):
        pass

    event_flags = SimpleNamespace(DISABLE_TIMING=2)

    def __init__(self, gpu):
        self._gpu, self.current = gpu, 0
        driver = self

        class Context:
            def push(self):
                driver.current += 1

            def pop(self):
                driver.current -= 1

        class Stream:
            def __init__(self, flags=0):
                driver._check()
                self.handle = gpu.stream()

            def synchronize(self):
                driver._check()
                gpu.finish(self.handle)

            def wait_for_event(self, event):
                driver._check()
                gpu.wait_in(self.handle, event.handle)

        class Event:
            def __init__(self, flags=0):
                driver._check()
                self.handle = gpu.handle()
                gpu.events[self.handle] = None
                weakref.finalize(self, gpu.events.pop, self.handle)

            def record(self, stream=None):
                driver._check()
                gpu.record(self.handle, stream.handle)
                return self

            def synchronize(self):
                driver._check("cuEventSynchronize")
                gpu.reach(gpu.events[self.handle])
                return self

        class DeviceAllocation:
            def __init__(self, address):
                self._address = address

            def __int__(self):
                return self._address

            def free(self):
                driver._check("cuMemFree")
                gpu.free(self._address)

        self._allocation = DeviceAllocation
        self.Stream, self.Event = Stream, Event
        self.Device = lambda number: SimpleNamespace(retain_primary_context=Context)

    def init(self, flags=0):
        pass

    def _check(self, call=None):
        if not self.current:
            raise self.Error("invalid device context")
        if {"cuMemFree": "cudaFree", "cuEventSynchronize": "cudaEventSynchronize"}.get(call) in self._gpu.fails:
            raise self.Error(f"{call} failed: unknown error")

    def mem_alloc(self, size):
        self._check()
        address = self._gpu.allocate(size)
        if address is None:
            raise self.MemoryError("cuMemAlloc failed: out of memory")
        return self._allocation(address)

    def pagelocked_empty(self, shape, dtype, order="C", mem_flags=0):
        self._check()
        assert isinstance(shape, int)  # () reads beyond an empty vector in 2026.1
        address = self._gpu.allocate(shape * np.dtype(dtype).itemsize, host=True)
        if address is None:
            raise self.MemoryError("cuMemHostAlloc failed: out of memory")
        block = self._gpu.pinned[address]
        view = (ctypes.c_char * len(block)).from_address(address)
        weakref.finalize(view, self._gpu.free, address, True)
        return np.frombuffer(memoryview(view), dtype)

    def memcpy_htod_async(self, dest, src, stream=None):
        self._check()
        address, size = src.ctypes.data, src.nbytes
        self._gpu.enqueue(stream.handle, lambda: self._gpu.copy(dest, address, size), "copied in")

    def memcpy_dtoh_async(self, dest, src, stream=None):
        self._check()
        address, size = dest.ctypes.data, dest.nbytes
        self._gpu.enqueue(stream.handle, lambda: self._gpu.copy(address, src, size), "copied out")
