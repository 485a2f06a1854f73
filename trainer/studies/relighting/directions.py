"""Search for directions r_k that relight: G(w + r_k) shows the scene of G(w) under another light, for every w.

After StyLitGAN (Bhattad et al., arXiv 2205.10351): the loss penalises changes of the teacher's albedo and rewards
changes of its shading that differ between directions, measured by a log-determinant. Depth and normals are not part of
the loss, because the study measures how they change with the light. To preserve geometry the coarse rows of w+ are not
changed, and the whitened length of directions is penalised.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sgi.engine.budget import read_npy
from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write
from sgi.engine.generator import Generator, GeneratorConfig
from sgi.engine.progress import SILENT, Progress
from sgi.trainer.losses import check_finite
from sgi.trainer.offsets.fit import batch_indices, rate
from sgi.trainer.offsets.pool import Sampling
from sgi.trainer.offsets.seed_splits import fitting_seeds
from sgi.trainer.offsets.settings_checks import PRECISIONS, check_counts, check_precision, check_weights
from sgi.trainer.offsets.teacher_targets import teacher_targets
from sgi.trainer.offsets.whitening import whitening
from sgi.trainer.teachers import Teacher

BETAS = (0.9, 0.99)
IMAGES = 1024
SHADING_SIDE = 8
"""Shadings are compared as means over SHADING_SIDE x SHADING_SIDE boxes, because finer detail is not due to light."""
NOTICEABLE = 0.05
"""Unit of changes of shading: the smallest change of a code that counts as a change of light."""
UNNOTICED = 2.0
"""Weight of the penalty on directions that hardly change the shading, relative to `diversity`."""
_TINY = 1e-12  # keeps the gradient of a square root finite
_SLACK = 1.0  # nominal range of a generated picture is [-1, 1]


@dataclass(frozen=True, kw_only=True)
class DirectionSettings:
    """Settings of the search for directions.

    count: K, the number of directions. steps: of Adam. batch: pictures per step, each relit K times. lr, start:
    learning rate of Adam and standard deviation of the random start, both in whitened units (see
    sgi.trainer.offsets.whitening). from_layer: first row of w+ that may move. keep: weight of the mean absolute change
    of albedo codes. prior: weight of the mean square whitened coordinate. seed: of the start and of the order of the
    pictures. precision: of the convolutions, fp32 or bf16. Raises UserError for values out of range.
    """

    count: int = 8
    steps: int = 200
    batch: int = 4
    lr: float = 0.03
    start: float = 0.3
    from_layer: int = 3
    keep: float = 20.0
    prior: float = 0.05
    seed: int = 0
    precision: str = "fp32"

    def __post_init__(self) -> None:
        check_counts(self, "count", "steps", "batch")
        check_precision(self.precision)
        check_weights(self, "lr", "keep", "prior", "start")


def find_directions(
    generator: Generator,
    teacher: Teacher,
    sampling: Sampling | None = None,
    settings: DirectionSettings | None = None,
    progress: Progress = SILENT,
) -> Tensor:
    """Directions [K, num_ws, w_dim] float32 on the CPU, to be added to w+.

    Deterministic on one device. Raises UserError when the teacher does not predict albedo and shading, or not
    differentiably, when the loss diverges, or when from_layer leaves no row.
    """
    sampling, settings = sampling or Sampling(), settings or DirectionSettings()
    sampling.check(generator)
    config, device = generator.config, generator.mapping.w_avg.device
    free = config.num_ws - settings.from_layer
    if not 0 < free <= config.num_ws:
        raise UserError(f"`from_layer={settings.from_layer}`: choose from 0 to {config.num_ws - 1}")
    for name in ("albedo", "shading"):
        if name not in teacher.types:
            raise UserError(
                f"`teacher`: {teacher.name} does not predict {name}, which a search for light needs; use `bundled`"
            )
    distribution = whitening(generator, sampling)
    start = torch.randn(settings.count, free, config.w_dim, generator=torch.Generator().manual_seed(settings.seed))
    moved = (settings.start * start).to(device).requires_grad_()
    optimiser = torch.optim.Adam([moved], betas=BETAS)
    seeds = fitting_seeds(IMAGES, settings.seed)
    with progress.stage("search for directions", settings.steps, "steps") as stage:
        for step in range(settings.steps):
            for group in optimiser.param_groups:
                group["lr"] = settings.lr * rate(step, settings.steps)
            chosen = batch_indices(step, settings.batch, len(seeds), settings.seed)
            ws = sampling.ws(generator, [seeds[i] for i in chosen.tolist()])
            directions = _padded(distribution.shift(moved), settings.from_layer)
            loss = _loss(generator, teacher, ws, directions, sampling.noise_mode, settings)
            loss = loss + settings.prior * moved.square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            stage.advance(1, f"loss {check_finite(loss.detach(), step + 1):.3f}")
    return _padded(distribution.shift(moved.detach()), settings.from_layer).cpu()


def relit(ws: Tensor, directions: Tensor) -> Tensor:
    """w+ of every picture under every direction: [N, L, D] and [K, L, D] to [N, K, L, D]."""
    return ws[:, None] + directions[None]


def diversity(changes: Tensor) -> Tensor:
    """Size and variety of the changes of shading by K lights: [N] for changes of codes [N, K, P].

    log det(I + G) / K with G the Gram matrix of the changes in units of NOTICEABLE. It is 0 for no change and small for
    K equal changes. StyLitGAN (equation 3) uses -log det of the shadings themselves.
    """
    scaled = changes / (NOTICEABLE * math.sqrt(changes.shape[-1]))
    count = changes.shape[1]
    identity = torch.eye(count, dtype=changes.dtype, device=changes.device)
    return torch.linalg.slogdet(identity + scaled @ scaled.transpose(1, 2)).logabsdet / count


def coarse(shading: Tensor) -> Tensor:
    """Means of shading codes [..., 1, R, R] over SHADING_SIDE boxes a side: [..., P]."""
    flat = shading.reshape(-1, *shading.shape[-3:])
    return F.adaptive_avg_pool2d(flat, SHADING_SIDE).reshape(*shading.shape[:-3], -1)


def save_directions(path: str | Path, directions: Tensor) -> None:
    """Write [K, num_ws, w_dim] float32 as .npy, whole or not at all."""
    with atomic_write(path) as temporary:
        np.save(temporary, directions.numpy())


def load_directions(path: str | Path, config: GeneratorConfig) -> Tensor:
    """Directions [K, num_ws, w_dim] float32 of an .npy file, the layout of StyLitGAN's own.

    Raises UserError for a file that is not an .npy file, an array of another shape, and numbers that are not finite.
    """
    reference = f"`directions={path}`"
    try:
        array = read_npy(path)
    except FileNotFoundError:
        raise UserError(f"{reference}: no such file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{reference}: not a readable .npy file ({reason})") from None
    expected = f"[K, {config.num_ws}, {config.w_dim}]"
    if array.ndim != 3 or array.shape[1:] != (config.num_ws, config.w_dim):
        raise UserError(f"{reference}: this generator needs {expected}, got {list(np.shape(array))}")
    if not len(array) or array.dtype.kind != "f" or not np.isfinite(array).all():
        raise UserError(f"{reference}: expected {expected} finite floats")
    return torch.from_numpy(array.astype(np.float32))


def _loss(
    generator: Generator,
    teacher: Teacher,
    ws: Tensor,
    directions: Tensor,
    noise_mode: str,
    settings: DirectionSettings,
) -> Tensor:
    """The loss of the relit pictures of a batch ws [N, L, D], without the prior."""
    types = ("albedo", "shading")
    dtype = PRECISIONS[settings.precision]
    with torch.no_grad():
        before = teacher_targets(teacher, (generator.synthesize(ws, noise_mode, dtype) * 0.5 + 0.5).clamp(0, 1), types)
    raw = generator.synthesize(relit(ws, directions).flatten(0, 1), noise_mode, dtype)
    after = teacher_targets(teacher, (raw * 0.5 + 0.5).clamp(0, 1), types)
    if not all(after[name].requires_grad for name in types):
        raise UserError(f"`teacher`: {teacher.name} is not differentiable; pass `directions`, or another `teacher`")
    shape = (len(ws), len(directions))
    albedo_change = after["albedo"].unflatten(0, shape) - before["albedo"][:, None]
    shading_change = coarse(after["shading"].unflatten(0, shape)) - coarse(before["shading"])[:, None]
    saturated = (raw.abs() - _SLACK).clamp_min(0).mean()
    change = shading_change.square().mean(dim=(0, 2)).clamp_min(_TINY).sqrt() / NOTICEABLE
    # At 0 the log-determinant has gradient 0 and the albedo penalty has not, so without this term weak directions
    # shrink to 0.
    unnoticed = (1 - change).clamp_min(0).mean()
    return (
        settings.keep * (albedo_change.abs().mean() + saturated)
        - diversity(shading_change).mean()
        + UNNOTICED * unnoticed
    )


def _padded(rows: Tensor, from_layer: int) -> Tensor:
    """Directions of all rows from those of the rows that may move."""
    return F.pad(rows, (0, 0, from_layer, 0))
