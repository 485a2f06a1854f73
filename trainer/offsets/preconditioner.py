"""A preconditioner of a fit: coordinates in which every step of equal length changes the map equally.

Once an offset produces a map, some directions change that map a thousand times more than others, and Adam makes little
progress along the rest. With the Gauss-Newton matrix H = E[J^T J] of the predicted codes (Martens, arXiv 1412.1193,
section 8), a step of length 1 in the coordinates y, d = base + H^(-1/2) y, changes the codes by a root mean square of
1. H is block-diagonal, one block per row (the last axis of a tensor), and is estimated from random signs v, for which
E[(J^T v)(J^T v)^T] = J^T J. See docs/experiments.md, "Preconditioning a fit".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sgi.trainer.offsets.parameters import Tensors

SCHEDULE = (200, 600, 1800)
"""Steps before which a fit computes a preconditioner; the first is after the map has appeared."""
LATEST_SHARE = 0.75
"""Share of a fit after which no preconditioner is computed, because too few steps would use it."""
LEARNING_RATE = 4e-4
"""Adam's learning rate in preconditioned coordinates, at the default rate of the space."""
PROBES = 500
# A share of the mean eigenvalue. It limits the steps along directions that hardly change the map.
DAMPING = 1e-1


def is_due(step: int, steps: int) -> bool:
    """Return whether a fit of `steps` steps computes a new preconditioner before step number `step`."""
    return step in SCHEDULE and step < LATEST_SHARE * steps


@dataclass(frozen=True)
class Preconditioner:
    """A linear change of coordinates around a point.

    base: the tensors at y = 0. roots: by the same names, [rows, K, K] float32, symmetric: the change of a row by a step
    in y. A tensor of one axis has one row.
    """

    base: dict[str, Tensor]
    roots: dict[str, Tensor]

    def leaves(self, coordinates: Tensors) -> dict[str, Tensor]:
        """Return the tensors at coordinates y, of the same names and shapes as `base`; differentiable in y."""
        return {
            key: base + torch.einsum("rkj,rj->rk", self.roots[key], _rows(coordinates[key])).view_as(base)
            for key, base in self.base.items()
        }


def estimate(predict: Callable[[Tensors, Tensor], Tensor], leaves: Tensors, pictures: int, seed: int) -> Preconditioner:
    """Estimate the preconditioner of a fit at `leaves`.

    predict: (leaves, indices [n] int64 of pictures) -> predicted codes [n, C, H, W], differentiable. pictures: number
    of pictures. seed: of the random probes; equal arguments give an equal result on one device.
    """
    draw = torch.Generator().manual_seed(seed)
    base = {key: leaf.detach() for key, leaf in leaves.items()}
    curvature = {key: torch.zeros(*_rows(leaf).shape, leaf.shape[-1]).to(leaf) for key, leaf in base.items()}
    for _ in range(PROBES):
        index = torch.randint(pictures, (1,), generator=draw)
        points = {key: leaf.clone().requires_grad_() for key, leaf in base.items()}
        codes = predict(points, index)
        signs = torch.randint(2, codes.shape, generator=draw).to(codes) * 2 - 1
        gradients = torch.autograd.grad((codes * signs).sum() / codes.numel() ** 0.5, list(points.values()))
        for key, gradient in zip(points, gradients, strict=True):
            rows = _rows(gradient)
            curvature[key] += rows[:, :, None] * rows[:, None, :]
    return Preconditioner(base, {key: _inverse_root(matrices / PROBES) for key, matrices in curvature.items()})


def _rows(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1, tensor.shape[-1])


def _inverse_root(matrices: Tensor) -> Tensor:
    """Return (H + damping)^(-1/2) of symmetric [rows, K, K]; all rows of a tensor have the same damping."""
    values, vectors = torch.linalg.eigh(matrices.double().cpu())
    damped = values.clamp_min(0) + DAMPING * values.mean().clamp_min(1e-30)
    return ((vectors * damped.rsqrt()[:, None, :]) @ vectors.mT).to(matrices)
