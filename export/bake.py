"""Baking: an offset disappears into the biases of the affine layers, at no cost at run time.

Styles are affine in w: A (w + d) + b = A w + (A d + b). So every type of one generator has the same matrices
and its own biases (arXiv 2306.00987 gives the offsets; the identity is elementary).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sgi.engine.generator import Generator
from sgi.engine.offsets import Offset

Array = NDArray[np.float32]


def affine_biases(generator: Generator, offset: Offset | None) -> dict[str, Array]:
    """Bias of every affine layer with `offset` baked in (None: the plain generator).

    Returns layer name -> [I] float32, as they act (gains applied, to-rgb's 1 / sqrt(I) not). Raises UserError
    when the offset's shape does not fit the generator.
    """
    rows = None if offset is None else offset.rows(generator.config.num_ws).astype(np.float64)
    biases = {}
    for name, row, module in generator.synthesis.styled_layers():
        weight, bias = (t.detach().cpu().double().numpy() for t in module.affine.scaled())
        baked = bias if rows is None else bias + weight @ rows[row]
        biases[name] = baked.astype(np.float32)
    return biases


def bake(generator: Generator, offsets: Mapping[str, Offset | None]) -> dict[str, dict[str, Array]]:
    """`affine_biases` of several types: type -> layer name -> [I] float32."""
    return {name: affine_biases(generator, offset) for name, offset in offsets.items()}
