"""The mapping network: z (and a class label) to w, with truncation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sgi.engine.generator.config import GeneratorConfig
from sgi.engine.generator.layers import FullyConnected


def normalise_second_moment(x: Tensor, eps: float = 1e-8) -> Tensor:
    """x * rsqrt(mean(x^2) + eps) over the last axis; x: [N, D] float32."""
    return x * (x.square().mean(dim=-1, keepdim=True) + eps).rsqrt()


class Mapping(nn.Module):
    """StyleGAN2's mapping network.

    z: [N, z_dim] float32, label: [N, c_dim] float32 (one-hot) when c_dim > 0 -> w [N, w_dim] float32.
    Source: Karras et al., arXiv 1812.04948, section 2; labels as in arXiv 2006.06676 (embedded, then
    concatenated after z and the embedding were normalised).
    """

    w_avg: Tensor
    embed: FullyConnected

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        width = config.z_dim
        if config.c_dim:
            self.embed = FullyConnected(config.c_dim, config.w_dim)
            width += config.w_dim
        for i in range(config.mapping_layers):
            layer = FullyConnected(width, config.w_dim, lrelu=True, lr=config.mapping_lr_multiplier)
            self.add_module(f"fc{i}", layer)
            width = config.w_dim
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    @property
    def layers(self) -> list[FullyConnected]:
        """The fully connected layers, first to last."""
        return [self.get_submodule(f"fc{i}") for i in range(self.config.mapping_layers)]  # type: ignore[misc]

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        if (label is None) != (self.config.c_dim == 0):
            wanted = f"a label [N, {self.config.c_dim}]" if self.config.c_dim else "no label"
            raise ValueError(f"this generator needs {wanted}")
        x = normalise_second_moment(z)
        if label is not None:
            x = torch.cat([x, normalise_second_moment(self.embed(label))], dim=1)
        for layer in self.layers:
            x = layer(x)
        return x
