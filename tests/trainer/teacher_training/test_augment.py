"""Augmentation of pictures, and mirroring of maps."""

from __future__ import annotations

import torch

from sgi.trainer.scenes import render, sample_rooms
from sgi.trainer.teacher_training.augment import blur, degrade
from sgi.trainer.teachers.codes import mirror


def test_mirror_of_a_small_map():
    normal = torch.tensor([[0.9, 0.2], [0.6, 0.7], [0.1, 0.3]])[:, None]  # [3, 1, 2]
    expected = torch.tensor([[0.8, 0.1], [0.7, 0.6], [0.3, 0.1]])[:, None]
    torch.testing.assert_close(mirror("normal", normal), expected)
    assert torch.equal(mirror("albedo", normal), normal.flip(-1))


def test_mirrored_maps_equal_those_of_the_mirrored_room():
    rooms = sample_rooms(4, torch.Generator().manual_seed(5))
    straight, mirrored = render(rooms, 16), render(rooms.mirrored(), 16)
    for name in ("depth", "normal", "albedo"):
        difference = (mirror(name, straight.codes(name)) - mirrored.codes(name)).abs()
        # A ray that grazes an edge may hit the other side of it.
        assert (difference < 1e-3).float().mean() > 0.99, name
        assert (straight.codes(name) - mirrored.codes(name)).abs().mean() > 10 * difference.mean(), name


def test_mirroring_twice_is_the_identity(rooms):
    for name, code in rooms.maps.items():
        torch.testing.assert_close(mirror(name, mirror(name, code)), code)


def test_blur_of_an_impulse_is_the_gaussian():
    image = torch.zeros(2, 1, 15, 15)
    image[..., 7, 7] = 1
    sigma = torch.tensor([0.5, 1.5])
    out = blur(image, sigma)
    for picture, s in zip(out[:, 0], sigma, strict=True):
        taps = torch.exp(-0.5 * ((torch.arange(15) - 7.0) / s) ** 2) * ((torch.arange(15) - 7).abs() <= 3)
        taps = taps / taps.sum()
        torch.testing.assert_close(picture, torch.outer(taps, taps))


def test_blur_does_not_change_flat_pictures():
    flat = torch.rand(2, 3, 1, 1).expand(2, 3, 8, 12)
    torch.testing.assert_close(blur(flat, torch.tensor([0.7, 1.2])), flat.contiguous())


def test_degrade_depends_only_on_the_generator():
    image = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    out = [degrade(image, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(out[0], out[1])
    assert not torch.equal(out[0], out[2])
    assert out[0].min() >= 0
    assert out[0].max() <= 1


def test_degrade_leaves_some_pictures_unchanged_and_bounds_the_noise():
    image = torch.full((64, 3, 16, 16), 0.5)
    change = (degrade(image, torch.Generator().manual_seed(0)) - image).flatten(1)
    unchanged = (change == 0).all(1).float().mean()
    assert 0.1 < unchanged < 0.4
    assert change.std(1).max() < 0.08
    assert change.std(1).max() > 0.01


def test_degrade_softens_some_edges_and_sharpens_others():
    image = torch.full((64, 3, 16, 16), 0.3)
    image[..., 8:] = 0.7
    rows = degrade(image, torch.Generator().manual_seed(0)).mean((1, 2))  # [64, 16], most of the noise averaged away
    step = rows[:, 8] - rows[:, 7]
    assert (step < 0.35).sum() >= 10
    assert (step > 0.43).sum() >= 5
