import torch

from sgi.engine import intrinsics
from sgi.trainer.scenes.maps import TYPES, Maps
from sgi.trainer.scenes.srgb import srgb_decode, srgb_encode


def test_curves_agree_with_known_values() -> None:
    linear = torch.tensor([0.0, 0.002, 0.18, 0.5, 1.0])
    code = torch.tensor([0.0, 0.02584, 0.4613561, 0.7353570, 1.0])
    torch.testing.assert_close(srgb_encode(linear), code)
    torch.testing.assert_close(srgb_decode(code), linear)


def test_curves_clamp_to_zero_and_one() -> None:
    for curve in (srgb_encode, srgb_decode):
        torch.testing.assert_close(curve(torch.tensor([-1.0, 2.0])), torch.tensor([0.0, 1.0]))


def test_codes_equal_those_of_intrinsics() -> None:
    generator = torch.Generator().manual_seed(0)
    normal = torch.nn.functional.normalize(torch.randn(2, 3, 4, 4, generator=generator), dim=1)
    maps = Maps(
        image=torch.rand(2, 3, 4, 4, generator=generator),
        depth=torch.rand(2, 1, 4, 4, generator=generator) * 6.0,
        normal=normal,
        albedo=torch.rand(2, 3, 4, 4, generator=generator),
        shading=torch.rand(2, 1, 4, 4, generator=generator) * 1.5,
        segmentation=torch.zeros(2, 4, 4, dtype=torch.uint8),
    )
    for name in TYPES:
        value = maps.depth / 6.0 if name == "depth" else getattr(maps, name)
        expected = torch.from_numpy(intrinsics.encode(name, value.numpy())).float()
        torch.testing.assert_close(maps.codes(name), expected)
