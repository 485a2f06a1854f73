"""Tiny exported models of a few matrix products, with the metadata of sgi-engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sgi.engine import intrinsics
from sgi.engine.artifact import METADATA_KEY, Artifact
from sgi.engine.backends.table import BACKENDS
from sgi.engine.intrinsics import Intrinsic, Kind

ONNX_BACKENDS = ("openvino", "onnxruntime")
"""Backends that the shared cases run; `package_of` has the package that each needs."""
Z_DIM = 8
SIDE = 16
ROOM = intrinsics.get(intrinsics.SEGMENTATION).with_classes(("floor", "wall", "bed"))
HEAT = Intrinsic("heat-map", 1, -20.0, 60.0, "inverse", "degrees Celsius", png_bits=16)
USER_DEFINED = (
    Intrinsic("glow", 3, -2.0, 6.0, "linear", "radiance"),
    Intrinsic("motion", 3, -1.0, 1.0, "unit", "direction of motion"),
    Intrinsic("parts", 1, 0.0, 4.0, "palette", "parts of a chair", classes=("leg", "seat", "back", "arm", "none")),
    Intrinsic("height", 1, 5.0, 6.0, "identity", "metres", png_bits=16),
    Intrinsic("nearness", 1, -20.0, 60.0, "inverse", "decibel"),
)
"""A user-defined type of every decoding."""
ALL_KINDS: tuple[Kind, ...] = (
    *(ROOM if name == ROOM.name else name for name in intrinsics.INTRINSICS),
    "mask-bed",
    HEAT,
)
"""Every built-in type, the segmentation with classes, a mask and a custom type."""


def package_of(backend: str) -> str:
    """The Python package that a backend needs; its name may differ from that of the backend."""
    package = BACKENDS[backend].package
    assert package is not None
    return package


def kind_name(kind: Kind) -> str:
    """The name of a type, for names of test cases."""
    return intrinsics.get(kind).name


def describe(types: Sequence[Kind] = ("image", "depth"), **changes: object) -> Artifact:
    """A valid description of a tiny model."""
    kinds = tuple(intrinsics.get(kind) for kind in types)
    values: dict = {
        "sgi_version": "0.1.0",
        "resolution": SIDE,
        "z_dim": Z_DIM,
        "psi": 0.7,
        "noise_mode": "none",
        "precision": "fp32",
        "opset": 17,
        "types": kinds,
        "generator": {"sha256": "a" * 64},
        "offsets": {
            name: {"sha256": "b" * 64, "space": "w+"} for name in (k.name for k in kinds) if name != intrinsics.IMAGE
        },
    }
    return Artifact(**{**values, **changes})


def write_model(
    path: Path, artifact: Artifact, metadata: dict[str, str] | None = None, damage: str | None = None
) -> Path:
    """Write values = low + (high - low) * (f(psi * z A_c + label L) + 1) / 2, one A_c for each type c.

    f(x) = x / sqrt(1 + x^2): models have only the operators that the exporter writes.

    damage: name of a type whose A_c is NaN.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.RandomState(0)
    nodes, weights, outputs = [], [], []

    def constant(name: str, value: np.ndarray | float) -> str:
        weights.append(numpy_helper.from_array(np.array(value, np.float32, order="C"), name))
        return name

    def node(operator: str, *inputs: str, output: str, **settings: Any) -> str:
        nodes.append(helper.make_node(operator, list(inputs), [output], **settings))
        return output

    scaled = node("Mul", "z", "psi", output="scaled")
    for output in artifact.types:
        c, side = output.name, artifact.resolution
        size = output.channels * side * side
        matrix = random.randn(artifact.z_dim, size) / 2 * (np.nan if c == damage else 1)
        code = node("MatMul", scaled, constant(f"{c}.A", matrix), output=f"{c}.code")
        if artifact.c_dim:
            label = node("MatMul", "label", constant(f"{c}.L", random.randn(artifact.c_dim, size)), output=f"{c}.label")
            code = node("Add", code, label, output=f"{c}.sum")
        half = (output.high - output.low) / 2
        above = node("Add", node("Mul", code, code, output=f"{c}.square"), constant(f"{c}.one", 1), output=f"{c}.above")
        squashed = node("Div", code, node("Sqrt", above, output=f"{c}.root"), output=f"{c}.squashed")
        stretched = node("Mul", squashed, constant(f"{c}.half", half), output=f"{c}.stretched")
        weights.append(numpy_helper.from_array(np.array([2, 3], np.int64), f"{c}.axes"))
        shifted = node("Add", stretched, constant(f"{c}.middle", output.low + half), output=f"{c}.flat")
        pixels = node("Unsqueeze", shifted, f"{c}.axes", output=f"{c}.pixels")
        node("DepthToSpace", pixels, blocksize=side, mode="CRD", output=c)
        outputs.append(helper.make_tensor_value_info(c, TensorProto.FLOAT, ["N", output.channels, side, side]))
    inputs = [
        helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", artifact.z_dim]),
        helper.make_tensor_value_info("psi", TensorProto.FLOAT, []),
    ]
    if artifact.c_dim:
        inputs.append(helper.make_tensor_value_info("label", TensorProto.FLOAT, ["N", artifact.c_dim]))
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {METADATA_KEY: artifact.to_json()} if metadata is None else metadata)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path
