"""Backends: equal maps from all of them, only the requested outputs, and messages for what is not available."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tiny_models import ONNX_BACKENDS, SIDE, Z_DIM, describe, package_of, write_model
from tolerances import BACKEND_PARITY, RMS_BF16

from sgi.engine import backends, intrinsics
from sgi.engine.artifact import METADATA_KEY
from sgi.engine.backends import BACKENDS, FEW_IMAGES, OnDevice, choose_backend, open_backend, table
from sgi.engine.backends.device_array import DeviceArray
from sgi.engine.errors import UserError
from sgi.engine.onnx_wire import keep_outputs, with_metadata


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(backends, "has_nvidia_driver", lambda: False)


def expected(model: Path, z: np.ndarray, psi: float) -> dict[str, np.ndarray]:
    """The tiny model's formula in float64, from the weights in its file."""
    weights = {w.name: onnx.numpy_helper.to_array(w).astype(np.float64) for w in onnx.load(model).graph.initializer}
    maps = {}
    for name in ("image", "depth"):
        row = intrinsics.get(name)
        code = psi * z @ weights[f"{name}.A"]
        code = code / np.sqrt(1 + code**2)
        maps[name] = (row.low + (row.high - row.low) * (code + 1) / 2).reshape(-1, row.channels, SIDE, SIDE)
    return maps


@pytest.mark.parametrize("name", ONNX_BACKENDS)
def test_values_at_any_batch_size(model, name):
    pytest.importorskip(package_of(name))
    z = np.random.RandomState(3).randn(8, Z_DIM).astype(np.float32)
    reference = expected(model, z, 0.7)
    backend = open_backend(model, backend=name, device="cpu", batch=3)
    assert (backend.name, backend.device) == (name, "cpu")
    for batch in (1, 3, 8):
        maps = backend.run(z[:batch], 0.7)
        assert list(maps) == ["image", "depth"]
        for output in backend.artifact.types:
            got = maps[output.name]
            assert got.dtype == np.float32
            assert got.shape == (batch, output.channels, SIDE, SIDE)
            error = np.abs(got - reference[output.name][:batch]).max() / (output.high - output.low)
            assert error < BACKEND_PARITY
    backend.close()


@pytest.mark.parametrize("name", ONNX_BACKENDS)
def test_results_are_not_overwritten_and_depend_on_psi(model, name):
    pytest.importorskip(package_of(name))
    backend = open_backend(model, backend=name, device="cpu", batch=1)
    z = np.ones((1, Z_DIM), np.float32)
    first = backend.run(z, 1.0)["depth"]
    kept = first.copy()
    second = backend.run(z, 0.0)["depth"]
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_allclose(second, 0.5)
    assert not np.allclose(first, second)


@pytest.mark.parametrize("name", ONNX_BACKENDS)
def test_only_requested_types_are_loaded_and_others_on_demand(all_types_model, name):
    pytest.importorskip(package_of(name))
    backend = open_backend(all_types_model, backend=name, device="cpu", types=["normal", "depth"], batch=2)
    z = np.ones((2, Z_DIM), np.float32)
    assert list(backend.run(z, 1.0)) == ["depth", "normal"]
    assert list(backend.run(z, 1.0, types=["shading"])) == ["shading"]
    with pytest.raises(UserError, match="`types=fish`: the model has"):
        backend.run(z, 1.0, types=["fish"])
    with pytest.raises(UserError, match="`types=fish`"):
        open_backend(all_types_model, backend=name, device="cpu", types=["fish"])


@pytest.mark.parametrize("name", ONNX_BACKENDS)
def test_labels(class_model, name):
    pytest.importorskip(package_of(name))
    backend = open_backend(class_model, backend=name, device="cpu", batch=3)
    maps = backend.run(np.zeros((3, Z_DIM), np.float32), 1.0, np.eye(3, dtype=np.float32))
    assert not np.allclose(maps["depth"][0], maps["depth"][1])


