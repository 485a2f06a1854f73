"""The parameters of a fit and their units."""

from __future__ import annotations

import pytest
import torch
from tolerances import RMS_FP32

from sgi.trainer.offsets.parameters import RIDGE, raw_parameters, rms, style_parameters, style_sizes
from sgi.trainer.offsets.pool import Sampling
from sgi.trainer.offsets.spaces import get_space


@pytest.fixture
def ws(generator):
    return Sampling().ws(generator, range(300))


def test_rows_are_the_ridge_solution_for_the_given_styles(generator, ws):
    """The ridge regression is solved here as the least squares of M d = e and sqrt(ridge) d = 0."""
    synthesis = generator.synthesis
    parameters = style_parameters(synthesis, ws, {}, 2)
    wanted = torch.randn(parameters.leaves["offset"].shape, generator=torch.Generator().manual_seed(0))
    rows = parameters.unfold({"offset": wanted})["offset"]
    assert rows.shape == (6, 8)
    assert not rows[:2].any()
    styles = synthesis.styles(ws[:256])
    for row in range(2, 6):
        matrices = [
            layer.module.affine.scaled()[0].detach() / style.detach().square().mean().sqrt()
            for layer, style in zip(synthesis.styled_layers(), styles, strict=True)
            if layer.row == row
        ]
        matrix = torch.cat(matrices).double()
        ridge = RIDGE * matrix.square().sum() / matrix.shape[1]
        left = torch.cat([matrix, ridge.sqrt() * torch.eye(8)])
        right = torch.cat([wanted[row - 2, : len(matrix)].double(), torch.zeros(8)])
        expected = torch.linalg.lstsq(left, right[:, None]).solution[:, 0]
        assert (rows[row] - expected).norm() < RMS_FP32 * expected.norm()


def test_units_are_the_root_mean_squares_of_styles_and_rows(generator, ws):
    sizes = style_sizes(generator.synthesis, ws)
    first = generator.synthesis.styles(ws[:256])[0]
    assert sizes["synthesis.b4.conv1"] == pytest.approx(first.square().mean().sqrt().item())
    for space, units in (
        ("w", {"offset": rms(ws)}),
        ("style", {f"style.{name}": size for name, size in sizes.items()}),
    ):
        start = get_space(space).zeros(generator.config)
        assert raw_parameters(generator.synthesis, ws, start, 0).units == units
    lora = raw_parameters(generator.synthesis, ws, get_space("lora").zeros(generator.config), 0).units
    name, size = next(iter(sizes.items()))
    assert [lora[f"lora.{name}.{part}"] for part in ("up", "bias", "down")] == pytest.approx([size, size, 8**-0.5])


def test_coarse_parameters_are_those_of_layers_below_16_px(generator, ws):
    synthesis, config = generator.synthesis, generator.config
    for first, expected in ((0, 4), (3, 1), (5, 0)):
        space = get_space("w+")
        assert space.parameters(synthesis, ws, space.zeros(config, None, first), first).coarse == {"offset": expected}
    styles = get_space("style").parameters(synthesis, ws, get_space("style").zeros(config), 0).coarse
    names = {f"style.synthesis.{name}" for name in ("b4.conv1", "b4.torgb", "b8.conv0", "b8.conv1", "b8.torgb")}
    assert set(styles) == names | {"style.synthesis.b16.conv0"}
    assert get_space("w").parameters(synthesis, ws, get_space("w").zeros(config), 0).coarse == {}
