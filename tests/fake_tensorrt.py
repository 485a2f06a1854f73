"""A module like tensorrt whose engines compute on a fake GPU, so that the backend's logic runs without a real one."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
from fake_cuda import FakePycuda, FakeRuntime
from fake_gpu import FakeGpu
from tiny_models import SIDE, Z_DIM, describe
from tolerances import CLOSED_FORM

from sgi.engine.backends import open_backend, tensorrt
from sgi.engine.backends.cuda_memory import CudaPythonMemory, PycudaMemory
from sgi.engine.backends.engine_file import EngineFacts
from sgi.engine.gpu import Gpu

VERSION = "11.4.0"
HERE = Gpu("NVIDIA H200", (9, 0), 141 << 30)
ENGINE = b"engine"
ENGINE_SHA256 = hashlib.sha256(ENGINE).hexdigest()
FACTS = EngineFacts("tensorrt", VERSION, HERE.name, HERE.capability, (), (1, 4, 8), None, "a" * 64, ENGINE_SHA256)
BYTES_A_ROW = 4 * (Z_DIM + 4 * SIDE * SIDE)  # z, image and depth
MEMORIES = {
    "cuda-python": lambda gpu: CudaPythonMemory(FakeRuntime(gpu)),
    "pycuda": lambda gpu: PycudaMemory(FakePycuda(gpu)),
}


ONCE = ["copied in", "copied in", "computed", "copied out"]  # what happens for one type of one batch
each_memory = pytest.mark.parametrize("memory_of", MEMORIES.values(), ids=MEMORIES)


class FakeContext:
    """depth = mean over the latent times psi (1 for w and w+), image = -depth: every pixel of a row."""

    def __init__(self, gpu, artifact):
        self.gpu, self.artifact, self.shapes, self.addresses = gpu, artifact, {}, {}

    def set_input_shape(self, name, shape):
        self.shapes[name] = shape

    def set_tensor_address(self, name, address):
        self.addresses[name] = address

    def execute_async_v3(self, stream):
        name = next(iter(self.artifact.inputs))
        (rows, *sizes), addresses, gpu = self.shapes[name], dict(self.addresses), self.gpu

        def compute():
            latent = gpu.floats(addresses[name]).reshape(rows, *sizes)
            value = latent.reshape(rows, -1).mean(1)
            if "psi" in addresses:
                value = value * gpu.floats(addresses["psi"])[0]
            for output in self.artifact.types:
                block = gpu.floats(addresses[output.name]).reshape(rows, -1)
                block[:] = (value if output.name == "depth" else -value)[:, None]

        gpu.enqueue(stream, compute, "computed")
        return True


def fake_module(gpu, artifact, engine=True, context=FakeContext, shapes=(), dtypes=()):
    """A module like tensorrt whose runtime gives an engine of `artifact`, or None.

    shapes, dtypes: of inputs and outputs that differ from the description.
    """
    changed, dtypes = dict(shapes), dict(dtypes)
    shapes = {name: tuple(-1 if s is None else s for s in shape) for name, shape in artifact.inputs.items()}
    shapes |= {o.name: (-1, o.channels, artifact.resolution, artifact.resolution) for o in artifact.types}
    shapes |= changed
    names = list(shapes)
    loaded = SimpleNamespace(
        num_io_tensors=len(names),
        get_tensor_name=lambda i: names[i],
        get_tensor_mode=lambda name: "in" if name in artifact.inputs else "out",
        get_tensor_shape=lambda name: shapes[name],
        get_tensor_dtype=lambda name: dtypes.get(name, "float"),
        create_execution_context=lambda: context(gpu, artifact),
    )
    return SimpleNamespace(
        __version__=VERSION,
        Logger=type("Logger", (), {"ERROR": 1, "__init__": lambda self, level: None}),
        Runtime=lambda logger: SimpleNamespace(deserialize_cuda_engine=lambda blob: loaded if engine else None),
        TensorIOMode=SimpleNamespace(INPUT="in"),
        DataType=SimpleNamespace(FLOAT="float"),
    )


@contextmanager
def opened(
    folder,
    monkeypatch,
    gpu=None,
    memory_of=MEMORIES["cuda-python"],
    facts=FACTS,
    gpus=(HERE,),
    description=None,
    **fake,
):
    """The backend on a fake GPU, and that GPU. All memory must be freed.

    description: changes of the model's description. fake: arguments of `fake_module`.
    """
    gpu = gpu or FakeGpu()
    path, artifact = folder / "maps.engine", describe(**(description or {}))
    path.write_bytes(ENGINE)
    path.with_suffix(".json").write_text(json.dumps(json.loads(artifact.to_json()) | {"builder": asdict(facts)}))
    monkeypatch.setattr(tensorrt, "find_gpus", lambda: list(gpus))
    monkeypatch.setattr(tensorrt, "is_installed", lambda name: True)
    monkeypatch.setattr(tensorrt, "import_module", lambda name: fake_module(gpu, artifact, **fake))
    monkeypatch.setattr(tensorrt, "open_memory", lambda: memory_of(gpu))
    backend = open_backend(path)
    yield backend, gpu
    backend.close()
    assert not gpu.blocks


def latent(rows):
    """z of a few images."""
    return np.random.RandomState(0).randn(rows, Z_DIM).astype(np.float32)


def assert_depth(maps, z, psi=1.0):
    """Whether the maps are those of z."""
    assert maps["depth"].shape == (len(z), 1, SIDE, SIDE)
    np.testing.assert_allclose(maps["depth"][:, 0, 0, 0], psi * z.mean(1), atol=CLOSED_FORM)


def values_of(gpu, arrays):
    """Maps that are on the GPU, as they are now."""
    return {n: gpu.floats(a.address)[: np.prod(a.shape)].reshape(a.shape).copy() for n, a in arrays.items()}
