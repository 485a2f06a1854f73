"""What a user's YAML says of an ONNX model: how pictures go in, and what its outputs mean.

    file: omnidata-normal.onnx      # beside the YAML
    name: Omnidata v2               # optional, as is everything that has a usual value here
    input:
      range: [0, 1]                 # what black and white pixels are: [0, 255], [-1, 1] ...
      mean: [0.485, 0.456, 0.406]   # taken off, in that range and the order of `channels`, and
      std: [0.229, 0.224, 0.225]    # divided by; usual: 0 and 1
      size: 384                     # side, or [height, width], that pictures are resized to; usual: as they are
      layout: nchw                  # or nhwc
      channels: rgb                 # or bgr
      encoding: srgb                # or linear
    outputs:
      - type: normal
        name: normals               # of the graph's output; usual: its only one
        layout: nchw                # or nhwc, nhw
        range: [0, 1]               # the raw values of -1 and 1
        axes: [right, up, viewer]   # where the raw channels point; also left, down, away

Other types say: depth `says` (disparity, relative, or distance with `far`, the distance that is 1); albedo `range`,
`encoding` (srgb or linear) and `scale` (fixed or free); shading the same, of light; segmentation `says` (logits,
probabilities or labels) and `classes`; edges, masks and types of your own `range`, or `says: logits`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sgi.engine.errors import UserError
from sgi.trainer.yaml_file import read_mapping

AXES = {"right": (0, 1), "left": (0, -1), "up": (1, 1), "down": (1, -1), "viewer": (2, 1), "away": (2, -1)}
"""Our axis and the sign of a direction."""
_LAYOUTS = ("nchw", "nhwc")
_ENCODINGS = ("srgb", "linear")
_COMMON = ("type", "name", "layout")
_KEYS = {
    "depth": ("says", "far"),
    "normal": ("range", "axes"),
    "albedo": ("range", "encoding", "scale"),
    "shading": ("range", "encoding", "scale"),
    "segmentation": ("says", "classes"),
}
_OTHER_KEYS = ("range", "says")
_SAYS = {"depth": ("disparity", "relative", "distance"), "segmentation": ("logits", "probabilities", "labels")}
_OTHER_SAYS = ("codes", "logits")


@dataclass(frozen=True)
class Input:
    """How pictures go in; see the module. size: (height, width) or None."""

    low: float
    high: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: tuple[int, int] | None
    layout: str
    channels: str
    encoding: str


@dataclass(frozen=True)
class Output:
    """What one output means; see the module. Fields that its type has no use for keep their usual values."""

    type: str
    name: str | None
    layout: str
    low: float
    high: float
    says: str
    far: float
    axes: tuple[str, ...]
    encoding: str
    scale: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Description:
    """A YAML file: `file` is the model's path, `title` what reports call it."""

    file: Path
    title: str
    input: Input
    outputs: tuple[Output, ...]


def read_description(path: str | Path, flag: str) -> Description:
    """The description in a YAML file; raises UserError, naming file and key, for anything it does not understand."""
    values = read_mapping(path, flag, "teachers")
    if values is None:
        raise UserError(f"{flag}: describes no model; give file, input and outputs")
    top = _Section(flag, values, ("file", "name", "input", "outputs"))
    outputs = values.get("outputs")
    if not (isinstance(outputs, list) and outputs and all(isinstance(output, dict) for output in outputs)):
        raise UserError(f"{flag}: outputs: must be a list of mappings, each with a type")
    found = tuple(_output(flag, output) for output in outputs)
    types = [output.type for output in found]
    if len(set(types)) < len(types):
        raise UserError(f"{flag}: outputs: a type stands there twice ({', '.join(types)})")
    file = Path(path).parent / top.text("file", None)
    if not file.is_file():
        raise UserError(f"{flag}: file: there is no {file}")
    section = values.get("input", {})
    if not isinstance(section, dict):
        raise UserError(f"{flag}: input: must be a mapping")
    return Description(file, top.text("name", file.stem), _input(flag, section), found)


