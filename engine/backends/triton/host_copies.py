"""Outputs of batches on their way to the host, while the next batch is computed."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

Arrays = dict[str, np.ndarray]
OVERLAPPING = 2
"""Batches whose outputs are on their way at the same time."""
PINNED_BYTES = 1 << 30
"""Page-locked memory that arrays may keep; beyond it, they are copied to ordinary memory."""


class Event(Protocol):
    """A point in a stream."""

    def synchronize(self) -> None:
        """Wait until the stream has reached it."""
        ...


class Queue(Protocol):
    """The operations of a device that copies need; all but `Event.synchronize` return at once."""

    def keep(self, output: Tensor) -> Tensor:
        """A copy on the device, made after the work that is enqueued now."""
        ...

    def host(self, like: Tensor) -> Tensor:
        """Page-locked memory of the shape and type of a tensor."""
        ...

    def to_host(self, pairs: list[tuple[Tensor, Tensor]]) -> Event:
        """Copy (host, device) tensors beside later work, after the work that is enqueued now."""
        ...


class CudaQueue:
    """`Queue` of torch's CUDA device: computation on the current stream, copies to the host on another one."""

    def __init__(self) -> None:
        self._side = torch.cuda.Stream()

    def keep(self, output: Tensor) -> Tensor:
        """See `Queue.keep`."""
        return output.clone()

    def host(self, like: Tensor) -> Tensor:
        """See `Queue.host`; torch keeps freed memory for the next call."""
        return torch.empty(like.shape, dtype=like.dtype, pin_memory=True)

    def to_host(self, pairs: list[tuple[Tensor, Tensor]]) -> Event:
        """See `Queue.to_host`."""
        self._side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._side):
            for host, device in pairs:
                host.copy_(device, non_blocking=True)
                device.record_stream(self._side)  # its memory is used again after the copy only
            copied = torch.cuda.Event()
            copied.record(self._side)
        return copied


class _Done:
    """The event of work that is done when it is enqueued."""

    def synchronize(self) -> None:
        """See `Event.synchronize`."""


class CpuQueue:
    """`Queue` of the CPU, where everything is done at once and outputs are already on the host."""

    def keep(self, output: Tensor) -> Tensor:
        """See `Queue.keep`; the copy is made by `to_host`."""
        return output

    def host(self, like: Tensor) -> Tensor:
        """See `Queue.host`; ordinary memory."""
        return torch.empty(like.shape, dtype=like.dtype)

    def to_host(self, pairs: list[tuple[Tensor, Tensor]]) -> Event:
        """See `Queue.to_host`."""
        for host, device in pairs:
            host.copy_(device)
        return _Done()


class HostCopies:
    """Copies the outputs of each batch to arrays of its own; two batches are on their way at a time.

    One thread at a time may call `start`; any thread may call what it returns.
    """

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._under_way: deque[Event] = deque()
        self._arrays: list[weakref.ref[np.ndarray]] = []  # in page-locked memory

    def start(self, outputs: Mapping[str, Tensor]) -> Callable[[], Arrays]:
        """Start to copy outputs, which the next batch may overwrite; returns a function that waits for the arrays.

        A third batch waits until the outputs of the first are on the host, so memory on the device is bounded.
        """
        while len(self._under_way) >= OVERLAPPING:
            self._under_way.popleft().synchronize()
        kept = {name: self._queue.keep(output) for name, output in outputs.items()}
        hosts = {name: self._queue.host(output) for name, output in kept.items()}
        copied = self._queue.to_host([(hosts[name], kept[name]) for name in kept])
        self._under_way.append(copied)
        arrays = {name: host.numpy() for name, host in hosts.items()}
        # A view of an array keeps the array, and an array its memory.
        self._arrays = [ref for ref in self._arrays if ref() is not None] + [weakref.ref(a) for a in arrays.values()]

        def finish() -> Arrays:
            copied.synchronize()
            return arrays if self._held() <= PINNED_BYTES else {name: a.copy() for name, a in arrays.items()}

        return finish

    def _held(self) -> int:
        """Bytes that batches under way and arrays keep."""
        return sum(array.nbytes for ref in self._arrays if (array := ref()) is not None)
