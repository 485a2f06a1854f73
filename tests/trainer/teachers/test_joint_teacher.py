"""Joint teachers: which member predicts a type, and which member is recorded for it."""

from __future__ import annotations

import pytest
import torch

from sgi.engine.errors import UserError
from sgi.trainer.teachers import Teacher, load_teacher
from sgi.trainer.teachers.joint_teacher import JointTeacher, teacher_of


def image():
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_first_member_that_supports_a_type_predicts_it():
    retinex, luminance = load_teacher("analytic:retinex"), load_teacher("analytic:luminance")
    joint = load_teacher("analytic:luminance+analytic:retinex+analytic:sobel")
    assert isinstance(joint, Teacher)
    assert joint.types == ("luminance", "shading", "albedo", "edges")
    target = joint(image(), ["albedo", "shading", "edges"])
    assert list(target) == ["albedo", "shading", "edges"]
    assert torch.equal(target["shading"], luminance(image(), ["shading"])["shading"])
    assert torch.equal(target["albedo"], retinex(image(), ["albedo"])["albedo"])
    assert not torch.equal(target["shading"], retinex(image(), ["shading"])["shading"])


def test_teacher_of_returns_the_member():
    joint = load_teacher("analytic:luminance+analytic:sobel")
    assert teacher_of(joint, "edges").sha256 == load_teacher("analytic:sobel").sha256
    assert teacher_of(joint, "shading").name == "analytic luminance"
    alone = load_teacher("analytic:sobel")
    assert teacher_of(alone, "edges") is alone
    assert joint.sha256 != load_teacher("analytic:sobel+analytic:luminance").sha256
    with pytest.raises(
        UserError, match="`types=depth`: teacher analytic luminance .* supports only luminance, shading"
    ):
        joint(image(), ["depth"])


def test_plus_in_a_path_does_not_join(tmp_path):
    with pytest.raises(UserError, match=r"a\+b"):
        load_teacher(f"onnx:{tmp_path}/a+b.yaml")
    with pytest.raises(UserError, match=r"c\+d"):
        load_teacher(f"{tmp_path}/c+d.safetensors+analytic:sobel")


def test_members_must_have_one_input_range(monkeypatch):
    other = load_teacher("analytic:sobel")
    monkeypatch.setattr(other, "input_range", (-1.0, 1.0))
    with pytest.raises(UserError, match=r"analytic sobel takes pictures in \(-1.0, 1.0\)"):
        JointTeacher([load_teacher("analytic:luminance"), other])


def test_bundled_teacher_predicts_every_built_in_type():
    bundled = load_teacher("bundled")
    types = ("depth", "normal", "albedo", "shading", "segmentation", "mask-bed", "edges")
    target = bundled(image(), types)
    assert {name: codes.shape[1] for name, codes in target.items()} == dict(
        zip(types, (1, 3, 3, 1, 3, 1, 1), strict=True)
    )
    assert bundled.classes == teacher_of(bundled, "segmentation").classes != ()
    assert bundled.features(image()).shape[0] == 2
