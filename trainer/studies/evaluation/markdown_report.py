"""The report as markdown tables, in full and in brief."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sgi.trainer.measures.by_type import FVU, HIGH_PASS_FVU
from sgi.trainer.studies.evaluation import cell_text
from sgi.trainer.studies.evaluation.report_rows import PREDICTORS, Entry


def markdown_table(report: Mapping[str, Any]) -> str:
    """Tables of maps, baselines, controls and other rows, and the verdict; report: the contents of report.json."""
    rows: list[Entry] = report["rows"]
    of_role = {role: _of_role(rows, role) for role in ("intrinsic", "control")}
    others = [row for row in rows if row["role"] not in ("intrinsic", "control", "prefix")]
    verdicts = report["verdicts"]["rows"]
    parts = [cell_text.settings(report)]
    parts.append(
        _table(
            ["map", *cell_text.SEPARATING_HEAD, "other figures", "verdict"],
            (
                [
                    row["label"],
                    *cell_text.separating_cells(row, rows),
                    _own(report, row),
                    verdicts[row["label"]]["verdict"],
                ]
                for row in of_role["intrinsic"]
            ),
        )
    )
    parts.append("FVU of the offset and of the baselines:")
    parts.append(
        _table(
            ["map", "offset", *PREDICTORS.values()],
            (_baselines(row) for row in of_role["intrinsic"]),
        )
    )
    if of_role["control"]:
        parts.append("Controls, fitted in the same way:")
        parts.append(
            _table(
                ["target", *cell_text.SEPARATING_HEAD, "best baseline, FVU", "expected", "found"],
                ([row["label"], *cell_text.separating_cells(row, rows), cell_text.best_baseline(row), row["expected"],
                  verdicts[row["label"]]["verdict"]] for row in of_role["control"]),
            )
        )  # fmt: skip
    if others:
        parts.append("Other rows:")
        parts.append(
            _table(
                ["row", *cell_text.SEPARATING_HEAD[:2], cell_text.SEPARATING_HEAD[3], "numbers in the offset"],
                ([row["label"], *_without_prefix(cell_text.separating_cells(row, rows)), f"{row['parameters']:,}"]
                 for row in others),
            )
        )  # fmt: skip
    parts.append("\n".join(f"- {text}" for text in sentences(report)))
    return "\n\n".join(parts)


def brief_table(report: Mapping[str, Any]) -> str:
    """FVU, high-pass FVU and verdict of each map and of the hard control with the lowest high-pass FVU."""
    rows: list[Entry] = report["rows"]
    hard = [row for row in _of_role(rows, "control") if row["expected"] == "hard"]
    best = sorted(hard, key=lambda row: float(row["figures"][HIGH_PASS_FVU]["value"]))[:1]
    verdicts = report["verdicts"]["rows"]
    return _table(
        ["fitted to", "FVU", "high-pass FVU", "verdict"],
        (
            [row["label"], *cell_text.separating_cells(row, rows)[:2], verdicts[row["label"]]["verdict"]]
            for row in (*_of_role(rows, "intrinsic"), *best)
        ),
    )


def _of_role(rows: Sequence[Entry], role: str) -> list[Entry]:
    return [row for row in rows if row["role"] == role]


def sentences(report: Mapping[str, Any]) -> list[str]:
    """The verdict in words: summary, low-rank variant, flags."""
    verdicts = report["verdicts"]
    statements = [*verdicts["summary"], *filter(None, [verdicts["low_rank"]])]
    return statements + [f"Flag: {text}." for text in verdicts["flags"]]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)


def _own(report: Mapping[str, Any], row: Entry) -> str:
    return ", ".join(f"{title} {value}" for title, value in cell_text.own_figures(report, row, spread=False))


def _without_prefix(cells: Sequence[str]) -> list[str]:
    return [*cells[:2], cells[3]]


def _baselines(row: Entry) -> list[str]:
    estimates = [row["figures"][FVU], *(row["baselines"][name][FVU] for name in PREDICTORS)]
    return [row["label"], *(cell_text.figure(one, spread=(one["value"] or 0) < 1) for one in estimates)]
