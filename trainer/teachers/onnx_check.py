"""Checks of an ONNX model of another program, before ONNX Runtime opens it.

Exports of depth networks have `If` (a `squeeze` of an axis that may not be 1), functions (TorchDynamo) and weights in
other files (models above 2 GB), so these are allowed. None of those known has a loop, which can run for ever.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from sgi.engine.budget import Budget
from sgi.engine.errors import UserError, one_line

LOOPS = ("Loop", "Scan")
MOST_NODES = 200_000
"""Operators with those of inner graphs and functions; networks of depth have about 2000."""
MOST_DEPTH = 16
"""Graphs inside graphs."""
_NUMBERS_PER_BYTE = 4  # the most, of integers of 2 bits


def check_model(parameter: str, onnx: ModuleType, path: Path, loops: bool) -> list[Path]:
    """The files of a model's external weights.

    loops: whether `Loop` and `Scan` are allowed. Raises UserError for a damaged model, for loops without that, for
    weights outside the folder of the model, and for tensors of more numbers than their file has.
    """
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:
        reason = one_line((str(error).splitlines() or ["damaged"])[0], 80)
        raise UserError(f"{parameter}: file: {path.name} is not an ONNX model ({reason})") from None
    budget = Budget(MOST_NODES, f"{parameter}: file: more than {MOST_NODES} operators and tensors")
    found: dict[Path, None] = {}
    parts = [*_parts(model.graph, budget, 0, parameter)]
    for function in model.functions:
        parts += _nodes(function.node, budget, 0, parameter)
    for part in parts:
        if isinstance(part, onnx.NodeProto):
            if part.op_type in LOOPS and not loops:
                raise UserError(
                    f"{parameter}: file: it has the operator {part.op_type}, which can run for ever; write "
                    "`loops: true` into the YAML file if you trust the model"
                )
            continue
        if part.data_location == onnx.TensorProto.EXTERNAL:
            entries = {entry.key: entry.value for entry in part.external_data}
            file = _inside(parameter, path, entries.get("location", ""))
            found[file] = None
            size = file.stat().st_size
        else:
            size = part.ByteSize()
        if min(part.dims, default=0) < 0 or math.prod(part.dims) > _NUMBERS_PER_BYTE * size:
            raise UserError(
                f"{parameter}: file: a tensor claims {list(part.dims)[:8]} numbers, which its file does not have"
            )
    return list(found)


def _inside(parameter: str, path: Path, location: str) -> Path:
    file = path.parent / location
    folder = path.parent.resolve()
    if "\0" in location or folder not in file.resolve().parents or not file.is_file():
        name = one_line(Path(location).name, 40) or "?"
        raise UserError(f"{parameter}: file: its weights are in {name}, which is not in its folder")
    return file


def _parts(graph: Any, budget: Budget, depth: int, parameter: str) -> Iterator[Any]:
    """Nodes and tensors of a graph and of those inside it."""
    if depth > MOST_DEPTH:
        raise UserError(f"{parameter}: file: more than {MOST_DEPTH} graphs inside each other")
    budget.spend(len(graph.initializer) + 2 * len(graph.sparse_initializer))
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _nodes(graph.node, budget, depth, parameter)


def _nodes(nodes: Any, budget: Budget, depth: int, parameter: str) -> Iterator[Any]:
    budget.spend(len(nodes))
    for node in nodes:
        yield node
        for attribute in node.attribute:
            tensors = [*attribute.tensors, *([attribute.t] if attribute.HasField("t") else [])]
            graphs = [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]
            budget.spend(len(tensors) + len(graphs))
            yield from tensors
            for graph in graphs:
                yield from _parts(graph, budget, depth + 1, parameter)
