"""Time, memory, start and error of everything that can generate a picture on a CPU, side by side.

    python benchmarks/peers.py [--nvidia FOLDER] [--rosinality FOLDER] [--only TEXT ...] [--minutes M] [--rounds N]

All implementations of a case are open in one process, have the same weights and take turns; the figure is the median of
their passes. Peak memory and the time from the start of a process to its first picture are those of a process of its
own. The error is the RMS of the difference from float64, relative to the RMS of the values. --nvidia: a checkout of
NVIDIA's stylegan2-ada-pytorch; --rosinality: of stylegan2-pytorch. --only, --without: cases or implementations whose
name contains TEXT. Cases run in the order of CASES, and none starts after --minutes. The README's table shows the last
figures of each case. The cores should be free.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from peer_runtimes import Files, Peer, Render, peers, reference

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "peers"
SEEDS_OF_ERROR = 2
LEAST_SECONDS = 0.05
"""A turn repeats a pass until it takes about this long."""
LEAST_ROUNDS = 3
FEW_PASSES = 3


@dataclass(frozen=True)
class Case:
    """A generator, a batch, and the outputs. base: channel base of random weights, None for the bundled model."""

    name: str
    batch: int
    resolution: int = 64
    base: int | None = None
    types: tuple[str, ...] | None = ("image",)

    @property
    def title(self) -> str:
        """Name in tables and of --only."""
        return f"{self.name}, batch {self.batch}"


CASES = (
    Case("256 px", 1, 256, 16384),
    Case("1024 px", 1, 1024, 32768),
    Case("64 px", 1),
    Case("256 px", 8, 256, 16384),
    Case("256 px wide", 1, 256, 32768),
    Case("64 px", 8),
    Case("64 px, image and four maps", 1, types=None),
    Case("64 px, image and four maps", 8, types=None),
    Case("256 px wide", 8, 256, 32768),
    Case("1024 px", 8, 1024, 32768),
    Case("tiny", 1, 16, 256),
)
"""In the order of their worth. `tiny` is for tests: it runs only where --only names it."""


def files_of(case: Case, folder: Path) -> Files:
    """The files of a generator, made where they are missing."""
    from sgi.engine import bundle

    if case.base is None:
        return Files(bundle.MODEL, bundle.GENERATOR, case.types)
    stem = folder / f"{case.resolution}-{case.base}"
    found = Files(stem.with_suffix(".onnx"), stem.with_suffix(".safetensors"), case.types)
    if not (found.model.exists() and found.generator.exists()):
        write(case, found)
    return found


def write(case: Case, files: Files) -> None:
    """Make a generator of random weights and its export, without the comparison with torch, which takes minutes."""
    import onnx

    from sgi.engine.generator import GeneratorConfig, random_generator, save_generator
    from sgi.export.onnx import build, describe

    files.model.parent.mkdir(parents=True, exist_ok=True)
    config = GeneratorConfig(case.resolution, channel_base=case.base or 0)
    generator = random_generator(config, seed=0)
    save_generator(files.generator, generator)
    onnx.save(build(generator, {"image": None}, describe(generator, {"image": None})), files.model)


def latents_of(case: Case, files: Files) -> np.ndarray:
    """z [batch, z_dim] float32."""
    from sgi.engine.artifact import Artifact
    from sgi.engine.seeds import latents

    return latents(range(max(case.batch, SEEDS_OF_ERROR)), Artifact.read(files.model).z_dim).astype(np.float32)


def measure(
    case: Case, files: Files, chosen: list[Peer], threads: int, rounds: int, seconds: float
) -> dict[str, dict[str, Any]]:
    """Median ms an image and error of each implementation, in turns; an implementation that fails has its reason."""
    z = latents_of(case, files)
    exact = reference(files, z[:SEEDS_OF_ERROR]) if case.types else None
    found: dict[str, dict[str, Any]] = {}
    renders: dict[str, tuple[Render, int]] = {}
    for peer in chosen:
        try:
            render = peer.open(files, case.batch, threads)
            maps = render(z[: case.batch])
            found[peer.name] = {} if exact is None else errors(maps, exact[: case.batch])
            begin = time.perf_counter()
            render(z[: case.batch])
            passes = max(1, round(LEAST_SECONDS / (time.perf_counter() - begin)))
            renders[peer.name] = render, passes
        except Exception as error:  # one that does not run here, or that lacks a case
            found[peer.name] = {"failed": " ".join(f"{type(error).__name__}: {error}".split())[:200]}
        print(f"{case.title}, {peer.name}: {found[peer.name] or 'runs'}", file=sys.stderr)
    times: dict[str, list[float]] = {name: [] for name in renders}
    end = time.perf_counter() + seconds
    for turn in range(rounds):
        for name, (render, passes) in renders.items():
            begin = time.perf_counter()
            for _ in range(passes):
                render(z[: case.batch])
            times[name].append((time.perf_counter() - begin) / passes)
        if turn + 1 >= LEAST_ROUNDS and time.perf_counter() > end:
            break
    for name, took in times.items():
        found[name]["ms"] = round(statistics.median(took) / case.batch * 1000, 3)
        found[name]["least ms"] = round(min(took) / case.batch * 1000, 3)
        found[name]["rounds"] = len(took)
    return found


def errors(values: np.ndarray, exact: np.ndarray) -> dict[str, float]:
    """Relative RMS error, and the PSNR of 8-bit codes in dB."""
    values = values[: len(exact)].astype(np.float64)
    codes = np.square(np.rint(values * 255) - np.rint(exact * 255)).mean()
    return {
        "error": float(f"{np.sqrt(np.square(values - exact).mean() / np.square(exact).mean()):.3g}"),
        "psnr": round(min(99.0, 10 * math.log10(255**2 / codes)) if codes else 99.0, 1),
    }


def alone(case: Case, peer: Peer, arguments: list[str], starts: int) -> dict[str, float]:
    """Seconds from the start of a process to its first picture, and its peak memory after a few passes."""
    took, memory = [], 0.0
    environment = {**os.environ, "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"}
    for _ in range(1 if peer.slow_start else starts + 1):
        command = [sys.executable, __file__, *arguments, "--process", case.title, peer.name]
        begin = time.perf_counter()
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        ) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            took.append(time.perf_counter() - begin)
            rest = process.stdout.read()
        if process.returncode or first != "first\n":
            return {}
        memory = float(rest)
    return {"start s": round(statistics.median(took[1:] or took), 3), "peak MB": round(memory)}


def work_alone(case: Case, files: Files, peer: Peer, threads: int) -> None:
    """The work of a process of `alone`."""
    z = latents_of(case, files)[: case.batch]
    render = peer.open(files, case.batch, threads)
    render(z)
    print("first", flush=True)
    for _ in range(FEW_PASSES):
        render(z)
    print(peak_megabytes(), flush=True)


def peak_megabytes() -> float:
    """Peak of the resident memory of this process; getrusage has that of the parent, where it is larger."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no VmHWM")


