"""StyleGAN2 written out in float64 NumPy, slow and obvious: the truth that generator and readers are tested against.

From the papers (arXiv 1812.04948, 1912.04958, 2006.06676) and the described facts of the format; it shares no code
and no algebra with `sgi.engine.generator`: weights are modulated per sample, the up-convolution scatters pixel by
pixel, filters are plain sums over taps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class NaiveStyleGAN2:
    """A network as its tensors, by NVIDIA's names, and the two settings that no tensor shows."""

    tensors: dict[str, Array]
    resolution: int
    conv_clamp: float | None = None
    lr_multiplier: float = 0.01

    def image(
        self,
        z: Array,
        label: Array | None = None,
        psi: float = 1.0,
        cutoff: int | None = None,
        noise: bool = True,
        offset: Array | None = None,
    ) -> Array:
        """[N, C, R, R] of z [N, z_dim] and one-hot label [N, c_dim]; offset [rows, w_dim] after truncation."""
        ws = self.truncate(self.w(z, label), psi, cutoff)
        return self.synthesis(ws if offset is None else ws + offset, noise)

    def w(self, z: Array, label: Array | None = None) -> Array:
        """[N, w_dim] before truncation."""
        x = unit_second_moment(z)
        if label is not None:
            x = np.concatenate([x, unit_second_moment(self._dense("mapping.embed", label, lr=1.0))], axis=1)
        layer = 0
        while f"mapping.fc{layer}.weight" in self.tensors:
            x = self._dense(f"mapping.fc{layer}", x, lr=self.lr_multiplier)
            x = np.where(x > 0, x, 0.2 * x) * np.sqrt(2)
            layer += 1
        return x

    def truncate(self, w: Array, psi: float, cutoff: int | None) -> Array:
        """[N, num_ws, w_dim]: the first `cutoff` rows pulled towards the mean."""
        rows = 2 * int(np.log2(self.resolution)) - 2
        ws = np.repeat(w[:, None], rows, axis=1)
        mean = self.tensors["mapping.w_avg"]
        for row in range(rows if cutoff is None else cutoff):
            ws[:, row] = mean + psi * (ws[:, row] - mean)
        return ws

    def synthesis(self, ws: Array, noise: bool) -> Array:
        """[N, C, R, R] of ws [N, num_ws, w_dim]."""
        return np.stack([self._one(rows, noise) for rows in ws])

    def _one(self, ws: Array, noise: bool) -> Array:
        x = self.tensors["synthesis.b4.const"]
        img = None
        row = 0
        side = 4
        while side <= self.resolution:
            block = f"synthesis.b{side}"
            if side > 4:
                x = self._conv(f"{block}.conv0", x, ws[row], noise, up=True)
                row += 1
            x = self._conv(f"{block}.conv1", x, ws[row], noise, up=False)
            row += 1
            rgb = self._to_rgb(f"{block}.torgb", x, ws[row])
            img = rgb if img is None else upsample(img) + rgb
            side *= 2
        assert img is not None
        return img

    def _dense(self, name: str, x: Array, lr: float) -> Array:
        weight = self.tensors[f"{name}.weight"] * lr / np.sqrt(x.shape[1])
        return x @ weight.T + self.tensors[f"{name}.bias"] * lr

    def _conv(self, name: str, x: Array, w: Array, noise: bool, up: bool) -> Array:
        style = self._dense(f"{name}.affine", w[None], lr=1.0)[0]
        weight = self.tensors[f"{name}.weight"] * style[None, :, None, None]
        weight = weight / np.sqrt((weight**2).sum(axis=(1, 2, 3), keepdims=True) + 1e-8)
        y = filtered(transposed_conv(x, weight), gain=4.0, before=1, after=1) if up else same_conv(x, weight)
        if noise:
            y = y + self.tensors[f"{name}.noise_const"] * self.tensors[f"{name}.noise_strength"]
        y = y + self.tensors[f"{name}.bias"][:, None, None]
        y = np.where(y > 0, y, 0.2 * y) * np.sqrt(2)
        return y if self.conv_clamp is None else np.clip(y, -self.conv_clamp, self.conv_clamp)

    def _to_rgb(self, name: str, x: Array, w: Array) -> Array:
        style = self._dense(f"{name}.affine", w[None], lr=1.0)[0] / np.sqrt(len(x))
        weight = self.tensors[f"{name}.weight"][:, :, 0, 0] * style
        y = np.einsum("oi,ihw->ohw", weight, x) + self.tensors[f"{name}.bias"][:, None, None]
        return y if self.conv_clamp is None else np.clip(y, -self.conv_clamp, self.conv_clamp)


def unit_second_moment(x: Array) -> Array:
    """Rows of x scaled to a mean square of one."""
    return x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-8)


def same_conv(x: Array, weight: Array) -> Array:
    """3x3 correlation with zeros around: x [I, H, W], weight [O, I, 3, 3] -> [O, H, W]."""
    _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    y = np.zeros((len(weight), height, width))
    for dy in range(3):
        for dx in range(3):
            y += np.einsum("oi,ihw->ohw", weight[:, :, dy, dx], padded[:, dy : dy + height, dx : dx + width])
    return y


def transposed_conv(x: Array, weight: Array) -> Array:
    """Every pixel adds its 3x3 stamp, unflipped, at twice its place: [I, H, W] -> [O, 2H + 1, 2W + 1]."""
    _, height, width = x.shape
    y = np.zeros((len(weight), 2 * height + 1, 2 * width + 1))
    for row in range(height):
        for column in range(width):
            stamp = np.einsum("oiyx,i->oyx", weight, x[:, row, column])
            y[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3] += stamp
    return y


def filtered(x: Array, gain: float, before: int, after: int) -> Array:
    """Low-pass [1, 3, 3, 1] x [1, 3, 3, 1] / 64 * gain after padding with zeros: each side shrinks by 3."""
    taps = np.array([1.0, 3.0, 3.0, 1.0]) / 8
    padded = np.pad(x, ((0, 0), (before, after), (before, after)))
    height, width = padded.shape[1] - 3, padded.shape[2] - 3
    y = np.zeros((len(x), height, width))
    for dy in range(4):
        for dx in range(4):
            y += taps[dy] * taps[dx] * gain * padded[:, dy : dy + height, dx : dx + width]
    return y


def upsample(img: Array) -> Array:
    """Twice the side: zeros between pixels, then the filter with gain 4 and padding (2, 1)."""
    channels, height, width = img.shape
    spread = np.zeros((channels, 2 * height, 2 * width))
    spread[:, ::2, ::2] = img
    return filtered(spread, gain=4.0, before=2, after=1)
