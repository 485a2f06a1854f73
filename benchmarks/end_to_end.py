"""Seeds a second of `run` beside those of its parts, generation and encoding, in the same process.

    python benchmarks/end_to_end.py [--seeds N] [--rounds N] [--model FILE | --random SIDE]

The model is the bundled one, an exported one, or a network of random weights at this side (it needs torch). Generation
alone is `--format dummy`. The parts take turns with `run`, and the medians are compared: by the clock, which needs a
quiet machine, and by CPU time, which other work changes less. Files are written to $TMPDIR; TMPDIR=/dev/shm measures
without the disk. Appends a line to results.jsonl.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from record import append

from sgi.engine import Engine
from sgi.engine.codes import pixels_of
from sgi.engine.run import run_seeds
from sgi.engine.writers import CodedFormat, get_format

KEPT = 64
"""Seeds whose maps are encoded, again and again."""
FEW = 40
"""Seeds of the runs that measure the start, which the figures do not include; more than run on ONNX Runtime."""
CHANNELS = 16384
"""Channels times resolution of the random network: those of stylegan2-ada's configurations below 512 px."""


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--random", type=int, metavar="SIDE")
    options = parser.parse_args()
    if options.random is None:
        measure(options.seeds, options.rounds, options.model, str(options.model or "bundled"))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.onnx"
        write_random(path, options.random)
        measure(options.seeds, options.rounds, path, f"random, {options.random} px")


def measure(seeds: int, rounds: int, model: Path | None, name: str) -> None:
    """Measure the parts and the whole in turn, and append the medians."""
    with Engine.open(model, backend="onnxruntime") as engine:
        kept = list(engine.stream(seeds=f"0-{min(KEPT, seeds) - 1}"))
        kinds = {kind: engine.artifact.output(kind) for kind in kept[0]}
    png = get_format("png")
    assert isinstance(png, CodedFormat)
    encode, size = png.encode_batch, len(next(iter(kept[0].values())))

    def encode_all() -> None:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for done in pool.map(
                lambda n: [encode(kinds[k], pixels_of(kinds[k], v)) for k, v in kept[n % len(kept)].items()],
                range(seeds // size),
            ):
                del done

    def run(count: int, file_format: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            run_seeds(seeds=f"0-{count - 1}", outdir=folder, model=model, file_format=file_format)

    parts: dict[str, Callable[[], None]] = {
        "generation": lambda: run(seeds, "dummy"),
        "run": lambda: run(seeds, "png"),
        "encoding": encode_all,
        "start of generation": lambda: run(FEW, "dummy"),
        "start of run": lambda: run(FEW, "png"),
    }
    took: dict[str, list[tuple[float, float]]] = {part: [] for part in parts}
    for turn in range(rounds + 1):
        for part, do in parts.items():
            clock, cpu = time.perf_counter(), time.process_time()
            do()
            if turn:
                took[part].append((time.perf_counter() - clock, time.process_time() - cpu))
    medians = {part: [statistics.median(side) for side in zip(*found, strict=True)] for part, found in took.items()}
    # Seconds of the clock and of the processor for each seed.
    each = {"encoding": [value / (seeds // size * size) for value in medians["encoding"]]}
    for part in ("generation", "run"):
        pairs = zip(medians[part], medians[f"start of {part}"], strict=True)
        each[part] = [(whole - few) / (seeds - FEW) for whole, few in pairs]
    figures = {
        "model": name, "types": list(kinds), "seeds": seeds, "rounds": rounds,
        "seconds of start": round(medians["start of run"][0], 2),
        "seeds a second": {part: round(1 / pair[0], 1) for part, pair in each.items()},
        "CPU ms a seed": {part: round(pair[1] * 1000, 2) for part, pair in each.items()},
        "run, of the slower part": round(max(each["generation"][0], each["encoding"][0]) / each["run"][0], 3),
        "CPU time of generation in that of run": round(each["generation"][1] / each["run"][1], 3),
    }  # fmt: skip
    append("end_to_end", figures)


def write_random(path: Path, side: int) -> None:
    """Write a model of a network of random weights, whose one type is the image."""
    import onnx

    from sgi.engine import intrinsics
    from sgi.engine.generator import GeneratorConfig, random_generator
    from sgi.export.onnx import build, describe

    generator = random_generator(GeneratorConfig(side, channel_base=CHANNELS), seed=0)
    offsets = {intrinsics.IMAGE: None}
    artifact = describe(generator, offsets, psi=0.7, noise_mode="const", precision="fp32")
    onnx.save(build(generator, offsets, artifact), path)


if __name__ == "__main__":
    main()
