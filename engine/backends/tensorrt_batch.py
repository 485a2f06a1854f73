"""An engine at one batch size: an execution context, and two sets of buffers that take turns.

While the maps of one set are copied to the host and read there, the next batch is computed in the other.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from sgi.engine.artifact import Artifact
from sgi.engine.backends.cuda_memory import CudaMemory, OutOfDeviceMemoryError
from sgi.engine.backends.device_array import DeviceArray

Maps = dict[str, np.ndarray]
_SETS = 2


class Batch:
    """A batch size; its sets share the context, whose runs are one after the other.

    Raises OutOfDeviceMemoryError where the GPU has no room for one set.
    """

    def __init__(self, engine: Any, memory: CudaMemory, artifact: Artifact, rows: int) -> None:
        side = artifact.resolution
        self._memory = memory
        self._inputs: dict[str, tuple[int, ...]] = {"z": (rows, artifact.z_dim), "psi": ()}
        if artifact.c_dim:
            self._inputs["label"] = (rows, artifact.c_dim)
        self._outputs: dict[str, tuple[int, ...]] = {o.name: (rows, o.channels, side, side) for o in artifact.types}
        self._context = engine.create_execution_context()
        if self._context is None:  # TensorRT's only word for a lack of scratch memory
            raise OutOfDeviceMemoryError
        for name, shape in self._inputs.items():
            self._context.set_input_shape(name, shape)
        self._sets = deque([self._new()])

    def enqueue(self, z: np.ndarray, psi: float, label: np.ndarray | None) -> _Buffers:
        """Begin a batch in the set that has rested longest; rows that are missing are copies of the last."""
        if self._sets[0].is_waited_for and len(self._sets) < _SETS:
            # Without room for another set, batches follow each other: slower, and the same maps.
            with suppress(OutOfDeviceMemoryError):
                self._sets.appendleft(self._new())
        buffers = self._sets[0]
        self._sets.rotate(-1)
        buffers.enqueue(z, psi, label)
        return buffers

    def free(self) -> None:
        """Give the buffers back; maps on their way are read before."""
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
    def is_waited_for(self) -> bool:
        """Whether the last batch's maps are on their way to the host, and nobody has asked for them yet."""
        return self._unread is not None

    def enqueue(self, z: np.ndarray, psi: float, label: np.ndarray | None) -> None:
        """Begin a batch; maps of the last one that are on their way are read first."""
        self._read()
        self._memory.wait(self._computed)  # until then the copy of the last inputs may not have happened
        self._host["psi"][...] = psi
        for name, value in (("z", z), ("label", label)):
            if value is not None:
                self._host[name][: len(value)] = value
                self._host[name][len(value) :] = value[-1]
        for name in self._inputs:
            self._memory.to_device(self._addresses[name], self._host[name])
        # The first run of a shape allocates and tunes, which no graph may hold; the second is recorded.
        if self._runs == 1 and self._capturable():
            self._replay = self._memory.capture(self._compute)
        self._runs += 1
        if self._replay is None:
            self._compute()
        else:
            self._replay()
        self._memory.record(self._computed)

    def to_host(self, types: Sequence[str], rows: int) -> Callable[[], Maps]:
        """Send the batch's maps on their way; gives what waits for them and gives them as the caller's own arrays."""
        self._memory.to_host([(self._host[n], self._addresses[n]) for n in types], self._computed, self._copied)
        self._unread = _Reading(self, types, rows)
        return self._unread

    def on_device(self, types: Sequence[str], rows: int) -> dict[str, DeviceArray]:
        """The batch's maps where they are."""
        memory = self._memory
        return {
            name: DeviceArray(
                (rows, *self._outputs[name][1:]), self._addresses[name], memory.stream, wait=memory.synchronize
            )
            for name in types
        }

    def take(self, types: Sequence[str], rows: int) -> Maps:
        """Wait for the maps on their way, and copy them to arrays of the caller's own."""
        self._unread = None
        self._memory.wait(self._copied)
        return {name: self._host[name][:rows].copy() for name in types}

    def free(self) -> None:
        """Give the buffers back; maps on their way are read before."""
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
        # Only TensorRT-RTX has the question, because it may compile kernels at any run.
        asked = getattr(self._context, "is_stream_capturable", None)
        return asked is None or bool(asked(self._memory.stream))

    def _compute(self) -> None:
        for name, address in self._addresses.items():
            self._context.set_tensor_address(name, address)
        if not self._context.execute_async_v3(self._memory.stream):
            raise RuntimeError("TensorRT could not enqueue the batch; its log on stderr says why")


class _Reading:
    """The maps of one batch, on their way from a set until somebody asks, and from then on kept here."""

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
