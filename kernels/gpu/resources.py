"""Registers, memory and matrix instructions of every compiled kernel and block shape, without a GPU.

The launchers run on meta tensors with a driver that compiles for a target instead of launching, so the code is the same
as that of real launches. `python -m sgi.kernels.gpu.resources --arch 90` prints one line of JSON for each kernel.
TRITON_INTERPRET must be unset.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from sgi.kernels.gpu import dispatch
from sgi.kernels.gpu.compiled_cases import ALL_VARIANTS, all_other_cases, block_cases

SHARED_BYTES = {80: 163 * 1024, 90: 227 * 1024}  # a block's limit, CUDA C++ Programming Guide, table of capabilities


@dataclass(frozen=True)
class CompiledKernel:
    """Resources of one compiled kernel.

    shared: bytes of shared memory; stack: bytes per thread, above 0 if registers spill; wgmma, mma: number of matrix
    instructions in the PTX; from_registers: wgmma instructions that read an operand from registers; waits: products by
    wgmma in loops for which the threads wait before they start another one.
    """

    case: str
    kernel: str
    config: str
    registers: int
    stack: int
    shared: int
    wgmma: int
    from_registers: int
    waits: int
    mma: int


class _TargetDriver:
    """The part of a Triton driver that compilation for a target needs."""

    def __init__(self, arch: int) -> None:
        self._target = GPUTarget("cuda", arch, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return self._target


@contextmanager
def compiling_for(arch: int) -> Iterator[list[tuple[str, Any]]]:
    """Within the block, launches only compile, for compute capability `arch`; yields the list of (name, kernel)."""
    compiled: list[tuple[str, Any]] = []
    original, has_dependent_launches = JITFunction.run, dispatch.has_dependent_launches

    def run(self: JITFunction, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
        kernel = original(self, *args, grid=grid, warmup=True, **kwargs)
        compiled.append((self.__name__, kernel))
        return kernel

    driver.set_active(_TargetDriver(arch))
    JITFunction.run = run
    dispatch.has_dependent_launches = lambda x: arch >= 90
    try:
        yield compiled
    finally:
        JITFunction.run = original
        dispatch.has_dependent_launches = has_dependent_launches


def inspect(case: str, config: str, name: str, kernel: Any) -> CompiledKernel:
    """Read registers and stack from the machine code, matrix instructions from the PTX."""
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        usage = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", usage)
    if found is None:
        raise RuntimeError(f"cuobjdump -res-usage printed no registers:\n{usage}")
    ptx = kernel.asm["ptx"]
    wgmma = re.findall(r"wgmma\.mma_async[^;]*;", ptx)
    return CompiledKernel(
        case=case,
        kernel=name,
        config=config,
        registers=int(found[1]),
        stack=int(found[2]),
        shared=kernel.metadata.shared,
        wgmma=len(wgmma),
        # The first pair of braces lists the sums; a second pair lists an operand in registers.
        from_registers=sum(text.count("{") > 1 for text in wgmma),
        waits=len(re.findall(r"warp_group_dot_wait .*pendings = 0", _loops(kernel.asm["ttgir"]))),
        mma=len(re.findall(r"\bmma\.sync", ptx)),
    )


def _loops(code: str) -> str:
    """The bodies of the innermost loops of a kernel in Triton's GPU dialect."""
    return "\n".join(re.findall(r"scf\.for(?:(?!scf\.for).)*?scf\.yield", code, re.DOTALL))


def compile_all(arch: int, dtype: torch.dtype, variants: tuple[str, ...], others: bool) -> Iterator[CompiledKernel]:
    """Compile every block shape of a type in each variant; others: also the fused form and kernels without shapes."""
    with compiling_for(arch) as compiled:
        cases = [*block_cases(arch, dtype, variants), *(all_other_cases(arch, dtype) if others else ())]
        for case, config, launch in cases:
            compiled.clear()
            launch()
            for name, kernel in compiled:
                yield inspect(case, config, name, kernel)


def _row(line: CompiledKernel) -> str:
    wgmma = f"{line.wgmma} (A in registers)" if line.from_registers else str(line.wgmma)
    spills = f", {line.stack} B stack" if line.stack else ""
    cells = (
        line.kernel,
        line.case,
        line.config,
        f"{line.registers}{spills}",
        round(line.shared / 1024),
        wgmma,
        line.mma,
    )
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def main(arguments: list[str]) -> None:
    """Print one line for each compiled kernel."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", type=int, default=90, help="compute capability times 10")
    parser.add_argument("--dtype", default="float16")
    parser.add_argument("--variants", nargs="*", default=ALL_VARIANTS, choices=ALL_VARIANTS)
    parser.add_argument("--others", action="store_true", help="also the fused form and kernels without shapes")
    parser.add_argument("--table", action="store_true", help="Markdown instead of JSON")
    options = parser.parse_args(arguments)
    if options.table:
        print("| kernel | case | block | registers | shared, KB | wgmma | mma |\n|---|---|---|---|---|---|---|")
    for line in compile_all(options.arch, getattr(torch, options.dtype), tuple(options.variants), options.others):
        print(_row(line) if options.table else json.dumps(asdict(line)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
