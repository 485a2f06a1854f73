"""Marigold as a teacher, loaded by the library from files of tiny random weights, without network."""

from __future__ import annotations

import json
import shutil
import sys
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_hub import save_marigold
from tolerances import STORED_CODE

from sgi.engine import intrinsics
from sgi.engine.errors import UserError
from sgi.trainer.scenes.srgb import srgb_decode, srgb_encode
from sgi.trainer.teachers import Teacher, load_teacher

SIDE = 24
LINEAR = {"prediction_space": "linear", "up_to_scale": True}
TARGETS: dict[str, dict[str, Any]] = {
    "Depth": {"scale_invariant": True, "shift_invariant": True},
    "Normals": {"use_full_z_range": True},
    "Intrinsics": {
        "targets": 3,
        "target_properties": {
            "target_names": ["albedo", "shading", "residual"],
            **dict.fromkeys(("albedo", "shading", "residual"), LINEAR),
        },
    },
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """Returns the folder of a pipeline by its kind; the pipeline is saved at the first call."""
    root = tmp_path_factory.mktemp("marigold")

    def folder(kind):
        return root / kind if (root / kind).exists() else save_marigold(kind, root / kind, **TARGETS[kind])

    return folder


@pytest.fixture
def image():
    return torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def predictions(folder, kind, image, **settings):
    """Predictions of the library's example code for each picture, [N, targets, C, H, W]."""
    import diffusers

    pipeline = getattr(diffusers, f"Marigold{kind}Pipeline").from_pretrained(folder)
    return torch.stack(
        [
            pipeline(picture[None], generator=torch.Generator().manual_seed(0), output_type="pt", **settings).prediction
            for picture in image
        ]
    )


def test_depth_equals_that_of_the_library(hub, image):
    teacher = load_teacher(f"diffusers:{hub('Depth')}")
    assert isinstance(teacher, Teacher)
    assert teacher.types == ("depth",)
    assert teacher.resolution == 16
    target = teacher(image, ["depth"])["depth"]
    assert target.std() > 0.01
    # Marigold returns 0 for near and 1 for far, like our values.
    values = intrinsics.decode("depth", target.numpy())
    np.testing.assert_allclose(values, predictions(hub("Depth"), "Depth", image)[:, 0], atol=1e-5)


def test_disparity_is_large_where_near(tmp_path, image):
    """A depth pipeline states depth, 0 near to 1 far, or disparity, 1 near to 0 far."""
    folder = save_marigold("Depth", tmp_path / "model", prediction_type="disparity")
    teacher = load_teacher(f"diffusers:{folder}")
    assert "inverse depth" in teacher.name
    values = intrinsics.decode("depth", teacher(image, ["depth"])["depth"].numpy())
    np.testing.assert_allclose(values, 1 - predictions(folder, "Depth", image)[:, 0], atol=1e-5)
    index = json.loads((folder / "model_index.json").read_text())
    for stated in (None, "normals"):
        (folder / "model_index.json").write_text(json.dumps(index | {"prediction_type": stated}))
        with pytest.raises(UserError, match=f"states the prediction_type {stated}, not depth or disparity"):
            load_teacher(f"diffusers:{folder}")


def test_normals_equal_those_of_the_library(hub, image):
    teacher = load_teacher(f"diffusers:{hub('Normals')}")
    assert teacher.types == ("normal",)
    values = intrinsics.decode("normal", teacher(image, ["normal"])["normal"].numpy())
    expected = predictions(hub("Normals"), "Normals", image)[:, 0]
    expected = torch.nn.functional.normalize(expected, dim=1)
    np.testing.assert_allclose(values, expected, atol=STORED_CODE)


def test_albedo_and_shading_equal_those_of_the_library_after_scaling(hub, image):
    teacher = load_teacher(f"diffusers:{hub('Intrinsics')}")
    assert teacher.types == ("albedo", "shading")
    codes = teacher(image, teacher.types)
    assert codes["albedo"].shape == (2, 3, SIDE, SIDE)
    assert codes["shading"].shape == (2, 1, SIDE, SIDE)
    albedo, light, _ = predictions(hub("Intrinsics"), "Intrinsics", image).unbind(1)
    bright = torch.tensor(np.quantile(albedo.flatten(1).numpy(), 0.99, axis=1), dtype=torch.float32)
    albedo = albedo * (0.9 / bright)[:, None, None, None]
    torch.testing.assert_close(codes["albedo"], srgb_encode(albedo), rtol=0, atol=STORED_CODE)
    grey = (light * torch.tensor([0.2126, 0.7152, 0.0722])[:, None, None]).sum(1, keepdim=True)
    for picture, a, s, code in zip(srgb_decode(image), albedo, grey, codes["shading"], strict=True):
        product = (a * s).flatten()
        scale = torch.linalg.lstsq(product[:, None], picture.flatten()[:, None]).solution.item()
        torch.testing.assert_close(code, srgb_encode(s * scale / 1.5), rtol=0, atol=STORED_CODE)


def test_an_albedo_in_srgb_keeps_its_scale(tmp_path, image):
    properties = {"target_names": ["albedo"], "albedo": {"prediction_space": "srgb", "up_to_scale": False}}
    folder = save_marigold("Intrinsics", tmp_path / "model", target_properties=properties)
    teacher = load_teacher(f"diffusers:{folder}")
    assert teacher.types == ("albedo",)
    expected = predictions(folder, "Intrinsics", image)[:, 0]
    torch.testing.assert_close(teacher(image, ["albedo"])["albedo"], expected, rtol=0, atol=STORED_CODE)


def test_predictions_are_repeatable_and_do_not_depend_on_the_batch(hub, image):
    teacher = load_teacher(f"diffusers:{hub('Depth')}")
    together = teacher(image, ["depth"])["depth"]
    assert torch.equal(teacher(image, ["depth"])["depth"], together)
    assert torch.equal(teacher(image[1:], ["depth"])["depth"], together[1:])


def test_options_reach_the_pipeline_and_the_hash(hub, image):
    plain = load_teacher(f"diffusers:{hub('Depth')}")
    other = load_teacher(f"diffusers:{hub('Depth')}?steps=1&ensemble=3&size=8")
    assert plain.sha256 != other.sha256
    expected = predictions(
        hub("Depth"), "Depth", image, num_inference_steps=1, ensemble_size=3, processing_resolution=8
    )
    torch.testing.assert_close(other(image, ["depth"])["depth"], 1 - expected[:, 0])


def test_hash_covers_the_weights(hub, tmp_path):
    first = load_teacher(f"diffusers:{hub('Depth')}").sha256
    copy = shutil.copytree(hub("Depth"), tmp_path / "copy")
    assert load_teacher(f"diffusers:{copy}").sha256 == first
    path = copy / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    name = next(iter(weights))
    save_file(weights | {name: weights[name] + 1e-3}, path, metadata={"format": "pt"})
    assert load_teacher(f"diffusers:{copy}").sha256 != first


def _change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def _drop_a_weight(folder):
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    del weights["conv_in.weight"]
    save_file(weights, path, metadata={"format": "pt"})


def _make_a_pickle(folder):
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(path), path.with_suffix(".bin"))
    path.unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_drop_a_weight, r"conv_in\.weight is not in its file"),
        (_make_a_pickle, "cannot be loaded"),
        (lambda folder: (folder / "unet" / "config.json").write_text("{"), "cannot be loaded"),
        (lambda folder: (folder / "model_index.json").unlink(), "cannot be loaded"),
        (lambda folder: shutil.rmtree(folder / "tokenizer"), "its tokenizer has . tokens, its text encoder 4"),
        (
            lambda folder: (folder / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"\xff" * 64),
            "cannot be loaded",
        ),
        (
            lambda folder: _change(folder / "model_index.json", _class_name="StableDiffusionPipeline"),
            "pipeline class StableDiffusionPipeline is not supported",
        ),
        (
            lambda folder: _change(folder / "model_index.json", unet=["evil", "Evil"]),
            r"its unet is \['evil', 'Evil'\], not UNet2DConditionModel",
        ),
        (lambda folder: _change(folder / "model_index.json", scheduler=None), "its scheduler is None"),
        (
            lambda folder: _change(folder / "model_index.json", default_denoising_steps=None),
            r"has no default number of steps; add \?steps=4",
        ),
        (
            lambda folder: _change(folder / "model_index.json", default_processing_resolution=None),
            r"has no default size; add \?size=768",
        ),
    ],
)
def test_damaged_and_unsupported_pipelines_give_one_error_line(damage, message, hub, tmp_path):
    copy = shutil.copytree(hub("Depth"), tmp_path / "copy")
    damage(copy)
    with pytest.raises(UserError, match=f"`teacher=diffusers:.*{message}"):
        load_teacher(f"diffusers:{copy}")


