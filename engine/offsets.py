"""The offset file: d_c of one type in a few kilobytes of safetensors, with what it was fitted on.

An offset means nothing without its generator, so the file carries the generator's hash and refuses another.
Torch-free: the exporter and `inspect` read it, the trainer writes it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sgi.engine import intrinsics, offset_tensors
from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write
from sgi.engine.intrinsics import Intrinsic

FORMAT = 1
HEADER_KEY = "sgi_offset"


@dataclass
class Offset:
    """One offset and its history.

    type: the map it makes. space: w (one row for all), w+ (a row per row of w+), style or lora.
    tensors: float32, as sgi.engine.offset_tensors says; they act after truncation.
    psi, cutoff, noise_mode: the sampling it was fitted under. teacher: name and sha256.
    loss, fit: how it was fitted; score: held-out figures beside the baselines.
    semantics: the type's description (`Intrinsic.to_dict`); without one the type is built in.
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
            raise UserError(f"the {self.type} offset describes the type {self.intrinsic.name}; fit it anew")
        if self.space not in offset_tensors.SPACES:
            raise UserError(f"offset space {self.space!r}: choose from {', '.join(offset_tensors.SPACES)}")

    @property
    def intrinsic(self) -> Intrinsic:
        """The type as the offset's own file describes it; raises UserError where it makes no sense or is unknown."""
        return Intrinsic.from_dict(self.semantics) if self.semantics else intrinsics.get(self.type)

    @property
    def sha256(self) -> str:
        """Hash of the tensors alone."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.tensors.items()):
            digest.update(f"{name}:{list(tensor.shape)}".encode())
            digest.update(np.ascontiguousarray(tensor, np.float32).data)
        return digest.hexdigest()

    @property
    def label(self) -> str:
        """The space with what narrows it, such as `w+ from row 4` or `lora of rank 4`."""
        rank, first = self.fit.get("rank"), self.fit.get("from_layer")
        return self.space + (f" of rank {rank}" if rank else "") + (f" from row {first}" if first else "")

    @property
    def summary(self) -> dict[str, Any]:
        """What an exported model says of the offset in it."""
        how = {key: self.fit[key] for key in ("rank", "from_layer", "alpha", "parts") if self.fit.get(key)}
        return {"sha256": self.sha256, "space": self.space, "psi": self.psi, "noise_mode": self.noise_mode, **how}

    def rows(self, num_ws: int) -> NDArray[np.float32]:
        """The offset as rows of w+: [num_ws, w_dim] float32; raises UserError where it has no such form or shape."""
        if set(self.tensors) != {offset_tensors.ROWS}:
            raise UserError(f"the {self.type} offset is in {self.space}: only offsets in w and w+ are rows of w+")
        offset = self.tensors[offset_tensors.ROWS]
        if offset.shape[0] not in (1, num_ws):
            raise UserError(f"{self.type} offset has {offset.shape[0]} rows, the generator {num_ws}")
        return np.broadcast_to(offset, (num_ws, offset.shape[1]))

    def check_generator(self, sha256: str, config: offset_tensors.StyledConfig | None = None) -> None:
        """Raise UserError unless the offset was fitted on the generator of that hash and fits its layers, if given."""
        if sha256 != self.generator_sha256:
            raise UserError(
                f"the {self.type} offset was fitted on generator {self.generator_sha256[:12]}, this one is "
                f"{sha256[:12]}: pass its --generator, or fit anew with `sgi-engine train --type {self.type}`"
            )
        if config is None:
            return
        wrong = offset_tensors.mismatch(self.tensors, self.space, config.styled_layers(), config.num_ws, config.w_dim)
        if wrong:
            raise UserError(
                f"the {self.type} offset has {wrong}: fit it anew with `sgi-engine train --type {self.type}`"
            )

    def scaled(self, alpha: float) -> Offset:
        """The offset alpha times as far; its score is gone, for it was another offset's."""
        fit = self.fit | {"alpha": self.fit.get("alpha", 1.0) * alpha}
        return replace(self, tensors=offset_tensors.scaled(self.tensors, alpha), fit=fit, score={})

    def plus(self, other: Offset) -> Offset:
        """Both offsets at once, exactly: in the wider of their spaces, of this one's type and fit, without a score.

        Raises UserError unless both are of one generator and were fitted under one sampling.
        """
        other.check_generator(self.generator_sha256)
        for flag, mine, theirs in zip(("--trunc", "--trunc-cutoff", "--noise-mode", "--class"), self._sampling(),
                                      other._sampling(), strict=True):  # fmt: skip
            if mine != theirs:
                raise UserError(
                    f"offsets fitted under {flag} {mine} ({self.type}) and {theirs} ({other.type}) do not add up: "
                    f"fit both under one {flag}"
                )
        try:
            tensors = offset_tensors.added(self.tensors, other.tensors)
        except ValueError:
            raise UserError(
                f"the {self.type} and {other.type} offsets differ in shape though they name one generator: "
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

    def _sampling(self) -> tuple[object, ...]:
        return self.psi, self.cutoff, self.noise_mode, self.fit.get("class_index")

    def _parts(self) -> list[dict[str, Any]]:
        """What a sum says of its terms; an alpha of the sum is one of every term."""
        alpha = self.fit.get("alpha", 1.0)
        if "parts" in self.fit:
            return [part | {"alpha": part["alpha"] * alpha} for part in self.fit["parts"]]
        return [{"type": self.type, "space": self.label, "alpha": alpha, "sha256": self.sha256}]

    def save(self, path: str | Path) -> None:
        """Write the file whole or not at all."""
        header = {k: v for k, v in asdict(self).items() if k != "tensors"} | {"format": FORMAT}
        tensors = {k: np.ascontiguousarray(v, np.float32) for k, v in self.tensors.items()}
        with atomic_write(path) as temporary:
            # save_file would make a file that only its owner can read.
            temporary.write_bytes(save(tensors, metadata={HEADER_KEY: json.dumps(header, sort_keys=True)}))

    @classmethod
    def load(cls, path: str | Path) -> Offset:
        """Read an offset file; raises UserError if it is none, of a newer format, cut short or damaged."""
        try:
            with safe_open(str(path), framework="np") as file:
                text = (file.metadata() or {}).get(HEADER_KEY)
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except FileNotFoundError:
            raise UserError(f"{path}: no such file") from None
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path}: not a readable safetensors file ({error})") from None
        if text is None:
            raise UserError(f"{path}: not an offset file; make one with `sgi-engine train`")
        try:
            header = json.loads(text)
        except ValueError:
            header = None
        if isinstance(header, dict) and header.pop("format", None) != FORMAT:
            raise UserError(f"{path}: an offset of another format: upgrade sgi-engine")
        if not _is_whole(header, tensors):
            raise UserError(f"{path}: a damaged offset file; copy it again")
        known = {f.name for f in fields(cls)}
        return cls(tensors=tensors, **{k: v for k, v in header.items() if k in known})


_HEADER_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("type", "space", "generator_sha256", "noise_mode", "loss"), str),
    **dict.fromkeys(("semantics", "teacher", "fit", "score"), dict),
    "psi": (int, float),
    "cutoff": (int, type(None)),
}


def _is_whole(header: object, tensors: dict[str, NDArray[Any]]) -> bool:
    """Whether a header has what an offset needs, each of its type, and the tensors are finite float32."""
    if not isinstance(header, dict) or not {"type", "space", "generator_sha256"} <= header.keys():
        return False
    typed = all(isinstance(header[key], kind) for key, kind in _HEADER_TYPES.items() if key in header)
    return typed and all(t.dtype == np.float32 and bool(np.isfinite(t).all()) for t in tensors.values())
