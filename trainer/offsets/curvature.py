"""Coordinates in which an equal step changes the map equally, from the curvature of a fit where it stands.

Once an offset shows a map, some of its directions move that map a thousand times more than others, and Adam creeps
along the rest. With the Gauss-Newton matrix H = E[J^T J] of the shown codes (Martens, arXiv 1412.1193, section 8), a
step of length 1 in coordinates y, d = base + H^(-1/2) y, is a root mean square change of the codes by 1. H is taken
row by row (the last axis of a tensor) and estimated from random signs v, for which E[(J^T v)(J^T v)^T] = J^T J.

Rooms of the bundled kind, depth, seeds for choosing. L1 loss, 2000 pictures, one matrix for all rows, damping 0.01: FVU
0.276 after 1600 steps, 0.301 without. Huber loss, 600 steps: 0.299 row by row at damping 0.01, 0.298 at 0.1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sgi.trainer.offsets.parameters import Tensors

MOVES = (200, 600, 1800)
"""Steps after which a fit moves to new coordinates: the map must have appeared, and changes ever less after that."""
SETTLED = 0.75
"""Share of a fit after which it keeps its coordinates: too few steps are left to pay for others."""
RATE = 4e-4
"""Adam's rate in coordinates of the map, at the full rate of a fit."""
PROBES = 500
# Of the mean eigenvalue: directions that hardly move the map stay short.
DAMPING = 1e-1


def moves_at(step: int, steps: int) -> bool:
    """Tell whether a fit of `steps` steps changes its coordinates before step number `step`."""
    return step in MOVES and step < SETTLED * steps


@dataclass(frozen=True)
class Chart:
    """Coordinates around a point.

    base: the tensors at y = 0. roots: by their names [rows, K, K] float32, symmetric, what a step in y means for a
    row; tensors of one axis have one row.
    """

    base: dict[str, Tensor]
    roots: dict[str, Tensor]

    def leaves(self, moved: Tensors) -> dict[str, Tensor]:
        """The tensors that coordinates y, of the same names and shapes, stand for; differentiable."""
        return {
            key: base + torch.einsum("rkj,rj->rk", self.roots[key], _rows(moved[key])).view_as(base)
            for key, base in self.base.items()
        }


def chart(show: Callable[[Tensors, Tensor], Tensor], leaves: Tensors, pictures: int, seed: int) -> Chart:
    """The chart of a fit at `leaves`.

    show: (leaves, indices [n] int64 of pictures) -> shown codes [n, C, H, W], differentiable. pictures: how many
    there are. seed: of the probes; the same chart comes of the same arguments on one device.
    """
    draw = torch.Generator().manual_seed(seed)
    base = {key: leaf.detach() for key, leaf in leaves.items()}
    curvature = {key: torch.zeros(*_rows(leaf).shape, leaf.shape[-1]).to(leaf) for key, leaf in base.items()}
    for _ in range(PROBES):
        index = torch.randint(pictures, (1,), generator=draw)
        points = {key: leaf.clone().requires_grad_() for key, leaf in base.items()}
        codes = show(points, index)
        signs = torch.randint(2, codes.shape, generator=draw).to(codes) * 2 - 1
        target = torch.autograd.grad((codes * signs).sum() / codes.numel() ** 0.5, list(points.values()))
        for key, gradient in zip(points, target, strict=True):
            rows = _rows(gradient)
            curvature[key] += rows[:, :, None] * rows[:, None, :]
    return Chart(base, {key: _inverse_root(matrices / PROBES) for key, matrices in curvature.items()})


def _rows(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1, tensor.shape[-1])


def _inverse_root(matrices: Tensor) -> Tensor:
    """(H + damping)^(-1/2) of symmetric [rows, K, K]; the damping is the same for all rows of a tensor."""
    values, vectors = torch.linalg.eigh(matrices.double().cpu())
    damped = values.clamp_min(0) + DAMPING * values.mean().clamp_min(1e-30)
    return ((vectors * damped.rsqrt()[:, None, :]) @ vectors.mT).to(matrices)
