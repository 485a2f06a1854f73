"""What the tensors of each space mean, and their arithmetic.

Styles are s = A w + b. An offset, whatever its space, makes them (A + U V) w + (A d + b + e): d is a row of w+, e a
shift of the style, U V an update of low rank, each of them absent where the space has none. Everything is linear in
d, e and U, so offsets scale, add up, and cost nothing once A and b have absorbed them. Torch-free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Tensors = Mapping[str, Array]

# From the narrowest: what an offset of one space shows, the later ones can show too.
SPACES = ("w", "w+", "style", "lora")
ROWS = "offset"


class LayerShape(NamedTuple):
    """A layer that takes a style: its state-dict name, the row of w+ that feeds it, and the style's length I."""

    name: str
    row: int
    inputs: int


class StyledConfig(Protocol):
    """What an offset must know of a generator; `GeneratorConfig` is one."""

    @property
    def num_ws(self) -> int: ...
    @property
    def w_dim(self) -> int: ...
    def styled_layers(self) -> Sequence[LayerShape]: ...


class LoraKeys(NamedTuple):
    """Names of a layer's low-rank tensors: up U [I, r], down V [r, w_dim], bias e [I]."""

    down: str
    up: str
    bias: str


def style_key(layer: str) -> str:
    """Name of the shift of a layer's style, e [I]."""
    return f"style.{layer}"


def lora_keys(layer: str) -> LoraKeys:
    """Names of the low-rank tensors of a layer."""
    return LoraKeys(*(f"lora.{layer}.{part}" for part in LoraKeys._fields))


def mismatch(
    tensors: Mapping[str, Any], space: str, layers: Sequence[LayerShape], num_ws: int, w_dim: int
) -> str | None:
    """What is wrong with tensors of a space on a generator of these layers, or None.

    w: `offset` [1, w_dim]. w+: `offset` [num_ws, w_dim]. style: `style.<layer>` [I] of any layers. lora:
    `lora.<layer>.down` [r, w_dim], `.up` [I, r] and `.bias` [I] of any layers. style and lora may hold the tensors of
    the spaces before them besides, as sums do.
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
            return f"a tensor {name}, for which space {space} on this generator has no place"
        if tuple(tensor.shape) not in allowed[name]:
            return f"{name} of shape {list(tensor.shape)} where the generator needs {list(allowed[name][-1])}"
    return None


def scaled(tensors: Tensors, alpha: float) -> dict[str, Array]:
    """Tensors that move every style alpha times as far."""
    return {
        name: tensor.copy() if name.startswith("lora.") and name.endswith(".down") else tensor * np.float32(alpha)
        for name, tensor in tensors.items()
    }


def added(one: Tensors, other: Tensors) -> dict[str, Array]:
    """Tensors that move every style as far as both together; a low-rank update has the sum of both ranks."""
    total = {name: tensor.copy() for name, tensor in one.items()}
    for name, tensor in other.items():
        if name not in total:
            total[name] = tensor.copy()
        elif name.startswith("lora.") and name.endswith((".down", ".up")):
            total[name] = np.concatenate([total[name], tensor], axis=0 if name.endswith(".down") else 1)
        else:
            total[name] = total[name] + tensor
    return total
