"""All tasks of a study on several processes, and how long they will take."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from sgi.engine.errors import UserError
from sgi.trainer.offsets.timing import time_fit
from sgi.trainer.studies.evaluation.tasks import Row, Task
from sgi.trainer.studies.evaluation.work import Result, Study, World, open_world, run_task

# Of making a picture, for each picture of a task: what its baselines and statistics cost; measured at 64 px.
_SCORING = 0.3
# What inverting rooms and looking for lights cost, in steps of 16 pictures.
_ROOMS_STEPS = 3500


def unfinished(study: Study, tasks: Iterable[Task]) -> list[Task]:
    """The tasks whose results are not there yet."""
    return [task for task in tasks if not study.result_path(task).exists()]


def run_tasks(
    study: Study, tasks: Sequence[Task], jobs: int = 1, on_done: Callable[[Task], None] | None = None
) -> dict[Task, Result]:
    """Results of all tasks, in their order; what a stopped run of the same study finished is not done again.

    jobs: processes, each with the study's threads; with 1 everything happens in this one. on_done: hears of every task
    once its result is there. Raises what a task raises, and stops the others.
    """
    left = unfinished(study, tasks)
    if on_done:
        for task in tasks:
            if task not in left:
                on_done(task)
    if jobs == 1 or len(left) < 2:
        for task in left:
            run_task(study, task)
            if on_done:
                on_done(task)
    else:
        _share(study, left, min(jobs, len(left)), on_done)
    return {task: Result.load(study.result_path(task)) for task in tasks}


def _share(study: Study, tasks: Sequence[Task], jobs: int, on_done: Callable[[Task], None] | None) -> None:
    # A forked child of a process that has used torch's threads may hang.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin)
    try:
        # First, so that no two processes ask a slow teacher about the same pictures.
        streams = sorted({task.stream for task in tasks})
        for ready in [executor.submit(_prepare, study, stream) for stream in streams]:
            ready.result()
        futures: dict[Future[None], Task] = {executor.submit(_work, study, task): task for task in tasks}
        for future in as_completed(futures):
            future.result()
            if on_done:
                on_done(futures[future])
    except BaseException as error:
        # Otherwise leaving would wait for the fits in progress, which their journals continue anyway.
        executor.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()
        if isinstance(error, BrokenProcessPool):
            raise UserError(
                f"--jobs {jobs}: a process was ended from outside, as for want of memory; what is finished is kept: "
                "pass fewer --jobs and run the same command again"
            ) from None
        raise
    executor.shutdown()


def _begin() -> None:
    """Let Ctrl-C end this process without a word, and end it when the study's own process is gone."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _prepare(study: Study, stream: int) -> None:
    world = open_world(study)
    world.fitting(stream)
    world.held()


def _work(study: Study, task: Task) -> None:
    run_task(study, task)


def estimate(world: World, tasks: Sequence[Task], jobs: int, rooms: bool = False) -> float:
    """About how many seconds the unfinished tasks will take on that many processes, from a few steps timed here.

    rooms: whether truth and lights are measured after them, on all cores.
    """
    study, left = world.study, unfinished(world.study, tasks)
    if not left:
        return 0.0
    settings = study.settings(Row(study.types[0]), 0)
    kinds = [world.kinds[name] for name in study.types]
    timing = time_fit(world.generator, world.teacher, kinds, study.sampling, settings)
    fits = sum(task.row.given is None for task in left)
    pictures = (study.images + study.holdout) * (len({task.stream for task in left}) * jobs + _SCORING * len(left))
    return (fits * timing.fit(study.steps) + rooms * _ROOMS_STEPS * timing.step + pictures * timing.picture) / jobs
