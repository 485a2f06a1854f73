"""Find the offset d of one type: min over d of E_w loss(C(G(w + d)), teacher(G(w))), everything else frozen.

Bhattad et al., arXiv 2306.00987 (the structure; its loss and learning rate are not public). Offsets leave the cloud
of w: their rows grow to several |w|, so the learning rate is given in units of what a tensor is added to (see
`parameters`) and is large, and the map only appears after 150 to 300 steps. From then on a fit goes in coordinates of
that map (see `curvature`).
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from torch import Tensor

from sgi.engine import intrinsics
from sgi.engine.errors import UserError
from sgi.engine.generator import Generator, generator_sha256
from sgi.engine.intrinsics import Kind
from sgi.trainer.losses import check_finite, default_loss, get_loss
from sgi.trainer.offsets import curvature
from sgi.trainer.offsets.descent import Descent
from sgi.trainer.offsets.journal import Journal
from sgi.trainer.offsets.parameters import Tensors
from sgi.trainer.offsets.pool import Pool
from sgi.trainer.offsets.readout import readout
from sgi.trainer.offsets.seed_splits import describe
from sgi.trainer.offsets.spaces import DEFAULT_RANK, get_space

WARMUP_STEPS = 10
DECAY_SHARE = 0.6
LOG_EVERY = 10
CHECKPOINT_EVERY = 25
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class FitSettings:
    """Settings of a fit.

    space: where the offset lives. loss: name of the loss, None for the type's (`for_type`).
    steps, batch: optimiser steps and pictures in each.
    lr: learning rate of Adam in the units of `parameters`, for w+ and style a layer's root mean square style
    over the pool; None becomes the space's default, and the rate in coordinates of the map grows and shrinks with it.
    seed: of the order of the pictures. precision: of the convolutions, fp32 or bf16. rank: of lora's updates; None
    becomes 4 there. from_layer: the first row of w+ that may move.
    """

    space: str = "w+"
    loss: str | None = None
    steps: int = 1000
    lr: float | None = None
    batch: int = 16
    seed: int = 0
    precision: str = "fp32"
    rank: int | None = None
    from_layer: int = 0

    def __post_init__(self) -> None:
        space = get_space(self.space)
        # Filled in here, so that fingerprints and files hold what was used, whatever becomes of the defaults.
        object.__setattr__(self, "lr", space.lr if self.lr is None else self.lr)
        if space.ranked and self.rank is None:
            object.__setattr__(self, "rank", DEFAULT_RANK)
        if self.rank is not None and (not space.ranked or self.rank < 1):
            raise UserError(f"--rank {self.rank}: for --space lora, at least 1")
        if self.from_layer and not space.layered:
            raise UserError(
                f"--from-layer {self.from_layer}: one row moves every layer in --space {self.space}; use w+"
            )
        if self.precision not in PRECISIONS:
            raise UserError(f"--precision {self.precision}: choose from {', '.join(PRECISIONS)}")
        if self.steps < 1 or self.batch < 1:
            raise UserError(f"--steps {self.steps} --batch {self.batch}: both must be at least 1")
        if self.lr is None or not (math.isfinite(self.lr) and self.lr > 0):
            raise UserError(f"--lr {self.lr}: must be positive")

    def for_type(self, kind: Kind) -> FitSettings:
        """These settings with the type's own loss where none is named."""
        return replace(self, loss=self.loss or default_loss(kind))


def rate(step: int, steps: int) -> float:
    """Learning rate of a step as a share of the full one: linear warm-up, cosine to 0 over the last 60 %."""
    warm = min(1.0, (step + 1) / WARMUP_STEPS)
    decay_from = steps * (1 - DECAY_SHARE)
    done = max(0.0, (step - decay_from) / (steps - decay_from))
    return warm * (0.5 + 0.5 * math.cos(math.pi * done))


