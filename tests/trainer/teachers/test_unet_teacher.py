"""U-Net teachers and their files: round trips, hashes, and one error line for invalid files."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from sgi.engine.bundle import TEACHER
from sgi.engine.errors import UserError
from sgi.engine.files import sha256_file
from sgi.trainer.teachers import Teacher, load_teacher, register_teacher
from sgi.trainer.teachers.codes import mirror
from sgi.trainer.teachers.joint_teacher import JointTeacher
from sgi.trainer.teachers.unet import TYPES
from sgi.trainer.teachers.unet_teacher import (
    TEACHER_FILE,
    UNetTeacher,
    load_unet_teacher,
    rounded,
    save_unet_teacher,
)


@pytest.fixture
def image():
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_implements_the_protocol(net):
    teacher = UNetTeacher(net, "tiny")
    assert isinstance(teacher, Teacher)
    assert teacher.types == (*TYPES, "segmentation", *(f"mask-{label}" for label in teacher.classes))
    assert teacher.resolution == 16
    assert not any(parameter.requires_grad for parameter in teacher.net.parameters())


def test_predicts_the_requested_types(net, image):
    teacher = UNetTeacher(net, "tiny")
    codes = teacher(image, ("albedo", "depth"))
    assert list(codes) == ["albedo", "depth"]
    assert codes["albedo"].shape == (2, 3, 16, 16)
    straight, mirrored = net(image), net(image.flip(-1))
    for name, code in codes.items():
        torch.testing.assert_close(code, ((straight[name] + mirrored[name].flip(-1)) / 2).clamp(0, 1))
    assert teacher.segment(image).shape == (2, 3, 16, 16)
    assert teacher.features(image).shape == (2, 16)


def test_without_mirroring_predictions_are_those_of_the_network(net, image):
    net.config = dataclasses.replace(net.config, mirrored=False)
    target, raw = UNetTeacher(net, "tiny")(image, TYPES), net(image)
    for name in TYPES:
        assert torch.equal(target[name], raw[name].clamp(0, 1))


def test_mirrored_picture_gives_mirrored_maps(net, image):
    teacher = UNetTeacher(net, "tiny")
    target, seen = teacher(image, teacher.types), teacher(image.flip(-1), teacher.types)
    for name in teacher.types:
        torch.testing.assert_close(seen[name], mirror(name, target[name]))
    length = (target["normal"] * 2 - 1).norm(dim=1)
    torch.testing.assert_close(length, torch.ones_like(length))


def test_predictions_do_not_depend_on_the_batch(net, image):
    teacher = UNetTeacher(net, "tiny")
    torch.testing.assert_close(teacher(image, TYPES)["normal"][1:], teacher(image[1:], TYPES)["normal"])
    torch.testing.assert_close(teacher.features(image)[1:], teacher.features(image[1:]))


def test_is_differentiable_in_the_picture(net, image):
    UNetTeacher(net, "tiny")(image.requires_grad_(), ("shading",))["shading"].sum().backward()
    assert image.grad is not None
    assert image.grad.abs().max() > 0


def test_refuses_other_types_shapes_and_ranges(net, image):
    teacher = UNetTeacher(net, "tiny")
    with pytest.raises(UserError, match=r"`types=roughness`.*depth, normal, albedo, shading"):
        teacher(image, ("roughness",))
    for bad in (image[:, :1], image[..., :15], image[0]):
        with pytest.raises(ValueError, match="multiples of 4"):
            teacher(bad, TYPES)
    with pytest.raises(ValueError, match=r"values in \[0, 1\]"):
        teacher(image * 2 - 1, TYPES)
    with pytest.raises(ValueError, match=r"values in \[0, 1\]"):
        teacher(torch.full_like(image, float("nan")), TYPES)


def test_file_has_default_permissions(net, tmp_path):
    (tmp_path / "plain").touch()
    save_unet_teacher(tmp_path / "teacher.safetensors", net, "tiny")
    assert (tmp_path / "teacher.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_round_trip(net, image, tmp_path, dtype):
    path = tmp_path / "teacher.safetensors"
    sha256 = save_unet_teacher(path, net, "tiny", {"fit": {"steps": 3}}, dtype)
    teacher = load_unet_teacher(path)
    assert (teacher.name, teacher.sha256, teacher.notes) == ("tiny", sha256, {"fit": {"steps": 3}})
    assert {tensor.dtype for tensor in load_file(path).values()} == {dtype}
    assert {parameter.dtype for parameter in teacher.net.parameters()} == {torch.float32}
    expected = UNetTeacher(rounded(net, dtype), "tiny")(image, TYPES)
    for name, code in teacher(image, TYPES).items():
        assert torch.equal(code, expected[name])


def test_hash_identifies_the_network_not_the_file(net, tmp_path):
    """The network rounded to half precision has another hash; storing it again in full precision keeps that hash."""
    full = save_unet_teacher(tmp_path / "full.safetensors", net, "tiny")
    half = save_unet_teacher(tmp_path / "half.safetensors", net, "tiny", dtype=torch.float16)
    assert full == UNetTeacher(net, "tiny").sha256
    assert full != half
    again = load_unet_teacher(tmp_path / "half.safetensors").net
    assert save_unet_teacher(tmp_path / "again.safetensors", again, "other", {"note": 1}) == half
    net.config = dataclasses.replace(net.config, mirrored=False)
    assert save_unet_teacher(tmp_path / "straight.safetensors", net, "tiny") != full
    net.config = dataclasses.replace(net.config, mirrored=True)
    with torch.no_grad():
        net.head.bias[0] += 1e-3
    assert save_unet_teacher(tmp_path / "moved.safetensors", net, "tiny") != full


def test_tensors_beyond_half_precision_are_not_stored(net, tmp_path):
    net.head.bias.data[0] = 1e5
    with pytest.raises(ValueError, match=r"head\.bias is not finite"):
        save_unet_teacher(tmp_path / "teacher.safetensors", net, "tiny", dtype=torch.float16)
    assert not list(tmp_path.iterdir())


def test_load_teacher_by_spec(net, tmp_path, monkeypatch):
    path = tmp_path / "teacher.safetensors"
    sha256 = save_unet_teacher(path, net, "tiny")
    assert load_teacher(str(path)).sha256 == sha256
    assert load_teacher(f"unet:{path}").sha256 == sha256
    monkeypatch.setattr("sgi.engine.bundle.TEACHER", path)
    bundled = load_teacher()
    assert isinstance(bundled, JointTeacher)
    assert bundled.members[0].sha256 == sha256
    with pytest.raises(UserError, match=r"`teacher=zoo:giraffe`: unknown kind 'zoo'.*unet:"):
        load_teacher("zoo:giraffe")


def test_registered_kind_is_opened(net, monkeypatch):
    monkeypatch.setattr("sgi.trainer.teachers.registry._REGISTERED", {})
    register_teacher("fake", lambda argument, device: UNetTeacher(net, f"{argument} on {device}"))
    assert load_teacher("fake:a:b", "cpu").name == "a:b on cpu"
    for taken_or_misspelt in ("fake", "onnx", "F", "x", "a:b"):
        with pytest.raises(ValueError, match="taken"):
            register_teacher(taken_or_misspelt, lambda argument, device: UNetTeacher(net, ""))


def _store(path, state, header):
    save_file(state, path, metadata={TEACHER_FILE.key: header if isinstance(header, str) else json.dumps(header)})


def test_invalid_teacher_files_give_one_error_line(net, tmp_path):
    good = tmp_path / "good.safetensors"
    save_unet_teacher(good, net, "tiny")
    state = load_file(good)
    from safetensors import safe_open

    with safe_open(good, "pt") as file:
        header = json.loads(file.metadata()[TEACHER_FILE.key])
    huge = header["config"] | {"widths": [1024] * 8, "resolution": 1024}
    moved = {name: tensor + 1 for name, tensor in state.items()}
    cases = [
        (state, header | {"format": 99}, "a teacher file of format 99, this version reads 2"),
        (state, header | {"kind": "mlp"}, "a teacher of kind 'mlp'"),
        (state, {name: value for name, value in header.items() if name != "config"}, "damaged.*config"),
        (state, header | {"config": {"classes": 3}}, "damaged"),
        (state, header | {"config": huge}, "damaged"),
        (state, "[1]", "damaged header"),
        (state, "{", "damaged header"),
        (state, "[" * 100_000, "damaged header"),
        ({"head.bias": state["head.bias"]}, header, "damaged"),
        (moved, header, "do not match the sha256 in its header"),
    ]
    bad = tmp_path / "bad.safetensors"
    for tensors, text, words in cases:
        _store(bad, tensors, text)
        with pytest.raises(UserError, match=words) as caught:
            load_teacher(str(bad))
        assert "\n" not in str(caught.value)
    bad.write_bytes(good.read_bytes()[:-100])
    with pytest.raises(
        UserError,
        match="not a teacher file but a safetensors file of another length",
    ):
        load_teacher(str(bad))
    save_file(state, bad)
    with pytest.raises(UserError, match="not a teacher file.*; make one with `sgi-engine train-teacher`"):
        load_teacher(str(bad))
    with pytest.raises(UserError, match=r"`teacher=.*missing\.safetensors`: no such file; use `bundled`"):
        load_teacher(str(tmp_path / "missing.safetensors"))
    with pytest.raises(UserError, match="no such file"):
        load_teacher(f"unet:{tmp_path / 'missing.safetensors'}")


def test_bundled_file_is_written_again_byte_for_byte(tmp_path):
    teacher = load_unet_teacher(TEACHER)
    path = tmp_path / "again.safetensors"
    sha256 = save_unet_teacher(path, teacher.net, teacher.name, teacher.notes, torch.float16)
    assert sha256 == teacher.sha256 == "c75d7039e7668b6fc884d3e53aca6321dbad549413b4b772a981a9caf161e2a0"
    assert sha256_file(path) == sha256_file(TEACHER)
