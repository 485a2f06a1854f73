"""The measures of each type, as functions of averages over pictures.

A measure computes a few numbers for each picture, its statistics. Its figure is a function of the mean of the
statistics over pictures. Means over resampled pictures determine the interval of the figure
(sgi.trainer.measures.bootstrap). This also works for a median, an intersection over union and a ratio of variances.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sgi.engine import intrinsics
from sgi.engine.errors import UserError
from sgi.engine.intrinsics import Intrinsic
from sgi.trainer.measures import metrics

Floats = NDArray[np.float64]
Statistics = dict[str, NDArray[np.floating]]
"""By name of the measure: [N, K], K numbers for each of N pictures."""

FVU, HIGH_PASS_FVU = "fvu", "fvu_high_pass"
NORMAL_LIMITS = (11.25, 22.5, 30.0)
"""Angles in degrees: the share of pixels below each is reported (Fouhey et al., ICCV 2013)."""
# Targets with a smaller mean square error of the mean map cannot be scored.
_MIN_VARIANCE = 1e-10
# Edges of the histogram of angles for the median, finer where angles are small: bins of 0.05 degrees at 15.
_ANGLE_EDGES = np.linspace(0.0, np.sqrt(180.0), 2049) ** 2

_NO_MEAN = torch.empty(0)


@dataclass(frozen=True)
class Measure:
    """One figure of a type.

    title: its name in tables. statistics: (prediction, target), codes [N, C, H, W] in [0, 1] -> [N, K] per picture.
    figure: means [..., K] over pictures -> figures [...]. higher_is_better: whether a larger figure is better.
    """

    title: str
    statistics: Callable[[Tensor, Tensor], Tensor]
    figure: Callable[[Floats], Floats]
    higher_is_better: bool = False


def variance_measures(mean: Tensor) -> dict[str, Measure]:
    """Return the measures of all types: the fraction of variance unexplained (FVU) of maps and of their details.

    mean: the mean map [1, C, H, W] of the fitting pictures. FVU = MSE of the prediction / MSE of the mean map: 0 is
    perfect, 1 is no better than the mean map. The high-pass FVU is that of the maps minus their 9x9 box blur. It
    measures small structures, which a regression from w does not predict.
    """

    def plain(prediction: Tensor, target: Tensor) -> Tensor:
        return torch.stack([metrics.squared_error(prediction, target), metrics.squared_error(mean, target)], dim=1)

    def high_pass(prediction: Tensor, target: Tensor) -> Tensor:
        prediction, target, reference = (metrics.high_pass(maps) for maps in (prediction, target, mean))
        return torch.stack([metrics.squared_error(prediction, target), metrics.squared_error(reference, target)], dim=1)

    return {FVU: Measure("FVU", plain, _ratio), HIGH_PASS_FVU: Measure("high-pass FVU", high_pass, _ratio)}


def type_measures(kind: Intrinsic) -> dict[str, Measure]:
    """Return the measures of one type: the family of its row, or else that of its decoding; see `FAMILIES`.

    Their names begin with the name of the type.
    """
    family = intrinsics.row_of(kind).measures or _OF_DECODING.get(kind.decoding, "codes")
    return FAMILIES[family](kind)


def measures_of(kind: Intrinsic, mean: Tensor = _NO_MEAN) -> dict[str, Measure]:
    """Return all measures of a type: those of all types, then its own.

    mean: see `variance_measures`. Without it the measures have titles and compute figures, but no statistics.
    """
    return variance_measures(mean) | type_measures(kind)


def statistics(measures: Mapping[str, Measure], prediction: Tensor, target: Tensor) -> Statistics:
    """Return the statistics of each measure; prediction, target: codes [N, C, H, W] float32 in [0, 1]."""
    return {name: measure.statistics(prediction, target).cpu().numpy() for name, measure in measures.items()}


def figures(measures: Mapping[str, Measure], per_picture: Statistics) -> dict[str, float]:
    """Return the figure of each measure over all pictures; per_picture: what `statistics` returns."""
    return {name: float(measure.figure(per_picture[name].mean(axis=0))) for name, measure in measures.items()}


def fvu(prediction: Tensor, target: Tensor, mean: Tensor) -> float:
    """Return the MSE of the prediction over the MSE of the mean map; maps [N, C, H, W], mean [1, C, H, W].

    Raises UserError if the targets do not vary about the mean map.
    """
    measure = variance_measures(mean)[FVU]
    return float(measure.figure(measure.statistics(prediction, target).numpy().mean(axis=0)))


def type_errors(kind: Intrinsic, predicted: Tensor, truth: Tensor) -> dict[str, float]:
    """Return the figures of `type_measures`; predicted, truth: codes [N, C, H, W] in [0, 1]."""
    measures = type_measures(kind)
    return figures(measures, statistics(measures, predicted, truth))


def all_errors(predicted: Mapping[str, Tensor], truth: Mapping[str, Tensor]) -> dict[str, float]:
    """Return `type_errors` of every built-in type in `predicted`, by name of the type, as one flat dictionary."""
    errors: dict[str, float] = {}
    for name, codes in predicted.items():
        errors |= type_errors(intrinsics.get(name), codes, truth[name])
    return errors


def linear(kind: Intrinsic, codes: Tensor) -> Tensor:
    """Return the values [N, channels, H, W] of codes [N, C, H, W] in [0, 1], on the CPU."""
    return torch.from_numpy(np.ascontiguousarray(intrinsics.decode(kind, codes.cpu().numpy())))


def _column(error: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda prediction, target: error(prediction, target)[:, None]


def _first(mean: Floats) -> Floats:
    return mean[..., 0]


def _root(mean: Floats) -> Floats:
    return np.sqrt(mean[..., 0])


def _ratio(mean: Floats) -> Floats:
    if np.any(mean[..., 1] < _MIN_VARIANCE):
        raise UserError("the teacher's maps are the same for every picture, so they cannot be scored")
    return mean[..., 0] / mean[..., 1]


def _square(predicted: Tensor, truth: Tensor) -> Tensor:
    return (predicted - truth).square()


def _codes(kind: Intrinsic) -> dict[str, Measure]:
    return {f"{kind.name}_rmse": Measure("RMSE", _column(metrics.squared_error), _root)}


def _scale_shift(kind: Intrinsic) -> dict[str, Measure]:
    def of(error: Callable[[Tensor, Tensor], Tensor], align: bool) -> Callable[[Tensor, Tensor], Tensor]:
        def measure(prediction: Tensor, target: Tensor) -> Tensor:
            value, truth = linear(kind, prediction), linear(kind, target)
            return metrics.per_picture(error(metrics.scale_shift(value, truth) if align else value, truth))[:, None]

        return measure

    aligned = f"{kind.name}_scale_shift"
    return {
        f"{kind.name}_rmse": Measure("RMSE", of(_square, align=False), _root),
        f"{aligned}_rmse": Measure("RMSE, scale+shift", of(_square, align=True), _root),
        f"{aligned}_abs_rel": Measure("AbsRel, scale+shift", of(metrics.absolute_relative, align=True), _first),
        f"{aligned}_delta1": Measure(
            "delta1, scale+shift", of(metrics.within_ratio, align=True), _first, higher_is_better=True
        ),
    }


def _angle_histogram(degrees: Tensor) -> Tensor:
    """Return the shares [N, bins] of each picture's pixels by angle; degrees: [N, H, W]."""
    bins = torch.bucketize(degrees.flatten(1), torch.from_numpy(_ANGLE_EDGES[1:-1]))
    shares = torch.zeros(len(bins), len(_ANGLE_EDGES) - 1, dtype=torch.float64)
    return shares.scatter_add_(1, bins, torch.full(bins.shape, 1 / bins.shape[1], dtype=torch.float64))