class _Section:
    """One mapping of the file, whose values are fetched with their usual ones."""

    def __init__(self, where: str, values: Mapping[Any, Any], known: Sequence[str]) -> None:
        self.where = where
        self.values = values
        for key in values:
            if key not in known:
                raise UserError(f"{where}: {key}: not a key here; choose from {', '.join(known)}")

    def text(self, key: str, usual: str | None) -> str:
        value = self.values.get(key, usual)
        if not (isinstance(value, str) and value):
            raise UserError(f"{self.where}: {key}: must be a text")
        return value

    def choice(self, key: str, choices: Sequence[str]) -> str:
        """The usual choice is the first."""
        value = self.values.get(key, choices[0])
        if value not in choices:
            raise UserError(f"{self.where}: {key}: {value}: choose from {', '.join(choices)}")
        return str(value)

    def numbers(self, key: str, count: int, usual: Sequence[float]) -> tuple[float, ...]:
        value = self.values.get(key, list(usual))
        if not (isinstance(value, list) and len(value) == count and all(map(_finite, value))):
            raise UserError(f"{self.where}: {key}: must be a list of {count} numbers")
        return tuple(float(number) for number in value)

    def span(self, usual: Sequence[float]) -> tuple[float, float]:
        low, high = self.numbers("range", 2, usual)
        if low == high:
            raise UserError(f"{self.where}: range: its ends must differ")
        return low, high


def _input(flag: str, values: Mapping[str, Any]) -> Input:
    known = ("range", "mean", "std", "size", "layout", "channels", "encoding")
    section = _Section(f"{flag}: input", values, known)
    size = values.get("size")
    if isinstance(size, int) and not isinstance(size, bool):
        size = [size, size]
    whole = (
        isinstance(size, list) and len(size) == 2 and all(type(side) is int and 0 < side <= 1 << 14 for side in size)
    )
    if size is not None and not whole:
        raise UserError(f"{flag}: input: size: must be a number of pixels, or [height, width]")
    std = section.numbers("std", 3, (1.0, 1.0, 1.0))
    if 0 in std:
        raise UserError(f"{flag}: input: std: must not be 0")
    return Input(
        *section.span((0.0, 1.0)),
        section.numbers("mean", 3, (0.0, 0.0, 0.0)),
        std,
        (size[0], size[1]) if isinstance(size, list) else None,
        section.choice("layout", _LAYOUTS),
        section.choice("channels", ("rgb", "bgr")),
        section.choice("encoding", _ENCODINGS),
    )


def _output(flag: str, values: Mapping[Any, Any]) -> Output:
    kind = values.get("type")
    if not (isinstance(kind, str) and kind):
        raise UserError(f"{flag}: outputs: every one needs a type")
    section = _Section(f"{flag}: {kind}", values, (*_COMMON, *_KEYS.get(kind, _OTHER_KEYS)))
    says = section.choice("says", _SAYS.get(kind, _OTHER_SAYS))
    far = values.get("far")
    if (says == "distance") != (far is not None) or (far is not None and not (_finite(far) and far > 0)):
        raise UserError(f"{flag}: {kind}: far: must be a positive number with `says: distance`, and only there")
    classes = values.get("classes", [])
    if not (isinstance(classes, list) and all(isinstance(label, str) and label for label in classes)):
        raise UserError(f"{flag}: {kind}: classes: must be a list of names")
    if kind == "segmentation" and len(classes) < 2:
        raise UserError(f"{flag}: {kind}: classes: must name at least 2")
    low, high = section.span((-1.0, 1.0) if kind == "normal" else (0.0, 1.0))
    return Output(
        type=kind,
        name=section.text("name", None) if "name" in values else None,
        layout=section.choice("layout", (*_LAYOUTS, "nhw")),
        low=low,
        high=high,
        says=says,
        far=float(far) if far is not None else math.inf,
        axes=_axes(flag, values.get("axes", ["right", "up", "viewer"])),
        encoding=section.choice("encoding", _ENCODINGS if kind != "shading" else _ENCODINGS[::-1]),
        scale=section.choice("scale", ("fixed", "free")),
        classes=tuple(classes),
    )


def _axes(flag: str, value: Any) -> tuple[str, ...]:
    known = (
        isinstance(value, list) and len(value) == 3 and all(isinstance(name, str) and name in AXES for name in value)
    )
    if not known or len({AXES[name][0] for name in value}) < 3:
        raise UserError(f"{flag}: normal: axes: must be three of {', '.join(AXES)}, one of each pair")
    return tuple(value)


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
