"""The modulated convolution: kernel against float64 reference, every flag, odd shapes, gradients."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from kernel_cases import DTYPES, RMS, Layer, Shape, gradients, layer, rms_ratio, wide

from sgi.kernels.gpu import fused_conv, modulated_conv
from sgi.kernels.gpu.conv import reference
from sgi.kernels.gpu.conv.launch import conv
from sgi.kernels.gpu.operands import Epilogue
from sgi.kernels.gpu.torgb import reference as torgb_reference
from sgi.kernels.gpu.tune import Config

SHAPES = [
    pytest.param((1, 1, 4, 4, 16, 16), id="minimal"),
    pytest.param((3, 3, 5, 7, 19, 35), id="odd sides and channels"),
    pytest.param((2, 2, 16, 8, 16, 32), id="blocks inside one image"),
    pytest.param((6, 2, 4, 4, 20, 16), id="three styles an image"),
]


def check(operands: Layer, dtype: torch.dtype) -> None:
    y = modulated_conv(*operands.arguments())
    expected = reference.modulated_conv(*wide(operands.arguments()))
    assert y.dtype == dtype
    assert rms_ratio(y, expected) < RMS[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_matches_the_reference(shape: Shape, dtype):
    check(layer(*shape, dtype), dtype)


@pytest.mark.parametrize("absent", [("style",), ("noise",), ("bias",), ("clamp",), ("style", "noise", "bias", "clamp")])
def test_optional_operands(absent):
    check(layer(2, 2, 5, 4, 17, 16, torch.float32).without(*absent), torch.float32)


def test_noise_shared_by_images():
    operands = layer(3, 3, 4, 6, 16, 16, torch.float32)
    assert operands.noise is not None
    check(replace(operands, noise=operands.noise[:1]), torch.float32)


@pytest.mark.parametrize("block", [(16, 16, 16), (64, 32, 32), (256, 64, 16)])
def test_block_shapes_do_not_change_the_result(block: tuple[int, int, int]):
    operands = layer(3, 3, 8, 4, 37, 70, torch.float32)
    x, weight, style, scale, noise, bias, clamp = operands.arguments()
    y, _ = conv(x, weight, 3, style, Epilogue(scale, noise, bias, True, clamp), config=Config(*block, 4, 2))
    assert y is not None
    assert rms_ratio(y, reference.modulated_conv(*wide(operands.arguments()))) < RMS[torch.float32]


@pytest.mark.parametrize("images", [2, 4])
def test_gradients_match_float64_autograd(images):
    arguments = layer(images, 2, 5, 6, 19, 33, torch.float32).arguments()
    found = gradients(modulated_conv, arguments, (0, 2, 3))
    expected = gradients(reference.modulated_conv, wide(arguments), (0, 2, 3))
    for name, one, other in zip(("x", "style", "scale"), found, expected, strict=True):
        assert rms_ratio(one, other) < RMS[torch.float32], name


def test_gradients_of_the_torch_path_match_float64_autograd(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    arguments = [
        a.cpu() if isinstance(a, torch.Tensor) else a for a in layer(4, 2, 5, 6, 9, 7, torch.float32).arguments()
    ]
    found = gradients(modulated_conv, arguments, (0, 2, 3))
    expected = gradients(reference.modulated_conv, wide(arguments), (0, 2, 3))
    for one, other in zip(found, expected, strict=True):
        assert rms_ratio(one, other) < RMS[torch.float32]


def rgb_operands(n: int, below_images: int, height: int, width: int, outputs: int) -> list[torch.Tensor]:
    torch.manual_seed(1)
    shapes = [(n, outputs), (3, outputs), (3,), (below_images, 3, height // 2, width // 2)]
    return [torch.randn(shape) for shape in shapes]


@pytest.mark.parametrize("outputs", [24, 150], ids=["one block of channels", "partial sums"])
@pytest.mark.parametrize("write", [True, False])
def test_fused_to_rgb_and_next_style(outputs, write):
    operands = layer(4, 2, 6, 8, 16, outputs, torch.float32)
    next_style = torch.randn(4, outputs)
    rgb = [t.to(operands.x.device) for t in rgb_operands(4, 2, 6, 8, outputs)]
    y, img = fused_conv(*operands.arguments(), next_style.to(operands.x.device), *rgb, 1.5, write=write)
    features = reference.modulated_conv(*wide(operands.arguments()))
    expected = torgb_reference.to_rgb(features, *wide((*rgb, 1.5)))
    assert rms_ratio(img, expected) < RMS[torch.float32]
    if write:
        assert (
            rms_ratio(y, reference.modulated(features, next_style.double().to(features.device), 4)) < RMS[torch.float32]
        )
    else:
        assert y.numel() == 0


def test_fused_to_rgb_at_lowest_resolution():
    operands = layer(2, 1, 4, 4, 16, 20, torch.float16)
    style, weight, bias, _ = (t.to(operands.x.device) for t in rgb_operands(2, 2, 4, 4, 20))
    _, img = fused_conv(*operands.arguments(), None, style, weight, bias)
    features = reference.modulated_conv(*wide(operands.arguments()))
    expected = torgb_reference.to_rgb(features, *wide((style, weight, bias, None, None)))
    assert rms_ratio(img, expected) < RMS[torch.float16]


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        ("x", torch.randn(2, 4, 4, 8).permute(0, 2, 1, 3), "contiguous"),
        ("x", torch.randn(3, 4, 4, 8), "do not divide"),
        ("style", torch.randn(2, 9), "style"),
        ("scale", torch.randn(2, 9), "scale"),
        ("noise", torch.randn(1, 4, 5), "noise"),
        ("bias", torch.randn(9), "bias"),
        ("weight", torch.randn(9, 7, 8), "weight"),
    ],
)
def test_operands_of_wrong_shape_are_refused(name, changed, message):
    operands = Layer(**{**vars(layer(2, 2, 4, 4, 8, 8, torch.float32)), name: changed})
    with pytest.raises(ValueError, match=message):
        modulated_conv(*operands.arguments())


def test_operators_pass_opcheck(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    operands = layer(2, 2, 4, 4, 8, 8, torch.float32)
    arguments = [a.cpu() if isinstance(a, torch.Tensor) else a for a in operands.arguments()]
    checks = ("test_schema", "test_faketensor", "test_autograd_registration")
    arguments[0].requires_grad_()
    torch.library.opcheck(modulated_conv, tuple(arguments), test_utils=checks)
    arguments[0].requires_grad_(False)
    rgb = rgb_operands(2, 2, 4, 4, 8)
    torch.library.opcheck(fused_conv, (*arguments, None, *rgb), test_utils=checks[:2])
