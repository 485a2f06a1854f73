"""A file of JSON lines to which one run appends: the manifest of an output folder.

A kill can truncate or lose the last lines. At the end of a run the file is sorted and replaced by a rename.
"""

from __future__ import annotations

import fcntl
import os
from array import array
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

import msgspec

from sgi.engine.budget import is_regular
from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write


class Entry(msgspec.Struct, frozen=True):
    """A line: something that is finished, with a number."""

    @property
    def number(self) -> int:
        """The number of what is finished; of two lines with one number the later is valid."""
        raise NotImplementedError


L = TypeVar("L", bound=Entry)
F = TypeVar("F", bound="LineFile[Any]")


class LineFile(Generic[L]):
    """The lines of a manifest, open for appending by one run at a time.

    line: the class of lines, and the bytes of the longest. read_only: only read the lines, also while another run
    appends to them. accept: whether a line is one of this folder; None accepts every line that is complete.

    Keeps the position of each line in memory, not its text: 24 bytes and a dict entry for each. Lines that are not
    accepted, or that are no lines of a manifest, count in `wrong`; `sort` drops them.
    Raises UserError if another run has the file open, and for anything but a regular file, which is not followed.
    """

    def __init__(
        self,
        path: Path,
        line: type[L],
        longest: int,
        read_only: bool = False,
        accept: Callable[[L], bool] | None = None,
    ) -> None:
        self.path = path
        self._longest = longest
        self._decoder = msgspec.json.Decoder(line)
        self.wrong = 0
        self._accept = accept
        self._places: dict[int, int] = {}  # number -> index into the arrays below
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

    def __contains__(self, number: int) -> bool:
        return number in self._places

    @property
    def numbers(self) -> Collection[int]:
        """The numbers that have a line, without order."""
        return self._places.keys()

    def __iter__(self) -> Iterator[L]:
        """The lines in the order of numbers."""
        for number in sorted(self._places):
            yield self[number]

    def __getitem__(self, number: int) -> L:
        """The last line of a number; raises KeyError if it has none."""
        return self._decoder.decode(self._text(self._places[number]))

    def append(self, entry: L) -> None:
        """Record what is finished."""
        line = msgspec.json.encode(entry) + b"\n"
        try:
            written = 0
            while written < len(line):
                written += os.pwrite(self._file, line[written:], self._end + written)
        except OSError:
            os.ftruncate(self._file, self._end)
            raise
        self._note(entry.number, self._end, len(line))
        self._end += len(line)

    def sync(self) -> None:
        """Wait until the lines are on the disk."""
        os.fsync(self._file)

    def sort(self) -> None:
        """Sort the lines by number and drop duplicates; a file in order is not written again."""
        order = [self._places[number] for number in sorted(self._places)]
        in_order = all(place == position for position, place in enumerate(order))
        if in_order and sum(self._lengths) == self._end:
            return
        with atomic_write(self.path) as temporary, open(temporary, "wb") as file:
            for place in order:
                file.write(self._text(place))

    def close(self) -> None:
        """Close the file, so that another run can open it."""
        os.close(self._file)

    def __enter__(self: F) -> F:
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
            while line := file.readline(self._longest):
                if line.endswith(b"\n"):
                    self._read_line(line, position)
                elif len(line) < self._longest:
                    break  # the last line, of a run that was killed
                else:
                    self.wrong += 1
                    position += len(line)
                    while not line.endswith(b"\n") and (line := file.readline(self._longest)):
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
            self._note(line.number, position, len(text))
        else:
            self.wrong += 1

    def _text(self, place: int) -> bytes:
        return os.pread(self._file, self._lengths[place], self._starts[place])

    def _note(self, number: int, start: int, length: int) -> None:
        self._places[number] = len(self._starts)
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
