"""Styles and affine layers of a generator with an offset in any space.

Offsets are fitted, scored and verified with `shifted_styles`. `baked_affines` bakes the same offset into the layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from sgi.engine.generator.synthesis import Synthesis
from sgi.engine.offset_tensors import ROWS, lora_keys, style_key
from sgi.engine.offsets import Offset


class Affine(NamedTuple):
    """An affine layer with gains applied: weight [I, w_dim], bias [I], float32."""

    weight: Tensor
    bias: Tensor


def tensors_of(offset: Offset | None, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """The tensors of an offset on a device, name -> float32 tensor; empty for None, which means the plain image."""
    return {} if offset is None else {key: torch.from_numpy(array).to(device) for key, array in offset.tensors.items()}


def shifted_styles(synthesis: Synthesis, ws: Tensor, tensors: Mapping[str, Tensor]) -> list[Tensor]:
    """Styles of every layer, each [N, I] float32, from ws [N, num_ws, w_dim] and the tensors of an offset.

    The low-rank update is applied to w, not to w + d. Differentiable in ws and tensors, which are on one device.
    """
    plain = synthesis.styles(ws + tensors[ROWS] if ROWS in tensors else ws)
    styles = []
    for layer, style in zip(synthesis.styled_layers(), plain, strict=True):
        if style_key(layer.name) in tensors:
            style = style + tensors[style_key(layer.name)]
        keys = lora_keys(layer.name)
        if keys.up in tensors:
            inner = F.linear(ws[:, layer.row], tensors[keys.down])
            style = style + F.linear(inner, tensors[keys.up], tensors[keys.bias])
        styles.append(style)
    return styles


@torch.no_grad()
def baked_affines(synthesis: Synthesis, tensors: Mapping[str, Tensor]) -> dict[str, Affine]:
    """Layer name -> affine layer with the offset baked in: A + U V and A d + b + e instead of A and b.

    Computed in float64 on the device of the synthesis network, where the tensors must be. A weight without a low-rank
    update is exactly that of the generator.
    """
    baked = {}
    for layer in synthesis.styled_layers():
        weight, bias = (t.double() for t in layer.module.affine.scaled())
        if ROWS in tensors:
            rows = tensors[ROWS].double()
            bias = bias + weight @ rows[layer.row if len(rows) > 1 else 0]
        if style_key(layer.name) in tensors:
            bias = bias + tensors[style_key(layer.name)].double()
        keys = lora_keys(layer.name)
        if keys.up in tensors:
            weight = weight + tensors[keys.up].double() @ tensors[keys.down].double()
            bias = bias + tensors[keys.bias].double()
        baked[layer.name] = Affine(weight.float(), bias.float())
    return baked
