"""The ONNX form of a lowered generator: mapping once, then one synthesis branch a type over shared weights.

A branch per type lets a runtime skip the types nobody asked for, and branches whose affine layers agree in the first
layers share those layers' nodes (offsets fitted from a later row on).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from sgi.engine import intrinsics, palette
from sgi.engine.generator.layers import LRELU_SLOPE
from sgi.engine.intrinsics import UNIT_EPS, Intrinsic
from sgi.export.bake import Baked
from sgi.export.graph import GraphBuilder
from sgi.export.lower import Lowered
from sgi.export.onnx_layers import LayerEmitter
from sgi.export.precision import Precision

Array = NDArray[np.float32]
Affines = Mapping[str, Baked]


def emit_w(g: GraphBuilder, lowered: Lowered, z: str, label: str | None) -> str:
    """w [N, w_dim] of z [N, z_dim] and, for generators with classes, label [N, c_dim]."""
    x = _normalise_second_moment(g, z)
    if lowered.embed is not None and label is not None:
        y = g.op("Gemm", label, g.constant(lowered.embed.weight, "mapping.embed"), g.constant(lowered.embed.bias))
        x = g.op("Concat", x, _normalise_second_moment(g, y), axis=1)
    for i, layer in enumerate(lowered.mapping):
        weight, bias = g.constant(layer.weight, f"mapping.fc{i}.weight"), g.constant(layer.bias, f"mapping.fc{i}.bias")
        x = g.op("LeakyRelu", g.op("Gemm", x, weight, bias), alpha=LRELU_SLOPE, stem=f"mapping.fc{i}")
    return x


def emit_truncated(g: GraphBuilder, lowered: Lowered, w: str, psi: str) -> str:
    """w_avg + psi (w - w_avg): [N, w_dim]."""
    average = g.constant(lowered.w_avg, "w_avg")
    return g.op("Add", average, g.op("Mul", psi, g.op("Sub", w, average)), stem="w_truncated")


class Synthesiser:
    """Emits synthesis branches; layers reached by equal styles are emitted once.

    w, truncated: names of [N, w_dim]; rows of w+ from `cutoff` on take the former (None: none does).
    """

    def __init__(
        self, g: GraphBuilder, lowered: Lowered, w: str, truncated: str, cutoff: int | None, precision: Precision
    ) -> None:
        self.g = g
        self.lowered = lowered
        limit = lowered.config.num_ws if cutoff is None else cutoff
        layers = lowered.layers()
        # Rows of w+ never decrease along the layers, so the two groups are in order.
        self._groups = [
            (truncated, [layer.name for layer in layers if layer.row < limit]),
            (w, [layer.name for layer in layers if layer.row >= limit]),
        ]
        self.layers = LayerEmitter(g, precision, lowered.config.conv_clamp)
        self._done: dict[str, str] = {}

    def emit(self, affines: Affines, channels: int) -> str:
        """Raw picture [N, channels, R, R] of the styles of `affines`; one channel is the mean over RGB."""
        g, lowered = self.g, self.lowered
        # The mean passes through sums and filters, not through a clamp: then it is taken at the end.
        fold = channels == 1 and lowered.config.conv_clamp is None
        styles = self._styles(affines)
        prefix = ""
        x = self.layers.input(lowered.const)
        img: str | None = None
        for block in lowered.blocks:
            for conv in (block.conv0, block.conv1):
                if conv is not None:
                    prefix = _digest(prefix, *affines[conv.name])
                    x = self._done.get(prefix) or self.layers.conv(x, styles[conv.name], conv)
                    self._done[prefix] = x
            rgb = block.rgb.mean() if fold else block.rgb
            key = _digest(f"{prefix}{fold}{img}", *affines[rgb.name])
            img = self._done.get(key) or self.layers.rgb(x, styles[rgb.name], rgb, img)
            self._done[key] = img
        assert img is not None
        if channels == 1 and not fold:
            img = g.op("ReduceMean", img, g.constant([1]), keepdims=1)
        return img

    def _styles(self, affines: Affines) -> dict[str, str]:
        """Layer name -> style [N, I], by one addition and one split."""
        names = [layer.name for layer in self.lowered.layers()]
        bias = self.g.constant(np.concatenate([affines[name].bias for name in names]), "affine.bias")
        styles = self.g.op("Add", self._products(affines), bias)
        sizes = [len(affines[name].bias) for name in names]
        return dict(zip(names, self.g.split(styles, sizes, [f"{name}.style" for name in names], axis=1), strict=True))

    def _products(self, affines: Affines) -> str:
        """A w of all layers side by side, [N, sum of I], shared by the types of equal matrices: all but lora's."""
        g = self.g
        key = _digest("products", *(affines[name].weight for _, group in self._groups for name in group))
        if key not in self._done:
            parts = []
            for source, group in self._groups:
                if group:
                    matrix = g.constant(
                        np.concatenate([affines[name].weight for name in group], axis=1), "affine.weight"
                    )
                    parts.append(g.op("MatMul", source, matrix))
            self._done[key] = parts[0] if len(parts) == 1 else g.op("Concat", *parts, axis=1)
        return self._done[key]


def emit_value(g: GraphBuilder, raw: str, intrinsic: Intrinsic) -> str:
    """Value of a type from the raw picture: clip to a display code, decode; the twin of `intrinsics.decode`."""
    half = g.constant(0.5)
    output = intrinsic.name
    u = g.op("Clip", g.op("Add", g.op("Mul", raw, half), half), g.constant(0.0), g.constant(1.0))
    if intrinsic.decoding == "palette":
        weight, bias = palette.scores(intrinsics.colours(intrinsic))
        kernel = g.constant(weight[:, :, None, None].astype(np.float32), f"{output}.colours")
        scores = g.op("Conv", u, kernel, g.constant(bias.astype(np.float32)), kernel_shape=[1, 1])
        index = g.op("ArgMax", scores, axis=1, keepdims=1, select_last_index=0)
        return g.op("Cast", index, to=TensorProto.FLOAT, output=output)
    if intrinsic.decoding == "unit":
        n = g.op("Sub", g.op("Mul", u, g.constant(2.0)), g.constant(1.0))
        square = g.op("ReduceSum", g.op("Mul", n, n), g.constant([1]), keepdims=1)
        return g.op("Div", n, g.op("Sqrt", g.op("Add", square, g.constant(UNIT_EPS))), output=output)
    share = u
    if intrinsic.decoding == "inverse":
        share = g.op("Sub", g.constant(1.0), u)
    elif intrinsic.decoding == "linear":
        threshold = g.constant(0.04045)
        low = g.op("Div", u, g.constant(12.92))
        base = g.op("Div", g.op("Add", g.op("Max", u, threshold), g.constant(0.055)), g.constant(1.055))
        share = g.op("Where", g.op("LessOrEqual", u, threshold), low, g.op("Pow", base, g.constant(2.4)))
    if intrinsic.high - intrinsic.low != 1:
        share = g.op("Mul", share, g.constant(float(intrinsic.high - intrinsic.low)))
    if intrinsic.low != 0:
        share = g.op("Add", share, g.constant(float(intrinsic.low)))
    return g.op("Identity", share, output=output)


def _normalise_second_moment(g: GraphBuilder, x: str) -> str:
    mean = g.op("ReduceMean", g.op("Mul", x, x), g.constant([1]), keepdims=1)
    return g.op("Div", x, g.op("Sqrt", g.op("Add", mean, g.constant(1e-8))))


def _digest(prefix: str, *arrays: Array) -> str:
    digest = hashlib.sha256(prefix.encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
