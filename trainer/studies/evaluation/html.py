"""report.html: the report with its pictures in one file that needs nothing else."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from sgi.trainer.measures.by_type import FVU, measures_of
from sgi.trainer.studies.evaluation import words
from sgi.trainer.studies.evaluation.chart import Mark, strip_chart
from sgi.trainer.studies.evaluation.markdown import sentences
from sgi.trainer.studies.evaluation.style import STYLE
from sgi.trainer.studies.evaluation.summary import BEYOND_RIDGE, PREDICTORS, Entry
from sgi.trainer.studies.evaluation.verdict import FORCED, KNOWS, NOT, separating_figures

Pictures = Mapping[str, bytes]
"""PNGs by title."""

_SAID = {KNOWS: "known", FORCED: "hard", NOT: "impossible"}
_ROLES = {
    "given": "an existing offset, scored on the same pictures",
    "prefix": "offset kept out of the first layers",
    "low-rank": "low-rank update of the affine layers: the accuracy variant",
    "random weights": "offset of a generator that was never trained, fitted to the same targets",
}


def page(report: Mapping[str, Any], pictures: Pictures, sections: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole page.

    report: what report.json holds. pictures: of the study. sections: {title: {"figures": {"row/measure": {value, low,
    high}}, "rows": {row: words}, "titles": {measure: words}, "pictures": {title: PNG}}} of other measurements.
    """
    rows: list[Entry] = report["rows"]
    maps = [row for row in rows if row["role"] == "intrinsic"]
    controls = [row for row in rows if row["role"] == "control"]
    others = [row for row in rows if row["role"] not in ("intrinsic", "control")]
    of_controls = {title: png for title, png in pictures.items() if title.startswith("Controls")}
    body = [
        "<h1>What does this generator know?</h1>",
        f"<p class=lead>{escape(_about(report))}</p>",
        "<h2>Verdict</h2>",
        _list(sentences(report)),
        _charts(report, rows),
        "<h2>Maps</h2>",
        _maps_table(report, maps, rows),
        "<h3>FVU of the offset and of what needs none</h3>",
        _baseline_table(maps),
        *(part for row in maps for part in _of_type(report, row["type"], rows, pictures)),
    ]
    if controls:
        body += ["<h2>Controls</h2>", _control_table(report, controls, rows), *_gallery(of_controls)]
    if others:
        body += ["<h2>Other rows</h2>", _other_table(others, rows)]
    body += _reconstruction(report)
    for other in report.get("references", []):
        body += _reference(report, other)
    for title, section in sections.items():
        body += _section(title, section)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>sgi-engine eval</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _about(report: Mapping[str, Any]) -> str:
    generator, teacher = report["generator"], report["teacher"]
    return (
        f"Generator {generator['sha256'][:12]}, {generator['resolution']} px, {generator['parameters']:,} parameters; "
        f"teacher {teacher['name']}, {teacher['parameters']:,} parameters. {words.settings(report)} "
        f"{report['core_minutes']:.0f} minutes of one core. sgi-engine {report['sgi_engine']}."
    )


def _charts(report: Mapping[str, Any], rows: Sequence[Entry]) -> str:
    """A strip chart of every separating measure that has a line."""
    charts = []
    for line in report["verdicts"]["separating"]:
        marks = []
        for row in rows:
            if row["role"] in ("intrinsic", "control"):
                told = separating_figures(row, rows)
                if line["key"] in told:
                    role = (
                        "known" if row["label"] in line["known"] else "map" if not row["control"] else row["expected"]
                    )
                    marks.append(Mark(row["label"], told[line["key"]], role))
        upwards = line["key"] == BEYOND_RIDGE
        marks.sort(key=lambda mark: mark.estimate.value, reverse=upwards)
        where = f"{line['title']}, {'higher' if upwards else 'lower'} is better; dashed: {line['control']}"
        chart = strip_chart(marks, line["line"], highest=1.0 if upwards else 1.2)
        charts.append(f"<figure><figcaption>{escape(where)}</figcaption>{chart}</figure>")
    return f"<div class=charts>{''.join(charts)}</div>{_LEGEND if charts else ''}"


_LEGEND = (
    '<p class=legend><span class="key known">map clearly beyond the line</span><span class="key map">other map</span>'
    '<span class="key hard">hard control</span><span class="key easy">easy control</span>'
    '<span class="key impossible">impossible control</span></p>'
)


def _maps_table(report: Mapping[str, Any], maps: Sequence[Entry], rows: Sequence[Entry]) -> str:
    head = ["map", *words.SEPARATING_HEAD, "best baseline", "FVU of each fit", "verdict"]
    verdicts = report["verdicts"]["rows"]
    lines = []
    for row in maps:
        cells = [row["label"], *words.separating_cells(row, rows), words.best_baseline(row), _spread(row)]
        lines.append([*cells, verdicts[row["label"]]["verdict"]])
    return _table(head, lines)


def _spread(row: Entry) -> str:
    """The FVU of every fit."""
    return ", ".join(f"{value:.3f}" for value in row["figures"][FVU].get("fits", [row["figures"][FVU]["value"]]))


