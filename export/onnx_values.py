"""Values of a type as ONNX nodes: `intrinsics.decode` on the values of a graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from sgi.engine.intrinsics import Intrinsic, decode_with
from sgi.engine.palette import scores
from sgi.export.graph import GraphBuilder


@dataclass(frozen=True)
class Value:
    """A value of a graph; operators with numbers and values append nodes. Multiplying by 1 and adding 0 append none."""

    g: GraphBuilder
    name: str

    def __add__(self, other: Value | float) -> Value:
        return self if other == 0 else self._op("Add", self, other)

    def __sub__(self, other: Value | float) -> Value:
        return self._op("Sub", self, other)

    def __rsub__(self, other: float) -> Value:
        return self._op("Sub", other, self)

    def __mul__(self, other: Value | float) -> Value:
        return self if other == 1 else self._op("Mul", self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Value | float) -> Value:
        return self._op("Div", self, other)

    def __pow__(self, other: float) -> Value:
        return self._op("Pow", self, other)

    def __le__(self, other: Value | float) -> Value:
        return self._op("LessOrEqual", self, other)

    def _op(self, kind: str, *operands: Value | float) -> Value:
        names = [o.name if isinstance(o, Value) else self.g.constant(float(o)) for o in operands]
        return Value(self.g, self.g.op(kind, *names))


@dataclass(frozen=True)
class OnnxOperations:
    """`sgi.engine.decoding.Operations` on values [N, C, H, W] of a graph; output: name of the decoded output."""

    g: GraphBuilder
    output: str

    def maximum(self, x: Value, low: float) -> Value:
        """See `Operations`."""
        return Value(self.g, self.g.op("Max", x.name, self.g.constant(low)))

    def where(self, condition: Value, x: Value, y: Value) -> Value:
        """See `Operations`."""
        return Value(self.g, self.g.op("Where", condition.name, x.name, y.name))

    def channel_sum(self, x: Value) -> Value:
        """See `Operations`."""
        return Value(self.g, self.g.op("ReduceSum", x.name, self.g.constant([1]), keepdims=1))

    def sqrt(self, x: Value) -> Value:
        """See `Operations`."""
        return Value(self.g, self.g.op("Sqrt", x.name))

    def nearest(self, u: Value, colours: NDArray[np.float64]) -> Value:
        """See `Operations`."""
        g = self.g
        weight, bias = scores(colours)
        kernel = g.constant(weight[:, :, None, None].astype(np.float32), f"{self.output}.colours")
        score = g.op("Conv", u.name, kernel, g.constant(bias.astype(np.float32)), kernel_shape=[1, 1])
        index = g.op("ArgMax", score, axis=1, keepdims=1, select_last_index=0)
        return Value(g, g.op("Cast", index, to=TensorProto.FLOAT))


def emit_value(g: GraphBuilder, raw: str, intrinsic: Intrinsic) -> str:
    """Emit the values [N, channels, R, R] of a type as the graph's output of its name; returns the name.

    raw: name of the raw picture [N, code_channels, R, R] of nominal range -1 to 1; it is clipped to display codes.
    """
    half = g.constant(0.5)
    u = g.op("Clip", g.op("Add", g.op("Mul", raw, half), half), g.constant(0.0), g.constant(1.0))
    value = decode_with(intrinsic, Value(g, u), OnnxOperations(g, intrinsic.name))
    return g.op("Identity", value.name, output=intrinsic.name)
