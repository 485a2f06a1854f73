"""A generator's synthesis network on the kernels, in place of the torch modules: pictures, and gradients to styles."""

from __future__ import annotations

from collections.abc import Callable
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
Key = tuple[torch.dtype, str]
"""Type of weights and activations, and noise mode."""


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
        # None of these refers back to this network: a circle would keep GPU memory until a garbage collection.
        self._fused: dict[Key, FusedSynthesis] = {}
        self._fitting: dict[Key, FittingSynthesis] = {}
        self._graphs: dict[tuple[int, Key], Callable[[Tensor], Tensor]] = {}
        self._affine: tuple[Tensor, Tensor] | None = None
        self._rows = [[i for i, layer in enumerate(layers) if layer.row == row] for row in range(self.config.num_ws)]

    def styles(self, ws: Tensor) -> list[Tensor]:
        """See `Synthesis.styles`: one matrix product for all layers, because a GPU waits for the launches of many."""
        weight, bias = self._affine = self._affine or self._pack_affine()
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
            fused = self._fused.get((dtype, noise_mode)) or FusedSynthesis(self, dtype, noise_mode)
            self._fused[dtype, noise_mode] = fused
            return fused.render(torch.cat([styles[i] for i in fused.order], dim=1))[0]
        return self._with_gradients(torch.cat(styles, dim=1), (dtype, noise_mode))

    def _with_gradients(self, flat: Tensor, key: Key) -> Tensor:
        """The picture of styles [N, S] in the order of `styled_layers`, differentiable."""
        fitting = self._fitting.get(key) or FittingSynthesis(self, *key)
        self._fitting[key] = fitting
        sizes = self._sizes

        def render(given: Tensor) -> Tensor:
            return fitting.render(given.split(sizes, dim=1))

        return self._graph(render, flat, key)(flat) if _captures(flat) else render(flat)

    def _graph(self, render: Callable[[Tensor], Tensor], flat: Tensor, key: Key) -> Callable[[Tensor], Tensor]:
        """The captured synthesis network for one batch size; the size that was captured first leaves.

        Not the whole step of a fit, because most launches are here, while loss, rate, frozen rows and preconditioner
        remain ordinary code, which may synchronise or change between steps.
        """
        found = self._graphs.get((len(flat), key))
        if found is None:
            while len(self._graphs) >= GRAPHS_KEPT:
                del self._graphs[next(iter(self._graphs))]
            example = flat.detach().clone().requires_grad_()
            found = cast(Callable[[Tensor], Tensor], torch.cuda.make_graphed_callables(render, (example,)))
            self._graphs[len(flat), key] = found
        return found

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


def _captures(flat: Tensor) -> bool:
    """Whether pictures with gradients replay CUDA graphs."""
    return flat.is_cuda


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
