"""ONNX Runtime is asked to load CUDA and cuDNN: once, before the first session on a GPU, and never for a CPU.

The fake runtime prints as `onnxruntime.preload_dlls` of 1.31 does: one line "Failed to load NAME: ERROR" for each
library, then one with the address of the installation guide. It does not raise.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import pytest
from tiny_models import ALL_KINDS, describe, write_model

from sgi.engine import backends
from sgi.engine.backends import open_backend
from sgi.engine.backends.cuda_libraries import load_cuda_libraries
from sgi.engine.errors import UserError

MISSING = "libcudnn.so.9: cannot open shared object file: No such file or directory"


class Runtime(ModuleType):
    """ONNX Runtime on the CPU, which says that it runs on `provider`; notes calls in their order."""

    def __init__(self, prints=(), raises=None, starts=True):
        super().__init__("onnxruntime")
        self.real = pytest.importorskip("onnxruntime")
        self.calls: list[str] = []
        self.prints, self.raises, self.starts = prints, raises, starts

    def __getattr__(self, name):
        return getattr(self.real, name)

    def preload_dlls(self):
        self.calls.append("preload")
        for line in self.prints:
            print(line)
        if self.raises:
            raise self.raises

    def get_available_providers(self):
        self.calls.append("providers")
        return ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]

    def InferenceSession(self, model, options, providers):
        self.calls.append("session")
        session = self.real.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        if self.starts:
            session.get_providers = lambda: [name for name, _ in providers]
        return session


@pytest.fixture
def open_with(tmp_path, monkeypatch):
    """A function of (runtime, device) that opens a tiny model in that runtime."""
    from sgi.engine.backends import onnxruntime as module

    path = write_model(tmp_path / "tiny.onnx", describe(ALL_KINDS[:2]))
    monkeypatch.setattr(backends, "has_nvidia_driver", lambda: True)

    def opened(runtime, device):
        monkeypatch.setattr(module, "onnxruntime", runtime)
        return open_backend(path, "onnxruntime", device)

    return opened


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_the_libraries_are_loaded_once_before_the_first_session_on_a_gpu(open_with, device, capsys):
    runtime = Runtime(prints=["a note"])
    open_with(runtime, "cpu")
    assert "preload" not in runtime.calls
    runtime.calls.clear()
    open_with(runtime, device)
    open_with(runtime, device)
    assert runtime.calls.count("preload") == 1
    assert runtime.calls.index("preload") < runtime.calls.index("session")
    assert capsys.readouterr().out == ""


def test_threads_load_the_libraries_once():
    runtime = Runtime()
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: load_cuda_libraries(runtime), range(50))) == {""}
    assert runtime.calls == ["preload"]


def test_a_missing_library_is_named_with_the_remedy(open_with):
    guide = "Please follow https://onnxruntime.ai/docs/install/#cuda-and-cudnn to install CUDA."
    runtime = Runtime(prints=[f"Failed to load libcudnn.so.9: {MISSING}", guide], starts=False)
    with pytest.raises(
        UserError, match=r"`device=cuda`: ONNX Runtime lacks a library of CUDA \(Failed to load"
    ) as error:
        open_with(runtime, "cuda")
    text = str(error.value)
    assert "libcudnn.so.9" in text
    assert text.endswith('pip install "sgi-engine[gpu]", or use `device=cpu`')
    assert "\n" not in text


def test_an_exception_of_the_runtime_is_one_line(open_with):
    runtime = Runtime(raises=RuntimeError("The directory\ndoes not exist"), starts=False)
    with pytest.raises(UserError, match="lacks a library of CUDA") as error:
        open_with(runtime, "cuda")
    assert "\n" not in str(error.value)


def test_libraries_that_are_loaded_in_another_way_are_enough(open_with):
    open_with(Runtime(prints=[f"Failed to load libcudnn.so.9: {MISSING}"]), "cuda")


def test_a_runtime_without_the_function_is_used_as_it_is():
    assert load_cuda_libraries(ModuleType("onnxruntime")) == ""
