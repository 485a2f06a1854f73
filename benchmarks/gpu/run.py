"""Check the kernels on a GPU, then measure them against torch, torch.compile, NVIDIA's code and the roofline bound.

    PYTHONPATH=.typing python benchmarks/gpu/run.py --out gpu.json [--stylegan3 FOLDER] [--minutes 9]

`make types` creates `.typing`; an installed package needs no PYTHONPATH. The script needs torch and triton. It starts
no new case after --minutes, writes the file after every row, and measures nothing if a check fails.
`--tiny` runs every section at toy sizes; without a GPU it runs on the CPU through Triton's interpreter.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

# Triton reads the variable when it is imported.
if "--tiny" in sys.argv and not Path("/dev/nvidiactl").exists():
    os.environ["TRITON_INTERPRET"] = "1"

import checks
import clock
import implementations
import measurements
import torch
from workload import SIZES, TINY_SIZES, Size

COMPILE_SECONDS = 240  # limit of each torch.compile case, which runs in a process of its own
WARMERS = 12  # processes that compile the kernels before anything is measured
WARM_SECONDS = 150
TINY_TYPES = 2


@dataclass(frozen=True)
class Case:
    """One measurement: rows of a section. warm: whether running it once compiles kernels of this project."""

    section: str
    name: str
    rows: Callable[[], Iterable[Any]]
    warm: bool = True


@dataclass
class Record:
    """The results file, written after every row."""

    path: Path | None
    results: dict[str, Any] = field(default_factory=lambda: {"failed": [], "skipped": []})

    def set(self, name: str, value: Any) -> None:
        """Write one entry."""
        self.results[name] = value
        if self.path is not None:
            self.path.write_text(json.dumps(self.results, indent=1))

    def run(self, case: Case) -> None:
        """Add the rows of a case; an exception is recorded and does not stop the other cases."""
        try:
            for row in case.rows():
                self.set(case.section, [*self.results.get(case.section, []), row])
                print(case.section, json.dumps(row), flush=True)
        except Exception as error:
            traceback.print_exc()
            text = f"{case.section}: {case.name}: {type(error).__name__}: {error}"
            self.set("failed", [*self.results["failed"], text])
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def check_cases(options: argparse.Namespace, sizes: tuple[Size, ...], device: str) -> Iterator[Case]:
    """The correctness checks."""
    for name, rows in checks.cases(sizes, device, options.tiny):
        yield Case("checks", name, rows)


def speed_cases(
    options: argparse.Namespace, sizes: tuple[Size, ...], device: str, rates: dict[str, float]
) -> Iterator[Case]:
    """The timed cases, the most important first."""
    pairs = [(size, batch) for size in sizes for batch in size.batches]

    def network(name: str, make: Callable[..., implementations.Run], size: Size, batch: int, warm: bool) -> Case:
        def rows() -> list[Any]:
            return [measurements.network(name, make, size, batch, device)]

        return Case("networks", f"{name}, {size.name}, batch {batch}", rows, warm)

    def bound(size: Size, batch: int) -> Case:
        def rows() -> list[Any]:
            return [{"size": size.name, "batch": batch, "ms": measurements.bound_ms(size, batch, rates)}]

        return Case("bounds", f"{size.name}, batch {batch}", rows, warm=False)

    def compiled(size: Size, batch: int) -> Case:
        return Case(
            "networks",
            f"torch.compile, {size.name}, batch {batch}",
            lambda: [in_other_process(options, ["--compiled", size.name, str(batch)], COMPILE_SECONDS)],
            warm=False,
        )

    yield from (bound(*pair) for pair in pairs)
    yield from (network("kernels", implementations.kernels, *pair, warm=True) for pair in pairs)
    yield from (network("torch", implementations.eager, *pair, warm=False) for pair in pairs)
    if options.stylegan3:
        nvidia = implementations.nvidia(options.stylegan3)
        yield from (network("NVIDIA stylegan3", nvidia, *pair, warm=False) for pair in pairs)
    count = TINY_TYPES if options.tiny else measurements.TYPES
    for batch in sizes[-1].batches[:2]:
        yield Case("types", f"batch {batch}", partial(measurements.types, sizes[-1], batch, device, count))
    for size in sizes[1:] or sizes:
        yield Case("fit", size.name, partial(measurements.fit, size, device))
    largest = sizes[0]
    batch = largest.batches[0]
    yield Case("layers", largest.name, lambda: measurements.layer_rows(largest, batch, device, rates))
    yield from (compiled(size, batch) for size, batch in pairs if batch != 8)
    yield network("kernels, tuned", implementations.tuned, *pairs[0], warm=False)
    yield from (compiled(size, batch) for size, batch in pairs if batch == 8)


def in_other_process(options: argparse.Namespace, arguments: list[str], seconds: float) -> Any:
    """The JSON in the last line that this script prints with other arguments; seconds: time limit."""
    command = [sys.executable, __file__, *arguments, "--out", str(options.out)]
    command += ["--tiny"] if options.tiny else []
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def warm_up(options: argparse.Namespace) -> None:
    """Compile the kernels of all cases in parallel processes; Triton caches the machine code on disk."""
    command = [sys.executable, __file__, "--out", str(options.out)]
    processes = [
        subprocess.Popen([*command, "--warm", str(i)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for i in range(WARMERS)
    ]
    end = time.monotonic() + WARM_SECONDS
    for process in processes:
        try:
            process.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()


def main() -> int:
    """Exit status 1 when a check fails, 2 when a case raises."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path, help="results file, JSON")
    parser.add_argument("--minutes", type=float, default=9.0, help="no new case starts after this time")
    parser.add_argument("--stylegan3", type=Path, help="folder of NVIDIA's stylegan3 repository")
    parser.add_argument("--tiny", action="store_true", help="toy sizes, also without a GPU")
    parser.add_argument("--compiled", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--warm", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not options.tiny:
        parser.error("no CUDA device: add --tiny to run the script at toy sizes on the CPU")
    sizes = TINY_SIZES if options.tiny else SIZES
    if options.compiled:
        name, batch = options.compiled
        size = next(size for size in sizes if size.name == name)
        print(json.dumps(measurements.network("torch.compile", implementations.compiled, size, int(batch), device)))
        return 0
    if options.warm is not None:
        clock.warming = True
        rates = {"matmul_fp16": 1.0, "copy": 1.0}
        cases = [*check_cases(options, sizes, device), *speed_cases(options, sizes, device, rates)]
        for case in [case for case in cases if case.warm][options.warm :: WARMERS]:
            Record(None).run(case)
        return 0

    record = Record(options.out)
    record.set("machine", clock.machine(device))
    if device == "cuda":
        warm_up(options)
    for case in check_cases(options, sizes, device):
        record.run(case)
    failures = [row for row in record.results["checks"] if not row["passed"]]
    if failures or record.results["failed"]:
        print(f"{len(failures)} checks failed or raised: nothing is measured", file=sys.stderr)
        return 1
    record.set("ceilings", clock.ceilings(device, options.tiny))
    for case in speed_cases(options, sizes, device, record.results["ceilings"]):
        if time.monotonic() < end:
            record.run(case)
        else:
            record.set("skipped", [*record.results["skipped"], f"{case.section}: {case.name}"])
    return 2 if record.results["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
