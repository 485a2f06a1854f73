"""The YAML description of an ONNX model: the preprocessing of pictures, and the meaning of the outputs.

    file: omnidata-normal.onnx      # beside the YAML
    name: Omnidata v2               # optional, like every key that has a default here
    loops: false                    # true allows the operators Loop and Scan, which can run for ever
    input:
      range: [0, 1]                 # values of black and white pixels: [0, 255], [-1, 1] ...
      mean: [0.485, 0.456, 0.406]   # subtracted, in that range and in the order of `channels`; default: 0
      std: [0.229, 0.224, 0.225]    # then divided by; default: 1
      size: 384                     # side, or [height, width], that pictures are resized to; default: not resized
      layout: nchw                  # or nhwc
      channels: rgb                 # or bgr
      encoding: srgb                # or linear
    outputs:
      - type: normal
        name: normals               # name of the graph's output; default: its only output
        layout: nchw                # or nhwc, nhw
        range: [0, 1]               # raw values of components -1 and 1
        axes: [right, up, viewer]   # directions of the raw channels; also left, down, away

The `reading` of a type in sgi.engine.intrinsics.INTRINSICS determines its keys (`READINGS`): depth has `says`
(disparity, relative, or distance with `far`, the distance that becomes 1); albedo and shading have `range`, `encoding`
(srgb or linear) and `scale` (fixed or free); segmentation has `says` (logits, probabilities or labels) and `classes`;
edges, masks and types of your own have `range`, or `says: logits`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sgi.engine.errors import UserError
from sgi.engine.intrinsics import find_row
from sgi.trainer.yaml_file import read_mapping

AXES = {"right": (0, 1), "left": (0, -1), "up": (1, 1), "down": (1, -1), "viewer": (2, 1), "away": (2, -1)}
"""Direction -> our axis and its sign."""
_LAYOUTS = ("nchw", "nhwc")
_ENCODINGS = ("srgb", "linear")
_COMMON = ("type", "name", "layout")


@dataclass(frozen=True)
class Reading:
    """Meaning of a raw output: its keys in the YAML file, and their choices and defaults (a first choice is one)."""

    keys: tuple[str, ...]
    says: tuple[str, ...] = ("codes", "logits")
    range: tuple[float, float] = (0.0, 1.0)
    encodings: tuple[str, ...] = _ENCODINGS


READINGS = {
    "codes": Reading(("range", "says")),
    "distance": Reading(("says", "far"), says=("disparity", "relative", "distance")),
    "direction": Reading(("range", "axes"), range=(-1.0, 1.0)),
    "reflectance": Reading(("range", "encoding", "scale")),
    "light": Reading(("range", "encoding", "scale"), encodings=_ENCODINGS[::-1]),
    "classes": Reading(("says", "classes"), says=("logits", "probabilities", "labels")),
}
"""Name -> reading; a row of sgi.engine.intrinsics.INTRINSICS names one, and user-defined types have `codes`."""


@dataclass(frozen=True)
class Input:
    """How pictures are preprocessed; see the module. size: (height, width) or None."""

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
    """The meaning of one output; see the module. Fields that do not apply to its type have their defaults."""

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

    @property
    def reading(self) -> str:
        """The type's key of `READINGS`."""
        return _reading(self.type)


@dataclass(frozen=True)
class Description:
    """A parsed YAML file. file: path of the model. title: its name in reports. loops: whether loops are allowed."""

    file: Path
    title: str
    input: Input
    outputs: tuple[Output, ...]
    loops: bool = False


def read_description(path: str | Path, parameter: str) -> Description:
    """The description in a YAML file; raises UserError, naming file and key, for any invalid value.

    parameter: reference to the file in messages.
    """
    values = read_mapping(path, parameter, "teachers")
    if values is None:
        raise UserError(f"{parameter}: not a description of a model; file, input and outputs are needed")
    top = _Section(parameter, values, ("file", "name", "loops", "input", "outputs"))
    outputs = values.get("outputs")
    if not (isinstance(outputs, list) and outputs and all(isinstance(output, dict) for output in outputs)):
        raise UserError(f"{parameter}: outputs: must be a list of mappings, each with a type")
    found = tuple(_output(parameter, output) for output in outputs)
    types = [output.type for output in found]
    if len(set(types)) < len(types):
        raise UserError(f"{parameter}: outputs: a type is listed twice ({', '.join(types)})")
    file = Path(path).parent / top.text("file", None)
    if not file.is_file():
        raise UserError(f"{parameter}: file: no such file {file}")
    section = values.get("input", {})
    if not isinstance(section, dict):
        raise UserError(f"{parameter}: input: must be a mapping")
    loops = values.get("loops", False)
    if not isinstance(loops, bool):
        raise UserError(f"{parameter}: loops: must be true or false")
    return Description(file, top.text("name", file.stem), _input(parameter, section), found, loops)


