"""The TensorRT backend on a fake GPU: batches, graphs, memory, and messages for engines that cannot run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fake_gpu import FakeGpu
from fake_tensorrt import (
    BYTES_A_ROW,
    FACTS,
    HERE,
    ONCE,
    FakeContext,
    assert_depth,
    each_memory,
    latent,
    opened,
    values_of,
)
from tiny_models import SIDE, describe
from tolerances import CLOSED_FORM

from sgi.engine import Engine, backends
from sgi.engine.backends import OnDevice, cuda_memory, open_backend, tensorrt
from sgi.engine.backends.device_array import DeviceArray
from sgi.engine.errors import UserError


@each_memory
@pytest.mark.parametrize("rows", [1, 3, 8, 19])
@pytest.mark.parametrize("eager", [False, True])
def test_values_of_any_number_of_rows(tmp_path, monkeypatch, memory_of, rows, eager):
    with opened(tmp_path, monkeypatch, FakeGpu(eager=eager), memory_of) as (backend, _):
        assert (backend.name, backend.device) == ("tensorrt", "tensorrt")
        maps = backend.run(latent(rows), 0.5)
        assert list(maps) == ["image", "depth"]
        assert maps["image"].shape == (rows, 3, SIDE, SIDE)
        assert_depth(maps, latent(rows), 0.5)
        np.testing.assert_allclose(maps["image"][:, 2, -1, -1], -0.5 * latent(rows).mean(1), atol=CLOSED_FORM)


def test_fewer_rows_than_the_smallest_batch_are_padded(tmp_path, monkeypatch):
    with opened(tmp_path, monkeypatch, facts=replace(FACTS, batch=(4, 4, 8))) as (backend, _):
        assert_depth(backend.run(latent(2), 1.0), latent(2))


@pytest.mark.parametrize(("input", "shape"), [("w", (12,)), ("w+", (6, 12))])
def test_an_engine_that_takes_w_or_w_plus(tmp_path, monkeypatch, input, shape):
    given = np.random.RandomState(0).randn(5, *shape).astype(np.float32)
    with opened(tmp_path, monkeypatch, description={"input": input, "w_dim": 12}) as (backend, _):
        engine = Engine(backend, batch=4)
        maps = engine(w=given) if input == "w" else engine(ws=given)
        np.testing.assert_allclose(maps["depth"][:, 0, 0, 0], given.reshape(5, -1).mean(1), atol=CLOSED_FORM)
        with pytest.raises(UserError, match="the backend tensorrt has no mapping network"):
            engine([0])


def test_an_engine_that_takes_z_cannot_be_changed(tmp_path, monkeypatch):
    with opened(tmp_path, monkeypatch) as (backend, _), Engine(backend) as engine:
        assert engine([0])["depth"].shape == (1, 1, SIDE, SIDE)
        with pytest.raises(UserError, match="the backend tensorrt has no mapping network; open an .onnx file"):
            engine.mapping([0])
        with pytest.raises(UserError, match=r"fixed in an engine; make another with `sgi-engine export --input w\+"):
            open_backend(tmp_path / "maps.engine", input="w+")


def test_the_second_run_of_a_batch_size_is_recorded_and_replayed(tmp_path, monkeypatch):
    with opened(tmp_path, monkeypatch) as (backend, gpu):
        for _ in range(3):
            backend.run(latent(2), 1.0, types=["depth"])
        assert gpu.done == [*ONCE, "launch", *ONCE, "launch", *ONCE]
        assert len(gpu.graphs) == 1
        first = backend.run(latent(2), 1.0)["depth"]
        kept = first.copy()
        backend.run(latent(2), 0.0)
        np.testing.assert_array_equal(first, kept)


@each_memory
def test_nothing_is_recorded_without_graphs(tmp_path, monkeypatch, memory_of):
    class Compiling(FakeContext):
        def is_stream_capturable(self, stream):  # a method of TensorRT-RTX; pycuda has no graphs
            return False

    with opened(tmp_path, monkeypatch, None, memory_of, context=Compiling) as (backend, gpu):
        for _ in range(3):
            backend.run(latent(2), 1.0, types=["depth"])
        assert gpu.done == ONCE * 3


@each_memory
def test_maps_can_stay_on_the_gpu(tmp_path, monkeypatch, memory_of):
    with opened(tmp_path, monkeypatch, None, memory_of) as (backend, gpu):
        assert isinstance(backend, OnDevice)
        arrays = backend.run_on_device(latent(2), 1.0, types=["depth"])
        depth = arrays["depth"]
        assert isinstance(depth, DeviceArray)
        interface = depth.__cuda_array_interface__
        assert (interface["shape"], interface["typestr"]) == ((2, 1, SIDE, SIDE), "<f4")
        assert interface["stream"] in gpu.streams
        assert depth.wait
        depth.wait()
        assert "copied out" not in gpu.done
        assert_depth(values_of(gpu, arrays), latent(2))
        with pytest.raises(UserError, match="`batch=9`: maps.engine runs at most 8 rows at once here"):
            backend.run_on_device(latent(9), 1.0)


def test_buffers_of_few_batch_sizes_are_kept(tmp_path, monkeypatch):
    with opened(tmp_path, monkeypatch) as (backend, gpu):
        for rows in (1, 2, 3, 4, 5):
            backend.run(latent(rows), 1.0)
        assert len(gpu.blocks) == 2 * 4


@each_memory
def test_out_of_memory_halves_the_batch_with_a_warning(tmp_path, monkeypatch, memory_of):
    with opened(tmp_path, monkeypatch, FakeGpu(5 * BYTES_A_ROW), memory_of) as (backend, _):
        with pytest.warns(UserWarning, match="`batch=8`: the GPU has no memory for it; continuing with 4"):
            maps = backend.run(latent(8), 1.0)
        assert_depth(maps, latent(8))


def test_other_batch_sizes_are_freed_before_the_batch_is_halved(tmp_path, monkeypatch):
    with opened(tmp_path, monkeypatch, FakeGpu(10 * BYTES_A_ROW)) as (backend, _):
        waiting = backend.start(latent(4), 0.5)
        assert_depth(backend.run(latent(8), 1.0), latent(8))
        assert_depth(waiting(), latent(4), 0.5)


@each_memory
def test_missing_pinned_memory_halves_the_batch(tmp_path, monkeypatch, memory_of):
    gpu = FakeGpu(pinned_capacity=5 * BYTES_A_ROW)
    with opened(tmp_path, monkeypatch, gpu, memory_of) as (backend, _):
        with pytest.warns(UserWarning, match="continuing with 4"):
            maps = backend.run(latent(8), 1.0)
        assert_depth(maps, latent(8))


@each_memory
def test_out_of_memory_for_the_smallest_batch_is_an_error(tmp_path, monkeypatch, memory_of):
    with (
        opened(tmp_path, monkeypatch, FakeGpu(BYTES_A_ROW // 2), memory_of) as (backend, gpu),
        pytest.warns(UserWarning, match="continuing with 1"),
        pytest.raises(
            UserError, match="maps.engine: the GPU has no memory for 1 rows, the smallest batch of this engine"
        ),
    ):
        backend.run(latent(2), 1.0)
    assert not gpu.blocks


def test_a_context_without_scratch_memory_halves_the_batch(tmp_path, monkeypatch):
    contexts = iter([None])
    with opened(tmp_path, monkeypatch, context=lambda gpu, artifact: next(contexts, FakeContext(gpu, artifact))) as (
        backend,
        _,
    ):
        with pytest.warns(UserWarning, match="`batch=8`: .* continuing with 4"):
            maps = backend.run(latent(8), 1.0)
        assert_depth(maps, latent(8))


@pytest.mark.parametrize(
    ("changes", "gpus", "message"),
    [
        ({}, (), "an engine needs an NVIDIA GPU, and none with a driver was found; use an .onnx export"),
        (
            {"gpu": "NVIDIA L40S", "compute_capability": (8, 9)},
            (HERE,),
            "built on NVIDIA L40S, and this GPU is NVIDIA",
        ),
        ({"gpu": None, "compute_capability": None, "targets": ("SM80", "SM120")}, (HERE,), "NVIDIA H200 is SM90"),
        ({"version": "10.13.3"}, (HERE,), "built by tensorrt 10.13.3, and 11.4.0 is installed"),
        ({"module": "tensorflow"}, (HERE,), "built by tensorflow, which this version does not support"),
    ],
)
def test_an_engine_of_another_machine_is_refused_in_one_line(tmp_path, monkeypatch, changes, gpus, message):
    with (
        pytest.raises(UserError) as error,
        opened(tmp_path, monkeypatch, facts=replace(FACTS, **changes), gpus=gpus),
    ):
        pass
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    if gpus and "module" not in changes:
        command = "sgi-engine export --format tensorrt --precision fp32 --batch-profile 1,4,8 --type image --type depth"
        assert f"`{command} --out {tmp_path}/maps.engine`" in str(error.value)


def test_a_damaged_engine_is_refused(tmp_path, monkeypatch):
    with (
        pytest.raises(UserError, match=r"maps\.engine: its contents differ from the checksum"),
        opened(tmp_path, monkeypatch, facts=replace(FACTS, engine_sha256="0" * 64)),
    ):
        pass


def test_an_engine_that_the_library_cannot_load(tmp_path, monkeypatch):
    with (
        pytest.raises(UserError, match="maps.engine: tensorrt cannot load it; build it again here"),
        opened(tmp_path, monkeypatch, engine=False),
    ):
        pass


def test_a_sidecar_without_a_builder_entry_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "maps.plan"
    path.write_bytes(b"engine")
    path.with_suffix(".json").write_text(describe().to_json())
    with pytest.raises(UserError, match="maps.json does not describe how it was built .*; build it again"):
        open_backend(path)


def test_missing_packages_are_reported_with_the_pip_command(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorrt, "is_installed", lambda name: False)
    with pytest.raises(UserError, match=r'needs tensorrt 11.4.0, which is not installed: pip install "sgi-engine\[t'):
        tensorrt.load_module(tmp_path / "maps.engine", FACTS)
    rtx = replace(FACTS, module="tensorrt_rtx")
    with pytest.raises(UserError, match=r'pip install "sgi-engine\[tensorrt-rtx\]"'):
        tensorrt.load_module(tmp_path / "maps.engine", rtx)
    monkeypatch.setattr(cuda_memory, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="engines need cuda-python or pycuda: pip install"):
        cuda_memory.open_memory()


def test_a_missing_gpu_is_reported_before_the_file_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(backends, "has_nvidia_driver", lambda: False)
    path = tmp_path / "maps.plan"
    path.write_bytes(b"engine")
    path.with_suffix(".json").write_text(describe().to_json())
    with pytest.raises(UserError, match="`device=cuda`: no NVIDIA GPU with a driver was found"):
        open_backend(path, device="cuda")
