"""The workers of a crew: what one is doing, what each needs, and how they are lost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass, fields
from typing import Any

from sgi.engine.cluster.worker import Figures, Parcel
from sgi.engine.errors import one_line
from sgi.engine.files import sha256_file
from sgi.engine.generator_model.choice import TRITON
from sgi.engine.run.plan import Plan
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


def parcel_of(plan: Plan, size: Size) -> Parcel:
    """What workers of a size need to open the model of a plan; without GPUs, each has as many threads as cores."""
    settings = {field.name: getattr(plan, field.name) for field in fields(plan)}
    del settings["source"], settings["latents"]
    if plan.threads is None and not size.gpus and plan.record.backend != TRITON:
        settings["threads"] = max(1, int(size.cpus))
    path = plan.source.path
    return Parcel(path.absolute(), sha256_file(path), plan.source.reopen, settings, max(1, math.ceil(size.cpus)))


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
