"""Lowering: the generator without its affine layers (see `bake`) as plain arrays, with all constants folded.

Folded constants: equalised-lr gains, the leaky ReLU's sqrt 2 (into demodulation, bias and noise), to-rgb's style gain,
noise times its strength, the energies of the demodulation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sgi.engine.generator import Generator, GeneratorConfig
from sgi.engine.generator.layers import FIR_TAPS, LRELU_GAIN, FullyConnected, ModulatedConv, ToRGB

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Linear:
    """x @ weight + bias: weight [in, out], bias [out]."""

    weight: Array
    bias: Array


@dataclass(frozen=True)
class Conv:
    """A modulated 3x3 convolution: y = lrelu(conv(s x) * sqrt(2) demod + noise + bias), then +-clamp.

    weight: [O, I, 3, 3]; energy: [I, O], sum over taps of weight squared; bias: [O]; noise: [R, R] or None;
    row: index of its row of w+.
    """

    name: str
    row: int
    up: bool
    weight: Array
    energy: Array
    bias: Array
    noise: Array | None


@dataclass(frozen=True)
class Rgb:
    """A to-rgb layer: weight [C, I], bias [C]; the style gain is in weight."""

    name: str
    row: int
    weight: Array
    bias: Array

    def mean(self) -> Rgb:
        """The layer whose single channel is the mean of the channels of this layer, for types of one channel."""
        weight, bias = self.weight.mean(0, keepdims=True), self.bias.mean(0, keepdims=True)
        return Rgb(self.name, self.row, weight, bias)


@dataclass(frozen=True)
class Block:
    """The layers of one resolution; conv0 is None at 4 px."""

    resolution: int
    conv0: Conv | None
    conv1: Conv
    rgb: Rgb


@dataclass(frozen=True)
class Lowered:
    """A generator without its affine layers.

    embed: layer of the label; None without classes. mapping: fully connected layers with the gain sqrt 2 folded in.
    w_avg: [w_dim]. const: [C, 4, 4]. All float32.
    """

    config: GeneratorConfig
    embed: Linear | None
    mapping: tuple[Linear, ...]
    w_avg: Array
    const: Array
    blocks: tuple[Block, ...]

    def layers(self) -> list[Conv | Rgb]:
        """Every layer that takes a style, in the order of `Synthesis.styled_layers`."""
        return [layer for b in self.blocks for layer in (b.conv0, b.conv1, b.rgb) if layer is not None]


def fir2d(gain: float) -> Array:
    """The low-pass filter [1, 3, 3, 1] as a [4, 4] array of sum `gain`."""
    taps = np.asarray(FIR_TAPS, np.float64)
    kernel = np.outer(taps, taps)
    return (kernel * gain / kernel.sum()).astype(np.float32)


def lower(generator: Generator, noise_mode: str = "const") -> Lowered:
    """Lower a generator; noise_mode: none or const. Raises ValueError for another noise mode."""
    if noise_mode not in ("none", "const"):
        raise ValueError(f"`noise_mode={noise_mode}`: an exported model has none or const")
    rows = {name: row for name, row, _ in generator.synthesis.styled_layers()}
    blocks = []
    for resolution, block in generator.synthesis.blocks():
        prefix = f"synthesis.b{resolution}"
        conv0 = None
        if resolution > 4:
            conv0 = _conv(f"{prefix}.conv0", rows[f"{prefix}.conv0"], block.conv0, noise_mode)
        conv1 = _conv(f"{prefix}.conv1", rows[f"{prefix}.conv1"], block.conv1, noise_mode)
        rgb = _rgb(f"{prefix}.torgb", rows[f"{prefix}.torgb"], block.torgb)
        blocks.append(Block(resolution, conv0, conv1, rgb))
    mapping = generator.mapping
    return Lowered(
        config=generator.config,
        embed=_linear(mapping.embed) if generator.config.c_dim else None,
        mapping=tuple(_linear(layer) for layer in mapping.layers),
        w_avg=_array(mapping.w_avg),
        const=_array(generator.synthesis.get_parameter("b4.const")),
        blocks=tuple(blocks),
    )


def _array(tensor: Tensor) -> Array:
    # order="C" rather than ascontiguousarray, which would turn scalars into vectors.
    return np.array(tensor.detach().cpu().numpy(), np.float32, order="C")


def _linear(layer: FullyConnected) -> Linear:
    gain = LRELU_GAIN if layer.lrelu else 1.0
    weight, bias = layer.scaled()
    return Linear(_array(weight.double().T * gain), _array(bias.double() * gain))


def _conv(name: str, row: int, layer: ModulatedConv, noise_mode: str) -> Conv:
    noise = layer.noise_const.double() * layer.noise_strength.double() * LRELU_GAIN
    return Conv(
        name=name,
        row=row,
        up=layer.up,
        weight=_array(layer.weight),
        energy=_array(layer.weight.double().square().sum(dim=(2, 3)).T),
        bias=_array(layer.bias.double() * LRELU_GAIN),
        noise=_array(noise) if noise_mode == "const" and bool(noise.any()) else None,
    )


def _rgb(name: str, row: int, layer: ToRGB) -> Rgb:
    weight = _array(layer.weight.double()[:, :, 0, 0] * layer.style_gain)
    return Rgb(name, row, weight, _array(layer.bias))
