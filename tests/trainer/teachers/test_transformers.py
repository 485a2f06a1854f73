"""Hugging Face models as teachers, loaded by the library from files of tiny random weights, without network.

The teacher's codes are compared with the output of the library's image processors and post-processing.
"""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_hub import MODELS, save_model

from sgi.engine import intrinsics
from sgi.engine.errors import UserError
from sgi.trainer.teachers import Teacher, load_teacher
from sgi.trainer.teachers import transformers_teacher as module
from sgi.trainer.teachers.classes import target_type
from sgi.trainer.teachers.transformers_teacher import TransformersTeacher

DEPTH = ("dpt", "depth-anything", "depth-anything-metric", "zoedepth")
SEGMENTING = ("dpt-segmenting", "segformer", "mobilenet", "mask2former")
SIDE = 48


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """Returns the folder of a model by its name; the model is saved at the first call."""
    root = tmp_path_factory.mktemp("hub")

    def folder(name):
        return root / name if (root / name).exists() else save_model(name, root / name)

    return folder


def spec_of(name, folder, *options):
    """The spec of a saved model; configs of DPT do not state what the model predicts."""
    given = [*(["depth=inverse"] if name in ("dpt", "dpt-dinov2") else []), *options]
    return f"transformers:{folder}" + ("?" + "&".join(given) if given else "")


