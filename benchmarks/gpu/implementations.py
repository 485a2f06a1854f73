"""The implementations that are compared: the kernels, torch eager and compiled, and NVIDIA's.

An implementation is a function of (size, batch, device) that returns a callable without arguments. The callable does
one pass from z to the raw picture, in float16 on a GPU.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor
from workload import Size, build

from sgi.engine.backends.triton.cuda_graph import CudaGraph
from sgi.engine.backends.triton.fused_network import FusedNetwork
from sgi.engine.offset_tensors import ROWS
from sgi.kernels.gpu import tune

Run = Callable[[], object]
PSI = 0.7


def latents(size: Size, batch: int, device: str) -> Tensor:
    """Random z [batch, z_dim] float32."""
    return torch.randn(batch, size.config.z_dim, device=device)


def recorded(function: Callable[[Tensor], Tensor], z: Tensor) -> Run:
    """The function as a replayed CUDA graph; on the CPU the function itself."""
    if z.device.type == "cpu":
        return lambda: function(z)
    graph = CudaGraph(lambda given: {"picture": function(given)}, (z,))
    return lambda: graph(z)


def kernels(size: Size, batch: int, device: str, kinds: int = 1, offsets: list[Tensor | None] | None = None) -> Run:
    """The kernels in one CUDA graph; `kinds` types by `offsets`, None for the plain picture alone."""
    generator = build(size, device)
    tensors = [{} if offset is None else {ROWS: offset.to(device)} for offset in offsets or [None]]
    network = FusedNetwork(generator, tensors, torch.float16)
    selection = network.select(range(kinds))
    psi = torch.tensor(PSI, device=device)

    def run(z: Tensor) -> Tensor:
        w = generator.mapping(z)
        return network.render(network.styles(w, psi, None, selection), selection)

    with torch.inference_mode():
        return inference(recorded(run, latents(size, batch, device)))


def tuned(size: Size, batch: int, device: str) -> Run:
    """The kernels with measured block shapes."""
    with tune.tuning(True):
        return kernels(size, batch, device)


def eager(size: Size, batch: int, device: str) -> Run:
    """The torch generator, channels last."""
    generator = build(size, device)
    z = latents(size, batch, device)
    return inference(lambda: generator(z, psi=PSI, dtype=torch.float16))


def compiled(size: Size, batch: int, device: str) -> Run:
    """The torch generator compiled by torch.compile: max-autotune, channels last, CUDA graphs."""
    generator = build(size, device)
    z = latents(size, batch, device)
    torch._dynamo.config.recompile_limit = 64

    def run(given: Tensor) -> Tensor:
        return generator(given, psi=PSI, dtype=torch.float16)

    if device == "cpu":  # for tests
        function = torch.compile(run, backend="eager", fullgraph=True)
    else:
        function = torch.compile(run, mode="max-autotune", fullgraph=True, dynamic=False)
    return inference(lambda: function(z))


def nvidia(folder: Path) -> Callable[[Size, int, str], Run]:
    """StyleGAN2 of NVIDIA's stylegan3 repository at `folder`, with its CUDA plugins, in float16."""

    def make(size: Size, batch: int, device: str) -> Run:
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
        generator_class = import_module("training.networks_stylegan2").Generator

        config = size.config
        blocks = len(config.resolutions)
        generator = generator_class(
            z_dim=config.z_dim, c_dim=0, w_dim=config.w_dim, img_resolution=config.resolution, img_channels=3,
            mapping_kwargs={"num_layers": config.mapping_layers}, channel_base=config.channel_base,
            channel_max=config.channel_max, num_fp16_res=blocks, conv_clamp=256,
        )  # fmt: skip
        generator = generator.eval().requires_grad_(False).to(device)
        z = latents(size, batch, device)
        options = {"force_fp32": True} if device == "cpu" else {}
        return inference(lambda: generator(z, None, truncation_psi=PSI, noise_mode="const", **options))

    return make


def inference(run: Run) -> Run:
    """The callable in inference mode."""

    def wrapped() -> object:
        with torch.inference_mode():
            return run()

    return wrapped
