"""CUDA and cuDNN of Python packages, loaded for ONNX Runtime, so that it needs no CUDA on the system.

ONNX Runtime documents `onnxruntime.preload_dlls`, to be called before the first session: it loads the libraries of the
packages that `onnxruntime-gpu[cuda,cudnn]` installs, else those of the system. It prints what it cannot load.
"""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from sgi.engine.errors import one_line

_SHOWN = 120
_lock = Lock()
_reasons: WeakKeyDictionary[Any, str] = WeakKeyDictionary()  # of modules that were asked


def load_cuda_libraries(runtime: Any) -> str:
    """Let ONNX Runtime, the module `runtime`, load CUDA and cuDNN, once in a process.

    Call it before a session on a GPU is made, not for sessions on a CPU. Returns why a library could not be loaded, one
    line, or an empty text. A session may start nevertheless, with libraries that are loaded already.
    """
    with _lock:
        if runtime not in _reasons:
            _reasons[runtime] = _load(runtime)
        return _reasons[runtime]


def missing_libraries(reason: str) -> str:
    """The text of an error about a session that did not start on the GPU after `load_cuda_libraries` gave a reason."""
    return f'ONNX Runtime lacks a library of CUDA ({reason}); pip install "sgi-engine[gpu]", or use `device=cpu`'


def _load(runtime: Any) -> str:
    preload = getattr(runtime, "preload_dlls", None)  # since 1.21
    if preload is None:
        return ""
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            preload()
    except Exception as error:  # a library that is damaged, or a folder of packages that cannot be read
        return one_line(str(error), _SHOWN)
    failed = [line for line in printed.getvalue().splitlines() if line.startswith("Failed to load ")]
    return one_line(failed[0], _SHOWN) if failed else ""
