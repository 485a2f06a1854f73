"""Losses between predicted and target codes, pixel by pixel.

All take (prediction, target), codes [N, C, H, W] float32, targets in [0, 1] and predictions not clamped, and return a
scalar.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

HUBER_DELTA = 0.1
CERTAIN = 0.01
"""Least distance of a code from 0 and 1 when it is used as a probability."""


def l1(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference."""
    return F.l1_loss(prediction, target)


def l2(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean square difference."""
    return F.mse_loss(prediction, target)


def huber(prediction: Tensor, target: Tensor) -> Tensor:
    """Quadratic up to a difference of 0.1, linear with slope 1 beyond: L1 with a smooth minimum."""
    return F.huber_loss(prediction, target, delta=HUBER_DELTA) / HUBER_DELTA


def cosine(prediction: Tensor, target: Tensor) -> Tensor:
    """1 - cosine between the vectors n of codes u = (n + 1) / 2, C = 3."""
    return (1 - F.cosine_similarity(prediction * 2 - 1, target * 2 - 1, dim=1, eps=1e-6)).mean()


def bce(prediction: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy of codes clamped to [0.01, 0.99] as probabilities, plus the distance to the clamped codes.

    The minimum is at prediction = target. The second term has a gradient where the clamp removes that of the first.
    """
    probability = prediction.clamp(CERTAIN, 1 - CERTAIN)
    return F.binary_cross_entropy(probability, target) + (prediction - probability).abs().mean()


def dice(prediction: Tensor, target: Tensor) -> Tensor:
    """1 - 2 (sum p t + 1/2) / (sum p^2 + sum t^2 + 1) of predictions p and targets t, averaged over pictures.

    V-Net (Milletari et al., arXiv 1606.04797), section 3, with a smoothing of one pixel for pictures without an inside.
    The squares have a gradient where a code leaves [0, 1].
    """
    p, t = prediction.flatten(1), target.flatten(1)
    overlap = ((p * t).sum(1) + 0.5) / (p.square().sum(1) + t.square().sum(1) + 1)
    return (1 - 2 * overlap).mean()


def cross_entropy(prediction: Tensor, target: Tensor, colours: Tensor, sharpness: float) -> Tensor:
    """Cross-entropy of classes whose logits are -sharpness times the squared distance to their colours [K, 3].

    The true class of a pixel is the one whose colour is nearest to the target.
    """
    bias = colours.square().sum(1) / 2
    weight = colours[:, :, None, None]
    label = (F.conv2d(target, weight) - bias[:, None, None]).argmax(1)
    # |u|^2 is the same for all classes and cancels in the softmax.
    logits = 2 * sharpness * (F.conv2d(prediction, weight) - bias[:, None, None])
    return F.cross_entropy(logits, label)


def scale_shift_invariant(prediction: Tensor, target: Tensor) -> Tensor:
    """Scale- and shift-invariant loss of maps [N, 1, H, W]: MiDaS (Ranftl et al., arXiv 1907.01341).

    Equations 5 to 8 and 11 with all pixels and weight 0.5 of the gradient term: both maps are centred on their median
    and divided by their mean absolute deviation, picture by picture. The loss is half of their mean absolute difference
    plus half of the absolute gradients of the difference at four scales. It does not depend on a positive scale or a
    shift of the prediction, so an offset fitted with this loss alone predicts maps up to both.
    """
    difference = _standardised(prediction) - _standardised(target)
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
