"""The layers of the networks as they run there: operands, candidates, and the key under which a choice is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from candidates import DEFAULT_OPTIONS, STYLE_ON_LOAD, conv_candidates, up_candidates
from torch import Tensor
from workload import Size, unbuilt_layers

from sgi.engine.backends.triton.packed_synthesis import PAIRS_FORM_MAX_CHANNELS, PHASES_FORM_MAX_INPUTS
from sgi.kernels.gpu import fused_conv, fused_up_conv, pack_conv
from sgi.kernels.gpu.operands import Epilogue, RgbTail
from sgi.kernels.gpu.split.launch import conv_or_split, prefers_taps
from sgi.kernels.gpu.upconv.launch import TAPS, up_conv

# Operands of a layer are repeated until they exceed this, twice the L2 of an H200, so that no replay reads from L2 what
# the network would read from memory.
ROTATED_BYTES = 120e6
MAX_ROTATIONS = 24
Candidate = tuple[str, Callable[[], Any]]


@dataclass(frozen=True)
class LayerCase:
    """A convolution of a network at a batch size, in float16, with the epilogue that it has in the fused network.

    first: the layer reads the constant, with STYLE_ON_LOAD as one image for all that it multiplies by its style.
    colours: whether to-rgb is fused; write: whether the features are written, which the last layer of a network does
    not do. flops and bytes: the least work of the batch (`workload.LayerWork`).
    """

    name: str
    size: str
    batch: int
    side: int  # of the output
    inputs: int
    outputs: int
    up: bool
    first: bool
    colours: bool
    write: bool
    clamp: float | None
    flops: float
    bytes: float

    @property
    def shape_key(self) -> str:
        """The key of the layer's shape, without the batch size."""
        source = self.side // 2 if self.up else self.side
        return shape_key(self.up, source, self.inputs, self.outputs, self.write)

    def bound_ms(self, rates: dict[str, float]) -> float:
        """Roofline lower bound in milliseconds."""
        return 1e3 * max(self.flops / rates["matmul_fp16"], self.bytes / rates["copy"])

    def rotations(self) -> int:
        """Sets of operands that exceed the cache together."""
        return max(1, min(MAX_ROTATIONS, math.ceil(ROTATED_BYTES / self.bytes)))

    def operands(self, device: str) -> Operands:
        """Random operands; on the meta device for compilation."""
        return Operands(self, device)


class Operands:
    """One set of operands of a layer; `candidates` and `default` compute the layer on it."""

    def __init__(self, case: LayerCase, device: str) -> None:
        n, outputs, side = case.batch, case.outputs, case.side
        source = side // 2 if case.up else side
        self.case = case
        on_load = case.first and STYLE_ON_LOAD
        images = 1 if on_load else n
        self.x = torch.randn(images, source, source, case.inputs, device=device, dtype=torch.float16)
        self.style = torch.rand(n, case.inputs, device=device) + 0.5 if on_load else None
        phases = case.up and case.inputs <= PHASES_FORM_MAX_INPUTS
        pairs = not case.up and max(case.inputs, outputs) <= PAIRS_FORM_MAX_CHANNELS
        weight = torch.randn(outputs, case.inputs, 3, 3, device=device)
        self.packed = pack_conv(weight, torch.float16, up=phases, pairs=pairs)
        self.epilogue = Epilogue(
            scale=torch.rand(n, outputs, device=device) + 0.5,
            noise=torch.randn(1, side, side, device=device),
            bias=torch.randn(outputs, device=device),
            act=True,
            clamp=case.clamp,
            next_style=torch.rand(n, outputs, device=device) + 0.5 if case.write else None,
        )
        self.rgb: RgbTail | None = None
        if case.colours:
            self.rgb = RgbTail(
                style=torch.randn(n, outputs, device=device),
                weight=torch.randn(3, outputs, device=device) / outputs**0.5,
                bias=torch.randn(3, device=device),
                below=None if case.first else torch.randn(n, 3, side // 2, side // 2, device=device),
                clamp=case.clamp,
            )

    def candidates(self) -> Iterator[Candidate]:
        """Every form and block shape."""
        case, packed = self.case, self.packed
        if case.up:
            yield from up_candidates(self.x, packed.taps, packed.phase_weights, case.batch, self.style, self.epilogue)
        else:
            operands = self.x, packed.taps, case.batch, self.style, self.epilogue, self.rgb, case.write
            yield from conv_candidates(*operands, packed.pair_weights)

    def default(self) -> Any:
        """The layer as the fused network computes it; on the meta device, for compilation, without its operators."""
        case, packed, e = self.case, self.packed, self.epilogue
        if case.up:
            form = TAPS if self.style is None and prefers_taps(self.x, case.batch, case.outputs) else None
            weights = packed.taps, packed.phase_weights
            if self.x.is_meta:
                return up_conv(self.x, *weights, case.batch, self.style, e, form)
            return fused_up_conv(self.x, *weights, self.style, e.scale, e.noise, e.bias, e.clamp, e.next_style, form)
        if self.x.is_meta:
            layer = self.x, packed.taps, case.batch, self.style, e, self.rgb, case.write
            return conv_or_split(*layer, **DEFAULT_OPTIONS, pair_weights=packed.pair_weights)
        rgb = self.rgb
        tail = (None,) * 5 if rgb is None else (rgb.style, rgb.weight, rgb.bias, rgb.below, rgb.clamp)
        operands = (self.x, packed.taps, self.style, e.scale, e.noise, e.bias, e.clamp, e.next_style)
        options = DEFAULT_OPTIONS | {"pair_weights": packed.pair_weights}
        return fused_conv(*operands, *tail, write=case.write, **options)


def tensors(result: Any) -> list[Tensor]:
    """The tensors that a candidate returned, without empty ones."""
    return [t for t in (result if isinstance(result, tuple) else (result,)) if t is not None and t.numel()]


def shape_key(up: bool, side: int, inputs: int, outputs: int, write: bool) -> str:
    """Key of a layer of `side` input pixels."""
    kind = "up" if up else "conv" if write else "last conv"
    return f"{kind} {inputs} to {outputs} at {side} px"


def layer_cases(size: Size, batch: int, colours: bool = True) -> list[LayerCase]:
    """The layers of a network at a batch size; without `colours` the convolutions have no to-rgb and are written."""
    works = unbuilt_layers(size)
    return [
        LayerCase(
            name=work.name.removeprefix("synthesis."), size=size.name, batch=batch, side=work.side, inputs=work.inputs,
            outputs=work.outputs, up=work.module.up, first=work is works[0], colours=colours and not work.module.up,
            write=not colours or work is not works[-1], clamp=size.config.conv_clamp, flops=batch * work.flops,
            bytes=batch * work.activation_bytes + work.weight_bytes,
        )
        for work in works
    ]  # fmt: skip


def distinct(pairs: list[tuple[Size, int]]) -> list[LayerCase]:
    """The layers of several networks, equal ones once."""
    found: dict[tuple[str, int], LayerCase] = {}
    for size, batch in pairs:
        for case in layer_cases(size, batch):
            found.setdefault((case.shape_key, batch), case)
    return list(found.values())
