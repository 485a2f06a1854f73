"""Inversion: the w+ whose picture is a given one, by optimisation.

An offset was fitted on latents that the mapping network makes, so a latent far from those may show the picture well
and the map badly. Each picture therefore gets one w for all rows and a small change of every row (Tov et al., arXiv
2102.02766, section 4), both paid for by their whitened length (Zhu et al., arXiv 2012.09036). The loss looks at
pixels alone: an inversion that asked the teacher for its features would favour the teacher in what follows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from sgi.engine.errors import UserError
from sgi.engine.generator import Generator
from sgi.trainer.offsets.fit import PRECISIONS, rate
from sgi.trainer.offsets.pool import RENDER_BATCH, Sampling
from sgi.trainer.offsets.seed_splits import STREAM_LENGTH, fitting_seeds
from sgi.trainer.offsets.whitening import Whitening, whitening

BATCH = 16
BETAS = (0.9, 0.99)
CANDIDATE_STREAM = 1
SCALES = (1, 2, 4, 8)
"""Sides in pixels of the boxes whose means are compared."""


@dataclass(frozen=True)
class InversionSettings:
    """Settings of an inversion.

    steps: of Adam. lr: its rate in whitened units, in which an entry of w has variance 1. prior: price of a mean
    square whitened coordinate of the common w, in units of the loss (a mean absolute difference of codes). rows:
    price of the same for the rows' own changes; a high one keeps to W, 0 is plain W+, which shows a picture best and
    its maps worst. candidates: sampled pictures among which each picture looks for its start; 0 starts all at w_avg.
    precision: of the convolutions.
    """

    steps: int = 200
    lr: float = 0.1
    prior: float = 0.03
    rows: float = 0.3
    candidates: int = 1024
    precision: str = "fp32"

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UserError(f"--steps {self.steps}: must be at least 1")
        if not 0 <= self.candidates <= STREAM_LENGTH:
            raise UserError(f"--candidates {self.candidates}: choose from 0 to {STREAM_LENGTH}")
        if self.precision not in PRECISIONS:
            raise UserError(f"--precision {self.precision}: choose from {', '.join(PRECISIONS)}")
        for flag, value in (("--lr", self.lr), ("--prior", self.prior), ("--rows", self.rows)):
            if not math.isfinite(value) or value < 0:
                raise UserError(f"{flag} {value}: must be a number of at least 0")


@dataclass(frozen=True)
class Inversion:
    """Inverted pictures, on the CPU.

    ws: [N, num_ws, w_dim] float32. images: G(ws) [N, 3, R, R] float32 in [0, 1]. psnr: [N] float32, decibels of
    `images` against the pictures asked for.
    """

    ws: Tensor
    images: Tensor
    psnr: Tensor


def psnr(prediction: Tensor, wanted: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in decibels of pictures in [0, 1], [N, C, H, W] -> [N]."""
    return -10 * (prediction - wanted).square().mean(dim=(1, 2, 3)).clamp_min(1e-12).log10()


def invert(
    generator: Generator,
    images: Tensor,
    sampling: Sampling | None = None,
    settings: InversionSettings | None = None,
    on_step: Callable[[int], None] | None = None,
) -> Inversion:
    """Find w+ of `images` [N, 3, R, R] float32 sRGB in [0, 1], R the generator's.

    sampling: noise mode and class; its truncation plays no part. on_step hears how many pictures took a step.
    Deterministic on one device, and each picture is found by itself: a batch changes nothing but rounding. Raises
    UserError for a sampling that the generator does not fit, ValueError for pictures of another shape or range.
    """
    sampling, settings = sampling or Sampling(), settings or InversionSettings()
    sampling.check(generator)
    side = generator.config.resolution
    if images.ndim != 4 or images.shape[1:] != (3, side, side) or images.amin() < 0 or images.amax() > 1:
        raise ValueError(f"expected pictures [N, 3, {side}, {side}] in [0, 1], got {list(images.shape)}")
    cloud = whitening(generator, sampling)
    starts = _nearest(generator, images.to(cloud.mean.device), sampling, settings.candidates)
    parts = [
        _invert_batch(generator, batch, cloud.coordinates(start), cloud, sampling.noise_mode, settings, on_step)
        for batch, start in zip(images.split(BATCH), starts.split(BATCH), strict=True)
    ]
    ws, prediction = (torch.cat(column) for column in zip(*parts, strict=True))
    return Inversion(ws, prediction, psnr(prediction, images.cpu()))


def _invert_batch(
    generator: Generator,
    images: Tensor,
    start: Tensor,
    cloud: Whitening,
    noise_mode: str,
    settings: InversionSettings,
    on_step: Callable[[int], None] | None,
) -> tuple[Tensor, Tensor]:
    """w+ and pictures of one batch, both on the CPU."""
    device, config = generator.mapping.w_avg.device, generator.config
    wanted = _scales(images.to(device))
    common = start[:, None].clone().requires_grad_()
    change = torch.zeros(len(images), config.num_ws, config.w_dim, device=device, requires_grad=True)
    optimiser = torch.optim.Adam((common, change), betas=BETAS)
    for step in range(settings.steps):
        for group in optimiser.param_groups:
            group["lr"] = settings.lr * rate(step, settings.steps)
        ws = cloud.point(common + change)
        image = generator.synthesize(ws, noise_mode, PRECISIONS[settings.precision]) * 0.5 + 0.5
        error = torch.stack([(a - b).abs().mean(dim=(1, 2, 3)) for a, b in zip(_scales(image), wanted, strict=True)])
        unusual = settings.prior * common.square().mean(dim=(1, 2)) + settings.rows * change.square().mean(dim=(1, 2))
        # A sum over pictures: none of them feels how many others there are.
        loss = (error.mean(dim=0) + unusual).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if on_step:
            on_step(len(images))
    with torch.no_grad():
        ws = cloud.point(common + change)
        prediction = (generator.synthesize(ws, noise_mode) * 0.5 + 0.5).clamp(0, 1)
    return ws.cpu(), prediction.cpu()


@torch.no_grad()
def _nearest(generator: Generator, images: Tensor, sampling: Sampling, candidates: int) -> Tensor:
    """For each picture the w [N, w_dim] of the one among `candidates` sampled pictures that resembles it most."""
    best = torch.full((len(images),), math.inf, device=images.device)
    found = generator.mapping.w_avg.expand(len(images), -1).clone()
    wanted = [scale.flatten(1) for scale in _scales(images)[1:]]
    for start in range(0, candidates, RENDER_BATCH):
        seeds = fitting_seeds(candidates, CANDIDATE_STREAM)[start : start + RENDER_BATCH]
        ws = replace(sampling, psi=1.0, cutoff=None).ws(generator, seeds)
        prediction = (generator.synthesize(ws, sampling.noise_mode) * 0.5 + 0.5).clamp(0, 1)
        distances = torch.stack(
            [
                torch.cdist(a, b.flatten(1), p=1) / a.shape[1]
                for a, b in zip(wanted, _scales(prediction)[1:], strict=True)
            ]
        ).mean(dim=0)
        least, index = distances.min(dim=1)
        closer = least < best
        best = torch.where(closer, least, best)
        found[closer] = ws[index[closer], -1]
    return found


def _scales(images: Tensor) -> list[Tensor]:
    """The pictures' means over boxes of every side of SCALES that fits."""
    return [F.avg_pool2d(images, scale) for scale in SCALES if scale <= images.shape[-1]]
