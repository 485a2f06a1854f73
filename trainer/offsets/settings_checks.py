"""Checks of numbers and of the precision that the settings of fits and searches share."""

from __future__ import annotations

import math

import torch

from sgi.engine.errors import UserError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
"""Types that the generator's convolutions may have while an offset is fitted."""


def check_precision(precision: str) -> None:
    """Raise UserError for a name that is not in PRECISIONS."""
    if precision not in PRECISIONS:
        raise UserError(f"`precision={precision}`: choose from {', '.join(PRECISIONS)}")


def check_counts(settings: object, *names: str) -> None:
    """Raise UserError if one of these attributes is less than 1."""
    for name in names:
        if getattr(settings, name) < 1:
            raise UserError(f"`{name}={getattr(settings, name)}`: must be at least 1")


def check_weights(settings: object, *names: str) -> None:
    """Raise UserError if one of these attributes is negative, infinite or NaN."""
    for name in names:
        value = getattr(settings, name)
        if not math.isfinite(value) or value < 0:
            raise UserError(f"`{name}={value}`: must be a number of at least 0")
