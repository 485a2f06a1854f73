"""Style normalisation and demodulation of one layer in plain torch, with gradients, for fitting."""

from __future__ import annotations

import math

from torch import Tensor

GAIN = math.sqrt(2.0)  # of the leaky ReLU, which is positively homogeneous
EPS = 1e-8


def scales(style: Tensor, energy: Tensor, norm: Tensor) -> tuple[Tensor, Tensor]:
    """Normalised style [N, I] and scale [N, O] = sqrt(2) * demodulation * both norms, of one layer.

    style: [N, I]; energy: [I, O], norm: [O] as in `PackedConv`. The product style * scale does not depend on the
    normaliser, which therefore needs no gradient. Source: Karras et al., arXiv 1912.04958, equation 3.
    """
    peak = style.detach().abs().amax(1, keepdim=True).clamp_min(1e-20)
    unit = style / peak
    ratio = peak * norm
    return unit, GAIN * ratio * (ratio.square() * (unit.square() @ energy) + EPS).rsqrt()
