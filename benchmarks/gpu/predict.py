"""A model of the kernels' times on an H200, from block shapes and traffic: python benchmarks/gpu/predict.py.

A layer takes as long as the slowest of its arithmetic, its device memory traffic and its blocks' reads through L2. The
rates are assumptions; compare the result with the figures that run.py measures.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from tables import table
from workload import SIZES, LayerWork, Size, unbuilt_layers

from sgi.kernels.gpu import tune
from sgi.kernels.gpu.upconv.launch import PHASES_MAX_INPUTS

MULTIPROCESSORS = 132
MATMUL = 790e12  # FLOP/s of a large library product
COPY = 4.3e12  # B/s of a large copy, bytes read and written
MATMUL_SHARE = 0.65  # share of MATMUL that a block reaches at the best shape
COPY_SHARE = 0.75
L2 = 9e12  # B/s from L2 to shared memory, all multiprocessors together
LAUNCH = 2e-6  # s of overhead of a launch in a graph


def gemm(rows: int, inputs: int, columns: int, taps: int, traffic: float, heavy: bool = False) -> float:
    """Seconds of one launch: rows x columns over taps x inputs, with `traffic` bytes of device memory."""
    options = tune.candidates(torch.float16, inputs, columns, heavy)
    config = tune.cheapest(options, rows, columns, MULTIPROCESSORS)
    blocks = -(-rows // config.bm) * -(-columns // config.bn)
    waves = -(-blocks // MULTIPROCESSORS)
    depth = taps * inputs
    # A partly filled wave lasts as long as a full one, because a block uses one multiprocessor.
    arithmetic = waves * MULTIPROCESSORS * 2.0 * config.bm * config.bn * depth / (MATMUL * MATMUL_SHARE * config.rate)
    through_l2 = 2.0 * blocks * (config.bm + config.bn) * depth / L2
    return max(arithmetic, through_l2, traffic / (COPY * COPY_SHARE)) + LAUNCH


def forms(work: LayerWork, batch: int, last: bool) -> dict[str, float]:
    """Seconds of a layer by form; the last layer writes colours only."""
    side, inputs, outputs = work.side, work.inputs, work.outputs
    pixels = batch * side * side
    written = 2.0 * pixels * outputs
    if not work.module.up:
        traffic = 2.0 * pixels * inputs + (12.0 * pixels if last else written) + work.weight_bytes
        return {"conv": gemm(pixels, inputs, outputs, 9, traffic)}
    read = 0.5 * pixels * inputs
    # The four parities have 4, 2, 2 and 1 taps, each over a quarter of the pixels: 2.25 taps a pixel.
    transposed = gemm(pixels, inputs, outputs, 9, read + written + work.weight_bytes) * 0.25
    transposed = max(transposed, (read + written) / (COPY * COPY_SHARE))
    result = {"fir": transposed + 2 * written / (COPY * COPY_SHARE) + LAUNCH}
    if inputs <= 2 * PHASES_MAX_INPUTS:
        traffic = read + written + 4 * work.weight_bytes
        result["phases"] = gemm(pixels // 4, inputs, 4 * outputs, 9, traffic, heavy=True)
    return result


def network_rows() -> Iterator[list[object]]:
    """Predicted images a second, and the roofline bound."""
    for size in SIZES:
        works = unbuilt_layers(size)
        for batch in size.batches:
            seconds = sum(min(forms(work, batch, work is works[-1]).values()) for work in works)
            bound = sum(work.seconds(batch, MATMUL, COPY) for work in works)
            yield [size.name, batch, f"{1e3 * bound:.2f}", f"{1e3 * seconds:.2f}", f"{batch / seconds:.0f}"]


def layer_rows(size: Size, batch: int) -> Iterator[list[object]]:
    """Predicted microseconds of every convolution."""
    works = unbuilt_layers(size)
    for work in works:
        found = forms(work, batch, work is works[-1])
        cells = [f"{1e6 * found[form]:.0f}" if form in found else "-" for form in ("conv", "fir", "phases")]
        bound = 1e6 * work.seconds(batch, MATMUL, COPY)
        shape = f"{work.inputs} to {work.outputs} at {work.side} px"
        yield [work.name.removeprefix("synthesis."), shape, *cells, f"{bound:.0f}"]


if __name__ == "__main__":
    print(table(["size", "batch", "bound, ms", "predicted, ms", "predicted images/s"], network_rows()))
    print()
    headers = ["layer", "channels", "conv, us", "fir, us", "phases, us", "bound, us"]
    print(table(headers, layer_rows(SIZES[0], SIZES[0].batches[0])))
