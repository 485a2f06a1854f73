"""Valid ONNX models with a description of ours and graphs that the exporter never writes."""

from __future__ import annotations

from typing import Any

from tiny_models import SIDE, Z_DIM, describe

from sgi.engine.artifact import METADATA_KEY
from sgi.engine.intrinsics import get


def graphs(onnx: Any) -> dict[str, Any]:
    """Models by name; onnx: the package."""
    helper, numpy_helper, proto = onnx.helper, onnx.numpy_helper, onnx.TensorProto
    node = helper.make_node

    def model(*nodes: Any, weights: tuple[Any, ...] = (), functions: tuple[Any, ...] = ()) -> Any:
        artifact = describe(types=("image",))
        inputs = [
            helper.make_tensor_value_info("z", proto.FLOAT, ["N", Z_DIM]),
            helper.make_tensor_value_info("psi", proto.FLOAT, []),
        ]
        outputs = [helper.make_tensor_value_info("image", proto.FLOAT, ["N", get("image").channels, SIDE, SIDE])]
        graph = helper.make_graph(list(nodes), "g", inputs, outputs, list(weights))
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
        made = helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=list(functions))
        helper.set_model_props(made, {METADATA_KEY: artifact.to_json()})
        return made

    def constant(name: str, value: Any, dtype: str = "float32") -> Any:
        import numpy as np

        return numpy_helper.from_array(np.asarray(value, dtype), name)

    out = node("Identity", ["z"], ["image"])
    body = helper.make_graph(
        [node("Identity", ["c"], ["d"])], "body", [], [helper.make_tensor_value_info("d", proto.BOOL, [])]
    )
    external = onnx.TensorProto(name="w", data_type=proto.FLOAT, dims=[4], data_location=onnx.TensorProto.EXTERNAL)
    external.external_data.add(key="location", value="/etc/passwd")
    claims = onnx.TensorProto(name="w", data_type=proto.FLOAT, dims=[1 << 20, 1 << 20], raw_data=bytes(4))
    overflow = onnx.TensorProto(name="w", data_type=proto.FLOAT, dims=[1 << 32, 1 << 32], raw_data=bytes(4))
    own = helper.make_function(
        "own", "F", ["x"], ["y"], [node("Identity", ["x"], ["y"])], [helper.make_opsetid("", 18)]
    )
    kernel = constant("k", [[[[1.0] * 2] * 2] * 8] * 8)
    chain = [node("ConvTranspose", [f"x{i}", "k"], [f"x{i + 1}"], strides=[2, 2]) for i in range(30)]
    row, column = constant("row", [[1.0] * 20_000]), constant("column", [[1.0]] * 20_000)
    maps = [node("Unsqueeze", ["row", "axes"], ["maps"]), constant("axes", [2, 3], "int64")]
    twice = [node("Concat", [f"c{i}"] * 2, [f"c{i + 1}"], axis=1) for i in range(30)]
    sparse = model(out)
    sparse.graph.sparse_initializer.add()
    return {
        "Loop": model(node("Loop", ["n", "c"], ["image"], body=body), out),
        "If": model(node("If", ["c"], ["image"], then_branch=body, else_branch=body), out),
        "Expand to 2^31": model(node("Expand", ["z", "s"], ["image"]), weights=(constant("s", [1 << 31], "int64"),)),
        "ConstantOfShape": model(
            node("ConstantOfShape", ["s"], ["image"]), weights=(constant("s", [1 << 40], "int64"),)
        ),
        "Tile": model(node("Tile", ["z", "s"], ["image"]), weights=(constant("s", [1 << 30, 1], "int64"),)),
        "Range": model(node("Range", ["a", "b", "c"], ["image"])),
        "RandomNormal": model(node("RandomNormal", [], ["image"], shape=[1 << 20, 1 << 20])),
        "an operator of another domain": model(node("Identity", ["z"], ["image"], domain="com.microsoft")),
        "a function": model(node("F", ["z"], ["image"], domain="own"), functions=(own,)),
        "weights in a file": model(out, weights=(external,)),
        "a weight of 2^40": model(out, weights=(claims,)),
        "a weight that overflows": model(out, weights=(overflow,)),
        "a stride of 2^20": model(
            node("ConvTranspose", ["z", "k"], ["image"], strides=[1 << 20] * 2), weights=(kernel,)
        ),
        "pads of 2^30": model(node("Conv", ["z", "k"], ["image"], pads=[1 << 30] * 4), weights=(kernel,)),
        "thirty doublings": model(*chain, node("Identity", ["x30"], ["image"]), weights=(kernel,)),
        "a broadcast of two constants": model(node("Mul", ["row", "column"], ["image"]), weights=(row, column)),
        "a product of two constants": model(node("MatMul", ["column", "row"], ["image"]), weights=(row, column)),
        "a broadcast of three values": model(
            maps[0],
            node("Mul", ["maps", "wide"], ["x"]),
            node("Where", ["x", "deep", "x"], ["image"]),
            weights=(row, maps[1], constant("wide", [[1.0] * 20]), constant("deep", [[[[1.0]]]] * 20_000)),
        ),
        "thirty doubled vectors": model(
            node("Identity", ["row"], ["c0"]), *twice, node("Identity", ["c30"], ["image"]), weights=(row,)
        ),
        "five axes": model(node("Mul", ["z", "five"], ["image"]), weights=(constant("five", [[[[[1.0]]]]]),)),
        "axes of another Unsqueeze": model(
            node("Unsqueeze", ["z", "axes"], ["image"]), weights=(constant("axes", [0, 1], "int64"),)
        ),
        "a reduction that removes an axis": model(node("ReduceMean", ["z"], ["image"], keepdims=0)),
        "a transposed product": model(node("Gemm", ["row", "row"], ["image"], transA=1), weights=(row,)),
        "a dilated kernel": model(node("Conv", ["z", "k"], ["image"], dilations=[2, 2]), weights=(kernel,)),
        "a large block": model(node("DepthToSpace", ["k"], ["image"], blocksize=1 << 20), weights=(kernel,)),
        "a sparse weight": sparse,
        "a name with escapes": model(node("\x1b[31mX", ["z"], ["image"])),
        "a graph as a setting": model(node("Identity", ["z"], ["image"], body=body)),
        "20,000 nodes": model(*(node("Identity", ["z"], [f"x{i}"]) for i in range(20_000)), out),
        "another shape": model(out),
        "a cycle": model(node("Identity", ["a"], ["b"]), node("Identity", ["b"], ["a"]), out),
    }
