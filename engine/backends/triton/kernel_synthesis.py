"""A generator's synthesis network on the kernels, in place of the torch modules: pictures, and gradients to styles."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from sgi.engine.backends.triton.fitting import FittingSynthesis
from sgi.engine.backends.triton.fused_synthesis import FusedSynthesis
from sgi.engine.generator import Generator
from sgi.engine.generator.synthesis import Synthesis
from sgi.kernels.gpu.dispatch import KERNEL_DTYPES, interpreted

PACKED_MODES = ("none", "const")
LEAST_CAPABILITY = (8, 0)  # of bfloat16 products and asynchronous copies
# A captured graph keeps the activations of its batch size in memory. A fit has two: its batch, and single pictures.
GRAPHS_KEPT = 3


class KernelSynthesis(Synthesis):
    """`Synthesis` with frozen weights, whose pictures come from the fused kernels and, with gradients, from those of
    `FittingSynthesis`; on the CPU both run the torch references.

    On a GPU each batch size with gradients is a pair of CUDA graphs, forward and backward. The next picture of that
    size overwrites the one before, and must not be computed before the gradients of the one before. Random noise and
    float64 use the torch modules.
    """

    def __init__(self, synthesis: Synthesis) -> None:
        """Take the tensors of `synthesis`, without copying them; they must not change afterwards."""
        with torch.device("meta"):
            super().__init__(synthesis.config)
        self.load_state_dict(synthesis.state_dict(), assign=True)
        self.eval().requires_grad_(False)
        layers = self.styled_layers()
        self._sizes = [layer.module.affine.weight.shape[0] for layer in layers]
        # The functions keep packed weights, so there is one of each for every network.
        self._fused = lru_cache(maxsize=None)(lambda dtype, mode: FusedSynthesis(self, dtype, mode))
        self._fitting = lru_cache(maxsize=None)(lambda dtype, mode: FittingSynthesis(self, dtype, mode))
        self._graph = lru_cache(maxsize=GRAPHS_KEPT)(self._capture)
        self._rows = [[i for i, layer in enumerate(layers) if layer.row == row] for row in range(self.config.num_ws)]
        self._affine = lru_cache(maxsize=1)(self._pack_affine)

    def styles(self, ws: Tensor) -> list[Tensor]:
        """See `Synthesis.styles`: one matrix product for all layers, because a GPU waits for the launches of many."""
        weight, bias = self._affine()
        if ws.dtype != weight.dtype or weight.device != ws.device:
            return super().styles(ws)
        products = torch.baddbmm(bias, ws.transpose(0, 1), weight).unbind(0)
        found: dict[int, Tensor] = {}
        for indices, product in zip(self._rows, products, strict=True):
            sizes = [self._sizes[i] for i in indices]
            parts = product.split([*sizes, product.shape[1] - sum(sizes)], dim=1)
            found |= dict(zip(indices, parts, strict=False))  # without the padding
        return [found[i] for i in range(len(self._sizes))]

    def render(self, styles: list[Tensor], noise_mode: str = "const", dtype: torch.dtype = torch.float32) -> Tensor:
        """See `Synthesis.render`."""
        if noise_mode not in PACKED_MODES or dtype not in KERNEL_DTYPES:
            return super().render(styles, noise_mode, dtype)
        if not (torch.is_grad_enabled() and any(style.requires_grad for style in styles)):
            fused = self._fused(dtype, noise_mode)
            return fused.render(torch.cat([styles[i] for i in fused.order], dim=1))[0]
        return self._fitted_or_graph(torch.cat(styles, dim=1), noise_mode, dtype)

    def _fitted_or_graph(self, flat: Tensor, noise_mode: str, dtype: torch.dtype) -> Tensor:
        if flat.is_cuda:
            return self._graph(len(flat), noise_mode, dtype)(flat)
        return self._fitted(flat, noise_mode, dtype)

    def _fitted(self, flat: Tensor, noise_mode: str, dtype: torch.dtype) -> Tensor:
        return self._fitting(dtype, noise_mode).render(flat.split(self._sizes, dim=1))

    def _capture(self, batch: int, noise_mode: str, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
        """The synthesis network for one batch size as CUDA graphs.

        Not the whole step of a fit: its hundred launches here take the time, while loss, rate, frozen rows and
        preconditioner remain ordinary code, which may synchronise or change between steps.
        """
        device = self._affine()[0].device
        flat = torch.ones(batch, sum(self._sizes), device=device, requires_grad=True)

        def fitted(given: Tensor) -> Tensor:
            return self._fitted(given, noise_mode, dtype)

        return cast(Callable[[Tensor], Tensor], torch.cuda.make_graphed_callables(fitted, (flat,)))

    def _pack_affine(self) -> tuple[Tensor, Tensor]:
        """Affine layers by row of w+, padded to the largest number K of styles of a row.

        Weights [num_ws, w_dim, K] and biases [num_ws, 1, K], float32.
        """
        layers = self.styled_layers()
        width = max(sum(self._sizes[i] for i in indices) for indices in self._rows)
        weights, biases = [], []
        for indices in self._rows:
            scaled = [layers[i].module.affine.scaled() for i in indices]
            weight, bias = (torch.cat(parts) for parts in zip(*scaled, strict=True))
            weights.append(F.pad(weight.T, (0, width - len(bias))))
            biases.append(F.pad(bias, (0, width - len(bias)))[None])
        return torch.stack(weights), torch.stack(biases)


def with_kernels(generator: Generator) -> Generator:
    """A generator of the same tensors whose synthesis network is a `KernelSynthesis`."""
    with torch.device("meta"):
        found = Generator(generator.config)
    found.mapping, found.synthesis = generator.mapping, KernelSynthesis(generator.synthesis)
    return found.eval()


def kernels_missing(device: torch.device) -> str | None:
    """Why the kernels do not run on a device; None if they do, on a CPU in Triton's interpreter, for checks."""
    if find_spec("triton") is None:
        return "Triton is not installed: pip install 'sgi-engine[triton]'"
    if device.type == "cpu":
        return None if interpreted() else "the kernels need `device=cuda`"
    if torch.cuda.get_device_capability(device) < LEAST_CAPABILITY:
        return f"the kernels need a GPU of compute capability {LEAST_CAPABILITY[0]}.{LEAST_CAPABILITY[1]} or later"
    return None
