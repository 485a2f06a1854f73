"""Curves through the latents of seeds: a cubic spline for w, arcs for z."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Curve = Callable[[NDArray[np.integer]], NDArray[np.float32]]
"""A function of frames [N], integers from 0, to their latents [N, ...] float32."""

_WRAPPED = 24
"""Keys that a closed spline repeats at both ends. A key's influence falls to less than half from one to the next, so
that what is beyond them changes nothing in float32."""
_SMALLEST_SINE = 1e-6


def key_frames(count: int, frames: int, loop: bool) -> NDArray[np.int64]:
    """The frames [count] at which a walk of `frames` frames is at its seeds; they ascend and the first is 0.

    The last seed is at the last frame; with loop, frame number `frames` would be the first seed again.
    There must be a frame for every seed.
    """
    last, parts = (frames, count) if loop else (frames - 1, max(count - 1, 1))
    return (np.arange(count) * last + parts // 2) // parts


def spline(keys: NDArray[np.floating], places: NDArray[np.integer], period: int | None = None) -> Curve:
    """The cubic spline through keys [K, ...] at frames `places` [K]: its second derivative has no jumps.

    It is natural, without a second derivative at both ends; with `period`, the number of frames after which the first
    key follows the last, it is closed. NVIDIA's gen_video.py takes such a curve through the w of its seeds.
    Formula: W. Press et al., Numerical Recipes, section 3.3.
    """
    values, x = np.asarray(keys, np.float64), np.asarray(places, np.float64)
    if period is not None:
        numbers = np.arange(-_WRAPPED, len(keys) + _WRAPPED)
        values, x = values[numbers % len(keys)], x[numbers % len(keys)] + numbers // len(keys) * period
    shape = values.shape[1:]
    y = values.reshape(len(values), -1)
    curvature = _second_derivatives(x, y)

    def at(frames: NDArray[np.integer]) -> NDArray[np.float32]:
        left = np.clip(np.searchsorted(x, frames, side="right") - 1, 0, len(x) - 2)
        step = (x[left + 1] - x[left])[:, None]
        b = (np.asarray(frames) - x[left])[:, None] / step
        a = 1 - b
        bent = (a**3 - a) * curvature[left] + (b**3 - b) * curvature[left + 1]
        return (a * y[left] + b * y[left + 1] + bent * step**2 / 6).reshape(-1, *shape).astype(np.float32)

    return at


def arcs(keys: NDArray[np.floating], places: NDArray[np.integer], period: int | None = None) -> Curve:
    """Arcs of constant speed from each key [K, D] to the next, at frames `places` [K]; closed with `period`.

    On an arc the length of z stays that of samples, which it does not on a chord. Formula: K. Shoemake, Animating
    rotation with quaternion curves, 1985, slerp, with the lengths of the keys interpolated too.
    """
    y, x = np.asarray(keys, np.float64), np.asarray(places, np.float64)
    if period is not None:
        y, x = np.concatenate([y, y[:1]]), np.append(x, period)
    unit = y / np.maximum(np.linalg.norm(y, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    angles = np.arccos(np.clip((unit[:-1] * unit[1:]).sum(axis=1), -1, 1))

    def at(frames: NDArray[np.integer]) -> NDArray[np.float32]:
        left = np.clip(np.searchsorted(x, frames, side="right") - 1, 0, len(x) - 2)
        share = (np.asarray(frames) - x[left]) / (x[left + 1] - x[left])
        angle = angles[left]
        sine = np.sin(angle)
        straight = sine < _SMALLEST_SINE  # keys of one direction, or of opposite ones
        divisor = np.where(straight, 1, sine)
        before = np.where(straight, 1 - share, np.sin((1 - share) * angle) / divisor)[:, None]
        after = np.where(straight, share, np.sin(share * angle) / divisor)[:, None]
        return (before * y[left] + after * y[left + 1]).astype(np.float32)

    return at


def _second_derivatives(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Second derivatives [K, D] of the natural spline through y [K, D] at x [K], by elimination from both ends."""
    found = np.zeros_like(y)
    step = np.diff(x)
    slope = np.diff(y, axis=0) / step[:, None]
    ratio = np.zeros(len(x))
    for i in range(1, len(x) - 1):
        pivot = 2 * (step[i - 1] + step[i]) - step[i - 1] * ratio[i - 1]
        ratio[i] = step[i] / pivot
        found[i] = (6 * (slope[i] - slope[i - 1]) - step[i - 1] * found[i - 1]) / pivot
    for i in range(len(x) - 2, 0, -1):
        found[i] -= ratio[i] * found[i + 1]
    return found
