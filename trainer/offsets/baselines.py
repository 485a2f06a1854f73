"""Baselines: predictions of a map that do not use the generator, for comparison with an offset's score.

Each baseline is fitted in closed form on the fitting pictures and returns a function that predicts codes of held-out
pictures. The baselines are as strong as their form allows, because an offset is useful only if it scores better.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

CHUNK = 2048
"""Pixels (or map entries) processed at a time; limits the memory and does not affect the result."""

# In squared display units: slopes over colour changes below 1 % of the range cannot be estimated from pictures.
PIXEL_RIDGE = 1e-4
RIDGE_LAMBDAS = tuple(10.0**k for k in range(-3, 5))
VALIDATION_SHARE = 0.2


@dataclass(frozen=True)
class GlobalAffine:
    """An affine map from colour to code. weights: [K + 1, C] float32, the last row constant."""

    weights: Tensor

    def __call__(self, pictures: Tensor) -> Tensor:
        """Return codes [N, C, H, W] for pictures [N, K, H, W]."""
        colours = torch.einsum("nihw,ic->nchw", pictures.float(), self.weights[:-1])
        return colours + self.weights[-1][None, :, None, None]


@dataclass(frozen=True)
class PixelAffine:
    """An affine map for each pixel. weights: [H * W, K, C]; x_mean: [1, K, H, W]; y_mean: [1, C, H, W]; float32."""

    weights: Tensor
    x_mean: Tensor
    y_mean: Tensor

    def __call__(self, pictures: Tensor) -> Tensor:
        """Return codes [N, C, H, W] for pictures [N, K, H, W]."""
        x = (pictures.float() - self.x_mean).flatten(2)
        y = torch.einsum("nip,pic->ncp", x, self.weights)
        return y.reshape(-1, *self.y_mean.shape[1:]) + self.y_mean


@dataclass(frozen=True)
class Ridge:
    """A linear map from w. weights: [D, C * H * W]; w_mean: [D]; y_mean: [1, C, H, W]; float32."""

    weights: Tensor
    w_mean: Tensor
    y_mean: Tensor

    def __call__(self, latent: Tensor) -> Tensor:
        """Return codes [N, C, H, W] for latents [N, D]."""
        return ((latent - self.w_mean) @ self.weights).reshape(-1, *self.y_mean.shape[1:]) + self.y_mean


def mean_map(codes: Tensor) -> Tensor:
    """Return the mean map [1, C, H, W] float32 of codes [N, C, H, W]: the best constant prediction."""
    return codes.mean(dim=0, keepdim=True, dtype=torch.float32)


def global_affine(images: Tensor, codes: Tensor) -> GlobalAffine:
    """Fit one affine map from colour to code for all pixels of all pictures by least squares.

    images: [N, K, H, W] in [0, 1], K the channels of the pictures. codes: [N, C, H, W]. Returns a predictor for images
    [M, K, H, W].
    """
    colours, channels = images.shape[1], codes.shape[1]
    gram = torch.zeros(colours + 1, colours + 1, dtype=torch.float64)
    cross = torch.zeros(colours + 1, channels, dtype=torch.float64)
    for image, code in zip(images.split(64), codes.split(64), strict=True):
        x = image.double().transpose(0, 1).reshape(colours, -1)
        x = torch.cat([x, torch.ones_like(x[:1])])  # [K + 1, pixels]
        gram += x @ x.T
        cross += x @ code.double().transpose(0, 1).reshape(channels, -1).T
    # Pseudo-inverse, because grey pictures have a singular Gram matrix.
    return GlobalAffine((torch.linalg.pinv(gram, hermitian=True) @ cross).float())


def pixel_affine(images: Tensor, codes: Tensor) -> PixelAffine:
    """Fit one affine map from colour to code for each pixel by least squares with a small ridge on the slopes.

    It contains the mean map and the effect of colour changes at each pixel. Shapes as in `global_affine`.
    """
    count, channels, height, width = codes.shape
    pixels, colours = height * width, images.shape[1]
    weights = torch.empty(pixels, colours, channels)
    x_mean, y_mean = mean_map(images), mean_map(codes)
    for part in _chunks(pixels):
        x = images.flatten(2)[:, :, part].double() - x_mean.flatten(2)[:, :, part]
        y = codes.flatten(2)[:, :, part].double() - y_mean.flatten(2)[:, :, part]
        x, y = x.permute(2, 1, 0), y.permute(2, 0, 1)  # [pixels, K, N], [pixels, N, C]
        gram = x @ x.transpose(1, 2) + count * PIXEL_RIDGE * torch.eye(colours, dtype=x.dtype)
        weights[part] = torch.linalg.solve(gram, x @ y).float()
    return PixelAffine(weights, x_mean, y_mean)


def ridge(w: Tensor, codes: Tensor) -> tuple[Ridge, float]:
    """Fit a ridge regression from w to the whole map, with lambda chosen on the last fifth of the fitting pictures.

    w: [N, D] float32. codes: [N, C, H, W]. Returns a predictor for w [M, D], and lambda: the ridge penalty divided by N
    and by the mean variance of an entry of w.
    """
    held = max(1, round(len(w) * VALIDATION_SHARE))
    errors = _validation_errors(w[:-held], codes[:-held], w[-held:], codes[-held:])
    chosen = RIDGE_LAMBDAS[int(errors.argmin())]
    basis = _Basis(w)
    flat = codes.flatten(1)
    weights = torch.empty(w.shape[1], flat.shape[1])
    for part in _chunks(flat.shape[1]):
        weights[:, part] = basis.solve(flat[:, part].float(), [chosen])[0]
    return Ridge(weights, basis.mean, mean_map(codes)), chosen


class _Basis:
    """Centred latents in the eigenbasis of their covariance, where each lambda costs one division."""

    def __init__(self, w: Tensor) -> None:
        self.mean = w.mean(dim=0)
        self.centred = w - self.mean
        covariance = self.centred.double().T @ self.centred.double() / len(w)
        values, vectors = torch.linalg.eigh(covariance)
        self.vectors = vectors.float()
        self.values = values.clamp_min(0).float()
        self.unit = max(float(covariance.diagonal().mean()), 1e-12)

    def solve(self, y: Tensor, lambdas: list[float]) -> list[Tensor]:
        """Return weights [D, K] for targets y [N, K] (not centred), one tensor for each lambda."""
        projected = self.vectors.T @ (self.centred.T @ (y - y.mean(dim=0))) / len(y)
        return [self.vectors @ (projected / (self.values + lam * self.unit)[:, None]) for lam in lambdas]


def _validation_errors(w: Tensor, codes: Tensor, held_w: Tensor, held_codes: Tensor) -> Tensor:
    """Return the summed square error on the validation pictures for each of RIDGE_LAMBDAS."""
    basis = _Basis(w)
    x = held_w - basis.mean
    flat, held = codes.flatten(1), held_codes.flatten(1)
    errors = torch.zeros(len(RIDGE_LAMBDAS), dtype=torch.float64)
    for part in _chunks(flat.shape[1]):
        y = flat[:, part].float()
        target = held[:, part].float() - y.mean(dim=0)
        for i, weights in enumerate(basis.solve(y, list(RIDGE_LAMBDAS))):
            errors[i] += (x @ weights - target).square().sum(dtype=torch.float64)
    return errors


def _chunks(length: int) -> list[slice]:
    return [slice(start, min(start + CHUNK, length)) for start in range(0, length, CHUNK)]
