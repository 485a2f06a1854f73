"""Losses between the codes an offset shows and the codes the teacher tells, pixel by pixel.

All take (shown, told), codes [N, C, H, W] float32, `told` in [0, 1] and `shown` not clamped, and give a scalar.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

HUBER_DELTA = 0.1
CERTAIN = 0.01
"""How near to 0 and 1 a code may come as a probability."""


def l1(prediction: Tensor, told: Tensor) -> Tensor:
    """Mean absolute difference."""
    return F.l1_loss(prediction, told)


def l2(prediction: Tensor, told: Tensor) -> Tensor:
    """Mean square difference."""
    return F.mse_loss(prediction, told)


def huber(prediction: Tensor, told: Tensor) -> Tensor:
    """Quadratic up to a difference of 0.1, linear beyond, of slope 1 there: L1 with a smooth bottom."""
    return F.huber_loss(prediction, told, delta=HUBER_DELTA) / HUBER_DELTA


def cosine(prediction: Tensor, told: Tensor) -> Tensor:
    """1 - cosine between vectors, of codes u = (n + 1) / 2, C = 3."""
    return (1 - F.cosine_similarity(prediction * 2 - 1, told * 2 - 1, dim=1, eps=1e-6)).mean()


def bce(prediction: Tensor, told: Tensor) -> Tensor:
    """Binary cross-entropy of codes as probabilities, kept 0.01 from 0 and 1, plus how far `shown` lies outside.

    Least where shown = told. The second term has the gradient that the first has lost where a code leaves [0, 1].
    """
    probability = prediction.clamp(CERTAIN, 1 - CERTAIN)
    return F.binary_cross_entropy(probability, told) + (prediction - probability).abs().mean()


def dice(prediction: Tensor, told: Tensor) -> Tensor:
    """1 - 2 (sum s t + 1/2) / (sum s^2 + sum t^2 + 1), the mean over pictures: overlap, however small the inside.

    V-Net (Milletari et al., arXiv 1606.04797), section 3, with a pixel's worth of smoothing for pictures that have no
    inside. The squares keep a gradient where a code leaves [0, 1].
    """
    s, t = prediction.flatten(1), told.flatten(1)
    overlap = ((s * t).sum(1) + 0.5) / (s.square().sum(1) + t.square().sum(1) + 1)
    return (1 - 2 * overlap).mean()


def cross_entropy(prediction: Tensor, told: Tensor, colours: Tensor, sharpness: float) -> Tensor:
    """Cross-entropy of classes, whose logits are -sharpness times the square distance to their colours [K, 3].

    The true class of a pixel is the one whose colour is nearest to `told`.
    """
    bias = colours.square().sum(1) / 2
    weight = colours[:, :, None, None]
    target = (F.conv2d(told, weight) - bias[:, None, None]).argmax(1)
    # |u|^2 is the same for all classes and falls out of the softmax.
    logits = 2 * sharpness * (F.conv2d(prediction, weight) - bias[:, None, None])
    return F.cross_entropy(logits, target)


def scale_shift_invariant(prediction: Tensor, told: Tensor) -> Tensor:
    """The loss of maps of unknown scale and shift [N, 1, H, W]: MiDaS (Ranftl et al., arXiv 1907.01341).

    Equations 5 to 8 and 11 with all pixels and weight 0.5 of the gradient term: both maps are centred on their median
    and divided by their mean absolute deviation, picture by picture; half of their mean absolute difference, plus half
    of the absolute gradients of the difference at four scales. The least depends on neither scale nor shift of `shown`
    (but on its sign), so an offset fitted with this alone shows maps up to both.
    """
    difference = _standardised(prediction) - _standardised(told)
    loss = difference.abs().mean() / 2
    for step in (1, 2, 4, 8):
        coarse = difference[..., ::step, ::step]
        across, down = coarse.diff(dim=-1).abs().sum(), coarse.diff(dim=-2).abs().sum()
        loss = loss + 0.5 * (across + down) / coarse.numel()
    return loss


def _standardised(maps: Tensor) -> Tensor:
    flat = maps.flatten(1)
    centred = flat - flat.median(dim=1, keepdim=True).values
    return (centred / centred.abs().mean(dim=1, keepdim=True).clamp_min(1e-6)).reshape(maps.shape)
