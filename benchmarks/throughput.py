"""Seeds a second of the bundled model by runtime, types and batch; generation alone, then with files written.

python benchmarks/throughput.py [ROUNDS]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from record import append

from sgi.engine import Engine, bundle
from sgi.engine.backends import installed_backends
from sgi.engine.seeds import latents

SEEDS = 256
TYPES = {"depth": ["depth"], "image and four maps": None}


def main(rounds: int) -> None:
    """Interleave all cases in one process, and append medians of seeds a second."""
    z = latents(range(SEEDS), Engine.open().artifact.z_dim).astype(np.float32)
    figures: dict[str, float] = {}
    for label, types in TYPES.items():
        for batch in (1, 8):
            engines = {
                name: Engine.open(backend=name, device="cpu", types=types, batch=batch)
                for name in installed_backends(bundle.MODEL, "cpu")
            }
            times: dict[str, list[float]] = {name: [] for name in engines}
            for turn in range(rounds + 1):
                for name, engine in engines.items():
                    start = time.perf_counter()
                    engine(z=z)
                    if turn:
                        times[name].append(time.perf_counter() - start)
            for name, took in times.items():
                figures[f"{label}, {name}, batch {batch}"] = round(SEEDS / statistics.median(took), 1)
    figures["run --seeds 0-999, all types, with files"] = round(1000 / whole_run(), 1)
    append("throughput", figures)


def whole_run() -> float:
    """Wall time of `run --seeds 0-999` with the bundled model, process start to preview."""
    command = str(Path(sys.executable).with_name("sgi-engine"))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        subprocess.run([command, "run", "--seeds", "0-999", "--outdir", folder], check=True, capture_output=True)
        return time.perf_counter() - start


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
