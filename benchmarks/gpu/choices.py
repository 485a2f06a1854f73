"""Compare the forms and blocks that the kernels choose without measurements with the measured fastest, on any machine.

    PYTHONPATH=.typing python benchmarks/gpu/choices.py gpu.json [--save tests/benchmarks/h100_forms.json]

The file is one of run.py with the stage `forms`, or one that --save wrote: the candidates of each layer that take up
to SAVED_RATIO times the fastest. The choices are those of a GPU with the file's multiprocessors; the launches run on
meta tensors and are recorded instead of compiled. The exit status is 1 if a choice takes more than LIMIT times the
fastest.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from compiling import assuming
from layer_cases import LayerCase, distinct
from run import TUNED_BATCHES
from tables import table
from triton.runtime.jit import JITFunction
from workload import SIZES

LIMIT = 1.05  # two measurements of one candidate differ by as much
SAVED_RATIO = 1.3
CHOSEN = ("plain", "split", "fir", "taps", "phases", "fused")  # rows and pairs are chosen by a measurement only
Times = dict[str, dict[str, dict[str, float]]]  # shape key -> batch -> label -> microseconds


def measured(results: dict[str, Any]) -> Times:
    """Microseconds of the candidates of each layer, without those that only a measurement chooses."""
    found: Times = {}
    for row in results["forms"]:
        form = row["form"]
        if "ms" in row and form.split()[0] in CHOSEN:
            found.setdefault(row["key"], {}).setdefault(str(row["batch"]), {})[form] = round(1e3 * row["ms"], 1)
    return found


def save(results: dict[str, Any], path: Path) -> None:
    """Write the fast candidates of each layer, and where they were measured."""
    times = {
        key: {
            batch: {name: us for name, us in sorted(forms.items(), key=lambda item: item[1])
                    if us <= SAVED_RATIO * min(forms.values())}
            for batch, forms in by_batch.items()
        }
        for key, by_batch in measured(results).items()
    }  # fmt: skip
    path.write_text(json.dumps({"machine": results["machine"], "microseconds": times}, indent=1) + "\n")


def chosen(case: LayerCase) -> str:
    """The label of the candidate that the kernels choose for a layer; the number of parts as they choose it."""
    launches: list[tuple[str, dict[str, Any]]] = []
    launcher = JITFunction.run
    JITFunction.run = lambda self, *args, **kwargs: launches.append((self.__name__, kwargs))
    try:
        case.operands("meta").default()
    finally:
        JITFunction.run = launcher
    name, given = launches[0]
    if name == "fused_up_conv_kernel":
        where = " registers" if given["DESCRIPTOR"] else ""
        sides = f"{given['BW']}x{given['BN']} rows {given['ROWS']}"
        return f"fused {sides} w{given['num_warps']} s{given['num_stages']}{where}"
    form = {"transposed_conv_kernel": "fir", "conv_kernel": "phases" if case.up else "plain"}.get(name, "taps")
    if name == "partial_conv_kernel" and not case.up:
        form = f"split {launches[1][1]['PARTS']}"
    return f"{form} {given['BM']}x{given['BN']}x{given['BK']} w{given['num_warps']} s{given['num_stages']}"


def time_of(label: str, times: dict[str, float]) -> float:
    """Microseconds of a candidate; infinite if it was not measured.

    The number of parts is the nearest that was measured; another number of stages counts if its own was not measured.
    """
    found = re.fullmatch(r"split (\d+) (.*)", label)
    if found is None:
        alike = [us for name, us in times.items() if name.rpartition(" s")[0] == label.rpartition(" s")[0]]
        return times.get(label, min(alike, default=float("inf")))
    wanted = int(found[1])
    parts = {}
    for name, us in times.items():
        other = re.fullmatch(r"split (\d+) (.*)", name)
        if other and other[2] == found[2]:
            parts[int(other[1])] = us
    return parts[min(parts, key=lambda p: max(p / wanted, wanted / p))] if parts else float("inf")


def comparison(times: Times, processors: int) -> list[dict[str, Any]]:
    """Each layer with the chosen and the fastest candidate."""
    rows = []
    cases = distinct([(size, batch) for size in SIZES for batch in TUNED_BATCHES])
    with assuming(processors):
        for case in cases:
            here = times.get(case.shape_key, {}).get(str(case.batch))
            if here:
                best, label = min(here, key=here.__getitem__), chosen(case)
                rows.append({
                    "batch": case.batch, "layer": case.shape_key, "chosen": label, "us": time_of(label, here),
                    "fastest": best, "fastest us": here[best],
                })  # fmt: skip
    return rows


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--save", type=Path, metavar="FILE", help="also write the fast candidates of each layer")
    options = parser.parse_args()
    results = json.loads(options.results.read_text())
    if options.save:
        save(results, options.save)
    times = results["microseconds"] if "microseconds" in results else measured(results)
    rows = comparison(times, results["machine"]["multiprocessors"])
    ratios = [row["us"] / row["fastest us"] for row in rows]
    lines = [[*row.values(), f"{ratio:.2f}"] for row, ratio in zip(rows, ratios, strict=True)]
    print(table(["batch", "layer", "chosen", "us", "fastest", "us", "ratio"], lines))
    return int(max(ratios) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
