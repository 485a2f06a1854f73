"""The pairs form of the convolution against float64: random shapes, every operand, what it refuses."""

from __future__ import annotations

import random

import pytest
import torch
from kernel_cases import DTYPES, RMS, layer, rms_ratio, wide

from sgi.kernels.gpu import pack_conv
from sgi.kernels.gpu.conv import reference
from sgi.kernels.gpu.conv.launch import candidates, conv
from sgi.kernels.gpu.conv.pairs import PAIRS_CONFIGS, PairsConfig, block_columns, pairs_configs
from sgi.kernels.gpu.operands import Epilogue, RgbTail
from sgi.kernels.gpu.packed_weights import pack_pairs
from sgi.kernels.gpu.torgb import reference as torgb_reference

OPTIONAL = ("noise", "bias", "clamp")


@pytest.mark.parametrize("seed", range(8))
def test_random_layers_match_the_reference(seed):
    chance = random.Random(seed)
    dtype = DTYPES[seed % len(DTYPES)]
    even = chance.random() < 0.5  # a picture below needs even sides
    height, width = (2 * chance.randint(1, 5) + (not even) for _ in range(2))
    inputs, outputs = (chance.randint(1, 40) for _ in range(2))
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
        pair_weights=pack_pairs(weight),
        config=PairsConfig(chance.choice([16, 32]), chance.choice([16, 32, 64]), 4, 2),
    )  # fmt: skip
    features = reference.modulated_conv(*wide(operands.arguments()))
    assert y is not None
    assert img is not None
    assert y.dtype == dtype
    assert rms_ratio(y, reference.modulated(features, next_style.double(), n)) < RMS[dtype]
    picture = torgb_reference.to_rgb(features, *wide((rgb_style, rgb_weight, rgb_bias, below, 1.5)))
    assert rms_ratio(img, picture) < RMS[dtype]


def test_blocks_of_one_image_and_of_several_agree():
    operands = layer(2, 2, 4, 8, 16, 16, torch.float32).without("style")
    x, weight, _, scale, noise, bias, clamp = operands.arguments()
    epilogue = Epilogue(scale, noise, bias, True, clamp)
    results = [
        conv(x, weight, 2, None, epilogue, pair_weights=pack_pairs(weight), config=PairsConfig(bm, 16, 4, 2))[0]
        for bm in (16, 32)  # an image has 16 pairs
    ]
    assert results[0] is not None
    assert results[1] is not None
    assert torch.equal(results[0], results[1])


def test_without_epilogue_and_without_output():
    config = PairsConfig(16, 32, 4, 2)
    operands = layer(2, 2, 4, 6, 16, 24, torch.float32)
    pairs = pack_pairs(operands.weight)
    y, img = conv(operands.x, operands.weight, 2, pair_weights=pairs, config=config)
    plain, _ = conv(operands.x, operands.weight, 2)
    assert img is None
    assert y is not None
    assert plain is not None
    assert rms_ratio(y, plain) < RMS[torch.float32]
    y, _ = conv(operands.x, operands.weight, 2, write=False, pair_weights=pairs, config=config)
    assert y is None


def test_every_candidate_of_a_layer_agrees():
    operands = layer(1, 1, 3, 16, 32, 32, torch.float16).without("style")
    x, weight, _, scale, noise, bias, clamp = operands.arguments()
    expected = reference.modulated_conv(*wide(operands.arguments()))
    epilogue = Epilogue(scale, noise, bias, True, clamp)
    labels = []
    for label, launch in candidates(x, weight, 1, None, epilogue, pair_weights=pack_pairs(weight)):
        y, _ = launch()
        assert y is not None
        assert rms_ratio(y, expected) < RMS[torch.float16], label
        labels.append(label)
    assert len(set(labels)) == len(labels)
    assert sum(label.startswith("pairs ") for label in labels) == len(PAIRS_CONFIGS)


def test_block_shapes_fit_the_layer():
    def configs(channels: int, dtype: torch.dtype = torch.float16) -> list[PairsConfig]:
        x = torch.empty(1, 64, 64, channels, device="meta", dtype=dtype)
        return pairs_configs(x, torch.empty(3, 4 * channels, 2 * channels, device="meta", dtype=dtype), None)

    assert configs(32) == list(PAIRS_CONFIGS)
    assert configs(64) == list(PAIRS_CONFIGS[:3])
    assert configs(32, torch.float32) == []
    assert block_columns(3) == 16
    x, style = torch.empty(1, 4, 4, 32, dtype=torch.float16), torch.ones(1, 32)
    assert pairs_configs(x, None, None) == []
    assert pairs_configs(x, torch.empty(3, 128, 64, dtype=torch.float16), style) == []


def test_narrow_weights_are_packed_for_pairs():
    packed = pack_conv(torch.randn(8, 4, 3, 3), torch.float16, pairs=True)
    assert packed.pair_weights is not None
    assert packed.pair_weights.shape == (3, 16, 16)
    assert pack_conv(torch.randn(8, 4, 3, 3), torch.float16).pair_weights is None


@pytest.mark.parametrize("changes", [{"style": torch.ones(1, 16)}, {"up": 2}, {"transposed": True}])
def test_other_convolutions_are_refused(changes):
    x, weight = torch.zeros(1, 4, 4, 16), torch.zeros(9, 16, 16)
    with pytest.raises(ValueError, match="plain convolutions"):
        conv(x, weight, 1, pair_weights=pack_pairs(weight), config=PairsConfig(16, 16, 4, 2), **changes)


def test_a_wrong_weight_is_refused():
    x, weight, config = torch.zeros(1, 4, 4, 16), torch.zeros(9, 16, 16), PairsConfig(16, 16, 4, 2)
    with pytest.raises(ValueError, match="packed weight"):
        conv(x, weight, 1, config=config)
    with pytest.raises(ValueError, match="same output channels"):
        conv(x, weight, 1, pair_weights=torch.zeros(3, 64, 30), config=config)
    with pytest.raises(ValueError, match=r"\[3, 64, 2 \* O\]"):
        conv(x, weight, 1, pair_weights=torch.zeros(3, 32, 32), config=config)
