"""Which runtime a generator gets, on machines with and without a GPU and packages."""

from __future__ import annotations

import pytest

from sgi.engine import doctor
from sgi.engine.errors import UserError
from sgi.engine.generator_model import choice
from sgi.engine.generator_model.choice import triton_device


@pytest.fixture
def machine(monkeypatch):
    """Set whether there is a GPU, and which packages are missing."""

    def make(gpu=False, missing=()):
        monkeypatch.setattr(choice, "has_gpu", lambda: gpu)
        monkeypatch.setattr(choice, "is_installed", lambda name: name not in missing)

    return make


@pytest.mark.parametrize(
    ("gpu", "missing", "backend", "device", "expected"),
    [
        (True, (), "auto", "auto", "cuda"),
        (True, (), "auto", "cuda", "cuda"),
        (True, (), "triton", "auto", "cuda"),
        (True, (), "triton", "cpu", "cpu"),
        (True, (), "auto", "cpu", None),
        (True, (), "auto", "tensorrt", None),
        (True, (), "onnxruntime", "cuda", None),
        (True, ("triton",), "auto", "auto", None),
        (True, ("torch",), "auto", "cuda", None),
        (False, (), "auto", "auto", None),
        (False, (), "auto", "cuda", None),
        (False, (), "triton", "auto", "cpu"),
        (False, (), "triton", "cpu", "cpu"),
    ],
)
def test_triton_is_the_default_on_a_gpu(machine, gpu, missing, backend, device, expected):
    machine(gpu, missing)
    assert triton_device(backend, device) == expected


@pytest.mark.parametrize(
    ("gpu", "missing", "backend", "device", "message"),
    [
        (True, ("triton",), "triton", "auto", r'`backend=triton`: triton is not installed: pip install "sgi-engine\['),
        (True, (), "triton", "tensorrt", "`backend=triton`: it does not support `device=tensorrt`; it supports cuda"),
        (False, (), "triton", "cuda", "`device=cuda`: no NVIDIA GPU with a driver was found; use `device=cpu`"),
        (False, (), "trition", "auto", "`backend=trition`: choose from auto, openvino, onnxruntime, tensorrt.*triton"),
    ],
)
def test_triton_that_cannot_run_is_refused(machine, gpu, missing, backend, device, message):
    machine(gpu, missing)
    with pytest.raises(UserError, match=message):
        triton_device(backend, device)


@pytest.mark.parametrize(
    ("gpu", "missing", "state", "words"),
    [
        (True, (), "yes", "on the Triton kernels, on cuda"),
        (False, (), "yes", "by a cached export, not on the Triton kernels: CUDA finds no GPU"),
        (True, ("triton",), "yes", "by a cached export, not on the Triton kernels: triton is not installed"),
        (False, ("onnx",), "no", 'not by a cached export: onnx is not installed: pip install "sgi-engine[export]"'),
    ],
)
def test_doctor_states_the_choice(machine, gpu, missing, state, words):
    machine(gpu, missing)
    found = doctor.check_generators()[0]
    assert (found.what, found.state) == ("run --generator", state)
    assert words in found.detail