@pytest.fixture
def image():
    """Pictures of 8-bit codes, the input of the library's processors."""
    codes = torch.randint(0, 256, (2, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.avg_pool2d(codes.float(), 5, 1, 2).round()
    return smooth / 255


def library(folder, image):
    """(model, processor, pixel_values) as in the library's examples."""
    import transformers

    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    config = transformers.AutoConfig.from_pretrained(folder)
    model = getattr(transformers, config.architectures[0]).from_pretrained(folder).eval()
    arrays = [(picture * 255).byte().permute(1, 2, 0).numpy() for picture in image]
    return model, processor, processor(images=arrays, return_tensors="pt")["pixel_values"]


@pytest.mark.parametrize("name", MODELS)
def test_network_input_equals_output_of_the_image_processor(name, hub, image):
    _, _, expected = library(hub(name), image)
    teacher = load_teacher(spec_of(name, hub(name)))
    assert isinstance(teacher, TransformersTeacher)
    found = teacher.preprocessing(image)
    assert found.shape == expected.shape
    # The library resamples 8-bit codes, in which a step is 0.016 of a standard deviation.
    torch.testing.assert_close(found, expected, rtol=0, atol=0.02)


@pytest.mark.parametrize("name", DEPTH)
@torch.no_grad()
def test_depth_equals_the_depth_of_the_library(name, hub, image):
    model, _, _ = library(hub(name), image)
    teacher = load_teacher(spec_of(name, hub(name)))
    assert isinstance(teacher, Teacher)
    assert isinstance(teacher, TransformersTeacher)
    assert teacher.types == ("depth",)
    assert teacher.classes == ()
    target = teacher(image, ["depth"])["depth"]
    raw = model(pixel_values=teacher.preprocessing(image)).predicted_depth[:, None]
    border = int(np.sqrt(SIDE / 2) * 3) if name == "zoedepth" else 0
    whole = SIDE + 2 * border
    depth = torch.nn.functional.interpolate(raw, (whole, whole), mode="bicubic", align_corners=False)
    depth = depth[..., border : border + SIDE, border : border + SIDE]
    if name in ("dpt", "depth-anything"):
        assert "inverse depth" in teacher.name
        low, high = np.quantile(depth.flatten(1).numpy(), [0.02, 0.98], axis=1)[..., None, None, None]
        np.testing.assert_allclose(target, ((depth.numpy() - low) / (high - low)).clip(0, 1), atol=1e-4)
    else:
        assert "metres over 10 m" in teacher.name
        torch.testing.assert_close(target, (1 - depth / 10).clamp(0, 1))
        target = load_teacher(spec_of(name, hub(name), "far=25"))(image, ["depth"])["depth"]
        torch.testing.assert_close(target, (1 - depth / 25).clamp(0, 1))
    assert target.shape == (2, 1, SIDE, SIDE)
    assert target.std() > 0.003


@pytest.mark.parametrize("name", ["dpt", "dpt-dinov2"])
@torch.no_grad()
def test_dpt_heads_are_read_as_the_user_states(name, hub, image):
    """Published heads predict either: dpt-large inverse depth, dpt-dinov2-small-nyu metres. Their configs are alike."""
    with pytest.raises(UserError, match="its config does not state what it predicts; add the option depth=metric if"):
        load_teacher(f"transformers:{hub(name)}")
    inverse = load_teacher(f"transformers:{hub(name)}?depth=inverse")
    metric = load_teacher(f"transformers:{hub(name)}?depth=metric&far=25")
    assert "inverse depth" in inverse.name
    assert "metres over 25 m" in metric.name
    assert inverse.sha256 != metric.sha256
    assert isinstance(metric, TransformersTeacher)
    model, _, _ = library(hub(name), image)
    raw = model(pixel_values=metric.preprocessing(image)).predicted_depth[:, None]
    depth = torch.nn.functional.interpolate(raw, (SIDE, SIDE), mode="bicubic", align_corners=False)
    near = metric(image, ["depth"])["depth"]
    torch.testing.assert_close(near, (1 - depth / 25).clamp(0, 1))
    large = inverse(image, ["depth"])["depth"]
    assert np.corrcoef(large.flatten(), depth.flatten())[0, 1] > 0
    assert np.corrcoef(near.flatten(), depth.flatten())[0, 1] < 0


def test_a_config_that_states_the_depth_of_dpt_is_believed(hub, tmp_path):
    copy = shutil.copytree(hub("dpt"), tmp_path / "copy")
    _change(copy, depth_estimation_type="metric")
    assert "metres over 10 m" in load_teacher(f"transformers:{copy}").name


@pytest.mark.parametrize("name", SEGMENTING)
@torch.no_grad()
def test_segmentation_equals_that_of_the_library(name, hub, image):
    model, processor, _ = library(hub(name), image)
    teacher = load_teacher(spec_of(name, hub(name)))
    assert isinstance(teacher, Teacher)
    assert isinstance(teacher, TransformersTeacher)
    outputs = model(pixel_values=teacher.preprocessing(image))
    expected = processor.post_process_semantic_segmentation(outputs, target_sizes=[(SIDE, SIDE)] * 2)
    codes = teacher(image, teacher.types)
    described = target_type(teacher, "segmentation")
    assert described.classes == teacher.classes == tuple(model.config.id2label.values())
    labels = intrinsics.decode(described, codes["segmentation"].numpy())[:, 0]
    assert len(np.unique(labels)) > 1
    np.testing.assert_array_equal(labels, torch.stack(expected).numpy())
    masks = {mask: codes[mask] for mask in teacher.types if mask != "segmentation"}
    assert set(masks) == {intrinsics.mask_name(label) for label in teacher.classes}
    torch.testing.assert_close(sum(masks.values()), torch.ones(2, 1, SIDE, SIDE))


@torch.no_grad()
def test_chosen_classes_and_other(hub, image):
    everything = load_teacher(f"transformers:{hub('segformer')}")
    teacher = load_teacher(f"transformers:{hub('segformer')}?classes=flooring,bed")
    assert teacher.classes == ("other", "flooring", "bed")
    assert teacher.types == ("segmentation", "mask-other", "mask-flooring", "mask-bed")
    assert teacher.sha256 != everything.sha256
    all_codes, codes = everything(image, everything.types), teacher(image, teacher.types)
    torch.testing.assert_close(codes["mask-flooring"], all_codes["mask-floor-flooring"])
    torch.testing.assert_close(codes["mask-bed"], all_codes["mask-bed"])
    torch.testing.assert_close(codes["mask-other"], all_codes["mask-wall"] + all_codes["mask-lamp"])


def test_classes_with_one_mask_name_share_a_mask(hub):
    teacher = load_teacher(f"transformers:{hub('segformer')}")
    assert teacher.classes == ("wall", "floor, flooring", "bed ", "lamp", "Lamp")
    assert teacher.types == ("segmentation", "mask-wall", "mask-floor-flooring", "mask-bed", "mask-lamp")


@pytest.mark.parametrize("name", ["dpt", "zoedepth", "segformer", "mask2former"])
def test_is_differentiable_in_the_picture(name, hub, image):
    teacher = load_teacher(spec_of(name, hub(name)))
    assert isinstance(teacher, TransformersTeacher)
    image.requires_grad_()
    kind = "depth" if name in DEPTH else "mask-wall"
    teacher(image, [kind])[kind].square().sum().backward()
    assert image.grad.abs().max() > 0
    assert not any(parameter.requires_grad for parameter in teacher.model.parameters())


def test_predictions_do_not_depend_on_batch_or_chunk(hub, image, monkeypatch):
    teacher = load_teacher(spec_of("dpt", hub("dpt")))
    together = teacher(image, ["depth"])["depth"]
    monkeypatch.setattr(teacher, "chunk", 1)
    torch.testing.assert_close(teacher(image, ["depth"])["depth"], together)


def test_hash_covers_weights_and_settings(hub, tmp_path):
    first = load_teacher(f"transformers:{hub('zoedepth')}")
    copy = shutil.copytree(hub("zoedepth"), tmp_path / "copy")
    assert load_teacher(f"transformers:{copy}").sha256 == first.sha256
    assert load_teacher(f"transformers:{copy}?far=9").sha256 != first.sha256
    settings = json.loads((copy / "preprocessor_config.json").read_text())
    (copy / "preprocessor_config.json").write_text(json.dumps(settings | {"do_pad": False}))
    assert load_teacher(f"transformers:{copy}").sha256 != first.sha256
    shutil.copy(hub("zoedepth") / "preprocessor_config.json", copy)
    weights = load_file(copy / "model.safetensors")
    name = next(iter(weights))
    save_file(weights | {name: weights[name] + 1e-3}, copy / "model.safetensors", metadata={"format": "pt"})
    assert load_teacher(f"transformers:{copy}").sha256 != first.sha256


def test_weights_that_dpt_does_not_use_may_be_missing(hub, tmp_path):
    """Intel's DPT files omit them. They are random after each loading, so the hash must not cover them."""
    copy = shutil.copytree(hub("dpt"), tmp_path / "copy")
    weights = load_file(copy / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not module._UNUSED.match(name)}
    assert len(kept) < len(weights)
    save_file(kept, copy / "model.safetensors", metadata={"format": "pt"})
    hashes = {load_teacher(spec_of("dpt", copy)).sha256 for _ in range(2)}
    assert len(hashes) == 1


def test_missing_weights_are_refused(hub, tmp_path):
    copy = shutil.copytree(hub("dpt"), tmp_path / "copy")
    weights = load_file(copy / "model.safetensors")
    del weights["head.head.0.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        UserError, match=r"`teacher=transformers:.*head\.head\.0\.weight is not in its file.*\(1 such weights"
    ):
        load_teacher(spec_of("dpt", copy))


def test_pickles_are_not_read(hub, tmp_path):
    copy = shutil.copytree(hub("dpt"), tmp_path / "copy")
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"`teacher=transformers:.*cannot be loaded.*model\.safetensors"):
        load_teacher(spec_of("dpt", copy))


def test_code_in_the_model_folder_is_not_run(hub, tmp_path):
    copy = shutil.copytree(hub("dpt"), tmp_path / "copy")
    (copy / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    config = json.loads((copy / "config.json").read_text())
    own = {"AutoConfig": "evil.Evil", "AutoModelForDepthEstimation": "evil.Evil"}
    (copy / "config.json").write_text(json.dumps(config | {"model_type": "evil", "auto_map": own}))
    with pytest.raises(UserError, match=r"`teacher=transformers:.*cannot be loaded"):
        load_teacher(spec_of("dpt", copy))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "preprocessor_config.json").unlink(), "cannot be loaded"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be loaded"),
        (lambda folder: (folder / "config.json").unlink(), "cannot be loaded"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\xff" * 64), "cannot be loaded"),
        (lambda folder: _change(folder, architectures=["DPTModel"]), "model class DPTModel is not supported"),
        (lambda folder: _change(folder, architectures=None), "model class dpt is not supported"),
        (lambda folder: _change(folder, fusion_hidden_size=16), "is not in its file or has another shape"),
    ],
)
def test_damaged_folders_give_one_error_line(damage, message, hub, tmp_path):
    copy = shutil.copytree(hub("dpt"), tmp_path / "copy")
    damage(copy)
    with pytest.raises(UserError, match=f"`teacher=transformers:.*{message}"):
        load_teacher(spec_of("dpt", copy))


def _change(folder, **values):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("dpt", "far=3", "far: the model predicts inverse depth"),
        ("segformer", "depth=metric", "depth: a segmentation model has no distances"),
        ("depth-anything", "depth=near", "depth=near: choose metric or inverse"),
        ("depth-anything", "depth=metric", "its config states inverse depth; remove the option"),
        ("depth-anything-metric", "depth=inverse", "its config states metric depth; remove the option"),
        ("zoedepth", "depth=inverse", "its config states metric depth; remove the option"),
        ("depth-anything", "far=3", "far: the model predicts inverse depth"),
        ("dpt", "classes=bed", "classes: a depth model has no classes"),
        ("segformer", "far=3", "far: a segmentation model has no distances"),
        ("zoedepth", "far=-3", "far=-3: must be a positive number"),
        ("zoedepth", "near=3", "'near=3' is not an option; use depth=..., far=..., classes=..., each once"),
        ("segformer", "classes=sofa", "'sofa' is not one of its classes"),
        ("segformer", "classes=bed,bed", "different names"),
        ("segformer", "classes=floor,flooring", "'flooring' is not one of its classes, or is named twice"),
    ],
)
def test_invalid_options_are_refused(name, options, message, hub):
    with pytest.raises(UserError, match=message):
        load_teacher(spec_of(name, hub(name), options))


def test_unknown_name_gives_one_error_line():
    with pytest.raises(UserError, match=r"`teacher=transformers:no/such-model`: cannot be loaded"):
        load_teacher("transformers:no/such-model")
    with pytest.raises(UserError, match="name what to open"):
        load_teacher("transformers:")


def test_missing_package_names_the_pip_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r'`teacher=transformers:x`: needs transformers.*"sgi-engine\[teachers\]"'):
        load_teacher("transformers:x")


def test_features_are_refused(hub, image):
    with pytest.raises(UserError, match="has no features"):
        load_teacher(spec_of("dpt", hub("dpt"))).features(image)
