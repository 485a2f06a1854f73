"""Changes good files of every kind at random for a given time, and counts what reading them does.

`python tests/attacks/fuzz.py --minutes 20 [--seed 0] [--keep-going]`. A file must be read or refused with one printable
line, within MOST_SECONDS and MOST_BYTES of `reader`, and no checkpoint may cause an event that `victim` watches. The
exit code is 1 after a defect; its file is kept in the folder fuzz-defects.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from attacks import hostile
from attacks.file_kinds import SMALL, Kind, all_kinds
from attacks.generated import WRONG, Change, attacks, paths_of, with_value
from attacks.reader import Answer, ReaderProcess

from sgi.engine.generator import random_generator

INTERESTING = (
    b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff" * 4, b"\xff" * 8, bytes(4), b"\x00\x00\x00\x80", b"(", b"R", b".",
    b"b", b"cos\nsystem\n", b"cbuiltins\neval\n", b"h\x00", b"q\x00", b"\x94", b"\x93", b"PK\x01\x02", b"[", b"{", b'"',
    b"NaN", b"1e999", b"\x1b[31m", b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\n", b"&a ", b"*a",
)  # fmt: skip
DEFECTS = Path("fuzz-defects")
HEAVY = ("list", "dict", "texts", "long text", "5000 digits")
"""Ends of the names of values that take long to write and to read; they are drawn less often."""
LIGHT = [name for name in WRONG if not name.endswith(HEAVY)]


def flip(data: bytearray, dice: random.Random) -> None:
    """Change a few bytes."""
    for _ in range(dice.randint(1, 8)):
        data[dice.randrange(len(data))] = dice.randrange(256)


def overwrite(data: bytearray, dice: random.Random) -> None:
    """Overwrite bytes with a meaningful sequence."""
    place, what = dice.randrange(len(data)), dice.choice(INTERESTING)
    data[place : place + len(what)] = what


def insert(data: bytearray, dice: random.Random) -> None:
    """Insert a meaningful sequence."""
    place = dice.randrange(len(data))
    data[place:place] = dice.choice(INTERESTING)


def delete(data: bytearray, dice: random.Random) -> None:
    """Remove some bytes."""
    place = dice.randrange(len(data))
    del data[place : place + dice.randint(1, 64)]


def repeat(data: bytearray, dice: random.Random) -> None:
    """Copy some bytes to the same or another position."""
    start = dice.randrange(len(data))
    place = dice.choice((start, dice.randrange(len(data))))
    data[place:place] = data[start : start + dice.randint(1, 2000)]


def cut(data: bytearray, dice: random.Random) -> None:
    """Truncate the file."""
    del data[dice.randrange(len(data)) :]


def add(data: bytearray, dice: random.Random) -> None:
    """Add 1 to a byte or subtract 1: counts, codes, memo indices."""
    place = dice.randrange(len(data))
    data[place] = (data[place] + dice.choice((-1, 1))) % 256


CHANGES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    flip,
    overwrite,
    insert,
    delete,
    repeat,
    cut,
    add,
    add,
)


def changed(sources: list[bytes], dice: random.Random) -> bytes:
    """A file of the corpus after one to four changes, most of them near its start, which has most of the structure."""
    data = bytearray(dice.choice(sources))
    for _ in range(dice.randint(1, 4)):
        if not data:
            break
        head = bytearray(data[: dice.choice((300, 3000, len(data)))])
        rest = data[len(head) :]
        dice.choice(CHANGES)(head, dice)
        data = head + rest
    return bytes(data)


class Corpus:
    """Good files of every kind, the attacks on them, and the malicious checkpoints of `hostile`."""

    def __init__(self, folder: Path) -> None:
        self.kinds = all_kinds(folder / "good")
        self._attacks: dict[str, dict[str, Change]] = {}
        every = hostile.every(random_generator(SMALL, seed=0), str(folder / "canary"))
        self._checkpoints = [data for data, _ in every.values() if len(data) < 100_000]

    def draw(self, name: str, dice: random.Random) -> tuple[str, Change]:
        """A random attack on a kind: one of `generated`, other JSON, or changed bytes."""
        kind = self.kinds[name]
        ways: list[Callable[[], tuple[str, Change]]] = [
            lambda: self._generated(name, dice),
            lambda: self._bytes(name, dice),
        ]
        if kind.embed is not None:
            ways.append(lambda: self._json(kind, dice))
        return dice.choice(ways)()

    def _generated(self, name: str, dice: random.Random) -> tuple[str, Change]:
        if name not in self._attacks:
            self._attacks[name] = attacks(self.kinds[name])
        every = self._attacks[name]
        what = dice.choice(list(every))
        if what.endswith(HEAVY) and dice.random() < 0.8:
            what = dice.choice(list(every))
        return what, every[what]

    def _bytes(self, name: str, dice: random.Random) -> tuple[str, Change]:
        kind = self.kinds[name]
        malicious = name.endswith((".pkl", ".pt")) and dice.random() < 0.5
        data = changed(self._checkpoints if malicious else [kind.data], dice)
        return "changed bytes", lambda root: _write(root / kind.file, data)

    def _json(self, kind: Kind, dice: random.Random) -> tuple[str, Change]:
        assert kind.embed is not None
        values, what, text = kind.values, [], ""
        for _ in range(dice.randint(1, 3)):
            path = dice.choice(list(paths_of(values)))
            name = dice.choice(LIGHT if dice.random() < 0.9 else list(WRONG))
            value = WRONG[name]
            text = with_value(values, path, value)
            what.append(f"{'.'.join(map(str, path))}: {name}")
            if isinstance(value, str) or not path:  # raw text, or nothing is left to change
                break
            values = _changed(values, path, value)
        data = kind.embed(kind.data, text)
        return "; ".join(what), lambda root: _write(root / kind.file, data)


def _changed(values: object, path: tuple[object, ...], value: object) -> object:
    import json

    return json.loads(with_value(values, path, value))


def _write(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def report(counts: Counter[str], slowest: tuple[Answer, str], largest: tuple[Answer, str]) -> str:
    """The result of fuzzing in one line."""
    return (
        f"{counts.total()} files: {dict(counts)}; longest {slowest[0].seconds:.2f} s ({slowest[1]}), most memory "
        f"{largest[0].memory >> 20} MiB ({largest[1]})"
    )


def main() -> int:
    """Fuzz for the given time; returns 1 after a defect."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first defect")
    parser.add_argument("--kind", action="append", help="only this kind; repeat it")
    options = parser.parse_args()
    dice, counts = random.Random(options.seed), Counter[str]()
    nothing = Answer("", 0, 0), ""
    slowest, largest = nothing, nothing
    with tempfile.TemporaryDirectory() as name, ReaderProcess(Path(name)) as reader:
        corpus = Corpus(Path(name))
        names = options.kind or list(corpus.kinds)
        end = time.monotonic() + 60 * options.minutes
        while time.monotonic() < end:
            kind = dice.choice(names)
            what, change = corpus.draw(kind, dice)
            answer = reader.attack(kind, corpus.kinds[kind], change)
            label = f"{kind}, {what}"[:200]
            slowest = max(slowest, (answer, label), key=lambda found: found[0].seconds)
            largest = max(largest, (answer, label), key=lambda found: found[0].memory)
            defect = answer.defect or ("code was executed" if (Path(name) / "canary").exists() else None)
            counts["defect" if defect else answer.outcome] += 1
            if defect:
                kept = DEFECTS / str(counts.total())
                shutil.copytree(reader.root, kept, symlinks=True, ignore=lambda *_: ["pipe"], dirs_exist_ok=True)
                print(f"{label}: {defect[:300]}; kept in {kept}", flush=True)
                if not options.keep_going:
                    break
    print(report(counts, slowest, largest))
    return 1 if counts["defect"] else 0


if __name__ == "__main__":
    sys.exit(main())
