"""The manifest of an output folder, manifest.jsonl: one line for each finished seed with sizes and hashes of its files.

A line is appended when all files of a seed exist. At the end the file is sorted by seed and replaced by a rename, so a
run that was killed and continued writes the same bytes as an uninterrupted one. A kill can truncate or lose the last
lines. A seed without a line is not finished, whatever files exist.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec

from sgi.engine.files import atomic_write
from sgi.engine.run.line_file import Entry, LineFile
from sgi.engine.seeds import SEED_MAX

SHARD_MANIFEST = re.compile(r"manifest-(\d+)-of-(\d+)\.jsonl")
WORKER_MANIFEST = re.compile(r"manifest-\d+-of-0\.jsonl")
"""The manifest of a worker of a cluster, which has its shards until that of the run has them."""
METADATA = "metadata.jsonl"
MANIFEST = "manifest.jsonl"


MAX_LINE = 1 << 16
"""Bytes of a line; a line of 64 types has about 12,000."""


_Number = Annotated[int, msgspec.Meta(ge=0, le=SEED_MAX)]
_Sizes = dict[str, Annotated[int, msgspec.Meta(ge=0)]]
_Hashes = dict[str, Annotated[str, msgspec.Meta(max_length=64)]]


class Line(Entry, frozen=True):
    """A finished seed: type -> name relative to the folder, size in bytes and SHA-256 of its file."""

    seed: _Number
    files: dict[str, str]
    bytes: _Sizes
    sha256: _Hashes

    @property
    def number(self) -> int:
        """The seed, or the number of the latent."""
        return self.seed


class LatentLine(Line, frozen=True, rename={"seed": "latent"}):
    """A finished latent; in the file, `latent` is its number in place of `seed`."""

    seed: _Number  # msgspec renames only fields that the class itself defines
    files: dict[str, str]
    bytes: _Sizes
    sha256: _Hashes


LINES: dict[str, type[Line]] = {"seed": Line, "latent": LatentLine}
"""What a line describes -> its class."""


class Manifest(LineFile[Line]):
    """The lines of the finished seeds of a folder; see `LineFile`.

    item: seed, or latent where the lines have numbers of latents.
    """

    def __init__(
        self,
        path: Path,
        read_only: bool = False,
        accept: Callable[[Line], bool] | None = None,
        item: str = "seed",
    ) -> None:
        self.item = item
        super().__init__(path, LINES[item], MAX_LINE, read_only, accept)

    def write_metadata(self) -> None:
        """Write metadata.jsonl beside the manifest: a row for each seed with `TYPE_file_name` for each type.

        `datasets.load_dataset("imagefolder", data_dir=...)` reads it as a column of pictures for each type.
        """
        with atomic_write(self.path.with_name(METADATA)) as temporary, open(temporary, "wb") as file:
            for line in self:
                names = {f"{name}_file_name": path for name, path in line.files.items()}
                file.write(msgspec.json.encode({**names, self.item: line.seed}) + b"\n")
