"""Offsets in every space: their effect on styles, baking, scaling and addition."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from tolerances import RMS_FP32

import sgi.cli as cli
from sgi.engine.artifact import Artifact
from sgi.engine.errors import UserError
from sgi.engine.generator import generator_sha256, save_generator
from sgi.engine.generator.offset_styles import baked_affines, shifted_styles, tensors_of
from sgi.engine.offset_tensors import SPACES
from sgi.engine.offsets import Offset
from sgi.trainer.offsets.spaces import get_space


def make(generator, space, seed=0, **changes):
    """A random depth offset in a space, of rank 2 for lora."""
    random = np.random.RandomState(seed)
    zeros = get_space(space).zeros(generator.config, rank=2)
    tensors: dict[str, np.ndarray] = {
        key: random.randn(*zero.shape).astype(np.float32) / 2 for key, zero in zeros.items()
    }
    return replace(Offset("depth", space, tensors, generator_sha256(generator), fit={"steps": 1}), **changes)


def moves(generator, offset):
    """Change of the styles of three latents by an offset, [3, sum of I]."""
    ws = torch.randn(3, generator.config.num_ws, 12, generator=torch.Generator().manual_seed(1))
    moved, plain = (shifted_styles(generator.synthesis, ws, tensors_of(o)) for o in (offset, None))
    return torch.cat(moved, dim=1) - torch.cat(plain, dim=1)


def agree(one, other):
    assert (one - other).norm() < RMS_FP32 * other.norm()


@torch.no_grad()
@pytest.mark.parametrize("space", SPACES)
def test_baked_layers_give_the_shifted_styles(space, tiny_generator):
    tensors = tensors_of(make(tiny_generator, space))
    ws = torch.randn(3, tiny_generator.config.num_ws, 12, generator=torch.Generator().manual_seed(1))
    affines = baked_affines(tiny_generator.synthesis, tensors)
    styles = shifted_styles(tiny_generator.synthesis, ws, tensors)
    for layer, style in zip(tiny_generator.synthesis.styled_layers(), styles, strict=True):
        weight, bias = affines[layer.name]
        agree(ws[:, layer.row] @ weight.T + bias, style)
        assert torch.equal(weight, layer.module.affine.scaled()[0]) == (space != "lora")


@torch.no_grad()
@pytest.mark.parametrize("space", SPACES)
def test_alpha_scales_the_change_of_styles(space, tiny_generator):
    offset = make(tiny_generator, space, score={"rows": {}})
    half = offset.scaled(0.5)
    agree(moves(tiny_generator, half), moves(tiny_generator, offset) / 2)
    assert (half.fit["alpha"], half.score, half.scaled(0.5).fit["alpha"]) == (0.5, {}, 0.25)
    assert not moves(tiny_generator, offset.scaled(0)).any()


@torch.no_grad()
@pytest.mark.parametrize("pair", list(itertools.combinations_with_replacement(SPACES, 2)))
def test_a_sum_changes_styles_by_both_offsets(pair, tiny_generator):
    one, other = (make(tiny_generator, space, seed) for seed, space in enumerate(pair))
    for total in (one.plus(other), other.plus(one)):
        assert total.space == pair[1]
        total.check_generator(generator_sha256(tiny_generator), tiny_generator.config)
        agree(moves(tiny_generator, total), moves(tiny_generator, one) + moves(tiny_generator, other))


def test_a_sum_lists_its_terms(tiny_generator):
    depth, normal = make(tiny_generator, "w+"), make(tiny_generator, "lora", 1, type="normal", fit={"rank": 2})
    total = depth.scaled(3).plus(normal).scaled(0.5).plus(depth)
    assert (total.type, total.label, total.score) == ("depth", "lora", {})
    found = [(part["type"], part["space"], part["alpha"]) for part in total.fit["parts"]]
    assert found == [("depth", "w+", 1.5), ("normal", "lora of rank 2", 0.5), ("depth", "w+", 1.0)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"psi": 0.5}, "`psi=1.0` .* with `psi=0.5`"),
        ({"cutoff": 2}, "`cutoff=None` .* with `cutoff=2`"),
        ({"noise_mode": "const"}, "`noise_mode=none` .* `noise_mode=const`"),
        ({"fit": {"class_index": 1}}, "`class_index=None`"),
        ({"generator_sha256": "b" * 64}, "fitted on generator"),
        ({"tensors": {"offset": np.zeros((4, 12), np.float32)}}, "differ in shape"),
    ],
)
def test_offsets_that_cannot_be_added_are_refused(changes, message, tiny_generator):
    with pytest.raises(UserError, match=message):
        make(tiny_generator, "w+").plus(make(tiny_generator, "w+", **changes))


LAYER = "synthesis.b8.conv0"


@pytest.mark.parametrize(
    ("space", "tensors", "message"),
    [
        ("w", {"offset": (6, 12)}, r"offset of shape \[6, 12\] where the generator needs \[1, 12\]"),
        ("w+", {"offset": (1, 12)}, r"needs \[6, 12\]"),
        ("w+", {"offset": (6, 8)}, r"needs \[6, 12\]"),
        ("w+", {}, "no tensor offset"),
        (
            "w+",
            {"offset": (6, 12), f"style.{LAYER}": (16,)},
            f"a tensor style.{LAYER}, which does not exist in space w",
        ),
        ("style", {"style.synthesis.b32.conv0": (16,)}, "a tensor style.synthesis.b32.conv0"),
        ("style", {f"style.{LAYER}": (8,)}, r"needs \[16\]"),
        ("lora", {f"lora.{LAYER}.up": (16, 2)}, f"no tensor lora.{LAYER}.down"),
        (
            "lora",
            {f"lora.{LAYER}.up": (16, 2), f"lora.{LAYER}.down": (3, 12), f"lora.{LAYER}.bias": (16,)},
            r"down of shape \[3, 12\] where the generator needs \[2, 12\]",
        ),
        (
            "lora",
            {f"lora.{LAYER}.up": (), f"lora.{LAYER}.down": (3, 12), f"lora.{LAYER}.bias": (16,)},
            "of shape",
        ),
    ],
)
def test_unknown_tensors_are_refused(space, tensors, message, tiny_generator):
    arrays = {name: np.zeros(shape, np.float32) for name, shape in tensors.items()}
    sha256 = generator_sha256(tiny_generator)
    with pytest.raises(UserError, match=message):
        Offset("depth", space, arrays, sha256).check_generator(sha256, tiny_generator.config)


def test_only_offsets_in_w_and_w_plus_have_rows(tiny_generator):
    with pytest.raises(UserError, match="the depth offset is in style"):
        make(tiny_generator, "style").rows(6)


@pytest.fixture
def folder(tiny_generator, tmp_path, monkeypatch):
    """A folder with g.safetensors, a.safetensors (depth, w+) and b.safetensors (normal, lora)."""
    monkeypatch.chdir(tmp_path)
    save_generator("g.safetensors", tiny_generator)
    make(tiny_generator, "w+").save("a.safetensors")
    make(tiny_generator, "lora", 1, type="normal").save("b.safetensors")
    return tmp_path


def test_combine_and_export_with_alpha(folder, tiny_generator, capsys):
    arguments = [
        "combine",
        "a.safetensors",
        "b.safetensors",
        "--weight",
        "0.5",
        "--weight",
        "-2",
        "--mixed-types",
        "--out",
        "c.safetensors",
    ]
    assert cli.main(arguments) == 0
    assert "0.5 x a.safetensors + -2 x b.safetensors, depth in lora" in capsys.readouterr().out
    one, other, total = (Offset.load(f"{name}.safetensors") for name in "abc")
    with torch.no_grad():
        expected = moves(tiny_generator, one) * 0.5 - moves(tiny_generator, other) * 2
        agree(moves(tiny_generator, total), expected)
    assert cli.main(["inspect", "c.safetensors"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "tensors offset [6, 12], lora of 8 layers" in shown
    assert "fit.parts.1.alpha -2" in shown
    assert cli.main(["export", "--generator", "g.safetensors", "--offset", "c.safetensors", "--alpha", "0.5"]) == 0
    found = Artifact.read("depth.onnx").offsets["depth"]
    assert (found["space"], found["alpha"], found["sha256"]) == ("lora", 0.5, total.scaled(0.5).sha256)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.safetensors"], "--weight is missing: a single offset needs a weight"),
        (["a.safetensors", "b.safetensors", "--weight", "1"], "--weight: 1 weights for 2 files"),
        (["a.safetensors", "--weight", "inf"], "--weight inf"),
        (["a.safetensors", "g.safetensors"], "not an offset file"),
        (["a.safetensors", "--weight", "2", "--out", "a.safetensors"], "--out a.safetensors: it is one of the offsets"),
        (["a.safetensors", "b.safetensors", "--out", "c.onnx"], "--out c.onnx: the name of an offset file"),
    ],
)
def test_combine_refuses(arguments, message, folder, capsys):
    before = sorted(folder.iterdir())
    assert cli.main(["combine", "--out", "c.safetensors", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before
