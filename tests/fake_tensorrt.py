"""A GPU of arrays: a module like tensorrt and a memory like CUDA's, so that the backend's logic runs without either."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from sgi.engine.backends.cuda_memory import OutOfDeviceMemoryError

VERSION = "11.4.0"


class FakeMemory:
    """Device memory as arrays by address; a stream that works at once; graphs that call again."""

    name, stream = "fake", 7

    def __init__(self, capacity=1 << 30):
        self.capacity = capacity
        self.blocks: dict[int, np.ndarray] = {}
        self.events: list[str] = []
        self._next = 4096

    def allocate(self, size):
        if sum(block.nbytes for block in self.blocks.values()) + size > self.capacity:
            raise OutOfDeviceMemoryError
        self._next += 1 << 20
        self.blocks[self._next] = np.full(size, 0xFF, np.uint8)
        return self._next

    def free(self, address):
        del self.blocks[address]

    def pinned(self, shape):
        return np.full(shape, np.nan, np.float32)

    def to_device(self, address, source):
        self.blocks[address][: source.nbytes] = np.frombuffer(source.tobytes(), np.uint8)

    def to_host(self, target, address):
        self.events.append("copy")
        target[...] = self.blocks[address].view(np.float32).reshape(target.shape)

    def capture(self, work):
        self.events.append("capture")

        def replay():
            self.events.append("replay")
            work()

        return replay

    def synchronize(self):
        pass


class FakeContext:
    """depth = mean over z times psi, image = -depth: every pixel of a row."""

    def __init__(self, memory, artifact):
        self.memory, self.artifact, self.shapes, self.addresses = memory, artifact, {}, {}

    def set_input_shape(self, name, shape):
        self.shapes[name] = shape

    def set_tensor_address(self, name, address):
        self.addresses[name] = address

    def execute_async_v3(self, stream):
        assert stream == self.memory.stream
        self.memory.events.append("execute")
        rows, width = self.shapes["z"]
        z = self.memory.blocks[self.addresses["z"]].view(np.float32).reshape(rows, width)
        psi = self.memory.blocks[self.addresses["psi"]].view(np.float32)[0]
        for output in self.artifact.types:
            value = z.mean(1) * psi * (1 if output.name == "depth" else -1)
            block = self.memory.blocks[self.addresses[output.name]].view(np.float32).reshape(rows, -1)
            block[:] = value[:, None]
        return True


def fake_module(memory, artifact, engine=True, context=FakeContext):
    """A module like tensorrt whose runtime gives an engine of `artifact`, or None."""
    shapes = {"z": (-1, artifact.z_dim), "psi": ()}
    shapes |= {o.name: (-1, o.channels, artifact.resolution, artifact.resolution) for o in artifact.types}
    names = list(shapes)
    loaded = SimpleNamespace(
        num_io_tensors=len(names),
        get_tensor_name=lambda i: names[i],
        get_tensor_mode=lambda name: "in" if name in ("z", "psi") else "out",
        get_tensor_shape=lambda name: shapes[name],
        create_execution_context=lambda: context(memory, artifact),
    )
    return SimpleNamespace(
        __version__=VERSION,
        Logger=type("Logger", (), {"ERROR": 1, "__init__": lambda self, level: None}),
        Runtime=lambda logger: SimpleNamespace(deserialize_cuda_engine=lambda blob: loaded if engine else None),
        TensorIOMode=SimpleNamespace(INPUT="in"),
    )
