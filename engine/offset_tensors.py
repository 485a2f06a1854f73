"""The tensors of an offset in each space, and their arithmetic.

A style is s = A w + b. With an offset it is (A + U V) w + (A d + b + e): d is a row of w+, e a shift of the style, and
U V a low-rank update. A space has some of these terms. The result is linear in d, e and U, so offsets can be scaled and
added, and they can be baked into A and b, where they cost nothing at run time. Torch-free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Tensors = Mapping[str, Array]

# Each space contains the offsets of the spaces before it.
SPACES = ("w", "w+", "style", "lora")
ROWS = "offset"


class LayerShape(NamedTuple):
    """A layer with a style: its state-dict name, its row of w+, and the length I of the style."""

    name: str
    row: int
    inputs: int


class StyledConfig(Protocol):
    """The sizes of a generator that offsets depend on; `GeneratorConfig` has them."""

    @property
    def num_ws(self) -> int: ...
    @property
    def w_dim(self) -> int: ...
    def styled_layers(self) -> Sequence[LayerShape]: ...


class LoraKeys(NamedTuple):
    """Names of the low-rank tensors of a layer: up U [I, r], down V [r, w_dim], bias e [I]."""

    down: str
    up: str
    bias: str


def style_key(layer: str) -> str:
    """Name of the shift of the style of a layer, e [I]."""
    return f"style.{layer}"


def lora_keys(layer: str) -> LoraKeys:
    """Names of the low-rank tensors of a layer."""
    return LoraKeys(*(f"lora.{layer}.{part}" for part in LoraKeys._fields))


def mismatch(
    tensors: Mapping[str, Any], space: str, layers: Sequence[LayerShape], num_ws: int, w_dim: int
) -> str | None:
    """The first tensor that is missing, unknown or of a wrong shape, in words; None if all match the generator.

    w: `offset` [1, w_dim]. w+: `offset` [num_ws, w_dim]. style: `style.<layer>` [I] for some layers. lora:
    `lora.<layer>.down` [r, w_dim], `.up` [I, r] and `.bias` [I] for some layers. style and lora can also contain the
    tensors of the spaces before them, as sums of offsets do.
    """
    allowed: dict[str, list[tuple[int, ...]]] = {ROWS: [(1, w_dim), (num_ws, w_dim)]}
    if space in ("w", "w+"):
        allowed = {ROWS: [(1 if space == "w" else num_ws, w_dim)]}
        if ROWS not in tensors:
            return f"no tensor {ROWS}"
    for layer in layers if space in ("style", "lora") else ():
        allowed[style_key(layer.name)] = [(layer.inputs,)]
        keys = lora_keys(layer.name)
        if space == "lora" and any(key in tensors for key in keys):
            missing = [key for key in keys if key not in tensors]
            if missing:
                return f"no tensor {missing[0]}"
            rank = max(tensors[keys.up].shape[-1:], default=0)
            allowed |= {
                keys.down: [(rank, w_dim)],
                keys.up: [(layer.inputs, rank)],
                keys.bias: [(layer.inputs,)],
            }
    for name, tensor in tensors.items():
        if name not in allowed:
            return f"a tensor {name}, which does not exist in space {space} of this generator"
        if tuple(tensor.shape) not in allowed[name]:
            return f"{name} of shape {list(tensor.shape)} where the generator needs {list(allowed[name][-1])}"
    return None


def scaled(tensors: Tensors, alpha: float) -> dict[str, Array]:
    """Tensors of an offset multiplied by alpha."""
    return {
        name: tensor.copy() if name.startswith("lora.") and name.endswith(".down") else tensor * np.float32(alpha)
        for name, tensor in tensors.items()
    }


def added(one: Tensors, other: Tensors) -> dict[str, Array]:
    """Tensors of the sum of two offsets; the rank of a low-rank update is the sum of both ranks."""
    total = {name: tensor.copy() for name, tensor in one.items()}
    for name, tensor in other.items():
        if name not in total:
            total[name] = tensor.copy()
        elif name.startswith("lora.") and name.endswith((".down", ".up")):
            total[name] = np.concatenate([total[name], tensor], axis=0 if name.endswith(".down") else 1)
        else:
            total[name] = total[name] + tensor
    return total
