"""Device memory, copies, streams, events and CUDA graphs behind a small interface, by cuda-python or by pycuda.

cuda-python has wheels and is the default; pycuda is compiled at installation and has no graphs, so with it every batch
is enqueued anew.
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
    """The GPU has not got that much memory free."""

    def __str__(self) -> str:
        return "the GPU has no memory free"


class CudaMemory(Protocol):
    """What the backend needs of CUDA, on the first device: a stream that computes, and one beside it that copies out.

    Whatever is enqueued happens later, in the order of its stream; an event marks a place in one.
    """

    name: str
    stream: int

    def allocate(self, size: int) -> int:
        """Address of `size` bytes on the device; raises OutOfDeviceMemoryError."""
        ...

    def free(self, address: int) -> None:
        """Give an allocation back."""
        ...

    def pinned(self, shape: tuple[int, ...]) -> np.ndarray:
        """An array of float32 on the host that copies at full speed; freed with the last reference to it.

        Raises OutOfDeviceMemoryError where the host has no more of that memory.
        """
        ...

    def to_device(self, address: int, source: np.ndarray) -> None:
        """Enqueue a copy of a pinned array to the device, on the stream that computes."""
        ...

    def to_host(self, copies: Sequence[tuple[np.ndarray, int]], after: Any, done: Any) -> None:
        """Enqueue copies (pinned array, address) from the device on the other stream.

        after: the event they wait for. done: the event that is set when the last is there.
        """
        ...

    def event(self) -> Any:
        """A new event; freed with the last reference to it."""
        ...

    def record(self, event: Any) -> None:
        """Enqueue the setting of an event on the stream that computes."""
        ...

    def wait(self, event: Any) -> None:
        """Return when an event is set as it was last enqueued; at once if it never was."""
        ...

    def capture(self, work: Callable[[], object]) -> Callable[[], None] | None:
        """Record what `work` enqueues as a graph and give what replays it; None where that cannot be."""
        ...

    def synchronize(self) -> None:
        """Wait for everything enqueued on the stream that computes."""
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
    """A CUDA event, as an object that a finalizer can be tied to."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle


class _Replay:
    """The launch of a graph, likewise."""

    def __init__(self, launch: Callable[[], None]) -> None:
        self._launch = launch

    def __call__(self) -> None:
        self._launch()


class PycudaMemory:
    """By pycuda, in the primary context of the first GPU, which TensorRT uses too.

    The context is current only while something is done in it: pycuda ends the process where one still is at exit.
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
