"""The layers with a style as ONNX nodes: modulated convolutions and to-rgb, in any precision.

In float16 a sum over 512 channels can exceed 65504. So, as in NVIDIA's generators, styles are divided by their largest
entry and weights by their largest entry times sqrt(fan-in). The factors are applied again in float32, in demodulation
or after to-rgb. bfloat16 has the range of float32 and does not need this, but uses the same graph.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from sgi.engine.generator.layers import DEMOD_EPS, LRELU_GAIN, LRELU_SLOPE
from sgi.export.graph import GraphBuilder
from sgi.export.lower import Conv, Rgb, fir2d
from sgi.export.precision import Precision

Array = NDArray[np.float32]
_TINY = 1e-12  # keeps layers with zero weights or styles finite


@dataclass(frozen=True)
class _Style:
    """A style as a factor of activations.

    maps: name of the factor [N, I, 1, 1]. bound: name of its divisor [N, 1] float32, or None if it was not divided.
    """

    maps: str
    bound: str | None


class LayerEmitter:
    """Emits layers into a graph; activations have the precision's data type, pictures of the skip path are float32."""

    def __init__(self, g: GraphBuilder, precision: Precision, clamp: float | None) -> None:
        self.g = g
        self.precision = precision
        self.clamp = clamp

    def input(self, const: Array) -> str:
        """The constant input [1, C, 4, 4]."""
        return self._constant(const[None], "const")

    def conv(self, x: str, style: str, conv: Conv) -> str:
        """x [N, I, H, W] and style [N, I] float32 to [N, O, H', W'], by `lower.Conv`'s formula."""
        g, name = self.g, conv.name
        energy = g.op("MatMul", g.op("Mul", style, style), g.constant(conv.energy, f"{name}.energy"))
        norm = g.op("Sqrt", g.op("Add", energy, g.constant(DEMOD_EPS)))
        weight, scale = self._normalised(conv.weight)
        modulation = self._style(style)
        gain = g.constant(LRELU_GAIN) if scale is None else g.constant(LRELU_GAIN * scale, f"{name}.gain")
        demod = g.op("Div", gain, norm, stem=f"{name}.demod")
        if modulation.bound is not None:
            demod = g.op("Mul", demod, modulation.bound)
        x = g.op("Mul", x, modulation.maps)
        if not conv.up:
            kernel = self._constant(weight, f"{name}.weight")
            x = g.op("Conv", x, kernel, kernel_shape=[3, 3], pads=[1, 1, 1, 1], stem=f"{name}.conv")
        else:
            x = self._up(x, weight, name)
        x = g.op("Mul", x, self._as_maps(self._cast(demod)))
        if conv.noise is not None:
            x = g.op("Add", x, self._constant(conv.noise[None, None], f"{name}.noise"))
        x = g.op("Add", x, self._constant(conv.bias[None, :, None, None], f"{name}.bias"))
        x = g.op("LeakyRelu", x, alpha=LRELU_SLOPE, stem=name)
        if self.clamp is None:
            return x
        bound = np.array(self.clamp, np.float32)
        return g.op("Clip", x, self._constant(-bound, "clamp.low"), self._constant(bound, "clamp.high"))

    def rgb(self, x: str, style: str, rgb: Rgb, below: str | None) -> str:
        """x [N, I, H, W] and style [N, I] to a picture [N, C, H, W] float32, added to the upsampled picture `below`."""
        g = self.g
        modulation = self._style(style)
        x = g.op("Mul", x, modulation.maps)
        weight, scale = self._normalised(rgb.weight[:, :, None, None])
        kernel = self._constant(weight, f"{rgb.name}.weight")
        if modulation.bound is None or scale is None:
            x = g.op("Conv", x, kernel, g.constant(rgb.bias, f"{rgb.name}.bias"), kernel_shape=[1, 1], stem=rgb.name)
        else:
            x = g.op("Conv", x, kernel, kernel_shape=[1, 1], stem=rgb.name)
            x = g.op("Cast", x, to=TensorProto.FLOAT)
            factor = g.op("Mul", modulation.bound, g.constant(scale, f"{rgb.name}.scale"))
            bias = g.constant(rgb.bias[None, :, None, None], f"{rgb.name}.bias")
            x = g.op("Add", g.op("Mul", x, self._as_maps(factor)), bias)
        if self.clamp is not None:
            x = g.op("Clip", x, g.constant(-self.clamp), g.constant(self.clamp))
        if below is None:
            return x
        channels = rgb.weight.shape[0]
        # A dense kernel with zeros off the diagonal: runtimes run grouped transposed convolutions slowly or not at all.
        kernel = g.constant(np.eye(channels, dtype=np.float32)[:, :, None, None] * fir2d(4.0), "skip.fir")
        below = g.op("ConvTranspose", below, kernel, strides=[2, 2], kernel_shape=[4, 4], pads=[1, 1, 1, 1])
        return g.op("Add", below, x)

    def _up(self, x: str, weight: Array, name: str) -> str:
        g, channels = self.g, len(weight)
        if self.precision.transposed:
            kernel = self._constant(weight.transpose(1, 0, 2, 3), f"{name}.weight")
            x = g.op("ConvTranspose", x, kernel, strides=[2, 2], kernel_shape=[3, 3], stem=f"{name}.conv")
            pads = [1, 1, 1, 1]
        else:
            kernel = self._constant(phases(weight), f"{name}.weight")
            x = g.op("Conv", x, kernel, kernel_shape=[2, 2], pads=[1, 1, 1, 1], stem=f"{name}.conv")
            x = g.op("DepthToSpace", x, blocksize=2, mode="CRD")
            pads = [1, 1, 0, 0]  # the last row and column are already zero
        fir = self._constant(np.broadcast_to(fir2d(4.0), (channels, 1, 4, 4)), "fir")
        return g.op("Conv", x, fir, group=channels, kernel_shape=[4, 4], pads=pads)

    def _normalised(self, weight: Array) -> tuple[Array, Array | None]:
        """The scaled weight [O, I, K, K] and the divisor of each output, [1, O]; in float32 unscaled and None."""
        if not self.precision.reduced:
            return weight, None
        fan_in = math.prod(weight.shape[1:])
        scale = np.maximum(np.abs(weight).max(axis=(1, 2, 3)) * math.sqrt(fan_in), _TINY).astype(np.float32)
        return weight / scale[:, None, None, None], scale[None]

    def _style(self, style: str) -> _Style:
        if not self.precision.reduced:
            return _Style(self._as_maps(style), None)
        g = self.g
        largest = g.op("ReduceMax", g.op("Abs", style), g.constant([1]), keepdims=1)
        bound = g.op("Max", largest, g.constant(_TINY))
        return _Style(self._as_maps(self._cast(g.op("Div", style, bound))), bound)

    def _as_maps(self, vector: str) -> str:
        return self.g.op("Unsqueeze", vector, self.g.constant([2, 3]))

    def _cast(self, value: str) -> str:
        return self.g.op("Cast", value, to=self.precision.onnx_type) if self.precision.reduced else value

    def _constant(self, value: Array, stem: str) -> str:
        return self.g.constant(np.asarray(value).astype(self.precision.dtype), stem)


def phases(weight: Array) -> Array:
    """A 3x3 up-convolution [O, I, 3, 3] as a 2x2 convolution [4 O, I, 2, 2] whose channels are the phases.

    With one pixel of padding and depth-to-space (channel-row-column) it equals the transposed convolution of stride 2:
    even output rows 2i are w[2] x[i - 1] + w[0] x[i], odd ones w[1] x[i]; one more row and column are zero.
    """
    outputs, inputs = weight.shape[:2]
    kernel = np.zeros((outputs, 2, 2, inputs, 2, 2), np.float32)
    taps = ((2, 0), (None, 1))  # of each phase: the taps on x[i - 1] and x[i]
    for a, rows in enumerate(taps):
        for b, columns in enumerate(taps):
            for i, row in enumerate(rows):
                for j, column in enumerate(columns):
                    if row is not None and column is not None:
                        kernel[:, a, b, :, i, j] = weight[:, :, row, column]
    return kernel.reshape(4 * outputs, inputs, 2, 2)
