"""The operators of exported models, and the check that a graph has no others before a runtime sees it.

A graph is a program: `Loop` can run for ever, `Expand` of a few bytes can take gigabytes, and an initializer can name
another file. The exporter writes the operators of this table and no others (`sgi.export.graph.GraphBuilder`), and every
backend refuses a model with others. engine/native/src/onnx_operators.cpp has the same table and the same rules.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from sgi.engine.budget import Budget
from sgi.engine.errors import UserError, one_line
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
SMALLEST_SIDE = 4
"""Side of the constant input, which is doubled until it is the resolution."""
_DOUBLING = "ConvTranspose"  # DepthToSpace keeps the number of values
_VARINT, _BYTES = 0, 2
_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE_INITIALIZER = 1, 5, 15
_NODE_INPUT, _NODE_OUTPUT, _NODE_OP_TYPE, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 4, 5, 7
_ATTRIBUTE_NESTED = {5, 6, 10, 11, 14, 15, 22, 23}  # tensors, graphs and types
_ATTRIBUTE_NAME, _ATTRIBUTE_INTS = 1, 8
_TENSOR_DIMS, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 1, 13, 14


def check_graph(model: bytes, resolution: int) -> None:
    """Raise UserError for a model that the exporter cannot have written, NotOnnxError for a truncated one.

    resolution: of its description; no path of the graph may enlarge a map beyond it.
    """
    check = _Check(resolution)
    for field in check.fields(memoryview(model)):
        if field.number == _MODEL_FUNCTIONS:
            raise _foreign("functions of its own")
        if field.number == _MODEL_GRAPH:
            check.graph(field.payload)


class _Check:
    def __init__(self, resolution: int) -> None:
        self._fields = Budget(MOST_FIELDS, _foreign(f"more than {MOST_FIELDS} parts").args[0])
        self._most_doublings = int(math.log2(resolution // SMALLEST_SIDE))
        self._nodes = Budget(MOST_NODES, _foreign(f"more than {MOST_NODES} operators").args[0])
        self._doublings: dict[bytes, int] = {}  # of the value of a name

    def fields(self, message: memoryview) -> Iterator[Field]:
        for field in fields(message):
            self._fields.spend()
            yield field

    def graph(self, graph: memoryview) -> None:
        for field in self.fields(graph):
            if field.number == _GRAPH_NODE:
                self._node(field.payload)
            elif field.number == _GRAPH_INITIALIZER:
                self._initializer(field.payload)
            elif field.number == _GRAPH_SPARSE_INITIALIZER:
                raise _foreign("a sparse tensor")

    def _node(self, node: memoryview) -> None:
        self._nodes.spend()
        operator, inputs, outputs = "", [], []
        for field in self.fields(node):
            if field.number == _NODE_OP_TYPE:
                operator = bytes(field.payload).decode("utf-8", "replace")
            elif field.number == _NODE_INPUT:
                inputs.append(bytes(field.payload))
            elif field.number == _NODE_OUTPUT:
                outputs.append(bytes(field.payload))
            elif field.number == _NODE_ATTRIBUTE:
                self._attribute(field.payload)
            elif field.number == _NODE_DOMAIN and len(field.payload):
                raise _foreign("an operator of another domain")
        if operator not in OPERATORS:
            raise _foreign(f"the operator {one_line(operator, 40)}")
        doublings = max((self._doublings.get(name, 0) for name in inputs), default=0) + (operator == _DOUBLING)
        if doublings > self._most_doublings:
            raise _foreign("larger maps than its description gives")
        self._doublings |= dict.fromkeys(outputs, doublings)

    def _attribute(self, attribute: memoryview) -> None:
        name, given = b"", []
        for field in self.fields(attribute):
            if field.number in _ATTRIBUTE_NESTED:
                raise _foreign("a graph or a tensor as a setting")
            if field.number == _ATTRIBUTE_NAME:
                name = bytes(field.payload)
            elif field.number == _ATTRIBUTE_INTS:
                given += numbers(field, MOST_FIELDS)
        if max(given, default=0) > (LARGEST_STRIDE if name == b"strides" else LARGEST_SETTING):
            raise _foreign(f"a kernel, pad or stride of {max(given)}")

    def _initializer(self, tensor: memoryview) -> None:
        count = 1
        for field in self.fields(tensor):
            if field.number == _TENSOR_EXTERNAL or (
                field.number == _TENSOR_LOCATION and any(numbers(field, MOST_FIELDS))
            ):
                raise _foreign("weights in another file")
            if field.number == _TENSOR_DIMS:
                count *= math.prod(numbers(field, MOST_FIELDS))
                if count > len(tensor):
                    raise _foreign("a tensor without its numbers")


def _foreign(what: str) -> UserError:
    return UserError(f"it has {what}, which `sgi-engine export` does not write; export the model again")
