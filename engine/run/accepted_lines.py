"""Which lines of a manifest are those of a folder."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from sgi.engine.run.manifest import Line
from sgi.engine.run.record import RunRecord
from sgi.engine.seeds import Seeds

_FREE = "@"  # stands for text that is filled in; names of files have none
_DIGITS = [str(digit).encode() for digit in range(10)]


class AcceptedLines:
    """A test whether a line is one of a folder with these settings and seeds; see `line_file.Heads`."""

    def __init__(self, record: RunRecord, seeds: Seeds) -> None:
        self._record = record
        self._seeds = seeds
        ranges = seeds.union().ranges
        self._firsts = np.array([part.start for part in ranges], np.int64)
        self._stops = np.array([part.stop for part in ranges], np.int64)
        self._item = record.item.encode()
        self._files = msgspec.json.encode({"files": record.names_of(_FREE)})[1:-1] + b',"bytes":{'
        self._by_tens = record.seeds_per_folder % 10 == 0
        self._ten, self._heads_of_ten = -1, b""

    def __call__(self, line: Line) -> bool:
        """Whether a line has a seed and the file names of the folder."""
        return line.seed in self._seeds and line.files == self._record.file_names(line.seed)

    def head(self, number: int) -> bytes:
        """See `Heads`."""
        if not self._by_tens:
            return self._head(str(number), self._record.stem(number))
        ten, digit = divmod(number, 10)
        if ten != self._ten:
            # Ten seeds in a row have names that differ in the last digit.
            self._ten = ten
            self._heads_of_ten = self._head(str(number)[:-1] + _FREE, self._record.stem(number)[:-1] + _FREE)
        return self._heads_of_ten.replace(b"@", _DIGITS[digit])

    def _head(self, number: str, stem: str) -> bytes:
        return b'{"%b":%b,%b' % (self._item, number.encode(), self._files.replace(b"@", stem.encode()))

    def known(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """See `Heads`."""
        if not len(self._firsts):
            return np.zeros(len(numbers), bool)
        part = np.searchsorted(self._firsts, numbers, "right") - 1
        return (part >= 0) & (numbers < self._stops[part])
