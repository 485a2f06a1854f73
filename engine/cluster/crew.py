"""The workers of a run on Ray: shards are ordered from them, lost ones are replaced, and the records are kept here."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sgi.engine.cluster.member import Member, Size, parcel_of, reason_of, sum_of
from sgi.engine.cluster.worker import Figures, Greeting, Loaded, Made, Order, Worker
from sgi.engine.errors import UserError, one_line
from sgi.engine.files import temporary_path
from sgi.engine.progress import Progress
from sgi.engine.run.job import Job
from sgi.engine.run.pipeline import Outcome
from sgi.engine.run.plan import Plan
from sgi.engine.run.record import RunRecord
from sgi.engine.run.shard_loop import ShardRecords, complete, sweep_shards
from sgi.engine.run.stage_times import StageTimes
from sgi.engine.run.stores.store import Store
from sgi.engine.version import __version__

_POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 10.0
"""Time without a worker after which a message says what the run waits for."""
_STOP_SECONDS = 10.0
_LAST_SECONDS = 1.0
"""Time for workers to give up what they make, and for their last answers afterwards."""
_BATCHES_AHEAD = 40
"""Batches that wait at a worker, about twice what its stages hold, so that it never waits for an order."""
_MOST_ORDERS = 32
_OTHER_CALLS = 4
"""Calls of a worker beside the shards that it makes, such as `figures` and `stop`."""
_MOST_LOSSES = 5
"""Of workers in one place without a finished shard between, and of workers that made one shard."""


class Crew:
    """The workers of a run; a `Maker`. The methods are called on one thread."""

    def __init__(self, ray: Any, plan: Plan, size: Size, progress: Progress) -> None:
        self._ray = ray
        self._plan = plan
        self._progress = progress
        self.backend = self.device = self.remark = ""
        errors = ray.exceptions
        self._losses = (
            errors.RayActorError, errors.WorkerCrashedError, errors.NodeDiedError, errors.ObjectLostError,
            errors.OutOfMemoryError,
        )  # fmt: skip
        batches = math.ceil((plan.record.shard_size or 1) / plan.batch)
        self._depth = min(_MOST_ORDERS, 2 + math.ceil(_BATCHES_AHEAD / batches))  # shards that a worker has at once
        self._class = ray.remote(Worker).options(
            num_cpus=size.cpus, num_gpus=size.gpus, max_concurrency=_MOST_ORDERS + _OTHER_CALLS,
            scheduling_strategy="SPREAD",
        )  # fmt: skip
        self._parcel = parcel_of(plan, size)
        self._latents = None if plan.latents is None else ray.put(plan.latents)
        self._file: Any = None
        self._parcel_sent: Any = None
        self._record = plan.record
        self._versions: dict[str, str] = {}
        self._job: Job | None = None
        self._outdir: Path | str = ""
        self._token = ""
        self._losses_of: dict[int, int] = {}  # number of a shard -> workers that were lost with it
        self._alone_since = math.inf
        self._again: deque[int] = deque()
        self._past_times = StageTimes()
        self._members: list[Member] = []
        for _ in range(size.workers):
            self._hire()

    def load(self) -> None:
        """See `Maker.load`: the first worker that answers chooses the backend, and the others use the same."""
        self._parcel_sent = self._ray.put(self._parcel)
        while not self.backend:
            self._step()

    def begin(self, record: RunRecord) -> dict[str, Any]:
        """See `Maker.begin`."""
        facts: dict[str, Any] = {}
        self._record = record
        self._parcel_sent = self._ray.put(replace(self._parcel, settings={**self._parcel.settings, "record": record}))
        while not facts:
            lead = next((member for member in self._members if member.loaded), None)
            if lead is not None and not lead.asked:
                self._ask(lead, lead.actor.begin.remote(record), facts.update)
            self._step()
        self._versions = facts["versions"]
        return facts

    def make(self, job: Job, store: Store, outcome: Outcome, progress: Callable[[], None]) -> None:
        """See `Maker.make`."""
        where = store.shown(store.folder)
        self._outdir = where.absolute() if isinstance(where, Path) else where
        self._depth = min(_MOST_ORDERS, self._depth + store.uploads)
        complete(job, store, outcome, partial(self._make, job, outcome, progress), progress)

    def _make(self, job: Job, outcome: Outcome, progress: Callable[[], None], records: ShardRecords) -> None:
        began = time.perf_counter()

        def report() -> None:
            self._count(outcome)
            outcome.seconds = time.perf_counter() - began
            progress()

        def made(member: Member, found: Made) -> None:
            records.add(found.line, job.outdir / found.set_aside if found.set_aside else None, is_recorded=True)
            seeds = len(job.shard_seeds(found.line.shard))
            member.losses, member.figures = 0, found.figures
            member.finished += seeds
            outcome.written += seeds
            outcome.files += found.files
            outcome.bytes += found.line.bytes

        token = temporary_path(job.manifest)
        token.touch()
        self._job, self._token = job, token.name
        numbers = records.unfinished(report)
        try:
            while self._order(numbers, records, made):
                self._step()
                report()
        finally:
            self._stop(made)
            token.unlink(missing_ok=True)
            self._members, outcome.unfinished = [], 0
        sweep_shards(job)  # of workers that were lost

    def _count(self, outcome: Outcome) -> None:
        """Add up the figures of all workers."""
        outcome.times = sum_of([self._past_times, *(member.figures.times for member in self._members)])
        outcome.unfinished = sum(max(0, member.figures.seeds - member.finished) for member in self._members)

    def _stop(self, made: Callable[[Member, Made], None]) -> None:
        """Let all workers give up what is not finished, take what is, and end them."""
        with suppress(Exception):  # the connection can be lost
            stopping = [member.actor.stop.remote() for member in self._members if member.host]
            if stopping:
                self._ray.wait(stopping, num_returns=len(stopping), timeout=_STOP_SECONDS)
            ordered = {reference: member for member in self._members for reference in member.orders}
            if ordered:
                for reference in self._ray.wait([*ordered], num_returns=len(ordered), timeout=_LAST_SECONDS)[0]:
                    with suppress(self._ray.exceptions.RayError):
                        made(ordered[reference], self._ray.get(reference))
        self.close()

    def close(self) -> None:
        """End all workers."""
        for member in self._members:
            with suppress(Exception):
                self._ray.kill(member.actor)

    def _order(self, numbers: Iterator[int], records: ShardRecords, made: Callable[[Member, Made], None]) -> bool:
        """Order shards from all workers that have too few; returns False when all are finished."""
        left = True
        # One more for each in turn, so that the last shards are spread over all workers.
        for _ in range(self._depth):
            for member in self._members:
                if not left or not member.ready or len(member.orders) >= self._depth:
                    continue
                number = self._again.popleft() if self._again else next(numbers, None)
                if number is None:
                    left = False
                    continue
                reference = member.actor.make.remote(Order(number, tuple(records.earlier(number))))
                member.orders[reference] = number
                self._ask(member, reference, partial(made, member))
        return left or bool(self._again) or any(member.orders for member in self._members)

    def _hire(self, losses: int = 0) -> None:
        """Start a worker."""
        member = Member(self._class.remote(), losses)
        self._members.append(member)
        self._ask(member, member.actor.greet.remote(), partial(self._greeted, member))

    def _greeted(self, member: Member, greeting: Greeting) -> None:
        if greeting.version != __version__:
            raise UserError(
                f"`cluster`: the machine {greeting.host} has sgi-engine {one_line(greeting.version, 40)}, and this one "
                f"{__version__}; install the same version on all machines"
            )
        member.host = greeting.host

    def _prepare(self) -> None:
        """Ask the workers that wait for it for the next step of their preparation."""
        for member in self._members:
            if member.asked or member.ready or not member.host:
                continue
            if member.loaded:
                if self._job is not None:
                    self._ask(member, member.actor.begin.remote(self._record), partial(self._begun, member))
            elif self.backend or not any(other.loading for other in self._members):
                self._ask_to_load(member)

    def _ask_to_load(self, member: Member) -> None:
        member.loading = True
        self._ask(
            member, member.actor.load.remote(self._parcel_sent, self._latents, self._file),
            partial(self._answered_load, member),
        )  # fmt: skip

    def _answered_load(self, member: Member, loaded: Loaded | None) -> None:
        if loaded is None:
            if self._file is None:
                self._file = self._ray.put(np.fromfile(self._parcel.path, np.uint8))
            self._ask_to_load(member)
            return
        member.loaded = True
        if not self.backend:
            self.backend, self.device = loaded

    def _begun(self, member: Member, facts: dict[str, Any]) -> None:
        other = {name: text for name, text in facts["versions"].items() if self._versions.get(name) != text}
        if other:
            shown = ", ".join(f"{name} {text}, not {self._versions.get(name)}" for name, text in other.items())
            self._progress.message(f"{member.host} has {shown}: the last bits of its maps can differ")
        self._ask(
            member, member.actor.start.remote(self._job, self._outdir, self._token), partial(self._started, member)
        )

    def _started(self, member: Member, answer: None) -> None:
        member.ready, member.polled = True, 0.0

    def _lost(self, member: Member, error: BaseException) -> None:
        """Order the shards of a lost worker from others, and start another worker in its place."""
        self._members.remove(member)
        with suppress(Exception):  # it can be alive, and out of reach
            self._ray.kill(member.actor)
        self._past_times = sum_of([self._past_times, member.figures.times])
        place = f"on {member.host}" if member.host else "that started"
        why = reason_of(error)
        if not member.host and "ModuleNotFoundError" in str(error):
            raise UserError(
                f"`cluster`: a machine of the cluster cannot import sgi-engine ({why}); install sgi-engine[scale] "
                f"{__version__} there, in the environment of Ray"
            )
        numbers = sorted(member.orders.values())
        for number in numbers:
            self._losses_of[number] = self._losses_of.get(number, 0) + 1
            if self._losses_of[number] >= _MOST_LOSSES:
                raise UserError(
                    f"`cluster`: {_MOST_LOSSES} workers were lost while they had shard {number}, the last {place}: "
                    f"{why}; if it is memory, use fewer workers for a machine (`worker_cpus`), or a smaller `batch`"
                )
        self._again.extendleft(reversed(numbers))
        again = f"; {len(numbers)} of its shards are made again" if numbers else ""
        self._progress.message(f"a worker {place} was lost ({why}){again}")
        if member.losses + 1 < _MOST_LOSSES:
            self._hire(member.losses + 1)
        elif not self._members:
            raise UserError(f"`cluster`: {_MOST_LOSSES} workers were lost one after the other, the last {place}: {why}")

    def _ask(self, member: Member, reference: Any, take: Callable[[Any], None]) -> None:
        member.asked[reference] = take

    def _step(self) -> None:
        """Wait for answers for at most `_POLL_SECONDS`, and take those that are there."""
        self._prepare()
        now = time.monotonic()
        for member in self._members:
            if now - member.polled >= _POLL_SECONDS:
                member.polled = math.inf
                self._ask(member, member.actor.figures.remote(), partial(self._polled, member))
        self._say_what_is_awaited(now)
        waiting = [reference for member in self._members for reference in member.asked]
        if not waiting:
            time.sleep(_POLL_SECONDS)
        elif self._ray.wait(waiting, num_returns=1, timeout=_POLL_SECONDS)[0]:
            ready = set(self._ray.wait(waiting, num_returns=len(waiting), timeout=0)[0])
            for member in list(self._members):
                self._take(member, ready)

    def _say_what_is_awaited(self, now: float) -> None:
        """Report once that no worker has answered for some time."""
        if any(member.host for member in self._members):
            self._alone_since = math.inf
        elif self._alone_since == math.inf:
            self._alone_since = now
        elif now - self._alone_since > _PATIENCE_SECONDS:
            self._alone_since = -math.inf
            self._progress.message(
                "waiting for a worker: the cluster has no free CPU cores or GPUs, or is starting some"
            )

    def _take(self, member: Member, ready: set[Any]) -> None:
        for reference in [one for one in member.asked if one in ready]:
            try:
                answer = self._ray.get(reference)
            except self._losses as error:
                self._lost(member, error)
                return
            except self._ray.exceptions.RayTaskError as error:
                cause = error.cause
                raise cause if isinstance(cause, UserError) else error from None
            member.orders.pop(reference, None)
            member.asked.pop(reference)(answer)

    def _polled(self, member: Member, figures: Figures) -> None:
        member.figures, member.polled = figures, time.monotonic()
