"""The U-Net: shapes, ranges, coordinates and invalid configs."""

from __future__ import annotations

import pytest
import torch

from sgi.trainer.teachers.unet import SEGMENTATION, TYPES, UNet, UNetConfig


def test_every_map_at_every_resolution(net, shape):
    for height, width in ((16, 16), (24, 8), (4, 12)):
        maps = net(torch.rand(2, 3, height, width))
        assert list(maps) == [*TYPES, SEGMENTATION]
        for name, channels in (("depth", 1), ("normal", 3), ("albedo", 3), ("shading", 1), (SEGMENTATION, 3)):
            assert maps[name].shape == (2, channels, height, width)
            assert maps[name].dtype == torch.float32


def test_normals_are_unit_and_the_rest_unclamped(net):
    maps = net(torch.rand(4, 3, 16, 16))
    length = (maps["normal"] * 2 - 1).norm(dim=1)
    torch.testing.assert_close(length, torch.ones_like(length))
    assert maps["albedo"].min() < 0
    assert maps["albedo"].max() > 1


def test_initial_outputs(shape):
    net = UNet(shape)
    torch.nn.init.zeros_(net.head.weight)
    image = torch.rand(2, 3, 16, 16)
    maps = net(image)
    torch.testing.assert_close(maps["albedo"], image)
    torch.testing.assert_close(maps["normal"][0, :, 0, 0], torch.tensor([0.5, 0.5, 1.0]))
    assert (maps["depth"] == 0.5).all()


def test_each_level_halves_the_resolution(net, shape):
    sizes = [tuple(level.shape[1:]) for level in net.encode(torch.rand(1, 3, 16, 24))]
    assert sizes == [(8, 16, 24), (12, 8, 12), (16, 4, 6)]


def test_output_depends_on_position(net):
    """On a picture of one colour, away from the borders, only the coordinates differ between places."""
    deep = net.encode(torch.full((1, 3, 64, 64), 0.5))[-1]
    assert (deep[..., 7, 6] - deep[..., 7, 9]).abs().max() > 1e-3
    assert (deep[..., 6, 7] - deep[..., 9, 7]).abs().max() > 1e-3


def test_bfloat16_keeps_the_head_in_float32(net):
    with torch.autocast("cpu", torch.bfloat16):
        maps = net(torch.rand(1, 3, 16, 16))
    assert {code.dtype for code in maps.values()} == {torch.float32}
    length = (maps["normal"] * 2 - 1).norm(dim=1)
    torch.testing.assert_close(length, torch.ones_like(length))


def test_default_size():
    net = UNet(UNetConfig(tuple("abcdefghijkl")))
    assert 0.75e6 < sum(parameter.numel() for parameter in net.parameters()) < 0.85e6


def test_config_round_trip(shape):
    assert UNetConfig.from_dict(shape.to_dict()) == shape


@pytest.mark.parametrize(
    "bad",
    [{"widths": (8,)}, {"widths": (8, 0)}, {"widths": (8, 10**9)}, {"resolution": 18}, {"classes": ()}],
)
def test_invalid_configs_are_refused(shape, bad):
    with pytest.raises(ValueError, match="expected"):
        UNetConfig(**{**shape.to_dict(), **bad})
