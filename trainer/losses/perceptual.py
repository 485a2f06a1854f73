"""Losses between network features of predictions and targets.

Both normalise the activations of every pixel to unit length (LPIPS, Zhang et al., arXiv 1801.03924, equation 1).
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
    """Return the distance in the features of the bundled teacher's encoder, averaged over its levels.

    prediction, target: codes [N, 1 or 3, H, W], one channel as grey, H and W multiples of 8. The distance of a level is
    the squared distance of unit-length activations, summed over channels and averaged over pixels.
    """
    encode = _encoder(prediction.device.type)
    levels = [(_unit(x), _unit(y)) for x, y in zip(encode(_rgb(prediction)), encode(_rgb(target)), strict=True)]
    return torch.stack([(x - y).square().sum(1).mean() for x, y in levels]).mean()


def lpips(prediction: Tensor, target: Tensor) -> Tensor:
    """Return LPIPS with VGG-16 of codes [N, 1 or 3, H, W]; raises the errors of `check_lpips`."""
    return _lpips(prediction.device.type)(_rgb(prediction) * 2 - 1, _rgb(target) * 2 - 1).mean()


def check_lpips() -> None:
    """Raise UserError unless the packages and the weights of VGG-16 are installed; nothing is downloaded."""
    missing = [name for name in ("lpips", "torchvision") if find_spec(name) is None]
    if missing:
        raise UserError(
            f"`loss=lpips`: {' and '.join(missing)} not installed: pip install lpips torchvision, or use "
            "`loss=perceptual`, which needs neither"
        )
    weights = Path(torch.hub.get_dir()) / "checkpoints" / VGG_FILE
    if not weights.is_file():
        raise UserError(
            f"`loss=lpips`: {weights} is missing: download torchvision's weights of VGG-16, or use `loss=perceptual`"
        )


def _rgb(codes: Tensor) -> Tensor:
    return codes.expand(-1, 3, -1, -1)


def _unit(activations: Tensor) -> Tensor:
    # The epsilon is under the root because a length of 0 has no gradient.
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
