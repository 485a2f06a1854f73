"""What a fit makes small: losses by name, and which one each type is fitted with.

A loss is an expression such as `l1`, `cosine+l1` or `l1+0.1*perceptual`: terms of `TERMS`, each with a weight.
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
from sgi.engine.intrinsics import Intrinsic, Kind
from sgi.trainer.losses import perceptual, pixel

Loss = Callable[[Tensor, Tensor], Tensor]
"""(shown, told) -> scalar; both codes [N, C, H, W] float32, `told` in [0, 1], `shown` not clamped."""

CLASS_SHARPNESS = 10.0
_TERM = re.compile(r"(?:(?P<weight>[0-9.]+(?:e-?[0-9]+)?)\*)?(?P<name>[a-z0-9-]+)")


@dataclass(frozen=True)
class Term:
    """A loss of its own or a part of one.

    make: the function for a type, once it `fits` that type; what: the types it fits, in words.
    """

    make: Callable[[Intrinsic], Loss]
    fits: Callable[[Intrinsic], bool] = lambda kind: True
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


def default_loss(kind: Kind) -> str:
    """The loss that a type is fitted with where none is asked for.

    Of 300 steps on the bundled generator's masks of beds, L2 left an FVU of 0.18 (IoU 0.84), Dice with cross-entropy
    0.24 (0.81), cross-entropy and L1 0.25 (0.80); of its segmentations, cross-entropy 0.58 (mean IoU 0.26), L2 0.62
    (0.21), L1 0.76 (0.20). L1 rewards the map that is empty where a map mostly is. Of smooth maps, after 1200 steps on
    2000 pictures, seeds for choosing: Huber normals 0.478 and 13.4 degrees, shading 0.211; L1 0.537 and 13.8, 0.218; of
    depth after 1600 on 5000: Huber 0.263, L2 0.266, L1 0.271. Of normals after 800, coarse layers at rest at first:
    with the cosine 0.389 and 12.8 degrees, Huber alone 0.449 and 13.6.
    """
    intrinsic = intrinsics.get(kind)
    if intrinsic.decoding == "palette":
        return "ce"
    if intrinsic.decoding == "unit":
        return "cosine+huber"
    return "l2" if intrinsic.is_mask or intrinsic.name == "edges" else "huber"


def get_loss(loss: str | None, kind: Kind) -> Loss:
    """The loss that an expression (None: the type's own) means for a type.

    Raises UserError for an unknown term, one that makes no sense for the type, and one that something is missing for.
    """
    kind = intrinsics.get(kind)
    parts = [_term(part, kind) for part in (loss or default_loss(kind)).split("+")]

    def total(prediction: Tensor, target: Tensor) -> Tensor:
        return torch.stack([weight * term(prediction, target) for weight, term in parts]).sum()

    return total


def _term(text: str, kind: Intrinsic) -> tuple[float, Loss]:
    match = _TERM.fullmatch(text.strip())
    if match is None or match["name"] not in TERMS:
        raise UserError(f"--loss {text}: choose from {', '.join(TERMS)}, or add some up as in cosine+l1 and l1+0.1*ssi")
    term, name = TERMS[match["name"]], match["name"]
    try:
        weight = float(match["weight"] or 1)
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and weight > 0):
        raise UserError(f"--loss {text}: the weight is no positive number")
    if not term.fits(kind):
        raise UserError(f"--loss {name} is for {term.what}; choose another loss for --type {kind.name}")
    return weight, term.make(kind)


def check_finite(value: Tensor, step: int) -> float:
    """The loss as a float; raises UserError, naming --lr, when the fit has diverged."""
    if not torch.isfinite(value):
        raise UserError(f"the loss is not finite at step {step}: pass a smaller --lr")
    return value.item()
