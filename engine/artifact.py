"""The description of an exported model: `Artifact`, JSON inside the .onnx or beside an engine.

Exporters write it, and everything that runs a model reads it. An .onnx contains the JSON in its metadata property
`sgi_engine`; formats without metadata (`X.engine`, `X.plan`) have it in a file `X.json` beside them. Torch-free.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from sgi.engine import intrinsics
from sgi.engine.arguments import PSI_LIMIT, names_of_types
from sgi.engine.budget import check_regular, parse_json, read_text
from sgi.engine.errors import UserError, one_line
from sgi.engine.foreign_file import foreign
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.onnx_wire import NotOnnxError, read_metadata

FORMAT = 1
METADATA_KEY = "sgi_engine"
ONNX_SUFFIX = ".onnx"
SIDECAR_SUFFIXES = (".engine", ".plan")
NOISE_MODES = ("none", "const")
NOISE_CHOICES = (*NOISE_MODES, "random")  # of an export: random noise is drawn from a seed and stored, so it is const
PRECISIONS = ("fp32", "fp16", "bf16")
MAX_RESOLUTION = 1024  # of a generator
MAX_DIM = 1 << 20
MAX_TYPES = 64
INPUTS = ("z", "w", "w+")
"""What a model can take: z before the mapping network, one w for each image, or w+, one w for each row."""
_LEAST_WEIGHT_BYTES = 2
"""Each element of a row of an input has at least one weight, in float16 or bfloat16."""
_SIZES = {"z": "z_dim", "label": "c_dim", "w": "w_dim", "ws": "w_dim"}
_SHA256 = re.compile(r"[0-9a-f]{64}")
_EXPORT_AGAIN = "export it again with `sgi-engine export`"


@dataclass(frozen=True)
class Artifact:
    """The description of a model.

    sgi_version: version of sgi-engine that wrote it. resolution: R, the side of the maps in pixels.
    z_dim, c_dim: sizes of the latent z and of the label; c_dim is 0 without classes.
    psi: truncation used when the caller gives none; cutoff: rows of w+ that are truncated, None for all. A model that
    takes w or w+ does not truncate: both then describe how its offsets were fitted.
    noise_mode: none or const; precision: fp32, fp16 or bf16; opset: of the ONNX graph, 0 for a model without one.
    types: the outputs, `name` [N, channels, R, R] float32 each, in the model's order.
    generator: {"sha256": ..., more}, with "noise_seed" where the noise was drawn from a seed.
    offsets: {type: {"sha256": ..., more}}.
    parity: differences from torch as the export measured them.
    graph_sha256: checksum of the ONNX graph with its weights (`sgi.engine.model_file.graph_sha256`), which backends
    compare when they open the file; None in files of older versions.
    input: z, w or w+ (`INPUTS`), see `inputs`. w_dim: size of w; None in files that take z.
    format: version of this description.

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
    graph_sha256: str | None = None
    input: str = "z"
    w_dim: int | None = None
    format: int = FORMAT

    def __post_init__(self) -> None:
        object.__setattr__(self, "types", tuple(self.types))
        limits = {
            "resolution": (4, MAX_RESOLUTION),
            "z_dim": (1, MAX_DIM),
            "c_dim": (0, MAX_DIM),
            "opset": (0, MAX_DIM),
        }
        for name, (least, most) in limits.items():
            _require(least <= getattr(self, name) <= most, name)
        _require(self.resolution & (self.resolution - 1) == 0, "resolution")
        _require(-PSI_LIMIT <= self.psi <= PSI_LIMIT, "psi")
        _require(self.input in INPUTS, "input")
        _require(self.input == "z" if self.w_dim is None else 1 <= self.w_dim <= MAX_DIM, "w_dim")
        _require(self.cutoff is None or 0 <= self.cutoff <= MAX_DIM, "cutoff")
        _require(self.noise_mode in NOISE_MODES, "noise_mode")
        _require(self.precision in PRECISIONS, "precision")
        _require(0 < len(self.types) <= MAX_TYPES and len(set(self.type_names)) == len(self.types), "types")
        _require(all(output.classes or output.decoding != "palette" for output in self.types), "types: classes")
        _require(self.graph_sha256 is None or bool(_SHA256.fullmatch(self.graph_sha256)), "graph_sha256")
        _require(_has_sha256(self.generator), "generator.sha256")
        _require(set(self.offsets) <= set(self.type_names), "offsets")
        for name, offset in self.offsets.items():
            _require(_has_sha256(offset), f"offsets.{name}.sha256")

    @property
    def type_names(self) -> tuple[str, ...]:
        """Names of the outputs, in the order of the model."""
        return tuple(output.name for output in self.types)

    @property
    def num_ws(self) -> int:
        """Rows of w+: two for each resolution from 4 px up."""
        return 2 * self.resolution.bit_length() - 4

    @property
    def inputs(self) -> dict[str, tuple[int | None, ...]]:
        """Inputs of the model, name -> shape, None for the batch: `z`, `psi` and, with classes, `label`; `w`; or `ws`.

        The latent is the first. w and w+ are after the mapping network and after truncation.
        """
        if self.input == "w":
            return {"w": (None, self.w_dim)}
        if self.input == "w+":
            return {"ws": (None, self.num_ws, self.w_dim)}
        label: dict[str, tuple[int | None, ...]] = {"label": (None, self.c_dim)} if self.c_dim else {}
        return {"z": (None, self.z_dim), "psi": (), **label}

    def output(self, name: str) -> Intrinsic:
        """The type of an output; raises KeyError if the model has none of that name."""
        return {output.name: output for output in self.types}[name]

    def choose_types(self, wanted: str | Iterable[str] | None) -> tuple[str, ...]:
        """The wanted types (None: all, a string: one) in the order of the model; raises UserError for another type."""
        names = names_of_types(wanted)
        if names is None:
            return self.type_names
        for name in names:
            if name not in self.type_names:
                raise UserError(f"`types={name}`: the model has {', '.join(self.type_names)}{_how_to_add(name)}")
        return tuple(name for name in self.type_names if name in names)

    def warn_of_class(self, types: Iterable[str] | None, classes: Iterable[int], stacklevel: int = 2) -> None:
        """Warn if the offset of one of the types (None: all) was fitted on one class, and `classes` has another."""
        wanted = sorted({int(index) for index in classes})
        fitted = {name: self.offsets.get(name, {}).get("class_index") for name in types or self.type_names}
        wrong = [f"{name} on class {i}" for name, i in fitted.items() if i is not None and wanted not in ([], [i])]
        if wrong:
            warnings.warn(
                f"`class_index={','.join(map(str, wanted))}`: an offset was fitted on another class "
                f"({', '.join(wrong)}); such maps are not verified",
                stacklevel=stacklevel + 1,
            )

    def check_noise_mode(self, noise_mode: str) -> None:
        """Raise UserError unless the model has this noise: none, const, or random, which is const from a seed."""
        if noise_mode not in NOISE_CHOICES:
            raise UserError(f"`noise_mode={one_line(noise_mode)}`: choose from {', '.join(NOISE_CHOICES)}")
        own = "random" if "noise_seed" in self.generator else self.noise_mode
        if noise_mode != own and (noise_mode, own) != ("const", "random"):
            seed = " --noise-seed 0" if noise_mode == "random" else ""
            raise UserError(
                f"`noise_mode={noise_mode}`: the noise is fixed at export, and this model has {own}; make "
                f"another with `sgi-engine export --noise-mode {noise_mode}{seed}`"
            )

    def to_json(self) -> str:
        """The description as one line of JSON with sorted keys; that of a model that takes z has no `input`."""
        values = asdict(self)
        if self.input == "z":  # as versions without other inputs wrote it
            del values["input"], values["w_dim"]
        return json.dumps(values, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Artifact:
        """Read the text that `to_json` wrote; unknown fields are ignored.

        Raises UserError for another format version, and for missing and wrong fields.
        """
        try:
            values = parse_json(text, finite=False)  # the fields that count are checked one by one
        except ValueError as error:
            raise UserError(f"its description is not JSON ({one_line(str(error), 80)}); {_EXPORT_AGAIN}") from None
        _require(isinstance(values, dict), "the top level")
        found = values.get("format")
        if found != FORMAT:
            raise UserError(
                f"its description has format {one_line(str(found), 40)}, this version reads {FORMAT}: "
                "upgrade sgi-engine"
            )
        types = values.get("types")
        _require(isinstance(types, list), "types")
        try:
            msgspec.convert(values, _Facts)
            return msgspec.convert({**values, "types": tuple(_output(entry) for entry in types)}, cls)
        except msgspec.ValidationError as error:
            raise UserError(f"its description is wrong ({error}); {_EXPORT_AGAIN}") from None

    @classmethod
    def read(cls, path: str | Path) -> Artifact:
        """Read the description of an exported model without loading a runtime.

        Raises UserError if the file is missing, truncated, no model, or a model without sgi-engine metadata.
        """
        path = Path(path)
        try:
            text = _sidecar_text(path) if path.suffix in SIDECAR_SUFFIXES else _metadata_text(path)
        except FileNotFoundError:
            raise UserError(f"{path}: no such file") from None
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from None
        try:
            artifact = cls.from_json(text)
            size = path.stat().st_size
            for name, shape in artifact.inputs.items() if path.suffix == ONNX_SUFFIX else ():
                _require(not shape or (shape[-1] or 0) * _LEAST_WEIGHT_BYTES <= size, _SIZES.get(name, name))
            return artifact
        except UserError as error:
            raise UserError(f"{path}: {error}") from None


def _how_to_add(name: str) -> str:
    """The commands that make a model with a built-in type; nothing for another name, such as a misspelt one."""
    if intrinsics.find(name) in (None, intrinsics.INTRINSICS[intrinsics.IMAGE]):
        return ""
    return (
        f"; for {name}, fit an offset with `sgi-engine train --type {name}` and make another model with "
        f"`sgi-engine export --type {name} --offset {name}.safetensors`"
    )


class _Parity(msgspec.Struct):
    """The part of `Artifact.parity` that reports read."""

    runtimes: dict[str, dict[str, dict[str, Any]]] = {}
    left_out: dict[str, str] = {}
    seeds: int = 0


class _Facts(msgspec.Struct):
    parity: _Parity = msgspec.field(default_factory=_Parity)


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
        what = foreign(path)
        reason = f"not an ONNX model but {what}" if what else f"{error}; copy it again"
        raise UserError(f"{path}: {reason}, or {_EXPORT_AGAIN}") from None
    if text is None:
        raise UserError(f"{path}: a model without sgi-engine metadata; {_EXPORT_AGAIN}")
    return text


def _sidecar_text(path: Path) -> str:
    check_regular(path)
    sidecar = path.with_suffix(".json")
    if not sidecar.is_file():
        raise UserError(f"{path}: its description {sidecar.name} is not beside it; copy it too or {_EXPORT_AGAIN}")
    try:
        return read_text(sidecar)
    except UnicodeDecodeError:
        raise UserError(f"{sidecar}: not JSON; {_EXPORT_AGAIN}") from None


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise UserError(f"its description is wrong at {what}; {_EXPORT_AGAIN}")


def _has_sha256(entry: dict[str, Any]) -> bool:
    sha256 = entry.get("sha256")
    return isinstance(sha256, str) and bool(_SHA256.fullmatch(sha256))
