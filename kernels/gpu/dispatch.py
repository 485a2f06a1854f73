"""When a kernel runs and when its torch reference does.

CUDA tensors take the kernels. CPU tensors take the reference, and the log says so once; with TRITON_INTERPRET=1
they take the kernels too, through Triton's interpreter, which is how the kernels are tested without a GPU.
"""

from __future__ import annotations

import importlib.util
import logging
import os

import torch
from torch import Tensor

KERNEL_DTYPES = (torch.float16, torch.bfloat16, torch.float32)

logger = logging.getLogger(__name__)
_said: set[str] = set()


def interpreted() -> bool:
    """Whether Triton interprets kernels on the CPU instead of compiling them."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "yes", "on")


def _say_once(text: str) -> None:
    if text not in _said:
        _said.add(text)
        logger.warning(text)


def use_kernel(x: Tensor) -> bool:
    """Whether an operation on x runs as a Triton kernel; if not, the log says once why."""
    if x.dtype not in KERNEL_DTYPES:
        _say_once(f"{x.dtype} has no kernel: using the torch reference")
        return False
    if importlib.util.find_spec("triton") is None:
        _say_once("triton is not installed (pip install 'sgi-engine[triton]'): using the torch reference")
        return False
    if x.is_cuda or interpreted():
        return True
    _say_once("tensors on the CPU: using the torch reference instead of the Triton kernels")
    return False


def precision(dtype: torch.dtype) -> str:
    """tl.dot's precision: float32 operands are split into three tf32 products, about as exact as float32."""
    return "tf32x3" if dtype == torch.float32 else "ieee"


def require(condition: bool, what: str) -> None:
    """Raise ValueError for a tensor that a kernel cannot take."""
    if not condition:
        raise ValueError(what)
