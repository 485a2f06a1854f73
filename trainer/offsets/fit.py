"""Find the offset d of one type: min over d of E_w loss(C(G(w + d)), teacher(G(w))), everything else frozen.

The method is that of Bhattad et al., arXiv 2306.00987; the paper does not state its loss and learning rate. Offsets lie
far outside the distribution of w: their rows grow to several |w|. The learning rate is therefore large. Its unit is the
root mean square of the quantity that a tensor is added to (see `parameters`). The map appears after 150 to 300 steps,
and the fit is preconditioned from then on (see `preconditioner`).
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

from sgi.engine.errors import UserError
from sgi.engine.generator import Generator, generator_sha256
from sgi.engine.intrinsics import Intrinsic
from sgi.trainer.losses import check_finite, default_loss, get_loss
from sgi.trainer.offsets import preconditioner
from sgi.trainer.offsets.descent import Descent
from sgi.trainer.offsets.fit_checkpoint import FitCheckpoint
from sgi.trainer.offsets.parameters import Tensors
from sgi.trainer.offsets.pool import Pool
from sgi.trainer.offsets.readout import readout
from sgi.trainer.offsets.resident import Rows
from sgi.trainer.offsets.seed_splits import describe
from sgi.trainer.offsets.settings_checks import PRECISIONS, check_counts, check_precision
from sgi.trainer.offsets.spaces import DEFAULT_RANK, get_space

WARMUP_STEPS = 10
DECAY_SHARE = 0.6
LOG_EVERY = 10
CHECKPOINT_EVERY = 25


@dataclass(frozen=True)
class FitSettings:
    """Settings of a fit.

    space: w, w+, style or lora. loss: an expression, see sgi.trainer.losses; None is the default of the type, which
    `for_type` inserts. steps: number of optimiser steps. batch: pictures per step. lr: learning rate of Adam in the
    units of `parameters` (for w+ and style, a layer's root mean square style over the pool); None is the default of the
    space. The learning rate of preconditioned steps is proportional to it. seed: of the order of the pictures.
    precision: of the convolutions, fp32 or bf16. rank: of the updates of lora; None is 4. from_layer: the first row of
    w+ that may change. Raises UserError, naming the parameter, for values out of range, and for a parameter that the
    space does not have.
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
        # Filled in here, so that fingerprints and files contain the values used even if the defaults change.
        object.__setattr__(self, "lr", space.lr if self.lr is None else self.lr)
        if space.ranked and self.rank is None:
            object.__setattr__(self, "rank", DEFAULT_RANK)
        if self.rank is not None and (not space.ranked or self.rank < 1):
            raise UserError(f"`rank={self.rank}`: for `space=lora` only, at least 1")
        if self.from_layer and not space.layered:
            raise UserError(
                f"`from_layer={self.from_layer}`: in `space={self.space}` one row changes every layer; use w+"
            )
        check_precision(self.precision)
        check_counts(self, "steps", "batch")
        if self.lr is None or not (math.isfinite(self.lr) and self.lr > 0):
            raise UserError(f"`lr={self.lr}`: must be positive")

    def for_type(self, kind: Intrinsic) -> FitSettings:
        """Return these settings with the type's default loss where `loss` is None."""
        return replace(self, loss=self.loss or default_loss(kind))


def rate(step: int, steps: int) -> float:
    """Return the share of the full learning rate at a step: linear warm-up, cosine to 0 over the last 60 %."""
    warm = min(1.0, (step + 1) / WARMUP_STEPS)
    decay_from = steps * (1 - DECAY_SHARE)
    done = max(0.0, (step - decay_from) / (steps - decay_from))
    return warm * (0.5 + 0.5 * math.cos(math.pi * done))


def batch_indices(step: int, batch: int, count: int, seed: int) -> Tensor:
    """Return the indices [batch] int64 of a step's pictures: passes over the pool, each in a different random order.

    They depend on the arguments only, so a resumed fit needs no state of a random generator.
    """
    positions = np.arange(step * batch, (step + 1) * batch)
    passes = positions // count
    orders = {p: np.random.default_rng([seed, p]).permutation(count) for p in np.unique(passes)}
    return torch.tensor([orders[p][i] for p, i in zip(passes, positions % count, strict=True)])


def fingerprint(kind: Intrinsic, settings: FitSettings, pool: Pool, generator_hash: str, teacher_hash: str) -> str:
    """Return the SHA-256 (64 hex digits) of everything that a fit depends on except the machine.

    A fit may resume from the checkpoint of a fit with the same fingerprint.
    """
    facts = [
        [kind.name, kind.code_channels, list(kind.classes)],
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
    kind: Intrinsic,
    settings: FitSettings,
    checkpoint: FitCheckpoint | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> dict[str, Tensor]:
    """Fit the offset of a type on a pool; returns the tensors of its space, float32 on the CPU.

    checkpoint: files to resume from, and to write checkpoints and a log to. on_step: called with (steps done, loss) at
    the start, where the loss is nan, then every 10 steps and at the end. On a CPU equal pools, settings and numbers of
    threads have the same result, bit for bit, also after interruptions. Raises UserError if the loss diverges, and
    RuntimeError if a weight of the generator has changed.
    """
    before = generator_sha256(generator)
    synthesis = generator.synthesis
    device = generator.mapping.w_avg.device
    space, loss_of = get_space(settings.space), get_loss(settings.loss, kind)
    zeros = space.zeros(generator.config, settings.rank, settings.from_layer)
    parameters = space.parameters(synthesis, pool.ws, zeros, settings.from_layer)
    assert settings.lr is not None
    will_precondition = space.preconditioned and preconditioner.is_due(preconditioner.SCHEDULE[0], settings.steps)
    preconditioned_lr = preconditioner.LEARNING_RATE * settings.lr / space.lr
    descent = Descent(parameters, settings.lr, preconditioned_lr, freeze_coarse=will_precondition)
    start = checkpoint.restore(descent) if checkpoint else 0
    ws, target = Rows(pool.ws, device), Rows(pool.codes[kind.name], device)

    def predict(tensors: Tensors, index: Tensor) -> Tensor:
        styles = space.styles(synthesis, ws[index], tensors)
        image = synthesis.render(styles, pool.sampling.noise_mode, PRECISIONS[settings.precision])
        return readout(image, kind)

    began = time.monotonic()
    if on_step:
        on_step(start, math.nan)
    for step in range(start, settings.steps):
        if space.preconditioned and preconditioner.is_due(step, settings.steps):
            descent.precondition(predict, len(pool), step)
        index = batch_indices(step, settings.batch, len(pool), settings.seed)
        loss = loss_of(predict(descent.tensors(), index), target[index].float())
        descent.step(loss, rate(step, settings.steps))
        done = step + 1
        if done % LOG_EVERY == 0 or done == settings.steps:
            value = check_finite(loss.detach(), done)
            if on_step:
                on_step(done, value)
            if checkpoint:
                norm = max(tensor.detach().norm(dim=-1).max().item() for tensor in descent.tensors().values())
                seconds = round(time.monotonic() - began, 2)
                checkpoint.log(
                    step=done,
                    loss=value,
                    rate=rate(step, settings.steps),
                    largest_row=norm,
                    seconds=seconds,
                )
        if checkpoint and (done % CHECKPOINT_EVERY == 0 or done == settings.steps):
            checkpoint.save(done, descent)
    if generator_sha256(generator) != before:
        raise RuntimeError("the generator's weights changed during the fit, so the offset is invalid")
    return {key: tensor.detach().cpu() for key, tensor in descent.tensors().items()}
