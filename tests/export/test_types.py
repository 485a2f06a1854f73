"""Every type in an exported graph: the values of the table of types, and a fair judgement of classes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import onnx
import pytest
from tiny_models import ALL_KINDS, HEAT, ROOM, kind_name
from tolerances import BACKEND_PARITY

from sgi.engine import intrinsics
from sgi.engine.errors import UserError
from sgi.engine.generator import generator_sha256
from sgi.engine.offsets import Offset
from sgi.engine.palette import palette
from sgi.export import verify as verification
from sgi.export.emulate import Emulator
from sgi.export.graph import GraphBuilder
from sgi.export.network import emit_value
from sgi.export.onnx import export_onnx
from sgi.export.precision import PRECISIONS

# Names that a graph's own values might like, and inputs of other graphs.
AWKWARD = ("clip", "mul", "w-avg", "conv", "constant")


@pytest.mark.parametrize("kind", [*ALL_KINDS, *(replace(HEAT, name=name) for name in AWKWARD)], ids=kind_name)
def test_a_graph_decodes_as_the_table_says(kind, tmp_path):
    row = intrinsics.get(kind)
    g = GraphBuilder(20, [row.name])
    shape = [2, row.code_channels, 5, 5]
    # The emulator's inputs are named as a generator's.
    output = emit_value(g, "z", row)
    onnx.save(g.model("decode", {"z": shape, "psi": []}, {output: [2, row.channels, 5, 5]}, {}), tmp_path / "x.onnx")
    raw = np.random.RandomState(0).randn(*shape).astype(np.float32)
    found = Emulator(tmp_path / "x.onnx").run(raw, 1.0)[row.name]
    expected = intrinsics.decode(kind, (raw * 0.5 + 0.5).clip(0, 1))
    assert np.abs(found - expected).max() <= BACKEND_PARITY * (row.high - row.low)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_types_of_all_kinds_in_one_file(tiny_generator, tmp_path, precision):
    kinds = [intrinsics.get("mask-bed"), ROOM, replace(HEAT, name="clip")]
    offsets = {}
    for i, kind in enumerate(kinds):
        rows = np.random.RandomState(i).randn(tiny_generator.config.num_ws, 12).astype(np.float32) / 2
        sha256, semantics = generator_sha256(tiny_generator), kind.to_dict()
        offsets[kind.name] = Offset(kind.name, "w+", {"offset": rows}, sha256, semantics=semantics)
    artifact = export_onnx(tiny_generator, offsets, tmp_path / "maps.onnx", precision=precision)
    assert artifact.types == tuple(kinds)
    for figures in artifact.parity["runtimes"].values():
        assert "differ" in figures["segmentation"]
        assert "differ" not in figures["clip"]


@pytest.mark.parametrize("name", ["z", "psi", "label"])
def test_no_type_has_the_name_of_an_input(name):
    with pytest.raises(UserError, match=f"type '{name}'"):
        replace(HEAT, name=name)


def judge(codes, got, precision="fp32", known=True):
    """Figures of classes `got`, checked against the bounds of a precision."""
    expected = intrinsics.decode(ROOM, codes)
    figures = verification.figures_of(ROOM, [(got, expected)], [codes] if known else ())
    verification.check("segmentation", "runtime", figures, PRECISIONS[precision])
    return figures


@pytest.fixture
def near_tie():
    """Codes of class 0 but for one pixel, which is 5e-5 short of the border to class 2; and what a rounding tells."""
    codes = np.zeros((1, 3, 8, 8))
    own, other = palette(3)[[0, 2]]
    codes[0, :, 2, 3] = (own + other) / 2 - 5e-5 * (other - own) / np.linalg.norm(other - own)
    got = intrinsics.decode(ROOM, codes)
    got[0, 0, 2, 3] = 2
    return codes, got


def test_a_pixel_at_a_border_may_take_either_class(near_tie):
    codes, got = near_tie
    figures = judge(codes, got)
    # A move of 5e-5 through three channels, once in 64 pixels.
    assert figures["max"] == pytest.approx(5e-5 / math.sqrt(3))
    assert figures["rms"] == pytest.approx(5e-5 / math.sqrt(3) / 8)
    assert figures["psnr"] == 99.0
    assert figures["differ"] == 1 / 64
    assert judge(codes, intrinsics.decode(ROOM, codes)) == {"max": 0, "rms": 0, "psnr": 99.0, "differ": 0}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_pixel_amid_a_class_must_not_differ(near_tie, precision):
    codes, got = near_tie
    got[0, 0, :3, :3] = 1
    with pytest.raises(UserError, match="segmentation through runtime"):
        judge(codes, got, precision)


def test_without_codes_few_pixels_may_differ(near_tie):
    codes, got = near_tie
    assert judge(codes, got, known=False) == {"differ": 1 / 64}
    got[0, 0, 0, :4] = 1
    with pytest.raises(UserError, match=r"another class in 7\.8% of the pixels, more than 2%"):
        judge(codes, got, known=False)


def test_classes_that_are_no_numbers(near_tie):
    codes, got = near_tie
    got[0, 0, 0, 0] = np.nan
    with pytest.raises(UserError, match="not finite"):
        judge(codes, got)


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
