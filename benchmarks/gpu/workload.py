"""The generators that are measured, and the least arithmetic and memory traffic of each layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sgi.engine.generator import Generator, GeneratorConfig, random_generator
from sgi.engine.generator.layers import ModulatedConv


@dataclass(frozen=True)
class Size:
    """A generator and the batch sizes it is measured at."""

    name: str
    config: GeneratorConfig
    batches: tuple[int, ...]
    fit_batch: int


SIZES = (
    Size("1024 px", GeneratorConfig(1024, channel_base=32768), (32, 8, 1), 2),
    Size("256 px wide", GeneratorConfig(256, channel_base=32768), (32, 8, 1), 8),
    Size("256 px", GeneratorConfig(256, channel_base=16384), (32, 8, 1), 8),
)
TINY_CONFIG = GeneratorConfig(16, z_dim=16, w_dim=16, mapping_layers=2, channel_base=256, channel_max=16)
TINY_SIZES = (Size("tiny", TINY_CONFIG, (1,), 1),)
CHECK_CONFIG = GeneratorConfig(32, channel_base=4096, channel_max=96, conv_clamp=256.0)


@dataclass(frozen=True)
class LayerWork:
    """The least work of a convolution.

    flops: 2 per multiply-add of 9 taps. bytes: input, output and weight once, 16 bit.
    """

    name: str
    module: ModulatedConv
    side: int  # of the output
    inputs: int
    outputs: int
    flops: float  # an image
    activation_bytes: float  # an image
    weight_bytes: float

    def seconds(self, batch: int, matmul_rate: float, copy_rate: float) -> float:
        """Roofline lower bound: the larger of arithmetic and traffic at the given rates (FLOP/s, B/s)."""
        traffic = batch * self.activation_bytes + self.weight_bytes
        return max(batch * self.flops / matmul_rate, traffic / copy_rate)


def layers(generator: Generator) -> list[LayerWork]:
    """The convolutions of a generator."""
    works = []
    for name, _, module in generator.synthesis.styled_layers():
        if isinstance(module, ModulatedConv):
            outputs, inputs = module.weight.shape[:2]
            side = module.resolution
            source = side // 2 if module.up else side
            # A transposed convolution has 9 multiply-adds per pixel of the low resolution.
            flops = 2.0 * 9 * inputs * outputs * source * source
            traffic = 2.0 * (source * source * inputs + side * side * outputs)
            works.append(LayerWork(name, module, side, inputs, outputs, flops, traffic, 2.0 * 9 * inputs * outputs))
    return works


def unbuilt_layers(size: Size) -> list[LayerWork]:
    """The convolutions of a generator without memory for its weights."""
    with torch.device("meta"):
        return layers(Generator(size.config))


def build(size: Size, device: str) -> Generator:
    """A generator of random weights, because speed does not depend on them."""
    with torch.random.fork_rng(devices=[]):
        return random_generator(size.config, seed=0).to(device)


def offset_from(config: GeneratorConfig, seed: int, from_side: int) -> torch.Tensor:
    """A random offset [num_ws, w_dim] that is zero for every layer up to `from_side` px (0: for none)."""
    random = torch.Generator().manual_seed(seed)
    offset = torch.randn(config.num_ws, config.w_dim, generator=random) * 0.1
    # Blocks up to side s take convolution rows 0 .. 2 log2(s) - 4, one for 4 px and two for each block after it.
    offset[: max(0, 2 * from_side.bit_length() - 5)] = 0
    return offset