def _median(mean: Floats) -> Floats:
    """Return the median angle of histograms [..., bins], interpolated linearly within a bin."""
    below = np.cumsum(mean, axis=-1)
    at = (below < 0.5).sum(axis=-1)
    inside = np.take_along_axis(mean, at[..., None], axis=-1)[..., 0]
    left = np.take_along_axis(below, at[..., None], axis=-1)[..., 0] - inside
    share = (0.5 - left) / np.maximum(inside, 1e-12)
    return _ANGLE_EDGES[at] + share * (_ANGLE_EDGES[at + 1] - _ANGLE_EDGES[at])


def _angles(kind: Intrinsic) -> dict[str, Measure]:
    name = kind.name
    degrees = _once(metrics.angles)

    def of(error: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda prediction, target: error(degrees(prediction, target))

    def under(limit: float) -> Callable[[Tensor, Tensor], Tensor]:
        return of(lambda angles: metrics.per_picture((angles < limit).float())[:, None])

    measures = {
        f"{name}_mean_deg": Measure("mean deg", of(lambda angles: metrics.per_picture(angles)[:, None]), _first),
        f"{name}_median_deg": Measure("median deg", of(_angle_histogram), _median),
    }
    for limit in NORMAL_LIMITS:
        key = f"{name}_under_{limit:g}".replace(".", "_")
        measures[key] = Measure(f"under {limit:g} deg", under(limit), _first, higher_is_better=True)
    return measures


def _once(error: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the same function with a cache of its last result, because five measures need the same angles."""
    last: list[Tensor] = []

    def cached(prediction: Tensor, target: Tensor) -> Tensor:
        if not (last and last[0] is prediction and last[1] is target):
            last[:] = prediction, target, error(prediction, target)
        return last[2]

    return cached


def _linear(intrinsic: Intrinsic) -> dict[str, Measure]:
    def of(error: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda prediction, target: error(linear(intrinsic, prediction), linear(intrinsic, target))[:, None]

    return _codes(intrinsic) | {
        f"{intrinsic.name}_si_rmse": Measure("RMSE, scale-invariant", of(metrics.scale_invariant_error), _root),
        f"{intrinsic.name}_lmse": Measure("LMSE", of(metrics.local_error), _first),
    }


def _labels(intrinsic: Intrinsic) -> dict[str, Measure]:
    if not intrinsic.classes:
        return _codes(intrinsic)
    count = len(intrinsic.classes)

    def counts(prediction: Tensor, target: Tensor) -> Tensor:
        label, true_label = (linear(intrinsic, codes)[:, 0] for codes in (prediction, target))
        return metrics.confusion(label, true_label, count).flatten(1)

    return _overlaps(intrinsic.name, counts, count, "mIoU")


def _mask(kind: Intrinsic) -> dict[str, Measure]:
    def counts(prediction: Tensor, target: Tensor) -> Tensor:
        inside, true_inside = (codes[:, 0] >= intrinsics.MASK_THRESHOLD for codes in (prediction, target))
        return metrics.confusion(inside, true_inside, 2).flatten(1)

    return _overlaps(kind.name, counts, 2, "IoU")


def _overlaps(name: str, counts: Callable[[Tensor, Tensor], Tensor], classes: int, title: str) -> dict[str, Measure]:
    def square(mean: Floats) -> Tensor:
        return torch.from_numpy(np.asarray(mean, np.float64)).unflatten(-1, (classes, classes))

    def overlap(mean: Floats) -> Floats:
        table = square(mean)
        if classes > 2:
            return metrics.iou_of(table).numpy()
        # Only the IoU of the inside, because the outside covers most of nearly every picture.
        union = table.sum(dim=(-2, -1)) - table[..., 0, 0]
        return torch.where(union > 0, table[..., 1, 1] / union, torch.nan).numpy()

    def accuracy(mean: Floats) -> Floats:
        table = square(mean)
        return (table.diagonal(dim1=-2, dim2=-1).sum(-1) / table.sum(dim=(-2, -1))).numpy()

    key = title.lower()
    return {
        f"{name}_{key}": Measure(title, counts, overlap, higher_is_better=True),
        f"{name}_accuracy": Measure("accuracy", counts, accuracy, higher_is_better=True),
    }


def _moments(prediction: Tensor, target: Tensor) -> Tensor:
    return torch.stack(
        [metrics.per_picture(x) for x in (prediction, target, prediction**2, target**2, prediction * target)], dim=1
    )


def _correlation(mean: Floats) -> Floats:
    x, y, xx, yy, xy = np.moveaxis(mean, -1, 0)
    return (xy - x * y) / np.sqrt(np.maximum((xx - x**2) * (yy - y**2), 1e-24))


def _with_correlation(kind: Intrinsic) -> dict[str, Measure]:
    return _codes(kind) | {f"{kind.name}_correlation": Measure("correlation", _moments, _correlation, True)}


FAMILIES: dict[str, Callable[[Intrinsic], dict[str, Measure]]] = {
    "codes": _codes,
    "scale-shift": _scale_shift,
    "angles": _angles,
    "linear": _linear,
    "labels": _labels,
    "mask": _mask,
    "correlation": _with_correlation,
}
"""Name -> measures of a type.

codes: RMSE of codes. scale-shift: RMSE of values; RMSE, absolute relative error and share within a ratio of 1.25 after
the best scale and shift of each picture. angles: mean and median in degrees, shares under 11.25, 22.5 and 30. linear:
RMSE of codes; scale-invariant RMSE and LMSE of values. labels: mean intersection over union, accuracy. mask:
intersection over union, accuracy. correlation: RMSE and correlation of codes.
"""
_OF_DECODING = {"unit": "angles", "linear": "linear", "palette": "labels"}
