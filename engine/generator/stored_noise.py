"""The noise that a generator stores, drawn again from a seed."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import torch

from sgi.engine.errors import UserError
from sgi.engine.generator.layers import ModulatedConv
from sgi.engine.generator.model import Generator


def with_noise(generator: Generator, noise_seed: int) -> Generator:
    """A copy of a generator whose stored noise is `RandomState(noise_seed).randn(R, R)`, layer after layer.

    The layers are drawn from one stream in the order in which the network runs them. Raises UserError for a generator
    whose noise strengths are all 0.
    """
    layers = [module for module in generator.synthesis.modules() if isinstance(module, ModulatedConv)]
    if not any(bool(layer.noise_strength.any()) for layer in layers):
        raise UserError(
            "`noise_mode=random` has no effect: all noise strengths of the generator are 0; use none or const"
        )
    random = np.random.RandomState(noise_seed)
    copy = deepcopy(generator)
    for name, buffer in copy.named_buffers():
        if name.endswith("noise_const"):
            buffer.copy_(torch.from_numpy(random.randn(*buffer.shape)))
    return copy
