"""The operators of exported models, and the check that a graph has no others before a runtime sees it.

A graph is a program: `Loop` can run for ever, `Expand` of a few bytes can take gigabytes, so can broadcasts of small
constants, and an initializer can name another file. The exporter writes the operators of this table and no others
(`sgi.export.graph.GraphBuilder`), and every backend refuses a model with others. The file
engine/native/src/onnx_operators.cpp has the same table and the same rules.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator

from sgi.engine.budget import Budget
from sgi.engine.errors import UserError, one_line
from sgi.engine.onnx_shapes import LONGEST_VECTOR, MOST_AXES, Shape, ShapeError, output_shapes
from sgi.engine.onnx_wire import Field, fields, numbers

OPERATORS = frozenset(
    {
        "Abs", "Add", "ArgMax", "Cast", "Clip", "Concat", "Conv", "ConvTranspose", "DepthToSpace", "Div", "Gemm",
        "Identity", "LeakyRelu", "LessOrEqual", "MatMul", "Max", "Mul", "Pow", "ReduceMax", "ReduceMean", "ReduceSum",
        "Split", "Sqrt", "Sub", "Unsqueeze", "Where",
    }
)  # fmt: skip
MOST_FIELDS = 500_000
"""Fields of nodes and initializers; a generator of 1024 px with seven types has about 20,000."""
MOST_NODES = 8000
"""A generator of 64 px with seven types has 744; a runtime takes seconds for more nodes, even if nothing needs them."""
LARGEST_SETTING = 4
"""Pads and sizes of kernels."""
LARGEST_STRIDE = 2
BORDER = 4
"""Pixels by which a side may exceed the resolution before the filter of an up-convolution removes them."""
MOST_NUMBERS = 1 << 27
"""Of one value of one image; a generator of 1024 px with 64 channels has half of it."""
NUMBERS_PER_BYTE = 256
"""Numbers that a value may have for each byte of the file, beyond MOST_NUMBERS: wide generators have large weights."""
_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE_INITIALIZER = 1, 5, 15
_NODE_INPUT, _NODE_OUTPUT, _NODE_OP_TYPE, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 4, 5, 7
_ATTRIBUTE_NESTED = {5, 6, 10, 11, 14, 15, 22, 23}  # tensors, graphs and types
_ATTRIBUTE_NAME, _ATTRIBUTE_INT, _ATTRIBUTE_INTS = 1, 3, 8
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_RAW, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 1, 2, 8, 9, 13, 14
_INT64, _MOST_INTEGERS = 7, 4096


def check_graph(model: bytes, resolution: int) -> None:
    """Raise UserError for a model that the exporter cannot have written, NotOnnxError for a truncated one.

    resolution: of its description; no map may be larger, and no value larger than `MOST_NUMBERS` and the file allow.
    """
    check = _Check(resolution, max(MOST_NUMBERS, NUMBERS_PER_BYTE * len(model)))
    for field in check.fields(memoryview(model)):
        if field.number == _MODEL_FUNCTIONS:
            raise _foreign("functions of its own")
        if field.number == _MODEL_GRAPH:
            check.graph(field.payload)


class _Check:
    def __init__(self, resolution: int, most_numbers: int) -> None:
        self._fields = Budget(MOST_FIELDS, _foreign(f"more than {MOST_FIELDS} parts").args[0])
        self._nodes = Budget(MOST_NODES, _foreign(f"more than {MOST_NODES} operators").args[0])
        self._most_side, self._most_numbers = resolution + BORDER, most_numbers
        rows = 2 * int(math.log2(resolution)) - 2  # of w+
        # By name; an input that is left out has no name.
        self._shapes: dict[bytes, Shape] = {
            b"": (),
            b"psi": (),
            b"ws": (1, rows, LONGEST_VECTOR),
        }
        self._integers: dict[bytes, tuple[int, ...]] = {}

    def fields(self, message: memoryview) -> Iterator[Field]:
        for field in fields(message):
            self._fields.spend()
            yield field

    def graph(self, graph: memoryview) -> None:
        nodes = []
        for field in self.fields(graph):
            if field.number == _GRAPH_NODE:
                nodes.append(field.payload)
            elif field.number == _GRAPH_INITIALIZER:
                self._initializer(field.payload)
            elif field.number == _GRAPH_SPARSE_INITIALIZER:
                raise _foreign("a sparse tensor")
        for node in nodes:  # they come before the initializers
            self._node(node)

    def _node(self, node: memoryview) -> None:
        self._nodes.spend()
        operator = ""
        inputs: list[bytes] = []
        outputs: list[bytes] = []
        settings: dict[str, list[int]] = {}
        for field in self.fields(node):
            if field.number == _NODE_OP_TYPE:
                operator = bytes(field.payload).decode("utf-8", "replace")
            elif field.number == _NODE_INPUT:
                inputs.append(bytes(field.payload))
            elif field.number == _NODE_OUTPUT:
                outputs.append(bytes(field.payload))
            elif field.number == _NODE_ATTRIBUTE:
                setting, values = self._attribute(field.payload)
                settings |= {setting: values} if values else {}
            elif field.number == _NODE_DOMAIN and len(field.payload):
                raise _foreign("an operator of another domain")
        if operator not in OPERATORS:
            raise _foreign(f"the operator {one_line(operator, 40)}")
        shapes = [self._shapes.get(name, (1, LONGEST_VECTOR)) for name in inputs]
        integers = self._integers.get(inputs[1], ()) if len(inputs) > 1 else ()
        try:
            found = output_shapes(operator, shapes, settings, integers, len(outputs))
        except ShapeError as error:
            raise _foreign(str(error)) from None
        for name, shape in zip(outputs, found, strict=False):
            if len(shape) == MOST_AXES and max(shape[2:]) > self._most_side:
                raise _foreign("larger maps than its description gives")
            if math.prod(shape) > self._most_numbers:
                raise _foreign(f"a value of {math.prod(shape)} numbers")
            self._shapes[name] = shape

    def _attribute(self, attribute: memoryview) -> tuple[str, list[int]]:
        name = b""
        given: list[int] = []
        single: list[int] = []
        for field in self.fields(attribute):
            if field.number in _ATTRIBUTE_NESTED:
                raise _foreign("a graph or a tensor as a setting")
            if field.number == _ATTRIBUTE_NAME:
                name = bytes(field.payload)
            elif field.number == _ATTRIBUTE_INT:
                single = numbers(field, MOST_FIELDS)
            elif field.number == _ATTRIBUTE_INTS:
                given += numbers(field, MOST_FIELDS)
        if max(given, default=0) > (LARGEST_STRIDE if name == b"strides" else LARGEST_SETTING):
            raise _foreign(f"a kernel, pad or stride of {max(given)}")
        return name.decode("utf-8", "replace"), given or single

    def _initializer(self, tensor: memoryview) -> None:
        dims: list[int] = []
        kind, name, raw = 0, b"", memoryview(b"")
        for field in self.fields(tensor):
            if field.number == _TENSOR_EXTERNAL or (
                field.number == _TENSOR_LOCATION and any(numbers(field, MOST_FIELDS))
            ):
                raise _foreign("weights in another file")
            if field.number == _TENSOR_DIMS:
                dims += numbers(field, MOST_FIELDS)
                if math.prod(dims) > len(tensor):
                    raise _foreign("a tensor without its numbers")
            elif field.number == _TENSOR_TYPE:
                (kind,) = numbers(field, MOST_FIELDS)[:1]
            elif field.number == _TENSOR_NAME:
                name = bytes(field.payload)
            elif field.number == _TENSOR_RAW:
                raw = field.payload
        self._shapes[name] = tuple(dims)
        if kind == _INT64 and len(raw) <= 8 * _MOST_INTEGERS and len(raw) % 8 == 0:
            self._integers[name] = struct.unpack(f"<{len(raw) // 8}q", raw)


def _foreign(what: str) -> UserError:
    return UserError(f"it has {what}, which `sgi-engine export` does not write; export the model again")
