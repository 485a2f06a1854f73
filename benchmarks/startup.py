"""Wall time of whole processes: `--help`, and one seed of the bundled model by each runtime.

python benchmarks/startup.py [RUNS]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time

from command import COMMAND
from record import append

from sgi.engine import bundle
from sgi.engine.backends import installed_backends


def seconds(arguments: list[str]) -> float:
    """Wall time of one run of the command."""
    start = time.perf_counter()
    subprocess.run([*COMMAND, *arguments], check=True, capture_output=True)
    return time.perf_counter() - start


def main(runs: int) -> None:
    """Run the cases in turn, a warm-up first, and append the medians."""
    cases = {"--help": ["--help"], "run --seeds 0": ["run", "--seeds", "0"]}
    for name in installed_backends(bundle.MODEL, "cpu"):
        cases[f"run --seeds 0 --backend {name}"] = ["run", "--seeds", "0", "--backend", name]
    times: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(runs + 1):
        for name, arguments in cases.items():
            with tempfile.TemporaryDirectory() as folder:
                extra = [] if name == "--help" else ["--outdir", folder]
                took = seconds(arguments + extra)
            if turn:
                times[name].append(took)
    append("startup", {name: round(statistics.median(took), 3) for name, took in times.items()} | {"runs": runs})


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
