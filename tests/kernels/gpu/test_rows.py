"""The rows form of the convolution against float64: random shapes, every operand, what they refuse."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from kernel_cases import DTYPES, RMS, layer, rms_ratio, wide

from sgi.kernels.gpu.conv import reference
from sgi.kernels.gpu.conv.launch import candidates, conv
from sgi.kernels.gpu.conv.rows import ROWS_CONFIG, RowsConfig, rows_configs
from sgi.kernels.gpu.operands import Epilogue, RgbTail
from sgi.kernels.gpu.torgb import reference as torgb_reference

OPTIONAL = ("noise", "bias", "clamp")


@pytest.mark.parametrize("seed", range(6))
def test_random_layers_match_the_reference(seed):
    chance = random.Random(seed)
    dtype = DTYPES[seed % len(DTYPES)]
    unit = 16 // dtype.itemsize
    even = chance.random() < 0.5  # a picture below needs even sides
    height, width = (2 * chance.randint(1, 5) + (not even) for _ in range(2))
    inputs, outputs = (unit * chance.randint(1, 5) for _ in range(2))
    images = chance.randint(1, 2)
    n = images * chance.randint(1, 2)
    operands = layer(n, images, height, width, inputs, outputs, dtype).without(
        "style", *(name for name in OPTIONAL if chance.random() < 0.3)
    )
    x, weight, _, scale, noise, bias, clamp = operands.arguments()
    vectors = [torch.randn(n, outputs), torch.randn(n, outputs), torch.randn(3, outputs), torch.randn(3)]
    next_style, rgb_style, rgb_weight, rgb_bias = (t.to(x.device) for t in vectors)
    below = torch.randn(images, 3, height // 2, width // 2).to(x.device) if even else None
    tail = RgbTail(rgb_style, rgb_weight, rgb_bias, below, 1.5)
    y, img = conv(
        x, weight, n, None, Epilogue(scale, noise, bias, True, clamp, next_style), tail,
        config=RowsConfig(chance.choice([4, 16]), chance.choice([16, 32, 64]), chance.choice([16, 32]), 4, 2),
    )  # fmt: skip
    features = reference.modulated_conv(*wide(operands.arguments()))
    assert y is not None
    assert img is not None
    assert y.dtype == dtype
    assert rms_ratio(y, reference.modulated(features, next_style.double(), n)) < RMS[dtype]
    assert (
        rms_ratio(img, torgb_reference.to_rgb(features, *wide((rgb_style, rgb_weight, rgb_bias, below, 1.5))))
        < RMS[dtype]
    )


def test_without_epilogue_and_without_output():
    config = RowsConfig(4, 32, 16, 4, 2)
    operands = layer(2, 2, 4, 6, 16, 24, torch.float32)
    y, img = conv(operands.x, operands.weight, 2, config=config)
    plain, _ = conv(operands.x, operands.weight, 2)
    assert img is None
    assert y is not None
    assert plain is not None
    assert rms_ratio(y, plain) < RMS[torch.float32]
    y, _ = conv(operands.x, operands.weight, 2, write=False, config=config)
    assert y is None


def test_every_candidate_of_a_layer_agrees():
    operands = layer(1, 1, 3, 16, 32, 32, torch.float16).without("style")
    x, weight, _, scale, noise, bias, clamp = operands.arguments()
    expected = reference.modulated_conv(*wide(operands.arguments()))
    labels = []
    for label, launch in candidates(x, weight, 1, None, Epilogue(scale, noise, bias, True, clamp)):
        y, _ = launch()
        assert y is not None
        assert rms_ratio(y, expected) < RMS[torch.float16], label
        labels.append(label)
    assert len(set(labels)) == len(labels)
    assert {label.split()[0] for label in labels} == {"plain"}  # a row of 16 pixels is too short for the rows form


def test_block_shapes_fit_the_layer():
    def configs(width: int, channels: int) -> list[RowsConfig]:
        x = torch.empty(1, width, width, channels, device="meta", dtype=torch.float16)
        return rows_configs(x, torch.empty(9, channels, channels, device="meta", dtype=torch.float16), None)

    assert configs(1024, 32) == []
    for width, channels in ((512, 64), (256, 128), (64, 512)):
        assert configs(width, channels) == [ROWS_CONFIG]
    assert configs(32, 512) == []
    assert configs(256, 20) == []  # 40 bytes


@pytest.mark.parametrize("changes", [{"style": torch.ones(1, 16)}, {"up": 2}, {"transposed": True}])
def test_other_convolutions_are_refused(changes):
    x, weight = torch.zeros(1, 4, 4, 16), torch.zeros(9, 16, 16)
    with pytest.raises(ValueError, match="plain convolutions"):
        conv(x, weight, 1, config=RowsConfig(16, 16, 16, 4, 2), **changes)


def test_channels_of_odd_size_are_refused():
    operands = layer(1, 1, 4, 4, 18, 16, torch.float16)
    with pytest.raises(ValueError, match="16 bytes"):
        conv(replace(operands, x=operands.x).x[..., :18], operands.weight, 1, config=RowsConfig(16, 16, 16, 4, 2))
