"""What Adam moves in a fit, how far a step of 1 goes, and how an offset's tensors come out of it.

Adam steps as far along every coordinate, so the choice of coordinates matters. The affine layers stretch some
directions of w a thousand times more than others: in w itself those others hardly move. So a row of w+ is sought by
the styles it should make, each in units of its layer's, and is the row that makes them with the least error (ridge).
Bundled rooms, 1000 pictures, seeds for choosing: FVU 0.43 instead of 0.47 for depth after 600 steps, 0.070 instead of
0.073 for albedo after 400.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from sgi.engine.generator.synthesis import Synthesis
from sgi.engine.offset_tensors import ROWS, lora_keys, style_key

Tensors = Mapping[str, Tensor]
UNIT_PICTURES = 256
# Of the mean squared singular value of a row's matrices: directions that move no style stay short.
RIDGE = 1e-2
FINE_ROW = 4
"""The first row of w+ that no layer below 16 px reads: it styles the second convolution of 16 px.

Resting the rows before row 3, 4, 6 at first, as `Descent` does, left 0.410, 0.389, 0.430 of normals (800 steps).
"""


@dataclass(frozen=True)
class Parameters:
    """The coordinates of a fit.

    leaves: the tensors Adam moves, zero or where the space starts. units: how far a step of 1 moves each of them.
    unfold: leaves -> tensors of the offset, differentiable. coarse: how many of a leaf's first rows stand
    for rows of w+ before `FINE_ROW` or the styles that those feed; a leaf of one axis is one row.
    """

    leaves: dict[str, Tensor]
    units: dict[str, float]
    unfold: Callable[[Tensors], dict[str, Tensor]]
    coarse: dict[str, int]


@torch.no_grad()
def as_they_are(synthesis: Synthesis, ws: Tensor, start: Tensors, from_layer: int) -> Parameters:
    """The tensors themselves, in units of the root mean square of what they are added to, over w+ of a pool.

    For a row that is w+ itself, for the rest the layer's style; lora's down, which multiplies w, has the size it
    starts from.
    """
    units = dict.fromkeys(start, rms(ws))
    for name, size in style_sizes(synthesis, ws).items():
        keys = lora_keys(name)
        own = dict.fromkeys((style_key(name), keys.up, keys.bias), size) | {keys.down: 1 / math.sqrt(ws.shape[-1])}
        units |= {key: unit for key, unit in own.items() if key in start}
    device = next(synthesis.parameters()).device
    coarse = {style_key(layer.name): 1 for layer in synthesis.styled_layers() if layer.row < FINE_ROW}
    leaves = {key: tensor.to(device) for key, tensor in start.items()}
    return Parameters(leaves, units, dict, {key: count for key, count in coarse.items() if key in leaves})


@torch.no_grad()
def by_their_styles(synthesis: Synthesis, ws: Tensor, start: Tensors, from_layer: int) -> Parameters:
    """Rows of w+ from `from_layer` on, by the styles they make: leaf [rows, K], K the most styles that a row feeds.

    With M [K, w_dim] the matrices that a row feeds, each over its layer's root mean square style, coordinates e make
    the row M^T (M M^T + ridge)^-1 e.
    """
    sizes = style_sizes(synthesis, ws)
    fed: dict[int, list[Tensor]] = {}
    for layer in synthesis.styled_layers():
        fed.setdefault(layer.row, []).append(layer.module.affine.scaled()[0].double().cpu() / sizes[layer.name])
    solutions = []
    for _, matrices in sorted(fed.items())[from_layer:]:
        matrix = torch.cat(matrices)
        gram = matrix.T @ matrix
        ridge = RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
        solutions.append(torch.linalg.solve(gram + ridge, matrix.T))
    width = max(solution.shape[1] for solution in solutions)
    device = next(synthesis.parameters()).device
    padded = [F.pad(solution, (0, width - solution.shape[1])) for solution in solutions]
    rows_of = torch.stack(padded).float().to(device)  # [rows, w_dim, K]

    def unfold(leaves: Tensors) -> dict[str, Tensor]:
        rows = torch.einsum("rwk,rk->rw", rows_of, leaves[ROWS])
        return {ROWS: F.pad(rows, (0, 0, from_layer, 0))}

    leaves = {ROWS: rows_of.new_zeros(len(rows_of), width)}
    return Parameters(leaves, {ROWS: 1.0}, unfold, {ROWS: max(FINE_ROW - from_layer, 0)})


@torch.no_grad()
def style_sizes(synthesis: Synthesis, ws: Tensor) -> dict[str, float]:
    """Root mean square of every layer's styles over w+ of a pool [N, num_ws, w_dim], by the layer's name."""
    device = next(synthesis.parameters()).device
    styles = synthesis.styles(ws[:UNIT_PICTURES].to(device))
    return {layer.name: rms(style) for layer, style in zip(synthesis.styled_layers(), styles, strict=True)}


def rms(values: Tensor) -> float:
    """Root mean square of the entries."""
    return values.square().mean().sqrt().item()
