"""The offset file: an offset of one type in a few kilobytes of safetensors, with how it was fitted and scored.

An offset acts only on the generator it was fitted on, so the file contains the generator's hash. Torch-free: the
exporter and `inspect` read these files, the trainer writes them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sgi.engine import intrinsics, offset_tensors
from sgi.engine.arguments import PSI_LIMIT
from sgi.engine.errors import UserError, WrongTypeError
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.tensor_file import FileKind, tensors_sha256

_MOST = 1 << 20
_Count = Annotated[int, msgspec.Meta(ge=0, le=_MOST)]
_Factor = Annotated[float, msgspec.Meta(ge=-_MOST, le=_MOST)]
_Psi = Annotated[float, msgspec.Meta(ge=-PSI_LIMIT, le=PSI_LIMIT)]


class OffsetHeader(msgspec.Struct):
    """The header of an offset file: the fields of `Offset` except its tensors."""

    type: str
    space: str
    generator_sha256: str
    psi: _Psi = 1.0
    cutoff: _Count | None = None
    noise_mode: str = "none"
    teacher: dict[str, Any] = {}
    loss: str = "l1"
    fit: dict[str, Any] = {}
    score: dict[str, Any] = {}
    semantics: dict[str, Any] = {}


class _Part(msgspec.Struct):
    type: str
    alpha: _Factor


class _Fit(msgspec.Struct):
    alpha: _Factor = 1.0
    rank: _Count | None = None
    from_layer: _Count | None = None
    class_index: _Count | None = None
    images: _Count | None = None
    seed: int | None = None
    parts: Annotated[list[_Part], msgspec.Meta(max_length=1000)] = []


class _Score(msgspec.Struct):
    rows: dict[str, dict[str, float | None]] = {}
    best_baseline: str | None = None
    seeds: str | None = None
    teacher: dict[str, Any] | None = None


OFFSET_FILE = FileKind(
    "sgi_offset", 1, OffsetHeader, "an offset", "make one with `sgi-engine train`", {"fit": _Fit, "score": _Score}
)


@dataclass
class Offset:
    """One offset, with how it was fitted and scored.

    type: name of the map it produces. space: w (one row for all layers), w+ (a row for each row of w+), style or lora.
    tensors: float32, as `sgi.engine.offset_tensors.mismatch` describes; they are added after truncation.
    psi, cutoff, noise_mode: the sampling it was fitted under. teacher: name and sha256 of the teacher.
    loss, fit: how it was fitted; score: figures on held-out seeds, of the offset and of the baselines.
    semantics: description of the type (`Intrinsic.to_dict`); empty for a built-in type.

    Raises UserError for an unknown space, and for semantics that are wrong or of another type.
    """

    type: str
    space: str
    tensors: dict[str, NDArray[np.float32]]
    generator_sha256: str
    psi: float = 1.0
    cutoff: int | None = None
    noise_mode: str = "none"
    teacher: dict[str, Any] = field(default_factory=dict)
    loss: str = "l1"
    fit: dict[str, Any] = field(default_factory=dict)
    score: dict[str, Any] = field(default_factory=dict)
    semantics: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.intrinsic.name != self.type:
            raise UserError(f"the {self.type} offset describes the type {self.intrinsic.name}; fit it again")
        if self.space not in offset_tensors.SPACES:
            raise UserError(f"`space={self.space}`: choose from {', '.join(offset_tensors.SPACES)}")

    @property
    def intrinsic(self) -> Intrinsic:
        """The description of the type; raises UserError where it is inconsistent or the type is unknown."""
        return Intrinsic.from_dict(self.semantics) if self.semantics else intrinsics.get(self.type)

    @property
    def sha256(self) -> str:
        """SHA-256 of the tensors alone, as `tensors_sha256` computes it."""
        return tensors_sha256(self.tensors)

    @property
    def types(self) -> tuple[str, ...]:
        """The types of the terms of a sum, without repeats; of any other offset, its type."""
        return tuple(dict.fromkeys([self.type, *(part["type"] for part in self.fit.get("parts", ()))]))

    @property
    def label(self) -> str:
        """The space with its rank and first row, such as `w+ from row 4` or `lora of rank 4`."""
        rank, first = self.fit.get("rank"), self.fit.get("from_layer")
        return self.space + (f" of rank {rank}" if rank else "") + (f" from row {first}" if first else "")

    @property
    def summary(self) -> dict[str, Any]:
        """The entry of this offset in the metadata of an exported model."""
        how = {key: self.fit[key] for key in ("rank", "from_layer", "alpha", "parts") if self.fit.get(key)}
        class_index = self.fit.get("class_index")
        fitted = {} if class_index is None else {"class_index": class_index}
        return {
            "sha256": self.sha256,
            "space": self.space,
            "psi": self.psi,
            "noise_mode": self.noise_mode,
            **how,
            **fitted,
        }

    def rows(self, num_ws: int) -> NDArray[np.float32]:
        """The offset as rows of w+: [num_ws, w_dim] float32.

        Raises UserError for an offset in style or lora and for another number of rows.
        """
        if set(self.tensors) != {offset_tensors.ROWS}:
            raise UserError(f"the {self.type} offset is in {self.space}: only offsets in w and w+ are rows of w+")
        offset = self.tensors[offset_tensors.ROWS]
        if offset.shape[0] not in (1, num_ws):
            raise UserError(f"{self.type} offset has {offset.shape[0]} rows, the generator {num_ws}")
        return np.broadcast_to(offset, (num_ws, offset.shape[1]))

    def check_generator(self, sha256: str, config: offset_tensors.StyledConfig | None = None) -> None:
        """Raise UserError unless the offset was fitted on the generator with this hash.

        config: sizes of the generator; with it, the shapes of the tensors are checked too.
        """
        if sha256 != self.generator_sha256:
            raise UserError(
                f"the {self.type} offset was fitted on generator {self.generator_sha256[:12]}, this one is "
                f"{sha256[:12]}: pass its `generator`, or fit a new one with `sgi-engine train --type {self.type}`"
            )
        if config is None:
            return
        wrong = offset_tensors.mismatch(self.tensors, self.space, config.styled_layers(), config.num_ws, config.w_dim)
        if wrong:
            raise UserError(
                f"the {self.type} offset has {wrong}: fit it again with `sgi-engine train --type {self.type}`"
            )

    def scaled(self, alpha: float) -> Offset:
        """The offset times alpha, without a score, which belongs to the unscaled offset."""
        fit = self.fit | {"alpha": self.fit.get("alpha", 1.0) * alpha}
        return replace(self, tensors=offset_tensors.scaled(self.tensors, alpha), fit=fit, score={})

    def plus(self, other: Offset) -> Offset:
        """The exact sum of both offsets, in the larger of their spaces, with this one's type and fit, without a score.

        Raises UserError unless both were fitted on one generator under the same sampling.
        """
        other.check_generator(self.generator_sha256)
        theirs = other._sampling()
        for name, value in self._sampling().items():
            if value != theirs[name]:
                raise UserError(
                    f"the {self.type} offset was fitted with `{name}={value}` and the {other.type} offset with "
                    f"`{name}={theirs[name]}`: only offsets fitted with one `{name}` can be added"
                )
        try:
            tensors = offset_tensors.added(self.tensors, other.tensors)
        except ValueError:
            raise UserError(
                f"the {self.type} and {other.type} offsets differ in shape but have the hash of one generator: "
                "one of the files is damaged; copy it again"
            ) from None
        fit = {key: value for key, value in self.fit.items() if key not in ("rank", "from_layer")}
        return replace(
            self,
            space=max(self.space, other.space, key=offset_tensors.SPACES.index),
            tensors=tensors,
            fit=fit | {"alpha": 1.0, "parts": self._parts() + other._parts()},
            score={},
        )

    def _sampling(self) -> dict[str, object]:
        return {
            "psi": self.psi,
            "cutoff": self.cutoff,
            "noise_mode": self.noise_mode,
            "class_index": self.fit.get("class_index"),
        }

    def _parts(self) -> list[dict[str, Any]]:
        """The terms of this offset as a sum lists them; the alpha of a sum multiplies that of every term."""
        alpha = self.fit.get("alpha", 1.0)
        if "parts" in self.fit:
            return [part | {"alpha": part["alpha"] * alpha} for part in self.fit["parts"]]
        return [{"type": self.type, "space": self.label, "alpha": alpha, "sha256": self.sha256}]

    def save(self, path: str | Path) -> None:
        """Write the offset file. It appears complete or not at all."""
        header = OffsetHeader(**{name: getattr(self, name) for name in OffsetHeader.__struct_fields__})
        OFFSET_FILE.write(path, {k: np.ascontiguousarray(v, np.float32) for k, v in self.tensors.items()}, header)

    @classmethod
    def load(cls, path: str | Path) -> Offset:
        """Read an offset file; raises UserError if it is none, of a newer format, truncated or damaged."""
        header, tensors = OFFSET_FILE.read(path)
        if not all(t.dtype == np.float32 and bool(np.isfinite(t).all()) for t in tensors.values()):
            raise UserError(f"{path}: damaged offset file (its tensors are not finite float32); copy the file again")
        try:
            return cls(tensors=tensors, **msgspec.structs.asdict(header))
        except UserError as error:
            raise UserError(f"{path}: {error}") from None


def as_offsets(offsets: Sequence[str | Path | Offset] | str | Path | Offset) -> list[str | Path | Offset]:
    """Files and Offsets as a list, a single one too; raises WrongTypeError for anything else."""
    found: list[Any] = [offsets]
    if isinstance(offsets, Iterable) and not isinstance(offsets, (str, os.PathLike, Offset)):
        found = list(offsets)
    for item in found:
        if not isinstance(item, (str, os.PathLike, Offset)):
            raise WrongTypeError("offsets", item, "must be the path of an offset file, an Offset, or a list of them")
    return found
