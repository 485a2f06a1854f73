"""The discriminator: minibatch standard deviation, joint passes and precision."""

from __future__ import annotations

import pytest
import torch
from tolerances import CLOSED_FORM, RMS_BF16, RMS_FP32

from sgi.trainer.gan.discriminator import Discriminator, EqualConv2d, minibatch_std


@pytest.fixture
def discriminator():
    torch.manual_seed(0)
    return Discriminator(16, 256, 16)


def rms(difference, reference):
    return (difference.square().mean() / reference.square().mean()).sqrt().item()


def test_minibatch_std_of_two_groups():
    # The standard deviation of the first group is 1 at every pixel, that of the second 0.
    x = torch.tensor([1.0, 3.0, 5.0, 5.0])[:, None, None, None].expand(4, 2, 3, 3)
    y = minibatch_std(x, group=2)
    assert y.shape == (4, 3, 3, 3)
    assert torch.equal(y[:, :2], x)
    assert y[:2, 2].flatten().tolist() == pytest.approx([1.0] * 18, rel=CLOSED_FORM)
    assert y[2:, 2].abs().max() <= 1.01e-4


def test_real_and_fake_images_in_one_pass_are_in_separate_groups(discriminator):
    real, fake = torch.randn(4, 3, 16, 16), torch.randn(4, 3, 16, 16) * 3
    together = discriminator(torch.cat([real, fake]))
    apart = torch.cat([discriminator(real), discriminator(fake)])
    assert rms(together - apart, apart) < RMS_FP32


def test_logits_depend_on_the_other_images_of_the_group(discriminator):
    x = torch.randn(4, 3, 16, 16)
    y = x.clone()
    y[1:] = x[0]
    assert discriminator(x)[0] != discriminator(y)[0]


def test_bfloat16_is_close_to_float32(discriminator):
    x = torch.randn(8, 3, 16, 16)
    full = discriminator(x)
    assert full.shape == (8,)
    half = discriminator(x, torch.bfloat16)
    assert half.dtype == torch.float32
    assert rms(half - full, full) < RMS_BF16


def test_equalised_convolution_preserves_unit_variance():
    torch.manual_seed(0)
    y = EqualConv2d(64, 256, 3)(torch.randn(4, 64, 16, 16))[:, :, 1:-1, 1:-1]
    assert y.std().item() == pytest.approx(1, rel=0.05)
