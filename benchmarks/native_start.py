"""The C++ library's start-up time and overhead; the targets are 0.15 s and 2 % of the bare runtime's time.

    python benchmarks/native_start.py [MODEL] [--build build/native-release]

The start-up time is that of the process `sgi-run MODEL --seeds 0 --format npy`: it loads the runtime and the model,
computes one image and writes its files. Build first with `make native-deps native` and
`cmake --build build/native-release --target bench_overhead`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from record import append

from sgi.engine import bundle

ROOT = Path(__file__).parents[1]


def start_times(program: Path, model: Path, runs: int, types: str, environment: dict[str, str]) -> dict[str, float]:
    """Seconds of wall time and of CPU time of the process; the first run, which fills the page cache, is left out.

    The CPU time is summed over all threads. It depends less on the load of the machine than the wall time.
    """
    times, cpu = [], []
    with tempfile.TemporaryDirectory() as folder:
        command = [str(program), str(model), "--seeds", "0", "--format", "npy", "--outdir", folder]
        command += ["--type", types] if types else []
        for _ in range(runs + 1):
            begin, begin_cpu = time.perf_counter(), children_cpu()
            subprocess.run(command, check=True, env=environment)
            times.append(time.perf_counter() - begin)
            cpu.append(children_cpu() - begin_cpu)
    figures = {"min": min(times[1:]), "median": statistics.median(times[1:]), "cpu": statistics.median(cpu[1:])}
    return {name: round(value, 4) for name, value in figures.items()}


def children_cpu() -> float:
    """Seconds of CPU time of all finished child processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Measure, print, and append a line to the results file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path, default=bundle.MODEL)
    parser.add_argument("--build", type=Path, default=ROOT / "build/native-release")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--calls", type=int, default=300)
    args = parser.parse_args()

    spec = find_spec("onnxruntime")
    environment = dict(os.environ)
    if spec is not None and spec.origin is not None:
        environment.setdefault("SGI_ORT_LIB", str(Path(spec.origin).parent / "capi"))
    figures: dict[str, Any] = {
        "model": args.model.name,
        "model_bytes": args.model.stat().st_size,
        "load": round(os.getloadavg()[0], 1),
    }
    for name, types in (("all_types", ""), ("image_only", "image")):
        program = args.build / "engine/native/examples/sgi-run"
        figures[f"start_{name}_s"] = start_times(program, args.model, args.runs, types, environment)
    bench = args.build / "engine/native/tests/bench_overhead"
    printed = subprocess.run(
        [bench, args.model, str(args.calls)], env=environment, check=True, capture_output=True
    ).stdout
    figures["overhead"] = json.loads(printed)
    append("native_start", figures)


if __name__ == "__main__":
    main()
