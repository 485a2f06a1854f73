"""Where the lines of a file are, by number: arrays instead of a dict, for millions of lines."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST_RECENT = 1 << 16


class LineIndex:
    """Start and length of the line of each number, 16 bytes a number; of two lines with one number the later counts."""

    def __init__(self) -> None:
        self._numbers: NDArray[Any] = np.empty(0, np.uint32)  # ascending
        self._starts: NDArray[Any] = np.empty(0, np.uint64)
        self._lengths: NDArray[Any] = np.empty(0, np.uint32)
        self._recent: dict[int, tuple[int, int]] = {}  # lines that are not in the arrays yet
        self._removed: set[int] = set()

    def add(self, number: int, start: int, length: int) -> None:
        """Add a line after all others."""
        self._recent[number] = start, length
        self._removed.discard(number)
        if len(self._recent) >= max(_MOST_RECENT, len(self._numbers) // 4):
            self._merge()

    def add_all(self, numbers: NDArray[np.integer], starts: NDArray[np.integer], lengths: NDArray[np.integer]) -> None:
        """Add lines in the order of the file, after all others."""
        self._merge()
        numbers = np.concatenate([self._numbers, numbers.astype(np.uint32)])
        starts = np.concatenate([self._starts, starts.astype(np.uint64)])
        lengths = np.concatenate([self._lengths, lengths.astype(np.uint32)])
        if (numbers[1:] > numbers[:-1]).all():
            self._numbers, self._starts, self._lengths = numbers, starts, lengths
            return
        order = np.argsort(numbers, kind="stable")
        last = np.append(np.diff(numbers[order]) != 0, True)
        self._numbers, self._starts, self._lengths = (array[order[last]] for array in (numbers, starts, lengths))

    def find(self, number: int) -> tuple[int, int] | None:
        """Start and length of the line of a number; None if it has none."""
        if (found := self._recent.get(number)) is not None:
            return found
        place = None if number in self._removed else self._place(number)
        return None if place is None else (int(self._starts[place]), int(self._lengths[place]))

    def remove(self, number: int) -> None:
        """Forget the line of a number."""
        self._recent.pop(number, None)
        self._removed.add(number)

    def ordered(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Numbers in ascending order, with starts and lengths of their lines."""
        self._merge()
        if self._removed:
            kept = ~np.isin(self._numbers, np.fromiter(self._removed, np.uint32, len(self._removed)))
            self._numbers, self._starts, self._lengths = (
                array[kept] for array in (self._numbers, self._starts, self._lengths)
            )
            self._removed = set()
        return self._numbers, self._starts, self._lengths

    def _place(self, number: int) -> int | None:
        if not len(self._numbers) or not int(self._numbers[0]) <= number <= int(self._numbers[-1]):
            return None
        if int(self._numbers[-1]) - int(self._numbers[0]) + 1 == len(self._numbers):
            return number - int(self._numbers[0])
        place = int(np.searchsorted(self._numbers, np.uint32(number)))
        return place if self._numbers[place] == number else None

    def _merge(self) -> None:
        if self._recent:
            recent, self._recent = self._recent, {}
            numbers = np.fromiter(recent, np.uint32, len(recent))
            starts = np.fromiter((start for start, _ in recent.values()), np.uint64, len(recent))
            lengths = np.fromiter((length for _, length in recent.values()), np.uint32, len(recent))
            self.add_all(numbers, starts, lengths)
