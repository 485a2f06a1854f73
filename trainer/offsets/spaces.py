"""The spaces of offsets: initial tensors, parameters of a fit, and the styles under an offset.

`SPACES` is the table of all spaces; sgi.engine.offset_tensors defines the meaning of the tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sgi.engine.errors import UserError
from sgi.engine.generator import GeneratorConfig
from sgi.engine.generator.offset_styles import shifted_styles
from sgi.engine.generator.synthesis import Synthesis
from sgi.engine.offset_tensors import ROWS, lora_keys, style_key
from sgi.trainer.offsets.parameters import Parameters, Tensors, raw_parameters, style_parameters

DEFAULT_RANK = 4
_DOWN_SEED = 0


@dataclass(frozen=True)
class Space:
    """One space of offsets.

    lr: default learning rate, in the units of `parameters`. start: (config, rank, from_layer) -> the tensors of
    `zeros`. parameters: (synthesis, w+ of a pool, those tensors, from_layer) -> the parameters of a fit. ranked,
    layered: whether the space supports `rank` and `from_layer`. preconditioned: whether a fit computes preconditioners;
    with lora, whose styles are a product of two tensors, preconditioned fits diverge.
    """

    lr: float
    start: Callable[[GeneratorConfig, int, int], dict[str, Tensor]]
    parameters: Callable[[Synthesis, Tensor, Tensors, int], Parameters] = raw_parameters
    ranked: bool = False
    layered: bool = True
    preconditioned: bool = True

    def zeros(self, config: GeneratorConfig, rank: int | None = None, from_layer: int = 0) -> dict[str, Tensor]:
        """Return initial tensors, which leave the styles unchanged, on the CPU; the names are those of the offset file.

        rank: of lora's updates, None for 4. from_layer: the first row of w+ that may change; layers that read earlier
        rows stay unchanged. Raises UserError, naming `from_layer`, for a row that the generator does not have.
        """
        check_row(config, from_layer)
        return self.start(config, rank or DEFAULT_RANK, from_layer)

    def styles(self, synthesis: Synthesis, ws: Tensor, tensors: Tensors) -> list[Tensor]:
        """Return the styles of every layer, each [N, I] float32, of ws [N, num_ws, w_dim] with the tensors added."""
        return shifted_styles(synthesis, ws, tensors)


def check_row(config: GeneratorConfig, from_layer: int) -> None:
    """Raise UserError, naming `from_layer`, for a row of w+ that the generator does not have."""
    if not 0 <= from_layer < config.num_ws:
        raise UserError(f"`from_layer={from_layer}`: the generator has rows 0 to {config.num_ws - 1}")


def _row(config: GeneratorConfig, rank: int, from_layer: int) -> dict[str, Tensor]:
    return {ROWS: torch.zeros(1, config.w_dim)}


def _rows(config: GeneratorConfig, rank: int, from_layer: int) -> dict[str, Tensor]:
    return {ROWS: torch.zeros(config.num_ws, config.w_dim)}


def _styles(config: GeneratorConfig, rank: int, from_layer: int) -> dict[str, Tensor]:
    return {style_key(s.name): torch.zeros(s.inputs) for s in config.styled_layers() if s.row >= from_layer}


def _lora(config: GeneratorConfig, rank: int, from_layer: int) -> dict[str, Tensor]:
    # Up is zero, so that styles are unchanged. If down were zero too, both gradients would be (Hu et al., 2106.09685).
    draw = torch.Generator().manual_seed(_DOWN_SEED)
    tensors = {}
    for layer in config.styled_layers():
        if layer.row >= from_layer:
            keys = lora_keys(layer.name)
            tensors[keys.down] = torch.randn(rank, config.w_dim, generator=draw) / math.sqrt(config.w_dim)
            tensors[keys.up] = torch.zeros(layer.inputs, rank)
            tensors[keys.bias] = torch.zeros(layer.inputs)
    return tensors


# Learning rates: docs/experiments.md, "Learning rates of the spaces". w+ has that of style, because its parameters are
# styles.
SPACES: dict[str, Space] = {
    "w": Space(0.2, _row, layered=False),
    "w+": Space(0.1, _rows, style_parameters),
    "style": Space(0.1, _styles),
    "lora": Space(0.03, _lora, ranked=True, preconditioned=False),
}


def get_space(name: str) -> Space:
    """Return the space of that name; raises UserError, naming `space`, for an unknown one."""
    try:
        return SPACES[name]
    except KeyError:
        raise UserError(f"`space={name}`: choose from {', '.join(SPACES)}") from None


def random_like(tensors: Tensors, seed: int) -> dict[str, Tensor]:
    """Return tensors of random direction whose rows (last axis) have the norms of the given ones, on the CPU."""
    generator = torch.Generator().manual_seed(seed)
    drawn = {}
    for name, tensor in sorted(tensors.items()):
        noise = torch.randn(tensor.shape, generator=generator)
        drawn[name] = noise * (tensor.cpu().norm(dim=-1, keepdim=True) / noise.norm(dim=-1, keepdim=True))
    return drawn
