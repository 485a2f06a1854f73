"""Losses between features of networks: whether what is shown looks like what is told, not only pixel by pixel.

Both compare activations of equal length in every pixel (LPIPS, Zhang et al., arXiv 1801.03924, equation 1).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from sgi.engine.errors import UserError

VGG_FILE = "vgg16-397923af.pth"


def bundled(prediction: Tensor, target: Tensor) -> Tensor:
    """Distance in the features of the bundled teacher's encoder, the mean over its levels; needs no download.

    shown, told: codes [N, 1 or 3, H, W], one channel as grey, H and W multiples of 8. Per level: the square distance of
    activations of unit length over channels, the mean over pixels.
    """
    encode = _encoder(prediction.device.type)
    levels = [(_unit(x), _unit(y)) for x, y in zip(encode(_rgb(prediction)), encode(_rgb(target)), strict=True)]
    return torch.stack([(x - y).square().sum(1).mean() for x, y in levels]).mean()


def lpips(prediction: Tensor, target: Tensor) -> Tensor:
    """LPIPS with VGG-16, of codes [N, 1 or 3, H, W]; see `check_lpips`."""
    return _lpips(prediction.device.type)(_rgb(prediction) * 2 - 1, _rgb(target) * 2 - 1).mean()


def check_lpips() -> None:
    """Raise UserError unless the packages are installed and VGG's weights are on this machine: nothing is fetched."""
    missing = [name for name in ("lpips", "torchvision") if find_spec(name) is None]
    if missing:
        raise UserError(
            f"--loss lpips: {' and '.join(missing)} not installed: pip install lpips torchvision, or use "
            "--loss perceptual, which needs neither"
        )
    weights = Path(torch.hub.get_dir()) / "checkpoints" / VGG_FILE
    if not weights.is_file():
        raise UserError(
            f"--loss lpips: {weights} is missing: fetch torchvision's weights of VGG-16 first, or use --loss perceptual"
        )


def _rgb(codes: Tensor) -> Tensor:
    return codes.expand(-1, 3, -1, -1)


def _unit(activations: Tensor) -> Tensor:
    # The epsilon is under the root: a length of 0 has no gradient.
    return activations * (activations.square().sum(1, keepdim=True) + 1e-8).rsqrt()


@lru_cache
def _encoder(device: str) -> Callable[[Tensor], list[Tensor]]:
    from sgi.engine.bundle import TEACHER
    from sgi.trainer.teachers.unet_teacher import load_unet_teacher

    return load_unet_teacher(TEACHER, device).net.encode


@lru_cache
def _lpips(device: str) -> nn.Module:
    check_lpips()
    from lpips import LPIPS

    return LPIPS(net="vgg", verbose=False).eval().requires_grad_(False).to(device)
