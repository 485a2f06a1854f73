"""The spread of the maps of one scene under different lights; ideally 0 for every type but shading."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sgi.engine.intrinsics import Intrinsic
from sgi.trainer.measures.by_type import Floats, Measure
from sgi.trainer.measures.metrics import angles, per_picture

SPREAD, RELATIVE = "spread", "relative_spread"


def spread_measures(kind: Intrinsic) -> dict[str, Measure]:
    """Measures of codes [N, K, C, H, W] in [0, 1] of N scenes under K lights; they need no target.

    spread: mean distance of a map from the mean map over the scene's lights, in degrees for normals (StyLitGAN's figure
    11 has radians) and in codes for other types. relative_spread: the variance over lights divided by the variance of
    the scenes' mean maps. The division corrects for blurred maps, whose spread is small because they have less detail.
    """
    distance = _angle_from_mean if kind.decoding == "unit" else _distance_from_mean
    return {
        SPREAD: Measure(
            "spread over lights (codes; normals: degrees)", lambda maps, _: distance(maps), lambda mean: mean[..., 0]
        ),
        RELATIVE: Measure("variance over lights / over scenes", lambda maps, _: _variances(maps), _ratio),
    }


def _distance_from_mean(maps: Tensor) -> Tensor:
    return per_picture((maps - maps.mean(dim=1, keepdim=True)).abs())[:, None]


def _angle_from_mean(maps: Tensor) -> Tensor:
    # The mean of unit vectors has the mean direction; `angles` does not depend on its length.
    mean = maps.mean(dim=1, keepdim=True).expand_as(maps)
    degrees = per_picture(angles(maps.flatten(0, 1), mean.flatten(0, 1)))
    return degrees.unflatten(0, maps.shape[:2]).mean(dim=1, keepdim=True)


def _variances(maps: Tensor) -> Tensor:
    mean = maps.mean(dim=1)
    within = per_picture((maps - mean[:, None]).square())
    between = per_picture((mean - mean.mean(dim=0)).square())
    return torch.stack([within, between], dim=1)


def _ratio(mean: Floats) -> Floats:
    return mean[..., 0] / np.maximum(mean[..., 1], 1e-12)
