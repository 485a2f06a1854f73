"""A function of fixed shapes captured as a CUDA graph: one launch replays all its kernels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UPS = 3


class CudaGraph:
    """A captured function of tensors.

    function: (*inputs) -> name -> tensor. inputs: determine shapes and device. A call copies its arguments into the
    captured inputs and replays the graph; the next call overwrites the results.
    """

    def __init__(self, function: Callable[..., dict[str, Tensor]], inputs: tuple[Tensor, ...]) -> None:
        self._inputs = tuple(t.clone() for t in inputs)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        # Kernels compile and block shapes are measured here, because neither may happen during a capture.
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                function(*self._inputs)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._outputs = function(*self._inputs)

    def __call__(self, *inputs: Tensor) -> dict[str, Tensor]:
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)
        self._graph.replay()
        return self._outputs
