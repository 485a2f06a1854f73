"""Codes from logits: masks are probabilities, segmentations are colours of the palette, both with gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sgi.engine import intrinsics
from sgi.engine.errors import UserError
from sgi.engine.intrinsics import SEGMENTATION
from sgi.engine.palette import palette
from sgi.trainer.teachers.classes import class_codes, class_types, target_type
from sgi.trainer.teachers.unet_teacher import UNetTeacher

CLASSES = ("floor", "floor lamp", "Floor-Lamp")


@pytest.fixture
def logits():
    return torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))


def test_types_of_classes():
    assert class_types(CLASSES) == ("segmentation", "mask-floor", "mask-floor-lamp")
    assert class_types(()) == ()


def test_a_mask_is_the_probability_of_its_class(logits):
    mask = class_codes(logits, CLASSES, "mask-floor")
    odds = np.exp(logits.numpy().astype(np.float64))
    np.testing.assert_allclose(mask[:, 0].numpy(), odds[:, 0] / odds.sum(1), rtol=1e-5)
    # The two lamp classes have one mask name, so their probabilities are added.
    torch.testing.assert_close(class_codes(logits, CLASSES, "mask-floor-lamp"), 1 - mask)


def test_segmentation_is_the_colour_of_the_most_probable_class(logits):
    codes = class_codes(logits, CLASSES, SEGMENTATION)
    kind = intrinsics.get(SEGMENTATION).with_classes(CLASSES)
    np.testing.assert_allclose(codes[1, :, 2, 3], palette(3)[int(logits[1, :, 2, 3].argmax())], atol=1e-7)
    np.testing.assert_array_equal(intrinsics.decode(kind, codes.numpy())[:, 0], logits.argmax(1))


@pytest.mark.parametrize("name", class_types(CLASSES))
def test_gradients_reach_the_logits(logits, name):
    logits.requires_grad_()
    (class_codes(logits, CLASSES, name) ** 2).sum().backward()
    assert logits.grad is not None
    assert (logits.grad.abs().sum(dim=(0, 2, 3)) > 0).all()


def test_unet_teacher_predicts_classes(net):
    teacher = UNetTeacher(net, "tiny")
    image = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    target = teacher(image, ("mask-bed", "depth", "segmentation"))
    labels = teacher.segment(image).argmax(1)
    kind = target_type(teacher, "segmentation")
    assert kind.classes == ("floor", "wall", "bed")
    np.testing.assert_array_equal(intrinsics.decode(kind, target["segmentation"].numpy())[:, 0], labels)
    torch.testing.assert_close(target["mask-bed"][:, 0], teacher.segment(image).softmax(1)[:, 2])
    assert target_type(teacher, kind) == kind
    with pytest.raises(UserError, match="`teacher`: the classes of tiny are not those"):
        target_type(teacher, kind.with_classes(("wall", "floor", "bed")))
    with pytest.raises(UserError, match="`types=mask-sofa`: teacher tiny supports only depth"):
        target_type(teacher, "mask-sofa")
