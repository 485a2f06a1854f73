"""Measure the run loop on a GPU: seeds a second of the kernels alone, of `Engine.stream`, and of the loop of `run`.

    PYTHONPATH=.typing python benchmarks/gpu/run_loop.py --out gpu.json [--seconds 4]

Five types at 256 px, batch 32, whose layers up to 32 px are shared; seeds are drawn as `run` draws them. Every way
computes the same seeds, so the shares of the first way show what decoding, copies, latents and files cost. The script
adds the section `loop` to the results file; `run.py` has it as a stage. `--tiny` runs it at toy size on the CPU, where
figures mean nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import clock
import implementations
import torch
from results_file import Case, Record
from workload import SIZES, TINY_SIZES, Size, build, offset_from

from sgi.engine import intrinsics
from sgi.engine.api import Engine
from sgi.engine.backends.triton import TritonBackend
from sgi.engine.drawing import draw_ahead
from sgi.engine.generator import generator_sha256
from sgi.engine.offsets import Offset
from sgi.engine.run import pipeline
from sgi.engine.run.job import Job
from sgi.engine.run.record import RunRecord
from sgi.engine.seeds import Seeds, latents

SHARED_SIDE = 32
SECONDS = 4.0
MOST_WRITTEN = 1024  # seeds whose files are written: 3 GB of float32 maps in memory
TINY_SEEDS = 3
NAMES = ("image", *intrinsics.MAP_TYPES)


def open_backend(size: Size, device: str, count: int) -> TritonBackend:
    """The kernels with `count` types, whose layers up to SHARED_SIDE are shared; random weights and offsets."""
    generator = build(size, "cpu")
    sha256 = generator_sha256(generator)
    offsets: dict[str, Offset | None] = {}
    for seed, name in enumerate(NAMES[:count]):
        rows = offset_from(size.config, seed, min(SHARED_SIDE, size.config.resolution // 2)).numpy()
        offsets[name] = None if name == "image" else Offset(name, "w+", {"offset": rows}, sha256, noise_mode="const")
    return TritonBackend(generator, offsets, psi=implementations.PSI, device=device)


def ways(
    engine: Engine, size: Size, device: str, seeds: Callable[[float], Seeds]
) -> Iterator[tuple[str, Callable[[], float]]]:
    """(name, function that returns seeds a second); seeds: how many for this rate, at most what a way can take."""
    backend, batch = engine.backend, engine.batch
    assert isinstance(backend, TritonBackend)
    count = len(backend.artifact.type_names)
    offsets = [None, *(offset_from(size.config, seed, SHARED_SIDE) for seed in range(1, count))]
    z = implementations.latents(size, batch, device)
    rate = [float(batch)]

    def kernels() -> float:
        run = implementations.kernels(size, batch, device, count, offsets)
        rate[0] = 1e3 * batch / clock.measure(run, device)["ms"]
        return rate[0]

    def decoded() -> float:
        return 1e3 * batch / clock.measure(lambda: backend.run_on_device(z, implementations.PSI), device)["ms"]

    def drawn() -> float:
        given = seeds(rate[0])
        parts = (given[start : start + batch] for start in range(0, len(given), batch))
        drawn_rows = draw_ahead(lambda part: latents(part, size.config.z_dim), parts)
        return _rate(len(given), lambda: sum(len(rows) for rows in drawn_rows))

    def stream(as_codes: bool) -> float:
        given = seeds(rate[0])
        next(iter(engine.stream(seeds=given[:batch], as_codes=as_codes)))  # captures the graph
        return _rate(
            len(given), lambda: sum(len(maps["image"]) for maps in engine.stream(seeds=given, as_codes=as_codes))
        )

    def run(file_format: str) -> float:
        given = seeds(rate[0])[:MOST_WRITTEN]
        memory = Path("/dev/shm")
        with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
            record = RunRecord(
                "0" * 64, backend.artifact.type_names, implementations.PSI, None, file_format, 6, backend.name, device,
                batch=batch,
            )  # fmt: skip
            job, outcome = Job(Path(folder), given, record), pipeline.Outcome()
            pipeline.prepare(job, {})
            pipeline.run(engine, job, outcome)
            return outcome.written / outcome.seconds

    yield "kernels alone", kernels
    yield "kernels and decoding", decoded
    yield "latents alone", drawn
    yield "stream, float32", lambda: stream(False)
    yield "stream, codes", lambda: stream(True)
    yield "run, npy", lambda: run("npy")
    yield "run, png", lambda: run("png")


def rows(size: Size, device: str, count: int, seconds: float = SECONDS) -> Iterator[dict[str, Any]]:
    """A row for each way; share: of the rate of the kernels alone."""
    tiny = size in TINY_SIZES
    batch = size.batches[0]

    def seeds(rate: float) -> Seeds:
        many = TINY_SEEDS if tiny else max(4 * batch, int(rate * seconds))
        return Seeds([range(-(-many // batch) * batch)])

    with Engine(open_backend(size, device, count), batch) as engine:
        alone = 0.0
        for name, measured in ways(engine, size, device, seeds):
            rate = measured()
            alone = alone or rate
            yield {
                "way": name, "size": size.name, "batch": batch, "types": count, "seeds_per_second": rate,
                "share": rate / alone,
            }  # fmt: skip


def _rate(count: int, work: Callable[[], int]) -> float:
    start = time.perf_counter()
    assert work() == count
    return count / (time.perf_counter() - start)


def main() -> int:
    """Exit status 2 when a way raises."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path, help="results file, JSON; its other rows are kept")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each way")
    parser.add_argument("--tiny", action="store_true", help="toy size, also without a GPU")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not options.tiny:
        parser.error("no CUDA device: add --tiny to run the script at toy size on the CPU")
    size = TINY_SIZES[0] if options.tiny else SIZES[-1]
    record = Record(options.out)
    record.set_machine(clock.machine(device))
    record.run(Case("loop", size.name, lambda: rows(size, device, 2 if options.tiny else len(NAMES), options.seconds)))
    return 2 if record.results["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
