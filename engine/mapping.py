"""The mapping network of an exported model in NumPy: w+ from z, as the graph of the model computes it.

Source: Karras et al., arXiv 1912.04958 and 1812.04948: z is divided by its root mean square and passed through fully
connected layers with a leaky ReLU; the truncation w_avg + psi (w - w_avg) follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sgi.engine.artifact import Artifact
from sgi.engine.errors import UserError
from sgi.engine.model_file import read_model
from sgi.engine.onnx_graph import Graph, Node, unknown_graph

Array = NDArray[np.float32]
_EPSILON = 1e-8  # added to the mean square of z and of the embedded label


@dataclass(frozen=True)
class Linear:
    """x @ weight + bias, then a leaky ReLU of this slope: weight [in, out], bias [out], float32."""

    weight: Array
    bias: Array
    slope: float = 1.0

    def __call__(self, x: Array) -> Array:
        y = x @ self.weight + self.bias
        return y if self.slope == 1 else np.maximum(y, y * np.float32(self.slope))


@dataclass(frozen=True)
class MappingNetwork:
    """w+ from z and labels.

    embed: layer of the label, None without classes. layers: with all gains folded in. average: w_avg [w_dim]; None for
    a model that truncates nothing. num_ws: rows of w+. cutoff: rows that are truncated, None for all.
    """

    embed: Linear | None
    layers: tuple[Linear, ...]
    average: Array | None
    num_ws: int
    cutoff: int | None

    def __call__(self, z: Array, psi: float, label: Array | None = None) -> Array:
        """ws [N, num_ws, w_dim] float32, truncated, of z [N, z_dim] and label [N, c_dim] float32."""
        x = _normalised(z)
        if self.embed is not None and label is not None:
            x = np.concatenate([x, _normalised(self.embed(label))], axis=1)
        for layer in self.layers:
            x = layer(x)
        ws = np.repeat(x[:, None], self.num_ws, axis=1)
        if self.average is not None:
            truncated = self.average + np.float32(psi) * (x - self.average)
            ws[:, : self.cutoff] = truncated[:, None]
        return ws

    def has_equal_rows(self, psi: float) -> bool:
        """Whether all rows of w+ of an image are equal at this psi."""
        return psi == 1 or self.cutoff is None or not 0 < self.cutoff < self.num_ws


def read_mapping(path: Path) -> MappingNetwork:
    """The mapping network of an .onnx file; raises UserError for a model that takes w or w+, which has none."""
    artifact = Artifact.read(path)
    if artifact.input != "z":
        raise UserError(
            f"{path}: the model takes {artifact.input} and has no mapping network for seeds and z; pass latents, or "
            "make a model with `sgi-engine export --input z`"
        )
    try:
        return mapping_of(read_model(path, artifact), artifact)
    except (UserError, ValueError) as error:
        raise UserError(str(error) if str(path) in str(error) else f"{path}: {error}") from None


def mapping_of(model: bytes, artifact: Artifact) -> MappingNetwork:
    """The mapping network of a model that takes z; raises UserError for a graph that the exporter did not write."""
    graph = Graph(model)
    gemms = [n for n in graph.nodes if n.operator == "Gemm"]  # no other part of the graph has any
    embed = next((n for n in gemms if "label" in n.inputs), None)
    network = MappingNetwork(
        embed=None if embed is None else _linear(graph, embed),
        layers=tuple(_linear(graph, n) for n in gemms if n is not embed),
        average=_average(graph),
        num_ws=artifact.num_ws,
        cutoff=artifact.cutoff,
    )
    widths = [artifact.z_dim, *(len(layer.bias) for layer in network.layers)]
    if network.embed is not None:
        widths[0] += len(network.embed.bias)
    wrong = any(layer.weight.shape[0] != width for layer, width in zip(network.layers, widths, strict=False))
    if not gemms or wrong or (network.embed is None) != (artifact.c_dim == 0):
        raise unknown_graph("the layers of the mapping network")
    return network


def _linear(graph: Graph, gemm: Node) -> Linear:
    if len(gemm.inputs) != 3 or not all(map(graph.has_tensor, gemm.inputs[1:])):
        raise unknown_graph("the weights of the mapping network")
    weight, bias = map(graph.tensor, gemm.inputs[1:])
    if weight.ndim != 2 or bias.shape != weight.shape[1:]:
        raise unknown_graph("the weights of the mapping network")
    activation = next((n for n in graph.readers(gemm.outputs[0]) if n.operator == "LeakyRelu"), None)
    return Linear(weight, bias, 1.0 if activation is None else activation.float_attribute("alpha", 0.01))


def _average(graph: Graph) -> Array | None:
    """w_avg of the product psi (w - w_avg); None if the graph has none."""
    for product in graph.readers("psi"):
        difference = graph.writer(next((name for name in product.inputs if name != "psi"), ""))
        if product.operator != "Mul" or difference is None or difference.operator != "Sub":
            continue
        if len(difference.inputs) == 2 and graph.has_tensor(difference.inputs[1]):
            average: Array = graph.tensor(difference.inputs[1])
            return average
    return None


def _normalised(x: Array) -> Array:
    mean = np.mean(np.square(x), axis=1, keepdims=True, dtype=np.float32)
    normalised: Array = x / np.sqrt(mean + np.float32(_EPSILON))
    return normalised
