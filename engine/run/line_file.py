"""A file of JSON lines to which one run appends: the manifest of an output folder.

A kill can truncate or lose the last lines. At the end of a run the file is sorted and replaced by a rename.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import msgspec
import numpy as np
from numpy.typing import NDArray

from sgi.engine.budget import is_regular
from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write
from sgi.engine.run.line_index import LineIndex

_BLOCK = 1 << 19
_TRIES = 3
_BETWEEN_TRIES = 0.05  # seconds


class Entry(msgspec.Struct, frozen=True):
    """A line: something that is finished, with a number."""

    @property
    def number(self) -> int:
        """The number of what is finished; of two lines with one number the later is valid."""
        raise NotImplementedError


@runtime_checkable
class Heads(Protocol):
    """A test of lines by how the accepted ones begin, so that most are accepted without being parsed."""

    def head(self, number: int) -> bytes:
        """The beginning of the line of a number."""
        ...

    def known(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which numbers [N] can have lines."""
        ...


L = TypeVar("L", bound=Entry)
F = TypeVar("F", bound="LineFile[Any]")


class LineFile(Generic[L]):
    """The lines of a manifest, open for appending by one run at a time.

    line: the class of lines, and the bytes of the longest. read_only: only read the lines, also while another run
    appends to them. accept: whether a line is one of this folder; None accepts every line that is complete.

    Keeps the position of each line in memory, not its text. Lines that are not accepted, or that are no lines of a
    manifest, count in `wrong`; `sort` drops them. A line that begins as it must is read when it is asked for, and
    counts then if its end is damaged.
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
        self._head = accept.head if isinstance(accept, Heads) else None
        self._known = accept.known if isinstance(accept, Heads) else None
        self._ahead = 0  # the number that the next line has, if numbers follow one another
        self._index = LineIndex()
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
        return self._index.find(number) is not None

    @property
    def numbers(self) -> Collection[int]:
        """The numbers that have a line, in ascending order."""
        numbers: list[int] = self.array().tolist()
        return numbers

    def array(self) -> NDArray[np.uint32]:
        """The numbers that have a line, in ascending order."""
        return self._index.ordered()[0]

    def __iter__(self) -> Iterator[L]:
        """The lines in the order of numbers."""
        for number in self.numbers:
            if (line := self.find(number)) is not None:
                yield line

    def __getitem__(self, number: int) -> L:
        """The last line of a number; raises KeyError if it has none."""
        line = self.find(number)
        if line is None:
            raise KeyError(number)
        return line

    def find(self, number: int) -> L | None:
        """The last line of a number; None if it has none, or a damaged one."""
        place = self._index.find(number)
        if place is None:
            return None
        try:
            return self._decoder.decode(os.pread(self._file, place[1], place[0]))
        except (ValueError, RecursionError):
            self._index.remove(number)
            self.wrong += 1
            return None

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
        self._index.add(entry.number, self._end, len(line))
        self._end += len(line)

    def follow(self) -> bool:
        """Read the lines that another run has appended since; returns whether there are any. For `read_only`.

        Raises OSError as `check` does, and if the file has become shorter.
        """
        self.check()
        if os.fstat(self._file).st_size < self._end:
            raise OSError(errno.ESTALE, f"{self.path.name} was cut")
        before, self._end = self._end, self._read(self._end)
        return self._end > before

    def sync(self) -> None:
        """Wait until the lines are on the disk."""
        os.fsync(self._file)

    def check(self) -> None:
        """Raise OSError if the file is no longer the one of its name, because the folder was removed or replaced."""
        try:
            same = os.path.samestat(os.fstat(self._file), os.stat(self.path, follow_symlinks=False))
        except FileNotFoundError:
            same = False
        if not same:
            raise OSError(errno.ESTALE, f"{self.path.name} was removed or replaced")

    def sort(self) -> None:
        """Sort the lines by number and drop duplicates; a file in order is not written again."""
        _, starts, lengths = self._index.ordered()
        if (starts[1:] > starts[:-1]).all() and int(lengths.sum()) == self._end:
            return
        with atomic_write(self.path) as temporary, open(temporary, "wb") as file:
            for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
                file.write(os.pread(self._file, length, start))

    def close(self) -> None:
        """Close the file, so that another run can open it."""
        os.close(self._file)

    def __enter__(self: F) -> F:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, start: int = 0) -> int:
        """Read the positions of the complete lines from `start` on; returns the position after the last of them."""
        position, rest, is_long = start, b"", False
        found: list[NDArray[np.int64]] = []
        with os.fdopen(os.dup(self._file), "rb", buffering=0) as file:
            file.seek(start)
            while block := file.read(_BLOCK):
                *lines, rest = (rest + block).split(b"\n")
                if is_long and lines:
                    position += len(lines.pop(0)) + 1
                    is_long = False
                if lines:
                    found.append(self._read_lines(lines, position))
                    position += sum(map(len, lines)) + len(lines)
                if is_long or len(rest) >= self._longest:
                    self.wrong += not is_long
                    position, rest, is_long = position + len(rest), b"", True
        if found:
            self._index.add_all(*np.concatenate(found, axis=1))
        return position

    def _read_lines(self, lines: list[bytes], position: int) -> NDArray[np.int64]:
        """Numbers, starts and lengths [3, N] of the lines that are accepted; position: start of the first."""
        numbers = np.empty(len(lines), np.int64)
        head, ahead = self._head, self._ahead
        for place, line in enumerate(lines):
            # Most lines have the number after that of the line before.
            if head is None or not (line.startswith(head(ahead)) and line.endswith(b"}}")):
                ahead = self._number_of(line)
            numbers[place] = ahead
            ahead += 1
        self._ahead = ahead
        lengths = np.fromiter(map(len, lines), np.int64, len(lines)) + 1
        accepted = numbers >= 0
        if self._known is not None:
            accepted &= self._known(numbers)
        self.wrong += int(len(lines) - accepted.sum())
        return np.stack([numbers, position + np.cumsum(lengths) - lengths, lengths])[:, accepted]

    def _number_of(self, text: bytes) -> int:
        """The number of a line that is accepted; -1 of another."""
        try:
            line = self._decoder.decode(text) if len(text) < self._longest else None
        except (ValueError, RecursionError):
            return -1
        return -1 if line is None or not (self._accept is None or self._accept(line)) else line.number


def _lock(file: int, path: Path) -> None:
    for left in reversed(range(_TRIES)):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not left:
                raise UserError(
                    f"`outdir={path.parent}`: another run is writing there; wait for it, or choose another `outdir`"
                ) from None
            time.sleep(_BETWEEN_TRIES)  # a viewer locks the file for a moment, to see whether a run holds it
        except OSError:  # a file system without locks
            return
