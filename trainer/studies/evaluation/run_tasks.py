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

# Time of baselines and statistics per picture, as a share of the time to build the picture's entry in a pool; measured
# at 64 px.
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

    jobs: number of processes, each with the study's threads; 1 uses the calling process. If a task raises an error,
    the others are stopped and the error is raised.
    """
    remaining = unfinished(study, tasks)
    with progress.stage("fits", len(tasks), "fits") as stage:

        def on_done(task: Task) -> None:
            stage.advance(1, task.row.label)

        for task in tasks:
            if task not in remaining:
                on_done(task)
        if jobs == 1 or len(remaining) < 2:
            for task in remaining:
                run_task(study, task)
                on_done(task)
        else:
            _run_in_processes(study, remaining, min(jobs, len(remaining)), on_done)
    return {task: TaskResult.load(study.result_path(task)) for task in tasks}


def _run_in_processes(study: Study, tasks: Sequence[Task], jobs: int, on_done: Callable[[Task], None]) -> None:
    # A forked child of a process that has used torch's threads may hang.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(jobs, mp_context=context, initializer=_initialise_process)
    try:
        # Pools are built before the tasks, so that a slow teacher predicts each picture only once.
        streams = sorted({task.stream for task in tasks})
        for ready in [executor.submit(_prepare, study, stream) for stream in streams]:
            ready.result()
        futures: dict[Future[None], Task] = {executor.submit(_work, study, task): task for task in tasks}
        for future in as_completed(futures):
            future.result()
            on_done(futures[future])
    except BaseException as error:
        # A plain shutdown would wait for the running fits, which can resume from their checkpoints.
        executor.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()
        if isinstance(error, BrokenProcessPool):
            raise UserError(
                f"`jobs={jobs}`: a process was ended from outside, perhaps for lack of memory; choose a smaller `jobs` "
                "and run the same study again, which continues after the finished tasks"
            ) from None
        raise
    executor.shutdown()


def _initialise_process() -> None:
    """Make a worker process end without a traceback on SIGINT, and end when its parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def exit_after_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=exit_after_parent, daemon=True).start()


def _prepare(study: Study, stream: int) -> None:
    context = open_context(study)
    context.fitting(stream)
    context.held()


def _work(study: Study, task: Task) -> None:
    run_task(study, task)


def estimate_seconds(context: StudyContext, tasks: Sequence[Task], jobs: int, rooms: bool = False) -> float:
    """Estimated time in seconds of the unfinished tasks on `jobs` processes, from a few timed steps.

    rooms: whether truth and lights are measured after them, on all cores.
    """
    study, remaining = context.study, unfinished(context.study, tasks)
    if not remaining:
        return 0.0
    settings = study.settings(Row(study.types[0]), 0)
    kinds = [context.kinds[name] for name in study.types]
    timing = time_fit(context.generator, context.teacher, kinds, study.sampling, settings)
    fits = sum(task.row.given is None for task in remaining)
    streams = len({task.stream for task in remaining})
    pictures = (study.images + study.holdout) * (streams * jobs + _SCORING * len(remaining))
    return (fits * timing.fit(study.steps) + rooms * _ROOMS_STEPS * timing.step + pictures * timing.picture) / jobs
