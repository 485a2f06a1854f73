"""A `Progress` that records what it receives, and can interrupt the work."""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager


class RecordedProgress:
    """Counts, notes and totals by name of the stage; stop_at: units of a stage after which it raises Ctrl-C.

    Counts of 0 are left out.
    """

    def __init__(self, stop_at=None):
        self.stop_at = stop_at
        self.counts, self.notes, self.totals = defaultdict(list), defaultdict(list), {}
        self.messages = []

    @property
    def done(self):
        return {name: sum(counts) for name, counts in self.counts.items()}

    @contextmanager
    def stage(self, name, total, unit=""):
        self.totals[name] = total
        yield _RecordedStage(self, name)

    def message(self, text):
        self.messages.append(text)


class _RecordedStage:
    def __init__(self, progress, name):
        self.progress, self.name = progress, name

    def advance(self, count=1, note=""):
        if count:
            self.progress.counts[self.name].append(count)
            self.progress.notes[self.name].append(note)
        if self.progress.stop_at is not None and self.progress.done.get(self.name) == self.progress.stop_at:
            raise KeyboardInterrupt
