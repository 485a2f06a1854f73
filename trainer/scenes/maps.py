"""The maps of a rendered batch, and their display codes (sgi.engine.intrinsics)."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from sgi.engine.errors import UserError
from sgi.trainer.scenes.srgb import srgb_encode

FAR = 6.0
BRIGHTEST = 1.5
TYPES: tuple[str, ...] = ("image", "depth", "normal", "albedo", "shading")


@dataclass
class Maps:
    """Maps of N rooms, S x S pixels, float32 unless noted otherwise."""

    image: Tensor  # [N, 3, S, S] sRGB in [0, 1]; exactly srgb_encode(albedo * shading)
    depth: Tensor  # [N, 1, S, S] z-depth in metres, mean over the pixel
    normal: Tensor  # [N, 3, S, S] unit, camera space: +X right, +Y up, +Z to the viewer; mean over the pixel
    albedo: Tensor  # [N, 3, S, S] linear reflectance, mean over the pixel
    shading: Tensor  # [N, 1, S, S] linear irradiance in [0, 1.5]
    segmentation: Tensor  # [N, S, S] uint8, index into CLASSES at the pixel's first sample

    def codes(self, name: str) -> Tensor:
        """Display codes [N, C, S, S] in [0, 1] of one of TYPES (the table of `sgi.engine.intrinsics`)."""
        if name == "image":
            return self.image
        if name == "depth":
            return 1.0 - (self.depth / FAR).clamp(0.0, 1.0)
        if name == "normal":
            return self.normal * 0.5 + 0.5
        if name == "albedo":
            return srgb_encode(self.albedo)
        if name == "shading":
            return srgb_encode(self.shading / BRIGHTEST)
        raise UserError(f"`name={name}`: rooms have no such type; choose from {', '.join(TYPES)}")

    @staticmethod
    def cat(parts: list[Maps]) -> Maps:
        """Several batches concatenated."""
        return Maps(**{f.name: torch.cat([getattr(p, f.name) for p in parts]) for f in fields(Maps)})
