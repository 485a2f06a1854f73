"""Mapping layers, styles and demodulations of a whole network, and packed weights."""

from __future__ import annotations

import interpreter
import pytest
import torch
from kernel_cases import RMS, rms_ratio

from sgi.engine.generator.mapping import normalise_second_moment
from sgi.kernels.gpu import pack_conv
from sgi.kernels.gpu.packed_weights import fold_upsampling_filter
from sgi.kernels.gpu.styles import row_launch
from sgi.kernels.gpu.styles.launch import all_scales
from sgi.kernels.gpu.styles.table import StyleTable
from sgi.kernels.gpu.upconv import reference as upconv

LAYERS = [(19, 70), (5, 33), (40, 8)]  # inputs, outputs


@pytest.mark.parametrize("images", [2, 18])
def test_scales_match_demodulation(images):
    torch.manual_seed(0)
    weights = [torch.randn(outputs, inputs, 3, 3) * 3 for inputs, outputs in LAYERS]
    table = StyleTable.of([pack_conv(w.to(interpreter.DEVICE), torch.float32) for w in weights])
    # A slice of wider styles, as in the network, to test the stride; one style is tiny, one all zero.
    styles = torch.randn(images, 80).to(interpreter.DEVICE)
    styles[-1, :19] *= 1e-3
    styles[0, 19:24] = 0
    unit, scale = all_scales(styles[:, :64], table)
    assert unit.abs().max() <= 1
    for i, ((inputs, _), weight) in enumerate(zip(LAYERS, weights, strict=True)):
        style = styles[:, table.starts[i] : table.starts[i] + inputs].double().cpu()
        wide = weight.double()
        demod = (torch.einsum("ni,oiuv->no", style.square(), wide.square()) + 1e-8).rsqrt()
        one, factor = (t.double().cpu() for t in table.layer(i, unit, scale))
        # The network computes packed weight * unit style * scale, for any packing.
        norm = wide.square().sum((1, 2, 3)).sqrt()
        effective = one[:, None] * (factor / norm)[:, :, None]
        expected = 2**0.5 * demod[:, :, None] * style[:, None]
        assert rms_ratio(effective, expected) < RMS[torch.float32]


@pytest.mark.parametrize("images", [1, 19])
@pytest.mark.parametrize("normalise", [True, False])
def test_mapping_layer_matches_float64(images, normalise):
    torch.manual_seed(0)
    x, weight, bias = (torch.randn(shape).to(interpreter.DEVICE) for shape in ((images, 19), (21, 19), (21,)))
    wide_x = normalise_second_moment(x.double()) if normalise else x.double()
    expected = torch.nn.functional.leaky_relu(wide_x @ weight.double().T + bias.double(), 0.2)
    y = row_launch.linear(x, weight, bias, normalise=normalise)
    assert rms_ratio(y, expected) < RMS[torch.float32]
    assert torch.equal(y, row_launch.linear(x, weight, bias, normalise=normalise))


@pytest.mark.parametrize("matrices", [1, 3], ids=["one matrix", "a matrix for each type"])
@pytest.mark.parametrize("cutoff", [None, 2])
def test_styles_are_truncated_affine_products(matrices, cutoff):
    torch.manual_seed(0)
    shapes = ((5, 19), (matrices, 21, 19), (19,), (3, 21))
    w, matrix, average, bias = (torch.randn(shape).to(interpreter.DEVICE) for shape in shapes)
    rows = (torch.arange(21) // 6).int().to(w.device)
    psi = torch.tensor(0.7).to(w.device)
    found = row_launch.affine(w, matrix, matrix @ average, bias, rows, psi, cutoff)
    wide_w, wide_matrix = w.double(), matrix.double()
    moved = average.double() + 0.7 * (wide_w - average.double())
    truncated = torch.ones(21, dtype=torch.bool, device=w.device) if cutoff is None else rows < cutoff
    expected = torch.where(truncated, moved @ wide_matrix.mT, wide_w @ wide_matrix.mT) + bias[:, None].double()
    assert rms_ratio(found, expected.reshape(15, 21)) < RMS[torch.float32]


def test_styles_of_wrong_width_are_refused():
    table = StyleTable.of([pack_conv(torch.randn(8, 8, 3, 3), torch.float32)])
    with pytest.raises(ValueError, match="styles"):
        all_scales(torch.randn(2, 9), table)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_packed_weights_have_unit_energy_and_their_norm(dtype):
    torch.manual_seed(0)
    weight = torch.randn(6, 5, 3, 3) * 1e4
    packed = pack_conv(weight, dtype)
    energy = packed.taps.double().square().sum((0, 1))
    assert torch.allclose(energy, torch.ones(6, dtype=torch.double), rtol=1e-3)
    restored = (packed.taps.double() * packed.norm).view(3, 3, 5, 6).permute(3, 2, 0, 1)
    assert rms_ratio(restored, weight) < 1e-3


def test_zero_weight_packs_to_finite_values():
    assert pack_conv(torch.zeros(4, 4, 3, 3), torch.float16).taps.isfinite().all()


def test_phase_weights_match_filtered_transposed_convolution():
    torch.manual_seed(0)
    weight = torch.randn(3, 2, 3, 3, dtype=torch.double)
    x = torch.randn(1, 4, 5, 2, dtype=torch.double)
    taps = weight.permute(2, 3, 1, 0).reshape(9, 2, 3)
    expected = upconv.fir(upconv.transposed(x, taps), pad=1)
    phase_weights = fold_upsampling_filter(weight).view(3, 3, 2, 12).permute(3, 2, 0, 1)
    columns = torch.nn.functional.conv2d(x.permute(0, 3, 1, 2), phase_weights, padding=1)
    found = columns.view(1, 2, 2, 3, 4, 5).permute(0, 4, 1, 5, 2, 3).reshape(1, 8, 10, 3)
    assert torch.allclose(found, expected)
