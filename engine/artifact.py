"""What an exported model says of itself: `Artifact`, JSON inside the .onnx or beside an engine.

Written by export, read by everything that runs a model; torch-free. The JSON stands in the metadata property
`sgi_engine` of an .onnx, and for formats without metadata (`.engine`, `.plan`) in `X.json` beside the file.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from sgi.engine.errors import UserError
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.onnx_wire import NotOnnxError, read_metadata

FORMAT = 1
METADATA_KEY = "sgi_engine"
ONNX_SUFFIX = ".onnx"
SIDECAR_SUFFIXES = (".engine", ".plan")
NOISE_MODES = ("none", "const")
PRECISIONS = ("fp32", "fp16", "bf16")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_EXPORT_AGAIN = "export it again with `sgi-engine export`"


@dataclass(frozen=True)
class Artifact:
    """A model's description.

    resolution: R, pixels. z_dim, c_dim: sizes of the inputs `z` and `label` (no label if c_dim is 0).
    psi: truncation used when none is asked for; cutoff: rows of w+ it acts on, None for all.
    noise_mode: none or const; precision: fp32, fp16 or bf16; opset: of the ONNX graph it came from, 0 for none.
    types: the outputs, `name` [N, channels, R, R] float32 each.
    generator: {"sha256": ..., more}; offsets: {type: {"sha256": ..., more}}.
    parity: the figures of export's verification.

    Raises UserError for values that no model can have.
    """

    sgi_version: str
    resolution: int
    z_dim: int
    psi: float
    noise_mode: str
    precision: str
    opset: int
    types: tuple[Intrinsic, ...]
    generator: dict[str, Any]
    c_dim: int = 0
    cutoff: int | None = None
    offsets: dict[str, dict[str, Any]] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def __post_init__(self) -> None:
        object.__setattr__(self, "types", tuple(self.types))
        _require(isinstance(self.sgi_version, str), "sgi_version")
        for name, least in (("resolution", 4), ("z_dim", 1), ("c_dim", 0), ("opset", 0)):
            _require(_is_int(getattr(self, name)) and getattr(self, name) >= least, name)
        _require(self.resolution & (self.resolution - 1) == 0, "resolution")
        _require(_is_number(self.psi), "psi")
        _require(self.cutoff is None or (_is_int(self.cutoff) and self.cutoff >= 0), "cutoff")
        _require(self.noise_mode in NOISE_MODES, "noise_mode")
        _require(self.precision in PRECISIONS, "precision")
        _require(len(self.types) > 0 and len(set(self.type_names)) == len(self.types), "types")
        _require(all(output.classes or output.decoding != "palette" for output in self.types), "types: classes")
        _require(_has_sha256(self.generator), "generator.sha256")
        _require(isinstance(self.offsets, dict) and set(self.offsets) <= set(self.type_names), "offsets")
        for name, offset in self.offsets.items():
            _require(_has_sha256(offset), f"offsets.{name}.sha256")
        _require(isinstance(self.parity, dict), "parity")

    @property
    def type_names(self) -> tuple[str, ...]:
        """Names of the outputs, in the model's order."""
        return tuple(output.name for output in self.types)

    def output(self, name: str) -> Intrinsic:
        """The type of an output; raises KeyError if the model has none of that name."""
        return {output.name: output for output in self.types}[name]

    def choose_types(self, wanted: Iterable[str] | None) -> tuple[str, ...]:
        """Put the wanted types (None: all) in the model's order; raises UserError, naming --type."""
        names = self.type_names if wanted is None else tuple(wanted)
        for name in names:
            if name not in self.type_names:
                raise UserError(f"--type {name}: the model has {', '.join(self.type_names)}")
        if not names:
            raise UserError(f"--type: name at least one of {', '.join(self.type_names)}")
        return tuple(name for name in self.type_names if name in names)

    def to_json(self) -> str:
        """The description as JSON text on one line, with its keys sorted."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Artifact:
        """Read `to_json`'s text; raises UserError for another format version or values that make no sense."""
        try:
            values = json.loads(text)
        except ValueError:
            raise UserError("its description is not JSON") from None
        _require(isinstance(values, dict), "the top level")
        found = values.get("format")
        if found != FORMAT:
            raise UserError(f"its description has format {found}, this version reads {FORMAT}: upgrade sgi-engine")
        known = {f.name for f in fields(cls)}
        types = values.get("types")
        _require(isinstance(types, list), "types")
        try:
            values["types"] = tuple(_output(entry) for entry in types)
            return cls(**{name: value for name, value in values.items() if name in known})
        except TypeError as error:
            raise UserError(f"its description lacks a field or has one too many ({error})") from None

    @classmethod
    def read(cls, path: str | Path) -> Artifact:
        """Read the description of an exported model without loading a runtime.

        Raises UserError if the file is missing, cut short, no model, or a model without our metadata.
        """
        path = Path(path)
        try:
            text = _sidecar_text(path) if path.suffix in SIDECAR_SUFFIXES else _metadata_text(path)
        except FileNotFoundError:
            raise UserError(f"{path}: no such file") from None
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from None
        try:
            return cls.from_json(text)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None


def _output(entry: object) -> Intrinsic:
    try:
        return Intrinsic.from_dict(entry)
    except UserError as error:
        raise UserError(f"its description is wrong at {error}; {_EXPORT_AGAIN}") from None


def _metadata_text(path: Path) -> str:
    if path.suffix != ONNX_SUFFIX:
        known = ", ".join((ONNX_SUFFIX, *SIDECAR_SUFFIXES))
        raise UserError(f"{path}: not an exported model ({known}); make one with `sgi-engine export`")
    try:
        text = read_metadata(path).get(METADATA_KEY)
    except NotOnnxError as error:
        raise UserError(f"{path}: {error}; copy it again or {_EXPORT_AGAIN}") from None
    if text is None:
        raise UserError(f"{path}: a model without sgi-engine metadata; {_EXPORT_AGAIN}")
    return text


def _sidecar_text(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(path)
    sidecar = path.with_suffix(".json")
    if not sidecar.is_file():
        raise UserError(f"{path}: its description {sidecar.name} is not beside it; copy it too or {_EXPORT_AGAIN}")
    try:
        return sidecar.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{sidecar}: not JSON; {_EXPORT_AGAIN}") from None


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise UserError(f"its description is wrong at {what}; {_EXPORT_AGAIN}")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _has_sha256(entry: object) -> bool:
    return isinstance(entry, dict) and bool(_SHA256.fullmatch(str(entry.get("sha256", ""))))
