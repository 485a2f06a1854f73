"""The measurements of networks, types, layers and fitting; each returns rows of the results file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import implementations
import torch
from clock import measure
from torch import Tensor
from workload import LayerWork, Size, build, layers, offset_from

from sgi.engine.backends.triton.fitting import FittingSynthesis
from sgi.engine.backends.triton.packed_synthesis import ConvLayer, pack_synthesis
from sgi.kernels.gpu import fused_conv, fused_up_conv

Row = dict[str, Any]
TYPES = 5
SHARED_SIDE = 32
FIT_DTYPE = torch.bfloat16


def bound_ms(size: Size, batch: int, rates: dict[str, float]) -> float:
    """Roofline lower bound of a network in milliseconds: the sum over its layers (`LayerWork.seconds`)."""
    works = layers(build(size, "cpu"))
    return 1e3 * sum(work.seconds(batch, rates["matmul_fp16"], rates["copy"]) for work in works)


def network(
    name: str, make: Callable[[Size, int, str], implementations.Run], size: Size, batch: int, device: str
) -> Row:
    """One implementation at one size and batch."""
    times = measure(make(size, batch, device), device)
    images = 1e3 * batch / times["ms"]
    works = layers(build(size, "cpu"))
    flops = sum(work.flops for work in works)
    return {
        "implementation": name, "size": size.name, "batch": batch, **times, "images_per_second": images,
        "tflops": flops * images / 1e12,
    }  # fmt: skip


def types(size: Size, batch: int, device: str, count: int = TYPES) -> Iterator[Row]:
    """One type, `count` types without shared layers, and `count` types that share the layers up to 32 px."""
    shared_side = min(SHARED_SIDE, size.config.resolution // 2)
    several: list[tuple[str, int, list[Tensor | None]]] = [
        ("one type", 1, [None]),
        (f"{count} types", count, [None, *(offset_from(size.config, i, 0) for i in range(1, count))]),
        (f"{count} types, up to {shared_side} px shared", count,
         [None, *(offset_from(size.config, i, shared_side) for i in range(1, count))]),
    ]  # fmt: skip
    for name, kinds, offsets in several:
        times = measure(implementations.kernels(size, batch, device, kinds, offsets), device)
        yield {"case": name, "size": size.name, "batch": batch, **times}


def layer_rows(size: Size, batch: int, device: str, rates: dict[str, float]) -> Iterator[Row]:
    """Every convolution alone: the kernel in its forms, the torch layer, and the roofline bound."""
    generator = build(size, device)
    packed = pack_synthesis(generator, torch.float16, "const")
    for work, layer in zip(layers(generator), packed.convs, strict=True):
        bound = work.seconds(batch, rates["matmul_fp16"], rates["copy"])
        for form, run in _forms(work, layer, batch, device).items():
            # Replayed, because at small sizes a launch takes longer than the kernel.
            with torch.inference_mode():
                replay = implementations.recorded(_ignoring_input(run), torch.zeros(1, device=device))
                times = measure(replay, device)
            yield {
                "layer": work.name.removeprefix("synthesis."), "size": size.name, "batch": batch, "side": work.side,
                "inputs": work.inputs, "outputs": work.outputs, "form": form, **times, "bound_ms": 1e3 * bound,
                "tflops": batch * work.flops / times["ms"] / 1e9,
            }  # fmt: skip


def _ignoring_input(run: Callable[[], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda _: run()


def _forms(work: LayerWork, layer: ConvLayer, batch: int, device: str) -> dict[str, Callable[[], Tensor]]:
    """The ways to compute a layer, with the same random operands."""
    side = work.side // 2 if layer.up else work.side
    x = torch.randn(batch, side, side, work.inputs, device=device).half()
    scale, ahead = (torch.rand(batch, work.outputs, device=device) + 0.5 for _ in range(2))
    style = torch.rand(batch, work.inputs, device=device) + 0.5
    channels_last = x.permute(0, 3, 1, 2)
    epilogue = (scale, layer.noise, layer.bias, layer.clamp, ahead)
    packed = layer.packed

    def up(form: str) -> Callable[[], Tensor]:
        return lambda: fused_up_conv(x, packed.taps, packed.phase_weights, None, *epilogue, form)

    forms: dict[str, Callable[[], Tensor]] = {}
    if not layer.up:
        forms["kernel"] = lambda: fused_conv(x, packed.taps, None, *epilogue)[0]
    else:
        forms["fir"] = up("fir")
        if packed.phase_weights is not None:
            forms["phases"] = up("phases")
    forms["torch"] = lambda: work.module(channels_last, style)
    return forms


def fit(size: Size, device: str) -> Iterator[Row]:
    """Steps a second of fitting an offset: synthesis, L1 loss on the picture, gradient to the offset."""
    generator = build(size, device)
    config = size.config
    ws = torch.randn(size.fit_batch, config.num_ws, config.w_dim, device=device)
    target = torch.rand(size.fit_batch, 3, config.resolution, config.resolution, device=device)
    ours = FittingSynthesis(generator, FIT_DTYPE)

    def in_torch(given: Tensor) -> Tensor:
        return generator.synthesize(given, dtype=FIT_DTYPE)

    ways: list[tuple[str, Callable[[Tensor], Tensor], bool]] = [
        ("kernels", ours, False),
        ("kernels, graph", ours, True),
        ("torch", in_torch, False),
        ("torch, graph", in_torch, True),
    ]
    for name, synthesize, graphed in ways:
        if graphed and device == "cpu":
            continue
        offset = torch.zeros(config.num_ws, config.w_dim, device=device, requires_grad=True)
        function: Any = synthesize
        if graphed:
            function = torch.cuda.make_graphed_callables(synthesize, (ws.clone().requires_grad_(),))

        def step(function: Callable[[Tensor], Tensor] = function, offset: Tensor = offset) -> Tensor:
            loss = (function(ws + offset) - target).abs().mean()
            return torch.autograd.grad(loss, offset)[0]

        times = measure(step, device)
        yield {"way": name, "size": size.name, "batch": size.fit_batch, **times, "steps_per_second": 1e3 / times["ms"]}
