"""To-rgb and the skip path: kernel against float64, flags, gradients."""

from __future__ import annotations

import interpreter
import pytest
import torch
from kernel_cases import DTYPES, RMS, gradients, rms_ratio, wide

from sgi.kernels.gpu import apply_styles, to_rgb
from sgi.kernels.gpu.conv.reference import modulated
from sgi.kernels.gpu.operands import RgbTail
from sgi.kernels.gpu.torgb import reference
from sgi.kernels.gpu.torgb.launch import finish


def operands(n=4, nx=2, nb=2, height=6, width=10, inputs=21, channels=3, dtype=torch.float32):
    """x, style, weight, bias, below."""
    torch.manual_seed(0)
    shapes = [(n, inputs), (channels, inputs), (channels,), (nb, channels, height // 2, width // 2)]
    x = torch.randn(nx, height, width, inputs).to(dtype)
    return [t.to(interpreter.DEVICE) for t in (x, *(torch.randn(shape) for shape in shapes))]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("clamp", [None, 2.0])
def test_matches_the_reference(dtype, clamp):
    given = operands(dtype=dtype)
    img = to_rgb(*given, clamp)
    assert img.dtype == torch.float32
    # The colours are float32 sums of the same operands in both, whatever their type.
    assert rms_ratio(img, reference.to_rgb(*wide((*given, clamp)))) < RMS[torch.float32]


@pytest.mark.parametrize(
    "shape", [{"n": 2}, {"height": 4, "width": 4, "inputs": 512}, {"channels": 1}, {"channels": 4}, {"nb": 4}]
)
def test_shapes(shape):
    given = operands(**shape)
    assert rms_ratio(to_rgb(*given), reference.to_rgb(*wide((*given, None)))) < RMS[torch.float32]


def test_odd_sides_without_picture_below():
    x, style, weight, bias, _ = operands(height=5, width=7)
    expected = reference.to_rgb(*wide((x, style, weight, bias, None, None)))
    assert rms_ratio(to_rgb(x, style, weight, bias), expected) < RMS[torch.float32]


def test_partial_sums_give_the_same_picture():
    x, style, weight, bias, below = operands(nx=4)
    halves = [slice(0, 10), slice(10, 21)]
    parts = [reference.to_rgb(x[..., h], style[:, h], weight[:, h], bias * 0, None, None) for h in halves]
    img = finish(torch.stack(parts), RgbTail(style, weight, bias, below, 2.0))
    assert rms_ratio(img, reference.to_rgb(*wide((x, style, weight, bias, below, 2.0)))) < RMS[torch.float32]


@pytest.mark.parametrize("clamp", [None, 2.0])
@pytest.mark.parametrize("interpret", ["0", "1"])
def test_gradients_match_float64_autograd(clamp, interpret, monkeypatch):
    given = [*operands(height=18, width=18), clamp]
    if interpret == "0":
        monkeypatch.setenv("TRITON_INTERPRET", "0")
        given = [g.cpu() if isinstance(g, torch.Tensor) else g for g in given]
    found = gradients(to_rgb, given, (0, 1, 4))
    expected = gradients(reference.to_rgb, wide(given), (0, 1, 4))
    for name, one, other in zip(("x", "style", "below"), found, expected, strict=True):
        assert rms_ratio(one, other) < RMS[torch.float32], name


def test_picture_below_of_wrong_side_is_refused():
    x, style, weight, bias, below = operands()
    with pytest.raises(ValueError, match="half the side"):
        to_rgb(x, style, weight, bias, below[..., :-1])


def test_operator_passes_opcheck(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    given = [t.cpu() for t in operands()]
    given[0].requires_grad_()
    checks = ("test_schema", "test_faketensor", "test_autograd_registration")
    torch.library.opcheck(to_rgb, tuple(given), test_utils=checks)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("shape", [(6, 2, 6, 4, 20), (3, 1, 5, 7, 19)], ids=["below", "odd"])
def test_styles_applied_to_shared_features(shape, dtype, monkeypatch):
    n, images, height, width, inputs = shape
    torch.manual_seed(0)
    x = torch.randn(images, height, width, inputs).to(interpreter.DEVICE, dtype)
    next_style, rgb_style = (torch.randn(n, inputs).to(x.device) for _ in range(2))
    weight, bias = torch.randn(3, inputs).to(x.device), torch.randn(3).to(x.device)
    below = None if height % 2 else torch.randn(images, 3, height // 2, width // 2).to(x.device)
    y, img = apply_styles(x, next_style, rgb_style, weight, bias, below, 1.0)
    rows = wide((x, next_style, rgb_style, weight, bias, below))
    assert rms_ratio(y, modulated(rows[0], rows[1], n)) < RMS[dtype]
    x64, _, style64, weight64, bias64, below64 = rows
    assert rms_ratio(img, reference.to_rgb(x64, style64, weight64, bias64, below64, 1.0)) < RMS[torch.float32]
    alone, nothing = apply_styles(x, next_style)
    assert torch.equal(alone, y)
    assert nothing.numel() == 0
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    checks = ("test_schema", "test_faketensor")
    torch.library.opcheck(apply_styles, (x, next_style, rgb_style, weight, bias, below, 1.0), test_utils=checks)
