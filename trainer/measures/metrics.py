"""Errors of predicted maps against true ones, picture by picture.

Arguments are codes [N, C, H, W] in [0, 1] (sgi.engine.intrinsics) unless a docstring says values. Results are per
picture, so that sgi.trainer.measures.by_type can average and resample over pictures.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

DEPTH_FLOOR = 0.01
"""Least depth that a relative error is divided by; it is 6 cm in the bundled rooms."""

HIGH_PASS_SIZE = 9
LMSE_SHARE = 0.1
"""Side of a window of the local error, as a share of the picture's."""

_SPLIT = 32  # number of pictures whose windows are in memory at a time


def per_picture(values: Tensor) -> Tensor:
    """Return the means [N] float64 of [N, ...]."""
    return values.flatten(1).mean(dim=1, dtype=torch.float64)


def squared_error(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return the mean square difference of each picture, [N] float64; shapes may broadcast."""
    return per_picture((predicted - truth).square())


def high_pass(maps: Tensor) -> Tensor:
    """Return maps [N, C, H, W] minus their 9x9 box blur; at the border the box is cut to the picture."""
    blurred = F.avg_pool2d(maps, HIGH_PASS_SIZE, stride=1, padding=HIGH_PASS_SIZE // 2, count_include_pad=False)
    return maps - blurred


def scale_shift(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return `predicted` [N, 1, H, W], scaled and shifted per picture to the least square difference from `truth`.

    MiDaS (Ranftl et al., arXiv 1907.01341), equations 2 to 4. A flat prediction becomes the truth's mean.
    """
    p, t = predicted.flatten(1).double(), truth.flatten(1).double()
    p_mean, t_mean = p.mean(1, keepdim=True), t.mean(1, keepdim=True)
    variance = (p - p_mean).square().sum(1, keepdim=True)
    covariance = ((p - p_mean) * (t - t_mean)).sum(1, keepdim=True)
    scale = torch.where(variance > 1e-9, covariance / variance.clamp_min(1e-9), 0.0)
    return (t_mean + scale * (p - p_mean)).reshape(truth.shape).to(truth.dtype)


def absolute_relative(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return |predicted - truth| / truth of depths (values, not codes), elementwise."""
    return (predicted - truth).abs() / truth.clamp_min(DEPTH_FLOOR)


def within_ratio(predicted: Tensor, truth: Tensor, ratio: float = 1.25) -> Tensor:
    """Return 1 where depths (values) differ by less than a factor, else 0: delta1 of Eigen et al., arXiv 1406.2283."""
    p, t = predicted.clamp_min(DEPTH_FLOOR), truth.clamp_min(DEPTH_FLOOR)
    return (torch.maximum(p / t, t / p) < ratio).float()


def angles(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return angles [N, H, W] in degrees between normals, codes [N, 3, H, W], which need not be of unit length."""
    p, t = (F.normalize(code.double() * 2 - 1, dim=1) for code in (predicted, truth))
    # atan2 is precise near 0 degrees, where acos loses half of the digits.
    return torch.rad2deg(torch.atan2(torch.linalg.cross(p, t, dim=1).norm(dim=1), (p * t).sum(1)))


def scale_invariant_error(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return the mean square difference [N] of values after the best scale of each picture, shared by its channels."""
    count = truth[0].numel()
    return _scaled_residue(predicted.flatten(1), truth.flatten(1)) / count


def local_error(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return LMSE [N] of values: the residual energy after the best scale per window, divided by the truth's energy.

    It is 0 for a perfect and 1 for a black prediction.

    Grosse et al., ICCV 2009, section 5. Windows have a tenth of the picture's side and are half a window apart (Chen
    and Koltun, ICCV 2013, section 5).
    """
    side = max(2, round(LMSE_SHARE * truth.shape[-1]))
    parts = []
    for p, t in zip(predicted.split(_SPLIT), truth.split(_SPLIT), strict=True):
        windows = [F.unfold(x, side, stride=max(1, side // 2)).transpose(1, 2) for x in (p, t)]  # [n, windows, entries]
        residue = _scaled_residue(*windows).sum(1)
        parts.append(residue / windows[1].double().square().sum(dim=(1, 2)).clamp_min(1e-12))
    return torch.cat(parts)


def confusion(predicted: Tensor, truth: Tensor, classes: int) -> Tensor:
    """Return counts [N, classes, classes] float64 of pixels by true and predicted class; labels [N, H, W] integers."""
    pairs = truth.long().flatten(1) * classes + predicted.long().flatten(1)
    counts = torch.zeros(len(pairs), classes * classes, dtype=torch.float64)
    counts.scatter_add_(1, pairs.cpu(), torch.ones(pairs.shape, dtype=torch.float64))
    return counts.reshape(-1, classes, classes)


def mean_iou(predicted: Tensor, truth: Tensor, classes: int) -> float:
    """Return the mean intersection over union of the classes that occur in either; labels [N, H, W] integers."""
    return iou_of(confusion(predicted, truth, classes).sum(0)).item()


def iou_of(counts: Tensor) -> Tensor:
    """Return the mean intersection over union [...] of confusion counts [..., K, K] over the classes that occur."""
    hit = counts.diagonal(dim1=-2, dim2=-1)
    union = counts.sum(-2) + counts.sum(-1) - hit
    return torch.where(union > 0, hit / union, torch.nan).nanmean(dim=-1)


def _scaled_residue(p: Tensor, t: Tensor) -> Tensor:
    """Return the square error summed over the last axis, float64, after the best scale of p at each other index."""
    p, t = p.double(), t.double()
    energy = p.square().sum(-1)
    scale = torch.where(energy > 1e-12, (p * t).sum(-1) / energy.clamp_min(1e-12), 0.0)
    return (scale[..., None] * p - t).square().sum(-1)
