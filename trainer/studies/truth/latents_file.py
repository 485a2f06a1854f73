"""The w+ file: the latent of one inverted picture and the hash of its generator."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from torch import Tensor

from sgi.engine.errors import UserError
from sgi.engine.latents_file import FILE, WS_TENSOR, LatentsHeader


@dataclass
class Latents:
    """w+ of one picture.

    ws: [num_ws, w_dim] float32. generator_sha256: hash of the generator. noise_mode: of the rendering of G(ws). psnr:
    of G(ws) against the picture, in decibels. picture: file name of the picture. settings: of the search.
    """

    ws: Tensor
    generator_sha256: str
    noise_mode: str
    psnr: float
    picture: str
    settings: dict[str, Any] = field(default_factory=dict)

    def save(self, path: str | Path) -> None:
        """Write the file whole or not at all."""
        header = LatentsHeader(self.generator_sha256, self.noise_mode, self.psnr, self.picture, self.settings)
        FILE.write(path, {WS_TENSOR: self.ws.float().contiguous()}, header)

    @classmethod
    def load(cls, path: str | Path) -> Latents:
        """Read a w+ file; raises UserError for a file that is missing, damaged, or of another kind."""
        header, tensors = FILE.read(path, "pt")
        ws = tensors.get(WS_TENSOR)
        if ws is None or ws.ndim != 2 or not ws.is_floating_point() or not bool(ws.isfinite().all()):
            raise UserError(
                f"{path}: the w+ file has no tensor {WS_TENSOR} of finite numbers [rows, w_dim]; {FILE.remedy}"
            )
        return cls(ws.float(), **msgspec.structs.asdict(header))

    def check_generator(self, sha256: str) -> None:
        """Raise UserError unless the latents belong to the generator of that hash."""
        if sha256 != self.generator_sha256:
            raise UserError(
                f"the latents of {self.picture} belong to generator {self.generator_sha256[:12]}, this one is "
                f"{sha256[:12]}: pass its `generator`"
            )
