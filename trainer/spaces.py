"""The spaces a fit may search: how their tensors start, how far a step may go, and how they enter the styles.

One table holds what each space needs; what the tensors mean is in sgi.engine.spaces.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sgi.engine.errors import UserError
from sgi.engine.generator import GeneratorConfig
from sgi.engine.generator.spaces import moved_styles
from sgi.engine.generator.synthesis import Synthesis
from sgi.engine.spaces import ROWS, lora_keys, style_key

Tensors = Mapping[str, Tensor]
DEFAULT_RANK = 4
_DOWN_SEED = 0
UNIT_PICTURES = 256


@dataclass(frozen=True)
class Space:
    """One space.

    lr: default learning rate, in the units of `learning_units`. start: (config, rank, from_layer) -> the tensors of
    `zeros`. ranked, layered: whether rank and from_layer mean anything in it.
    """

    lr: float
    start: Callable[[GeneratorConfig, int, int], dict[str, Tensor]]
    ranked: bool = False
    layered: bool = True

    def zeros(self, config: GeneratorConfig, rank: int | None = None, from_layer: int = 0) -> dict[str, Tensor]:
        """Tensors that change nothing, where a fit starts, on the CPU; their names are those of the offset file.

        rank: of lora's updates, None for 4. from_layer: rows of w+ below it, or layers that they feed, stay
        untouched. Raises what `check_row` raises.
        """
        check_row(config, from_layer)
        return self.start(config, rank or DEFAULT_RANK, from_layer)

    def styles(self, synthesis: Synthesis, ws: Tensor, tensors: Tensors) -> list[Tensor]:
        """Styles of every layer, each [N, I] float32, of ws [N, num_ws, w_dim] under the tensors."""
        return moved_styles(synthesis, ws, tensors)


def check_row(config: GeneratorConfig, from_layer: int) -> None:
    """Raise UserError, naming --from-layer, for a row of w+ that the generator does not have."""
    if not 0 <= from_layer < config.num_ws:
        raise UserError(f"--from-layer {from_layer}: the generator has rows 0 to {config.num_ws - 1}")


def _row(config: GeneratorConfig, rank: int, from_layer: int) -> dict[str, Tensor]:
    return {ROWS: torch.zeros(1, config.w_dim)}


def _rows(config: GeneratorConfig, rank: int, from_layer: int) -> dict[str, Tensor]:
    return {ROWS: torch.zeros(config.num_ws, config.w_dim)}


def _styles(config: GeneratorConfig, rank: int, from_layer: int) -> dict[str, Tensor]:
    return {style_key(s.name): torch.zeros(s.inputs) for s in config.styled_layers() if s.row >= from_layer}


def _lora(config: GeneratorConfig, rank: int, from_layer: int) -> dict[str, Tensor]:
    # Up is zero, so nothing changes; down is not, or neither would have a gradient (Hu et al., arXiv 2106.09685).
    draw = torch.Generator().manual_seed(_DOWN_SEED)
    tensors = {}
    for layer in config.styled_layers():
        if layer.row >= from_layer:
            keys = lora_keys(layer.name)
            tensors[keys.down] = torch.randn(rank, config.w_dim, generator=draw) / math.sqrt(config.w_dim)
            tensors[keys.up] = torch.zeros(layer.inputs, rank)
            tensors[keys.bias] = torch.zeros(layer.inputs)
    return tensors


SPACES: dict[str, Space] = {
    "w": Space(0.2, _row, layered=False),
    "w+": Space(0.2, _rows),
    "style": Space(0.1, _styles),
    "lora": Space(0.03, _lora, ranked=True),
}


def get_space(name: str) -> Space:
    """The space of that name; raises UserError if there is none."""
    try:
        return SPACES[name]
    except KeyError:
        raise UserError(f"--space {name}: choose from {', '.join(SPACES)}") from None


@torch.no_grad()
def learning_units(synthesis: Synthesis, ws: Tensor, tensors: Tensors) -> dict[str, float]:
    """The size of a step of 1 for each tensor: the root mean square of what it is added to, over w+ of a pool.

    For rows that is w+ itself, for the rest the layer's style; lora's down, which multiplies w, has the size it
    starts from.
    """
    units = dict.fromkeys(tensors, rms(ws))
    device = next(synthesis.parameters()).device
    for layer, style in zip(synthesis.styled_layers(), synthesis.styles(ws[:UNIT_PICTURES].to(device)), strict=True):
        keys = lora_keys(layer.name)
        own = dict.fromkeys((style_key(layer.name), keys.up, keys.bias), rms(style))
        own[keys.down] = 1 / math.sqrt(ws.shape[-1])
        units |= {key: unit for key, unit in own.items() if key in tensors}
    return units


def rms(values: Tensor) -> float:
    """Root mean square of the entries."""
    return values.square().mean().sqrt().item()


def freeze_rows(tensors: Tensors, from_layer: int) -> None:
    """Keep the first rows of w+ where they are: their gradient is nothing, and so is what Adam makes of it."""
    if from_layer and ROWS in tensors:
        mask = torch.ones_like(tensors[ROWS])
        mask[:from_layer] = 0
        tensors[ROWS].register_hook(lambda gradient: gradient * mask)


def random_like(tensors: Tensors, seed: int) -> dict[str, Tensor]:
    """Tensors of random direction whose rows (last axis) have the norms of the given ones, on the CPU."""
    generator = torch.Generator().manual_seed(seed)
    drawn = {}
    for name, tensor in sorted(tensors.items()):
        noise = torch.randn(tensor.shape, generator=generator)
        drawn[name] = noise * (tensor.cpu().norm(dim=-1, keepdim=True) / noise.norm(dim=-1, keepdim=True))
    return drawn
