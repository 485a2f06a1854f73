"""The offset file: d_c of one type in a few kilobytes of safetensors, with what it was fitted on.

An offset means nothing without its generator, so the file carries the generator's hash and refuses another.
Torch-free: the exporter and `inspect` read it, the trainer writes it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sgi.engine import intrinsics
from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write

FORMAT = 1
HEADER_KEY = "sgi_offset"
SPACES = ("w", "w+")


@dataclass
class Offset:
    """One offset and its history.

    type: the map it makes. space: w (one row for all) or w+ (one row per row of w+).
    tensors: {"offset": [1 or num_ws, w_dim] float32}, added to w+ after truncation.
    psi, cutoff, noise_mode: the sampling it was fitted under. teacher: name and sha256.
    loss, fit: how it was fitted; score: held-out figures beside the baselines.
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

    def __post_init__(self) -> None:
        intrinsics.get(self.type)
        if self.space not in SPACES:
            raise UserError(f"offset space {self.space!r}: choose from {', '.join(SPACES)}")

    @property
    def sha256(self) -> str:
        """Hash of the tensors alone."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.tensors.items()):
            digest.update(f"{name}:{list(tensor.shape)}".encode())
            digest.update(np.ascontiguousarray(tensor, np.float32).data)
        return digest.hexdigest()

    def rows(self, num_ws: int) -> NDArray[np.float32]:
        """The offset as rows of w+: [num_ws, w_dim] float32; raises UserError if its shape does not fit."""
        offset = self.tensors["offset"]
        if offset.shape[0] not in (1, num_ws):
            raise UserError(f"{self.type} offset has {offset.shape[0]} rows, the generator {num_ws}")
        return np.broadcast_to(offset, (num_ws, offset.shape[1]))

    def check_generator(self, sha256: str) -> None:
        """Raise UserError unless the offset was fitted on the generator of that hash."""
        if sha256 != self.generator_sha256:
            raise UserError(
                f"the {self.type} offset was fitted on generator {self.generator_sha256[:12]}, this one is "
                f"{sha256[:12]}: pass its --generator, or fit anew with `sgi-engine train --type {self.type}`"
            )

    def save(self, path: str | Path) -> None:
        """Write the file whole or not at all."""
        header = {k: v for k, v in asdict(self).items() if k != "tensors"} | {"format": FORMAT}
        tensors = {k: np.ascontiguousarray(v, np.float32) for k, v in self.tensors.items()}
        with atomic_write(path) as temporary:
            # save_file would make a file that only its owner can read.
            temporary.write_bytes(save(tensors, metadata={HEADER_KEY: json.dumps(header, sort_keys=True)}))

    @classmethod
    def load(cls, path: str | Path) -> Offset:
        """Read an offset file; raises UserError if it is none, of a newer format, or cut short."""
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
        header = json.loads(text)
        if header.pop("format", None) != FORMAT:
            raise UserError(f"{path}: an offset of another format: upgrade sgi-engine")
        known = {f.name for f in fields(cls)}
        return cls(tensors=tensors, **{k: v for k, v in header.items() if k in known})
