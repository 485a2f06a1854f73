"""Where the time of a run goes, and which of its stages limits it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class StageTimes:
    """Seconds of the stages of a run. Few readings of the clock a seed; no locks.

    generate: the run loop waited for maps of the model. wait: it waited for files. encode, write: sums of all writers,
    which work beside each other.
    """

    generate: float = 0.0
    wait: float = 0.0
    encode: float = 0.0
    write: float = 0.0

    def copy(self) -> StageTimes:
        """The same figures, which later ones do not change."""
        return StageTimes(self.generate, self.wait, self.encode, self.write)

    def limit_since(self, before: StageTimes) -> str:
        """The stage that limited the speed since `before`: generate, encode or write; empty where nothing was done."""
        if self == before:
            return ""
        if self.generate - before.generate >= self.wait - before.wait:
            return "generate"
        return "encode" if self.encode - before.encode >= self.write - before.write else "write"
