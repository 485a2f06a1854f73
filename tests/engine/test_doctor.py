"""The findings of `doctor`, on a machine without a GPU and with a fake one."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_cuda import FakeRuntime
from fake_gpu import FakeGpu
from fake_nvml import FakeDriver, FakeNvml, install

from sgi.engine import bundle, doctor
from sgi.engine.backends import cuda_memory, table
from sgi.engine.backends.cuda_memory import CudaPythonMemory
from sgi.engine.gpu import Gpu
from sgi.engine.writers import deflate

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
H200 = Gpu("NVIDIA H200", (9, 0), 141 << 30)


@pytest.fixture
def no_gpu(monkeypatch):
    install(monkeypatch, None, None)
    monkeypatch.setattr(doctor, "has_nvidia_driver", lambda: False)


def states(findings):
    return {found.what: found.state for found in findings}


def test_without_a_gpu(no_gpu, model, monkeypatch):
    monkeypatch.setattr(bundle, "MODEL", model)
    assert doctor.check_gpus() == [doctor.Finding("GPU", "no", "no NVIDIA driver was found")]
    found = states(doctor.check_backends())
    assert found["backend onnxruntime on cpu"] == found["backend openvino on cpu"] == "yes"
    for name in ("onnxruntime on cuda", "onnxruntime on tensorrt", "tensorrt on tensorrt"):
        assert found[f"backend {name}"] == "no"


def test_the_missing_library_and_the_choice_of_auto_are_stated(no_gpu, model, monkeypatch):
    monkeypatch.setattr(bundle, "MODEL", model)
    monkeypatch.setattr(table, "is_installed", lambda package: package in ("openvino", "onnxruntime"))
    found = {f.what: f for f in doctor.check_backends()}
    assert found["backend cpu on cpu"].detail == (
        'backend cpu is not installed: pip install "sgi-engine[native]", or `pip install ./engine/native/python` in a '
        "checkout; it makes maps on CPUs faster"
    )
    assert found["backend auto"] == doctor.Finding("backend auto", "yes", "openvino on cpu")


def test_diagnose_runs_every_check(no_gpu, model, monkeypatch):
    monkeypatch.setattr(bundle, "MODEL", model)
    groups = doctor.diagnose()
    assert [group[0].what.split()[0] for group in groups] == ["sgi-engine", "GPU", "backend", "run", "builder", "numpy"]


def test_a_failing_backend_has_its_reason(no_gpu, tmp_path, monkeypatch):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x08")
    monkeypatch.setattr(bundle, "MODEL", broken)
    found = {f.what: f for f in doctor.check_backends()}
    assert found["backend openvino on cpu"].state == "no"
    assert "broken.onnx: truncated" in found["backend openvino on cpu"].detail
    monkeypatch.setattr(doctor, "missing", lambda name, device: f"backend {name} is not installed")
    found = {f.what: f for f in doctor.check_backends()}
    assert found["backend openvino on cpu"].detail == "backend openvino is not installed"


def test_without_a_bundled_model_backends_are_untried(no_gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "MODEL", tmp_path / "none.onnx")
    assert states(doctor.check_backends())["backend onnxruntime on cpu"] == "untried"


def test_gpu_and_driver_are_listed(monkeypatch):
    install(monkeypatch, FakeDriver(), FakeNvml([H200]))
    detail = "NVIDIA H200, SM90, 141 GiB, driver 580.65.06 for CUDA 13.0"
    assert doctor.check_gpus() == [doctor.Finding("GPU 0", "yes", detail)]


def test_driver_without_gpu_is_listed(monkeypatch):
    install(monkeypatch, FakeDriver(visible=()), FakeNvml([]))
    detail = "driver 580.65.06 for CUDA 13.0, and no GPU that CUDA programs can use"
    assert doctor.check_gpus() == [doctor.Finding("GPU", "no", detail)]


def test_gpu_without_nvidia_ml_py_is_untried(monkeypatch):
    install(monkeypatch, FakeDriver(), None)
    (found,) = doctor.check_gpus()
    assert found.state == "untried"
    assert "pip install nvidia-ml-py" in found.detail


@pytest.fixture
def engines(monkeypatch):
    """A machine with a fake GPU: the set of installed packages, which a test may change, and the GPU."""
    installed = {"tensorrt"}
    fake = FakeGpu()
    monkeypatch.setattr(doctor, "has_nvidia_driver", lambda: True)
    monkeypatch.setattr(doctor, "is_installed", installed.__contains__)
    monkeypatch.setattr(cuda_memory, "open_memory", lambda: CudaPythonMemory(FakeRuntime(fake)))
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__="11.4.0.106"))
    return installed, fake


def on_tensorrt():
    return doctor.check_backend("tensorrt", "tensorrt")


def test_packages_that_run_an_engine(engines):
    installed, fake = engines
    assert on_tensorrt().state == "untried"
    assert on_tensorrt().detail.startswith("tensorrt 11.4.0.106, buffers by cuda-python; ")
    assert not fake.blocks
    fake.capacity = 0
    assert on_tensorrt().state == "no"
    assert on_tensorrt().detail == "OutOfDeviceMemoryError: the GPU has no free memory"
    installed.clear()
    assert on_tensorrt().state == "no"
    assert on_tensorrt().detail.startswith("neither tensorrt nor tensorrt_rtx is installed: pip install")


def test_engines_need_a_package_for_device_memory(monkeypatch):
    monkeypatch.setattr(doctor, "has_nvidia_driver", lambda: True)
    monkeypatch.setattr(cuda_memory, "find_spec", lambda name: None)
    monkeypatch.setattr(doctor, "is_installed", lambda module: module == "tensorrt")
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__="11.4.0.106"))
    assert on_tensorrt().state == "no"
    assert on_tensorrt().detail.startswith("engines need cuda-python or pycuda: pip install")


def test_builders(no_gpu, monkeypatch):
    monkeypatch.setattr(doctor, "is_installed", lambda module: module == "tensorrt")
    found = {f.what: f for f in doctor.check_builders()}
    assert found["builder tensorrt"].detail.startswith("it builds on the GPU that will run the engine")
    assert found["builder tensorrt_rtx"].detail == 'not installed: pip install "sgi-engine[tensorrt-rtx]"'


def test_packages_have_their_versions():
    import numpy

    assert doctor.Finding("numpy", "yes", numpy.__version__) in doctor.check_packages()


def test_missing_packages_have_the_extra_that_brings_them(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    found = {finding.what: finding.detail for finding in doctor.check_packages()}
    assert (found["numpy"], found["transformers"]) == ("not installed", "not installed: extra teachers")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for name, extra in doctor.PACKAGES.items():
        assert not extra or any(re.match(rf"{name}\b", line) for line in extras[extra]), name


def test_the_library_that_compresses_png_files_is_named(monkeypatch):
    pytest.importorskip("isal")
    found = {finding.what: finding for finding in doctor.check_system()}
    assert found["PNG files"].detail.startswith("compressed by isal ")
    monkeypatch.setattr(deflate, "isal_zlib", None)
    found = {finding.what: finding for finding in doctor.check_system()}
    assert "compressed by zlib " in found["PNG files"].detail
    assert "pip install isal" in found["PNG files"].detail