class _Section:
    """One mapping of the file: validated values with defaults."""

    def __init__(self, where: str, values: Mapping[Any, Any], known: Sequence[str]) -> None:
        self.where = where
        self.values = values
        for key in values:
            if key not in known:
                raise UserError(f"{where}: {key}: unknown key; choose from {', '.join(known)}")

    def text(self, key: str, default: str | None) -> str:
        value = self.values.get(key, default)
        if not (isinstance(value, str) and value):
            raise UserError(f"{self.where}: {key}: must be text")
        return value

    def choice(self, key: str, choices: Sequence[str]) -> str:
        """One of `choices`; the first is the default."""
        value = self.values.get(key, choices[0])
        if value not in choices:
            raise UserError(f"{self.where}: {key}: {value}: choose from {', '.join(choices)}")
        return str(value)

    def numbers(self, key: str, count: int, default: Sequence[float]) -> tuple[float, ...]:
        value = self.values.get(key, list(default))
        if not (isinstance(value, list) and len(value) == count and all(map(_finite, value))):
            raise UserError(f"{self.where}: {key}: must be a list of {count} numbers")
        return tuple(float(number) for number in value)

    def span(self, default: Sequence[float]) -> tuple[float, float]:
        low, high = self.numbers("range", 2, default)
        if low == high:
            raise UserError(f"{self.where}: range: its ends must differ")
        return low, high


def _input(parameter: str, values: Mapping[str, Any]) -> Input:
    known = ("range", "mean", "std", "size", "layout", "channels", "encoding")
    section = _Section(f"{parameter}: input", values, known)
    size = values.get("size")
    if isinstance(size, int) and not isinstance(size, bool):
        size = [size, size]
    valid = (
        isinstance(size, list) and len(size) == 2 and all(type(side) is int and 0 < side <= 1 << 14 for side in size)
    )
    if size is not None and not valid:
        raise UserError(f"{parameter}: input: size: must be a number of pixels, or [height, width]")
    std = section.numbers("std", 3, (1.0, 1.0, 1.0))
    if 0 in std:
        raise UserError(f"{parameter}: input: std: must not be 0")
    return Input(
        *section.span((0.0, 1.0)),
        section.numbers("mean", 3, (0.0, 0.0, 0.0)),
        std,
        (size[0], size[1]) if isinstance(size, list) else None,
        section.choice("layout", _LAYOUTS),
        section.choice("channels", ("rgb", "bgr")),
        section.choice("encoding", _ENCODINGS),
    )


def _output(parameter: str, values: Mapping[Any, Any]) -> Output:
    kind = values.get("type")
    if not (isinstance(kind, str) and kind):
        raise UserError(f"{parameter}: outputs: each needs a type")
    reading = READINGS[_reading(kind)]
    section = _Section(f"{parameter}: {kind}", values, (*_COMMON, *reading.keys))
    says = section.choice("says", reading.says)
    far = values.get("far")
    if (says == "distance") != (far is not None) or (far is not None and not (_finite(far) and far > 0)):
        raise UserError(f"{parameter}: {kind}: far: must be a positive number with `says: distance`, and only there")
    classes = values.get("classes", [])
    if not (isinstance(classes, list) and all(isinstance(label, str) and label for label in classes)):
        raise UserError(f"{parameter}: {kind}: classes: must be a list of names")
    if "classes" in reading.keys and len(classes) < 2:
        raise UserError(f"{parameter}: {kind}: classes: must name at least 2")
    low, high = section.span(reading.range)
    return Output(
        type=kind,
        name=section.text("name", None) if "name" in values else None,
        layout=section.choice("layout", (*_LAYOUTS, "nhw")),
        low=low,
        high=high,
        says=says,
        far=float(far) if far is not None else math.inf,
        axes=_axes(f"{parameter}: {kind}", values.get("axes", ["right", "up", "viewer"])),
        encoding=section.choice("encoding", reading.encodings),
        scale=section.choice("scale", ("fixed", "free")),
        classes=tuple(classes),
    )


def _reading(type_name: str) -> str:
    row = find_row(type_name)
    return row.reading if row else "codes"


def _axes(where: str, value: Any) -> tuple[str, ...]:
    known = (
        isinstance(value, list) and len(value) == 3 and all(isinstance(name, str) and name in AXES for name in value)
    )
    if not known or len({AXES[name][0] for name in value}) < 3:
        raise UserError(f"{where}: axes: must be three of {', '.join(AXES)}, one of each pair")
    return tuple(value)


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
