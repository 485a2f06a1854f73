"""Rows of a tensor, kept on a GPU where it has space."""

from __future__ import annotations

import torch

from sgi.trainer.offsets import resident
from sgi.trainer.offsets.resident import Rows

VALUES = torch.arange(12.0).view(4, 3)
INDEX = torch.tensor([2, 0, 2])


def test_rows_on_the_cpu_are_those_of_the_tensor():
    rows = Rows(VALUES, torch.device("cpu"))
    assert torch.equal(rows[INDEX], VALUES[INDEX])


def test_a_tensor_stays_on_the_host_if_the_gpu_has_no_space(monkeypatch):
    free = VALUES.nbytes / resident.MEMORY_SHARE
    for memory, moved in ((free, True), (free - 1, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, memory=memory: (memory, 80 << 30))
        assert resident._has_space(VALUES, torch.device("cuda")) is moved


def test_rows_of_a_tensor_on_a_device_are_gathered_there(monkeypatch):
    """The meta device stands in for a GPU: it has shapes and no values."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1 << 30, 1 << 30))
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    found = Rows(VALUES, torch.device("meta"))[INDEX]
    assert found.device.type == "meta"
    assert found.shape == (3, 3)
