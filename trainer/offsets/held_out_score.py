"""Predictions and scores of an offset and of the baselines on held-out pictures.

The measures are those of sgi.trainer.measures.by_type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from sgi.engine.generator import Generator
from sgi.engine.intrinsics import Intrinsic
from sgi.trainer.measures.by_type import figures, fvu, measures_of, statistics
from sgi.trainer.offsets.fitted_baselines import FittedBaselines, PoolBaselines
from sgi.trainer.offsets.pool import RENDER_BATCH, Pool
from sgi.trainer.offsets.readout import clamped_readout
from sgi.trainer.offsets.spaces import get_space, random_like

OFFSET = "offset"
BASELINES = {
    "identity": "d = 0",
    "constant": "constant mean map",
    "global_affine": "affine of colour",
    "pixel_affine": "affine of colour, per pixel",
    "ridge": "ridge on w",
    "random": "random d, equal row norms",
}

Row = dict[str, float]


def score_maps(kind: Intrinsic, prediction: Tensor, target: Tensor, mean: Tensor) -> Row:
    """Return the figures of one prediction, by name of the measure.

    prediction, target: codes [N, C, H, W] float32 in [0, 1]. mean: the mean map [1, C, H, W] of the fitting pictures.
    The figures are those of all measures of the type, and fvu_about_holdout: the FVU about the mean of the held-out
    maps themselves, which is not available to any method.
    """
    measures = measures_of(kind, mean)
    about_holdout = fvu(prediction, target, target.mean(dim=0, keepdim=True))
    return figures(measures, statistics(measures, prediction, target)) | {"fvu_about_holdout": about_holdout}


def predict(generator: Generator, pool: Pool, kind: Intrinsic, space: str, tensors: Mapping[str, Tensor]) -> Tensor:
    """Return an offset's codes [N, C, R, R] float32 in [0, 1] for the latents of a pool, on the CPU."""
    return predict_latents(generator, pool.ws, pool.sampling.noise_mode, kind, space, tensors)


@torch.no_grad()
def predict_latents(
    generator: Generator, ws: Tensor, noise_mode: str, kind: Intrinsic, space: str, tensors: Mapping[str, Tensor]
) -> Tensor:
    """Return an offset's codes [N, C, R, R] float32 in [0, 1] for any w+ [N, num_ws, w_dim] float32, on the CPU."""
    synthesis, device = generator.synthesis, generator.mapping.w_avg.device
    on_device = {key: tensor.to(device) for key, tensor in tensors.items()}
    parts = []
    for part in ws.split(RENDER_BATCH):
        styles = get_space(space).styles(synthesis, part.to(device), on_device)
        parts.append(clamped_readout(synthesis.render(styles, noise_mode), kind).cpu())
    return torch.cat(parts)


def predictions(
    generator: Generator,
    kind: Intrinsic,
    space: str,
    tensors: Mapping[str, Tensor],
    fitting: Pool | FittedBaselines,
    held: Pool,
    seed: int = 0,
) -> dict[str, Callable[[], Tensor]]:
    """Return functions that compute predictions for `held`: codes [N, C, R, R] in [0, 1].

    They are by row: the offset first, then every one of BASELINES. fitting: the baselines, or the pictures to fit each
    of them on when it is called. seed: of the random offset.
    """
    base = _baselines_of(fitting, kind)
    pictures = held.images.float()
    zeros = {key: torch.zeros_like(tensor) for key, tensor in tensors.items()}
    made = {
        OFFSET: lambda: predict(generator, held, kind, space, tensors),
        "identity": lambda: predict(generator, held, kind, space, zeros),
        "constant": lambda: base.mean.expand(len(held), -1, -1, -1),
        "global_affine": lambda: base.global_affine(pictures),
        "pixel_affine": lambda: base.pixel_affine(pictures),
        "ridge": lambda: base.ridge(held.ws[:, -1]),
        "random": lambda: predict(generator, held, kind, space, random_like(tensors, seed)),
    }
    return {row: lambda make=make: make().clamp(0, 1) for row, make in made.items()}  # type: ignore[misc]


def evaluate(
    generator: Generator,
    kind: Intrinsic,
    space: str,
    tensors: Mapping[str, Tensor],
    fitting: Pool | FittedBaselines,
    held: Pool,
    seed: int = 0,
) -> dict[str, Row]:
    """Return rows of figures on `held`: the offset first, then every one of BASELINES.

    fitting: the baselines, or the pictures to fit them on. seed: of the random offset. Raises UserError when
    the maps do not vary.
    """
    target, mean = held.codes[kind.name].float(), _baselines_of(fitting, kind).mean
    made = predictions(generator, kind, space, tensors, fitting, held, seed)
    return {row: score_maps(kind, make(), target, mean) for row, make in made.items()}


def _baselines_of(fitting: Pool | FittedBaselines, kind: Intrinsic) -> FittedBaselines | PoolBaselines:
    return fitting if isinstance(fitting, FittedBaselines) else PoolBaselines(fitting, kind.name)


def best_baseline(rows: Mapping[str, Row]) -> str:
    """Return the name of the baseline with the lowest FVU."""
    return min((row for row in rows if row != OFFSET), key=lambda row: rows[row]["fvu"])
