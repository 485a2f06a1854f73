"""Labels of conditional models: vectors [N, c_dim] from classes, from weights of classes, or as they are.

A class is the one-hot vector that its images had in training. The graph takes any vector, so a weighted sum of classes
or the zero vector works too, with images between those of the classes at best.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sgi.engine.errors import UserError, WrongTypeError, one_line

ClassIndex = int | Sequence[int] | Mapping[int, float]
"""One class, one for each image, or the weights of classes, {class: weight}, for all images."""

_WEIGHT = re.compile(r"(\d{1,9})\s*:\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)")
_SHOWN = 60  # characters of a wrong text that a message quotes
MIX = "weights of classes such as 3:0.7,5:0.3"
"""How weights are written, for messages."""


def labels_of(
    class_index: ClassIndex | None, count: int, c_dim: int, labels: ArrayLike | None = None
) -> np.ndarray | None:
    """Labels [count, c_dim] float32; None for a model without classes.

    class_index: see `ClassIndex`; classes that weights leave out have weight 0. labels: instead of it, [count, c_dim],
    or [c_dim] for all images.
    Raises UserError for both or neither, for classes that the model does not have, and for labels of another shape or
    with values that are not finite.
    """
    given = {"class_index": class_index, "labels": labels}
    names = [name for name, value in given.items() if value is not None]
    if c_dim == 0:
        if names:
            raise UserError(f"`{names[0]}`: the model has no classes; leave it out")
        return None
    if not names:
        raise UserError(f"`class_index`: the model needs a class, 0 to {c_dim - 1}")
    if len(names) > 1:
        raise UserError("`labels`: give either `class_index` or `labels`, not both")
    if labels is not None:
        return _vectors(labels, count, c_dim)
    if isinstance(class_index, Mapping):
        return np.tile(_weighted(class_index, c_dim), (count, 1))
    return _one_hot(class_index, count, c_dim)


def parse_class(text: str) -> int | dict[int, float]:
    """Parse one class, `3`, or weights of classes, `3:0.7,5:0.3`; raises UserError for anything else."""
    if ":" in text:
        return parse_weights(text)
    if not re.fullmatch(r"\s*\d{1,9}\s*", text):
        raise UserError(f"`class_index={one_line(text, _SHOWN)}`: write one class such as 3, or {MIX}")
    return int(text)


def parse_weights(text: str) -> dict[int, float]:
    """Parse weights of classes, `3:0.7,5:0.3`; raises UserError for anything else."""
    found: dict[int, float] = {}
    for item in text.split(","):
        match = _WEIGHT.fullmatch(item.strip())
        if not match or not np.isfinite(np.float32(match[2])):
            raise UserError(f"`class_index={one_line(text, _SHOWN)}`: write {MIX}")
        if int(match[1]) in found:
            raise UserError(f"`class_index={one_line(text, _SHOWN)}`: class {match[1]} has two weights; write one")
        found[int(match[1])] = float(match[2])
    return found


def one_class(class_index: object) -> bool:
    """Whether `class_index` is one class or the weights of one label, for all images, rather than several."""
    return isinstance(class_index, Mapping) or not isinstance(class_index, Iterable)


def one_label(labels: object) -> bool:
    """Whether `labels` is missing or one vector [c_dim], for all images, rather than several."""
    if isinstance(labels, Sequence):
        return bool(labels) and all(isinstance(value, Real) for value in labels)
    return labels is None or getattr(labels, "ndim", None) == 1


def of_batches(value: Any, one: bool) -> Iterator[Any]:
    """What belongs to each batch: `value` for all of them where it is `one`, else its items."""
    return repeat(value) if one else iter(value)


def of_seeds(name: str, value: Any, one: bool, count: int) -> Callable[[slice], Any]:
    """A function of a slice of `count` seeds to their part of the parameter `name`: `value` where it is `one`.

    Raises UserError unless `value` has an item for each seed otherwise.
    """
    if one:
        return lambda part: value
    items = list(value)
    if len(items) != count:
        what = "classes" if name == "class_index" else name
        raise UserError(f"`{name}`: {len(items)} {what} for {count} seeds; pass one, or one for each")
    return lambda part: items[part]


def _one_hot(class_index: Any, count: int, c_dim: int) -> np.ndarray:
    remedy = f"choose 0 to {c_dim - 1}, one for all images or one each"
    try:
        classes = np.asarray(class_index)
    except ValueError:  # lists of different lengths
        raise WrongTypeError("class_index", class_index, remedy) from None
    if classes.dtype.kind not in "iu":
        raise WrongTypeError("class_index", class_index, remedy)
    if classes.shape not in ((), (count,)) or classes.min() < 0 or classes.max() >= c_dim:
        raise UserError(f"`class_index={one_line(str(class_index), _SHOWN)}`: {remedy}")
    label = np.zeros((count, c_dim), np.float32)
    label[np.arange(count), classes] = 1
    return label


def _weighted(weights: Mapping[int, float], c_dim: int) -> np.ndarray:
    label = np.zeros(c_dim, np.float32)
    if not weights:
        raise UserError("`class_index`: it has no weights; give {class: weight}")
    for index, weight in weights.items():
        if not isinstance(index, Integral) or isinstance(index, bool) or not 0 <= index < c_dim:
            raise UserError(f"`class_index={one_line(str(index), _SHOWN)}`: choose classes from 0 to {c_dim - 1}")
        with np.errstate(over="ignore"):
            value = np.float32(weight) if isinstance(weight, Real) else np.float32(np.nan)
        if not np.isfinite(value):
            raise UserError(f"`class_index`: the weight of class {index} is not a finite number")
        label[index] = value
    return label


def _vectors(labels: ArrayLike, count: int, c_dim: int) -> np.ndarray:
    try:
        given = np.asarray(labels)
    except ValueError:  # rows of different lengths
        raise UserError("`labels`: its rows have different lengths") from None
    if given.dtype.kind not in "biuf":
        raise UserError("`labels`: must be numbers")
    if given.shape not in ((c_dim,), (count, c_dim)):
        raise UserError(
            f"`labels` has shape {list(given.shape)}: the model needs [{count}, {c_dim}], a row for each image, or "
            f"[{c_dim}] for all"
        )
    with np.errstate(over="ignore"):
        vectors = np.array(np.broadcast_to(given, (count, c_dim)), np.float32, order="C")
    if not np.isfinite(vectors).all():
        raise UserError("`labels` contains values that are not finite")
    return vectors
