"""The TensorRT backend's logic on a fake GPU: batches, graphs, memory, and what an engine says where it cannot run."""

from __future__ import annotations

import ctypes
import gc
import json
from contextlib import contextmanager
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
from fake_tensorrt import VERSION, FakeContext, FakeMemory, fake_module
from tiny_models import SIDE, Z_DIM, describe
from tolerances import CLOSED_FORM

from sgi.engine import backends
from sgi.engine.backends import cuda_memory, open_backend, tensorrt
from sgi.engine.backends.engine_file import EngineFacts
from sgi.engine.errors import UserError
from sgi.engine.gpu import Gpu

HERE = Gpu("NVIDIA H200", (9, 0), 141 << 30)
FACTS = EngineFacts("tensorrt", VERSION, HERE.name, HERE.capability, (), (1, 4, 8), None, "a" * 64, "b" * 64)
BYTES_A_ROW = 4 * (Z_DIM + 4 * SIDE * SIDE)  # z, image and depth


@contextmanager
def opened(folder, monkeypatch, memory=None, facts=FACTS, gpus=(HERE,), **fake):
    memory = memory or FakeMemory()
    path, artifact = folder / "maps.engine", describe()
    path.write_bytes(b"engine")
    path.with_suffix(".json").write_text(json.dumps(json.loads(artifact.to_json()) | {"builder": asdict(facts)}))
    monkeypatch.setattr(tensorrt, "find_gpus", lambda: list(gpus))
    monkeypatch.setattr(tensorrt, "is_installed", lambda name: True)
    monkeypatch.setattr(tensorrt, "import_module", lambda name: fake_module(memory, artifact, **fake))
    monkeypatch.setattr(tensorrt, "open_memory", lambda: memory)
    backend = open_backend(path)
    yield backend, memory
    backend.close()
    assert not memory.blocks


def latent(rows):
    return np.random.RandomState(0).randn(rows, Z_DIM).astype(np.float32)


@pytest.mark.parametrize("rows", [1, 3, 8, 19])
def test_values_of_any_number_of_rows(tmp_path, monkeypatch, rows):
    with opened(tmp_path, monkeypatch) as (backend, _):
        assert (backend.name, backend.device) == ("tensorrt", "tensorrt")
        maps = backend.run(latent(rows), 0.5)
        assert list(maps) == ["image", "depth"]
        assert maps["image"].shape == (rows, 3, SIDE, SIDE)
        want = 0.5 * latent(rows).mean(1)
        np.testing.assert_allclose(maps["depth"][:, 0, 0, 0], want, atol=CLOSED_FORM)
        np.testing.assert_allclose(maps["image"][:, 2, -1, -1], -want, atol=CLOSED_FORM)


def test_fewer_rows_than_the_engine_takes_are_filled_up(tmp_path, monkeypatch):
    with opened(tmp_path, monkeypatch, facts=replace(FACTS, batch=(4, 4, 8))) as (backend, _):
        np.testing.assert_allclose(backend.run(latent(2), 1.0)["depth"][:, 0, 0, 0], latent(2).mean(1), rtol=1e-6)


def test_the_second_run_of_a_size_is_recorded_and_then_replayed(tmp_path, monkeypatch):
    with opened(tmp_path, monkeypatch) as (backend, memory):
        for _ in range(3):
            backend.run(latent(2), 1.0, types=["depth"])
        run = ["execute", "copy"]
        assert memory.events == [*run, "capture", "replay", *run, "replay", *run]
        first = backend.run(latent(2), 1.0)["depth"]
        kept = first.copy()
        backend.run(latent(2), 0.0)
        np.testing.assert_array_equal(first, kept)


def test_nothing_is_recorded_where_tensorrt_rtx_says_no(tmp_path, monkeypatch):
    class Compiling(FakeContext):
        def is_stream_capturable(self, stream):
            return False

    with opened(tmp_path, monkeypatch, context=Compiling) as (backend, memory):
        for _ in range(3):
            backend.run(latent(2), 1.0, types=["depth"])
        assert memory.events == ["execute", "copy"] * 3


def test_maps_stay_on_the_gpu(tmp_path, monkeypatch):
    with opened(tmp_path, monkeypatch) as (backend, memory):
        array = backend.run_on_device(latent(2), 1.0, types=["depth"])["depth"].__cuda_array_interface__
        assert "copy" not in memory.events
        assert (array["shape"], array["typestr"], array["stream"]) == ((2, 1, SIDE, SIDE), "<f4", memory.stream)
        values = memory.blocks[array["data"][0]].view(np.float32).reshape(array["shape"])
        np.testing.assert_allclose(values[:, 0, 0, 0], latent(2).mean(1), rtol=1e-6)
        with pytest.raises(UserError, match="--batch 9: maps.engine takes at most 8 rows at once here"):
            backend.run_on_device(latent(9), 1.0)


def test_few_sizes_are_kept(tmp_path, monkeypatch):
    with opened(tmp_path, monkeypatch) as (backend, memory):
        for rows in (1, 2, 3, 4, 5):
            backend.run(latent(rows), 1.0)
        assert len(memory.blocks) == 2 * 4


def test_out_of_memory_halves_the_batch_with_a_warning(tmp_path, monkeypatch):
    with opened(tmp_path, monkeypatch, FakeMemory(5 * BYTES_A_ROW)) as (backend, _):
        with pytest.warns(UserWarning, match="--batch 8: the GPU has no memory for it; going on with 4"):
            maps = backend.run(latent(8), 1.0)
        np.testing.assert_allclose(maps["depth"][:, 0, 0, 0], latent(8).mean(1), rtol=1e-5)


