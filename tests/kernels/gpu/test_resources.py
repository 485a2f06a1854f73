"""Every block shape compiled ahead of time for two architectures: no spills, shared memory that fits, wgmma on Hopper.

Compilation runs in a process of its own, because this one interprets kernels.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("triton")

from sgi.kernels.gpu.resources import SHARED_BYTES

FORWARD = ("inference", "transposed")
BACKWARD = ("styled", "gradient", "up gradient", "phases")
GEMMS = ("conv_kernel", "pairs_kernel", "rows_kernel", "transposed_conv_kernel", "fused_up_conv_kernel")


def reports(arch: int, dtype: str, variants: tuple[str, ...], *options: str) -> list[dict]:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "sgi.kernels.gpu.resources", "--arch", str(arch), "--dtype", dtype]
    run = subprocess.run(
        [*command, "--variants", *variants, *options], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def check(arch: int, found: list[dict]) -> None:
    spilled = [r for r in found if r["stack"]]
    assert not spilled
    assert all(r["shared"] <= SHARED_BYTES[arch] for r in found)
    # wgmma works on 64 rows and more; the small block of the first layers uses mma.
    gemms = [r for r in found if r["kernel"] in GEMMS]
    assert gemms
    for r in gemms:
        sides = r["config"].removeprefix("rows ").removeprefix("pairs ").split("x")
        rows = int(sides[r["case"] == "rows"])
        assert r["wgmma" if arch == 90 and rows >= 64 else "mma"] > 0, r
        # The next style in the epilogue keeps operands out of registers.
        if r["case"] in ("inference", "pairs", "rows", "transposed") and "x32 " not in r["config"]:
            assert r["from_registers"] == 0, r
        if r["kernel"] == "fused_up_conv_kernel":
            assert r["from_registers"] == (r["wgmma"] if r["config"].endswith("registers") else 0), r


@pytest.mark.parametrize("arch", [80, 90])
@pytest.mark.parametrize("variants", [FORWARD, BACKWARD], ids=["forward", "backward"])
def test_half_precision(arch, variants):
    found = reports(arch, "float16", variants, *(["--others"] if variants is FORWARD else []))
    check(arch, found)
    # One product a step overlaps with the next step; float32 has three.
    one_product = ("conv_kernel", "pairs_kernel", "transposed_conv_kernel")
    assert not [r for r in found if r["kernel"] in one_product and r["waits"]]
    rows = [r["waits"] for r in found if r["case"] == "rows"]
    assert all(rows), "the count of waits is that of docs/kernels.md"


@pytest.mark.parametrize("arch", [80, 90])
def test_float32(arch):
    check(arch, reports(arch, "float32", ("inference", "styled", "transposed")))


def test_bfloat16_on_hopper():
    check(90, reports(90, "bfloat16", ("inference",)))
