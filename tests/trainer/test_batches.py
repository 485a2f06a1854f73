"""Batches of images and latents depend only on the seed and the step."""

from __future__ import annotations

import pytest
import torch
from noise_images import NoiseImages

from sgi.trainer.batches import RealImages, latents, step_generator

CPU = torch.device("cpu")


@pytest.fixture
def images():
    return NoiseImages()


def test_every_image_occurs_once_in_an_epoch(images):
    real = RealImages(images, 4, 0, flips=False, device=CPU)
    seen = torch.cat([real.indices(step) for step in range(13)])
    for epoch in seen.reshape(4, 13):
        assert sorted(epoch.tolist()) == list(range(13))
    assert not torch.equal(seen[:13], seen[13:26])


def test_batches_are_images_scaled_to_minus_one_to_one(images):
    real = RealImages(images, 4, 0, flips=False, device=CPU)
    expected = images.codes[real.indices(5)].float() / 127.5 - 1
    torch.testing.assert_close(real.batch(5), expected)


def test_flips_mirror_about_half_of_the_images(images):
    plain = RealImages(images, 4, 0, flips=False, device=CPU)
    flipped = RealImages(images, 4, 0, flips=True, device=CPU)
    mirrored = 0
    for step in range(25):
        for a, b in zip(plain.batch(step), flipped.batch(step), strict=True):
            same, mirror = torch.equal(a, b), torch.equal(a.flip(2), b)
            assert same != mirror
            mirrored += mirror
    assert 30 < mirrored < 70


def test_draws_depend_only_on_seed_and_step(images):
    one, other = (RealImages(images, 4, 0, True, CPU) for _ in range(2))
    one.batch(0)
    assert torch.equal(one.batch(7), other.batch(7))
    assert torch.equal(latents(0, 7, 4, 8, CPU), latents(0, 7, 4, 8, CPU))
    assert not torch.equal(latents(0, 7, 4, 8, CPU), latents(0, 8, 4, 8, CPU))
    assert not torch.equal(latents(0, 7, 4, 8, CPU), latents(1, 7, 4, 8, CPU))
    assert not torch.equal(one.indices(0), RealImages(images, 4, 1, True, CPU).indices(0))


def test_streams_of_one_step_are_independent():
    draws = [torch.rand(4, generator=step_generator(seed, 5, stream)) for seed in (0, 1) for stream in (0, 1, 2)]
    assert len({tuple(draw.tolist()) for draw in draws}) == 6
