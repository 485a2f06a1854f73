"""Styles of a generator under an offset of any space: what is fitted, scored and verified against."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F

from sgi.engine.generator.synthesis import Synthesis
from sgi.engine.spaces import ROWS, lora_keys, style_key


def moved_styles(synthesis: Synthesis, ws: Tensor, tensors: Mapping[str, Tensor]) -> list[Tensor]:
    """Styles of every layer, each [N, I] float32, from ws [N, num_ws, w_dim] and tensors as in sgi.engine.spaces.

    The update of low rank acts on w itself, not on w + d. Differentiable in ws and tensors, all on one device.
    """
    plain = synthesis.styles(ws + tensors[ROWS] if ROWS in tensors else ws)
    styles = []
    for layer, style in zip(synthesis.styled_layers(), plain, strict=True):
        if style_key(layer.name) in tensors:
            style = style + tensors[style_key(layer.name)]
        keys = lora_keys(layer.name)
        if keys.up in tensors:
            style = style + F.linear(
                F.linear(ws[:, layer.row], tensors[keys.down]), tensors[keys.up], tensors[keys.bias]
            )
        styles.append(style)
    return styles
