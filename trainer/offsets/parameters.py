"""The parameters that Adam optimises in a fit, their units, and the function from them to an offset's tensors.

Adam's steps have equal lengths along all coordinates, so the choice of coordinates matters. The affine layers stretch
some directions of w a thousand times more than others, and a fit in w itself makes little progress along the latter. A
row of w+ is therefore parametrised by the styles it should produce, each divided by the root mean square style of its
layer; the row is the ridge regression solution for these styles. See docs/experiments.md, "Style parameters for w+".
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
# A share of the mean squared singular value of a row's matrices. It limits directions that change no style.
RIDGE = 1e-2
FINE_ROW = 4
"""The first row of w+ that no layer below 16 px reads: it styles the second convolution of 16 px.

`Descent` freezes the rows before it at first. See docs/experiments.md, "Freezing coarse rows".
"""


@dataclass(frozen=True)
class Parameters:
    """The coordinates of a fit.

    leaves: the tensors that Adam optimises, at their initial values. units: by leaf, the change by a step of length 1.
    unfold: leaves -> tensors of the offset, differentiable. coarse: by leaf, the number of its first rows that
    parametrise rows of w+ before `FINE_ROW` or the styles computed from those; a leaf of one axis is one row.
    """

    leaves: dict[str, Tensor]
    units: dict[str, float]
    unfold: Callable[[Tensors], dict[str, Tensor]]
    coarse: dict[str, int]


@torch.no_grad()
def raw_parameters(synthesis: Synthesis, ws: Tensor, start: Tensors, from_layer: int) -> Parameters:
    """Return the tensors `start` themselves as parameters, in units of the root mean square of what they are added to.

    Rows are added to w+, all other tensors to their layer's styles. The down matrix of lora multiplies w; its unit is
    its initial size. ws: w+ of a pool [N, num_ws, w_dim] float32, over which the root mean squares are taken.
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
def style_parameters(synthesis: Synthesis, ws: Tensor, start: Tensors, from_layer: int) -> Parameters:
    """Return parameters of the rows of w+ from `from_layer` on: the styles they produce.

    The leaf is [rows, K] float32, K the largest number of styles computed from one row. With M [K, w_dim] the affine
    matrices of a row's layers, each divided by its layer's root mean square style, coordinates e stand for the row
    M^T (M M^T + ridge)^-1 e.
    """
    sizes = style_sizes(synthesis, ws)
    matrices_of: dict[int, list[Tensor]] = {}
    for layer in synthesis.styled_layers():
        affine = layer.module.affine.scaled()[0].double().cpu() / sizes[layer.name]
        matrices_of.setdefault(layer.row, []).append(affine)
    solutions = []
    for _, matrices in sorted(matrices_of.items())[from_layer:]:
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
    """Return the root mean square of every layer's styles over w+ of a pool [N, num_ws, w_dim], by layer name."""
    device = next(synthesis.parameters()).device
    styles = synthesis.styles(ws[:UNIT_PICTURES].to(device))
    return {layer.name: rms(style) for layer, style in zip(synthesis.styled_layers(), styles, strict=True)}


def rms(values: Tensor) -> float:
    """Return the root mean square of the entries."""
    return values.square().mean().sqrt().item()
