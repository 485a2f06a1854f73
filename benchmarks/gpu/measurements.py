"""The measurements of networks, types, layers and fitting; each returns rows of the results file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import implementations
import torch
from clock import measure, measure_rotating
from torch import Tensor
from workload import Size, build, layers, offset_from, unbuilt_layers

from sgi.engine.backends.triton.fitting import FittingSynthesis

Row = dict[str, Any]
TYPES = 5
SHARED_SIDE = 32
FIT_DTYPE = torch.bfloat16


def bound_ms(size: Size, batch: int, rates: dict[str, float]) -> float:
    """Roofline lower bound of a network in milliseconds: the sum over its layers (`LayerWork.seconds`)."""
    works = unbuilt_layers(size)
    return 1e3 * sum(work.seconds(batch, rates["matmul_fp16"], rates["copy"]) for work in works)


def network(
    name: str, make: Callable[[Size, int, str], implementations.Run], size: Size, batch: int, device: str
) -> Row:
    """One implementation at one size and batch."""
    times = measure(make(size, batch, device), device)
    images = 1e3 * batch / times["ms"]
    works = unbuilt_layers(size)
    flops = sum(work.flops for work in works)
    return {
        "implementation": name, "size": size.name, "batch": batch, **times, "images_per_second": images,
        "tflops": flops * images / 1e12,
    }  # fmt: skip


def types(
    size: Size, batch: int, device: str, count: int = TYPES, variant: implementations.Variant = implementations.PLAIN
) -> Iterator[Row]:
    """One type, `count` types without shared layers, and `count` types that share the layers up to 32 px."""
    shared_side = min(SHARED_SIDE, size.config.resolution // 2)
    several: list[tuple[str, int, list[Tensor | None]]] = [
        ("one type", 1, [None]),
        (f"{count} types", count, [None, *(offset_from(size.config, i, 0) for i in range(1, count))]),
        (f"{count} types, up to {shared_side} px shared", count,
         [None, *(offset_from(size.config, i, shared_side) for i in range(1, count))]),
    ]  # fmt: skip
    for name, kinds, offsets in several:
        times = measure(implementations.kernels(size, batch, device, kinds, offsets, variant), device)
        yield {"case": name, "implementation": variant.name, "size": size.name, "batch": batch, **times}


def layer_rows(size: Size, batch: int, device: str, rates: dict[str, float], index: int) -> Iterator[Row]:
    """A convolution of the torch generator alone, by its index; the stage `forms` has the kernels' figures."""
    work = layers(implementations.shared_generator(size, device))[index]
    side = work.side // 2 if work.module.up else work.side
    x = torch.randn(batch, work.inputs, side, side, device=device).half().to(memory_format=torch.channels_last)
    style = torch.rand(batch, work.inputs, device=device) + 0.5
    with torch.inference_mode():
        times = measure_rotating([lambda: work.module(x, style)], device)
    yield {
        "layer": work.name.removeprefix("synthesis."), "size": size.name, "batch": batch, "side": work.side,
        "inputs": work.inputs, "outputs": work.outputs, "form": "torch", **times,
        "bound_ms": 1e3 * work.seconds(batch, rates["matmul_fp16"], rates["copy"]),
        "tflops": batch * work.flops / times["ms"] / 1e9,
    }  # fmt: skip


def fit(size: Size, device: str) -> Iterator[Row]:
    """Steps a second of fitting an offset: synthesis, L1 loss on the picture, gradient to the offset."""
    generator = build(size, device)
    config = size.config
    ws = torch.randn(size.fit_batch, config.num_ws, config.w_dim, device=device)
    target = torch.rand(size.fit_batch, 3, config.resolution, config.resolution, device=device)
    ours = FittingSynthesis(generator.synthesis, FIT_DTYPE)

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
