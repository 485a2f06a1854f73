"""All tasks of a study, on several processes, and an estimate of their time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from sgi.engine.errors import UserError
from sgi.engine.progress import SILENT, Progress
from sgi.trainer.offsets.timing import time_fit
from sgi.trainer.studies.evaluation.context import StudyContext, open_context
from sgi.trainer.studies.evaluation.run_task import run_task
from sgi.trainer.studies.evaluation.study import Study
from sgi.trainer.studies.evaluation.task_result import TaskResult
from sgi.trainer.studies.evaluation.tasks import Row, Task

# Time of baselines and statistics for a picture of a task, as a share of the time of making it; measured at 64 px.
_SCORING = 0.3
# Time of inverting rooms and searching for lights, in steps of 16 pictures.
_ROOMS_STEPS = 3500


def unfinished(study: Study, tasks: Iterable[Task]) -> list[Task]:
    """The tasks whose results do not exist yet."""
    return [task for task in tasks if not study.result_path(task).exists()]


def run_tasks(
    study: Study, tasks: Sequence[Task], jobs: int = 1, progress: Progress = SILENT
) -> dict[Task, TaskResult]:
    """Results of all tasks, in their order; results of an earlier run of the same study are read.

    jobs: processes, each with the study's threads; with 1 everything happens in this one. Raises what a task raises,
    and stops the others.
    """
    left = unfinished(study, tasks)
    with progress.stage("fits", len(tasks), "fits") as stage:

        def on_done(task: Task) -> None:
            stage.advance(1, task.row.label)

        for task in tasks:
            if task not in left:
                on_done(task)
        if jobs == 1 or len(left) < 2:
            for task in left:
                run_task(study, task)
                on_done(task)
        else:
            _share(study, left, min(jobs, len(left)), on_done)
    return {task: TaskResult.load(study.result_path(task)) for task in tasks}


def _share(study: Study, tasks: Sequence[Task], jobs: int, on_done: Callable[[Task], None]) -> None:
    # A forked child of a process that has used torch's threads may hang.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin)
    try:
        # First, so that no two processes compute a slow teacher's codes of the same pictures.
        streams = sorted({task.stream for task in tasks})
        for ready in [executor.submit(_prepare, study, stream) for stream in streams]:
            ready.result()
        futures: dict[Future[None], Task] = {executor.submit(_work, study, task): task for task in tasks}
        for future in as_completed(futures):
            future.result()
            on_done(futures[future])
    except BaseException as error:
        # Otherwise the shutdown would wait for the fits in progress, which resume from their checkpoints anyway.
        executor.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()
        if isinstance(error, BrokenProcessPool):
            raise UserError(
                f"`jobs={jobs}`: a process was ended from outside, perhaps for lack of memory; finished tasks are "
                "kept: choose a smaller `jobs` and run the same study again"
            ) from None
        raise
    executor.shutdown()


def _begin() -> None:
    """Let Ctrl-C end this process without a traceback, and end it when the study's own process has ended."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _prepare(study: Study, stream: int) -> None:
    context = open_context(study)
    context.fitting(stream)
    context.held()


def _work(study: Study, task: Task) -> None:
    run_task(study, task)


def estimate_seconds(context: StudyContext, tasks: Sequence[Task], jobs: int, rooms: bool = False) -> float:
    """Estimated time of the unfinished tasks on `jobs` processes, from a few steps timed here.

    rooms: whether truth and lights are measured after them, on all cores.
    """
    study, left = context.study, unfinished(context.study, tasks)
    if not left:
        return 0.0
    settings = study.settings(Row(study.types[0]), 0)
    kinds = [context.kinds[name] for name in study.types]
    timing = time_fit(context.generator, context.teacher, kinds, study.sampling, settings)
    fits = sum(task.row.given is None for task in left)
    pictures = (study.images + study.holdout) * (len({task.stream for task in left}) * jobs + _SCORING * len(left))
    return (fits * timing.fit(study.steps) + rooms * _ROOMS_STEPS * timing.step + pictures * timing.picture) / jobs
