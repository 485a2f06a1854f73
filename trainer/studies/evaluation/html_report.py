"""report.html: the report with its pictures as one self-contained file."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from sgi.engine.errors import UserError
from sgi.trainer.measures.by_type import FVU, measures_of
from sgi.trainer.studies.evaluation import cell_text
from sgi.trainer.studies.evaluation.markdown_report import sentences
from sgi.trainer.studies.evaluation.report_rows import BEYOND_RIDGE, PREDICTORS, Entry
from sgi.trainer.studies.evaluation.strip_chart import Mark, StripChart, strip_chart
from sgi.trainer.studies.evaluation.verdict import FORCED, KNOWS, NOT, separating_figures

if TYPE_CHECKING:
    from jinja2 import Environment

Pictures = Mapping[str, bytes]
"""PNGs by title."""

_VERDICT_CLASSES = {KNOWS: "known", FORCED: "hard", NOT: "impossible"}
_ROLES = {
    "given": "an existing offset, scored on the same pictures",
    "prefix": "offset without the first layers",
    "low-rank": "low-rank update of the affine layers: the accuracy variant",
    "random weights": "offset of an untrained generator, fitted to the same targets",
}


@dataclass(frozen=True)
class _Table:
    head: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class _Group:
    """A heading with a table, and pictures before it."""

    name: str
    table: _Table
    pictures: Pictures = field(default_factory=dict)


@cache
def templates() -> Environment:
    """The environment of the page's templates; raises UserError when jinja2 is not installed."""
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise UserError('the HTML report needs jinja2: pip install "sgi-engine[train]"') from None
    environment = Environment(
        loader=PackageLoader("sgi.trainer.studies.evaluation"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["base64"] = lambda png: base64.b64encode(png).decode()
    return environment


def html_page(report: Mapping[str, Any], pictures: Pictures, section_pictures: Mapping[str, Pictures]) -> str:
    """The whole page.

    report: what report.json contains. pictures: of maps and controls. section_pictures: by title of the section.
    Raises UserError when jinja2 is not installed.
    """
    rows: list[Entry] = report["rows"]
    maps = [row for row in rows if row["role"] == "intrinsic"]
    controls = [row for row in rows if row["role"] == "control"]
    others = [row for row in rows if row["role"] not in ("intrinsic", "control")]
    return templates().get_template("report.html").render(
        about=_about(report),
        verdict_classes=_VERDICT_CLASSES,
        sentences=sentences(report),
        charts=list(_charts(report, rows)),
        maps=_maps_table(report, maps, rows),
        baselines=_baseline_table(maps),
        types=[_of_type(report, row["type"], rows, pictures) for row in maps],
        controls=_control_table(report, controls, rows) if controls else None,
        control_pictures={title: png for title, png in pictures.items() if title.startswith("Controls")},
        others=_other_table(others, rows) if others else None,
        reconstruction=_reconstruction_table(report) if report["reconstruction"] else None,
        references=[_reference(report, other) for other in report.get("references", [])],
        sections=[
            _section(title, section, section_pictures.get(title, {}))
            for title, section in report.get("sections", {}).items()
        ],
    )  # fmt: skip


def _about(report: Mapping[str, Any]) -> str:
    generator, teacher = report["generator"], report["teacher"]
    return (
        f"Generator {generator['sha256'][:12]}, {generator['resolution']} px, {generator['parameters']:,} parameters; "
        f"teacher {teacher['name']}, {teacher['parameters']:,} parameters. {cell_text.settings(report)} "
        f"{report['core_minutes']:.0f} minutes of one core. sgi-engine {report['sgi_engine']}."
    )


def _charts(report: Mapping[str, Any], rows: Sequence[Entry]) -> Iterable[tuple[str, StripChart]]:
    """Caption and chart of every separating measure that has a line."""
    for line in report["verdicts"]["separating"]:
        marks = []
        for row in rows:
            if row["role"] in ("intrinsic", "control"):
                figures = separating_figures(row, rows)
                if line["key"] in figures:
                    of_map = "known" if row["label"] in line["known"] else "map"
                    role = row["expected"] if row["control"] else of_map
                    marks.append(Mark(row["label"], figures[line["key"]], role))
        upwards = line["key"] == BEYOND_RIDGE
        marks.sort(key=lambda mark: mark.estimate.value, reverse=upwards)
        caption = f"{line['title']}, {'higher' if upwards else 'lower'} is better; dashed: {line['control']}"
        yield caption, strip_chart(marks, line["line"], highest=1.0 if upwards else 1.2)


def _maps_table(report: Mapping[str, Any], maps: Sequence[Entry], rows: Sequence[Entry]) -> _Table:
    head = ["map", *cell_text.SEPARATING_HEAD, "best baseline", "FVU of each fit", "verdict"]
    verdicts = report["verdicts"]["rows"]
    lines = []
    for row in maps:
        cells = [row["label"], *cell_text.separating_cells(row, rows), cell_text.best_baseline(row), _fits(row)]
        lines.append([*cells, verdicts[row["label"]]["verdict"]])
    return _Table(head, lines)


def _fits(row: Entry) -> str:
    """The FVU of every fit."""
    return ", ".join(f"{value:.3f}" for value in row["figures"][FVU].get("fits", [row["figures"][FVU]["value"]]))


def _baseline_table(maps: Sequence[Entry]) -> _Table:
    lines = [
        [row["label"], cell_text.figure(row["figures"][FVU])]
        + [cell_text.figure(row["baselines"][name][FVU]) for name in PREDICTORS]
        for row in maps
    ]
    return _Table(["map", "offset", *PREDICTORS.values()], lines)


def _of_type(report: Mapping[str, Any], name: str, rows: Sequence[Entry], pictures: Pictures) -> _Group:
    """One type's pictures, and every figure of all its offsets and baselines."""
    rows = [row for row in rows if row["type"] == name and not row["control"]]
    measures = measures_of(cell_text.describe(report, name))
    lines = [[row["label"], *(cell_text.figure(row["figures"].get(key)) for key in measures)] for row in rows]
    for baseline, figures in rows[0]["baselines"].items():
        lines.append([PREDICTORS[baseline], *(cell_text.figure(figures[key]) for key in measures)])
    table = _Table(["", *(measure.title for measure in measures.values())], lines)
    title = "Targets of the teacher, and predictions of the offsets"
    return _Group(name, table, {title: pictures[name]} if name in pictures else {})


def _control_table(report: Mapping[str, Any], controls: Sequence[Entry], rows: Sequence[Entry]) -> _Table:
    verdicts = report["verdicts"]["rows"]
    lines = []
    for row in controls:
        verdict = verdicts[row["label"]]
        equalled = sorted({label for labels in verdict["as_good_as"].values() for label in labels})
        cells = [row["label"], *cell_text.separating_cells(row, rows), cell_text.best_baseline(row), row["expected"]]
        lines.append([*cells, verdict["verdict"], ", ".join(equalled) if row["expected"] == "hard" else ""])
    head = ["target", *cell_text.SEPARATING_HEAD, "best baseline", "expected", "found", "on some measure as good as"]
    return _Table(head, lines)


def _other_table(others: Sequence[Entry], rows: Sequence[Entry]) -> _Table:
    plain, detail, _, beyond = cell_text.SEPARATING_HEAD
    lines = []
    for row in others:
        cells = cell_text.separating_cells(row, rows)
        size, seconds = f"{row['parameters']:,}", f"{row['seconds']:.0f}"
        lines.append([row["label"], _ROLES[row["role"]], cells[0], cells[1], cells[3], size, seconds])
    return _Table(["row", "what it is", plain, detail, beyond, "numbers in the offset", "seconds a fit"], lines)


def _reconstruction_table(report: Mapping[str, Any]) -> _Table:
    figures = report["reconstruction"]
    lines = [[label, cell_text.figure(figures[key])] for key, label in (("offset", "offsets"), ("teacher", "teacher"))]
    return _Table(["of", "RMSE against the picture, sRGB codes"], lines)


def _reference(report: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    names = {"offset": "offset", "teacher": f"teacher {report['teacher']['name']}", **PREDICTORS}
    counts = {"offset": report["rows"][0]["parameters"], "teacher": report["teacher"]["parameters"]}
    groups = []
    for name, predictors in other["types"].items():
        measures = measures_of(cell_text.describe(report, name))
        lines = [
            [names[key], f"{counts[key]:,}" if key in counts else "", *(cell_text.figure(row[m]) for m in measures)]
            for key, row in predictors.items()
        ]
        groups.append(_Group(name, _Table(["", "parameters", *(m.title for m in measures.values())], lines)))
    return {"name": other["name"], "types": groups}


def _section(title: str, section: Mapping[str, Any], pictures: Pictures) -> dict[str, Any]:
    """Figures named `type/row/measure` as one table for each type."""
    by_group: dict[str, dict[str, dict[str, Any]]] = {}
    for path, figure in section["figures"].items():
        *place, row, measure = path.split("/")
        by_group.setdefault("/".join(place), {}).setdefault(row, {})[measure] = figure
    names, titles = section.get("rows", {}), section.get("titles", {})
    groups = []
    for group, rows in by_group.items():
        measures = list(dict.fromkeys(measure for figures in rows.values() for measure in figures))
        lines = [
            [names.get(row, row), *(cell_text.figure(figures.get(m)) for m in measures)]
            for row, figures in rows.items()
        ]
        groups.append(_Group(group, _Table(["", *(titles.get(measure, measure) for measure in measures)], lines)))
    checks = [[name, f"{value:.3f}"] for name, value in section.get("checks", {}).items()]
    return {
        "title": title,
        "groups": groups,
        "checks": _Table(["check", ""], checks) if checks else None,
        "pictures": pictures,
    }
