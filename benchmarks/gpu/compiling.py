"""Compilation of candidates in parallel processes that do not use the GPU; Triton keeps the machine code on disk.

Layers run on meta tensors with the launches replaced by compilations (`sgi.kernels.gpu.resources`). The stages then
find their kernels in Triton's cache. `python benchmarks/gpu/compiling.py ARCH` compiles a toy layer, as a test.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.pool import AsyncResult, Pool
from typing import Any

import torch
from layer_cases import LayerCase

FORMS, SWEEP, DEFAULTS = "forms", "sweep", "default"


@dataclass(frozen=True)
class Job:
    """One candidate of a layer. label: its name, or DEFAULTS for the layer as the kernels choose to compute it."""

    stage: str
    case: LayerCase
    label: str


# Of a process of the pool, entered for its life: launches compile and do nothing else.
_compiling = ExitStack()


@contextmanager
def assuming(processors: int) -> Iterator[None]:
    """Within the block launches on meta tensors choose as on a GPU with that many multiprocessors."""
    found = [(name, module) for name, module in sys.modules.items() if name.startswith("sgi.kernels.gpu")]
    former = [(module, vars(module)["multiprocessors"]) for _, module in found if "multiprocessors" in vars(module)]
    for module, _ in former:
        vars(module)["multiprocessors"] = lambda x: processors
    try:
        yield
    finally:
        for module, function in former:
            vars(module)["multiprocessors"] = function


def _start(arch: int, processors: int) -> None:
    os.nice(5)
    torch.set_num_threads(1)
    from sgi.kernels.gpu import resources

    _compiling.enter_context(resources.compiling_for(arch))
    _compiling.enter_context(assuming(processors))


def compile_job(job: Job) -> tuple[float, str]:
    """(seconds, error message or "") of one compilation."""
    import forms

    start = time.monotonic()
    try:
        operands = job.case.operands("meta")
        if job.label == DEFAULTS:
            operands.default()
        elif job.stage == SWEEP:
            forms.sweep_launch(operands, dict(forms.sweep_configs(job.case))[job.label])
        else:
            dict(operands.candidates())[job.label]()
    except Exception as error:
        return time.monotonic() - start, f"{type(error).__name__}: {str(error).strip().splitlines()[0][:120]}"
    return time.monotonic() - start, ""


def jobs(stage: str, cases: Iterable[LayerCase]) -> list[Job]:
    """The compilations of a stage, layer by layer."""
    import forms

    found = []
    for case in cases:
        found.append(Job(stage, case, DEFAULTS))
        if stage == SWEEP:
            found += [Job(stage, case, name) for name, _ in forms.sweep_configs(case)]
        elif stage == FORMS:
            found += [Job(stage, case, name) for name, _ in case.operands("meta").candidates()]
    return found


class Compiler:
    """A pool of processes that compiles jobs in their order, for a GPU of `processors` multiprocessors."""

    def __init__(self, arch: int, processors: int, processes: int, wanted: list[Job]) -> None:
        self.wanted = wanted
        self._pool: Pool | None = None
        self._broken = False
        self._results: list[tuple[Job, AsyncResult[Any]]] = []
        if wanted and processes:
            self._pool = multiprocessing.get_context("spawn").Pool(processes, _start, (arch, processors))
            self._results = [(job, self._pool.apply_async(compile_job, (job,))) for job in wanted]

    def wait(self, stage: str, case: LayerCase, until: float) -> dict[str, str]:
        """Wait for a layer's jobs, at most until the monotonic time `until`; returns label -> why it is not ready.

        If by then no job at all has ended, the processes do not work: nothing is waited for, and the caller compiles.
        """
        failed: dict[str, str] = {}
        if self._broken:
            return failed
        for job, result in self._results:
            if job.stage == stage and job.case == case:
                result.wait(max(0.0, until - time.monotonic()))
                error = result.get()[1] if result.ready() else "not compiled in time"
                if error:
                    failed[job.label] = error
        self._broken = bool(failed) and not any(result.ready() for _, result in self._results)
        return {} if self._broken else failed

    def summary(self) -> dict[str, Any]:
        """Numbers of compilations, and the seconds they took in all processes together."""
        done = [result.get() for _, result in self._results if result.ready()]
        errors = sum(bool(error) for _, error in done)
        return {"wanted": len(self.wanted), "done": len(done), "failed": errors, "seconds": sum(s for s, _ in done)}

    def close(self) -> None:
        """Stop the processes."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool.join()


def _test(arch: int) -> None:
    from layer_cases import layer_cases
    from workload import TINY_SIZES

    case = next(case for case in layer_cases(TINY_SIZES[0], 1) if case.up)
    compiler = Compiler(arch, 132, 2, jobs(FORMS, [case])[-2:])
    print(compiler.wait(FORMS, case, time.monotonic() + 300), compiler.summary())
    compiler.close()


if __name__ == "__main__":
    _test(int(sys.argv[1]))
