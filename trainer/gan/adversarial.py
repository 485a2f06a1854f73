"""Adversarial losses of StyleGAN2: non-saturating logistic loss and R1 penalty.

Large logits classify an image as real.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional


def generator_loss(fake_logits: Tensor) -> Tensor:
    """Return the mean of softplus(-D(G(z))) over `fake_logits: [N] float32` (Goodfellow et al. 2014, section 3)."""
    return functional.softplus(-fake_logits).mean()


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return the mean of softplus(-D(x)) plus the mean of softplus(D(G(z))); both `[N] float32`."""
    return functional.softplus(-real_logits).mean() + functional.softplus(fake_logits).mean()


def r1_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """Return E[|grad_x D(x)|^2] over `real: [N, C, H, W] float32`, differentiable (Mescheder et al. 2018, eq. 9).

    The caller multiplies by gamma / 2.
    """
    real = real.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()
