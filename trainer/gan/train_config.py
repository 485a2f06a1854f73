"""The config of a generator training run, and its presets.

Architecture, optimisation and budget are one frozen value, which every checkpoint contains.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from sgi.engine.errors import UserError


@dataclass(frozen=True)
class TrainConfig:
    """All settings of a training run except its data."""

    resolution: int
    """Side of the square images, a power of two of at least 8."""
    z_dim: int = 256
    """Width of the latent z."""
    w_dim: int = 256
    """Width of the intermediate latent w."""
    mapping_layers: int = 4
    """Fully connected layers between z and w."""
    channel_base: int = 2048
    """Channels at resolution r are min(channel_base / r, channel_max), in both generator and discriminator."""
    channel_max: int = 128
    """Upper bound on channels at any resolution."""
    batch: int = 16
    """Images a step; a multiple of the minibatch-std group."""
    minibatch_std_group: int = 4
    """Images in one group of the minibatch standard deviation of the discriminator."""
    lr: float = 0.0025
    """Adam learning rate of both networks before decay."""
    betas: tuple[float, float] = (0.0, 0.99)
    """Adam betas."""
    eps: float = 1e-8
    """Adam epsilon."""
    r1_gamma: float = 0.2
    """Weight of the R1 penalty: gamma / 2 * E[|grad D(x)|^2] over real images x in [-1, 1]."""
    r1_interval: int = 16
    """Steps between two R1 penalties (lazy regularisation)."""
    ema_kimg: float = 6.0
    """Half-life, in thousands of images, of the averaged generator."""
    ema_rampup: float = 0.08
    """The half-life is at most this fraction of the images trained on so far."""
    w_avg_beta: float = 0.995
    """Decay per step of the running mean of w, which truncation uses."""
    flips: bool = True
    """Mirror each real image left to right with probability one half."""
    bfloat16: bool = True
    """Convolve in bfloat16; parameters, the R1 penalty and the last block of the discriminator stay float32."""
    compile: bool = False
    """Compile synthesis and discriminator with torch.compile; faster on a GPU, where kernel launches dominate."""
    scenes: int = 32768
    """Rooms rendered for training."""
    variety: str = "rich"
    """Name of the variety of the rooms (sgi.trainer.scenes.variety)."""
    total_kimg: float | None = None
    """Image budget in thousands of images; None is no limit."""
    hours: float | None = None
    """Budget in hours of training time, resumed runs included; None is no limit."""
    decay: float = 0.25
    """Last fraction of the budget over which the learning rate falls linearly."""
    final_lr: float = 0.1
    """Learning rate at the end of the budget, as a fraction of `lr`."""
    seed: int = 0
    """Seed of the initial weights and of all random draws in training."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-ready values."""
        return dataclasses.asdict(self) | {"betas": list(self.betas)}

    def progress(self, kimg: float, seconds: float) -> float:
        """Return the spent fraction in [0, 1] of the budget that is nearer to its end; 0 without a budget."""
        spent = [0.0]
        if self.total_kimg is not None:
            spent.append(kimg / self.total_kimg)
        if self.hours is not None:
            spent.append(seconds / (self.hours * 3600))
        return min(max(spent), 1.0)

    def lr_factor(self, progress: float) -> float:
        """Return the factor on `lr` at `progress` in [0, 1]: 1, then linear to `final_lr` over the last `decay`."""
        into = max(progress - (1 - self.decay), 0.0) / self.decay if self.decay else 0.0
        return 1 - into * (1 - self.final_lr)

    def ema_beta(self, kimg: float) -> float:
        """Return the per-step decay of the averaged generator after `kimg` thousand images; 0 copies."""
        half_life = min(self.ema_kimg, self.ema_rampup * kimg)
        return 0.5 ** (self.batch / 1000 / half_life) if half_life > 0 else 0.0


PRESETS = {
    "tiny": TrainConfig(resolution=16, z_dim=16, w_dim=16, mapping_layers=2, channel_base=256, channel_max=16, batch=4,
                        r1_interval=2, scenes=64, total_kimg=0.04),
    "rooms-64": TrainConfig(resolution=64, scenes=24576, variety="calm", total_kimg=800.0),
    "rooms-64-wide": TrainConfig(resolution=64, channel_base=4096, channel_max=256, batch=64, compile=True,
                                 scenes=65536, variety="calm", total_kimg=2500.0),
    "rooms-128": TrainConfig(resolution=128, channel_base=4096, channel_max=256, batch=64, r1_gamma=1.0, compile=True,
                             scenes=65536, variety="calm", total_kimg=2500.0),
}  # fmt: skip


def find_preset(name: str) -> TrainConfig:
    """Return the preset called `name`; raises UserError if there is none."""
    if name not in PRESETS:
        raise UserError(f"`preset={name}`: unknown; choose from {', '.join(PRESETS)}")
    return PRESETS[name]
