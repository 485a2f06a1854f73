"""Styles and affine layers of a generator under an offset of any space.

`shifted_styles` is what is fitted, scored and verified against; `baked_affines` is the same offset baked in.
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
    """An affine layer as it acts, gains applied: weight [I, w_dim], bias [I], float32."""

    weight: Tensor
    bias: Tensor


def tensors_of(offset: Offset | None, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """The tensors of an offset on a device; none for the plain picture."""
    return {} if offset is None else {key: torch.from_numpy(array).to(device) for key, array in offset.tensors.items()}


def shifted_styles(synthesis: Synthesis, ws: Tensor, tensors: Mapping[str, Tensor]) -> list[Tensor]:
    """Styles of every layer, each [N, I] float32, from ws [N, num_ws, w_dim] and tensors (`offset_tensors`).

    The update of low rank acts on w itself, not on w + d. Differentiable in ws and tensors, all on one device.
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
    """Every affine layer with the offset in it, by the layer's name: A + U V and A d + b + e of A and b.

    Computed in float64, on the synthesis' device, where the tensors are too. A weight without an update is the
    generator's to the bit.
    """
    moved = {}
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
        moved[layer.name] = Affine(weight.float(), bias.float())
    return moved
