"""Exports of all kinds of types, and the verification of class indices."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from tiny_models import HEAT, ROOM

from sgi.engine import intrinsics
from sgi.engine.errors import UserError
from sgi.engine.generator import generator_sha256
from sgi.engine.offsets import Offset
from sgi.engine.palette import palette
from sgi.export import verify as verification
from sgi.export.graph import GraphBuilder
from sgi.export.onnx import export_onnx
from sgi.export.precision import PRECISIONS


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_types_of_all_kinds_in_one_file(tiny_generator, tmp_path, precision):
    kinds = [intrinsics.get("mask-bed"), ROOM, replace(HEAT, name="clip")]
    offsets = {}
    for i, kind in enumerate(kinds):
        rows = (np.random.RandomState(i).randn(tiny_generator.config.num_ws, 12) / 2).astype(np.float32)
        sha256, semantics = generator_sha256(tiny_generator), kind.to_dict()
        offsets[kind.name] = Offset(kind.name, "w+", {"offset": rows}, sha256, semantics=semantics)
    artifact = export_onnx(tiny_generator, offsets, tmp_path / "maps.onnx", precision=precision)
    assert artifact.types == tuple(kinds)
    for figures in artifact.parity["runtimes"].values():
        assert "differ" in figures["segmentation"]
        assert "differ" not in figures["clip"]


@pytest.mark.parametrize("name", ["z", "psi", "label"])
def test_names_of_inputs_are_refused_as_type_names(name):
    with pytest.raises(UserError, match=f"type '{name}'"):
        replace(HEAT, name=name)


def check_classes(codes, got, precision="fp32", known=True):
    """Figures of classes `got`, checked against the bounds of a precision."""
    expected = intrinsics.decode(ROOM, codes)
    figures = verification.figures_of(ROOM, [(got, expected)], [codes] if known else ())
    verification.check("segmentation", "runtime", figures, PRECISIONS[precision])
    return figures


@pytest.fixture
def near_tie():
    """Codes of class 0 with one pixel 5e-5 before the border to class 2, and values with that pixel in class 2."""
    codes = np.zeros((1, 3, 8, 8))
    own, other = palette(3)[[0, 2]]
    codes[0, :, 2, 3] = (own + other) / 2 - 5e-5 * (other - own) / np.linalg.norm(other - own)
    got = intrinsics.decode(ROOM, codes)
    got[0, 0, 2, 3] = 2
    return codes, got


def test_a_pixel_at_a_border_may_take_either_class(near_tie):
    codes, got = near_tie
    figures = check_classes(codes, got)
    # A move of 5e-5 through three channels, once in 64 pixels.
    assert figures["max"] == pytest.approx(5e-5 / math.sqrt(3))
    assert figures["rms"] == pytest.approx(5e-5 / math.sqrt(3) / 8)
    assert figures["psnr"] == 99.0
    assert figures["differ"] == 1 / 64
    assert check_classes(codes, intrinsics.decode(ROOM, codes)) == {"max": 0, "rms": 0, "psnr": 99.0, "differ": 0}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_pixel_inside_a_class_must_not_differ(near_tie, precision):
    codes, got = near_tie
    got[0, 0, :3, :3] = 1
    with pytest.raises(UserError, match="segmentation through runtime"):
        check_classes(codes, got, precision)


def test_without_codes_a_small_share_of_pixels_may_differ(near_tie):
    codes, got = near_tie
    assert check_classes(codes, got, known=False) == {"differ": 1 / 64}
    got[0, 0, 0, :4] = 1
    with pytest.raises(UserError, match=r"another class in 7\.8% of the pixels, more than 2%"):
        check_classes(codes, got, known=False)


def test_classes_that_are_not_finite_are_refused(near_tie):
    codes, got = near_tie
    got[0, 0, 0, 0] = np.nan
    with pytest.raises(UserError, match="not finite"):
        check_classes(codes, got)


def test_a_graph_with_other_colours_is_not_written(tiny_generator, tmp_path, monkeypatch):
    rows = np.random.RandomState(0).randn(tiny_generator.config.num_ws, 12).astype(np.float32)
    offset = Offset("segmentation", "w+", {"offset": rows}, generator_sha256(tiny_generator), semantics=ROOM.to_dict())
    right = GraphBuilder.constant

    def wrong(self, value, stem="constant"):
        return right(self, value[::-1] if stem.endswith(".colours") else value, stem)

    monkeypatch.setattr(GraphBuilder, "constant", wrong)
    with pytest.raises(UserError, match="segmentation through .* differs from the generator"):
        export_onnx(tiny_generator, {"segmentation": offset}, tmp_path / "maps.onnx")
    assert not list(tmp_path.iterdir())
