"""Fill the generated blocks of README.md and docs/knows.md from the files that contain their figures.

    python benchmarks/readme.py [--check]

The figures come from the headers of the bundled files, benchmarks/results.jsonl, and docs/knows/report.json, which is
the output of `sgi-engine eval`. A block stands between `<!-- begin NAME -->` and `<!-- end NAME -->`. With `--check`
nothing is written, and the exit code is 1 if a block is out of date.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from record import latest
from record import lines as recorded

from sgi.engine import bundle, intrinsics
from sgi.engine.bundle.contents import header, offset_table, teacher_table
from sgi.engine.offsets import Offset

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "knows.md")
REPORT = ROOT / "docs" / "knows" / "report.json"
TRUTH, LIGHTS = "Against the renderer's truth", "Under other lights"
LIGHT_MEASURES = ("spread", "relative_spread")
TRUTH_ROWS = {
    "teacher_on_render": "teacher, render",
    "teacher_on_reconstruction": "teacher, G(w)",
    "offset": "G(w + d)",
    "constant": "mean map",
    "offset_against_teacher": "G(w + d) against the teacher on G(w)",
}
TEACHER_ROWS = ("albedo_rmse", "depth_rmse", "normal_mean_deg", "segmentation_miou", "shading_rmse")
LIGHT_ROWS = {
    "offset": "G(w + relight + d)",
    "teacher_on_relit": "teacher on G(w + relight)",
    "teacher_on_renders": "teacher on rooms lit anew",
}


def types() -> str:
    """The table of types."""
    lines = ["| type | channels | value | meaning | PNG |", "|---|---|---|---|---|"]
    lines += [
        f"| `{t.name}` | {t.channels} | {t.low:g} to {t.high:g} | {t.meaning} | {t.png_bits} bit: {t.png_code} |"
        for t in map(intrinsics.get, intrinsics.INTRINSICS)
    ]
    return "\n".join(lines)


def offsets() -> str:
    """Held-out figures of the bundled offsets."""
    files = map(bundle.offset, intrinsics.MAP_TYPES)
    return offset_table([Offset.load(file) for file in files if file.exists()])


def teacher() -> str:
    """Errors of the teacher against the renderer, one row for each figure."""
    return teacher_table(header(bundle.TEACHER, "sgi_teacher"), TEACHER_ROWS)


def benchmark(name: str, unit: str) -> str:
    """The latest result of a benchmark as a table, with hardware and versions."""
    line = latest(name)
    if line is None:
        return f"Not measured yet: `python benchmarks/{name}.py`."
    machine = line["machine"]
    rows = [f"| case | {unit} |", "|---|---|"]
    rows += [f"| {case} | {value} |" for case, value in line["figures"].items() if case != "runs"]
    versions = ", ".join(f"{k} {v}" for k, v in machine.items() if k not in ("cpu", "cores"))
    rows.append(f"\n{machine['cpu']}, {machine['cores']} cores; {versions}; {line['date']}.")
    return "\n".join(rows)


def precision() -> str:
    """PSNR of every type in half precision, the last measurement of each generator and precision."""
    latest_of = {
        (line["figures"]["generator"], name): by_type
        for line in recorded("precision")
        for name, by_type in line["figures"]["psnr"].items()
    }
    rows = ["| generator | precision | PSNR of 8-bit maps, dB |", "|---|---|---|"]
    for (generator, name), by_type in sorted(latest_of.items()):
        figures = ", ".join(f"{kind} {value:.1f}" for kind, value in by_type.items())
        rows.append(f"| {generator} | {name} | {figures} |")
    return "\n".join(rows)


def peers() -> str:
    """Pictures on a CPU by implementation: time at batch 1 and 8; then start, memory and error of the largest case."""
    cases: dict[str, dict[str, Any]] = {}
    for line in recorded("peers"):
        cases |= line["figures"]["cases"]
    if not cases:
        return "Not measured yet: `python benchmarks/peers.py`."
    names = dict.fromkeys(title.rpartition(", batch ")[0] for title in sorted(cases, key=_order_of_case))
    runs = dict.fromkeys(run for found in cases.values() for run, figures in found.items() if "ms" in figures)
    columns = [*names, "start, s", "peak memory, MB", "error", "PSNR, dB"]
    rows = [f"| ms an image | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    last = {run: {} for run in runs}  # type: dict[str, dict[str, Any]]
    for title in sorted(cases, key=_order_of_case):
        for run, figures in cases[title].items():
            if title.endswith(" 1") and "error" in figures:
                last[run] = figures
    for run in runs:
        times = [
            " / ".join(str(cases.get(f"{name}, batch {n}", {}).get(run, {}).get("ms", "-")) for n in (1, 8))
            for name in names
        ]
        figures = [str(last[run].get(key, "-")) for key in ("start s", "peak MB", "error", "psnr")]
        rows.append(f"| {run} | {' | '.join([*times, *figures])} |")
    line = recorded("peers")[-1]
    versions = ", ".join(f"{k} {v}" for k, v in line["machine"].items() if k not in ("cpu", "cores"))
    rows.append(f"\n{line['machine']['cpu']}, {line['machine']['cores']} cores; {versions}; {line['date']}.")
    return "\n".join(rows)


def _order_of_case(title: str) -> tuple[int, str]:
    """By resolution, then by name: `64 px, batch 1`."""
    return int(title.split()[0]), title


def report() -> dict[str, Any]:
    """The committed report of `sgi-engine eval`."""
    found: dict[str, Any] = json.loads(REPORT.read_text())
    return found


def brief() -> str:
    """The study's verdicts, a line a map."""
    from sgi.trainer.studies.evaluation.markdown_report import brief_table

    return brief_table(report())


