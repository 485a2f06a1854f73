"""A generator's mapping network packed for the kernels: every gain is folded into the weights and biases."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sgi.engine.generator.layers import LRELU_GAIN, LRELU_SLOPE
from sgi.engine.generator.mapping import Mapping, normalise_second_moment
from sgi.engine.mapping import Linear, MappingNetwork
from sgi.kernels.gpu.dispatch import use_kernel


class PackedMapping:
    """z [N, z_dim] float32 and a label [N, c_dim] float32 -> w [N, w_dim] float32, one launch a layer."""

    def __init__(self, mapping: Mapping) -> None:
        self.mapping = mapping
        self.layers = []
        for layer in mapping.layers:
            weight, bias = layer.scaled()
            # The leaky ReLU is positively homogeneous: its gain can be applied before it.
            self.layers.append(((weight * LRELU_GAIN).detach().contiguous(), (bias * LRELU_GAIN).detach()))

    def __call__(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """w [N, w_dim] float32."""
        if not self.layers:
            return self.mapping(z, label)
        kernels = use_kernel(z)
        x, normalise = z, kernels and label is None
        if not normalise:
            x = normalise_second_moment(z)
        if label is not None:
            x = torch.cat([x, normalise_second_moment(self.mapping.embed(label))], dim=1)
        if not kernels:
            for weight, bias in self.layers:
                x = F.leaky_relu(F.linear(x, weight, bias), LRELU_SLOPE)
            return x
        from sgi.kernels.gpu.styles.row_launch import linear

        for weight, bias in self.layers:
            x = linear(x, weight, bias, normalise=normalise)
            normalise = False
        return x

    def on_host(self, num_ws: int, cutoff: int | None) -> MappingNetwork:
        """The same network in NumPy; num_ws: rows of w+; cutoff: rows that are truncated, None for all."""
        embed = None
        if self.mapping.config.c_dim:
            embed = _linear(*self.mapping.embed.scaled())
        layers = tuple(_linear(weight, bias, LRELU_SLOPE) for weight, bias in self.layers)
        return MappingNetwork(embed, layers, self.mapping.w_avg.detach().cpu().numpy(), num_ws, cutoff)


def _linear(weight: Tensor, bias: Tensor, slope: float = 1.0) -> Linear:
    return Linear(weight.detach().T.cpu().numpy(), bias.detach().cpu().numpy(), slope)
