"""Turn the results of run.py into Markdown tables: python benchmarks/gpu/tables.py gpu.json [--into PAGE ...].

--into writes the tables into pages instead, for example docs/kernels.md and README.md: between `<!-- begin NAME -->`
and `<!-- end NAME -->`, where NAME is a key of BLOCKS.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]
DEFAULT, CUDNN = "default", "cuDNN"
PLAIN_FORMS = ("plain", "split", "rows", "pairs")
UP_FORMS = ("fir", "taps", "phases", "fused")
RIVALS = ("NVIDIA stylegan3", "torch.compile", "torch", "ONNX Runtime CUDA")


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


def layers(results: Row, up: bool) -> str:
    """The convolutions, or with `up` the up-convolutions: milliseconds by default and by the fastest of each form."""
    groups: dict[tuple[int, str], dict[str, Row]] = {}
    for row in results.get("forms", []):
        if "ms" in row and row["up"] == up:
            groups.setdefault((row["batch"], row["key"]), {})[row["form"]] = row
    library = {(row["batch"], row["key"]): row["ms"] for row in results.get("sweep", []) if row.get("form") == CUDNN}
    words = UP_FORMS if up else PLAIN_FORMS
    lines = []
    for (batch, key), forms in groups.items():
        default = forms.get(DEFAULT)
        others = [row for name, row in forms.items() if name != DEFAULT]
        best = min(others, key=lambda row: row["ms"], default=next(iter(forms.values())))
        cells = []
        for word in words:
            times = [row["ms"] for row in others if row["form"].split()[0] == word]
            cells.append(_number(min(times, default=None), 4))
        line = [batch, key.removeprefix("up "), _number(default["ms"] if default else None, 4), *cells, best["form"]]
        if not up:
            line.append(_number(library.get((batch, key.replace("last conv", "conv"))), 4))
        lines.append([*line, _number(best["bound_ms"], 4), f"{100 * best['bound_ms'] / best['ms']:.0f} %"])
    library_headers = [] if up else [CUDNN]
    return table(["batch", "layer", DEFAULT, *words, "fastest", *library_headers, "bound", "bound / fastest"], lines)


def in_torch(results: Row) -> str:
    """The layers of the torch generator."""
    rows = [[row["batch"], row["size"], row["layer"], _number(row["ms"], 3)] for row in results.get("layers", [])]
    return table(["batch", "size", "layer", "torch"], rows)


def summary(results: Row) -> str:
    """Images a second of the fastest kernels and the others, and the machine in one line."""
    speed: dict[tuple[str, int], dict[str, float]] = {}
    for row in results.get("networks", []):
        speed.setdefault((row["size"], row["batch"]), {})[row["implementation"]] = row["images_per_second"]
    lines = []
    for bound in results.get("bounds", []):
        here = speed.get((bound["size"], bound["batch"]), {})
        best = max((value for name, value in here.items() if name.startswith("kernels")), default=None)
        share = f"{best * bound['ms'] / bound['batch'] / 10:.0f} %" if best else "-"
        others = [_number(here.get(name), 0) for name in ("NVIDIA stylegan3", "torch")]
        lines.append([bound["size"], bound["batch"], _number(best, 0), *others, share])
    headers = ["resolution", "batch", "Triton kernels", "NVIDIA's plugins", "PyTorch eager", "share of the bound"]
    return table(headers, lines) + "\n\n" + machine(results)


def machine(results: Row) -> str:
    """The GPU and the software."""
    found = results["machine"]
    names = [f"torch {found['torch']}", f"triton {found['triton']}", f"driver {found.get('driver', 'unknown')}"]
    return f"{found.get('gpu', found['device'])}; {', '.join(names)}."


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


def training(results: Row) -> str:
    """Whole fits by torch and by the kernels."""
    rows = results.get("training", [])
    base = {row["size"]: row["fit_seconds"] for row in rows if row["backend"] == "torch"}
    lines = [
        [row["size"], row["batch"], row["backend"], _number(row["pictures_per_second"]),
         "float16" if row["half_teacher"] else "float32", _number(row["start_seconds"]),
         _number(row["steps_per_second"]), _number(row["preconditioner_seconds"]), _number(row["fit_seconds"]),
         f"{base[row['size']] / row['fit_seconds']:.2f}" if row["size"] in base else "-", f"{row['loss']:.5f}"]
        for row in rows
    ]  # fmt: skip
    headers = [
        "size", "batch", "backend", "pool, pictures/s", "teacher", "first 10 steps, s", "steps/s", "preconditioner, s",
        "fit, s", "times torch", "last loss",
    ]  # fmt: skip
    return table(headers, lines)


def loop(results: Row) -> str:
    """Seeds a second of the kernels alone, of streams and of runs, and their share of the kernels' rate."""
    lines = [
        [row["size"], row["batch"], row["types"], row["way"], _number(row["seeds_per_second"], 0),
         f"{100 * row['share']:.0f} %"]
        for row in results.get("loop", [])
    ]  # fmt: skip
    return table(["size", "batch", "types", "way", "seeds/s", "of the kernels"], lines)


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
        "## Run loop\n\n" + loop(results),
        "## Fitting\n\n" + fit(results),
        "## Whole fits\n\n" + training(results),
        "## Convolutions, milliseconds\n\n" + layers(results, up=False),
        "## Up-convolutions, milliseconds\n\n" + layers(results, up=True),
        "## Layers of the torch generator, milliseconds\n\n" + in_torch(results),
    ]
    if left_out(results):
        parts.append("## Left out\n\n" + left_out(results))
    return "\n\n".join(parts) + "\n"


BLOCKS: dict[str, Callable[[Row], str]] = {
    "gpu-summary": summary,
    "gpu-networks": lambda results: networks(results) + "\n\n" + machine(results),
    "gpu-loop": lambda results: loop(results) + "\n\n" + machine(results),
    "gpu-convolutions": lambda results: layers(results, up=False),
    "gpu-up-convolutions": lambda results: layers(results, up=True),
}


def filled(text: str, results: Row) -> str:
    """The text with every block of BLOCKS generated again."""
    pattern = re.compile(r"(<!-- begin (gpu-[a-z-]+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)
    return pattern.sub(lambda found: f"{found[1]}{BLOCKS[found[2]](results)}\n{found[3]}", text)


def _number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    found = json.loads(Path(sys.argv[1]).read_text())
    if sys.argv[2:3] == ["--into"]:
        for page in map(Path, sys.argv[3:]):
            page.write_text(filled(page.read_text(), found))
    else:
        print(report(found), end="")
