"""Turn the results of run.py into Markdown tables: python benchmarks/gpu/tables.py gpu.json."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(headers) + " |", "|" + "---|" * len(headers)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def networks(results: Row) -> str:
    """Images a second by size and batch, and the kernels' share of the roofline bound."""
    found = results.get("networks", [])
    names = list(dict.fromkeys(row["implementation"] for row in found))
    speed = {(row["size"], row["batch"], row["implementation"]): row for row in found}
    lines = []
    for bound in results.get("bounds", []):
        key = bound["size"], bound["batch"]
        cells = [_number(speed.get((*key, name), {}).get("images_per_second")) for name in names]
        ours = speed.get((*key, "kernels"))
        share = f"{100 * bound['ms'] / ours['ms']:.0f} %" if ours else "-"
        lines.append([*key, *cells, _number(1e3 * bound["batch"] / bound["ms"]), share])
    return table(["size", "batch", *names, "bound", "kernels / bound"], lines)


def layers(results: Row) -> str:
    """Every convolution: milliseconds by form, and the roofline bound."""
    grouped: dict[str, dict[str, Row]] = {}
    for row in results.get("layers", []):
        grouped.setdefault(row["layer"], {})[row["form"]] = row
    lines = []
    for name, forms in grouped.items():
        one = next(iter(forms.values()))
        cells = [_number(forms.get(form, {}).get("ms"), 3) for form in ("kernel", "fir", "phases", "torch")]
        best = min(row["ms"] for form, row in forms.items() if form != "torch")
        shape = f"{one['inputs']} to {one['outputs']} at {one['side']} px"
        share = f"{100 * one['bound_ms'] / best:.0f} %"
        lines.append([name, shape, *cells, _number(one["bound_ms"], 3), share])
    return table(["layer", "channels", "kernel", "fir", "phases", "torch", "bound", "bound / best"], lines)


def types(results: Row) -> str:
    """Several types against one."""
    rows = results.get("types", [])
    single = {(row["size"], row["batch"]): row["ms"] for row in rows if row["case"] == "one type"}
    lines = [
        [row["size"], row["batch"], row["case"], _number(row["ms"], 3),
         f"{row['ms'] / single[row['size'], row['batch']]:.2f}"]
        for row in rows if (row["size"], row["batch"]) in single
    ]  # fmt: skip
    return table(["size", "batch", "case", "ms", "times one type"], lines)


def fit(results: Row) -> str:
    """Steps a second of fitting."""
    rows = results.get("fit", [])
    base = {row["size"]: row["steps_per_second"] for row in rows if row["way"] == "torch"}
    lines = [
        [row["size"], row["batch"], row["way"], _number(row["steps_per_second"]),
         f"{row['steps_per_second'] / base[row['size']]:.2f}" if row["size"] in base else "-"]
        for row in rows
    ]  # fmt: skip
    return table(["size", "batch", "way", "steps/s", "times torch"], lines)


def report(results: Row) -> str:
    """All tables, after the machine and its peak rates."""
    rates = results.get("ceilings", {})
    ceilings = ", ".join(
        f"{name} {rate / 1e12:.3g} {'TB/s' if name == 'copy' else 'TFLOP/s'}" for name, rate in rates.items()
    )
    checks = results.get("checks", [])
    worst = max((row["error"] / row["limit"] for row in checks), default=float("nan"))
    passed = sum(row["passed"] for row in checks)
    parts = [
        ", ".join(f"{name} {value}" for name, value in results["machine"].items()) + ".",
        f"Peak rates: {ceilings}.",
        f"Checks: {passed} of {len(checks)} passed; the largest error is {worst:.2f} of its limit.",
        "## Images a second\n\n" + networks(results),
        "## Types\n\n" + types(results),
        "## Fitting\n\n" + fit(results),
        "## Layers, milliseconds\n\n" + layers(results),
    ]
    for name in ("failed", "skipped"):
        if results.get(name):
            parts.append(f"## {name.capitalize()}\n\n" + "\n".join(f"- {case}" for case in results[name]))
    return "\n\n".join(parts) + "\n"


def _number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    print(report(json.loads(Path(sys.argv[1]).read_text())), end="")
