"""Losses against formulas evaluated by hand or in float64 with NumPy."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tolerances import CLOSED_FORM

from sgi.engine import intrinsics
from sgi.engine.errors import UserError
from sgi.engine.palette import palette
from sgi.trainer.losses import TERMS, default_loss, get_loss, perceptual

ROOM = intrinsics.get("segmentation").with_classes(("floor", "wall", "bed"))
ALBEDO, DEPTH, NORMAL, BED = map(intrinsics.get, ("albedo", "depth", "normal", "mask-bed"))
KINDS = (DEPTH, NORMAL, BED, intrinsics.get("edges"), ROOM)


def one_pixel(*codes):
    return torch.tensor(codes).reshape(1, -1, 1, 1)


def pair(seed, channels, size=9):
    """Return two random maps of codes, the first with values outside [0, 1]."""
    random = np.random.RandomState(seed)
    return random.rand(2, channels, size, size) * 1.6 - 0.3, random.rand(2, channels, size, size)


def value(loss, kind, prediction, target):
    return get_loss(loss, kind)(torch.as_tensor(prediction).float(), torch.as_tensor(target).float()).item()


def test_by_hand():
    prediction = one_pixel(0.5, 0.5, 1.0)  # the normal (0, 0, 1)
    target = one_pixel(1.0, 0.5, 0.5)  # the normal (1, 0, 0)
    for loss, expected in {
        "l1": 1 / 3,
        "l2": 0.5 / 3,
        "huber": (0.5 - 0.05) * 2 / 3,
        "cosine": 1,
        "cosine+l1": 1 + 1 / 3,
        "0.5*cosine + 3*l2": 1,
    }.items():
        assert get_loss(loss, NORMAL)(prediction, target).item() == pytest.approx(expected)


def test_cross_entropy_of_a_mask():
    prediction, target = pair(0, 1)
    p = prediction.clip(0.01, 0.99)
    expected = -(target * np.log(p) + (1 - target) * np.log(1 - p)) + np.abs(prediction - p)
    assert value("bce", BED, prediction, target) == pytest.approx(expected.mean(), rel=1e-5)


@pytest.mark.parametrize("target", [0.0, 1.0])
@pytest.mark.parametrize("prediction", [-0.5, 1.5])
def test_masks_outside_their_range_have_a_gradient_towards_it(prediction, target):
    code = torch.full((1, 1, 1, 1), prediction, requires_grad=True)
    for loss in ("bce", "dice"):
        code.grad = None
        get_loss(loss, BED)(code, torch.full((1, 1, 1, 1), target)).backward()
        assert code.grad is not None
        assert code.grad.item() * (prediction - 0.5) > 0


def test_dice():
    prediction, target = pair(1, 1)
    s, t = prediction.reshape(2, -1), target.reshape(2, -1)
    expected = 1 - (2 * (s * t).sum(1) + 1) / ((s**2).sum(1) + (t**2).sum(1) + 1)
    assert value("dice", BED, prediction, target) == pytest.approx(expected.mean(), rel=1e-5)
    nothing = np.zeros((1, 1, 4, 4))
    assert value("dice", BED, nothing, nothing) == 0
    assert value("bce+dice", BED, prediction, target) == pytest.approx(
        value("bce", BED, prediction, target) + value("dice", BED, prediction, target)
    )


def test_cross_entropy_of_a_segmentation():
    prediction, target = pair(2, 3)
    logits, distances = (
        [-np.square(u[:, None] - palette(3)[None, :, :, None, None]).sum(2)][0] for u in (prediction, target)
    )
    log_p = 10 * logits - np.log(np.exp(10 * logits).sum(1, keepdims=True))
    expected = -np.take_along_axis(log_p, distances.argmax(1)[:, None], 1).mean()
    assert value("ce", ROOM, prediction, target) == pytest.approx(expected, rel=1e-5)


def test_scale_and_shift_invariance():
    prediction, target = pair(3, 1)

    def standardised(maps):
        centred = (
            maps - np.median(maps.reshape(2, -1), axis=1)[:, None, None, None]
        )  # the median of 81 pixels is one of them
        return centred / np.abs(centred).mean(axis=(1, 2, 3), keepdims=True)

    difference = standardised(prediction) - standardised(target)
    expected = np.abs(difference).mean() / 2
    for step in (1, 2, 4, 8):
        coarse = difference[:, :, ::step, ::step]
        gradients = np.abs(np.diff(coarse, axis=3)).sum() + np.abs(np.diff(coarse, axis=2)).sum()
        expected += 0.5 * gradients / coarse.size
    assert value("ssi", DEPTH, prediction, target) == pytest.approx(expected, rel=1e-5)
    assert value("ssi", DEPTH, 0.3 * target - 4, target) == pytest.approx(0, abs=1e-4)
    assert value("ssi", DEPTH, -target, target) > 1


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_losses_are_minimal_at_the_target_and_descend_to_it(kind):
    target = torch.rand(2, kind.code_channels, 16, 16, generator=torch.Generator().manual_seed(0))
    if kind.decoding == "palette":
        target = torch.from_numpy(intrinsics.encode(kind, intrinsics.decode(kind, target.numpy()))).float()
    for name, term in TERMS.items():
        if name == "lpips" or not term.supports(kind):
            continue
        prediction = (target + 0.1).requires_grad_()
        loss = get_loss(name, kind)
        before = loss(prediction, target)
        before.backward()
        assert prediction.grad is not None
        assert prediction.grad.isfinite().all(), name
        if name == "ssi":  # does not depend on a shift
            assert before.item() == pytest.approx(0, abs=1e-4)
            continue
        after = loss(prediction.detach() - 1e-3 * prediction.grad / prediction.grad.abs().max(), target)
        assert after < before, name
        if name not in ("bce", "ce", "dice"):
            assert loss(target, target).item() == pytest.approx(0, abs=CLOSED_FORM), name


def test_every_type_has_a_default_loss():
    assert [default_loss(kind) for kind in KINDS] == ["huber", "cosine+huber", "l2", "l2", "ce"]
    for kind in KINDS:
        assert callable(get_loss(None, kind))
        assert callable(get_loss(default_loss(kind), kind))


@pytest.mark.parametrize(
    ("loss", "kind", "message"),
    [
        ("l3", DEPTH, "`loss=l3`: choose from l1, l2"),
        ("l1+", DEPTH, "`loss=`: choose from"),
        ("0*l1", DEPTH, r"`loss=0\*l1`: the weight is not a positive number"),
        ("1.2.3*l1", DEPTH, "the weight is not a positive number"),
        ("cosine+l1", DEPTH, "`loss=cosine` is for normals; choose another loss for `types=depth`"),
        ("ssi", ALBEDO, "`loss=ssi` is for maps of one channel"),
        ("ce", DEPTH, "`loss=ce` is for segmentations"),
    ],
)
def test_invalid_losses_are_refused(loss, kind, message):
    with pytest.raises(UserError, match=message):
        get_loss(loss, kind)


def test_perceptual_loss_uses_features_of_the_bundled_teacher():
    prediction, target = (torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    encode = perceptual._encoder("cpu")
    levels = [torch.nn.functional.normalize(x, dim=1, eps=1e-4) for x in encode(prediction)]
    others = [torch.nn.functional.normalize(x, dim=1, eps=1e-4) for x in encode(target)]
    expected = [(x - y).double().square().sum(1).mean().item() for x, y in zip(levels, others, strict=True)]
    assert value("perceptual", ALBEDO, prediction, target) == pytest.approx(np.mean(expected), rel=1e-3)
    grey = prediction.mean(1, keepdim=True)
    assert value("perceptual", DEPTH, grey, target[:, :1]) == pytest.approx(
        value("perceptual", ALBEDO, grey.expand(-1, 3, -1, -1), target[:, :1].expand(-1, 3, -1, -1))
    )


def test_lpips_downloads_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(perceptual, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="`loss=lpips`: lpips and torchvision not installed: pip install"):
        get_loss("lpips", ALBEDO)
    monkeypatch.setattr(perceptual, "find_spec", lambda name: name)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UserError, match=r"checkpoints/vgg16-397923af.pth is missing: download torchvision's weights"):
        get_loss("lpips", ALBEDO)


def test_lpips_receives_rgb_pictures_in_its_range(monkeypatch, tmp_path):
    class Library(torch.nn.Module):
        def __init__(self, net, verbose):
            super().__init__()
            assert net == "vgg"

        def forward(self, prediction, target):
            assert prediction.shape == target.shape == (2, 3, 8, 8)
            return (prediction - target).abs().mean(dim=(1, 2, 3), keepdim=True)

    monkeypatch.setattr(perceptual, "find_spec", lambda name: name)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / perceptual.VGG_FILE).touch()
    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=Library))
    perceptual._lpips.cache_clear()
    prediction, target = torch.full((2, 1, 8, 8), 0.25), torch.full((2, 1, 8, 8), 0.75)
    assert get_loss("lpips", DEPTH)(prediction, target).item() == pytest.approx(1.0)  # [-1, 1] is twice as wide
    perceptual._lpips.cache_clear()
