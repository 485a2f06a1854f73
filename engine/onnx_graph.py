"""Nodes and weights of the graphs that the exporter writes, read and written without the `onnx` package.

The field numbers are those of onnx.proto. Graphs pass `sgi.engine.onnx_operators.check_graph` before they come here.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sgi.engine.errors import UserError
from sgi.engine.onnx_wire import Field, encode, fields, find_graph, numbers

Array = NDArray[Any]
GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_OUTPUT = 1, 5, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_OP_TYPE, _NODE_ATTRIBUTE = 1, 2, 3, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_FLOAT, _ATTRIBUTE_INT, _ATTRIBUTE_TYPE, _INT = 1, 2, 3, 20, 2
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_RAW = 1, 2, 8, 9
_VALUE_NAME, _VALUE_TYPE, _TYPE_TENSOR, _TENSOR_SHAPE, _SHAPE_DIM, _DIM_VALUE, _DIM_PARAM = 1, 2, 1, 2, 1, 1, 2
_DTYPES: dict[int, np.dtype[Any]] = {1: np.dtype("<f4"), 7: np.dtype("<i8")}
_FLOAT = 1
_MOST_DIMS = 8


class Node(NamedTuple):
    """An operator: its name, the values that it reads and writes, and its bytes in the graph."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    field: Field

    def float_attribute(self, name: str, default: float) -> float:
        """A setting of the operator; `default` where the node does not have it."""
        for attribute in (f for f in fields(self.field.payload) if f.number == _NODE_ATTRIBUTE):
            parts = {f.number: bytes(f.payload) for f in fields(attribute.payload)}
            if parts.get(_ATTRIBUTE_NAME) == name.encode() and len(parts.get(_ATTRIBUTE_FLOAT, b"")) == 4:
                return float(struct.unpack("<f", parts[_ATTRIBUTE_FLOAT])[0])
        return default


class Graph:
    """A parsed graph.

    fields: its fields in order. nodes: in topological order. inputs, outputs: names. Raises NotOnnxError for bytes that
    are no model.
    """

    def __init__(self, model: bytes | memoryview) -> None:
        """model: a whole model, or its graph as a memoryview."""
        self.fields = list(fields(find_graph(model) if isinstance(model, bytes) else model))
        self.nodes = [_node(field) for field in self.fields if field.number == GRAPH_NODE]
        self.inputs = self._names(GRAPH_INPUT)
        self.outputs = self._names(GRAPH_OUTPUT)
        self._tensors = {
            name: field.payload
            for field in self.fields
            if field.number == GRAPH_INITIALIZER
            for name in _texts(field.payload, _TENSOR_NAME)
        }

    def has_tensor(self, name: str) -> bool:
        """Whether a value is an initializer."""
        return name in self._tensors

    def tensor(self, name: str) -> Array:
        """An initializer, float32 or int64; raises ValueError for another type and for one without all its numbers."""
        dims, kind, raw = [], 0, b""
        for field in fields(self._tensors[name]):
            if field.number == _TENSOR_DIMS:
                dims += numbers(field, _MOST_DIMS)
            elif field.number == _TENSOR_TYPE:
                kind = numbers(field, 1)[0]
            elif field.number == _TENSOR_RAW:
                raw = bytes(field.payload)
        dtype = _DTYPES.get(kind)
        if dtype is None or len(raw) != math.prod(dims) * dtype.itemsize:
            raise ValueError(f"{name} is not a complete tensor of float32 or int64")
        return np.frombuffer(raw, dtype).reshape(dims)

    def readers(self, value: str) -> list[Node]:
        """The nodes that read a value."""
        return [node for node in self.nodes if value in node.inputs]

    def writer(self, value: str) -> Node | None:
        """The node that writes a value; None for an input and an initializer."""
        return next((node for node in self.nodes if value in node.outputs), None)

    def _names(self, number: int) -> list[str]:
        found = (_texts(field.payload, _VALUE_NAME) for field in self.fields if field.number == number)
        return [name for names in found for name in names]


def node(operator: str, inputs: Sequence[str], output: str, **integers: int) -> bytes:
    """A node as a field of a graph; integers: its settings."""
    parts = [encode(_NODE_INPUT, name.encode()) for name in inputs]
    parts += [encode(_NODE_OUTPUT, output.encode()), encode(_NODE_NAME, output.encode())]
    parts.append(encode(_NODE_OP_TYPE, operator.encode()))
    for name, value in integers.items():
        setting = encode(_ATTRIBUTE_NAME, name.encode()) + encode(_ATTRIBUTE_INT, value) + encode(_ATTRIBUTE_TYPE, _INT)
        parts.append(encode(_NODE_ATTRIBUTE, setting))
    return encode(GRAPH_NODE, b"".join(parts))


def initializer(name: str, value: Array) -> bytes:
    """An array of float32 or int64 as a field of a graph."""
    kind, dtype = next((kind, dtype) for kind, dtype in _DTYPES.items() if dtype == value.dtype)
    dims = b"".join(encode(_TENSOR_DIMS, size) for size in value.shape)
    raw = encode(_TENSOR_RAW, np.ascontiguousarray(value, dtype).tobytes())
    return encode(GRAPH_INITIALIZER, dims + encode(_TENSOR_TYPE, kind) + encode(_TENSOR_NAME, name.encode()) + raw)


def graph_input(name: str, shape: Sequence[int | str]) -> bytes:
    """An input of float32 as a field of a graph; shape: sizes, and names of sizes that are not fixed."""
    dims = [encode(_DIM_PARAM, size.encode()) if isinstance(size, str) else encode(_DIM_VALUE, size) for size in shape]
    tensor = encode(1, _FLOAT) + encode(_TENSOR_SHAPE, b"".join(encode(_SHAPE_DIM, dim) for dim in dims))
    kind = encode(_VALUE_TYPE, encode(_TYPE_TENSOR, tensor))
    return encode(GRAPH_INPUT, encode(_VALUE_NAME, name.encode()) + kind)


def unknown_graph(what: str) -> UserError:
    """The error for a graph that this version cannot change or read."""
    return UserError(f"{what} of this graph were not found; export the model again with `sgi-engine export`")


def _node(field: Field) -> Node:
    inputs, outputs, operator = [], [], ""
    for part in fields(field.payload):
        if part.number == _NODE_INPUT:
            inputs.append(_text(part))
        elif part.number == _NODE_OUTPUT:
            outputs.append(_text(part))
        elif part.number == _NODE_OP_TYPE:
            operator = _text(part)
    return Node(operator, tuple(inputs), tuple(outputs), field)


def _texts(message: memoryview, number: int) -> list[str]:
    return [_text(field) for field in fields(message) if field.number == number]


def _text(field: Field) -> str:
    return bytes(field.payload).decode("utf-8", "replace")
