"""The state of StyleGAN2 training and one step of it.

Non-saturating logistic loss with lazy R1. There is no style mixing, no path-length penalty and no noise input: a small
generator of rooms does not need them, and without noise every image is a function of w alone, which offsets require.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sgi.engine.generator import Generator, GeneratorConfig
from sgi.trainer.batches import RealImages, latents
from sgi.trainer.gan.adversarial import discriminator_loss, generator_loss, r1_penalty
from sgi.trainer.gan.discriminator import Discriminator
from sgi.trainer.gan.train_config import TrainConfig


class StepStats(NamedTuple):
    """Detached scalars of one step, on the device, so that a step does not wait for them."""

    generator_loss: Tensor
    discriminator_loss: Tensor
    real_sign: Tensor
    """Mean sign of D on real images: 1 when it classifies all of them as real."""
    fake_sign: Tensor
    r1: Tensor | None
    """The R1 penalty without its weight, None in steps without it."""


def generator_config(config: TrainConfig) -> GeneratorConfig:
    """Return the architecture of the generator that `config` trains."""
    return GeneratorConfig(
        resolution=config.resolution,
        z_dim=config.z_dim,
        w_dim=config.w_dim,
        mapping_layers=config.mapping_layers,
        channel_base=config.channel_base,
        channel_max=config.channel_max,
    )


class Training:
    """Both networks, the averaged generator and the optimisers; `step` advances them all."""

    def __init__(self, config: TrainConfig, real: RealImages, device: torch.device) -> None:
        self.config = config
        self.real = real
        self.device = device
        self.steps = 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            generator = Generator(generator_config(config))
            discriminator = Discriminator(
                config.resolution, config.channel_base, config.channel_max, config.minibatch_std_group
            )
        self.generator = generator.to(device).requires_grad_(True).train()
        self.discriminator = discriminator.to(device).train()
        self.average = copy.deepcopy(self.generator).requires_grad_(False).eval()
        # Noise is not used, so its strengths stay zero.
        self.parameters: list[Tensor] = [p for n, p in self.generator.named_parameters() if "noise_strength" not in n]
        self.averaged: list[Tensor] = [p for n, p in self.average.named_parameters() if "noise_strength" not in n]
        self.optimiser_g = self._adam(self.parameters, 1.0)
        # Lazy regularisation: fewer gradient steps at the same effective rate (Karras et al. 2020, appendix B).
        self.optimiser_d = self._adam(
            list(self.discriminator.parameters()), config.r1_interval / (config.r1_interval + 1)
        )
        self.dtype = torch.bfloat16 if config.bfloat16 else torch.float32
        # The discriminator gets two batch sizes; two static graphs are faster than a dynamic one.
        compiled = partial(torch.compile, dynamic=False) if config.compile else (lambda f: f)
        self._synthesize = compiled(self.generator.synthesize)
        self._discriminate = compiled(self.discriminator.forward)

    def _adam(self, parameters: list[Tensor], ratio: float) -> torch.optim.Adam:
        config = self.config
        betas = (config.betas[0] ** ratio, config.betas[1] ** ratio)
        optimiser = torch.optim.Adam(parameters, lr=config.lr * ratio, betas=betas, eps=config.eps, fused=True)
        for group in optimiser.param_groups:
            group["full_lr"] = group["lr"]
        return optimiser

    @property
    def kimg(self) -> float:
        """Thousands of real images trained on."""
        return self.steps * self.config.batch / 1000

    def step(self, lr_factor: float) -> StepStats:
        """Train on one batch at `lr_factor` times the full learning rate.

        Fake images are generated once. They train the discriminator and then, through its new weights, the generator.
        """
        config = self.config
        for optimiser in (self.optimiser_g, self.optimiser_d):
            for group in optimiser.param_groups:
                group["lr"] = group["full_lr"] * lr_factor
        real = self.real.batch(self.steps)
        z = latents(config.seed, self.steps, config.batch, config.z_dim, self.device)
        w = self.generator.mapping(z)
        ws = w[:, None].expand(-1, self.generator.config.num_ws, -1)
        fake = self._synthesize(ws, "none", self.dtype)

        self.discriminator.requires_grad_(True)
        logits = self._discriminate(torch.cat([real, fake.detach()]), self.dtype)
        real_logits, fake_logits = logits.chunk(2)
        loss_d = discriminator_loss(real_logits, fake_logits)
        self._descend(self.optimiser_d, loss_d)
        penalty = None
        if self.steps % config.r1_interval == 0:
            penalty = r1_penalty(self.discriminator, real)
            self._descend(self.optimiser_d, penalty * (config.r1_gamma / 2 * config.r1_interval))

        self.discriminator.requires_grad_(False)
        loss_g = generator_loss(self._discriminate(fake, self.dtype))
        self._descend(self.optimiser_g, loss_g)

        self.steps += 1
        self._average(w.detach())
        return StepStats(
            loss_g.detach(),
            loss_d.detach(),
            real_logits.detach().sign().mean(),
            fake_logits.detach().sign().mean(),
            None if penalty is None else penalty.detach(),
        )

    @staticmethod
    def _descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    @torch.no_grad()
    def _average(self, w: Tensor) -> None:
        beta = self.config.ema_beta(self.kimg)
        torch._foreach_lerp_(self.averaged, self.parameters, 1 - beta)
        self.average.mapping.w_avg.lerp_(w.mean(0), 1 - self.config.w_avg_beta)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that `step` changes."""
        return {
            "steps": self.steps,
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "average": self.average.state_dict(),
            "optimiser_g": self.optimiser_g.state_dict(),
            "optimiser_d": self.optimiser_d.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict` of the same config."""
        self.steps = state["steps"]
        for name in ("generator", "discriminator", "average", "optimiser_g", "optimiser_d"):
            getattr(self, name).load_state_dict(state[name])
