"""Losses between the codes an offset shows and the codes the teacher tells, by name."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from sgi.engine import intrinsics
from sgi.engine.errors import UserError
from sgi.engine.intrinsics import Kind

Loss = Callable[[Tensor, Tensor], Tensor]
"""(shown, told) -> scalar; both codes [N, C, H, W] float32, `told` in [0, 1], `shown` not clamped."""

HUBER_DELTA = 0.1


def l1(shown: Tensor, told: Tensor) -> Tensor:
    """Mean absolute difference."""
    return F.l1_loss(shown, told)


def l2(shown: Tensor, told: Tensor) -> Tensor:
    """Mean square difference."""
    return F.mse_loss(shown, told)


def huber(shown: Tensor, told: Tensor) -> Tensor:
    """Quadratic up to a difference of 0.1, linear beyond, of slope 1 there: L1 with a smooth bottom."""
    return F.huber_loss(shown, told, delta=HUBER_DELTA) / HUBER_DELTA


def cosine_l1(shown: Tensor, told: Tensor) -> Tensor:
    """1 - cosine between normals, plus L1 of their codes; for three-channel codes of vectors, u = (n + 1) / 2."""
    cosine = F.cosine_similarity(shown * 2 - 1, told * 2 - 1, dim=1, eps=1e-6)
    return (1 - cosine).mean() + l1(shown, told)


LOSSES: dict[str, Loss] = {"l1": l1, "l2": l2, "huber": huber, "cosine+l1": cosine_l1}


def default_loss(kind: Kind) -> str:
    """Name of the loss that a type is fitted with where none is asked for."""
    return "l1"


def get_loss(loss: str | None, kind: Kind) -> Loss:
    """The loss of that name (None: the type's own) for a type; raises UserError if it has no such or makes no sense."""
    loss, intrinsic = loss or default_loss(kind), intrinsics.get(kind)
    if loss not in LOSSES:
        raise UserError(f"--loss {loss}: choose from {', '.join(LOSSES)}")
    if loss == "cosine+l1" and intrinsic.decoding != "unit":
        raise UserError(f"--loss {loss} is for --type normal; choose another loss for {intrinsic.name}")
    return LOSSES[loss]


def check_finite(value: Tensor, step: int) -> float:
    """The loss as a float; raises UserError, naming --lr, when the fit has diverged."""
    if not torch.isfinite(value):
        raise UserError(f"the loss is not finite at step {step}: pass a smaller --lr")
    return value.item()
