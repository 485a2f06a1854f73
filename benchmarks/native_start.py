"""The C++ library's two promises in figures: start to first image under 0.15 s, overhead under 2 % of the bare runtime.

    python benchmarks/native_start.py [MODEL] [--build build/native-release]

Start is the whole of a process, `sgi-run MODEL --seeds 0 --format npy`: exec, runtime, model, one image, files written.
Build first with `make native-deps native` and `cmake --build build/native-release --target bench_overhead`.
"""

from __future__ import annotations

import argparse
import json
import os
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


def start_times(program: Path, model: Path, runs: int, types: str, environment: dict[str, str]) -> list[float]:
    """Seconds of each run from exec to exit; the first, which fills the page cache, is left out."""
    times = []
    with tempfile.TemporaryDirectory() as folder:
        command = [program, model, "--seeds", "0", "--format", "npy", "--outdir", folder]
        command += ["--type", types] if types else []
        for _ in range(runs + 1):
            begin = time.perf_counter()
            subprocess.run(command, check=True, env=environment)
            times.append(time.perf_counter() - begin)
    return times[1:]


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
        times = start_times(args.build / "engine/native/examples/sgi-run", args.model, args.runs, types, environment)
        figures[f"start_{name}_s"] = {"min": round(min(times), 4), "median": round(statistics.median(times), 4)}
    bench = args.build / "engine/native/tests/bench_overhead"
    printed = subprocess.run(
        [bench, args.model, str(args.calls)], env=environment, check=True, capture_output=True
    ).stdout
    figures["overhead"] = json.loads(printed)
    append("native_start", figures)


if __name__ == "__main__":
    main()
