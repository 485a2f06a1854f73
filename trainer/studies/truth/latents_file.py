"""The w+ file: the latent of one inverted picture, and of which generator."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write

FORMAT = 1
HEADER_KEY = "sgi_latents"
_TENSOR = "ws"


@dataclass
class Latents:
    """w+ of one picture.

    ws: [num_ws, w_dim] float32. generator_sha256: of the generator it belongs to. noise_mode: the picture is G(ws)
    under it. psnr: decibels of G(ws) against the picture. picture: the picture's file name. settings: of the search.
    """

    ws: Tensor
    generator_sha256: str
    noise_mode: str
    psnr: float
    picture: str
    settings: dict[str, Any] = field(default_factory=dict)

    def save(self, path: str | Path) -> None:
        """Write the file whole or not at all."""
        facts = {key: value for key, value in asdict(self).items() if key != _TENSOR} | {"format": FORMAT}
        data = save({_TENSOR: self.ws.float().contiguous()}, metadata={HEADER_KEY: json.dumps(facts, sort_keys=True)})
        with atomic_write(path) as temporary:
            temporary.write_bytes(data)

    @classmethod
    def load(cls, path: str | Path) -> Latents:
        """Read a w+ file; raises UserError if it is none, or damaged."""
        try:
            with safe_open(str(path), framework="pt") as file:
                facts = json.loads((file.metadata() or {})[HEADER_KEY])
                if facts.pop("format") != FORMAT:
                    raise UserError(f"{path}: latents of another format: upgrade sgi-engine")
                return cls(file.get_tensor(_TENSOR), **facts)
        except FileNotFoundError:
            raise UserError(f"{path}: no such file") from None
        except (OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError, SafetensorError) as error:
            reason = str(error) or type(error).__name__
            raise UserError(f"{path}: not a w+ file ({reason}); make one with `sgi-engine invert`") from None

    def check_generator(self, sha256: str) -> None:
        """Raise UserError unless the latents belong to the generator of that hash."""
        if sha256 != self.generator_sha256:
            raise UserError(
                f"the latents of {self.picture} belong to generator {self.generator_sha256[:12]}, this one is "
                f"{sha256[:12]}: pass its --generator"
            )
