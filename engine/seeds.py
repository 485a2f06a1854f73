"""Lists of seeds, and the latents of seeds.

`0-5,9` is stored as ranges, so the memory does not depend on the number of seeds. The latent of a seed is NumPy's
legacy `RandomState(seed).randn(1, z_dim)`, with one random generator for each seed, as in NVIDIA's generate.py. The
latent of a seed therefore does not depend on the batch.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from operator import index
from pathlib import Path
from threading import local
from typing import overload

import numpy as np
from numpy.typing import NDArray

from sgi.engine.budget import read_text
from sgi.engine.errors import UserError, WrongTypeError, one_line

SEED_MAX = 2**32 - 1
DIGITS = 6
"""Least number of digits of a seed in file names, so that a folder can be extended to a million seeds."""
_REMEDY = "write seeds and inclusive ranges such as 0-5,9,12-14"
_SHOWN = 60  # characters of a wrong text that a message quotes
_SEPARATOR = re.compile(r"\s*,\s*|(?<![\s-])\s+(?![\s-])")  # not the spaces of "0 - 5"
_LARGEST_FILE = 1 << 26
_MOST_OVERLAPPING = 20_000
_ITEM = re.compile(r"(\d{1,20})(?:\s*-\s*(\d{1,20}))?")


class Seeds(Sequence[int]):
    """Distinct seeds in the given order, stored as ranges.

    Indexing, slicing (which returns Seeds), `len` and iteration work as on a list. duplicates: number of seeds that
    were dropped because they occurred before.
    """

    def __init__(self, ranges: Iterable[range], duplicates: int = 0) -> None:
        self.ranges = tuple(part for part in ranges if len(part))
        self.duplicates = duplicates
        self._ends = list(accumulate(len(part) for part in self.ranges))
        self._sorted: list[range] | None = None  # for `in`, made when it is needed
        self._starts: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None  # for `places`, in the same way

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[int]:
        for part in self.ranges:
            yield from part

    def __contains__(self, seed: object) -> bool:
        if not isinstance(seed, int):
            return False
        if self._sorted is None:
            self._sorted = sorted(self.ranges, key=lambda part: part.start)
        place = bisect_right(self._sorted, seed, key=lambda part: part.start)
        return place > 0 and seed in self._sorted[place - 1]

    @overload
    def __getitem__(self, item: int) -> int: ...
    @overload
    def __getitem__(self, item: slice) -> Seeds: ...
    def __getitem__(self, item: int | slice) -> int | Seeds:
        if isinstance(item, slice):
            start, stop, step = item.indices(len(self))
            if step != 1:
                return Seeds(range(self[i], self[i] + 1) for i in range(start, stop, step))
            return Seeds(self._between(start, stop))
        position = item + len(self) if item < 0 else item
        if not 0 <= position < len(self):
            raise IndexError(f"seed number {item} of {len(self)}")
        part = bisect_right(self._ends, position)
        return self.ranges[part][position - self._ends[part]]  # counted from the range's end

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Seeds) and self.ranges == other.ranges

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Seeds({str(self)!r})"

    def __str__(self) -> str:
        """The text that `parse_seeds` reads: `0-5,9`."""
        return ",".join(f"{r[0]}-{r[-1]}" if len(r) > 1 else f"{r[0]}" for r in self.ranges)

    def union(self, other: Seeds | None = None) -> Seeds:
        """The seeds of both in ascending order, in as few ranges as possible."""
        merged: list[range] = []
        for part in sorted((*self.ranges, *(other.ranges if other else ())), key=lambda part: part.start):
            if merged and part.start <= merged[-1].stop:
                merged[-1] = range(merged[-1].start, max(merged[-1].stop, part.stop))
            else:
                merged.append(part)
        return Seeds(merged)

    def places(self, seeds: NDArray[np.integer]) -> NDArray[np.int64]:
        """Positions [N] in the list of seeds [N], all of which are in it."""
        if self._starts is None:
            counts = np.array([0, *self._ends[:-1]], np.int64)
            starts = np.array([part.start for part in self.ranges], np.int64)
            order = np.argsort(starts)
            self._starts = starts[order], counts[order]
        firsts, before = self._starts
        part = np.searchsorted(firsts, seeds, "right") - 1
        return before[part] + seeds - firsts[part]

    def index(self, value: int, start: int = 0, stop: int | None = None) -> int:
        """The position of a seed; raises ValueError if the list does not have it between `start` and `stop`."""
        place = int(self.places(np.array([value], np.int64))[0]) if value in self else -1
        if not start <= place < (len(self) if stop is None else stop):
            raise ValueError(f"{value} is not in the list")
        return place

    def bounds(self, part: int, count: int) -> tuple[int, int]:
        """Position of the first seed of a shard, and position after its last."""
        return len(self) * (part - 1) // count, len(self) * part // count

    def without(self, seeds: Iterable[int]) -> Seeds:
        """The seeds, in ascending order, that are not in `seeds`, which ascend."""
        left: list[range] = []
        taken = iter(seeds)
        seed = next(taken, None)
        for part in self.union().ranges:
            start = part.start
            while seed is not None and seed < part.stop:
                if seed >= start:
                    left.append(range(start, seed))
                    start = seed + 1
                seed = next(taken, None)
            left.append(range(start, part.stop))
        return Seeds(left)

    @property
    def digits(self) -> int:
        """Number of decimal digits to which file names of these seeds are padded, at least 6."""
        return max(DIGITS, self.needed_digits)

    @property
    def needed_digits(self) -> int:
        """Number of decimal digits of the largest seed."""
        return len(str(max((part[-1] for part in self.ranges), default=0)))

    def shard(self, part: int, count: int) -> Seeds:
        """Part `part`, counted from 1, of `count` contiguous parts; their sizes differ by at most one."""
        return self[slice(*self.bounds(part, count))]

    def _between(self, start: int, stop: int) -> Iterator[range]:
        for i in range(bisect_right(self._ends, start), len(self.ranges)):
            begin = self._ends[i] - len(self.ranges[i])
            if begin >= stop:
                break
            yield self.ranges[i][max(start - begin, 0) : stop - begin]


def parse_seeds(text: str) -> Seeds:
    """Parse `0-5,9, 12-14`: seeds and inclusive ranges. The order is kept; duplicates are dropped and counted.

    Raises UserError for an empty list, a reversed range, and anything outside 0 to 2^32 - 1.
    """
    if not text.strip():
        raise UserError(f"`seeds` is empty: {_REMEDY}")
    shown = f"`seeds={one_line(text, _SHOWN)}`"
    return _distinct(_parse_item(item.strip(), shown) for item in text.split(","))


def read_seeds(path: str | Path) -> Seeds:
    """The seeds of a text file: seeds and ranges, separated by commas, spaces or lines; # starts a comment.

    Raises UserError for a file that cannot be read, and with the line number for a line that is wrong.
    """
    try:
        lines = read_text(path, _LARGEST_FILE, "utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise UserError(f"`seeds_file={path}`: {reason}") from None
    ranges: list[range] = []
    for number, line in enumerate(lines, 1):
        if text := line.partition("#")[0].strip():
            ranges += [_parse_item(item, f"`seeds_file={path}`, line {number}") for item in _SEPARATOR.split(text)]
    if not ranges:
        raise UserError(f"`seeds_file={path}`: it has no seeds; {_REMEDY}, on one or more lines")
    return _distinct(ranges, f"`seeds_file={path}`")


def as_seeds(seeds: str | int | Iterable[int]) -> Sequence[int]:
    """The seeds of a Python call: text for `parse_seeds`, one integer, or an iterable of integers, duplicates kept.

    Raises UserError for a seed outside 0 to 2^32 - 1, and for one that is no integer.
    """
    if isinstance(seeds, Seeds):
        return seeds
    if isinstance(seeds, str):
        return parse_seeds(seeds)
    values = [_integer(seed) for seed in (seeds if isinstance(seeds, Iterable) else [seeds])]
    for value in values:
        if not 0 <= value <= SEED_MAX:
            raise UserError(f"`seeds={value}`: a seed is an integer from 0 to {SEED_MAX}")
    return values


def parse_shard(text: str) -> tuple[int, int]:
    """Parse `k/n`, part k of n counted from 1; raises UserError for anything else."""
    match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
    if match and 1 <= int(match[1]) <= int(match[2]):
        return int(match[1]), int(match[2])
    raise UserError(f"`shard={one_line(text, _SHOWN)}`: write k/n with k from 1 to n, such as 1/4")


class _Generators(local):
    """A generator for each thread, seeded for one seed after another.

    A new RandomState reads random numbers of the system first, which takes longer than to draw a latent.
    """

    def __init__(self) -> None:
        self.random = np.random.RandomState(0)


_generators = _Generators()


def latents(seeds: Iterable[int], z_dim: int) -> np.ndarray:
    """Latents z [N, z_dim] float64; row i is exactly `RandomState(seeds[i]).randn(1, z_dim)`."""
    given = seeds if isinstance(seeds, Sequence) else list(seeds)
    found = np.empty((len(given), z_dim))
    seed, draw = _generators.random.seed, _generators.random.randn
    for row, value in zip(found, given, strict=True):
        seed(value)
        row[:] = draw(z_dim)
    return found


def seed_stem(seed: int, digits: int = DIGITS, item: str = "seed") -> str:
    """The start of the file names of a seed: `seed000042` for 42 with 6 digits. item: what the number is of."""
    return f"{item}{seed:0{digits}d}"


def _integer(seed: object) -> int:
    try:
        return index(seed)  # type: ignore[arg-type]
    except TypeError:
        raise WrongTypeError("seeds", seed, f"a seed is an integer from 0 to {SEED_MAX}") from None


def _parse_item(item: str, where: str) -> range:
    """The seeds of `7` or `5-9`. where: the words before the reason of an error."""
    match = _ITEM.fullmatch(item)
    if not match:
        what = "an item is empty" if not item else f"'{one_line(item, _SHOWN)}' is neither a seed nor a range"
        raise UserError(f"{where}: {what}; {_REMEDY}")
    first, last = int(match[1]), int(match[2] or match[1])
    if max(first, last) > SEED_MAX:
        raise UserError(f"{where}: {max(first, last)} is more than the largest seed, {SEED_MAX}")
    if last < first:
        raise UserError(f"{where}: the range {item} is reversed; write {last}-{first}")
    return range(first, last + 1)


def _distinct(given: Iterable[range], where: str = "`seeds`") -> Seeds:
    parts = list(given)
    ascending = sorted(parts, key=lambda part: part.start)
    if all(one.stop <= other.start for one, other in pairwise(ascending)):
        return Seeds(parts)
    if len(parts) > _MOST_OVERLAPPING:  # what follows takes the square of their number
        single = list(dict.fromkeys(parts))
        ascending = sorted(single, key=lambda part: part.start)
        if not all(one.stop <= other.start for one, other in pairwise(ascending)):
            raise UserError(f"{where}: {len(parts)} items, and ranges among them overlap; write each seed once")
        return Seeds(single, sum(map(len, parts)) - sum(map(len, single)))
    kept: list[range] = []
    starts: list[int] = []  # disjoint intervals seen so far, sorted; stops[i] is one past the last
    stops: list[int] = []
    duplicates = 0
    for part in parts:
        begin, end = part.start, part.stop
        low, high = bisect_left(stops, begin), bisect_right(starts, end)  # intervals touching [begin, end)
        position = begin
        for i in range(low, high):
            kept.append(range(position, max(position, starts[i])))
            duplicates += max(0, min(end, stops[i]) - max(position, starts[i]))
            position = max(position, stops[i])
        kept.append(range(position, max(position, end)))
        starts[low:high] = [min([begin, *starts[low:high]])]
        stops[low:high] = [max([end, *stops[low:high]])]
    return Seeds(kept, duplicates)