def test_out_of_memory_for_the_least_batch_is_an_error(tmp_path, monkeypatch):
    with (
        opened(tmp_path, monkeypatch, FakeMemory(BYTES_A_ROW // 2)) as (backend, memory),
        pytest.warns(UserWarning, match="going on with 1"),
        pytest.raises(UserError, match="maps.engine: the GPU has no memory for 1 rows, the least this engine runs"),
    ):
        backend.run(latent(2), 1.0)
    assert not memory.blocks


@pytest.mark.parametrize(
    ("changes", "gpus", "says"),
    [
        ({}, (), "an engine runs on an NVIDIA GPU, and none with a driver is here; use an .onnx export"),
        (
            {"gpu": "NVIDIA L40S", "compute_capability": (8, 9)},
            (HERE,),
            "built on NVIDIA L40S, and this is NVIDIA",
        ),
        ({"gpu": None, "compute_capability": None, "targets": ("SM80", "SM120")}, (HERE,), "NVIDIA H200 is SM90"),
        ({"version": "10.13.3"}, (HERE,), "built by tensorrt 10.13.3, and 11.4.0 is installed"),
        ({"module": "tensorflow"}, (HERE,), "built by tensorflow, which this version does not know"),
    ],
)
def test_an_engine_of_elsewhere_is_refused_in_one_line(tmp_path, monkeypatch, changes, gpus, says):
    with (
        pytest.raises(UserError) as error,
        opened(tmp_path, monkeypatch, facts=replace(FACTS, **changes), gpus=gpus),
    ):
        pass
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    if gpus and "module" not in changes:
        command = "sgi-engine export --format tensorrt --precision fp32 --batch-profile 1,4,8 --type image --type depth"
        assert f"`{command} --out {tmp_path}/maps.engine`" in str(error.value)


def test_an_engine_that_the_library_refuses(tmp_path, monkeypatch):
    with (
        pytest.raises(UserError, match="maps.engine: tensorrt refuses it; build it again here"),
        opened(tmp_path, monkeypatch, engine=False),
    ):
        pass


def test_a_sidecar_without_the_build_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "maps.plan"
    path.write_bytes(b"engine")
    path.with_suffix(".json").write_text(describe().to_json())
    with pytest.raises(UserError, match="maps.json does not say how it was built; build it again"):
        open_backend(path)


def test_missing_packages_name_their_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorrt, "is_installed", lambda name: False)
    with pytest.raises(UserError, match=r'needs tensorrt 11.4.0, which is not installed: pip install "sgi-engine\[t'):
        tensorrt.load_module(tmp_path / "maps.engine", FACTS)
    rtx = replace(FACTS, module="tensorrt_rtx")
    with pytest.raises(UserError, match=r'pip install "sgi-engine\[tensorrt-rtx\]"'):
        tensorrt.load_module(tmp_path / "maps.engine", rtx)
    monkeypatch.setattr(cuda_memory, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="engines need cuda-python or pycuda: pip install"):
        cuda_memory.open_memory()


def test_a_device_without_a_gpu_is_refused_before_the_file_is(tmp_path, monkeypatch):
    monkeypatch.setattr(backends, "has_nvidia_driver", lambda: False)
    path = tmp_path / "maps.plan"
    path.write_bytes(b"engine")
    path.with_suffix(".json").write_text(describe().to_json())
    with pytest.raises(UserError, match="--device cuda: no NVIDIA GPU with a driver is here"):
        open_backend(path, device="cuda")


class Runtime:
    """cuda.bindings.runtime over the heap: every call gives (error, values...)."""

    class cudaError_t:
        cudaSuccess, cudaErrorMemoryAllocation, cudaErrorUnknown = (
            SimpleNamespace(name=n) for n in ("ok", "mem", "no")
        )

    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)
    cudaStreamNonBlocking = 1

    def __init__(self):
        self.blocks, self.calls = {}, []

    def __getattr__(self, name):
        def call(*arguments):
            self.calls.append(name)
            return (self.cudaError_t.cudaSuccess, 3)

        return call

    def cudaMalloc(self, size):
        if size > 1 << 20:
            return (self.cudaError_t.cudaErrorMemoryAllocation, None)
        block = ctypes.create_string_buffer(size)
        self.blocks[ctypes.addressof(block)] = block
        return (self.cudaError_t.cudaSuccess, ctypes.addressof(block))

    cudaMallocHost = cudaMalloc

    def cudaFree(self, address):
        del self.blocks[address]
        return (self.cudaError_t.cudaSuccess,)

    cudaFreeHost = cudaFree

    def cudaMemcpyAsync(self, target, source, size, kind, stream):
        ctypes.memmove(target, source, size)
        return (self.cudaError_t.cudaSuccess,)


def test_cuda_python_copies_captures_and_tells_what_went_wrong():
    runtime = Runtime()
    memory = cuda_memory.CudaPythonMemory(runtime)
    address, there, back = memory.allocate(24), memory.pinned((2, 3)), memory.pinned((2, 3))
    there[...] = np.arange(6).reshape(2, 3)
    memory.to_device(address, there)
    memory.to_host(back, address)
    np.testing.assert_array_equal(back, there)
    runtime.calls.clear()
    replay = memory.capture(lambda: runtime.calls.append("work"))
    replay()
    begin, end = ["cudaStreamBeginCapture", "work", "cudaStreamEndCapture"], ["cudaGraphDestroy", "cudaGraphLaunch"]
    assert runtime.calls == [*begin, "cudaGraphInstantiate", *end]
    with pytest.raises(cuda_memory.OutOfDeviceMemoryError):
        memory.allocate(1 << 30)
    memory.free(address)
    del there, back
    gc.collect()
    assert not runtime.blocks
    runtime.cudaFree = lambda address: (runtime.cudaError_t.cudaErrorUnknown,)
    with pytest.raises(RuntimeError, match="CUDA: no"):
        memory.free(0)
