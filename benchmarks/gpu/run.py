"""Check the kernels on a GPU, then measure them against torch, torch.compile, NVIDIA's code and the roofline bound.

    PYTHONPATH=.typing python benchmarks/gpu/run.py --out gpu.json [--stages NAME,...] [--stylegan3 FOLDER]

`make types` creates `.typing`; an installed package needs no PYTHONPATH. The script needs torch and triton.

Stages run in the order of STAGES, whatever the order on the command line. Every row is written at once, into the file
that earlier calls wrote: a repeated measurement replaces its rows, and `--resume` leaves finished ones out. `forms`
finds the fastest form and block shape of each layer; the later stages, of the same call or of another one with the
same file, measure the networks with these winners and without. Kernels compile in other processes while earlier stages
run. No case starts after --minutes, and nothing is measured if a check fails. `--tiny` runs every stage at toy sizes;
without a GPU it runs on the CPU through Triton's interpreter.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

# Triton reads the variable when it is imported.
if "--tiny" in sys.argv and not Path("/dev/nvidiactl").exists():
    os.environ["TRITON_INTERPRET"] = "1"

import background
import checks
import clock
import compiling
import forms
import implementations
import measurements
import run_loop
import torch
import whole_fits
from compiling import Compiler, Job
from layer_cases import LayerCase, distinct, layer_cases
from results_file import Case, Record
from workload import SIZES, TINY_SIZES, Size

STAGES = (
    "checks", "ceilings", "loop", "forms", "sweep", "networks", "compiled", "types", "fit", "layers",
    "autotuned",
)  # fmt: skip
OPTIONAL = ("autotuned",)
# Batch sizes whose layers are tuned; other batch sizes use the nearest.
TUNED_BATCHES = (32, 1)
SWEEP_MIN_SIDE = 64
TINY_TYPES = 2
# A candidate that compiles for longer is left out: seconds that a layer waits for its candidates.
COMPILE_PATIENCE = 25.0
PROCESSES = 14
CHECK_PROCESSES = 10
SHARE_SECONDS = 110.0


class Benchmark:
    """One call of the script: its options, the results file, and the cases of each stage."""

    def __init__(self, options: argparse.Namespace, record: Record, device: str) -> None:
        self.options = options
        self.record = record
        self.device = device
        self.sizes = TINY_SIZES if options.tiny else SIZES
        # The pairs that the README reports come first.
        pairs = [(size, batch) for size in self.sizes for batch in size.batches]
        self.pairs = sorted(pairs, key=lambda pair: (pair[1] not in TUNED_BATCHES, pair[0].name == "256 px wide"))
        self.tuned = [pair for pair in self.pairs if pair[1] in TUNED_BATCHES]
        self.form_cases = distinct(self.tuned)
        largest = self.sizes[0]
        self.sweep_cases = [
            case for case in layer_cases(largest, largest.batches[0], colours=False)
            if not case.up and (case.side >= SWEEP_MIN_SIDE or options.tiny)
        ]  # fmt: skip
        self.type_count = TINY_TYPES if options.tiny else measurements.TYPES
        self.compiler: Compiler | None = None

    def compilations(self, stages: Iterable[str]) -> list[Job]:
        """What the stages need of Triton, in their order."""
        found: list[Job] = []
        for stage in stages:
            if stage == "forms":
                found += compiling.jobs(compiling.FORMS, self.form_cases)
            elif stage == "sweep":
                found += compiling.jobs(compiling.SWEEP, self.sweep_cases)
            elif stage == "networks":
                winners = self.record.results.get("winners", {})
                for case in [case for size, batch in self.pairs for case in layer_cases(size, batch)]:
                    found.append(Job(compiling.DEFAULTS, case, compiling.DEFAULTS))
                    if "forms" not in stages and winners:
                        name = forms.choice(winners, case.shape_key, case.batch)
                        found += [Job(compiling.DEFAULTS, case, name)] if name else []
        return list(dict.fromkeys(found))

    def cases(self, stage: str) -> Iterator[Case]:
        """The measurements of a stage, the most important first."""
        yield from getattr(self, f"_{stage}")()

    @property
    def rates(self) -> dict[str, float]:
        """The peak rates; 1 in a process that only compiles."""
        rows = self.record.results.get("ceilings")
        rates: dict[str, float] = rows[0] if rows else {"matmul_fp16": 1.0, "copy": 1.0}
        return rates

    def variants(self, batch: int) -> list[implementations.Variant]:
        """The kernels as they are, and with other choices, such as the winners that the file contains."""
        found = implementations.variants(self.record.results.get("winners", {}), self.device)
        return [variant for variant in found if batch <= variant.largest]

    def _checks(self) -> Iterator[Case]:
        for name, rows in checks.cases(self.sizes, self.device, self.options.tiny):
            yield Case("checks", name, rows)

    def _ceilings(self) -> Iterator[Case]:
        yield Case("ceilings", "peak rates", lambda: [clock.ceilings(self.device, self.options.tiny)])
        for size, batch in self.pairs:
            yield Case("bounds", f"{size.name}, batch {batch}", partial(self._bound, size, batch))

    def _bound(self, size: Size, batch: int) -> list[Any]:
        return [{"size": size.name, "batch": batch, "ms": measurements.bound_ms(size, batch, self.rates)}]

    def _loop(self) -> Iterator[Case]:
        size = self.sizes[-1]
        seconds = 0.0 if clock.warming else run_loop.SECONDS
        yield Case("loop", size.name, partial(run_loop.rows, size, self.device, self.type_count, seconds))

    def _layer_stage(self, stage: str, found: list[LayerCase], rows: Callable[..., Iterator[Any]]) -> Iterator[Case]:
        def measured(case: LayerCase) -> Iterator[Any]:
            until = time.monotonic() + COMPILE_PATIENCE
            skipped = self.compiler.wait(stage, case, until) if self.compiler else {}
            yield from rows(case, self.device, self.rates, skipped)

        for case in found:
            yield Case(stage, f"{case.size}, batch {case.batch}, {case.name}", partial(measured, case))

    def _forms(self) -> Iterator[Case]:
        yield from self._layer_stage("forms", self.form_cases, forms.form_rows)

    def _sweep(self) -> Iterator[Case]:
        yield from self._layer_stage("sweep", self.sweep_cases, forms.sweep_rows)

    def _network(self, name: str, make: Callable[..., implementations.Run], size: Size, batch: int) -> Case:
        def rows() -> list[Any]:
            return [measurements.network(name, make, size, batch, self.device)]

        return Case("networks", f"{name}, {size.name}, batch {batch}", rows)

    def _networks(self) -> Iterator[Case]:
        rivals: list[tuple[str, Callable[..., implementations.Run]]] = []
        if self.options.stylegan3:
            rivals.append(("NVIDIA stylegan3", implementations.nvidia(self.options.stylegan3)))
        rivals.append(("torch", implementations.eager))
        if implementations.has_onnx_runtime(self.device):
            rivals.append(("ONNX Runtime CUDA", implementations.onnx_runtime))
        others = [pair for pair in self.pairs if pair not in self.tuned]
        for pairs in (self.tuned, others):
            for size, batch in pairs:
                for variant in self.variants(batch):
                    yield self._network(variant.name, partial(implementations.kernels, variant=variant), size, batch)
            for name, make in rivals:
                for size, batch in pairs:
                    yield self._network(name, make, size, batch)

    def _compiled(self, mode: str = "reduce-overhead") -> Iterator[Case]:
        pairs = self.tuned if mode == "reduce-overhead" else self.tuned[:1]
        commands = [["--compiled", size.name, str(batch), mode] for size, batch in pairs]
        yield Case("networks", f"torch.compile, {mode}", partial(background.in_turn, self._command, commands))

    def _autotuned(self) -> Iterator[Case]:
        yield from self._compiled("max-autotune")

    def _types(self) -> Iterator[Case]:
        size = self.sizes[-1]
        for batch in size.batches[:2]:
            for variant in self.variants(batch):
                rows = partial(measurements.types, size, batch, self.device, self.type_count, variant)
                yield Case("types", f"{variant.name}, batch {batch}", rows)

    def _fit(self) -> Iterator[Case]:
        size = self.sizes[-1]
        for backend in whole_fits.BACKENDS:
            rows = partial(whole_fits.whole_fit, size, self.device, backend, self.options.tiny)
            yield Case("training", f"{size.name}, {backend}", rows)
        for size in reversed(self.sizes[1:] or self.sizes):
            yield Case("fit", size.name, partial(measurements.fit, size, self.device))

    def _layers(self) -> Iterator[Case]:
        size = self.sizes[0]
        for index, case in enumerate(layer_cases(size, size.batches[0])):
            rows = partial(measurements.layer_rows, size, size.batches[0], self.device, self.rates, index)
            yield Case("layers", case.name, rows)

    def _command(self, arguments: list[str]) -> list[str]:
        command = [sys.executable, __file__, *arguments, "--out", str(self.options.out)]
        return [*command, "--tiny"] if self.options.tiny else command

    def start_processes(self, stages: list[str]) -> dict[str, background.Processes]:
        """Start what runs beside the stages, by the stage that waits for it.

        Shares of the checks; one run of cases whose kernels are not those of single layers; NVIDIA's plugins.
        """
        found = {}
        for stage, count, niceness in (
            ("checks", CHECK_PROCESSES, 0),
            ("loop", 1, 5),
            ("types", 1, 10),
            ("fit", 4, 10),
        ):
            if stage in stages:
                commands = [self._command(["--share", stage, str(i), str(count)]) for i in range(count)]
                found[stage] = background.Processes(commands, niceness)
        if self.options.stylegan3 and "networks" in stages:
            plugins = self._command(["--plugins", "--stylegan3", str(self.options.stylegan3)])
            found["networks"] = background.Processes([plugins], 5)
        return found

    def share_file(self, index: int) -> Path:
        """Where a share of the checks is recorded."""
        out: Path = self.options.out
        return out.with_name(f"{out.stem}.checks-{index}.json")

    def run_share(self, stage: str, index: int, count: int) -> None:
        """Run one of `count` shares of a stage; of the checks the rows are kept, of others only compiled kernels."""
        clock.warming = True
        record = Record(self.share_file(index) if stage == "checks" else None)
        for case in list(self.cases(stage))[index::count]:
            record.run(case)

    def run(self, stages: list[str], until: float) -> int:
        """Run the stages; returns the exit status."""
        processes: dict[str, background.Processes] = {}
        if self.device == "cuda":
            processes = self.start_processes(stages)
            gpu = torch.cuda.get_device_properties(0)
            with compiling.assuming(gpu.multi_processor_count):
                wanted = self.compilations(stages)
            arch, compilers = 10 * gpu.major + gpu.minor, min(PROCESSES, os.cpu_count() or 1)
            self.compiler = Compiler(arch, gpu.multi_processor_count, compilers, wanted)
        try:
            for stage in stages:
                began = time.monotonic()
                if stage in processes:
                    processes[stage].wait(SHARE_SECONDS)
                if stage == "checks" and processes:
                    if not self.options.resume:
                        self.record.forget("checks")
                    for index in range(CHECK_PROCESSES):
                        self.record.merge(self.share_file(index))
                for case in self.cases(stage):
                    if (self.options.resume or (stage == "checks" and processes)) and self.record.has(case):
                        continue
                    if time.monotonic() < until:
                        self.record.run(case)
                    else:
                        self.record.skip(case)
                if stage == "forms":
                    self.record.set("winners", forms.winners_of(self.record.results.get("forms", [])))
                seconds = self.record.results.get("seconds", {}) | {stage: round(time.monotonic() - began, 1)}
                self.record.set("seconds", seconds)
                print(f"# {stage}: {seconds[stage]} s", flush=True)
                if stage == "checks" and self.record.failed_checks():
                    print("checks failed or raised: nothing is measured", file=sys.stderr)
                    return 1
        finally:
            if self.compiler is not None:
                self.record.set("compilations", self.compiler.summary())
                self.compiler.close()
            for started in processes.values():
                started.stop()
        return 2 if self.record.results["failed"] else 0


def main() -> int:
    """Exit status 1 when a check fails, 2 when a case raises."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path, help="results file, JSON; its other rows are kept")
    default = ",".join(stage for stage in STAGES if stage not in OPTIONAL)
    parser.add_argument("--stages", default=default, help=f"of {', '.join(STAGES)}; default: all but {OPTIONAL[0]}")
    parser.add_argument("--resume", action="store_true", help="leave out the cases that the file contains")
    parser.add_argument("--use-forms", type=Path, metavar="FILE", help="take the winners of another results file")
    parser.add_argument("--minutes", type=float, default=8.0, help="no new case starts after this time")
    parser.add_argument("--stylegan3", type=Path, help="folder of NVIDIA's stylegan3 repository")
    parser.add_argument("--tiny", action="store_true", help="toy sizes, also without a GPU")
    parser.add_argument("--compiled", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--share", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--plugins", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    until = time.monotonic() + 60 * options.minutes
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not options.tiny:
        parser.error("no CUDA device: add --tiny to run the script at toy sizes on the CPU")
    unknown = set(options.stages.split(",")) - set(STAGES)
    if unknown:
        parser.error(
            f"--stages {options.stages}: unknown: {', '.join(sorted(unknown))}; choose from {', '.join(STAGES)}"
        )
    if options.plugins:
        implementations.build_plugins(options.stylegan3)
        return 0
    if options.share:
        stage, index, count = options.share
        Benchmark(options, Record(None), device).run_share(stage, int(index), int(count))
        return 0
    if options.compiled:
        name, batch, mode = options.compiled
        size = next(size for size in (TINY_SIZES if options.tiny else SIZES) if size.name == name)
        background.answer(
            partial(implementations.compiled, size, int(batch), device, mode), size, int(batch), mode, device
        )
        return 0
    record = Record(options.out)
    record.set_machine(clock.machine(device))
    if options.use_forms:
        record.set("winners", json.loads(options.use_forms.read_text())["winners"])
    return Benchmark(options, record, device).run([s for s in STAGES if s in options.stages.split(",")], until)


if __name__ == "__main__":
    sys.exit(main())
