"""Device memory, copies, one stream and CUDA graphs behind a small interface, by cuda-python or by pycuda.

cuda-python has wheels and is the default; pycuda is compiled at installation and has no graphs, so with it every batch
is enqueued anew.
"""

from __future__ import annotations

import ctypes
import math
import weakref
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np

from sgi.engine.errors import UserError


class OutOfDeviceMemoryError(MemoryError):
    """The GPU has not got that much memory free."""


class CudaMemory(Protocol):
    """What the backend needs of CUDA; everything happens on one device and in the order of one stream."""

    name: str
    stream: int

    def allocate(self, size: int) -> int:
        """Address of `size` bytes on the device; raises OutOfDeviceMemoryError."""
        ...

    def free(self, address: int) -> None:
        """Give an allocation back."""
        ...

    def pinned(self, shape: tuple[int, ...]) -> np.ndarray:
        """An array of float32 on the host that copies at full speed; freed with the last reference to it."""
        ...

    def to_device(self, address: int, source: np.ndarray) -> None:
        """Enqueue a copy of a pinned array to the device."""
        ...

    def to_host(self, target: np.ndarray, address: int) -> None:
        """Enqueue a copy from the device into a pinned array."""
        ...

    def capture(self, work: Callable[[], object]) -> Callable[[], None] | None:
        """Record what `work` enqueues as a graph and give what replays it; None where that cannot be."""
        ...

    def synchronize(self) -> None:
        """Wait for everything enqueued."""
        ...


def open_memory() -> CudaMemory:
    """The implementation that is installed; raises UserError with the pip extras where none is."""
    if find_spec("cuda") is not None and find_spec("cuda.bindings") is not None:
        return CudaPythonMemory()
    if find_spec("pycuda") is not None:
        return PycudaMemory()
    raise UserError(
        'engines need cuda-python or pycuda: pip install "sgi-engine[tensorrt]" (or [tensorrt-rtx], or [pycuda])'
    )


class CudaPythonMemory:
    """By cuda-python's bindings of the CUDA runtime."""

    name = "cuda-python"

    def __init__(self, runtime: Any = None) -> None:
        self._cuda = runtime = runtime or import_module("cuda.bindings.runtime")
        self._stream = self._call(runtime.cudaStreamCreateWithFlags(runtime.cudaStreamNonBlocking))
        self.stream = int(self._stream)

    def allocate(self, size: int) -> int:
        """See `CudaMemory.allocate`."""
        return int(self._call(self._cuda.cudaMalloc(size)))

    def free(self, address: int) -> None:
        """See `CudaMemory.free`."""
        self._call(self._cuda.cudaFree(address))

    def pinned(self, shape: tuple[int, ...]) -> np.ndarray:
        """See `CudaMemory.pinned`."""
        size = 4 * math.prod(shape)
        address = int(self._call(self._cuda.cudaMallocHost(size)))
        block = (ctypes.c_char * size).from_address(address)
        weakref.finalize(block, self._cuda.cudaFreeHost, address)
        return np.frombuffer(memoryview(block), np.float32).reshape(shape)

    def to_device(self, address: int, source: np.ndarray) -> None:
        """See `CudaMemory.to_device`."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call(self._cuda.cudaMemcpyAsync(address, source.ctypes.data, source.nbytes, kind, self._stream))

    def to_host(self, target: np.ndarray, address: int) -> None:
        """See `CudaMemory.to_host`."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call(self._cuda.cudaMemcpyAsync(target.ctypes.data, address, target.nbytes, kind, self._stream))

    def capture(self, work: Callable[[], object]) -> Callable[[], None] | None:
        """See `CudaMemory.capture`."""
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call(self._cuda.cudaStreamBeginCapture(self._stream, mode))
        try:
            work()
        finally:
            graph = self._call(self._cuda.cudaStreamEndCapture(self._stream))
        executable = self._call(self._cuda.cudaGraphInstantiate(graph, 0))
        self._call(self._cuda.cudaGraphDestroy(graph))
        return lambda: self._call(self._cuda.cudaGraphLaunch(executable, self._stream))

    def synchronize(self) -> None:
        """See `CudaMemory.synchronize`."""
        self._call(self._cuda.cudaStreamSynchronize(self._stream))

    def _call(self, answer: tuple[Any, ...]) -> Any:
        error, *values = answer
        errors = self._cuda.cudaError_t
        if error == errors.cudaErrorMemoryAllocation:
            self._cuda.cudaGetLastError()  # or the next call would report it again
            raise OutOfDeviceMemoryError
        if error != errors.cudaSuccess:
            raise RuntimeError(f"CUDA: {error.name}")
        return values[0] if values else None


class PycudaMemory:
    """By pycuda, in the primary context of the first GPU, which TensorRT uses too."""

    name = "pycuda"

    def __init__(self, driver: Any = None) -> None:
        self._cuda = driver = driver or import_module("pycuda.driver")
        driver.init()
        self._context = driver.Device(0).retain_primary_context()
        self._context.push()
        self._stream = driver.Stream()
        self.stream = int(self._stream.handle)
        self._blocks: dict[int, Any] = {}

    def allocate(self, size: int) -> int:
        """See `CudaMemory.allocate`."""
        try:
            block = self._cuda.mem_alloc(size)
        except self._cuda.MemoryError:
            raise OutOfDeviceMemoryError from None
        self._blocks[int(block)] = block
        return int(block)

    def free(self, address: int) -> None:
        """See `CudaMemory.free`."""
        self._blocks.pop(address).free()

    def pinned(self, shape: tuple[int, ...]) -> np.ndarray:
        """See `CudaMemory.pinned`."""
        array: np.ndarray = self._cuda.pagelocked_empty(shape, np.float32)
        return array

    def to_device(self, address: int, source: np.ndarray) -> None:
        """See `CudaMemory.to_device`."""
        self._cuda.memcpy_htod_async(address, source, self._stream)

    def to_host(self, target: np.ndarray, address: int) -> None:
        """See `CudaMemory.to_host`."""
        self._cuda.memcpy_dtoh_async(target, address, self._stream)

    def capture(self, work: Callable[[], object]) -> Callable[[], None] | None:
        """See `CudaMemory.capture`; pycuda has no graphs."""
        return None

    def synchronize(self) -> None:
        """See `CudaMemory.synchronize`."""
        self._stream.synchronize()
