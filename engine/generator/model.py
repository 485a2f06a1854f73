"""The generator: the module that is trained, fitted, baked, exported and run."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sgi.engine.arguments import check_cutoff
from sgi.engine.generator.config import GeneratorConfig
from sgi.engine.generator.mapping import Mapping
from sgi.engine.generator.synthesis import Synthesis


class Generator(nn.Module):
    """StyleGAN2, mapping and synthesis, with the state-dict names of stylegan2-ada-pytorch."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.mapping = Mapping(config)
        self.synthesis = Synthesis(config)

    def map(self, z: Tensor, label: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """w+ of latents, truncated towards w_avg by psi in the first `cutoff` rows (None: all rows).

        z: [N, z_dim] float32; label: [N, c_dim] float32 for class-conditional generators.
        Returns ws [N, num_ws, w_dim] float32; raises UserError for a `cutoff` of more rows.
        Source: Karras et al., arXiv 1812.04948, appendix B.
        Source: Karras et al., arXiv 1812.04948, appendix B.
        """
        w = self.mapping(z, label)
        ws = w[:, None].expand(-1, self.config.num_ws, -1)
        if psi == 1.0:
            return ws
        truncated = torch.lerp(self.mapping.w_avg.expand_as(w), w, psi)[:, None]
        rows = check_cutoff(cutoff, self.config.num_ws)
        rows = self.config.num_ws if rows is None else rows
        return torch.cat([truncated.expand(-1, rows, -1), ws[:, rows:]], dim=1)

    def synthesize(self, ws: Tensor, noise_mode: str = "const", dtype: torch.dtype = torch.float32) -> Tensor:
        """Image [N, C, R, R] float32 (nominal range [-1, 1], not clamped) of ws [N, num_ws, w_dim].

        noise_mode is none, const (the stored noise) or random; dtype is that of the convolutions.
        """
        return self.synthesis(ws, noise_mode, dtype)

    def forward(
        self,
        z: Tensor,
        label: Tensor | None = None,
        psi: float = 1.0,
        cutoff: int | None = None,
        noise_mode: str = "const",
        offset: Tensor | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Image of latents; `offset` [1 or num_ws, w_dim] is added to w+ after truncation."""
        ws = self.map(z, label, psi, cutoff)
        return self.synthesize(ws if offset is None else ws + offset, noise_mode, dtype)
