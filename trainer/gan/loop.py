"""The training loop: budget, learning-rate schedule, checkpoints, log, samples and clean interruption."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from sgi.engine.errors import UserError
from sgi.engine.generator import Generator
from sgi.trainer.batches import ImageSet, RealImages
from sgi.trainer.gan.run_files import RunFiles
from sgi.trainer.gan.start import Start
from sgi.trainer.gan.step import StepStats, Training
from sgi.trainer.gan.train_config import TrainConfig

LOG_KIMG = 1.0
SAMPLE_KIMG = 10.0
MEASURE_KIMG = 50.0
# A GPU passes the multiples of kimg within seconds: these are the least times between two samples or measurements.
SAMPLE_SECONDS = 30.0
MEASURE_SECONDS = 90.0
CHECKPOINT_SECONDS = 60.0


def train(
    config: TrainConfig,
    images: ImageSet,
    workdir: Path,
    device: torch.device,
    resume: bool = True,
    report: Callable[[Training, float, float], None] = lambda training, seconds, progress: None,
    measure: Callable[[Generator], dict[str, Any]] | None = None,
    start: Start | None = None,
) -> Training:
    """Train until the budget is spent or SIGINT or SIGTERM arrives; in both cases the last state is saved.

    images: real images of config.resolution. workdir: folder for checkpoint.pt, ema.safetensors,
    discriminator.safetensors, log.jsonl and samples/. resume: continue from the checkpoint in workdir, if there is
    one. A run limited by images ends with the same result as an uninterrupted one; one limited by hours depends on the
    clock. report: called after each step with (training, seconds, spent fraction of the budget). measure: figures of
    the averaged generator for the log, computed every MEASURE_KIMG but not more often than every MEASURE_SECONDS; its
    time is not counted. start: networks to start from where there is no checkpoint; their images and seconds count
    towards the budget.
    Raises UserError for a run without a budget and for a checkpoint of other settings.
    """
    if config.total_kimg is None and config.hours is None:
        raise UserError("the run has no budget: pass `kimg` or `hours`")
    torch.set_flush_denormal(True)
    files = RunFiles(workdir)
    real = RealImages(images, config.batch, config.seed, config.flips, device)
    training = Training(config, real, device)
    if resume and files.checkpoint.exists():
        before = files.load(training)
    else:
        before = 0.0
        files.log.unlink(missing_ok=True)
        if start:
            start.load_into(training)
            before = start.seconds
    began = saved = time.monotonic()
    sampled = measured = -math.inf
    window = Window(training)
    with stop_requests() as stopped:
        while (progress := config.progress(training.kimg, seconds := before + time.monotonic() - began)) < 1:
            window.add(training.step(config.lr_factor(progress)))
            report(training, seconds, config.progress(training.kimg, seconds))
            if crossed(training, LOG_KIMG):
                files.append_log(window.record(seconds, config.lr_factor(progress)))
                window = Window(training)
            if crossed(training, SAMPLE_KIMG) and time.monotonic() - sampled >= SAMPLE_SECONDS:
                files.save_samples(training)
                sampled = time.monotonic()
            if measure and crossed(training, MEASURE_KIMG) and time.monotonic() - measured >= MEASURE_SECONDS:
                paused = time.monotonic()
                files.append_log({"kimg": round(training.kimg, 3), **measure(training.average)})
                measured = time.monotonic()
                began += measured - paused
            if stopped.is_set():
                break
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                files.save(training, before + time.monotonic() - began)
                saved = time.monotonic()
        files.save(training, before + time.monotonic() - began)
        files.save_samples(training)
    return training


def crossed(training: Training, kimg: float) -> bool:
    """Return whether the last step passed a multiple of `kimg` thousand images."""
    return int(training.kimg / kimg) > int((training.kimg - training.config.batch / 1000) / kimg)


class Window:
    """Sums of step statistics between two records of the log, kept on the device until a record is written."""

    def __init__(self, training: Training) -> None:
        self.training = training
        self.start = time.monotonic()
        self.sums = torch.zeros(5, device=training.device)
        self.steps = 0
        self.penalties = 0

    def add(self, stats: StepStats) -> None:
        """Add the statistics of one step."""
        penalty = torch.zeros_like(stats.real_sign) if stats.r1 is None else stats.r1
        self.sums += torch.stack([*stats[:4], penalty])
        self.steps += 1
        self.penalties += stats.r1 is not None

    def record(self, seconds: float, lr_factor: float) -> dict[str, float | None]:
        """Return the record for the log: means over the window, images per second, and the state of the run."""
        loss_g, loss_d, real, fake, penalty = self.sums.tolist()
        images = self.steps * self.training.config.batch
        return {
            "kimg": round(self.training.kimg, 3),
            "seconds": round(seconds, 1),
            "loss_g": round(loss_g / self.steps, 4),
            "loss_d": round(loss_d / self.steps, 4),
            "r1": round(penalty / self.penalties, 5) if self.penalties else None,
            "sign_real": round(real / self.steps, 3),
            "sign_fake": round(fake / self.steps, 3),
            "lr_factor": round(lr_factor, 4),
            "images_per_second": round(images / (time.monotonic() - self.start), 2),
        }


@contextmanager
def stop_requests() -> Iterator[threading.Event]:
    """Yield an event that SIGINT and SIGTERM set, so that a step is finished and saved before the process ends.

    A second signal has its normal effect. Outside the main thread, where Python delivers no signals, the event is
    never set.
    """
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in former.items():
            signal.signal(number, handler)

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()
        restore()

    for number in former:
        signal.signal(number, stop)
    try:
        yield stopped
    finally:
        restore()