def test_reduced_models_contain_only_what_their_outputs_need(all_types_model, model):
    whole = onnx.load(all_types_model)
    cut = onnx.load_from_string(keep_outputs(all_types_model.read_bytes(), ["depth"]))
    onnx.checker.check_model(cut)
    assert [output.name for output in cut.graph.output] == ["depth"]
    assert {w.name.split(".")[0] for w in cut.graph.initializer} == {"depth"}
    assert [i.name for i in cut.graph.input] == ["z", "psi"]
    assert len(cut.graph.node) < len(whole.graph.node) / 3
    assert cut.metadata_props == whole.metadata_props
    everything = onnx.load_from_string(keep_outputs(model.read_bytes(), ["image", "depth"]))
    assert everything == onnx.load(model)


def test_the_description_of_a_model_is_replaced_and_nothing_else(model):
    before = onnx.load(model)
    after = onnx.load_from_string(with_metadata(model.read_bytes(), METADATA_KEY, "é" * 300))
    assert {pair.key: pair.value for pair in after.metadata_props} == {METADATA_KEY: "é" * 300}
    assert after.graph == before.graph
    kept = onnx.load_from_string(with_metadata(model.read_bytes(), "note", "x"))
    assert {pair.key for pair in kept.metadata_props} == {METADATA_KEY, "note"}


def test_auto_chooses_the_fastest_installed_backend(model, monkeypatch, no_gpu):
    def chosen(images, precision=None):
        return choose_backend(model, "auto", "cpu", precision, images=images)[0]

    installed = {"openvino", "onnxruntime"}
    monkeypatch.setattr(table, "is_installed", lambda package: package in installed)
    assert (chosen(None), chosen(FEW_IMAGES + 1), chosen(FEW_IMAGES)) == ("openvino", "openvino", "onnxruntime")
    installed.add("sgi_cpu")
    assert (chosen(None), chosen(1), chosen(None, "bf16")) == ("cpu", "cpu", "cpu")
    installed.discard("openvino")
    assert chosen(None, "bf16") == "cpu"
    installed.discard("sgi_cpu")
    assert chosen(None) == "onnxruntime"
    installed.clear()
    with pytest.raises(UserError, match=r'backend openvino is not installed: pip install "sgi-engine\[cpu\]"'):
        open_backend(model)


@pytest.mark.parametrize("name", ONNX_BACKENDS)
def test_missing_package_names_the_extra(model, monkeypatch, name):
    monkeypatch.setitem(sys.modules, package_of(name), None)
    with pytest.raises(UserError, match=rf'backend {name} is not installed: pip install "sgi-engine\[cpu\]"'):
        open_backend(model, backend=name, device="cpu")


def test_an_empty_folder_left_by_uninstalling_is_not_a_package(model, monkeypatch, tmp_path):
    (tmp_path / "left_behind").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert not table.is_installed("left_behind")
    assert table.is_installed("numpy")


def test_the_reason_of_a_failed_import_is_reported(model, monkeypatch, tmp_path):
    (tmp_path / "openvino.py").write_text("raise ImportError('libtbb.so is missing')")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [n for n in sys.modules if n.split(".")[0] == "openvino" or n == "sgi.engine.backends.openvino"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(UserError, match=r"backend openvino does not import \(libtbb.so is missing\): pip install"):
        open_backend(model, backend="openvino", device="cpu")


def test_auto_passes_over_a_package_that_does_not_import(model, monkeypatch, tmp_path, no_gpu):
    (tmp_path / "sgi_cpu.py").write_text("raise ImportError('GLIBCXX_3.4.30 not found')")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [n for n in sys.modules if n.split(".")[0] == "sgi_cpu" or n == "sgi.engine.backends.cpu"]:
        monkeypatch.delitem(sys.modules, name)
    with closing(open_backend(model, images=1)) as backend:
        assert backend.name == "onnxruntime"
        remark = getattr(backend, "remark")  # noqa: B009
        assert remark == 'backend cpu does not import (GLIBCXX_3.4.30 not found): pip install "sgi-engine[native]"'
    with pytest.raises(UserError, match="^backend cpu does not import"):
        open_backend(model, "cpu", "cpu")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "torch"}, f"`backend=torch`: choose from auto, {', '.join(BACKENDS)}"),
        ({"device": "tpu"}, "`device=tpu`: choose from auto, cpu, cuda"),
        ({"device": "cuda"}, "`device=cuda`: no NVIDIA GPU with a driver was found; use `device=cpu`"),
        ({"device": "tensorrt"}, "`device=tensorrt`: no NVIDIA GPU with a driver was found; use `device=cpu`"),
        ({"device": "cuda", "backend": "onnxruntime"}, "`device=cuda`: no NVIDIA GPU with a driver was found"),
        ({"precision": "int8"}, "`precision=int8`: choose bf16, or leave it out for the precision of the model"),
        (
            {"precision": "bf16", "backend": "onnxruntime", "device": "cpu"},
            "`precision=bf16`: `backend=onnxruntime` does not support it; use openvino or cpu",
        ),
    ],
)
def test_unavailable_options_are_refused(model, no_gpu, options, message):
    with pytest.raises(UserError) as error:
        open_backend(model, **options)
    assert message in str(error.value)


