"""Train the U-Net teacher on rendered rooms, whose maps are exact.

Random draws depend only on the seed and the step, and the state on disk contains everything else. A run that was killed
and resumed therefore ends with the same bits as an uninterrupted one.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from sgi.engine import intrinsics
from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write
from sgi.engine.progress import SILENT, Progress, Stage
from sgi.trainer.batches import step_generator
from sgi.trainer.losses import get_loss
from sgi.trainer.state_file import read_state, restoring
from sgi.trainer.teacher_training.augment import degrade
from sgi.trainer.teachers.codes import mirror
from sgi.trainer.teachers.unet import SEGMENTATION, TYPES, UNet, UNetConfig

STATE = "teacher-state.pt"
LOG = "teacher-log.jsonl"
_STREAMS = {"rooms": 0, "mirror": 1, "degrade": 2}


class RoomMaps(Protocol):
    """The part of a data set that training uses; implemented by `sgi.trainer.scenes.dataset.RoomDataset`."""

    def __len__(self) -> int: ...

    def images(self, indices: Tensor) -> Tensor:
        """Pictures [N, 3, H, W] float32 sRGB in [0, 1] of `indices` [N] int64."""
        ...

    def codes(self, name: str, indices: Tensor) -> Tensor:
        """Codes [N, C, H, W] float32 in [0, 1] of a type."""
        ...

    def segmentation(self, indices: Tensor) -> Tensor:
        """Class labels [N, H, W] uint8."""
        ...


@dataclass(frozen=True)
class FitConfig:
    """All settings of a run except the rooms and the architecture."""

    steps: int = 4500
    """Optimiser steps. The learning rate falls linearly to 0 over them."""
    batch: int = 16
    """Rooms per step."""
    lr: float = 2e-3
    """AdamW learning rate after the warm-up."""
    warmup: int = 100
    """Steps over which the learning rate rises from 0."""
    weight_decay: float = 1e-2
    """AdamW weight decay."""
    seed: int = 0
    """Seed of the initial weights and of all random draws."""
    precision: str = "bf16"
    """Precision of the convolutions, bf16 or fp32. Parameters, head and losses are float32."""
    depth_weight: float = 2.0
    """Weight of the L1 loss of depth, whose codes have a smaller range than those of other types."""
    segmentation_weight: float = 0.1
    """Weight of the cross-entropy of the segmentation, which improves the features."""

    def lr_at(self, step: int) -> float:
        """Learning rate of a step, 0 <= step < steps."""
        return self.lr * min((step + 1) / max(self.warmup, 1), 1.0) * (1 - step / self.steps)


@dataclass
class Run:
    """The state of a training run.

    settings: those in the state file, JSON-ready. step: number of steps done. log: one record for each save: step,
    seconds of training, mean losses since the previous record.
    """

    net: UNet
    optimizer: torch.optim.Optimizer
    settings: dict[str, Any]
    step: int = 0
    log: list[dict[str, float]] = dataclasses.field(default_factory=list)

    @property
    def seconds(self) -> float:
        return self.log[-1]["seconds"] if self.log else 0.0


def fit_unet(
    rooms: RoomMaps,
    shape: UNetConfig,
    config: FitConfig,
    workdir: str | Path,
    device: torch.device | str = "cpu",
    save_every: int = 250,
    progress: Progress = SILENT,
) -> Run:
    """Train a U-Net of `shape` on `rooms`, or continue the run in `workdir`; the returned net is in eval mode.

    save_every: steps between two savings of the state. Raises UserError if `workdir` contains a run with other
    settings, FloatingPointError if the loss is not finite.
    """
    folder = Path(workdir)
    folder.mkdir(parents=True, exist_ok=True)
    run = _open_run(folder, rooms, shape, config, device)
    run.net.train()
    with progress.stage("teacher", config.steps - run.step, "steps") as stage:
        _train(run, rooms, config, folder, device, save_every, stage)
    run.net.eval()
    return run


def _train(
    run: Run,
    rooms: RoomMaps,
    config: FitConfig,
    folder: Path,
    device: torch.device | str,
    save_every: int,
    stage: Stage,
) -> None:
    sums: dict[str, float] = {}
    unsaved, seconds, began = 0, run.seconds, time.perf_counter()
    while run.step < config.steps:
        for group in run.optimizer.param_groups:
            group["lr"] = config.lr_at(run.step)
        losses = _step(run, *draw(rooms, config, run.step, device), config)
        sums = {name: sums.get(name, 0.0) + loss for name, loss in losses.items()}
        unsaved += 1
        if run.step % save_every == 0 or run.step == config.steps:
            means = {name: round(total / unsaved, 6) for name, total in sums.items()}
            elapsed = round(seconds + time.perf_counter() - began, 1)
            run.log.append({"step": run.step, "seconds": elapsed} | means)
            _save(folder, run)
            sums, unsaved = {}, 0
        stage.advance(1, ", ".join(f"{name} {losses[name]:.4f}" for name in ("total", "depth", "normal", "albedo")))


def draw(
    rooms: RoomMaps, config: FitConfig, step: int, device: torch.device | str = "cpu"
) -> tuple[Tensor, dict[str, Tensor]]:
    """The augmented pictures [N, 3, H, W] of a step, with true codes and labels; half of the rooms are mirrored."""
    indices = torch.randint(len(rooms), (config.batch,), generator=_generator(config, step, "rooms"))
    flip = torch.rand(config.batch, generator=_generator(config, step, "mirror")) < 0.5
    maps = {"image": rooms.images(indices)} | {name: rooms.codes(name, indices) for name in TYPES}
    maps[SEGMENTATION] = rooms.segmentation(indices)[:, None]
    maps = {
        name: torch.where(flip[:, None, None, None], mirror(name, code), code).to(device) for name, code in maps.items()
    }
    return degrade(maps.pop("image"), _generator(config, step, "degrade")), maps


def losses_of(predicted: dict[str, Tensor], truth: dict[str, Tensor], config: FitConfig) -> dict[str, Tensor]:
    """Weighted losses by name: L1 of the codes, with 1 - cos for normals; cross-entropy of the segmentation.

    predicted: output of UNet.forward. truth: codes [N, C, H, W] and labels [N, 1, H, W].
    """
    kinds = {name: intrinsics.get(name) for name in TYPES}
    loss_of = {name: get_loss("cosine+l1" if kind.decoding == "unit" else "l1", kind) for name, kind in kinds.items()}
    losses = {name: loss_of[name](predicted[name], truth[name]) for name in TYPES}
    losses["depth"] = config.depth_weight * losses["depth"]
    entropy = F.cross_entropy(predicted[SEGMENTATION], truth[SEGMENTATION][:, 0].long())
    losses[SEGMENTATION] = config.segmentation_weight * entropy
    return losses


def _step(run: Run, image: Tensor, truth: dict[str, Tensor], config: FitConfig) -> dict[str, float]:
    with torch.autocast(image.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
        predicted = run.net(image.contiguous(memory_format=torch.channels_last))
    losses = losses_of(predicted, truth, config)
    total = torch.stack(list(losses.values())).sum()
    values = {"total": total.item()} | {name: loss.item() for name, loss in losses.items()}
    if not math.isfinite(values["total"]):
        raise FloatingPointError(f"step {run.step}: the loss is not finite: {values}")
    run.optimizer.zero_grad(set_to_none=True)
    total.backward()
    run.optimizer.step()
    run.step += 1
    return values


def _generator(config: FitConfig, step: int, use: str) -> torch.Generator:
    return step_generator(config.seed, step, _STREAMS[use])


def _open_run(folder: Path, rooms: RoomMaps, shape: UNetConfig, config: FitConfig, device: torch.device | str) -> Run:
    """A new run, or the one in `folder`; raises UserError if that one has other settings."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        net = UNet(shape)
    net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        net.parameters(), config.lr, betas=(0.9, 0.99), weight_decay=config.weight_decay, fused=True
    )
    settings = {"shape": shape.to_dict(), "fit": dataclasses.asdict(config), "rooms": len(rooms)}
    run = Run(net, optimizer, json.loads(json.dumps(settings)))
    path = folder / STATE
    if path.exists():
        remedy = "remove it to train from the start"
        with restoring(path, remedy):
            state = read_state(path, {"settings": dict, "net": dict, "optimizer": dict, "step": int, "log": list})
        if state["settings"] != run.settings:
            raise UserError(
                f"`workdir={folder}`: contains a run with other settings; repeat those or choose a new folder"
            )
        with restoring(path, remedy):
            net.load_state_dict(state["net"])
            optimizer.load_state_dict(state["optimizer"])
        run.step, run.log = state["step"], state["log"]
    return run


def _save(folder: Path, run: Run) -> None:
    state = {
        "settings": run.settings,
        "step": run.step,
        "log": run.log,
        "net": run.net.state_dict(),
        "optimizer": run.optimizer.state_dict(),
    }
    with atomic_write(folder / STATE) as temporary:
        torch.save(state, temporary)
    with atomic_write(folder / LOG) as temporary:
        temporary.write_text("".join(json.dumps(record) + "\n" for record in run.log))
