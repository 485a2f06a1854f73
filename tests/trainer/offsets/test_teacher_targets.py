"""A teacher's targets: half precision only where no code changes by more than the limit; pictures on the device."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from tolerances import HALF_TEACHER
from trainer_fixtures import InverseTeacher

from sgi.engine import bundle
from sgi.engine.errors import UserError
from sgi.engine.generator import load_generator
from sgi.trainer import teachers
from sgi.trainer.offsets import teacher_targets as module
from sgi.trainer.offsets.pool import Sampling, build_pool
from sgi.trainer.offsets.seed_splits import scoring_seeds
from sgi.trainer.offsets.teacher_targets import HALF_LIMIT, PoolTargets, targets_on_cpu, teacher_targets
from sgi.trainer.teachers.unet import TYPES


class PrecisionTeacher(InverseTeacher):
    """Adds `change` to its codes under autocast, which turns them to float16; counts its calls by precision."""

    def __init__(self, change: float) -> None:
        self.change = change
        self.calls: list[str] = []

    def __call__(self, image, types):
        half = torch.is_autocast_enabled("cpu")
        self.calls.append("half" if half else "full")
        found = super().__call__(image, types)
        return {name: (codes + self.change).half() if half else codes for name, codes in found.items()}


@pytest.fixture
def images():
    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def gpu(monkeypatch):
    """Half precision counts as a gain on this CPU too."""
    monkeypatch.setattr(module, "_gains", lambda image: True)


def test_half_precision_where_no_code_changes_by_more_than_the_limit(images, gpu):
    teacher = PrecisionTeacher(0.9 * HALF_LIMIT)
    targets = PoolTargets(teacher)
    first, second = (targets(images, ["depth", "albedo"]) for _ in range(2))
    assert targets.half
    assert teacher.calls == ["full", "half", "half"]
    for name, codes in second.items():
        assert codes.dtype == torch.float32
        assert 0 < (codes - first[name]).abs().max() <= HALF_TEACHER


@pytest.mark.parametrize("change", [1.1 * HALF_LIMIT, float("nan"), float("inf"), 0.0])
def test_float32_where_codes_change_more_or_not_at_all(images, gpu, change):
    # Without a change: such as a model in ONNX Runtime, whose precision does not follow autocast.
    teacher = PrecisionTeacher(change) if change else InverseTeacher()
    targets = PoolTargets(teacher)
    first, second = (targets(images, ["depth"]) for _ in range(2))
    assert not targets.half
    assert torch.equal(first["depth"], second["depth"])


def test_float32_where_the_teacher_refuses_half_precision(images, gpu):
    class Failing(InverseTeacher):
        def __call__(self, image, types):
            if torch.is_autocast_enabled("cpu"):
                raise UserError("its depth is not finite")
            return super().__call__(image, types)

    targets = PoolTargets(Failing())
    targets(images, ["depth"])
    assert not targets.half


def test_on_a_cpu_the_teacher_runs_once_a_batch_in_float32(images):
    teacher = PrecisionTeacher(0.0)
    targets = PoolTargets(teacher)
    for _ in range(2):
        targets(images, ["depth"])
    assert teacher.calls == ["full", "full"]


def test_bundled_teacher_in_half_precision_for_maps_and_not_for_classes(gpu):
    teacher, generator = teachers.load_teacher("bundled", "cpu"), load_generator(bundle.GENERATOR)
    pictures = generator.synthesize(Sampling().ws(generator, [0, 1]), "none").clamp(-1, 1)
    first, second = pictures[:, :, 16:48, 16:48].split(1)  # float16 is slow on a CPU
    maps = PoolTargets(teacher)
    maps(first * 0.5 + 0.5, TYPES)
    assert maps.half
    found, exact = (target(second * 0.5 + 0.5, TYPES) for target in (maps, partial(teacher_targets, teacher)))
    for name, codes in exact.items():
        assert 0 < (found[name] - codes).abs().max() <= HALF_TEACHER, name
    # A class that changes in one pixel changes the code of that pixel by far more.
    classes = PoolTargets(teacher)
    classes(torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)), ["segmentation"])
    assert not classes.half


def test_a_pool_records_half_precision(generator, gpu):
    pools = [
        build_pool(generator, PrecisionTeacher(change), ["depth"], scoring_seeds(4), Sampling())
        for change in (0.5 * HALF_LIMIT, 1.0)
    ]
    assert [pool.half for pool in pools] == [True, False]


def test_pictures_move_to_the_device_of_the_teacher(images):
    seen = []

    class OnMeta(InverseTeacher):
        """The meta device stands in for a GPU: it has shapes and no values."""

        def __call__(self, image, types):
            seen.append(image.device.type)
            return {name: torch.zeros(image.shape) for name in types}

    found = targets_on_cpu(OnMeta(), images, ["depth"], torch.device("meta"))
    assert seen == ["meta"]
    assert found["depth"].shape == images.shape