def test_any_model_runs_in_bf16_on_cpus_that_support_it(model):
    openvino = pytest.importorskip("openvino")
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no bf16")
    z = np.random.RandomState(3).randn(8, Z_DIM).astype(np.float32)
    # Few images, for which auto prefers ONNX Runtime.
    backend = open_backend(model, device="cpu", batch=8, images=8, precision="bf16")
    assert backend.name == "openvino"
    reference, maps = expected(model, z, 0.7), backend.run(z, 0.7)
    for name, exact in reference.items():
        error = np.sqrt(np.square(maps[name] - exact).mean() / np.square(exact).mean())
        assert BACKEND_PARITY < error < RMS_BF16


def test_bf16_is_refused_on_cpus_that_do_not_support_it(model, monkeypatch):
    openvino = pytest.importorskip("openvino")
    monkeypatch.setattr(openvino.Core, "get_property", lambda self, device, name: ["FP32"])
    with pytest.raises(UserError, match="`precision=bf16`: this CPU does not support it; leave it out"):
        open_backend(model, "openvino", "cpu", precision="bf16")


def test_precision_is_refused_on_a_gpu(model, monkeypatch):
    monkeypatch.setattr(backends, "has_nvidia_driver", lambda: True)
    with pytest.raises(
        UserError,
        match="`precision=bf16`: only a CPU can run any model in it; use `device=cpu`, or export the model in it",
    ):
        open_backend(model, device="cuda", precision="bf16")


@pytest.mark.parametrize("listed", [["CPUExecutionProvider"], ["CUDAExecutionProvider", "CPUExecutionProvider"]])
def test_a_gpu_that_the_runtime_cannot_use_is_refused(model, monkeypatch, listed):
    """Without a CUDA build, and with a session that falls back to the CPU without an error."""
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession

    monkeypatch.setattr(backends, "has_nvidia_driver", lambda: True)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)
    monkeypatch.setattr(
        onnxruntime, "InferenceSession", lambda path, *_, **__: session(path, providers=["CPUExecutionProvider"])
    )
    with pytest.raises(UserError, match="`device=cuda`: this ONNX Runtime cannot use the GPU"):
        open_backend(model, device="cuda")


def test_a_gpu_session_binds_its_outputs_on_the_gpu(model, monkeypatch):
    """A session that reports CUDA and runs on the CPU: requested outputs, and TF32 switched off."""
    onnxruntime = pytest.importorskip("onnxruntime")
    make = onnxruntime.InferenceSession
    seen: dict[str, list[Any]] = {"outputs": []}

    class Session:
        def __init__(self, path, *_, providers):
            seen["providers"] = providers
            self.inner = make(path, providers=["CPUExecutionProvider"])
            self.get_inputs, self.get_outputs = self.inner.get_inputs, self.inner.get_outputs
            self.run_with_iobinding = self.inner.run_with_iobinding

        def get_providers(self):
            return [name for name, _ in seen["providers"]]

        def io_binding(self):
            binding = self.inner.io_binding()
            bind = binding.bind_output

            def bind_output(name, device):
                seen["outputs"].append((name, device))
                bind(name, "cpu")

            binding.bind_output = bind_output
            return binding

    z = np.random.RandomState(3).randn(2, Z_DIM).astype(np.float32)
    want = expected(model, z, 0.7)["depth"]
    monkeypatch.setattr(backends, "has_nvidia_driver", lambda: True)
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["TensorrtExecutionProvider", "CUDAExecutionProvider"]
    )
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    backend = open_backend(model, device="cuda", types=["depth"])
    np.testing.assert_allclose(backend.run(z, 0.7)["depth"], want, atol=BACKEND_PARITY)
    assert seen["outputs"] == [("depth", "cuda")]
    assert seen["providers"][0] == ("CUDAExecutionProvider", {"use_tf32": "0"})
    assert isinstance(backend, OnDevice)
    array = backend.run_on_device(z, 0.7)["depth"]
    assert isinstance(array, DeviceArray)
    assert isinstance(array.owner, onnxruntime.OrtValue)
    assert array.__cuda_array_interface__["shape"] == (2, 1, SIDE, SIDE)
    assert array.__cuda_array_interface__["data"][0] == array.owner.data_ptr()
    open_backend(model, device="tensorrt")
    assert [name for name, _ in seen["providers"]][:2] == ["TensorrtExecutionProvider", "CUDAExecutionProvider"]


