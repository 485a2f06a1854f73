"""The spaces an offset may live in: how its tensors start and how they enter the styles.

A space turns w+ and its tensors into the styles of every layer, the one place where all of them, however
they are parametrised, reach the network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sgi.engine.errors import UserError
from sgi.engine.generator import GeneratorConfig
from sgi.engine.generator.synthesis import Synthesis

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Space:
    """One space.

    zeros: config -> tensors that change nothing, where a fit starts; their names are those of the offset file.
    styles: (synthesis, ws [N, num_ws, w_dim], tensors) -> styles of every layer, each [N, I] float32.
    """

    zeros: Callable[[GeneratorConfig], dict[str, Tensor]]
    styles: Callable[[Synthesis, Tensor, Tensors], list[Tensor]]


def _shifted(synthesis: Synthesis, ws: Tensor, tensors: Tensors) -> list[Tensor]:
    return synthesis.styles(ws + tensors["offset"])


SPACES: dict[str, Space] = {
    "w": Space(lambda config: {"offset": torch.zeros(1, config.w_dim)}, _shifted),
    "w+": Space(lambda config: {"offset": torch.zeros(config.num_ws, config.w_dim)}, _shifted),
}


def get_space(name: str) -> Space:
    """The space of that name; raises UserError if there is none."""
    try:
        return SPACES[name]
    except KeyError:
        raise UserError(f"--space {name}: choose from {', '.join(SPACES)}") from None


def random_like(tensors: Tensors, seed: int) -> dict[str, Tensor]:
    """Tensors of random direction whose rows (last axis) have the norms of the given ones, on the CPU."""
    generator = torch.Generator().manual_seed(seed)
    drawn = {}
    for name, tensor in sorted(tensors.items()):
        noise = torch.randn(tensor.shape, generator=generator)
        drawn[name] = noise * (tensor.cpu().norm(dim=-1, keepdim=True) / noise.norm(dim=-1, keepdim=True))
    return drawn
