"""A million seeds: the time to open a manifest, and the memory of a run.

    python benchmarks/million.py [--seeds 1000000] [--types 5] [--minutes 5] [--format npy-stack] [--record]

First a manifest of this many lines is written as a run of loose files leaves it, and opened: once into the page cache,
then three times; the median counts. Then `run_seeds` writes the maps of a model of 4 px in the format, in a process of
its own; its resident memory is read at every tenth of the run. The run is stopped after --minutes; the figures state
the seeds that it made.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from command import COMMAND
from record import append

from sgi.engine.run.accepted_lines import AcceptedLines
from sgi.engine.run.manifest import Line, Manifest
from sgi.engine.run.record import RunRecord
from sgi.engine.seeds import Seeds

TYPES = ("image", "depth", "normal", "albedo", "shading")


def main() -> None:
    """Measure both, and print or append the figures."""
    parser = argparse.ArgumentParser(description="a million seeds")
    parser.add_argument("--seeds", type=int, default=1_000_000)
    parser.add_argument("--types", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--format", default="npy-stack")
    parser.add_argument("--record", action="store_true", help="append the figures to results.jsonl")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = opening(Path(folder), given.seeds, TYPES[: given.types])
    with tempfile.TemporaryDirectory() as folder:
        figures |= running(Path(folder), given.seeds, given.format, given.minutes)
    if given.record:
        append("million", figures)
    else:
        print(json.dumps(figures, indent=1))


def opening(folder: Path, count: int, types: tuple[str, ...]) -> dict[str, Any]:
    """Seconds to open a manifest of `count` lines, and to find and parse 10,000 of them."""
    record = RunRecord("a" * 64, types, 0.7, None, "png", 6, "onnxruntime", "cpu")
    path = folder / "manifest.jsonl"
    with path.open("wb") as file:
        for seed in range(count):
            hashes = {name: f"{seed * 31 + place:064x}" for place, name in enumerate(types)}
            line = Line(seed, record.file_names(seed), dict.fromkeys(types, 1000 + seed % 9000), hashes)
            file.write(msgspec.json.encode(line) + b"\n")
    accept = AcceptedLines(record, Seeds([range(count)]))
    times, busy = [], []
    for _ in range(4):
        began, worked = time.perf_counter(), time.process_time()
        manifest = Manifest(path, accept=accept)
        times.append(time.perf_counter() - began)
        busy.append(time.process_time() - worked)
        assert (len(manifest.numbers), manifest.wrong) == (count, 0)
        manifest.close()
    with Manifest(path, accept=accept) as manifest:
        began = time.perf_counter()
        assert all(manifest[seed].seed == seed for seed in range(0, count, max(count // 10_000, 1)))
        found = time.perf_counter() - began
    return {
        "lines": count, "types": len(types), "MB of the manifest": round(path.stat().st_size / 1e6),
        "seconds to open it": round(statistics.median(times[1:]), 2),
        "of the processor": round(statistics.median(busy[1:]), 2),
        "seconds to read 10,000 lines": round(found, 3),
    }  # fmt: skip


def running(folder: Path, count: int, file_format: str, minutes: float) -> dict[str, Any]:
    """Seeds made, seeds a second, and memory over the run of a 4 px model of one type."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from tiny_models import describe, write_model

    model = write_model(folder / "four.onnx", describe(("depth",), resolution=4))
    options = ["--seeds", f"0-{count - 1}", "--model", str(model), "--backend", "onnxruntime", "--threads", "1"]
    call = [*COMMAND, "run", *options, "--batch", "64", "--format", file_format, "--outdir", str(folder / "out")]
    memory: list[tuple[int, float]] = []
    last: dict[str, Any] = {}
    stopped = False
    began = time.monotonic()
    with subprocess.Popen([*call, "--json", "--no-preview"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for text in process.stdout:
            line = json.loads(text)
            if line["event"] == "progress":
                last = line
                if line["done"] >= count * len(memory) / 10 and line["done"]:
                    with suppress(OSError):
                        memory.append((line["done"], resident(process.pid)))
            if not stopped and time.monotonic() - began > 60 * minutes:
                stopped = True
                process.send_signal(signal.SIGTERM)
    if process.returncode not in (0, 143):
        raise SystemExit(f"the run ended with {process.returncode}")
    return {
        "format": file_format, "seeds made": last["done"], "of": count,
        "seeds a second": round(last["done"] / last["seconds"]),
        "MB of memory by seeds": {str(done): size for done, size in memory},
    }  # fmt: skip


def resident(process: int) -> float:
    """Resident memory of a process in MB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return round(pages * 4096 / 1e6, 1)


if __name__ == "__main__":
    main()
