"""The manifest of an output folder, manifest.jsonl: one line for each finished seed with sizes and hashes of its files.

A line is appended when all files of a seed exist. At the end the file is sorted by seed and replaced by a rename, so a
run that was killed and continued writes the same bytes as an uninterrupted one. A kill can truncate or lose the last
lines. A seed without a line is not finished, whatever files exist.
"""

from __future__ import annotations

import fcntl
import os
import re
from array import array
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import Annotated

import msgspec

from sgi.engine.budget import is_regular
from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write
from sgi.engine.seeds import SEED_MAX

SHARD_MANIFEST = re.compile(r"manifest-(\d+)-of-(\d+)\.jsonl")
METADATA = "metadata.jsonl"
MANIFEST = "manifest.jsonl"


MAX_LINE = 1 << 16
"""Bytes of a line; a line of 64 types has about 12,000."""


_Number = Annotated[int, msgspec.Meta(ge=0, le=SEED_MAX)]
_Sizes = dict[str, Annotated[int, msgspec.Meta(ge=0)]]
_Hashes = dict[str, Annotated[str, msgspec.Meta(max_length=64)]]


class Line(msgspec.Struct, frozen=True):
    """A finished seed: type -> name relative to the folder, size in bytes and SHA-256 of its file."""

    seed: _Number
    files: dict[str, str]
    bytes: _Sizes
    sha256: _Hashes


class LatentLine(Line, frozen=True, rename={"seed": "latent"}):
    """A finished latent; in the file, `latent` is its number in place of `seed`."""

    seed: _Number  # msgspec renames only fields that the class itself defines
    files: dict[str, str]
    bytes: _Sizes
    sha256: _Hashes


LINES: dict[str, type[Line]] = {"seed": Line, "latent": LatentLine}
"""What a line describes -> its class."""


class Manifest:
    """The lines of the finished seeds of a folder, open for appending by one run at a time.

    read_only: only read the lines, also while another run appends to them. accept: whether a line is one of this
    folder; None accepts every line that is complete. item: seed, or latent where the lines have numbers of latents,
    which everything below calls seeds.

    Keeps the position of each line in memory, not its text: 24 bytes and a dict entry for each seed. Lines that are not
    accepted, or that are no lines of a manifest, count in `wrong`; `sort` drops them.
    Raises UserError if another run has the file open, and for anything but a regular file, which is not followed.
    """

    def __init__(
        self,
        path: Path,
        read_only: bool = False,
        accept: Callable[[Line], bool] | None = None,
        item: str = "seed",
    ) -> None:
        self.path = path
        self.item = item
        self._decoder = msgspec.json.Decoder(LINES[item])
        self.wrong = 0
        self._accept = accept
        self._places: dict[int, int] = {}  # seed -> index into the arrays below
        self._starts = array("Q")
        self._lengths = array("Q")
        if os.path.lexists(path) and not is_regular(path):
            raise UserError(f"`outdir={path.parent}`: {path.name} is not a regular file; remove it")
        flags = os.O_RDONLY if read_only else os.O_RDWR | os.O_CREAT
        self._file = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        try:
            if not read_only:
                _lock(self._file, path)
            self._end = self._read()
            if not read_only:
                os.ftruncate(self._file, self._end)  # removes a truncated last line
        except BaseException:
            os.close(self._file)
            raise

    def __contains__(self, seed: int) -> bool:
        return seed in self._places

    @property
    def seeds(self) -> Collection[int]:
        """The seeds that have a line, without order."""
        return self._places.keys()

    def __iter__(self) -> Iterator[Line]:
        """The lines in the order of seeds."""
        for seed in sorted(self._places):
            yield self[seed]

    def __getitem__(self, seed: int) -> Line:
        """The last line of a seed; raises KeyError if it has none."""
        return self._decoder.decode(self._text(self._places[seed]))

    def append(self, entry: Line) -> None:
        """Record a finished seed."""
        line = msgspec.json.encode(entry) + b"\n"
        try:
            written = 0
            while written < len(line):
                written += os.pwrite(self._file, line[written:], self._end + written)
        except OSError:
            os.ftruncate(self._file, self._end)
            raise
        self._note(entry.seed, self._end, len(line))
        self._end += len(line)

    def sort(self) -> None:
        """Sort the lines by seed and drop duplicates; a file in order is not written again."""
        seeds = sorted(self._places)
        order = [self._places[seed] for seed in seeds]
        in_order = all(place == position for position, place in enumerate(order))
        if in_order and sum(self._lengths) == self._end:
            return
        with atomic_write(self.path) as temporary, open(temporary, "wb") as file:
            for place in order:
                file.write(self._text(place))

    def write_metadata(self) -> None:
        """Write metadata.jsonl beside the manifest: a row for each seed with `TYPE_file_name` for each type.

        `datasets.load_dataset("imagefolder", data_dir=...)` reads it as a column of pictures for each type.
        """
        with atomic_write(self.path.with_name(METADATA)) as temporary, open(temporary, "wb") as file:
            for line in self:
                names = {f"{name}_file_name": path for name, path in line.files.items()}
                file.write(msgspec.json.encode({**names, self.item: line.seed}) + b"\n")

    def close(self) -> None:
        """Close the file, so that another run can open it."""
        os.close(self._file)

    def __enter__(self) -> Manifest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> int:
        """Read the positions of the complete lines; returns the position after the last of them."""
        position = 0
        with os.fdopen(os.dup(self._file), "rb") as file:
            file.seek(0)
            while line := file.readline(MAX_LINE):
                if line.endswith(b"\n"):
                    self._read_line(line, position)
                elif len(line) < MAX_LINE:
                    break  # the last line, of a run that was killed
                else:
                    self.wrong += 1
                    position += len(line)
                    while not line.endswith(b"\n") and (line := file.readline(MAX_LINE)):
                        position += len(line)
                    continue
                position += len(line)
        return position

    def _read_line(self, text: bytes, position: int) -> None:
        try:
            line = self._decoder.decode(text)
        except (ValueError, RecursionError):
            self.wrong += 1
            return
        if self._accept is None or self._accept(line):
            self._note(line.seed, position, len(text))
        else:
            self.wrong += 1

    def _text(self, place: int) -> bytes:
        return os.pread(self._file, self._lengths[place], self._starts[place])

    def _note(self, seed: int, start: int, length: int) -> None:
        self._places[seed] = len(self._starts)
        self._starts.append(start)
        self._lengths.append(length)


def _lock(file: int, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(
            f"`outdir={path.parent}`: another run is writing there; wait for it, or choose another `outdir`"
        ) from None
    except OSError:  # a file system without locks
        return
