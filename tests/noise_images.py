"""A data set of random images."""

from __future__ import annotations

import torch
from torch import Tensor


class NoiseImages:
    """Thirteen random 16 px images in steps of 1/255, a number that no batch size divides."""

    def __init__(self) -> None:
        codes = torch.randint(256, (13, 3, 16, 16), generator=torch.Generator().manual_seed(0))
        self.codes = codes.byte()

    def __len__(self) -> int:
        return len(self.codes)

    def images(self, indices: Tensor) -> Tensor:
        return self.codes[indices].float() / 255
