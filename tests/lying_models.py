"""Tiny models whose outputs differ from their description."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tiny_models import SIDE, describe, write_model


def _changed(path, node, declared, dtype=TensorProto.FLOAT, initializer=None):
    """The tiny model, whose output depth passes through one more node; `declared` is its shape in the file."""
    write_model(path, describe())
    model = onnx.load(path)
    graph = model.graph
    for other in graph.node:
        other.output[:] = ["inner" if name == "depth" else name for name in other.output]
    graph.node.append(node)
    if initializer is not None:
        graph.initializer.append(initializer)
    outputs = [value for value in graph.output if value.name != "depth"]
    del graph.output[:]
    graph.output.extend([*outputs, helper.make_tensor_value_info("depth", dtype, declared)])
    onnx.save(model, str(path))
    return path


def of_another_side(path):
    smaller = describe(resolution=SIDE // 2)
    return write_model(path, smaller, metadata={"sgi_engine": describe().to_json()})


def of_another_type(path):
    node = helper.make_node("Cast", ["inner"], ["depth"], to=TensorProto.INT64)
    return _changed(path, node, ["N", 1, SIDE, SIDE], TensorProto.INT64)


def _of_another_rank(path):
    shape = numpy_helper.from_array(np.array([-1, SIDE * SIDE]), "flat")
    return _changed(
        path, helper.make_node("Reshape", ["inner", "flat"], ["depth"]), ["N", SIDE * SIDE], initializer=shape
    )


def _without(path):
    return write_model(path, describe(("image",)), metadata={"sgi_engine": describe().to_json()})


def empty(path):
    """No rows, which shapes in the file do not show."""
    mask = numpy_helper.from_array(np.zeros(1, bool), "mask")
    return _changed(
        path, helper.make_node("Compress", ["inner", "mask"], ["depth"], axis=0), ["M", 1, SIDE, SIDE], initializer=mask
    )


def _narrow(path):
    """Half of the columns, which shapes in the file do not show."""
    mask = numpy_helper.from_array(np.arange(SIDE) < SIDE // 2, "mask")
    return _changed(
        path, helper.make_node("Compress", ["inner", "mask"], ["depth"], axis=3), ["N", 1, SIDE, "W"], initializer=mask
    )


AT_OPENING = {"side": of_another_side, "type": of_another_type, "rank": _of_another_rank, "missing": _without}
AT_A_BATCH = {"empty": empty, "narrow": _narrow}
"""What differs -> a function of a path that writes such a model."""
