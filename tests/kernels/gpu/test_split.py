"""Convolutions with a divided inner axis: against float64 and the undivided kernel, repeatable bits, the rules."""

from __future__ import annotations

import pytest
import torch
import triton
import triton.language as tl
from kernel_cases import DTYPES, RMS, layer, rms_ratio, wide

from sgi.kernels.gpu import dispatch, fused_conv, fused_up_conv
from sgi.kernels.gpu.conv import reference
from sgi.kernels.gpu.conv.reference import modulated
from sgi.kernels.gpu.dispatch import (
    dependent_convolution,
    dependent_convolutions,
    dependent_launches,
    dependent_options,
    prefetches_weights,
    weight_prefetch,
)
from sgi.kernels.gpu.split import kernel, launch
from sgi.kernels.gpu.torgb import reference as torgb_reference
from sgi.kernels.gpu.upconv import reference as up_reference

SHAPES = [
    pytest.param((1, 1, 4, 4, 40, 48), id="lowest resolution"),
    pytest.param((2, 1, 5, 7, 19, 35), id="odd sides and channels, a shared input"),
]


def rgb_operands(n: int, height: int, width: int, outputs: int) -> list[torch.Tensor | None]:
    torch.manual_seed(1)
    below = torch.randn(1, 3, height // 2, width // 2) if height % 2 == 0 and width % 2 == 0 else None
    return [torch.randn(n, outputs), torch.randn(3, outputs), torch.randn(3), below]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("split", [2, 9])
def test_divided_convolution_matches_float64(shape, dtype, split):
    n, images, height, width, inputs, outputs = shape
    operands = layer(n, images, height, width, inputs, outputs, dtype).without("style")
    next_style = torch.randn(n, outputs).to(operands.x.device)
    rgb = [None if t is None else t.to(operands.x.device) for t in rgb_operands(n, height, width, outputs)]
    y, img = fused_conv(*operands.arguments(), next_style, *rgb, 1.5, split=split)
    features = reference.modulated_conv(*wide(operands.arguments()))
    assert y.dtype == dtype
    assert rms_ratio(y, modulated(features, next_style.double(), n)) < RMS[dtype]
    assert rms_ratio(img, torgb_reference.to_rgb(features, *wide((*rgb, 1.5)))) < RMS[dtype]
    again, img_again = fused_conv(*operands.arguments(), next_style, *rgb, 1.5, split=split)
    assert torch.equal(y, again)
    assert torch.equal(img, img_again)


def test_divided_convolution_without_options_matches_the_undivided_one():
    operands = layer(2, 2, 4, 6, 24, 20, torch.float32).without("style", "noise", "clamp")
    y, img = fused_conv(*operands.arguments(), split=3)
    whole, _ = fused_conv(*operands.arguments(), split=1)
    assert rms_ratio(y, whole) < RMS[torch.float32]
    assert img.numel() == 0


def test_colours_alone():
    operands = layer(1, 1, 4, 4, 24, 20, torch.float32).without("style")
    rgb = rgb_operands(1, 4, 4, 20)
    y, img = fused_conv(*operands.arguments(), None, *rgb, write=False, split=2)
    _, expected = fused_conv(*operands.arguments(), None, *rgb, write=False)
    assert y.numel() == 0
    assert rms_ratio(img, expected) < RMS[torch.float32]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 1, 3, 2, 19, 35), (1, 1, 1, 1, 16, 16)], ids=["odd", "one pixel"])
def test_up_convolution_by_taps_matches_float64(shape, dtype):
    n, images, height, width, inputs, outputs = shape
    operands = layer(n, images, height, width, inputs, outputs, dtype, up=True).without("style")
    x, weight, style, scale, noise, bias, clamp = operands.arguments()
    next_style = torch.randn(n, outputs).to(x.device)
    arguments = (x, weight, None, style, scale, noise, bias, clamp, next_style, "taps")
    y = fused_up_conv(*arguments)
    expected = modulated(up_reference.up_conv(*wide(operands.arguments())), next_style.double(), shape[0])
    assert y.dtype == dtype
    assert rms_ratio(y, expected) < RMS[dtype]
    assert torch.equal(y, fused_up_conv(*arguments))


