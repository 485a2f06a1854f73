"""The verdict on each map, in figures and in sentences: "knows", "can be forced to", "does not show", or
"no verdict" without controls.

A fit can produce targets that are not properties of the scene, so a low error alone proves nothing. The line of a
measure is the figure of the best hard control; a map is known only if its figure is better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sgi.trainer.measures.bootstrap import Estimate
from sgi.trainer.measures.by_type import FVU, HIGH_PASS_FVU
from sgi.trainer.studies.evaluation.report_rows import BEYOND_RIDGE, Entry, estimate_of, rounded
from sgi.trainer.studies.evaluation.tasks import PREFIX_SIDE, SWAP

PREFIX_FVU = "fvu_prefix"
SEPARATING = {
    FVU: "FVU",
    HIGH_PASS_FVU: "high-pass FVU",
    PREFIX_FVU: f"FVU of the offset from {PREFIX_SIDE} px on",
    BEYOND_RIDGE: "share explained beyond ridge on w",
}
"""Key -> title of the measures that may separate known maps from forced ones; verdicts use DECIDING only."""
DECIDING = HIGH_PASS_FVU
KNOWS, FORCED, NOT = "knows", "can be forced to", "does not show"
UNJUDGED = "no verdict"
"""The verdict on a map where no hard control was fitted to draw a line."""

COLOUR_BASELINES = ("global_affine", "pixel_affine")

Estimates = dict[str, Estimate]
"""By key of SEPARATING."""


def judge(rows: Sequence[Entry]) -> dict[str, Any]:
    """The verdicts of a report, JSON-ready.

    separating: for each measure of SEPARATING that both sides have: key, title, line (the value of the best hard
    control), control (its label), interval (its estimate), known and forced (labels of the intrinsics on either side:
    known are those whose whole interval lies beyond the whole interval of that control).
    rows: {label: {verdict, text, as_good_as}} of intrinsics, given offsets and controls; as_good_as, of controls: by
    measure, the intrinsics that are fitted no better than the control. flags: sentences about controls with
    unexpected results. low_rank: a sentence on the low-rank rows. summary: sentences.
    """
    intrinsics = [row for row in rows if row["role"] == "intrinsic"]
    given = [row for row in rows if row["role"] == "given"]
    hard = [row for row in rows if row["role"] == "control" and row["expected"] == "hard"]
    estimates = {row["label"]: separating_figures(row, rows) for row in rows if row["role"] in ("intrinsic", "control")}
    lines = [line for key in SEPARATING if (line := _line(key, intrinsics, hard, estimates)) is not None]
    deciding = next((line for line in lines if line["key"] == DECIDING), None)
    verdicts = {row["label"]: _of_map(row, _baselines_of(row, rows), deciding) for row in (*intrinsics, *given)}
    verdicts |= {row["label"]: _of_control(row, intrinsics, estimates) for row in rows if row["role"] == "control"}
    return {
        "separating": lines,
        "rows": verdicts,
        "flags": [text for row in rows if (text := _flag(row, verdicts))],
        "low_rank": _low_rank(rows),
        "summary": _summary(intrinsics, given, verdicts, lines),
    }


def separating_figures(row: Entry, rows: Sequence[Entry]) -> Estimates:
    """The separating measures of a row; PREFIX_FVU is taken from the row of role `prefix` with the same target."""
    estimates = {key: estimate_of(row["figures"][key]) for key in (FVU, HIGH_PASS_FVU)}
    if BEYOND_RIDGE in row:
        estimates[BEYOND_RIDGE] = estimate_of(row[BEYOND_RIDGE])
    for other in rows:
        if other["role"] == "prefix" and _target(other) == _target(row):
            estimates[PREFIX_FVU] = estimate_of(other["figures"][FVU])
    return estimates


def _better(key: str, one: Estimate, other: Estimate) -> bool:
    """Whether the whole interval of `one` is better than that of `other`."""
    return other.below(one) if key == BEYOND_RIDGE else one.below(other)


def _line(
    key: str, intrinsics: Sequence[Entry], hard: Sequence[Entry], estimates: Mapping[str, Estimates]
) -> dict[str, Any] | None:
    ours = {row["label"]: estimates[row["label"]][key] for row in intrinsics if key in estimates[row["label"]]}
    theirs = {row["label"]: estimates[row["label"]][key] for row in hard if key in estimates[row["label"]]}
    if not ours or not theirs:
        return None
    pick = max if key == BEYOND_RIDGE else min
    best = pick(theirs, key=lambda label: theirs[label].value)
    known = [label for label, estimate in ours.items() if _better(key, estimate, theirs[best])]
    return {
        "key": key,
        "title": SEPARATING[key],
        "line": theirs[best].value,
        "control": best,
        "interval": rounded(theirs[best]),
        "known": known,
        "forced": [label for label in ours if label not in known],
    }


def _baselines_of(row: Entry, rows: Sequence[Entry]) -> Mapping[str, Any]:
    """The baselines of a row; for a given offset, those of the fits of its type."""
    return next(other["baselines"] for other in rows if "baselines" in other and _target(other) == _target(row))


def _beats(row: Entry, baselines: Mapping[str, Any]) -> bool:
    ours = estimate_of(row["figures"][FVU])
    return all(ours.below(estimate_of(figures[FVU])) for figures in baselines.values())


def _of_map(row: Entry, baselines: Mapping[str, Any], deciding: Mapping[str, Any] | None) -> dict[str, Any]:
    best = min(baselines, key=lambda name: baselines[name][FVU]["value"])
    fvu, theirs = row["figures"][FVU]["value"], baselines[best][FVU]["value"]
    beside = f"FVU {fvu:.3f}, best baseline ({best.replace('_', ' ')}) {theirs:.3f}"
    beaten = _beats(row, baselines)
    if deciding is None:
        where = "" if beaten else ", not clearly below every baseline"
        return {"verdict": UNJUDGED, "text": f"{beside}{where}; no hard control was fitted to draw a line"}
    if not beaten:
        return {"verdict": NOT, "text": f"{beside}: not clearly below every baseline"}
    detail = estimate_of(row["figures"][DECIDING])
    beside += f"; {SEPARATING[DECIDING]} {detail.value:.3f}"
    known = _better(DECIDING, detail, estimate_of(deciding["interval"]))
    text = f"{beside}, the line is at {deciding['line']:.3f} ({deciding['control']})"
    return {"verdict": KNOWS if known else FORCED, "text": text}


def _of_control(row: Entry, intrinsics: Sequence[Entry], estimates: Mapping[str, Estimates]) -> dict[str, Any]:
    as_good_as = {}
    for key, estimate in estimates[row["label"]].items():
        beaten = [
            other["label"]
            for other in intrinsics
            if key in estimates[other["label"]] and estimate.within(estimates[other["label"]][key], key == BEYOND_RIDGE)
        ]
        if beaten:
            as_good_as[key] = beaten
    baselines = row["baselines"]
    if row["expected"] == "easy":
        # An easy target is an affine function of the colours, which the colour baselines compute exactly.
        baselines = {name: figures for name, figures in baselines.items() if name not in COLOUR_BASELINES}
    forced = _beats(row, baselines)
    text = f"FVU {row['figures'][FVU]['value']:.3f}, high-pass {row['figures'][HIGH_PASS_FVU]['value']:.3f}"
    return {"verdict": FORCED if forced else NOT, "text": text, "as_good_as": as_good_as}


def _flag(row: Entry, verdicts: Mapping[str, Mapping[str, Any]]) -> str | None:
    """A sentence on a hard control that is fitted as well as a map, or an impossible one that beats the baselines."""
    if row["role"] != "control" or row["expected"] == "easy":
        return None
    verdict = verdicts[row["label"]]
    if row["expected"] == "impossible":
        if verdict["verdict"] == NOT:
            return None
        return f"{row['label']} cannot be known and yet beats every baseline: distrust this report"
    beaten = verdict["as_good_as"]
    if not beaten:
        return None
    by_measure = "; ".join(f"{SEPARATING[key]}: {', '.join(labels)}" for key, labels in beaten.items())
    return f"{row['label']} is fitted as well as these, by {by_measure}"


def _low_rank(rows: Sequence[Entry]) -> str:
    """A sentence on the low-rank rows: their figures on maps, and on swapped maps."""
    ordinary = {_target(row): row["figures"][FVU]["value"] for row in rows if row["role"] in ("intrinsic", "control")}
    low = {_target(row): row["figures"][FVU]["value"] for row in rows if row["role"] == "low-rank"}

    def figures(swapped: bool) -> str:
        return ", ".join(
            f"{' '.join(filter(None, target))} {value:.3f}"
            + (f" (w+ {ordinary[target]:.3f})" if target in ordinary else "")
            for target, value in low.items()
            if (target[1] == SWAP) == swapped
        )

    if not figures(swapped=False):
        return ""
    text = f"The low-rank update is the accuracy variant: FVU {figures(swapped=False)}."
    swaps = [target for target in low if target[1] == SWAP]
    if not swaps:
        return text
    if all(low[target] < ordinary.get(target, 0) for target in swaps):
        return (
            f"{text} It regresses swapped targets better too, so its scores are no evidence: {figures(swapped=True)}."
        )
    return f"{text} On swapped targets: {figures(swapped=True)}."


def _target(row: Entry) -> tuple[str, str | None]:
    return row["type"], row["control"]


def _summary(
    intrinsics: Sequence[Entry],
    given: Sequence[Entry],
    verdicts: Mapping[str, Mapping[str, Any]],
    lines: Sequence[Mapping[str, Any]],
) -> list[str]:
    phrases = {KNOWS: "the generator knows", FORCED: "it can be forced to show", NOT: "it does not show"}
    sentences = []
    if unjudged := [row["label"] for row in intrinsics if verdicts[row["label"]]["verdict"] == UNJUDGED]:
        sentences.append(f"No verdict on {', '.join(unjudged)}: no hard control was fitted to compare with.")
    for group, begin in ((intrinsics, "By the fits of this study"), (given, "By the given offsets")):
        named = {
            phrases[verdict]: [row["label"] for row in group if verdicts[row["label"]]["verdict"] == verdict]
            for verdict in phrases
        }
        statement = "; ".join(f"{verb} {', '.join(labels)}" for verb, labels in named.items() if labels)
        sentences += [f"{begin}, {statement}."] if statement else []
    for line in lines:
        where = f"{line['title']}: the best hard control is {line['control']} at {line['line']:.3f}"
        if not line["forced"]:
            sentences.append(f"{where}; every map is clearly beyond it.")
        elif not line["known"]:
            sentences.append(f"{where}; no map is clearly beyond it, so this measure separates nothing here.")
        else:
            sentences.append(
                f"{where}; clearly beyond it: {', '.join(line['known'])}; not: {', '.join(line['forced'])}."
            )
    return sentences
