"""Panels: who tells what, and who is named for it."""

from __future__ import annotations

import pytest
import torch

from sgi.engine.errors import UserError
from sgi.trainer.teachers import Teacher, load_teacher
from sgi.trainer.teachers.panel import Panel, teacher_of


def image():
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_the_first_that_can_tells_a_type():
    retinex, luminance = load_teacher("analytic:retinex"), load_teacher("analytic:luminance")
    panel = load_teacher("analytic:luminance+analytic:retinex+analytic:sobel")
    assert isinstance(panel, Teacher)
    assert panel.types == ("luminance", "shading", "albedo", "edges")
    target = panel(image(), ["albedo", "shading", "edges"])
    assert list(target) == ["albedo", "shading", "edges"]
    assert torch.equal(target["shading"], luminance(image(), ["shading"])["shading"])
    assert torch.equal(target["albedo"], retinex(image(), ["albedo"])["albedo"])
    assert not torch.equal(target["shading"], retinex(image(), ["shading"])["shading"])


def test_members_are_named_for_what_they_tell():
    panel = load_teacher("analytic:luminance+analytic:sobel")
    assert teacher_of(panel, "edges").sha256 == load_teacher("analytic:sobel").sha256
    assert teacher_of(panel, "shading").name == "analytic luminance"
    alone = load_teacher("analytic:sobel")
    assert teacher_of(alone, "edges") is alone
    assert panel.sha256 != load_teacher("analytic:sobel+analytic:luminance").sha256
    with pytest.raises(UserError, match="--type depth: teacher analytic luminance .* tells only luminance, shading"):
        panel(image(), ["depth"])


def test_a_plus_in_a_path_joins_nothing(tmp_path):
    with pytest.raises(UserError, match=r"a\+b"):
        load_teacher(f"onnx:{tmp_path}/a+b.yaml")
    with pytest.raises(UserError, match=r"c\+d"):
        load_teacher(f"{tmp_path}/c+d.safetensors+analytic:sobel")


def test_members_must_take_the_same_pictures():
    other = load_teacher("analytic:sobel")
    other.input_range = (-1.0, 1.0)
    with pytest.raises(UserError, match=r"analytic sobel takes pictures in \(-1.0, 1.0\)"):
        Panel([load_teacher("analytic:luminance"), other])


def test_the_bundled_teacher_tells_every_built_in_type():
    bundled = load_teacher("bundled")
    types = ("depth", "normal", "albedo", "shading", "segmentation", "mask-bed", "edges")
    target = bundled(image(), types)
    assert {name: codes.shape[1] for name, codes in target.items()} == dict(
        zip(types, (1, 3, 3, 1, 3, 1, 1), strict=True)
    )
    assert bundled.classes == teacher_of(bundled, "segmentation").classes != ()
    assert bundled.features(image()).shape[0] == 2
