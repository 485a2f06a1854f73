"""Losses against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from tolerances import CLOSED_FORM

from sgi.trainer.gan.adversarial import discriminator_loss, generator_loss, r1_penalty


def test_generator_loss_is_the_mean_of_log_one_plus_exp_minus_logit():
    expected = (math.log(2) + math.log(1 + math.exp(-2))) / 2
    assert generator_loss(torch.tensor([0.0, 2.0])).item() == pytest.approx(expected, rel=CLOSED_FORM)


def test_discriminator_loss_is_small_for_large_logits_of_real_images():
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([-2.0, 0.5])
    expected = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(-3))) / 2
    expected += (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(0.5))) / 2
    assert discriminator_loss(real, fake).item() == pytest.approx(expected, rel=CLOSED_FORM)


def test_r1_of_a_quadratic_and_its_gradient():
    # D(x) = a/2 sum x^2 has the gradient a x, so R1 = a^2 mean_n sum x^2 and dR1/da = 2 a mean_n sum x^2.
    a = torch.tensor(3.0, requires_grad=True)
    x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    energy = x.square().sum().item() / 4
    penalty = r1_penalty(lambda image: (a / 2 * image.square()).sum(dim=(1, 2, 3)), x)
    penalty.backward()
    assert a.grad is not None
    assert penalty.item() == pytest.approx(9 * energy, rel=CLOSED_FORM)
    assert a.grad.item() == pytest.approx(6 * energy, rel=CLOSED_FORM)
