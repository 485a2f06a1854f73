"""Seeds a second of the bundled model by runtime, types and batch size, without and with writing files.

    python benchmarks/throughput.py [ROUNDS]

Files are written to $TMPDIR; TMPDIR=/dev/shm measures without the disk.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress

import numpy as np
from command import COMMAND
from record import append

from sgi.engine import Engine, bundle
from sgi.engine.backends import installed_backends
from sgi.engine.errors import UserError
from sgi.engine.seeds import latents

SEEDS = 256
IN_BF16 = " in bf16"
TYPES = {"depth": ["depth"], "image and four maps": None}


def main(rounds: int) -> None:
    """Run all cases in turn in one process, and append the medians of seeds a second."""
    z = latents(range(SEEDS), Engine.open().artifact.z_dim).astype(np.float32)
    figures: dict[str, float] = {}
    for label, types in TYPES.items():
        for batch in (1, 8):
            engines = {
                name: Engine.open(backend=backend, device="cpu", types=types, batch=batch, precision=precision)
                for name, (backend, precision) in ways().items()
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
    if any(name.endswith(IN_BF16) for name in ways()):
        figures["the same with --precision bf16"] = round(1000 / whole_run("--precision", "bf16"), 1)
    append("throughput", figures)


def ways() -> dict[str, tuple[str, str | None]]:
    """Name in the table -> backend and precision, for every way to run the bundled model on this CPU."""
    found: dict[str, tuple[str, str | None]] = {name: (name, None) for name in installed_backends(bundle.MODEL, "cpu")}
    for name in list(found):
        with suppress(UserError):
            Engine.open(backend=name, device="cpu", precision="bf16").close()
            found[f"{name}{IN_BF16}"] = (name, "bf16")
    return found


def whole_run(*flags: str) -> float:
    """Wall time of the whole process `run --seeds 0-999` with the bundled model and `flags`."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        call = [*COMMAND, "run", "--seeds", "0-999", "--outdir", folder, *flags]
        subprocess.run(call, check=True, capture_output=True)
        return time.perf_counter() - start


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
