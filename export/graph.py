"""A builder of ONNX graphs: unique names, shared initializers, operators as method calls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from sgi.engine.onnx_operators import OPERATORS

MIN_OPSET = 18  # the first in which the axes of ReduceMean are an input
MAX_OPSET = 23


class GraphBuilder:
    """Collects nodes and initializers; equal constants are stored once.

    Values are referred to by name: `op` appends a node and returns the name of its output.
    """

    def __init__(self, opset: int, outputs: Iterable[str] = ()) -> None:
        """outputs: names of the graph's outputs; they are reserved."""
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._names = dict.fromkeys(outputs, 1)

    def name(self, stem: str) -> str:
        """An unused name: the stem, or the stem with a number."""
        count = self._names.get(stem, 0)
        self._names[stem] = count + 1
        return stem if count == 0 else f"{stem}_{count}"

    def constant(self, value: NDArray[Any] | float | Sequence[int], stem: str = "constant") -> str:
        """Initializer of an array; floats become float32 scalars, sequences of int become int64."""
        array = np.asarray(value, order="C")
        if isinstance(value, float):
            array = array.astype(np.float32)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = self.name(stem)
            self.initializers[name] = numpy_helper.from_array(array, name)
            self._constants[key] = name
        return self._constants[key]

    def op(self, kind: str, *inputs: str, stem: str | None = None, output: str | None = None, **attributes: Any) -> str:
        """Append a node with one output, named `output` or by `stem`; returns the output's name."""
        assert kind in OPERATORS, f"{kind} is not in the table that backends allow"
        output = output or self.name(stem or kind.lower())
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def split(self, value: str, sizes: Sequence[int], stems: Sequence[str], axis: int) -> list[str]:
        """Split a value along an axis; returns the names of the parts."""
        outputs = [self.name(stem) for stem in stems]
        node = helper.make_node("Split", [value, self.constant(sizes)], outputs, name=outputs[0], axis=axis)
        self.nodes.append(node)
        return outputs

    def model(
        self,
        name: str,
        inputs: dict[str, list[int | str]],
        outputs: dict[str, list[int | str]],
        metadata: dict[str, str],
    ) -> onnx.ModelProto:
        """The finished, checked model; inputs and outputs are float32 with the shapes given."""

        def infos(shapes: dict[str, list[int | str]]) -> list[onnx.ValueInfoProto]:
            return [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]

        graph = helper.make_graph(self.nodes, name, infos(inputs), infos(outputs), list(self.initializers.values()))
        opsets = [helper.make_opsetid("", self.opset)]
        model = helper.make_model(
            graph,
            opset_imports=opsets,
            ir_version=helper.find_min_ir_version_for(opsets),
            producer_name="sgi-engine",
        )
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        return model
