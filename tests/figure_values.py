"""Figures of a study as numbers, which fails for figures without a value."""

from __future__ import annotations

from sgi.trainer.studies.figures import Figure


def number(figure: Figure, key: str = "value") -> float:
    """The value of a figure, or an end of its interval (`low`, `high`)."""
    found = figure[key]
    assert found is not None
    return found


def interval(figure: Figure) -> tuple[float, float, float]:
    """(low, value, high) of a figure."""
    return number(figure, "low"), number(figure), number(figure, "high")
