"""The findings of `doctor`, on a machine without a GPU and with a fake one."""

from __future__ import annotations

import ctypes
import sys
from types import SimpleNamespace

import pytest
from fake_cuda import FakeRuntime
from fake_gpu import FakeGpu

from sgi.engine import bundle, doctor, gpu
from sgi.engine.backends import cuda_memory
from sgi.engine.backends.cuda_memory import CudaPythonMemory
from sgi.engine.gpu import Gpu

H200 = Gpu("NVIDIA H200", (9, 0), 141 << 30)


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(doctor, "find_gpus", list)
    monkeypatch.setattr(doctor, "driver_version", lambda: None)
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


def test_diagnose_runs_every_check(no_gpu, model, monkeypatch):
    monkeypatch.setattr(bundle, "MODEL", model)
    groups = doctor.diagnose()
    assert [group[0].what.split()[0] for group in groups] == ["sgi-engine", "GPU", "backend", "builder", "numpy"]


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


def test_with_a_gpu(monkeypatch):
    monkeypatch.setattr(doctor, "find_gpus", lambda: [H200])
    monkeypatch.setattr(doctor, "driver_version", lambda: "13.0")
    assert doctor.check_gpus() == [doctor.Finding("GPU 0", "yes", "NVIDIA H200, SM90, 141 GiB, driver for CUDA 13.0")]


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


class Driver:
    """A fake libcuda with one GPU."""

    def __init__(self, count=1, error=0):
        self.count, self.error = count, error

    def cuInit(self, flags):
        return self.error

    def cuDriverGetVersion(self, version):
        version._obj.value = 13000
        return 0

    def cuDeviceGetCount(self, count):
        count._obj.value = self.count
        return 0

    def cuDeviceGet(self, device, index):
        device._obj.value = index

    def cuDeviceGetName(self, name, size, device):
        ctypes.memmove(name, H200.name.encode(), len(H200.name))

    def cuDeviceTotalMem_v2(self, memory, device):
        memory._obj.value = H200.memory

    def cuDeviceGetAttribute(self, number, attribute, device):
        number._obj.value = {75: 9, 76: 0}[attribute]


def test_gpus_and_version_come_from_the_driver(monkeypatch):
    monkeypatch.setattr(gpu, "_driver", Driver)
    assert gpu.find_gpus() == [H200]
    assert gpu.driver_version() == "13.0"
    for driver in (None, Driver(count=0), Driver(error=100)):
        monkeypatch.setattr(gpu, "_driver", lambda driver=driver: driver)
        assert gpu.find_gpus() == []
    assert doctor.check_gpus()[0].detail == "a driver (CUDA 13.0) was found, but no GPU"