def batch_indices(step: int, batch: int, count: int, seed: int) -> Tensor:
    """Pictures of a step, [batch] int64: pass after pass over the pool, each in an order of its own.

    A function of the step alone, so a resumed fit needs no state of a random generator.
    """
    positions = np.arange(step * batch, (step + 1) * batch)
    passes = positions // count
    orders = {p: np.random.default_rng([seed, p]).permutation(count) for p in np.unique(passes)}
    return torch.tensor([orders[p][i] for p, i in zip(passes, positions % count, strict=True)])


def fingerprint(kind: Kind, settings: FitSettings, pool: Pool, generator_hash: str, teacher_hash: str) -> str:
    """Hash of everything a fit depends on but the machine: two fits that share it may resume one another."""
    intrinsic = intrinsics.get(kind)
    what = [intrinsic.name, intrinsic.code_channels, list(intrinsic.classes)]
    facts = [
        what,
        asdict(settings.for_type(kind)),
        describe(pool.seeds),
        asdict(pool.sampling),
        generator_hash,
        teacher_hash,
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def fit(
    generator: Generator,
    pool: Pool,
    kind: Kind,
    settings: FitSettings,
    journal: Journal | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> dict[str, Tensor]:
    """Fit the offset of a type, by its name or description, on a pool; returns its tensors (see the space).

    They are float32 on the CPU.
    journal: where to resume from, checkpoint and log. on_step: hears (steps done, loss) every 10 steps and at the
    end; the loss is nan when there was nothing left to do. Same pool, settings and threads on a CPU give the same
    offset bit for bit, interrupted or not. Raises UserError when the loss diverges, RuntimeError if a weight of the
    generator changed.
    """
    before = generator_sha256(generator)
    synthesis = generator.synthesis
    device = generator.mapping.w_avg.device
    space, loss_of = get_space(settings.space), get_loss(settings.loss, kind)
    target = pool.codes[intrinsics.get(kind).name]
    zeros = space.zeros(generator.config, settings.rank, settings.from_layer)
    parameters = space.parameters(synthesis, pool.ws, zeros, settings.from_layer)
    assert settings.lr is not None
    moves = space.charted and curvature.moves_at(curvature.MOVES[0], settings.steps)
    descent = Descent(parameters, settings.lr, curvature.RATE * settings.lr / space.lr, fine_first=moves)
    start = journal.restore(descent) if journal else 0

    def predict(tensors: Tensors, index: Tensor) -> Tensor:
        styles = space.styles(synthesis, pool.ws[index].to(device), tensors)
        image = synthesis.render(styles, pool.sampling.noise_mode, PRECISIONS[settings.precision])
        return readout(image, kind)

    began = time.monotonic()
    if on_step:
        on_step(start, math.nan)
    for step in range(start, settings.steps):
        if space.charted and curvature.moves_at(step, settings.steps):
            descent.move_on(predict, len(pool), step)
        index = batch_indices(step, settings.batch, len(pool), settings.seed)
        loss = loss_of(predict(descent.tensors(), index), target[index].to(device).float())
        descent.step(loss, rate(step, settings.steps))
        done = step + 1
        if done % LOG_EVERY == 0 or done == settings.steps:
            value = check_finite(loss.detach(), done)
            if on_step:
                on_step(done, value)
            if journal:
                norm = max(tensor.detach().norm(dim=-1).max().item() for tensor in descent.tensors().values())
                seconds = round(time.monotonic() - began, 2)
                journal.log(
                    step=done,
                    loss=value,
                    rate=rate(step, settings.steps),
                    largest_row=norm,
                    seconds=seconds,
                )
        if journal and (done % CHECKPOINT_EVERY == 0 or done == settings.steps):
            journal.save(done, descent)
    if generator_sha256(generator) != before:
        raise RuntimeError("the generator's weights changed during the fit: the offset would be worth nothing")
    return {key: tensor.detach().cpu() for key, tensor in descent.tensors().items()}
