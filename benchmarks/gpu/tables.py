"""Turn the results of run.py into Markdown tables: python benchmarks/gpu/tables.py gpu.json [--blocks].

--blocks prints the sweep's block shapes as lines of `kernels/gpu/tune.py` instead.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]
DEFAULT, CUDNN = "default", "cuDNN"
RIVALS = ("NVIDIA stylegan3", "torch.compile", "torch")


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(headers) + " |", "|" + "---|" * len(headers)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def networks(results: Row) -> str:
    """Images a second by size and batch; the fastest kernels against the others and the roofline bound."""
    found = results.get("networks", [])
    names = list(dict.fromkeys(row["implementation"] for row in found))
    rivals = [name for name in RIVALS if name in names]
    speed = {(row["size"], row["batch"], row["implementation"]): row["images_per_second"] for row in found}
    lines = []
    for bound in results.get("bounds", []):
        key = bound["size"], bound["batch"]
        here = {name: value for (*other, name), value in speed.items() if tuple(other) == key}
        best = max((value for name, value in here.items() if name.startswith("kernels")), default=None)
        most = 1e3 * bound["batch"] / bound["ms"]
        ratios = [f"{best / here[name]:.1f}" if best and name in here else "-" for name in rivals]
        share = f"{100 * best / most:.0f} %" if best else "-"
        lines.append([*key, *(_number(here.get(name)) for name in names), _number(most), *ratios, share])
    ratios = [f"kernels / {name}" for name in rivals]
    return table(["size", "batch", *names, "bound", *ratios, "kernels / bound"], lines)


def layers(results: Row) -> str:
    """Every layer: milliseconds by default and by the fastest candidate of each form, of cuDNN and torch, the bound."""
    groups: dict[tuple[int, str], dict[str, Row]] = {}
    for row in results.get("forms", []):
        if "ms" in row:
            groups.setdefault((row["batch"], row["key"]), {})[row["form"]] = row
    library = {(row["batch"], row["key"]): row["ms"] for row in results.get("sweep", []) if row.get("form") == CUDNN}
    in_torch = {(row["batch"], row["size"], row["layer"]): row["ms"] for row in results.get("layers", [])}
    words = list(dict.fromkeys(_form(name) for forms in groups.values() for name in forms if name != DEFAULT))
    lines = []
    for (batch, key), forms in groups.items():
        one = next(iter(forms.values()))
        default = forms.get(DEFAULT)
        others = [row for name, row in forms.items() if name != DEFAULT]
        best = min(others, key=lambda row: row["ms"], default=one)
        cells = []
        for word in words:
            times = [row["ms"] for row in others if _form(row["form"]) == word]
            cells.append(_number(min(times, default=None), 4))
        plain = library.get((batch, key.replace("last conv", "conv")))
        lines.append([
            batch, key, _number(default["ms"] if default else None, 4), *cells, best["form"], _number(plain, 4),
            _number(in_torch.get((batch, one["size"], one["layer"])), 3), _number(one["bound_ms"], 4),
            f"{100 * one['bound_ms'] / best['ms']:.0f} %", f"{plain / best['ms']:.2f}" if plain else "-",
        ])  # fmt: skip
    headers = ["batch", "layer", DEFAULT, *words, "fastest", CUDNN, "torch", "bound", "bound / fastest"]
    return table([*headers, "speed of cuDNN"], lines)


def _form(label: str) -> str:
    """The first word of a label, which names the form."""
    return label.split()[0]


def blocks(results: Row) -> str:
    """The block shapes of the sweep as lines of tune.py, widest first.

    The rate of a shape is its largest share, over the layers, of the fastest shape's rate on all layers.
    """
    rows = [row for row in results.get("sweep", []) if "ms" in row and row["form"] != CUDNN]
    fastest = max((row["tflops"] for row in rows), default=1.0)
    rates: dict[str, float] = {}
    for row in rows:
        rates[row["form"]] = max(rates.get(row["form"], 0.0), row["tflops"] / fastest)
    # A shape stays if it is within 3 % of the best on some layer.
    kept = {
        row["form"] for row in rows
        if row["ms"] <= 1.03 * min(other["ms"] for other in rows if other["layer"] == row["layer"])
    }  # fmt: skip
    lines = []
    for form in sorted(kept, key=lambda form: -rates[form]):
        block, warps, stages = form.split()[-3:]
        numbers = ", ".join([*block.split("x"), warps[1:], stages[1:]])
        lines.append(f"    Config({numbers}, {rates[form]:.2f}),")
    return "\n".join(lines) + "\n"


def types(results: Row) -> str:
    """Several types against one."""
    rows = results.get("types", [])
    single = {_variant(row): row["ms"] for row in rows if row["case"] == "one type"}
    lines = [
        [*_variant(row), row["case"], _number(row["ms"], 3), f"{row['ms'] / single[_variant(row)]:.2f}"]
        for row in rows if _variant(row) in single
    ]  # fmt: skip
    return table(["implementation", "size", "batch", "case", "ms", "times one type"], lines)


def _variant(row: Row) -> tuple[str, str, int]:
    return row["implementation"], row["size"], row["batch"]


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


def left_out(results: Row) -> str:
    """Failed and skipped cases, and the candidates that did not run."""
    lines = [f"- failed: {name}: {error}" for name, error in results.get("failed", [])]
    lines += [f"- skipped: {name}" for name in results.get("skipped", [])]
    for section in ("forms", "sweep"):
        reasons: dict[tuple[str, str], int] = {}
        for row in results.get(section, []):
            if "failed" in row:
                key = row["form"], row["failed"]
                reasons[key] = reasons.get(key, 0) + 1
        lines += [f"- {section}: {form}, {count} layers: {why}" for (form, why), count in reasons.items()]
    return "\n".join(lines)


def report(results: Row) -> str:
    """All tables, after the machine and its peak rates."""
    rates: Row = next(iter(results.get("ceilings", [])), {})
    ceilings = ", ".join(
        f"{name} {rate / 1e12:.3g} {'TB/s' if name == 'copy' else 'TFLOP/s'}"
        for name, rate in rates.items() if name != "case_name"
    )  # fmt: skip
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
    if left_out(results):
        parts.append("## Left out\n\n" + left_out(results))
    return "\n\n".join(parts) + "\n"


def _number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    found = json.loads(Path(sys.argv[1]).read_text())
    print(blocks(found) if "--blocks" in sys.argv else report(found), end="")