def main() -> None:
    """Measure the chosen cases and append their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nvidia", type=Path)
    parser.add_argument("--rosinality", type=Path)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--without", action="append", default=[])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=120.0, help="of the turns of one case")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--starts", type=int, default=5, help="processes for memory and start of each; 0 leaves them out"
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of generators and exports, which it keeps")
    parser.add_argument("--json", type=Path, help="write the figures there, not to the results file")
    parser.add_argument("--process", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    known = peers(args.nvidia, args.rosinality)
    if args.process:
        case = next(case for case in CASES if case.title == args.process[0])
        peer = next(peer for peer in known if peer.name == args.process[1])
        work_alone(case, files_of(case, args.folder), peer, args.threads)
        return
    only_cases = [text for text in args.only if any(text in case.title for case in CASES)]
    only_peers = [text for text in args.only if text not in only_cases]
    flags = ("nvidia", "rosinality", "folder", "threads")
    arguments = [f"--{flag}={value}" for flag in flags if (value := getattr(args, flag))]
    figures: dict[str, Any] = {}
    end = time.perf_counter() + args.minutes * 60
    for case in CASES:
        wanted = any(text in case.title for text in only_cases) if only_cases else case.name != "tiny"
        if not wanted or time.perf_counter() > end:
            continue
        chosen = [
            peer
            for peer in known
            if (case.types or peer.exported)
            and (not only_peers or any(text in peer.name for text in only_peers))
            and not any(text in peer.name for text in args.without)
        ]
        figures[case.title] = measure(
            case, files_of(case, args.folder), chosen, args.threads, args.rounds, args.seconds
        )
        for peer in chosen if args.starts else []:
            if "failed" not in figures[case.title][peer.name]:
                figures[case.title][peer.name] |= alone(case, peer, arguments, args.starts)
        print(json.dumps({case.title: figures[case.title]}, indent=1), file=sys.stderr)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")
        return
    from record import append

    append("peers", {"cases": figures, "threads": args.threads, "load": round(os.getloadavg()[0], 1)})


if __name__ == "__main__":
    main()
