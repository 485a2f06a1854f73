"""Display codes (sgi.engine.intrinsics) from the outputs of models: depth, normals, albedo and shading.

All tensors are float32. For classes see sgi.trainer.teachers.classes. The texts of this module are part of the hashes
of teachers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sgi.engine import intrinsics
from sgi.engine.intrinsics import SHADING_MAX, Intrinsic
from sgi.trainer.scenes.srgb import srgb_encode

TAIL = 0.02
DISPARITY = (
    f"inverse depth of unknown scale and shift, stretched from the {TAIL:.0%} to the {1 - TAIL:.0%} quantile of each "
    "picture: the order of distances, not their ratios"
)
RELATIVE = (
    f"depth of unknown scale and shift, stretched from the {TAIL:.0%} to the {1 - TAIL:.0%} quantile of each picture"
)
# Least linear light before the sRGB encoding, whose power has no gradient at 0.
_BLACK = 1e-6


def metric_description(far: float) -> str:
    """The text that describes `metric_codes` in names and notes of teachers."""
    return f"depth in metres over {far:g} m, beyond which everything is far"


def disparity_codes(disparity: Tensor) -> Tensor:
    """Depth codes of inverse depth [N, 1, H, W], large where near; see `DISPARITY`."""
    return _stretch(disparity)


def relative_codes(depth: Tensor) -> Tensor:
    """Depth codes of depth [N, 1, H, W] of unknown scale and shift, large where far; see `RELATIVE`."""
    return 1 - _stretch(depth)


def metric_codes(depth: Tensor, far: float) -> Tensor:
    """Depth codes of depth [N, 1, H, W] in the unit of `far`, the distance whose value is 1."""
    return 1 - depth / far


def normal_codes(normal: Tensor) -> Tensor:
    """Codes of normals [N, 3, H, W] of any length: +X right, +Y up, +Z to the viewer."""
    return F.normalize(normal, dim=1, eps=1e-6) * 0.5 + 0.5


def linear_codes(value: Tensor, kind: Intrinsic) -> Tensor:
    """Codes of values [N, C, H, W] of a type of the decoding `linear`."""
    return srgb_encode(((value - kind.low) / (kind.high - kind.low)).clamp_min(_BLACK))


def albedo_codes(albedo: Tensor) -> Tensor:
    """Codes [N, 3, H, W] in [0, 1] of linear reflectance [N, 3, H, W] in [0, 1]."""
    return srgb_encode(albedo.clamp_min(_BLACK))


def shading_codes(shading: Tensor) -> Tensor:
    """Codes [N, 1, H, W] in [0, 1] of linear shading [N, 1, H, W] in [0, SHADING_MAX]."""
    return srgb_encode((shading / SHADING_MAX).clamp_min(_BLACK))


def _stretch(values: Tensor) -> Tensor:
    """Values [N, 1, H, W] scaled so that the TAIL and 1 - TAIL quantiles of each picture are 0 and 1; not clamped."""
    levels = torch.tensor([TAIL, 1 - TAIL], device=values.device, dtype=values.dtype)
    low, high = torch.quantile(values.flatten(1), levels, dim=1)[..., None, None, None]
    return (values - low) / (high - low).clamp_min(1e-6 * high.abs().clamp_min(1e-6))


def mirror(name: str, code: Tensor) -> Tensor:
    """The codes [..., C, H, W] of a map for the mirrored picture: flipped left to right, x of directions negated."""
    flipped, kind = code.flip(-1), intrinsics.find(name)
    if kind is not None and kind.decoding == "unit":
        flipped = torch.cat([1 - flipped[..., :1, :, :], flipped[..., 1:, :, :]], dim=-3)
    return flipped
