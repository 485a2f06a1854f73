"""Kernels run through the interpreter, and memory they must write is NaN until they do."""

from __future__ import annotations

import interpreter  # noqa: F401  first: it turns the interpreter on
import pytest

pytest.importorskip("torch")
pytest.importorskip("triton")

import torch


@pytest.fixture(autouse=True)
def poisoned_memory():
    """torch.empty gives NaN, so an element that a kernel leaves out cannot pass."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(before)


@pytest.fixture(autouse=True)
def one_thread():
    """Blocks are small: threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
