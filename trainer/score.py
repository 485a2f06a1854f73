"""How good an offset is on held-out seeds, beside what does without one.

The measure that all types share is the fraction of variance unexplained: FVU = MSE / MSE of the best constant map
(the mean over the fitting pictures), 0 perfect, 1 useless. The high-pass FVU asks the same of the maps minus their
9x9 box blur: whether small things are in place, which no regression from a global code gets right.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from sgi.engine.errors import UserError
from sgi.engine.generator import Generator
from sgi.trainer import baselines
from sgi.trainer.pool import RENDER_BATCH, Pool
from sgi.trainer.readout import clamped_readout
from sgi.trainer.spaces import get_space, random_like
from sgi.trainer.teachers.metrics import type_errors

HIGH_PASS_SIZE = 9
OFFSET = "offset"
BASELINES = {
    "identity": "d = 0",
    "constant": "constant mean map",
    "global_affine": "affine of colour",
    "pixel_affine": "affine of colour, per pixel",
    "ridge": "ridge on w",
    "random": "random d, equal row norms",
}
# An empty variance is an error in the question, not a score; float16 codes of one map agree exactly.
_MIN_VARIANCE = 1e-10

Row = dict[str, float]


def high_pass(maps: Tensor) -> Tensor:
    """Maps [N, C, H, W] minus their 9x9 box blur; at the border the box is cut to the picture."""
    blurred = F.avg_pool2d(maps, HIGH_PASS_SIZE, stride=1, padding=HIGH_PASS_SIZE // 2, count_include_pad=False)
    return maps - blurred


def mse(shown: Tensor, told: Tensor) -> float:
    """Mean square difference; the shapes may broadcast."""
    return (shown - told).square().mean(dtype=torch.float64).item()


def fvu(shown: Tensor, told: Tensor, constant: Tensor) -> float:
    """MSE of `shown` over MSE of the constant map; maps [N, C, H, W], constant [1, C, H, W].

    Raises UserError if the told maps do not vary about the constant.
    """
    variance = mse(constant, told)
    if variance < _MIN_VARIANCE:
        raise UserError("the teacher tells the same map for every picture: there is nothing to score")
    return mse(shown, told) / variance


def score_maps(name: str, shown: Tensor, told: Tensor, constant: Tensor) -> Row:
    """Figures of one prediction.

    shown, told: codes [N, C, H, W] float32 in [0, 1]; constant: the mean map of the fitting pictures [1, C, H, W].
    Returns fvu, fvu_about_holdout (against the mean of the held-out maps themselves, which no method knows),
    fvu_high_pass, and the errors of the type (sgi.trainer.teachers.metrics.type_errors).
    """
    return {
        "fvu": fvu(shown, told, constant),
        "fvu_about_holdout": fvu(shown, told, told.mean(dim=0, keepdim=True)),
        "fvu_high_pass": fvu(high_pass(shown), high_pass(told), high_pass(constant)),
        **type_errors(name, shown, told),
    }


def show(generator: Generator, pool: Pool, name: str, space: str, tensors: Mapping[str, Tensor]) -> Tensor:
    """Codes [N, C, R, R] float32 in [0, 1] that an offset shows for the latents of a pool, on the CPU."""
    return show_latents(generator, pool.ws, pool.sampling.noise_mode, name, space, tensors)


@torch.no_grad()
def show_latents(
    generator: Generator, ws: Tensor, noise_mode: str, name: str, space: str, tensors: Mapping[str, Tensor]
) -> Tensor:
    """`show` for any w+ [N, num_ws, w_dim] float32, such as inverted or relit ones."""
    synthesis, device = generator.synthesis, generator.mapping.w_avg.device
    moved = {key: tensor.to(device) for key, tensor in tensors.items()}
    parts = []
    for part in ws.split(RENDER_BATCH):
        styles = get_space(space).styles(synthesis, part.to(device), moved)
        parts.append(clamped_readout(synthesis.render(styles, noise_mode), name).cpu())
    return torch.cat(parts)


def evaluate(
    generator: Generator, name: str, space: str, tensors: Mapping[str, Tensor], fitting: Pool, held: Pool, seed: int = 0
) -> dict[str, Row]:
    """Rows of figures on `held`: the offset first, then every one of BASELINES fitted on `fitting`.

    seed draws the random offset. Raises UserError when the maps do not vary.
    """
    images, codes = fitting.images, fitting.codes[name]
    told, pictures = held.codes[name].float(), held.images.float()
    constant = baselines.mean_map(codes)
    # A truncated row is an affine function of w, and so is whatever is linear in it.
    ridge, _ = baselines.ridge(fitting.ws[:, -1], codes)
    zeros = {key: torch.zeros_like(tensor) for key, tensor in tensors.items()}
    shown = {
        OFFSET: lambda: show(generator, held, name, space, tensors),
        "identity": lambda: show(generator, held, name, space, zeros),
        "constant": lambda: constant.expand_as(told),
        "global_affine": lambda: baselines.global_affine(images, codes)(pictures),
        "pixel_affine": lambda: baselines.pixel_affine(images, codes)(pictures),
        "ridge": lambda: ridge(held.ws[:, -1]),
        "random": lambda: show(generator, held, name, space, random_like(tensors, seed)),
    }
    return {row: score_maps(name, make().clamp(0, 1), told, constant) for row, make in shown.items()}


def best_baseline(rows: Mapping[str, Row]) -> str:
    """Name of the baseline with the lowest FVU."""
    return min((row for row in rows if row != OFFSET), key=lambda row: rows[row]["fvu"])
