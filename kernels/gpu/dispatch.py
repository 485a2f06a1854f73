"""The choice between a kernel and its torch reference.

CUDA tensors use the kernels. CPU tensors use the reference, with one warning in the log. With TRITON_INTERPRET=1 CPU
tensors use the kernels through Triton's interpreter; the tests do this.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

KERNEL_DTYPES = (torch.float16, torch.bfloat16, torch.float32)

logger = logging.getLogger(__name__)
_warned: set[str] = set()
_dependent: ContextVar[bool] = ContextVar("dependent", default=False)
_prefetch: ContextVar[bool] = ContextVar("prefetch", default=False)
_convolutions: ContextVar[bool] = ContextVar("convolutions", default=False)


def interpreted() -> bool:
    """Whether Triton interprets kernels on the CPU instead of compiling them."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "yes", "on")


def _omit_overflow_checks() -> None:
    """Let the interpreter compute integers as compiled kernels do, without checks, which take a third of its time."""
    from triton.runtime.interpreter import interpreter_builder

    interpreter_builder.options = replace(interpreter_builder.options, sanitize_overflow=False)


if interpreted() and importlib.util.find_spec("triton") is not None:
    _omit_overflow_checks()


def _warn_once(text: str) -> None:
    if text not in _warned:
        _warned.add(text)
        logger.warning(text)


def use_kernel(x: Tensor) -> bool:
    """Whether an operation on x runs as a Triton kernel; if not, the reason is logged once."""
    if x.dtype not in KERNEL_DTYPES:
        _warn_once(f"{x.dtype} has no kernel: using the torch reference")
        return False
    if importlib.util.find_spec("triton") is None:
        _warn_once("triton is not installed (pip install 'sgi-engine[triton]'): using the torch reference")
        return False
    if x.is_cuda or interpreted():
        return True
    _warn_once("tensors on the CPU: using the torch reference instead of the Triton kernels")
    return False


@contextmanager
def dependent_launches() -> Iterator[None]:
    """Within the context, small kernels use programmatic dependent launch on GPUs that have it (compute capability 9).

    Such a kernel starts before the one before it has ended, loads its weights, and then waits for it.
    """
    token = _dependent.set(True)
    try:
        yield
    finally:
        _dependent.reset(token)


@contextmanager
def weight_prefetch(enabled: bool) -> Iterator[None]:
    """Within the context, kernels with dependent launches bring their weights to L2 before they wait, or do not.

    The default is not to: no GPU has measured it.
    """
    token = _prefetch.set(enabled)
    try:
        yield
    finally:
        _prefetch.reset(token)


def prefetches_weights() -> bool:
    """Whether kernels prefetch weights, see `weight_prefetch`."""
    return _prefetch.get()


@contextmanager
def dependent_convolutions(enabled: bool) -> Iterator[None]:
    """Within the context, convolutions of many pixels have dependent launches where small kernels have, or do not.

    The default is not to: no GPU has measured it.
    """
    token = _convolutions.set(enabled)
    try:
        yield
    finally:
        _convolutions.reset(token)


def dependent_convolution(x: Tensor) -> dict[str, Any]:
    """`dependent_options` of a convolution of many pixels."""
    return dependent_options(x) if _convolutions.get() else {"PDL": False}


def dependent_options(x: Tensor) -> dict[str, Any]:
    """Keyword arguments of the launch of a kernel with the flag PDL, whose operand is x."""
    if _dependent.get() and has_dependent_launches(x):
        return {"PDL": True, "launch_pdl": True}
    return {"PDL": False}


def has_dependent_launches(x: Tensor) -> bool:
    """Whether x's device has programmatic dependent launch."""
    return x.is_cuda and torch.cuda.get_device_capability(x.device) >= (9, 0)


def multiprocessors(x: Tensor) -> int:
    """Multiprocessors of x's GPU; 1 on the CPU, because the interpreter runs one program at a time."""
    return torch.cuda.get_device_properties(x.device).multi_processor_count if x.is_cuda else 1


def precision(dtype: torch.dtype) -> str:
    """tl.dot's `input_precision`: float32 products are three tf32 products, which is about as exact as float32."""
    return "tf32x3" if dtype == torch.float32 else "ieee"


def require(condition: bool, what: str) -> None:
    """Raise ValueError with the text `what` unless the condition holds."""
    if not condition:
        raise ValueError(what)