def study() -> str:
    """The study's tables and verdict."""
    from sgi.trainer.studies.evaluation.markdown_report import markdown_table

    return markdown_table(report())


def section(title: str, rows: dict[str, str], measure: str) -> str:
    """One measure of a section of the report: a line a type, a column a row of the section."""
    found = report()["sections"][title]
    figures = found["figures"]
    types = dict.fromkeys(key.split("/")[0] for key in figures if key.endswith(f"/offset/{measure}"))
    lines = [f"| {found['titles'][measure]} | {' | '.join(rows.values())} |", "|---|" + "---|" * len(rows)]
    for name in types:
        cells = [figures.get(f"{name}/{row}/{measure}") for row in rows]
        lines.append(f"| {name} | {' | '.join(cell(figure) for figure in cells)} |")
    return "\n".join(lines)


def cell(figure: dict[str, float] | None) -> str:
    """A figure with its interval."""
    if figure is None or figure["value"] is None:
        return "-"
    return f"{figure['value']:.3g} ({figure['low']:.3g}-{figure['high']:.3g})"


def truth() -> str:
    """Offsets and teacher against exact maps."""
    psnr = report()["sections"][TRUTH]["figures"]["inversion/psnr"]
    return f"Inversion: {cell(psnr)} dB.\n\n{section(TRUTH, TRUTH_ROWS, 'fvu')}"


def lights() -> str:
    """Spread of maps over lights, as a share of the variance over scenes, and whether the light changed."""
    found = report()["sections"][LIGHTS]
    checks = ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in found["checks"].items())
    tables = [section(LIGHTS, LIGHT_ROWS, measure) for measure in LIGHT_MEASURES]
    return "\n\n".join([f"{found['scenes']} scenes, {found['lights']} lights. Checks: {checks}.", *tables])


def frechet() -> str:
    """Frechet distances by teacher, with equal and with fitted probabilities."""
    line = latest("judge")
    if line is None:
        return "Not measured yet: `python benchmarks/compare_teachers.py`."
    rows = [
        "| teacher | generator | renders | generator, unequal weights | effective seeds |",
        "|---|---|---|---|---|",
    ]
    for name, found in line["figures"].items():
        weighted = f"{found['unequal_chances']} | {found['effective_seeds']} of {found['seeds']}"
        rows.append(f"| {name} | {found['frechet']} | {found['floor']} | {weighted} |")
    return "\n".join(rows)


OF_REPORT = ("brief", "study", "truth", "lights")
BLOCKS = {
    "brief": brief,
    "study": study,
    "truth": truth,
    "lights": lights,
    "types": types,
    "offsets": offsets,
    "teacher": teacher,
    "frechet": frechet,
    "startup": lambda: benchmark("startup", "seconds"),
    "peers": peers,
    "precision": precision,
    "throughput": lambda: benchmark("throughput", "seeds a second"),
}


def block(name: str) -> str:
    """The text of a block; raises KeyError for an unknown name."""
    if name in OF_REPORT and not REPORT.exists():
        return "Not measured yet: `sgi-engine eval`."
    return BLOCKS[name]()


def filled(text: str) -> str:
    """The text with every block generated again."""
    pattern = re.compile(r"(<!-- begin (\w+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)
    return pattern.sub(lambda m: f"{m[1]}{block(m[2])}\n{m[3]}", text)


def main() -> int:
    """Write the pages, or compare them with --check. Returns the exit code."""
    stale = 0
    for page in PAGES:
        text = page.read_text()
        wanted = filled(text)
        stale |= int(text != wanted)
        if "--check" not in sys.argv:
            page.write_text(wanted)
    return stale if "--check" in sys.argv else 0


if __name__ == "__main__":
    raise SystemExit(main())
