"""Tiny models whose outputs differ from their description, made of the operators that exported models have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper
from tiny_models import SIDE, Z_DIM, describe, write_model


def of_another_side(path: Path) -> Path:
    """Maps of half the side."""
    return write_model(path, describe(resolution=SIDE // 2), metadata={"sgi_engine": describe().to_json()})


def of_another_type(path: Path) -> Path:
    """Integers."""
    node = helper.make_node("Cast", ["inner"], ["depth"], to=TensorProto.INT64)
    return _changed(path, [node], ["N", 1, SIDE, SIDE], TensorProto.INT64)


def of_another_rank(path: Path) -> Path:
    """Vectors instead of maps."""
    node = helper.make_node("MatMul", ["z", "weight"], ["depth"])
    return _changed(path, [node], ["N", SIDE], constants={"weight": np.ones((Z_DIM, SIDE), np.float32)})


def without_an_output(path: Path) -> Path:
    """No map of depth."""
    return write_model(path, describe(("image",)), metadata={"sgi_engine": describe().to_json()})


def empty(path: Path) -> Path:
    """Maps without columns, which the shapes in the file do not show."""
    return _split(path, 0)


def narrow(path: Path) -> Path:
    """Half of the columns, which the shapes in the file do not show."""
    return _split(path, SIDE // 2)


def of_one_row(path: Path) -> Path:
    """One map for every batch."""
    node = helper.make_node("ReduceMean", ["inner"], ["depth"], axes=[0], keepdims=1)
    return _changed(path, [node], ["M", 1, SIDE, SIDE])


AT_OPENING = {"side": of_another_side, "type": of_another_type, "rank": of_another_rank, "missing": without_an_output}
"""What differs -> a function of a path that writes a model in which the shapes and types in the file show it."""
AT_A_BATCH = {"empty": empty, "narrow": narrow, "one row": of_one_row}
"""The same of models in which only a batch shows it."""


def _split(path: Path, columns: int) -> Path:
    """The first `columns` columns; the number is computed, so that a runtime cannot infer it from the file."""
    nodes = [
        helper.make_node("Unsqueeze", ["psi", "axis"], ["one"]),
        helper.make_node("Mul", ["one", "zeros"], ["nothing"]),
        helper.make_node("Add", ["nothing", "widths"], ["computed"]),
        helper.make_node("Cast", ["computed"], ["sizes"], to=TensorProto.INT64),
        helper.make_node("Split", ["inner", "sizes"], ["depth", "rest"], axis=3),
    ]
    constants = {
        "axis": np.array([0]),
        "zeros": np.zeros(2, np.float32),
        "widths": np.array([columns, SIDE - columns], np.float32),
    }
    return _changed(path, nodes, ["N", 1, SIDE, "W"], constants=constants)


def _changed(
    path: Path,
    nodes: Sequence[NodeProto],
    declared: Sequence[int | str],
    dtype: int = TensorProto.FLOAT,
    constants: dict[str, np.ndarray] | None = None,
) -> Path:
    """The tiny model, whose output depth passes through more nodes; `declared` is its shape in the file."""
    write_model(path, describe())
    model = onnx.load(path)
    graph = model.graph
    for other in graph.node:
        other.output[:] = ["inner" if name == "depth" else name for name in other.output]
    graph.node.extend(nodes)
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in (constants or {}).items())
    outputs = [value for value in graph.output if value.name != "depth"]
    del graph.output[:]
    graph.output.extend([*outputs, helper.make_tensor_value_info("depth", dtype, declared)])
    onnx.save(model, str(path))
    return path
