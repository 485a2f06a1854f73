"""The results file: every benchmark appends a line, and README tables are generated from the last line of each."""

from __future__ import annotations

import json
import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sgi.engine.version import __version__

RESULTS = Path(__file__).parent / "results.jsonl"
PACKAGES = ("numpy", "onnxruntime", "openvino", "torch", "triton")


def machine() -> dict[str, Any]:
    """Processor, usable cores, Python and package versions."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    versions = {"sgi-engine": __version__}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {"cpu": model, "cores": len(os.sched_getaffinity(0)), "python": platform.python_version(), **versions}


def append(benchmark: str, figures: dict[str, Any]) -> None:
    """Append a line: the benchmark's name, today's date, the machine and the figures."""
    line = {"benchmark": benchmark, "date": time.strftime("%Y-%m-%d"), "machine": machine(), "figures": figures}
    with RESULTS.open("a") as file:
        file.write(json.dumps(line, sort_keys=True) + "\n")
    print(json.dumps(figures, indent=1))


def lines(benchmark: str) -> list[dict[str, Any]]:
    """All lines of a benchmark, oldest first."""
    if not RESULTS.exists():
        return []
    found = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    return [line for line in found if line["benchmark"] == benchmark]


def latest(benchmark: str) -> dict[str, Any] | None:
    """The last line of a benchmark, or None."""
    return next(reversed(lines(benchmark)), None)
