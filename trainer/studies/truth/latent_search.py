"""Inversion by optimisation: find the w+ whose picture is most similar to a given one.

Offsets are fitted on latents of the mapping network. A latent far from these can reproduce the picture well and have a
bad map. Each latent is therefore the sum of one w for all rows and a small change of every row (Tov et al., arXiv
2102.02766, section 4), both penalised by their whitened length (Zhu et al., arXiv 2012.09036). The loss compares only
pixels, because a loss on features of the teacher would favour the teacher in the truth study.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from sgi.engine.errors import UserError
from sgi.engine.generator import Generator
from sgi.engine.progress import SILENT, Progress, Stage
from sgi.trainer.offsets.fit import rate
from sgi.trainer.offsets.pool import RENDER_BATCH, Sampling
from sgi.trainer.offsets.seed_splits import STREAM_LENGTH, fitting_seeds
from sgi.trainer.offsets.settings_checks import PRECISIONS, check_counts, check_precision, check_weights
from sgi.trainer.offsets.whitening import Whitening, whitening

BATCH = 16
BETAS = (0.9, 0.99)
CANDIDATE_STREAM = 1
SCALES = (1, 2, 4, 8)
"""Sides in pixels of the boxes whose means are compared."""


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """Settings of the search for latents.

    steps: of Adam. lr: its rate in whitened units, in which an entry of w has variance 1. prior: weight of the mean
    square whitened coordinate of the common w, in units of the loss (a mean absolute difference of codes). rows:
    weight of the same penalty for the changes of rows; a large weight restricts the search to W, and 0 is W+ without
    restriction, which reproduces pictures best and has the worst maps. candidates: number of sampled pictures; each
    search starts at the w of the most similar one, with 0 candidates at w_avg. precision: of the convolutions, fp32 or
    bf16. Raises UserError for values out of range.
    """

    steps: int = 200
    lr: float = 0.1
    prior: float = 0.03
    rows: float = 0.3
    candidates: int = 1024
    precision: str = "fp32"

    def __post_init__(self) -> None:
        check_counts(self, "steps")
        if not 0 <= self.candidates <= STREAM_LENGTH:
            raise UserError(f"`candidates={self.candidates}`: choose from 0 to {STREAM_LENGTH}")
        check_precision(self.precision)
        check_weights(self, "lr", "prior", "rows")


@dataclass(frozen=True)
class Inversion:
    """Inverted pictures, on the CPU.

    ws: [N, num_ws, w_dim] float32. images: G(ws) [N, C, R, R] float32 in [0, 1]. psnr: [N] float32, decibels of
    `images` against the given pictures.
    """

    ws: Tensor
    images: Tensor
    psnr: Tensor


def psnr(prediction: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in decibels of pictures in [0, 1], [N, C, H, W] -> [N]."""
    return -10 * (prediction - target).square().mean(dim=(1, 2, 3)).clamp_min(1e-12).log10()


def find_latents(
    generator: Generator,
    images: Tensor,
    sampling: Sampling | None = None,
    settings: SearchSettings | None = None,
    progress: Progress = SILENT,
) -> Inversion:
    """Find w+ of `images` [N, C, R, R] float32 sRGB in [0, 1], C and R the generator's channels and resolution.

    sampling: noise mode and class; its truncation is not used. Deterministic on one device. Pictures are inverted
    independently of each other, up to rounding. Raises UserError for a sampling that the generator does not support,
    ValueError for pictures of another shape or range.
    """
    sampling, settings = sampling or Sampling(), settings or SearchSettings()
    sampling.check(generator)
    channels, side = generator.config.img_channels, generator.config.resolution
    if images.ndim != 4 or images.shape[1:] != (channels, side, side) or images.amin() < 0 or images.amax() > 1:
        raise ValueError(f"expected pictures [N, {channels}, {side}, {side}] in [0, 1], got {list(images.shape)}")
    distribution = whitening(generator, sampling)
    starts = _nearest(generator, images.to(distribution.mean.device), sampling, settings.candidates)
    with progress.stage("inversion", len(images) * settings.steps, "steps of a picture") as stage:
        parts = [
            _search_batch(
                generator, batch, distribution.coordinates(start), distribution, sampling.noise_mode, settings, stage
            )
            for batch, start in zip(images.split(BATCH), starts.split(BATCH), strict=True)
        ]
    ws, reproduced = (torch.cat(column) for column in zip(*parts, strict=True))
    return Inversion(ws, reproduced, psnr(reproduced, images.cpu()))


def _search_batch(
    generator: Generator,
    images: Tensor,
    start: Tensor,
    distribution: Whitening,
    noise_mode: str,
    settings: SearchSettings,
    stage: Stage,
) -> tuple[Tensor, Tensor]:
    """w+ and pictures of one batch, both on the CPU."""
    device, config = generator.mapping.w_avg.device, generator.config
    target = _scales(images.to(device))
    common = start[:, None].clone().requires_grad_()
    change = torch.zeros(len(images), config.num_ws, config.w_dim, device=device, requires_grad=True)
    optimiser = torch.optim.Adam((common, change), betas=BETAS)
    for step in range(settings.steps):
        for group in optimiser.param_groups:
            group["lr"] = settings.lr * rate(step, settings.steps)
        ws = distribution.point(common + change)
        image = generator.synthesize(ws, noise_mode, PRECISIONS[settings.precision]) * 0.5 + 0.5
        error = torch.stack([(a - b).abs().mean(dim=(1, 2, 3)) for a, b in zip(_scales(image), target, strict=True)])
        penalty = settings.prior * common.square().mean(dim=(1, 2)) + settings.rows * change.square().mean(dim=(1, 2))
        # A sum, not a mean, so that the gradient of a picture is independent of the batch size.
        loss = (error.mean(dim=0) + penalty).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        stage.advance(len(images))
    with torch.no_grad():
        ws = distribution.point(common + change)
        reproduced = (generator.synthesize(ws, noise_mode) * 0.5 + 0.5).clamp(0, 1)
    return ws.cpu(), reproduced.cpu()


@torch.no_grad()
def _nearest(generator: Generator, images: Tensor, sampling: Sampling, candidates: int) -> Tensor:
    """The w [N, w_dim] of the most similar of `candidates` sampled pictures, for each picture."""
    best = torch.full((len(images),), math.inf, device=images.device)
    found = generator.mapping.w_avg.expand(len(images), -1).clone()
    target = [scale.flatten(1) for scale in _scales(images)[1:]]
    for start in range(0, candidates, RENDER_BATCH):
        seeds = fitting_seeds(candidates, CANDIDATE_STREAM)[start : start + RENDER_BATCH]
        ws = replace(sampling, psi=1.0, cutoff=None).ws(generator, seeds)
        sampled = (generator.synthesize(ws, sampling.noise_mode) * 0.5 + 0.5).clamp(0, 1)
        distances = torch.stack(
            [torch.cdist(a, b.flatten(1), p=1) / a.shape[1] for a, b in zip(target, _scales(sampled)[1:], strict=True)]
        ).mean(dim=0)
        least, index = distances.min(dim=1)
        closer = least < best
        best = torch.where(closer, least, best)
        found[closer] = ws[index[closer], -1]
    return found


def _scales(images: Tensor) -> list[Tensor]:
    """The pictures' means over boxes of every side of SCALES that fits."""
    return [F.avg_pool2d(images, scale) for scale in SCALES if scale <= images.shape[-1]]