def test_code_in_the_model_folder_is_not_run(hub, tmp_path):
    copy = shutil.copytree(hub("Depth"), tmp_path / "copy")
    (copy / "pipeline.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    _change(copy / "model_index.json", _class_name=["pipeline", "Evil"])
    with pytest.raises(UserError, match="is not supported"):
        load_teacher(f"diffusers:{copy}")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("size=9", "size=9: must be a multiple of 2"),
        ("steps=0", "steps=0: must be a positive whole number"),
        ("far=3", "'far=3' is not an option"),
    ],
)
def test_invalid_options_are_refused(options, message, hub):
    with pytest.raises(UserError, match=message):
        load_teacher(f"diffusers:{hub('Depth')}?{options}")


def test_an_intrinsics_model_without_albedo_is_refused(tmp_path):
    properties = {"target_names": ["roughness"]}
    folder = save_marigold("Intrinsics", tmp_path / "model", target_properties=properties)
    with pytest.raises(
        UserError, match=r"target_properties name \['roughness'\]: expected 1 targets, one of them albedo"
    ):
        load_teacher(f"diffusers:{folder}")


def test_missing_package_names_the_pip_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(UserError, match=r'`teacher=diffusers:x`: needs diffusers.*"sgi-engine\[teachers\]"'):
        load_teacher("diffusers:x")
