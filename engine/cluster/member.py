"""What a crew knows of one of its workers, and of how workers are lost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass
from typing import Any

from sgi.engine.cluster.worker import Figures
from sgi.engine.errors import one_line
from sgi.engine.run.stage_times import StageTimes


@dataclass(frozen=True)
class Size:
    """The number of workers, and CPU cores and GPUs of each."""

    workers: int
    cpus: float
    gpus: float


class Member:
    """A worker: its actor, what it was asked and has not answered, and what it has done."""

    def __init__(self, actor: Any, losses: int) -> None:
        self.actor = actor
        self.losses = losses  # of workers in this place, without a finished shard between
        self.host = ""
        self.asked: dict[Any, Callable[[Any], None]] = {}  # reference -> what takes the answer
        self.orders: dict[Any, int] = {}  # reference -> number of the shard
        self.loading = self.loaded = self.ready = False
        self.polled = math.inf  # when it answered with figures; infinite while it is asked
        self.finished = 0  # seeds of its finished shards
        self.figures = Figures(0, StageTimes())


def sum_of(times: Iterable[StageTimes]) -> StageTimes:
    """The sums of the seconds of each stage."""
    return StageTimes(*(sum(column) for column in zip(*map(astuple, times), strict=True)))


def reason_of(error: BaseException) -> str:
    """Why Ray says that a worker was lost, in few words."""
    text = " ".join(str(error).split())
    if "OutOfMemory" in type(error).__name__ or "running low on memory" in text:
        return "out of memory"
    if "its node has died" in text:
        return "its machine is gone"
    return "its process ended" if "process has died" in text else one_line(text, 120)
