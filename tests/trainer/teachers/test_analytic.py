"""Analytic teachers against other implementations of their formulas and against pictures with known layers."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from tolerances import CLOSED_FORM

from sgi.engine import intrinsics
from sgi.engine.errors import UserError
from sgi.trainer.scenes.srgb import srgb_decode, srgb_encode
from sgi.trainer.teachers import Teacher, load_teacher
from sgi.trainer.teachers.analytic_teacher import FORMULAS
from sgi.trainer.teachers.luminance import WHITE_ALBEDO, WHITE_QUANTILE
from sgi.trainer.teachers.retinex import FLOOR, integrate, retinex


@pytest.fixture
def image():
    return torch.rand(2, 3, 12, 10, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def room():
    """(picture, albedo, shading) of three flat albedos, one above the other; shading falls from left to right."""
    colours = torch.tensor([[0.9, 0.9, 0.9], [0.5, 0.2, 0.1], [0.1, 0.3, 0.6]])
    albedo = colours.repeat_interleave(8, 0).T[None, :, :, None].expand(1, 3, 24, 24)
    shading = torch.linspace(1.0, 0.4, 24).expand(1, 1, 24, 24)
    return srgb_encode(albedo * shading), albedo, shading


@pytest.mark.parametrize("kind", FORMULAS)
def test_predicts_every_declared_type(kind, image):
    teacher = load_teacher(f"analytic:{kind}")
    assert isinstance(teacher, Teacher)
    assert teacher.classes == ()
    codes = teacher(image, teacher.types)
    assert tuple(codes) == teacher.types
    for name, code in codes.items():
        channels = 1 if name == "luminance" else intrinsics.get(name).channels
        assert code.shape == (2, channels, 12, 10)
        assert code.dtype == torch.float32
        assert 0 <= code.min() <= code.max() <= 1
        one = teacher(image[1:], [name])[name]
        torch.testing.assert_close(one, code[1:])


@pytest.mark.parametrize("kind", [kind for kind in FORMULAS if kind != "canny"])
def test_gradients_are_finite_where_the_picture_is_flat_and_black(kind, image):
    image[:, :, :6] = 0
    teacher = load_teacher(f"analytic:{kind}")
    image.requires_grad_()
    torch.stack([code.sum() for code in teacher(image, teacher.types).values()]).sum().backward()
    assert torch.isfinite(image.grad).all()
    assert image.grad.abs().max() > 0


def test_hashes_of_formulas_are_distinct():
    hashes = {load_teacher(f"analytic:{kind}").sha256 for kind in FORMULAS}
    assert len(hashes) == len(FORMULAS)
    assert all(len(digest) == 64 for digest in hashes)


def test_hash_is_that_of_existing_offset_files():
    """The wording of a formula's note is part of its hash."""
    assert {kind: load_teacher(f"analytic:{kind}").sha256[:16] for kind in ("sobel", "luminance", "retinex")} == {
        "sobel": "244cbb97a4d7547c",
        "luminance": "a49c5d67e78f9996",
        "retinex": "4592b5dde24d5c4a",
    }


def test_unknown_formula_is_refused():
    with pytest.raises(UserError, match=r"`teacher=analytic:prewitt`: choose from sobel, canny, luminance, retinex"):
        load_teacher("analytic:prewitt")


def test_canny_without_kornia_names_the_pip_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "kornia", None)
    with pytest.raises(UserError, match=r'`teacher=analytic:canny`.*pip install "sgi-engine\[teachers\]"'):
        load_teacher("analytic:canny")


def test_sobel_equals_that_of_kornia(image):
    from kornia.filters import sobel

    luma = (image * torch.tensor([0.2126, 0.7152, 0.0722])[:, None, None]).sum(1, keepdim=True)
    edges = load_teacher("analytic:sobel")(image, ["edges"])["edges"]
    # The weights of kornia's taps sum to a half on each side of a pixel.
    torch.testing.assert_close(edges, (2 * sobel(luma, eps=0.0)).clamp(0, 1), rtol=0, atol=2e-6)


