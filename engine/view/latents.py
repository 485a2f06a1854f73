"""Latents of files that the page loads, and w+ of what it shows as a file."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sgi.engine.errors import UserError, one_line
from sgi.engine.latents_file import FILE, WS_TENSOR, Latents, LatentsHeader, read_latents
from sgi.engine.live import LiveModel, Screen

MOST_BYTES = 1 << 28
"""Largest file of latents that the page sends."""
_LONGEST_NAME = 100


@dataclass(frozen=True)
class LoadedLatents:
    """Latents that an open model keeps.

    id: of `Row`. name: for people. latents: the rows. files: names or paths, which commands repeat. pictures: files of
    the inverted pictures, one for each row, which need not exist; empty for other latents. note: what to know of them.
    """

    id: str
    name: str
    latents: Latents
    files: tuple[str, ...]
    pictures: tuple[Path, ...] = ()
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The answer to a page: {id, name, kind, rows, photos, note}; photos: addresses of pictures or null."""
        photos = [f"/photo/{row}.png" if path.is_file() else None for row, path in enumerate(self.pictures)]
        found = {"id": self.id, "name": self.name, "kind": self.latents.kind, "rows": len(self.latents.rows)}
        return {**found, "photos": photos, "note": self.note}


def read_files(live: LiveModel, files: Sequence[Path], remove: str = "") -> LoadedLatents:
    """Read files of latents for a model, which keeps them. remove: a part of paths that messages leave out.

    Raises UserError as `read_latents` does.
    """
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = read_latents(files, live.sizes)
    except UserError as error:
        raise UserError(str(error).replace(remove, "")) from None
    note = "; ".join(str(warning.message).replace(remove, "") for warning in caught)
    names = tuple(name for name, _ in found.files)
    return LoadedLatents(live.add_latents(found), ", ".join(names), found, names, note=note)


def load_latents(live: LiveModel, name: str, body: bytes) -> LoadedLatents:
    """Latents of the bytes of a file that the page sent under a name; raises UserError as `read_latents` does."""
    name = one_line(Path(name.replace("\\", "/")).name, _LONGEST_NAME)
    if not name or name.startswith("."):
        raise UserError("`name`: the name of a file of latents is missing, such as photo_ws.safetensors")
    with TemporaryDirectory(prefix="sgi-view-") as folder:
        path = Path(folder, name)
        path.write_bytes(body)
        return read_files(live, [path], f"{folder}/")


def latents_file(live: LiveModel, screen: Screen) -> bytes:
    """The bytes of a w+ file of a screen, which `run --latents` reads; raises UserError as `LiveModel.ws` does."""
    facts = live.artifact
    header = LatentsHeader(facts.generator["sha256"], facts.noise_mode)
    with TemporaryDirectory(prefix="sgi-view-") as folder:
        path = Path(folder, "ws.safetensors")
        FILE.write(path, {WS_TENSOR: live.ws(screen)}, header)
        return path.read_bytes()
