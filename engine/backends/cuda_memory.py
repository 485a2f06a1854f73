"""Device memory, copies, streams, events and CUDA graphs behind one interface, through cuda-python or pycuda.

cuda-python has wheels and is the default. pycuda is compiled at installation and has no graphs, so that every batch is
enqueued kernel by kernel.
"""

from __future__ import annotations

import ctypes
import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np

from sgi.engine.errors import UserError


class OutOfDeviceMemoryError(MemoryError):
    """The GPU does not have enough free memory."""

    def __str__(self) -> str:
        return "the GPU has no free memory"


class CudaMemory(Protocol):
    """The CUDA functions that the TensorRT backend needs, on the first device.

    There are two streams, one for computation and one for copies to the host. Enqueued work is done later, in the order
    of its stream; an event marks a position in a stream.
    """

    name: str
    stream: int

    def allocate(self, size: int) -> int:
        """Address of `size` bytes on the device; raises OutOfDeviceMemoryError."""
        ...

    def free(self, address: int) -> None:
        """Free an allocation."""
        ...

    def pinned(self, shape: tuple[int, ...]) -> np.ndarray:
        """A float32 array in page-locked host memory, for fast copies; freed with the last reference to it.

        Raises OutOfDeviceMemoryError where the host has no more page-locked memory.
        """
        ...

    def to_device(self, address: int, source: np.ndarray) -> None:
        """Enqueue a copy of a pinned array to the device, on the computation stream."""
        ...

    def to_host(self, copies: Sequence[tuple[np.ndarray, int]], after: Any, done: Any) -> None:
        """Enqueue copies (pinned array, address) from the device, on the copy stream.

        after: event that the copies wait for. done: event that is set after the last copy.
        """
        ...

    def event(self) -> Any:
        """A new event; freed with the last reference to it."""
        ...

    def record(self, event: Any) -> None:
        """Enqueue the setting of an event, on the computation stream."""
        ...

    def wait(self, event: Any) -> None:
        """Wait until the last enqueued setting of an event is done; returns at once if there is none."""
        ...

    def capture(self, work: Callable[[], object]) -> Callable[[], None] | None:
        """Record the work that `work` enqueues as a graph; returns a function that replays it, None without graphs."""
        ...

    def synchronize(self) -> None:
        """Wait for all work on the computation stream."""
        ...


def open_memory() -> CudaMemory:
    """The installed implementation; raises UserError with the pip command where none is installed."""
    if find_spec("cuda") is not None and find_spec("cuda.bindings") is not None:
        return CudaPythonMemory()
    if find_spec("pycuda") is not None:
        return PycudaMemory()
    raise UserError(
        'engines need cuda-python or pycuda: pip install "sgi-engine[tensorrt]" (or [tensorrt-rtx], or [pycuda])'
    )


class CudaPythonMemory:
    """`CudaMemory` through the CUDA runtime bindings of cuda-python."""

    name = "cuda-python"

    def __init__(self, runtime: Any = None) -> None:
        self._cuda = runtime = runtime or import_module("cuda.bindings.runtime")
        self._stream, self._copies = (
            self._call(runtime.cudaStreamCreateWithFlags(runtime.cudaStreamNonBlocking)) for _ in range(2)
        )
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

    def to_host(self, copies: Sequence[tuple[np.ndarray, int]], after: Any, done: Any) -> None:
        """See `CudaMemory.to_host`."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call(self._cuda.cudaStreamWaitEvent(self._copies, after.handle, 0))
        for target, address in copies:
            self._call(self._cuda.cudaMemcpyAsync(target.ctypes.data, address, target.nbytes, kind, self._copies))
        self._call(self._cuda.cudaEventRecord(done.handle, self._copies))

    def event(self) -> Any:
        """See `CudaMemory.event`."""
        event = _Event(self._call(self._cuda.cudaEventCreateWithFlags(self._cuda.cudaEventDisableTiming)))
        weakref.finalize(event, self._cuda.cudaEventDestroy, event.handle)
        return event

    def record(self, event: Any) -> None:
        """See `CudaMemory.record`."""
        self._call(self._cuda.cudaEventRecord(event.handle, self._stream))

    def wait(self, event: Any) -> None:
        """See `CudaMemory.wait`."""
        self._call(self._cuda.cudaEventSynchronize(event.handle))

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
        replay = _Replay(lambda: self._call(self._cuda.cudaGraphLaunch(executable, self._stream)))
        weakref.finalize(replay, self._cuda.cudaGraphExecDestroy, executable)
        return replay

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


class _Event:
    """A CUDA event as a Python object, for its finalizer."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle


class _Replay:
    """The launch of a graph as a Python object, for its finalizer."""

    def __init__(self, launch: Callable[[], None]) -> None:
        self._launch = launch

    def __call__(self) -> None:
        self._launch()


class PycudaMemory:
    """`CudaMemory` through pycuda, in the primary context of the first GPU, which TensorRT uses too.

    The context is current only during calls, because pycuda aborts the process if a context is current at exit.
    """

    name = "pycuda"

    def __init__(self, driver: Any = None) -> None:
        self._cuda = driver = driver or import_module("pycuda.driver")
        driver.init()
        self._context = driver.Device(0).retain_primary_context()
        with self._current():
            self._stream, self._copies = driver.Stream(), driver.Stream()
        self.stream = int(self._stream.handle)
        self._blocks: dict[int, Any] = {}

    def allocate(self, size: int) -> int:
        """See `CudaMemory.allocate`."""
        with self._current():
            block = self._cuda.mem_alloc(size)
        self._blocks[int(block)] = block
        return int(block)

    def free(self, address: int) -> None:
        """See `CudaMemory.free`."""
        with self._current():
            self._blocks.pop(address).free()

    def pinned(self, shape: tuple[int, ...]) -> np.ndarray:
        """See `CudaMemory.pinned`."""
        with self._current():
            array: np.ndarray = self._cuda.pagelocked_empty(math.prod(shape), np.float32)
        return array.reshape(shape)

    def to_device(self, address: int, source: np.ndarray) -> None:
        """See `CudaMemory.to_device`."""
        with self._current():
            self._cuda.memcpy_htod_async(address, source, self._stream)

    def to_host(self, copies: Sequence[tuple[np.ndarray, int]], after: Any, done: Any) -> None:
        """See `CudaMemory.to_host`."""
        with self._current():
            self._copies.wait_for_event(after)
            for target, address in copies:
                self._cuda.memcpy_dtoh_async(target, address, self._copies)
            done.record(self._copies)

    def event(self) -> Any:
        """See `CudaMemory.event`."""
        with self._current():
            return self._cuda.Event(self._cuda.event_flags.DISABLE_TIMING)

    def record(self, event: Any) -> None:
        """See `CudaMemory.record`."""
        with self._current():
            event.record(self._stream)

    def wait(self, event: Any) -> None:
        """See `CudaMemory.wait`."""
        with self._current():
            event.synchronize()

    def capture(self, work: Callable[[], object]) -> Callable[[], None] | None:
        """See `CudaMemory.capture`; pycuda has no graphs."""
        return None

    def synchronize(self) -> None:
        """See `CudaMemory.synchronize`."""
        with self._current():
            self._stream.synchronize()

    @contextmanager
    def _current(self) -> Iterator[None]:
        self._context.push()
        try:
            yield
        except self._cuda.MemoryError:
            raise OutOfDeviceMemoryError from None
        except self._cuda.Error as error:
            raise RuntimeError(f"CUDA: {error}") from None
        finally:
            self._context.pop()
