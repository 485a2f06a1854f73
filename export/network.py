"""A lowered generator as ONNX nodes: the mapping once, then one synthesis branch per type over shared weights.

With one branch per type a runtime can skip the types that are not requested. Branches with equal affine layers up to
some layer share the nodes of these layers (offsets that were fitted from a later row of w+ on).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sgi.engine.generator.layers import LRELU_SLOPE
from sgi.export.bake import Baked
from sgi.export.graph import GraphBuilder
from sgi.export.lower import Lowered
from sgi.export.onnx_layers import LayerEmitter
from sgi.export.precision import Precision

Array = NDArray[np.float32]
Affines = Mapping[str, Baked]


def emit_w(g: GraphBuilder, lowered: Lowered, z: str, label: str | None) -> str:
    """Emit w [N, w_dim] from z [N, z_dim] and, for conditional generators, label [N, c_dim]; returns its name."""
    x = _normalise_second_moment(g, z)
    if lowered.embed is not None and label is not None:
        y = g.op("Gemm", label, g.constant(lowered.embed.weight, "mapping.embed"), g.constant(lowered.embed.bias))
        x = g.op("Concat", x, _normalise_second_moment(g, y), axis=1)
    for i, layer in enumerate(lowered.mapping):
        weight, bias = g.constant(layer.weight, f"mapping.fc{i}.weight"), g.constant(layer.bias, f"mapping.fc{i}.bias")
        x = g.op("LeakyRelu", g.op("Gemm", x, weight, bias), alpha=LRELU_SLOPE, stem=f"mapping.fc{i}")
    return x


def emit_truncated(g: GraphBuilder, lowered: Lowered, w: str, psi: str) -> str:
    """Emit the truncation w_avg + psi (w - w_avg), [N, w_dim]; returns its name."""
    average = g.constant(lowered.w_avg, "w_avg")
    return g.op("Add", average, g.op("Mul", psi, g.op("Sub", w, average)), stem="w_truncated")


def emit_ignored(g: GraphBuilder, w: str, psi: str) -> str:
    """Emit w + clip(psi, 0, 0), which is w [N, w_dim], for a model that truncates no row of w+; returns its name.

    Runtimes remove an input that no output depends on, and callers pass psi to every model.
    """
    zero = g.constant(0.0)
    return g.op("Add", w, g.op("Clip", psi, zero, zero), stem="w_whole")


class Synthesiser:
    """Emits synthesis branches; layers with equal inputs and styles are emitted once.

    w, truncated: names of values [N, w_dim]. Rows of w+ before `cutoff` use truncated, later rows use w; with cutoff
    None all rows use truncated.
    """

    def __init__(
        self, g: GraphBuilder, lowered: Lowered, w: str, truncated: str, cutoff: int | None, precision: Precision
    ) -> None:
        self.g = g
        self.lowered = lowered
        limit = lowered.config.num_ws if cutoff is None else cutoff
        layers = lowered.layers()
        # Rows of w+ never decrease along the layers, so both groups keep the order of the layers.
        self._groups = [
            (truncated, [layer.name for layer in layers if layer.row < limit]),
            (w, [layer.name for layer in layers if layer.row >= limit]),
        ]
        self.layers = LayerEmitter(g, precision, lowered.config.conv_clamp)
        # Digest of inputs and affine layers -> name of the emitted value.
        self._emitted: dict[str, str] = {}

    def emit(self, affines: Affines, channels: int) -> str:
        """Emit the raw picture [N, channels, R, R] for the styles of `affines`; one channel is the mean over RGB."""
        g, lowered = self.g, self.lowered
        # The mean commutes with sums and filters, but not with a clamp: with a clamp it is taken at the end.
        fold = channels == 1 and lowered.config.conv_clamp is None
        styles = self._styles(affines)
        prefix = ""
        x = self.layers.input(lowered.const)
        img: str | None = None
        for block in lowered.blocks:
            for conv in (block.conv0, block.conv1):
                if conv is not None:
                    prefix = _digest(prefix, *affines[conv.name])
                    x = self._emitted.get(prefix) or self.layers.conv(x, styles[conv.name], conv)
                    self._emitted[prefix] = x
            rgb = block.rgb.mean() if fold else block.rgb
            key = _digest(f"{prefix}{fold}{img}", *affines[rgb.name])
            img = self._emitted.get(key) or self.layers.rgb(x, styles[rgb.name], rgb, img)
            self._emitted[key] = img
        assert img is not None
        if channels == 1 and not fold:
            img = g.op("ReduceMean", img, g.constant([1]), keepdims=1)
        return img

    def _styles(self, affines: Affines) -> dict[str, str]:
        """Layer name -> style [N, I], with one addition and one split."""
        names = [layer.name for layer in self.lowered.layers()]
        bias = self.g.constant(np.concatenate([affines[name].bias for name in names]), "affine.bias")
        styles = self.g.op("Add", self._products(affines), bias)
        sizes = [len(affines[name].bias) for name in names]
        return dict(zip(names, self.g.split(styles, sizes, [f"{name}.style" for name in names], axis=1), strict=True))

    def _products(self, affines: Affines) -> str:
        """The products A w of all layers, concatenated to [N, sum of I]; types with equal matrices share the value."""
        g = self.g
        key = _digest("products", *(affines[name].weight for _, group in self._groups for name in group))
        if key not in self._emitted:
            parts = []
            for source, group in self._groups:
                if group:
                    matrix = g.constant(
                        np.concatenate([affines[name].weight for name in group], axis=1), "affine.weight"
                    )
                    parts.append(g.op("MatMul", source, matrix))
            self._emitted[key] = parts[0] if len(parts) == 1 else g.op("Concat", *parts, axis=1)
        return self._emitted[key]


def _normalise_second_moment(g: GraphBuilder, x: str) -> str:
    mean = g.op("ReduceMean", g.op("Mul", x, x), g.constant([1]), keepdims=1)
    return g.op("Div", x, g.op("Sqrt", g.op("Add", mean, g.constant(1e-8))))


def _digest(prefix: str, *arrays: Array) -> str:
    digest = hashlib.sha256(prefix.encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
