"""Verdicts on rows written by hand: known maps, forced maps, and controls with unexpected results."""

from __future__ import annotations

import pytest

from sgi.trainer.studies.evaluation.verdict import FORCED, KNOWS, NOT, UNJUDGED, judge


def estimate(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


def row(name, fvu, detail, control=None, role=None, ridge=0.7, expected="hard", half=0.01):
    role = role or ("control" if control else "intrinsic")
    entry = {
        "label": " ".join(filter(None, (name, control))) + ("" if role in ("control", "intrinsic") else f" ({role})"),
        "role": role,
        "type": name,
        "control": control,
        "figures": {"fvu": estimate(fvu, half), "fvu_high_pass": estimate(detail, half)},
    }
    if control:
        entry["expected"] = expected
    if role in ("control", "intrinsic"):
        entry |= {
            "beyond_ridge": estimate(1 - fvu / ridge),
            "baselines": {"ridge": {"fvu": estimate(ridge)}},
            "best_baseline": "ridge",
        }
    return entry


def by_key(judged):
    return {line["key"]: line for line in judged["separating"]}


def test_line_is_the_best_hard_control():
    rows = [
        row("albedo", 0.1, 0.2),
        row("depth", 0.5, 0.8),
        row("image", 0.6, 0.97, "half-swap"),
        row("depth", 0.8, 0.99, "hflip"),
        row("image", 0.05, 0.05, "invert", expected="easy")
        | {"baselines": {"ridge": {"fvu": estimate(0.7)}, "global_affine": {"fvu": estimate(0.0, 0)}}},
        row("image", 1.1, 1.1, "other-seed", expected="impossible"),
    ]
    judged = judge(rows)
    line = by_key(judged)["fvu_high_pass"]
    assert (line["line"], line["control"]) == (0.97, "image half-swap")
    assert (line["known"], line["forced"]) == (["albedo", "depth"], [])
    assert {label: verdict["verdict"] for label, verdict in judged["rows"].items()} == {
        "albedo": KNOWS,
        "depth": KNOWS,
        "image half-swap": FORCED,
        "depth hflip": NOT,
        "image invert": FORCED,
        "image other-seed": NOT,
    }
    assert judged["flags"] == []
    assert judged["summary"][0] == "By the fits of this study, the generator knows albedo, depth."
    assert "every map is clearly beyond it" in judged["summary"][2]


def test_control_as_good_as_an_intrinsic_is_flagged_and_moves_the_line():
    rows = [row("albedo", 0.1, 0.2), row("depth", 0.5, 0.8), row("image", 0.4, 0.6, "hflip")]
    judged = judge(rows)
    assert judged["rows"]["depth"]["verdict"] == FORCED
    assert judged["rows"]["albedo"]["verdict"] == KNOWS
    assert judged["rows"]["image hflip"]["as_good_as"] == {
        "fvu": ["depth"],
        "fvu_high_pass": ["depth"],
        "beyond_ridge": ["depth"],
    }
    assert judged["flags"] == [
        "image hflip is fitted as well as these, by FVU: depth; high-pass FVU: depth; "
        "share explained beyond ridge on w: depth"
    ]
    assert by_key(judged)["beyond_ridge"]["forced"] == ["depth"]


def test_overlapping_intervals_are_not_known():
    judged = judge([row("depth", 0.5, 0.8, half=0.2), row("image", 0.6, 0.9, "half-swap", half=0.2)])
    assert judged["rows"]["depth"]["verdict"] == NOT
    judged = judge([row("depth", 0.4, 0.8, half=0.2), row("image", 0.6, 0.9, "half-swap", half=0.2)])
    assert judged["rows"]["depth"]["verdict"] == FORCED
    assert "no map is clearly beyond it" in judged["summary"][1]


def test_intrinsic_no_better_than_a_baseline_is_not_shown():
    judged = judge([row("depth", 0.71, 0.2), row("image", 0.6, 0.9, "half-swap")])
    assert judged["rows"]["depth"]["verdict"] == NOT


@pytest.mark.parametrize("fvu", [0.3, 0.71])
def test_without_controls_there_is_no_verdict(fvu):
    judged = judge([row("depth", fvu, 0.2)])
    assert judged["separating"] == []
    assert judged["rows"]["depth"]["verdict"] == UNJUDGED
    assert judged["summary"] == ["No verdict on depth: no hard control was fitted to compare with."]
    assert "no hard control" in judged["rows"]["depth"]["text"]


def test_prefix_row_belongs_to_its_target():
    rows = [
        row("depth", 0.5, 0.8),
        row("depth", 0.6, 0.9, role="prefix"),
        row("depth", 0.65, 0.99, "half-swap"),
        row("depth", 0.95, 1.0, "half-swap", role="prefix"),
        row("image", 0.65, 0.99, "hflip"),
    ]
    line = by_key(judge(rows))["fvu_prefix"]
    assert (line["line"], line["control"], line["known"]) == (0.95, "depth half-swap", ["depth"])


def test_impossible_control_that_beats_baselines_is_flagged():
    judged = judge([row("depth", 0.3, 0.2), row("image", 0.5, 0.5, "random-map", expected="impossible")])
    assert judged["flags"] == ["image random-map cannot be known and yet beats every baseline: distrust this report"]


def test_sentence_on_low_rank_rows():
    maps = [row("depth", 0.3, 0.8), row("depth", 0.5, 1.0, "half-swap"), row("depth", 0.2, 0.7, role="low-rank")]
    swapped = judge([*maps, row("depth", 0.25, 0.9, "half-swap", role="low-rank")])["low_rank"]
    assert "accuracy variant: FVU depth 0.200 (w+ 0.300)" in swapped
    assert "no evidence: depth half-swap 0.250 (w+ 0.500)" in swapped
    better = judge([*maps, row("depth", 0.6, 0.9, "half-swap", role="low-rank")])["low_rank"]
    assert "no evidence" not in better
    assert "On swapped targets: depth half-swap 0.600 (w+ 0.500)" in better
    assert judge(maps[:2])["low_rank"] == ""


def test_given_offsets_are_judged_by_the_baselines_of_their_type():
    rows = [
        row("depth", 0.75, 0.99),
        row("depth", 0.4, 0.8, role="given"),
        row("albedo", 0.75, 0.99),
        row("albedo", 0.5, 0.97, role="given"),
        row("image", 0.6, 0.97, "half-swap"),
    ]
    judged = judge(rows)
    assert judged["rows"]["depth (given)"]["verdict"] == KNOWS
    assert judged["rows"]["albedo (given)"]["verdict"] == FORCED
    assert judged["summary"][:2] == [
        "By the fits of this study, it does not show depth, albedo.",
        "By the given offsets, the generator knows depth (given); it can be forced to show albedo (given).",
    ]
