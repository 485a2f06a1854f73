"""Units a second of the last reports of a stage, and the time left at that speed."""

from __future__ import annotations

from collections import deque


class Speed:
    """The speed over a window of reports: the finished part of a continued run passes at once and must not count.

    now: time of the start in seconds. marks: reports of the window.
    """

    def __init__(self, now: float, marks: int) -> None:
        self._marks = deque([(now, 0)], maxlen=marks)  # (time, units done)

    @property
    def last(self) -> float:
        """Time of the last report."""
        return self._marks[-1][0]

    def mark(self, now: float, done: int) -> float | None:
        """Add a report; returns units a second since the first of the window, None where none was done."""
        then, before = self._marks[0]
        self._marks.append((now, done))
        return (done - before) / (now - then) if done > before and now > then else None