def test_rules_divide_layers_that_do_not_fill_the_gpu(monkeypatch):
    monkeypatch.setattr(launch, "multiprocessors", lambda x: 132)

    def images(side: int, channels: int = 512) -> torch.Tensor:
        return torch.empty(1, side, side, channels, device="meta", dtype=torch.float16)

    # Images, side -> parts of a layer of 512 channels.
    wanted = {(1, 4): 4, (1, 8): 9, (1, 16): 8, (1, 32): 2, (1, 64): 1, (8, 4): 9, (8, 16): 1, (32, 4): 4, (32, 8): 1}
    assert {key: launch.parts_of(images(key[1]), key[0], 512) for key in wanted} == wanted
    taps = {(1, 4): True, (1, 32): True, (1, 64): False, (8, 8): True, (8, 16): False, (32, 8): False}
    assert {key: launch.prefers_taps(images(key[1]), key[0], 512) for key in taps} == taps


def test_a_style_must_be_applied_before():
    operands = layer(1, 1, 4, 4, 16, 16, torch.float32)
    with pytest.raises(ValueError, match="multiplied by its style before"):
        fused_conv(*operands.arguments(), split=2)
    x, weight, *rest = operands.without("noise").arguments()
    with pytest.raises(ValueError, match="multiplied by its style before"):
        fused_up_conv(x, weight, None, *rest, None, "taps")


@triton.jit
def mark(ptr, o, mask):
    tl.store(ptr + o, 1.0, mask=mask)


@triton.jit
def mark_prefetched(
    w_ptr, first, i_n,
    CI: tl.constexpr, CO: tl.constexpr, STEPS: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    prefetch_weights(w_ptr, first, i_n, CI, CO, STEPS, BN, BK)


prefetch_weights = kernel._prefetch_weights


@pytest.mark.parametrize(
    ("dtype", "inputs", "outputs", "block", "line"),
    [
        (torch.float16, 40, 96, (64, 16), 64),
        (torch.float16, 64, 80, (32, 32), 64),
        (torch.float32, 24, 100, (64, 16), 32),
    ],
)
def test_prefetched_lines_are_those_of_the_weights_of_a_part(monkeypatch, dtype, inputs, outputs, block, line):
    monkeypatch.setattr(kernel, "prefetch", mark)
    bn, bk = block
    k_blocks = -(-inputs // bk)
    columns = range(-(-outputs // bn))
    for steps in (1, 3, 5):
        for first in range(0, 9 * k_blocks, steps):
            for i_n in columns:
                marks = torch.zeros(9, inputs, outputs, dtype=dtype)
                mark_prefetched[(1,)](marks, first, i_n, inputs, outputs, steps, bn, bk)
                expected = torch.zeros_like(marks)
                for step in range(first, min(first + steps, 9 * k_blocks)):
                    rows = slice(step % k_blocks * bk, min(inputs, step % k_blocks * bk + bk))
                    expected[step // k_blocks, rows, i_n * bn : (i_n + 1) * bn : line] = 1
                assert torch.equal(marks, expected)


def test_options_that_no_gpu_measured_are_off_outside_of_their_contexts(monkeypatch):
    monkeypatch.setattr(dispatch, "has_dependent_launches", lambda x: True)
    x, off, on = torch.empty(1), {"PDL": False}, {"PDL": True, "launch_pdl": True}
    assert not prefetches_weights()
    assert dependent_options(x) == off
    with dependent_launches():
        assert dependent_options(x) == on
        assert dependent_convolution(x) == off
        with weight_prefetch(True), dependent_convolutions(True):
            assert prefetches_weights()
            assert dependent_convolution(x) == on
        with weight_prefetch(False), dependent_convolutions(False):
            assert not prefetches_weights()
            assert dependent_convolution(x) == off
