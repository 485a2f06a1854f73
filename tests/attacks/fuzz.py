"""Changes good checkpoints at random for a given time and counts the results.

`python tests/attacks/fuzz.py --minutes 10 [--seed 0]` stops with exit code 1 at the first file that gives neither a
network nor a one-line error, that takes more than SLOW seconds of processor time, or for which the audit hook of
`victim` records an event. The file is saved beside this one.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import checkpoint_files as files
from attacks import hostile, victim
from safetensors.torch import save as safetensors_bytes

from sgi.engine.errors import UserError
from sgi.engine.generator import Generator, GeneratorConfig, random_generator, save_generator
from sgi.engine.generator.checkpoints import load, report

SLOW = 10.0
INTERESTING = (
    b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff" * 4, b"\xff" * 8, bytes(4), b"\x00\x00\x00\x80", b"(", b"R", b".",
    b"b", b"cos\nsystem\n", b"cbuiltins\neval\n", b"h\x00", b"q\x00", b"\x94", b"\x93", b"PK\x01\x02",
)  # fmt: skip


def corpus(folder: Path) -> list[bytes]:
    """Good files of every format, and the small malicious files."""
    config = GeneratorConfig(16, z_dim=4, w_dim=4, mapping_layers=1, channel_base=64, channel_max=4)
    generator = random_generator(config, seed=0)
    save_generator(folder / "generator.safetensors", generator)
    good = [
        files.nvidia(generator),
        files.nvidia(generator, protocol=4),
        files.tensorflow(generator),
        files.rosinality(generator),
        files.rosinality(generator, zipped=False),
        files.encoder(generator),
        safetensors_bytes(dict(generator.state_dict())),
        (folder / "generator.safetensors").read_bytes(),
    ]
    bad = [data for data, _ in hostile.every(generator, str(folder / "canary")).values() if len(data) < 100_000]
    return good * (1 + len(bad) // len(good)) + bad


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


def try_file(path: Path) -> str:
    """The result for one file: `network`, `refused`, or the defect."""
    results = []
    for read in (load, report):
        victim.watching = True
        try:
            result = read(path)
            results.append("network" if isinstance(result, Generator | dict) else f"a {type(result).__name__}")
        except UserError as error:
            line = str(error)
            results.append("refused" if line.startswith(f"{path}: ") and line.isprintable() else f"unclear: {line!r}")
        except BaseException as error:
            results.append(f"{type(error).__name__}: {error}")
        finally:
            victim.watching = False
    defects = [line for line in results if line not in ("network", "refused")] + victim.events
    return f"defect: {defects[0]}" if defects else results[0]


def main() -> int:
    """Fuzz for the given time; returns 1 after a defect."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    dice, counts = random.Random(options.seed), Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = corpus(folder)
        path = folder / "fuzzed"
        for data in sources[:8]:
            path.write_bytes(data)
            try_file(path)
        sys.addaudithook(victim.watch)
        end = time.monotonic() + 60 * options.minutes
        while time.monotonic() < end:
            data = changed(sources, dice)
            path.write_bytes(data)
            start = time.process_time()
            outcome = try_file(path)
            seconds = time.process_time() - start
            if seconds > SLOW:
                outcome = f"defect: {seconds:.1f} s"
            counts[outcome] += 1
            if outcome.startswith("defect") or (folder / "canary").exists():
                Path("fuzz-defect.bin").write_bytes(data)
                print(f"after {counts.total()} files: {outcome}; kept as fuzz-defect.bin")
                return 1
    print(f"{counts.total()} files in {options.minutes:g} min: {dict(counts)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