def test_a_tensorrt_provider_that_does_not_start_is_refused(model, monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime")
    monkeypatch.setattr(backends, "has_nvidia_driver", lambda: True)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    with pytest.raises(UserError, match="`device=tensorrt`: this ONNX Runtime cannot use TensorRT"):
        open_backend(model, device="tensorrt")


def test_auto_is_the_gpu_with_a_driver_and_a_cuda_build(model, monkeypatch, no_gpu):
    onnxruntime = pytest.importorskip("onnxruntime")
    assert backends._choose_device("auto") == "cpu"
    monkeypatch.setattr(backends, "has_nvidia_driver", lambda: True)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert backends._choose_device("auto") == "cpu"
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    assert backends._choose_device("auto") == "cuda"
    with pytest.raises(UserError, match="`backend=openvino`: it does not support `device=cuda`; it supports cpu"):
        open_backend(model, backend="openvino")


def test_suffixes_that_no_backend_runs_are_refused(tmp_path, no_gpu):
    path = tmp_path / "depth.plan"
    path.write_bytes(b"engine")
    path.with_suffix(".json").write_text(describe().to_json())
    with pytest.raises(UserError, match=r"no backend of this version runs .plan on cpu; use an .onnx export"):
        open_backend(path, device="cpu")
    with pytest.raises(UserError, match=r"`backend=openvino`: it cannot run depth.plan; it runs .onnx"):
        open_backend(path, backend="openvino")


@pytest.mark.parametrize("name", ONNX_BACKENDS)
def test_description_and_graph_must_agree(tmp_path, name):
    pytest.importorskip(package_of(name))
    lying = describe(z_dim=Z_DIM + 1)
    path = write_model(tmp_path / "lies.onnx", describe(), metadata={"sgi_engine": lying.to_json()})
    with pytest.raises(UserError, match=r"lies.onnx: its input z is float32 \[\?, 8\], and its description gives"):
        open_backend(path, backend=name, device="cpu")


@pytest.mark.parametrize("name", ONNX_BACKENDS)
def test_a_damaged_graph_raises_one_line(tmp_path, model, name):
    pytest.importorskip(package_of(name))
    proto = onnx.load(model)
    proto.graph.node[0].input[0] = "nowhere"
    path = tmp_path / "damaged.onnx"
    onnx.save(proto, str(path))
    with pytest.raises(UserError, match=r"damaged.onnx: .* cannot load it") as error:
        open_backend(path, backend=name, device="cpu")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("asked", [None, "0"])
def test_onnx_runtime_writes_and_sends_nothing_unless_asked(model, tmp_path, asked):
    """Its events go through files in the cache folder; without it they have no device to name."""
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    environment |= {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path / "home")}
    environment |= {} if asked is None else {"ORT_DISABLE_TELEMETRY": asked}
    script = (
        "import os, sys\nfrom sgi.engine import Engine\n"
        "with Engine.open(sys.argv[1], backend='onnxruntime', threads=1) as engine: engine(seeds=0)\n"
        "print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    call = [sys.executable, "-c", script, str(model)]
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (asked or "1")
    assert asked == "0" or not any(tmp_path.glob("*/*"))
