"""The up-convolution in its forms: kernels against float64, flags, odd shapes, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kernel_cases import DTYPES, RMS, Layer, Shape, gradients, layer, rms_ratio, wide

from sgi.kernels.gpu import fused_up_conv, tune, up_conv
from sgi.kernels.gpu.conv.reference import modulated
from sgi.kernels.gpu.operands import Epilogue
from sgi.kernels.gpu.upconv import fused_launch, launch, reference
from sgi.kernels.gpu.upconv.fused_launch import FusedConfig

SHAPES = [
    pytest.param((1, 1, 4, 4, 16, 16), id="minimal"),
    pytest.param((3, 3, 5, 3, 19, 21), id="odd sides and channels"),
    pytest.param((4, 2, 4, 8, 16, 32), id="two styles an image"),
]
FORMS = ["fir", "phases", "fused"]


def check(operands: Layer, form: str, dtype: torch.dtype) -> None:
    y = up_conv(*operands.arguments(), operands.phase_weights, form)
    expected = reference.up_conv(*wide(operands.arguments()))
    assert y.dtype == dtype
    assert rms_ratio(y, expected) < RMS[dtype]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", SHAPES)
def test_matches_the_reference(shape: Shape, form):
    check(layer(*shape, torch.float32, up=True), form, torch.float32)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", DTYPES[1:])
def test_matches_the_reference_in_half_precision(form, dtype):
    check(layer(2, 2, 5, 3, 19, 21, dtype, up=True), form, dtype)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("absent", [("style",), ("noise",), ("bias",), ("clamp",)])
def test_optional_operands(form, absent):
    check(layer(2, 2, 3, 4, 17, 16, torch.float32, up=True).without(*absent), form, torch.float32)


@pytest.mark.parametrize("form", FORMS)
def test_next_style(form):
    operands = layer(2, 2, 4, 3, 16, 20, torch.float32, up=True)
    x, weight, style, scale, noise, bias, clamp = operands.arguments()
    next_style = torch.randn(2, 20).to(x.device)
    y = fused_up_conv(x, weight, operands.phase_weights, style, scale, noise, bias, clamp, next_style, form)
    expected = modulated(reference.up_conv(*wide(operands.arguments())), next_style.double(), 2)
    assert rms_ratio(y, expected) < RMS[torch.float32]


@pytest.mark.parametrize("images", [2, 4])
def test_gradients_match_float64_autograd(images):
    arguments = layer(images, 2, 4, 5, 19, 18, torch.float32, up=True).arguments()
    found = gradients(up_conv, arguments, (0, 2, 3))
    expected = gradients(reference.up_conv, wide(arguments), (0, 2, 3))
    for name, one, other in zip(("x", "style", "scale"), found, expected, strict=True):
        assert rms_ratio(one, other) < RMS[torch.float32], name


def test_gradients_of_the_torch_path_match_float64_autograd(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    given = layer(4, 2, 4, 5, 9, 7, torch.float32).without("noise").arguments()
    arguments = [a.cpu() if isinstance(a, torch.Tensor) else a for a in given]
    found = gradients(up_conv, arguments, (0, 2, 3))
    expected = gradients(reference.up_conv, wide(arguments), (0, 2, 3))
    for one, other in zip(found, expected, strict=True):
        assert rms_ratio(one, other) < RMS[torch.float32]


@pytest.mark.parametrize(("pad", "side"), [(1, 21), (2, 18)], ids=["forward", "gradient"])
def test_filter_over_several_row_chunks(pad, side):
    t = torch.randn(2, side, 5, 70).to(layer(1, 1, 4, 4, 8, 8, torch.float32).x.device)
    assert rms_ratio(launch.fir(t, pad), reference.fir(t.double(), pad)) < RMS[torch.float32]


def test_default_form_depends_on_channels(monkeypatch):
    calls = []
    original = launch.fir

    def fir(*arguments, **options):
        calls.append("fir")
        return original(*arguments, **options)

    monkeypatch.setattr(launch, "fir", fir)
    for inputs, expected in ((launch.PHASES_MAX_INPUTS, []), (launch.PHASES_MAX_INPUTS + 1, ["fir"])):
        calls.clear()
        operands = layer(1, 1, 2, 2, inputs, 16, torch.float32, up=True)
        with tune.tuning(False):
            up_conv(*operands.arguments(), operands.phase_weights)
        assert calls == expected


def test_default_form_depends_on_the_number_of_pixels(monkeypatch):
    monkeypatch.setattr(launch, "multiprocessors", lambda x: 132)
    monkeypatch.setattr(fused_launch, "multiprocessors", lambda x: 132)
    # Inputs, side, images -> the fastest form on an H100.
    wanted = {(64, 512, 32): "fused", (64, 512, 1): "phases", (128, 256, 32): "fir", (128, 128, 1): "phases"}
    found = {
        (inputs, side, n): launch.default_form(
            torch.empty(n, side, side, inputs, device="meta", dtype=torch.float16), inputs // 2, n, True
        )
        for inputs, side, n in wanted
    }
    assert found == wanted


@pytest.mark.parametrize("descriptor", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_fused_form_with_random_sides_and_blocks(seed, descriptor):
    random = np.random.default_rng(seed)
    nx = int(random.integers(1, 3))
    height, width = (int(side) for side in random.integers(1, 6, 2))
    inputs, outputs = int(random.integers(1, 20)), int(random.integers(1, 20))
    inputs = 4 * (inputs // 4 + 1) if descriptor else inputs
    # Bands and strips that do not divide the sides, and strips as narrow as the halo.
    config = FusedConfig(int(random.choice([2, 4, 8])), 16, int(random.choice([2, 3, 4])), 4, 1, descriptor)
    operands = layer(2 * nx, nx, height, width, inputs, outputs, torch.float32, up=True)
    x, weight, style, scale, noise, bias, clamp = operands.arguments()
    epilogue = Epilogue(scale, noise, bias, act=True, clamp=clamp)
    first, again = (fused_launch.fused(x, weight, 2 * nx, style, epilogue, config) for _ in range(2))
    assert rms_ratio(first, reference.up_conv(*wide(operands.arguments()))) < RMS[torch.float32]
    assert torch.equal(first, again)


def test_fused_form_refuses_inputs_whose_weight_does_not_fit():
    operands = layer(1, 1, 2, 2, fused_launch.MAX_INPUTS[torch.float32] + 1, 8, torch.float32)
    with pytest.raises(ValueError, match="no block"):
        up_conv(*operands.without("noise").arguments(), None, "fused")


def test_fused_form_refuses_rows_that_descriptors_cannot_address():
    operands = layer(1, 1, 4, 4, 18, 16, torch.float32, up=True)
    with pytest.raises(ValueError, match="16 bytes"):
        fused_launch.fused(operands.x, operands.weight, 1, None, Epilogue(), FusedConfig(4, 16, 4, 4, 1, True))


def test_fused_form_has_a_block_for_every_image_and_gpu(monkeypatch):
    def chosen(width: int, inputs: int) -> FusedConfig:
        return fused_launch.choose(torch.empty(8, width, width, inputs, device="meta", dtype=torch.float16), 32, 8)

    wide, narrow = fused_launch.HALF_CONFIGS
    assert chosen(512, 64)[:2] == wide[:2]
    assert chosen(512, 60)[:2] == narrow[:2]  # 120 bytes
    assert not chosen(32, 64).registers
    for target in (fused_launch.Target(8, 163 * 1024), fused_launch.Target(12, 99 * 1024)):
        monkeypatch.setattr(fused_launch, "target_of", lambda x, target=target: target)
        assert chosen(512, 64)[:2] == narrow[:2]


def test_fused_form_has_fewer_rows_for_few_programs():
    x = torch.empty(1, 64, 64, 64, device="meta", dtype=torch.float16)
    rows = [fused_launch.choose(x, 32, n).rows for n in (1, 64)]
    assert rows[0] < rows[1]


def test_candidates_agree():
    operands = layer(2, 1, 3, 5, 8, 16, torch.float32, up=True)
    x, weight, style, scale, noise, bias, clamp = operands.arguments()
    epilogue = Epilogue(scale, noise, bias, act=True, clamp=clamp)
    found = dict(launch.candidates(x, weight, operands.phase_weights, 2, style, epilogue))
    assert {name.split()[0] for name in found} == set(launch.FORMS)
    expected = reference.up_conv(*wide(operands.arguments()))
    for name, run in found.items():
        assert rms_ratio(run(), expected) < RMS[torch.float32], name


def test_phases_form_requires_phase_weights():
    operands = layer(1, 1, 4, 4, 8, 8, torch.float32)
    with pytest.raises(ValueError, match="phases form"):
        up_conv(*operands.without("noise").arguments(), None, "phases")


def test_operators_pass_opcheck(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    operands = layer(2, 2, 4, 4, 8, 8, torch.float32, up=True)
    arguments = [a.cpu() if isinstance(a, torch.Tensor) else a for a in operands.arguments()]
    x, weight, style, scale, noise, bias, clamp = arguments
    assert operands.phase_weights is not None
    fused = (x, weight, operands.phase_weights.cpu(), style, scale, noise, bias, clamp, None)
    torch.library.opcheck(fused_up_conv, fused, test_utils=("test_schema", "test_faketensor"))
    x.requires_grad_()
    checks = ("test_schema", "test_faketensor", "test_autograd_registration")
    torch.library.opcheck(up_conv, tuple(arguments), test_utils=checks)
