"""An emulator of exported graphs in torch that rounds every result to its data type in the graph.

CPU runtimes cannot verify a reduced precision: ONNX Runtime computes float16 graphs in float32 and removes the casts
between operators, so that no overflow shows, and it does not support bfloat16. A GPU accumulates in float32 and rounds
after each operator or, with fused operators, less often; the emulator is the worst case. It supports only the operators
that `export` emits.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from torch import Tensor
from torch.nn import functional as F

_TYPES = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.FLOAT16: torch.float16,
    TensorProto.BFLOAT16: torch.bfloat16,
    TensorProto.INT64: torch.int64,
}


class Emulator:
    """A loaded graph; `Emulator(path).run` computes every output like `Backend.run`."""

    def __init__(self, path: str | Path) -> None:
        graph = onnx.load(path).graph
        self._nodes = list(graph.node)
        self._inputs = [value.name for value in graph.input]
        self._outputs = [output.name for output in graph.output]
        self._constants = {tensor.name: _tensor(tensor) for tensor in graph.initializer}
        self._last_use = {name: i for i, node in enumerate(self._nodes) for name in node.input}

    def run(
        self, latent: NDArray[Any], psi: float | None = None, label: NDArray[Any] | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """The arguments of `Backend.run` -> {type: [N, C, R, R] float32}."""
        values = self._constants | {self._inputs[0]: torch.from_numpy(latent)}
        if psi is not None:
            values["psi"] = torch.tensor(psi, dtype=torch.float32)
        if label is not None:
            values["label"] = torch.from_numpy(label)
        with torch.no_grad():
            for i, node in enumerate(self._nodes):
                arguments = [values[name] for name in node.input]
                attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
                results = _OPERATORS[node.op_type](arguments, attributes)
                values.update(zip(node.output, results, strict=True))
                for name in node.input:
                    if self._last_use[name] == i and name not in self._outputs:
                        values.pop(name, None)
        return {name: values[name].numpy() for name in self._outputs}


def _tensor(proto: onnx.TensorProto) -> Tensor:
    array = numpy_helper.to_array(proto)
    if proto.data_type == TensorProto.BFLOAT16:
        return torch.from_numpy(array.astype(np.float32)).bfloat16()
    return torch.from_numpy(np.array(array))


def _rounded(compute: Callable[..., Tensor]) -> Callable[[list[Tensor], dict[str, Any]], list[Tensor]]:
    """An operator that computes in float32 and rounds to the data type of its first argument."""

    def operator(arguments: list[Tensor], attributes: dict[str, Any]) -> list[Tensor]:
        wide = [a.float() if a.is_floating_point() else a for a in arguments]
        return [compute(*wide, **attributes).to(arguments[0].dtype)]

    return operator


def _exact(compute: Callable[..., Tensor]) -> Callable[[list[Tensor], dict[str, Any]], list[Tensor]]:
    """An operator that copies numbers without computing."""
    return lambda arguments, attributes: [compute(*arguments, **attributes)]


def _conv(
    x: Tensor, w: Tensor, b: Tensor | None = None, *, kernel_shape: Any, pads: Any = (0,) * 4, group: int = 1
) -> Tensor:
    top, left, bottom, right = pads
    return F.conv2d(F.pad(x, (left, right, top, bottom)), w, b, groups=group)


def _conv_transpose(x: Tensor, w: Tensor, *, kernel_shape: Any, strides: Any, pads: Any = (0,) * 4) -> Tensor:
    return F.conv_transpose2d(x, w, stride=tuple(strides), padding=tuple(pads[:2]))


def _unsqueeze(x: Tensor, axes: Tensor) -> Tensor:
    for axis in sorted(axes.tolist()):
        x = x.unsqueeze(axis)
    return x


_OPERATORS: dict[str, Callable[[list[Tensor], dict[str, Any]], list[Tensor]]] = {
    "Abs": _rounded(torch.abs),
    "Add": _rounded(torch.add),
    "ArgMax": _exact(lambda x, axis, keepdims, select_last_index: x.argmax(axis, bool(keepdims))),
    "Cast": _exact(lambda x, to: x.to(_TYPES[to])),
    "Clip": _rounded(torch.clamp),
    "Concat": lambda arguments, attributes: [torch.cat(arguments, attributes["axis"])],
    "Conv": _rounded(_conv),
    "ConvTranspose": _rounded(_conv_transpose),
    "DepthToSpace": _exact(lambda x, blocksize, mode: F.pixel_shuffle(x, blocksize)),
    "Div": _rounded(torch.div),
    "Gemm": _rounded(lambda a, b, c: a @ b + c),
    "Identity": _exact(lambda x: x),
    "LeakyRelu": _rounded(lambda x, alpha: F.leaky_relu(x, alpha)),
    "LessOrEqual": _exact(torch.le),
    "MatMul": _rounded(torch.matmul),
    "Max": _rounded(torch.maximum),
    "Mul": _rounded(torch.mul),
    "Pow": _rounded(torch.pow),
    "ReduceMax": _rounded(lambda x, axes, keepdims: x.amax(axes.tolist(), bool(keepdims))),
    "ReduceMean": _rounded(lambda x, axes, keepdims: x.mean(axes.tolist(), bool(keepdims))),
    "ReduceSum": _rounded(lambda x, axes, keepdims: x.sum(axes.tolist(), bool(keepdims))),
    "Split": lambda arguments, attributes: list(arguments[0].split(arguments[1].tolist(), attributes["axis"])),
    "Sqrt": _rounded(torch.sqrt),
    "Sub": _rounded(torch.sub),
    "Unsqueeze": _exact(_unsqueeze),
    "Where": _exact(torch.where),
}
