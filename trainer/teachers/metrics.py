"""How far predicted maps are from true ones: the measures reports quote, as functions of codes.

Everything takes codes [N, C, H, W] in [0, 1] (sgi.engine.intrinsics) and returns Python floats or tensors.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

DEPTH_FLOOR = 0.01
"""Relative errors of depths below this are taken relative to it; it is 6 cm in the bundled world."""


def rmse(predicted: Tensor, truth: Tensor) -> float:
    """Root of the mean square difference."""
    return (predicted - truth).double().square().mean().sqrt().item()


def scale_shift(predicted: Tensor, truth: Tensor) -> Tensor:
    """`predicted` [N, 1, H, W], scaled and shifted per picture to the least square difference from `truth`.

    MiDaS (Ranftl et al., arXiv 1907.01341), equations 2 to 4. A flat prediction becomes the truth's mean.
    """
    p, t = predicted.flatten(1).double(), truth.flatten(1).double()
    p_mean, t_mean = p.mean(1, keepdim=True), t.mean(1, keepdim=True)
    variance = (p - p_mean).square().sum(1, keepdim=True)
    covariance = ((p - p_mean) * (t - t_mean)).sum(1, keepdim=True)
    scale = torch.where(variance > 1e-9, covariance / variance.clamp_min(1e-9), 0.0)
    return (t_mean + scale * (p - p_mean)).reshape(truth.shape).to(truth.dtype)


def absolute_relative(predicted: Tensor, truth: Tensor) -> float:
    """Mean of |predicted - truth| / truth over depths (values, not codes)."""
    return ((predicted - truth).abs() / truth.clamp_min(DEPTH_FLOOR)).double().mean().item()


def angles(predicted: Tensor, truth: Tensor) -> Tensor:
    """Degrees between two maps of normals, codes [N, 3, H, W]: [N, H, W]; neither need be of unit length."""
    p, t = (F.normalize(code.double() * 2 - 1, dim=1) for code in (predicted, truth))
    # atan2 keeps its precision near 0 degrees, where acos loses half of the digits.
    return torch.rad2deg(torch.atan2(torch.linalg.cross(p, t, dim=1).norm(dim=1), (p * t).sum(1)))


def mean_iou(predicted: Tensor, truth: Tensor, classes: int) -> float:
    """Mean over the classes that occur in either of intersection over union; labels [N, H, W], integers."""
    pairs = truth.long().flatten() * classes + predicted.long().flatten()
    confusion = torch.bincount(pairs, minlength=classes * classes).reshape(classes, classes).double()
    hit = confusion.diagonal()
    union = confusion.sum(0) + confusion.sum(1) - hit
    return (hit[union > 0] / union[union > 0]).mean().item()


def type_errors(name: str, predicted: Tensor, truth: Tensor) -> dict[str, float]:
    """The measures of one type: codes [N, C, H, W] in [0, 1] both.

    depth: rmse, scale-shift rmse and absolute relative error after scale and shift, of depth values.
    normal: mean and median angle in degrees. Any other type: rmse of the codes.
    """
    if name == "depth":
        depth, true_depth = 1 - predicted, 1 - truth
        aligned = scale_shift(depth, true_depth)
        return {
            "depth_rmse": rmse(depth, true_depth),
            "depth_scale_shift_rmse": rmse(aligned, true_depth),
            "depth_scale_shift_abs_rel": absolute_relative(aligned, true_depth),
        }
    if name == "normal":
        degrees = angles(predicted, truth)
        return {"normal_mean_deg": degrees.mean().item(), "normal_median_deg": degrees.median().item()}
    return {f"{name}_rmse": rmse(predicted, truth)}


def all_errors(predicted: Mapping[str, Tensor], truth: Mapping[str, Tensor]) -> dict[str, float]:
    """`type_errors` of every type in `predicted`, one flat dictionary."""
    return {key: value for name in predicted for key, value in type_errors(name, predicted[name], truth[name]).items()}
