"""An engine at one batch size: an execution context, and two sets of buffers that are used in turn.

While the maps in one set are copied to the host and read there, the next batch is computed in the other set.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from sgi.engine.artifact import Artifact
from sgi.engine.backends.backend import inputs_of
from sgi.engine.backends.cuda_memory import CudaMemory, OutOfDeviceMemoryError
from sgi.engine.backends.device_array import DeviceArray

Maps = dict[str, np.ndarray]
_SETS = 2


class Batch:
    """The buffers of one batch size; both sets share an execution context, which runs one batch at a time.

    Raises OutOfDeviceMemoryError where the GPU has no memory for one set.
    """

    def __init__(self, engine: Any, memory: CudaMemory, artifact: Artifact, rows: int) -> None:
        side = artifact.resolution
        self._memory = memory
        self._artifact = artifact
        self._inputs = {n: tuple(rows if size is None else size for size in s) for n, s in artifact.inputs.items()}
        self._outputs: dict[str, tuple[int, ...]] = {o.name: (rows, o.channels, side, side) for o in artifact.types}
        self._context = engine.create_execution_context()
        if self._context is None:  # TensorRT reports a lack of scratch memory only by this
            raise OutOfDeviceMemoryError
        for name, shape in self._inputs.items():
            self._context.set_input_shape(name, shape)
        self._sets = deque([self._new()])

    def enqueue(self, latent: np.ndarray, psi: float | None, label: np.ndarray | None) -> _Buffers:
        """Start a batch in the least recently used set; missing rows are filled with copies of the last row."""
        if self._sets[0].is_unread and len(self._sets) < _SETS:
            # Without memory for a second set, batches do not overlap; the maps are the same.
            with suppress(OutOfDeviceMemoryError):
                self._sets.appendleft(self._new())
        buffers = self._sets[0]
        self._sets.rotate(-1)
        buffers.enqueue(inputs_of(self._artifact, latent, psi, label))
        return buffers

    def free(self) -> None:
        """Free the buffers, after reading maps that are still being copied."""
        while self._sets:
            self._sets.pop().free()

    def _new(self) -> _Buffers:
        return _Buffers(self._context, self._memory, self._inputs, self._outputs)


class _Buffers:
    """Buffers for one batch on the device and the host, and the graph that computes in them."""

    def __init__(
        self,
        context: Any,
        memory: CudaMemory,
        inputs: dict[str, tuple[int, ...]],
        outputs: dict[str, tuple[int, ...]],
    ) -> None:
        self._context = context
        self._memory = memory
        self._inputs = tuple(inputs)
        self._outputs = outputs
        self._addresses: dict[str, int] = {}
        self._replay: Callable[[], None] | None = None
        self._runs = 0
        self._unread: _Reading | None = None
        shapes = inputs | outputs
        try:
            for name, shape in shapes.items():
                self._addresses[name] = memory.allocate(4 * math.prod(shape))
            self._host = {name: memory.pinned(shape) for name, shape in shapes.items()}
            self._computed, self._copied = memory.event(), memory.event()
        except BaseException:
            self._free()
            raise

    @property
    def is_unread(self) -> bool:
        """Whether the maps of the last batch are being copied to the host and have not been read."""
        return self._unread is not None

    def enqueue(self, inputs: dict[str, np.ndarray]) -> None:
        """Start a batch, after reading maps of the previous one that are still being copied."""
        self._read()
        self._memory.wait(self._computed)  # before that, the previous inputs may not have been copied
        for name, value in inputs.items():
            if value.ndim:
                self._host[name][: len(value)] = value
                self._host[name][len(value) :] = value[-1]
            else:
                self._host[name][...] = value
        for name in self._inputs:
            self._memory.to_device(self._addresses[name], self._host[name])
        # The first run of a shape allocates and tunes, which a graph cannot contain; the second is recorded.
        if self._runs == 1 and self._capturable():
            self._replay = self._memory.capture(self._compute)
        self._runs += 1
        if self._replay is None:
            self._compute()
        else:
            self._replay()
        self._memory.record(self._computed)

    def to_host(self, types: Sequence[str], rows: int) -> Callable[[], Maps]:
        """Start copying the maps to the host; returns a function that waits for them and returns arrays of its own."""
        self._memory.to_host([(self._host[n], self._addresses[n]) for n in types], self._computed, self._copied)
        self._unread = _Reading(self, types, rows)
        return self._unread

    def on_device(self, types: Sequence[str], rows: int) -> dict[str, DeviceArray]:
        """The maps of the batch in the memory of the device."""
        memory = self._memory
        return {
            name: DeviceArray(
                (rows, *self._outputs[name][1:]), self._addresses[name], memory.stream, wait=memory.synchronize
            )
            for name in types
        }

    def take(self, types: Sequence[str], rows: int) -> Maps:
        """Wait until the maps are on the host, and copy them to new arrays."""
        self._unread = None
        self._memory.wait(self._copied)
        return {name: self._host[name][:rows].copy() for name in types}

    def free(self) -> None:
        """Free the buffers, after reading maps that are still being copied."""
        try:
            self._read()
        finally:
            self._free()

    def _read(self) -> None:
        if self._unread is not None:
            self._unread()

    def _free(self) -> None:
        while self._addresses:
            self._memory.free(self._addresses.popitem()[1])

    def _capturable(self) -> bool:
        # Only TensorRT-RTX has this method, because it can compile kernels at any run.
        capturable = getattr(self._context, "is_stream_capturable", None)
        return capturable is None or bool(capturable(self._memory.stream))

    def _compute(self) -> None:
        for name, address in self._addresses.items():
            self._context.set_tensor_address(name, address)
        if not self._context.execute_async_v3(self._memory.stream):
            raise RuntimeError("TensorRT could not enqueue the batch; see its log on stderr")


class _Reading:
    """The maps of one batch: in a set until they are read, then in this object."""

    def __init__(self, buffers: _Buffers, types: Sequence[str], rows: int) -> None:
        self._buffers: _Buffers | None = buffers
        self._types = types
        self._rows = rows
        self._maps: Maps = {}

    def __call__(self) -> Maps:
        if self._buffers is not None:
            buffers, self._buffers = self._buffers, None
            self._maps = buffers.take(self._types, self._rows)
        return self._maps
