"""A graph that takes z, changed into one that takes w or w+.

The exporter writes graphs that take z. w and w+ replace the product of the mapping network and the truncation: every
style is A w + b, and the products with the matrices A are the only readers of w. For w+ each column of A w belongs to a
layer, and each layer to a row of w+. The columns are selected by a mask after the product with all rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sgi.engine.onnx_graph import (
    GRAPH_INPUT,
    GRAPH_NODE,
    Array,
    Graph,
    Node,
    graph_input,
    initializer,
    node,
    unknown_graph,
)
from sgi.engine.onnx_wire import keep_outputs, with_graph

_MATRIX = "affine.weight"  # the matrices A are `affine.weight`, `affine.weight_1` and so on
_INPUTS_OF_Z = {"z", "psi", "label"}
_PORTS = {"w": "w", "w+": "ws"}
_AXES = "ws.axes"


def with_input(model: bytes, input: str, num_ws: int) -> bytes:
    """The model with the input `w` [N, w_dim] or `ws` [N, num_ws, w_dim], float32, in place of z, psi and label.

    input: w or w+. num_ws: rows of w+. A model that does not take z is returned as it is.
    Raises UserError for a graph that the exporter did not write, NotOnnxError for a damaged one.
    """
    graph = Graph(model)
    if "z" not in graph.inputs:
        return model
    port = _PORTS[input]
    if any(port in (*n.inputs, *n.outputs) for n in graph.nodes):
        raise unknown_graph(f"places for the input {port}")
    products = {id(n.field): n for n in _products(graph)}
    shape: list[int | str] = ["batch", *([num_ws] if input == "w+" else []), _width(graph)]

    def parts() -> Iterator[bytes | memoryview]:
        has_input = False
        for field in graph.fields:
            if field.number == GRAPH_INPUT:
                if not has_input:
                    yield graph_input(port, shape)
                has_input = True
            elif field.number != GRAPH_NODE or id(field) not in products:
                yield field.whole
            elif input == "w":
                product = products[id(field)]
                yield node("MatMul", (port, product.inputs[1]), product.outputs[0])
            else:
                yield from _masked(products[id(field)], graph, num_ws)
        if input == "w+":
            yield initializer(_AXES, np.array([1], np.int64))

    changed = keep_outputs(with_graph(model, lambda _: list(parts())), graph.outputs)
    if any(not _INPUTS_OF_Z.isdisjoint(n.inputs) for n in Graph(changed).nodes):
        raise unknown_graph("all readers of w")
    return changed


def width_of_w(model: bytes) -> int:
    """w_dim of a model that takes z; raises UserError for a graph that the exporter did not write."""
    return _width(Graph(model))


def rows_of_layers(num_ws: int) -> list[int]:
    """The row of w+ of every layer with a style, in the order of synthesis; to-rgb shares the next block's first."""
    rows = [0, 1]
    for first in range(1, num_ws - 1, 2):
        rows += [first, first + 1, first + 2]
    return rows


def _products(graph: Graph) -> list[Node]:
    found = [
        n
        for n in graph.nodes
        if n.operator == "MatMul" and len(n.inputs) == 2 and n.inputs[1].startswith(_MATRIX)
        if graph.has_tensor(n.inputs[1])
    ]
    if not found:
        raise unknown_graph("the affine layers")
    return found


def _width(graph: Graph) -> int:
    widths = {_matrix(graph, product).shape[0] for product in _products(graph)}
    if len(widths) != 1:
        raise unknown_graph("affine layers of one width")
    return int(widths.pop())


def _matrix(graph: Graph, product: Node) -> Array:
    try:
        matrix = graph.tensor(product.inputs[1])
    except ValueError:
        matrix = np.empty(0)
    if matrix.ndim != 2 or matrix.dtype != np.float32 or not matrix.size:
        raise unknown_graph("the affine layers in float32")
    return matrix


def _masked(product: Node, graph: Graph, num_ws: int) -> Iterator[bytes]:
    """sum over rows of (ws A) * mask, [N, S], where the mask [num_ws, S] has a 1 at the row of each column."""
    name = product.outputs[0]
    rows = _rows(product, graph, num_ws)
    mask = (np.arange(num_ws)[:, None] == rows).astype(np.float32)
    yield initializer(f"{name}.mask", mask)
    yield node("MatMul", ("ws", product.inputs[1]), f"{name}.rows")
    yield node("Mul", (f"{name}.rows", f"{name}.mask"), f"{name}.masked")
    yield node("ReduceSum", (f"{name}.masked", _AXES), name, keepdims=0)


def _rows(product: Node, graph: Graph, num_ws: int) -> Array:
    """The row of w+ of each column of a product, [S]."""
    width = _matrix(graph, product).shape[1]
    value, start, total = product.outputs[0], 0, width
    joined = next((n for n in graph.readers(value) if n.operator == "Concat"), None)
    if joined is not None:
        # With a cutoff there are two products: of the truncated and of the other rows.
        widths = [_matrix(graph, _writer(graph, part)).shape[1] for part in joined.inputs]
        start, total = sum(widths[: joined.inputs.index(value)]), sum(widths)
        value = joined.outputs[0]
    layers = rows_of_layers(num_ws)
    for sizes in _sizes(graph, value):
        if len(sizes) == len(layers) and sum(sizes) == total and min(sizes) >= 0:
            return np.repeat(layers, sizes)[start : start + width]
    raise unknown_graph("the rows of w+")


def _writer(graph: Graph, value: str) -> Node:
    writer = graph.writer(value)
    if writer is None or len(writer.inputs) != 2 or not graph.has_tensor(writer.inputs[1]):
        raise unknown_graph("the affine layers")
    return writer


def _sizes(graph: Graph, value: str) -> Iterator[list[int]]:
    """Sizes of the styles that a value is split into after the bias was added."""
    for added in graph.readers(value):
        for split in graph.readers(added.outputs[0]) if added.operator == "Add" else []:
            if split.operator == "Split" and len(split.inputs) == 2 and graph.has_tensor(split.inputs[1]):
                try:
                    yield [int(size) for size in np.ravel(graph.tensor(split.inputs[1]))]
                except ValueError:
                    continue