def _baseline_table(maps: Sequence[Entry]) -> str:
    return _table(
        ["map", "offset", *PREDICTORS.values()],
        (
            [row["label"], words.figure(row["figures"][FVU])]
            + [words.figure(row["baselines"][name][FVU]) for name in PREDICTORS]
            for row in maps
        ),
    )


def _of_type(report: Mapping[str, Any], name: str, rows: Sequence[Entry], pictures: Pictures) -> list[str]:
    """One type's pictures, and every figure of all its offsets and baselines."""
    rows = [row for row in rows if row["type"] == name and not row["control"]]
    measures = measures_of(words.describe(report, name))
    lines = [[row["label"], *(words.figure(row["figures"].get(key)) for key in measures)] for row in rows]
    for baseline, told in rows[0]["baselines"].items():
        lines.append([PREDICTORS[baseline], *(words.figure(told[key]) for key in measures)])
    table = _table(["", *(measure.title for measure in measures.values())], lines)
    shown = {"What the teacher tells, and what offsets show": pictures[name]} if name in pictures else {}
    return [f"<h3>{escape(name)}</h3>", *_gallery(shown), table]


def _control_table(report: Mapping[str, Any], controls: Sequence[Entry], rows: Sequence[Entry]) -> str:
    verdicts = report["verdicts"]["rows"]
    lines = []
    for row in controls:
        told = verdicts[row["label"]]
        passed = sorted({label for labels in told["as_good_as"].values() for label in labels})
        cells = [row["label"], *words.separating_cells(row, rows), words.best_baseline(row), row["expected"]]
        lines.append([*cells, told["verdict"], ", ".join(passed) if row["expected"] == "hard" else ""])
    head = ["target", *words.SEPARATING_HEAD, "best baseline", "expected", "found", "on some measure as good as"]
    return _table(head, lines)


def _other_table(others: Sequence[Entry], rows: Sequence[Entry]) -> str:
    plain, detail, _, beyond = words.SEPARATING_HEAD
    lines = []
    for row in others:
        told = words.separating_cells(row, rows)
        size, seconds = f"{row['parameters']:,}", f"{row['seconds']:.0f}"
        lines.append([row["label"], _ROLES[row["role"]], told[0], told[1], told[3], size, seconds])
    return _table(["row", "what it is", plain, detail, beyond, "numbers in the offset", "seconds a fit"], lines)


def _reconstruction(report: Mapping[str, Any]) -> list[str]:
    told = report["reconstruction"]
    if not told:
        return []
    lines = [[label, words.figure(told[key])] for key, label in (("offset", "offsets"), ("teacher", "teacher"))]
    return ["<h2>Albedo x shading</h2>", _table(["of", "RMSE against the picture, sRGB codes"], lines)]


def _reference(report: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    names = {"offset": "offset", "teacher": f"teacher {report['teacher']['name']}", **PREDICTORS}
    counts = {"offset": report["rows"][0]["parameters"], "teacher": report["teacher"]["parameters"]}
    body = [f"<h2>Against another teacher: {escape(other['name'])}</h2>"]
    for name, told in other["types"].items():
        measures = measures_of(words.describe(report, name))
        lines = [
            [names[key], f"{counts[key]:,}" if key in counts else "", *(words.figure(row[m]) for m in measures)]
            for key, row in told.items()
        ]
        body += [f"<h3>{escape(name)}</h3>", _table(["", "parameters", *(m.title for m in measures.values())], lines)]
    return body


def _section(title: str, section: Mapping[str, Any]) -> list[str]:
    """Figures named `type/row/measure` as one table for each type."""
    groups: dict[str, dict[str, dict[str, Any]]] = {}
    for path, told in section["figures"].items():
        *place, row, measure = path.split("/")
        groups.setdefault("/".join(place), {}).setdefault(row, {})[measure] = told
    body = [f"<h2>{escape(title)}</h2>"]
    for group, rows in groups.items():
        measures = list(dict.fromkeys(measure for told in rows.values() for measure in told))
        names, titles = section.get("rows", {}), section.get("titles", {})
        lines = [[names.get(row, row), *(words.figure(told.get(m)) for m in measures)] for row, told in rows.items()]
        body += [f"<h3>{escape(group)}</h3>"] if group else []
        body.append(_table(["", *(titles.get(measure, measure) for measure in measures)], lines))
    if section.get("checks"):
        body.append(_table(["check", ""], [[name, f"{value:.3f}"] for name, value in section["checks"].items()]))
    return [*body, *_gallery(section.get("pictures", {}))]


def _gallery(pictures: Pictures) -> list[str]:
    return [
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<img alt="{escape(title)}" src="data:image/png;base64,{base64.b64encode(png).decode()}"></figure>'
        for title, png in pictures.items()
    ]


def _list(items: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        said = ((cell, f' class="{_SAID[cell]}"' if cell in _SAID else "") for cell in cells)
        return f"<tr>{''.join(f'<{tag}{style}>{escape(cell)}</{tag}>' for cell, style in said)}</tr>"

    return f"<div class=wide><table>{line(head, 'th')}{''.join(line(cells, 'td') for cells in rows)}</table></div>"
