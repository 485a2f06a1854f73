"""Kernels run in the interpreter, and output memory is filled with NaN."""

from __future__ import annotations

import interpreter  # noqa: F401  first: it enables the interpreter
import pytest

pytest.importorskip("torch")
pytest.importorskip("triton")

import torch


@pytest.fixture(autouse=True)
def poisoned_memory(monkeypatch):
    """torch.empty returns NaN, so that a test fails if a kernel does not write an element."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(before)


@pytest.fixture(autouse=True)
def one_thread():
    """One thread: operands are too small for more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