def test_a_straight_step_has_strength_one():
    image = torch.zeros(1, 3, 6, 6)
    image[..., 3:] = 1
    edges = load_teacher("analytic:sobel")(image, ["edges"])["edges"][0, 0]
    expected = torch.tensor([0.0, 0, 1, 1, 0, 0]).expand(6, 6)
    torch.testing.assert_close(edges, expected, rtol=0, atol=2e-6)


def test_canny_edges_are_thin_and_closed():
    image = torch.zeros(1, 3, 32, 32)
    image[..., 8:24, 8:24] = 1
    edges = load_teacher("analytic:canny")(image, ["edges"])["edges"][0, 0]
    assert set(edges.unique().tolist()) == {0.0, 1.0}
    assert edges[12:20, 12:20].sum() == 0
    for row in (12, 16, 19):
        assert edges[row].sum() == 2


def test_luminance_weights_are_those_of_bt709(image):
    teacher = load_teacher("analytic:luminance")
    pure = torch.eye(3)[:, :, None, None].expand(3, 3, 4, 4)
    codes = teacher(pure, ["luminance", "shading"])
    np.testing.assert_allclose(codes["luminance"][:, 0, 0, 0].numpy(), [0.2126, 0.7152, 0.0722], atol=CLOSED_FORM)
    values = intrinsics.decode("shading", codes["shading"].numpy())[:, 0, 0, 0]
    np.testing.assert_allclose(values, [0.2126, 0.7152, 0.0722], atol=1e-5)


def test_integration_inverts_differences():
    field = torch.randn(2, 1, 7, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = integrate(field.diff(dim=-1), field.diff(dim=-2))
    torch.testing.assert_close(found, field - field.mean(dim=(-1, -2), keepdim=True))


def test_integration_is_the_least_squares_solution():
    """Against a dense solver, for steps that are not the differences of any map."""
    generator = torch.Generator().manual_seed(2)
    along_x = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    along_y = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    unit = torch.eye(20, dtype=torch.float64).reshape(20, 4, 5)
    design = torch.cat([unit.diff(dim=-1).flatten(1), unit.diff(dim=-2).flatten(1)], dim=1).T
    steps = torch.cat([along_x.flatten(), along_y.flatten()])
    expected = torch.linalg.lstsq(design, steps[:, None], driver="gelsd").solution.reshape(4, 5)
    torch.testing.assert_close(integrate(along_x, along_y), expected - expected.mean())


def test_retinex_separates_albedo_from_shading(room):
    image, albedo, shading = room
    target, light = retinex(image)
    assert (target / target.max() - albedo / albedo.max()).abs().max() < 0.03
    assert (light / light.max() - shading / shading.max()).abs().max() < 0.03
    # The picture itself is not a good albedo.
    linear = srgb_decode(image)
    assert (linear / linear.max() - albedo / albedo.max()).abs().max() > 0.3


def test_retinex_product_is_the_picture(room):
    image, _, _ = room
    target, light = retinex(image)
    torch.testing.assert_close(target * light, srgb_decode(image) + FLOOR)
    bright = torch.quantile(target.flatten(1), WHITE_QUANTILE, dim=1)
    torch.testing.assert_close(bright, torch.tensor([WHITE_ALBEDO]))


def test_retinex_attributes_changes_of_colour_to_albedo():
    """Two albedos of almost equal luminance: only the colour threshold detects the border."""
    weights = torch.tensor([0.2126, 0.7152, 0.0722])
    red, green = torch.tensor([0.6, 0.1, 0.1]), torch.tensor([0.1, 0.25, 0.1])
    green = green * 1.06 * (red @ weights) / (green @ weights)
    albedo = torch.cat([red.expand(4, 8, 3), green.expand(4, 8, 3)]).permute(2, 0, 1)[None]
    light = torch.linspace(1.0, 0.9, 8).expand(8, 8)
    _, target = retinex(srgb_encode(albedo * light))
    ratio = target[0, 0] / light
    torch.testing.assert_close(ratio / ratio.mean(), torch.ones(8, 8), rtol=0, atol=0.01)
