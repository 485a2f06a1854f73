"""Pictures and latents of a fit on its device, so that no step of a GPU waits for a copy from the host."""

from __future__ import annotations

import torch
from torch import Tensor

MEMORY_SHARE = 0.5
"""Of a GPU's free memory, the most that a tensor takes to be kept there."""


class Rows:
    """Rows of a tensor, on a device.

    tensor: on the CPU. It is kept on the device if it takes no more than `MEMORY_SHARE` of the free memory there.
    """

    def __init__(self, tensor: Tensor, device: torch.device) -> None:
        self._device = device
        self._tensor = tensor.to(device) if _has_space(tensor, device) else tensor

    def __getitem__(self, index: Tensor) -> Tensor:
        """Return the rows of `index`, [n] int64 on the CPU."""
        if self._tensor.device != index.device:
            # From pinned memory the copy does not wait for the work before it.
            index = index.pin_memory().to(self._device, non_blocking=True)
        return self._tensor[index].to(self._device)


def _has_space(tensor: Tensor, device: torch.device) -> bool:
    if device.type == "cpu":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return tensor.nbytes <= MEMORY_SHARE * free
