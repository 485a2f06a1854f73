"""Each baseline solves the case it is made for exactly, and not the next harder one."""

from __future__ import annotations

import pytest
import torch
from tolerances import SOLVED_FVU

from sgi.trainer.measures.by_type import fvu
from sgi.trainer.offsets import baselines
from sgi.trainer.offsets.baselines import RIDGE_LAMBDAS
from sgi.trainer.offsets.spaces import random_like

SHAPE = (300, 3, 5, 7)


@pytest.fixture
def noise():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def images(noise):
    return torch.rand(SHAPE, generator=noise)


def held_fvu(predict, inputs, codes, fitted=200):
    return fvu(predict(inputs[fitted:]), codes[fitted:], baselines.mean_map(codes[:fitted]))


def test_global_affine_solves_an_affine_colour_target(images, noise):
    matrix, bias = torch.randn(3, 2, generator=noise), torch.randn(2, generator=noise)
    codes = torch.einsum("nihw,ic->nchw", images, matrix) + bias[None, :, None, None]
    predict = baselines.global_affine(images[:200], codes[:200])
    assert held_fvu(predict, images, codes) < SOLVED_FVU


def test_global_affine_supports_grey_pictures(images):
    grey = images[:, :1].expand(-1, 3, -1, -1)
    predict = baselines.global_affine(grey[:200], 1 - grey[:200])
    assert held_fvu(predict, grey, 1 - grey) < SOLVED_FVU


def test_pixel_affine_solves_a_target_that_differs_by_pixel(images, noise):
    matrix, bias = torch.randn(2, 3, 5, 7, generator=noise), torch.randn(2, 5, 7, generator=noise)
    codes = torch.einsum("nihw,cihw->nchw", images, matrix) + bias
    assert held_fvu(baselines.pixel_affine(images[:200], codes[:200]), images, codes) < SOLVED_FVU
    assert held_fvu(baselines.global_affine(images[:200], codes[:200]), images, codes) > 0.5


def test_pixel_affine_supports_constant_pixels(images):
    images[:, :, 0, 0] = 0.25
    codes = images[:, :1].clone()
    codes[:, :, 0, 0] = 0.75
    predict = baselines.pixel_affine(images[:200], codes[:200])
    assert predict(images[200:])[:, 0, 0, 0].tolist() == pytest.approx([0.75] * 100)


def test_chunks_do_not_change_the_result(images, noise, monkeypatch):
    w = torch.randn(300, 6, generator=noise)
    whole = baselines.pixel_affine(images, images.flip(1))(images), baselines.ridge(w, images)[0](w)
    monkeypatch.setattr(baselines, "CHUNK", 4)
    parts = baselines.pixel_affine(images, images.flip(1))(images), baselines.ridge(w, images)[0](w)
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other)


def test_ridge_solves_a_target_linear_in_w(noise):
    w = torch.randn(300, 6, generator=noise) * torch.tensor([1.0, 2, 3, 4, 5, 6]) + 7
    codes = (w @ torch.randn(6, 2 * 3 * 3, generator=noise) + 1).reshape(300, 2, 3, 3)
    predict, chosen = baselines.ridge(w[:200], codes[:200])
    assert chosen == min(RIDGE_LAMBDAS)
    assert held_fvu(predict, w, codes) < SOLVED_FVU


def test_ridge_shrinks_to_the_mean_map_when_w_is_uninformative(noise):
    w = torch.randn(300, 100, generator=noise)
    codes = torch.rand(300, 1, 4, 4, generator=noise)
    predict, chosen = baselines.ridge(w[:200], codes[:200])
    assert chosen >= 100
    assert held_fvu(predict, w, codes) == pytest.approx(1, abs=0.02)


def test_ridge_works_with_fewer_pictures_than_entries_of_w(noise):
    w = torch.randn(60, 100, generator=noise)
    codes = (w @ torch.randn(100, 4, generator=noise)).reshape(60, 1, 2, 2)
    predict, _ = baselines.ridge(w[:40], codes[:40])
    assert held_fvu(predict, w, codes, fitted=40) < 1


def test_mean_map_explains_no_variance(images):
    constant = baselines.mean_map(images[:200])
    assert constant.shape == (1, 3, 5, 7)
    assert fvu(constant.expand(100, -1, -1, -1), images[200:], constant) == 1


def test_random_offset_keeps_the_norm_of_every_row():
    tensors = {"offset": torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, 0.0], [0.1, 0.0, 0.0]])}
    drawn = random_like(tensors, seed=0)["offset"]
    assert drawn.norm(dim=1).tolist() == pytest.approx([5, 0, 0.1])
    assert not torch.equal(drawn, random_like(tensors, seed=1)["offset"])
