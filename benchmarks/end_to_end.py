"""Seeds a second of `run` beside those of its parts, generation and encoding, in the same process.

    python benchmarks/end_to_end.py [SEEDS] [ROUNDS] [MODEL]

MODEL: an exported model; the bundled one if it is left out. The parts take turns with `run`, and the medians are
compared: by the clock, which needs a quiet machine, and by CPU time, which does not. Files are written to $TMPDIR;
TMPDIR=/dev/shm measures without the disk.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from record import append

from sgi.engine import Engine
from sgi.engine.run import run_seeds
from sgi.engine.writers import get_format

KEPT = 64
"""Seeds whose maps are encoded, again and again."""
FEW = 8
"""Seeds of the run that measures the start, which the figures of `run` do not include."""


def main(seeds: int, rounds: int, model: str | None) -> None:
    """Measure the parts and the whole in turn, and append the medians."""
    with Engine.open(model) if model else Engine.open() as engine:
        kept = list(engine.stream(seeds=f"0-{min(KEPT, seeds) - 1}"))
        kinds = {name: engine.artifact.output(name) for name in kept[0]}
        encode = get_format("png").encode
        rows = [
            {name: stack[row] for name, stack in maps.items()} for maps in kept for row in range(len(stack_of(maps)))
        ]

        def generate() -> None:
            for _ in engine.stream(seeds=f"0-{seeds - 1}"):
                pass

        def encode_all() -> None:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                for done in pool.map(
                    lambda n: [encode(kinds[k], v) for k, v in rows[n % len(rows)].items()], range(seeds)
                ):
                    del done

        def run(count: int) -> None:
            with tempfile.TemporaryDirectory() as folder:
                run_seeds(seeds=f"0-{count - 1}", outdir=folder, model=model)

        parts: dict[str, Callable[[], None]] = {
            "generation": generate, "encoding": encode_all, "start": lambda: run(FEW), "run": lambda: run(seeds),
        }  # fmt: skip
        took: dict[str, list[tuple[float, float]]] = {name: [] for name in parts}
        for turn in range(rounds + 1):
            for name, part in parts.items():
                clock, cpu = time.perf_counter(), time.process_time()
                part()
                if turn:
                    took[name].append((time.perf_counter() - clock, time.process_time() - cpu))
    medians = {name: [statistics.median(side) for side in zip(*found, strict=True)] for name, found in took.items()}
    start = medians.pop("start")
    # Seconds of the clock and of the processor for each seed.
    each = {name: [value / seeds for value in pair] for name, pair in medians.items()}
    each["run"] = [(whole - few) / (seeds - FEW) for whole, few in zip(medians["run"], start, strict=True)]
    figures = {
        "model": model or "bundled", "types": list(kinds), "seeds": seeds, "rounds": rounds,
        "seconds of start": round(start[0], 2),
        "seeds a second": {name: round(1 / pair[0], 1) for name, pair in each.items()},
        "CPU ms a seed": {name: round(pair[1] * 1000, 2) for name, pair in each.items()},
        "run, of the slower part": round(max(each["generation"][0], each["encoding"][0]) / each["run"][0], 3),
        "CPU time of generation in that of run": round(each["generation"][1] / each["run"][1], 3),
    }  # fmt: skip
    append("end_to_end", figures)


def stack_of(maps: dict) -> list:
    """The maps of one of the types."""
    return next(iter(maps.values()))


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(
        int(arguments[0]) if arguments else 1000,
        int(arguments[1]) if len(arguments) > 1 else 5,
        arguments[2] if len(arguments) > 2 else None,
    )
