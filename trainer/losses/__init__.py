"""Losses of fits by name, and the default loss of each type.

A loss is an expression such as `l1`, `cosine+l1` or `l1+0.1*perceptual`: a sum of terms of `TERMS`, each with a weight.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sgi.engine import intrinsics
from sgi.engine.errors import UserError
from sgi.engine.intrinsics import Intrinsic
from sgi.trainer.losses import perceptual, pixel

Loss = Callable[[Tensor, Tensor], Tensor]
"""(prediction, target) -> scalar; both codes [N, C, H, W] float32, targets in [0, 1], predictions not clamped."""

CLASS_SHARPNESS = 10.0
_OF_DECODING = {"palette": "ce", "unit": "cosine+huber"}
_SMOOTH = "huber"
_TERM = re.compile(r"(?:(?P<weight>[0-9.]+(?:e-?[0-9]+)?)\*)?(?P<name>[a-z0-9-]+)")


@dataclass(frozen=True)
class Term:
    """One term of a loss.

    make: returns the loss function for a type. supports: whether the term is defined for a type. what: the supported
    types, for messages.
    """

    make: Callable[[Intrinsic], Loss]
    supports: Callable[[Intrinsic], bool] = lambda kind: True
    what: str = "every type"


def _one_channel(kind: Intrinsic) -> bool:
    return kind.code_channels == 1


def _cross_entropy(kind: Intrinsic) -> Loss:
    colours = torch.tensor(intrinsics.colours(kind), dtype=torch.float32)
    return lambda prediction, target: pixel.cross_entropy(
        prediction, target, colours.to(prediction.device), CLASS_SHARPNESS
    )


def _lpips(kind: Intrinsic) -> Loss:
    perceptual.check_lpips()
    return perceptual.lpips


TERMS: dict[str, Term] = {
    "l1": Term(lambda kind: pixel.l1),
    "l2": Term(lambda kind: pixel.l2),
    "huber": Term(lambda kind: pixel.huber),
    "cosine": Term(lambda kind: pixel.cosine, lambda kind: kind.decoding == "unit", "normals"),
    "ssi": Term(lambda kind: pixel.scale_shift_invariant, _one_channel, "maps of one channel"),
    "bce": Term(lambda kind: pixel.bce, _one_channel, "maps of one channel"),
    "dice": Term(lambda kind: pixel.dice, _one_channel, "maps of one channel"),
    "ce": Term(_cross_entropy, lambda kind: kind.decoding == "palette", "segmentations"),
    "perceptual": Term(lambda kind: perceptual.bundled),
    "lpips": Term(_lpips),
}


def default_loss(kind: Intrinsic) -> str:
    """Return the loss that a type is fitted with by default: that of its row, or else that of its decoding.

    Each is the best measured one. See docs/experiments.md, "Losses".
    """
    return intrinsics.row_of(kind).loss or _OF_DECODING.get(kind.decoding, _SMOOTH)


def get_loss(loss: str | None, kind: Intrinsic) -> Loss:
    """Return the loss function of an expression for a type; None is the default loss of the type.

    Raises UserError, naming `loss`, for an unknown term, a term that is not defined for the type, and a term whose
    packages or weights are not installed.
    """
    parts = [_term(part, kind) for part in (loss or default_loss(kind)).split("+")]

    def total(prediction: Tensor, target: Tensor) -> Tensor:
        return torch.stack([weight * term(prediction, target) for weight, term in parts]).sum()

    return total


def _term(text: str, kind: Intrinsic) -> tuple[float, Loss]:
    match = _TERM.fullmatch(text.strip())
    if match is None or match["name"] not in TERMS:
        raise UserError(f"`loss={text}`: choose from {', '.join(TERMS)}, or a sum such as cosine+l1 or l1+0.1*ssi")
    term, name = TERMS[match["name"]], match["name"]
    try:
        weight = float(match["weight"] or 1)
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and weight > 0):
        raise UserError(f"`loss={text}`: the weight is not a positive number")
    if not term.supports(kind):
        raise UserError(f"`loss={name}` is for {term.what}; choose another loss for `types={kind.name}`")
    return weight, term.make(kind)


def check_finite(value: Tensor, step: int) -> float:
    """Return the loss as a float; raises UserError, naming `lr`, when it is not finite because the fit has diverged."""
    if not torch.isfinite(value):
        raise UserError(f"the loss is not finite at step {step}: pass a smaller `lr`")
    return value.item()
