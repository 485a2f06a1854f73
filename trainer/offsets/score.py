"""How good an offset is on held-out seeds, beside what does without one.

The measures are those of sgi.trainer.measures.by_type. A `kind` is a built-in type's name or any type's description.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from sgi.engine import intrinsics
from sgi.engine.generator import Generator
from sgi.engine.intrinsics import Kind
from sgi.trainer.measures.by_type import figures, fvu, measures_of, statistics
from sgi.trainer.offsets import baselines
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


def score_maps(kind: Kind, prediction: Tensor, target: Tensor, constant: Tensor) -> Row:
    """Figures of one prediction.

    shown, told: codes [N, C, H, W] float32 in [0, 1]; constant: the mean map of the fitting pictures [1, C, H, W].
    Returns the figures of all measures of the type, and fvu_about_holdout: the FVU against the mean of the held-out
    maps themselves, which no method knows.
    """
    measures = measures_of(kind, constant)
    about_holdout = fvu(prediction, target, target.mean(dim=0, keepdim=True))
    return figures(measures, statistics(measures, prediction, target)) | {"fvu_about_holdout": about_holdout}


def predict(generator: Generator, pool: Pool, kind: Kind, space: str, tensors: Mapping[str, Tensor]) -> Tensor:
    """Codes [N, C, R, R] float32 in [0, 1] that an offset shows for the latents of a pool, on the CPU."""
    return predict_latents(generator, pool.ws, pool.sampling.noise_mode, kind, space, tensors)


@torch.no_grad()
def predict_latents(
    generator: Generator, ws: Tensor, noise_mode: str, kind: Kind, space: str, tensors: Mapping[str, Tensor]
) -> Tensor:
    """`show` for any w+ [N, num_ws, w_dim] float32, such as inverted or relit ones."""
    synthesis, device = generator.synthesis, generator.mapping.w_avg.device
    moved = {key: tensor.to(device) for key, tensor in tensors.items()}
    parts = []
    for part in ws.split(RENDER_BATCH):
        styles = get_space(space).styles(synthesis, part.to(device), moved)
        parts.append(clamped_readout(synthesis.render(styles, noise_mode), kind).cpu())
    return torch.cat(parts)


def predictions(
    generator: Generator,
    kind: Kind,
    space: str,
    tensors: Mapping[str, Tensor],
    fitting: Pool,
    held: Pool,
    seed: int = 0,
) -> dict[str, Callable[[], Tensor]]:
    """What the offset and every one of BASELINES, fitted on `fitting`, says of `held`: codes [N, C, R, R] in [0, 1].

    Each is computed when called; the offset comes first. seed draws the random offset.
    """
    images, codes = fitting.images, fitting.codes[intrinsics.get(kind).name]
    pictures = held.images.float()

    def ridge() -> Tensor:
        # A truncated row is an affine function of w, and so is whatever is linear in it.
        predict, _ = baselines.ridge(fitting.ws[:, -1], codes)
        return predict(held.ws[:, -1])

    zeros = {key: torch.zeros_like(tensor) for key, tensor in tensors.items()}
    made = {
        OFFSET: lambda: predict(generator, held, kind, space, tensors),
        "identity": lambda: predict(generator, held, kind, space, zeros),
        "constant": lambda: baselines.mean_map(codes).expand(len(held), -1, -1, -1),
        "global_affine": lambda: baselines.global_affine(images, codes)(pictures),
        "pixel_affine": lambda: baselines.pixel_affine(images, codes)(pictures),
        "ridge": ridge,
        "random": lambda: predict(generator, held, kind, space, random_like(tensors, seed)),
    }
    return {row: lambda make=make: make().clamp(0, 1) for row, make in made.items()}  # type: ignore[misc]


def evaluate(
    generator: Generator,
    kind: Kind,
    space: str,
    tensors: Mapping[str, Tensor],
    fitting: Pool,
    held: Pool,
    seed: int = 0,
) -> dict[str, Row]:
    """Rows of figures on `held`: the offset first, then every one of BASELINES fitted on `fitting`.

    seed draws the random offset. Raises UserError when the maps do not vary.
    """
    name = intrinsics.get(kind).name
    target, constant = held.codes[name].float(), baselines.mean_map(fitting.codes[name])
    made = predictions(generator, kind, space, tensors, fitting, held, seed)
    return {row: score_maps(kind, make(), target, constant) for row, make in made.items()}


def best_baseline(rows: Mapping[str, Row]) -> str:
    """Name of the baseline with the lowest FVU."""
    return min((row for row in rows if row != OFFSET), key=lambda row: rows[row]["fvu"])
