"""The report as markdown tables: whole, and in brief."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sgi.trainer.measures.by_type import FVU, HIGH_PASS_FVU
from sgi.trainer.studies.evaluation import words
from sgi.trainer.studies.evaluation.summary import PREDICTORS, Entry


def markdown_table(report: Mapping[str, Any]) -> str:
    """Everything of a report.json that a page needs: maps, baselines, controls, the other rows, and the verdict."""
    rows: list[Entry] = report["rows"]
    of_role = {role: _of_role(rows, role) for role in ("intrinsic", "control")}
    others = [row for row in rows if row["role"] not in ("intrinsic", "control", "prefix")]
    verdicts = report["verdicts"]["rows"]
    parts = [words.settings(report)]
    parts.append(
        _table(
            ["map", *words.SEPARATING_HEAD, "other figures", "verdict"],
            ([row["label"], *words.separating_cells(row, rows), _own(report, row), verdicts[row["label"]]["verdict"]]
             for row in of_role["intrinsic"]),
        )
    )  # fmt: skip
    parts.append("FVU of the offset and of what needs none:")
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
                ["target", *words.SEPARATING_HEAD, "best baseline, FVU", "expected", "found"],
                ([row["label"], *words.separating_cells(row, rows), words.best_baseline(row), row["expected"],
                  verdicts[row["label"]]["verdict"]] for row in of_role["control"]),
            )
        )  # fmt: skip
    if others:
        parts.append("Other rows:")
        parts.append(
            _table(
                ["row", *words.SEPARATING_HEAD[:2], words.SEPARATING_HEAD[3], "numbers in the offset"],
                ([row["label"], *_without_prefix(words.separating_cells(row, rows)), f"{row['parameters']:,}"]
                 for row in others),
            )
        )  # fmt: skip
    parts.append("\n".join(f"- {text}" for text in sentences(report)))
    return "\n\n".join(parts)


def brief_table(report: Mapping[str, Any]) -> str:
    """Each map beside the hardest control, the one of least high-pass FVU: figures that separate them, and verdicts."""
    rows: list[Entry] = report["rows"]
    hard = [row for row in _of_role(rows, "control") if row["expected"] == "hard"]
    best = sorted(hard, key=lambda row: float(row["figures"][HIGH_PASS_FVU]["value"]))[:1]
    verdicts = report["verdicts"]["rows"]
    return _table(
        ["fitted to", "FVU", "high-pass FVU", "verdict"],
        (
            [row["label"], *words.separating_cells(row, rows)[:2], verdicts[row["label"]]["verdict"]]
            for row in (*_of_role(rows, "intrinsic"), *best)
        ),
    )


def _of_role(rows: Sequence[Entry], role: str) -> list[Entry]:
    return [row for row in rows if row["role"] == role]


def sentences(report: Mapping[str, Any]) -> list[str]:
    """The verdict in words: summary, low-rank variant, flags."""
    verdicts = report["verdicts"]
    said = [*verdicts["summary"], *filter(None, [verdicts["low_rank"]])]
    return said + [f"Flag: {text}." for text in verdicts["flags"]]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)


def _own(report: Mapping[str, Any], row: Entry) -> str:
    return ", ".join(f"{title} {value}" for title, value in words.own_figures(report, row, spread=False))


def _without_prefix(cells: Sequence[str]) -> list[str]:
    return [*cells[:2], cells[3]]


def _baselines(row: Entry) -> list[str]:
    told = [row["figures"][FVU], *(row["baselines"][name][FVU] for name in PREDICTORS)]
    return [row["label"], *(words.figure(one, spread=(one["value"] or 0) < 1) for one in told)]
