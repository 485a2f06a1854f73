"""Timing by CUDA events, or by a wall clock without a GPU; the machine's peak rates and its description."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from sgi.engine.errors import UserError
from sgi.engine.gpu import find_driver

SECONDS_PER_MEASUREMENT = 0.25
MAX_REPEATS = 200
# Of one candidate of a layer, of which there are hundreds.
SECONDS_PER_CANDIDATE = 0.03
# True while kernels are compiled ahead of the measurements: every function runs once.
warming = False


def measure(function: Callable[[], object], device: str) -> dict[str, float]:
    """Median, 20 % and 80 % quantiles of one call in milliseconds, after warm-up."""
    if device == "cpu" or warming:
        start = time.perf_counter()
        function()
        elapsed = 1e3 * (time.perf_counter() - start)
        return {"ms": elapsed, "low": elapsed, "high": elapsed, "repeats": 1}
    for _ in range(2):
        function()
    once = _events(function, 1)[0]
    repeats = int(min(MAX_REPEATS, max(10, 1e3 * SECONDS_PER_MEASUREMENT / max(once, 1e-3))))
    times = sorted(_events(function, repeats))
    return {
        "ms": statistics.median(times),
        "low": times[repeats // 5],
        "high": times[(repeats * 4) // 5],
        "repeats": repeats,
    }


def measure_rotating(functions: Sequence[Callable[[], object]], device: str) -> dict[str, float]:
    """As `measure` for one call, when each call has other operands: all are one CUDA graph.

    Enough sets of operands exceed the cache, and within a graph the time between launches is that of a network.
    """
    if device == "cpu" or warming:
        return measure(functions[0], device)
    for function in functions:
        function()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for function in functions:
            function()
    graph.replay()
    once = _events(graph.replay, 1)[0]
    repeats = int(min(MAX_REPEATS, max(5, 1e3 * SECONDS_PER_CANDIDATE / max(once, 1e-3))))
    times = sorted(time / len(functions) for time in _events(graph.replay, repeats))
    return {
        "ms": statistics.median(times),
        "low": times[repeats // 5],
        "high": times[(repeats * 4) // 5],
        "repeats": repeats,
    }


def _events(function: Callable[[], object], repeats: int) -> list[float]:
    marks = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(repeats)]
    for start, end in marks:
        start.record()
        function()
        end.record()
    torch.cuda.synchronize()
    return [start.elapsed_time(end) for start, end in marks]


def ceilings(device: str, tiny: bool) -> dict[str, float]:
    """Attainable peak rates: a large matrix product (FLOP/s, fp16 and bf16) and a large copy (B/s)."""
    side = 64 if tiny else 8192
    rates = {}
    for name, dtype in (("fp16", torch.float16), ("bf16", torch.bfloat16)):
        # Random operands, because a product of zeros draws less power and runs faster.
        a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
        out = torch.empty_like(a)
        rates[f"matmul_{name}"] = 2.0 * side**3 / (1e-3 * measure(lambda: torch.mm(a, b, out=out), device)["ms"])  # noqa: B023
    source = torch.randn(1 << (16 if tiny else 30), device=device)
    target = torch.empty_like(source)
    elapsed = 1e-3 * measure(lambda: target.copy_(source), device)["ms"]
    rates["copy"] = 2.0 * source.numel() * source.element_size() / elapsed
    return rates


def machine(device: str) -> dict[str, Any]:
    """GPU, driver and versions."""
    import triton

    facts: dict[str, Any] = {"device": device, "torch": torch.__version__, "triton": triton.__version__}
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        facts["gpu"] = properties.name
        facts["multiprocessors"] = properties.multi_processor_count
        facts["memory_gib"] = round(properties.total_memory / 2**30, 1)
        facts["cuda"] = torch.version.cuda
        facts["driver"] = _driver()
    return facts


def _driver() -> str:
    try:
        driver = find_driver()
    except UserError as error:
        return f"unknown: {error}"
    return "none" if driver is None else f"{driver.version} for CUDA {driver.cuda}"
