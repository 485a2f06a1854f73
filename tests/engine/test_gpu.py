"""GPU properties: the GPUs CUDA can use in CUDA's order, and no wrong answer without nvidia-ml-py."""

from __future__ import annotations

import subprocess
import sys

import pytest
from fake_nvml import FakeDriver, FakeNvml, install

from sgi.engine.errors import UserError
from sgi.engine.gpu import Driver, Gpu, find_driver, find_gpus, has_gpu

H200 = Gpu("NVIDIA H200", (9, 0), 141 << 30)
T4 = Gpu("Tesla T4", (7, 5), 15 << 30)


def test_gpus_have_cuda_order_and_visibility(monkeypatch):
    install(monkeypatch, FakeDriver(visible=(2, 0)), nvml := FakeNvml([T4, T4, H200]))
    assert has_gpu()
    assert find_gpus() == [H200, T4]
    assert find_driver() == Driver("580.65.06", "13.0")
    assert nvml.open == 0


def test_mig_part_has_its_own_name_and_memory_and_the_card_capability(monkeypatch):
    part = Gpu("NVIDIA H200 MIG 1g.18gb", (9, 0), 16 << 30)
    install(monkeypatch, FakeDriver(visible=(1,)), FakeNvml([H200, part], mig=(1,)))
    assert find_gpus() == [part]


@pytest.mark.parametrize("driver", [None, FakeDriver(visible=()), FakeDriver(error=100)])
def test_no_gpu_is_found_without_driver_or_device(monkeypatch, driver):
    install(monkeypatch, driver, None)
    assert not has_gpu()
    assert find_gpus() == []


def test_no_driver(monkeypatch):
    install(monkeypatch, None, None)
    assert find_driver() is None


@pytest.mark.parametrize("find", [find_gpus, find_driver])
def test_missing_nvidia_ml_py_is_an_error_with_a_remedy(monkeypatch, find):
    install(monkeypatch, FakeDriver(), None)
    assert has_gpu()
    with pytest.raises(UserError, match="pip install nvidia-ml-py"):
        find()


@pytest.mark.parametrize("find", [find_gpus, find_driver])
def test_failure_of_nvml_is_an_error(monkeypatch, find):
    install(monkeypatch, FakeDriver(), FakeNvml([H200], fails=True))
    with pytest.raises(UserError, match="version mismatch"):
        find()


def test_gpu_unknown_to_nvml_is_an_error(monkeypatch):
    install(monkeypatch, FakeDriver(visible=(3,)), FakeNvml([H200]))
    with pytest.raises(UserError, match="Not Found"):
        find_gpus()


def test_pynvml_has_the_names_that_are_used():
    pynvml = pytest.importorskip("pynvml")
    for name in vars(FakeNvml):
        if name.lower().startswith("nvml"):
            assert hasattr(pynvml, name), name


def test_pynvml_is_not_imported_without_a_driver():
    code = """
import sys
from sgi.engine import gpu
gpu._cuda = lambda: None
assert gpu.find_gpus() == [] and gpu.find_driver() is None
assert "pynvml" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
