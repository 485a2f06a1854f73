"""Baking: the offset is added to the affine layers, so that it costs no time when the model runs.

Styles are affine in w: (A + U V) w + A (w + d) - A w + b + e is one matrix and one bias, whatever the offset's space.
Types whose offsets have no update U V share the generator's matrices and differ only in their biases. The offsets are
those of arXiv 2306.00987.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sgi.engine.generator import Generator
from sgi.engine.generator.offset_styles import baked_affines, tensors_of
from sgi.engine.offsets import Offset

Array = NDArray[np.float32]


class Baked(NamedTuple):
    """An affine layer, x @ weight + bias.

    weight: [w_dim, I] float32; bias: [I] float32. Gains are applied, except the gain 1 / sqrt(I) of to-rgb layers.
    """

    weight: Array
    bias: Array


def bake(generator: Generator, offsets: Mapping[str, Offset | None]) -> dict[str, dict[str, Baked]]:
    """Affine layers with baked offsets: type -> layer name -> matrix and bias; offset None is the plain generator."""
    device = generator.mapping.w_avg.device
    baked = {}
    for name, offset in offsets.items():
        affines = baked_affines(generator.synthesis, tensors_of(offset, device))
        baked[name] = {
            layer: Baked(affine.weight.T.contiguous().cpu().numpy(), affine.bias.cpu().numpy())
            for layer, affine in affines.items()
        }
    return baked
