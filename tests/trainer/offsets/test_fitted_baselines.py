"""Fitted baselines as files: the same figures with and without them, and damaged files."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from recorded_progress import RecordedProgress

from sgi.engine import intrinsics
from sgi.engine.generator import generator_sha256, save_generator
from sgi.engine.offsets import Offset
from sgi.engine.user_cache import user_cache
from sgi.trainer import teachers
from sgi.trainer.offsets import rescore
from sgi.trainer.offsets.fitted_baselines import BaselinesCache, FittedBaselines, baseline_facts
from sgi.trainer.offsets.held_out_score import evaluate
from sgi.trainer.offsets.pool import Sampling
from sgi.trainer.offsets.rescore import score_offsets
from sgi.trainer.offsets.train import train_offsets

FACTS = baseline_facts("depth", "a" * 64, "b" * 64, Sampling(), range(7, 71))


def test_a_file_gives_the_same_figures_as_the_pictures(tmp_path, generator, known_offset, known_pools):
    cache = BaselinesCache(tmp_path)
    cache.store(FACTS, FittedBaselines.fit(known_pools.fitting, "depth"))
    read = cache.load(FACTS)
    assert read is not None
    kind = intrinsics.get("depth")
    rows = [
        evaluate(generator, kind, "w+", known_offset, fitting, known_pools.held)
        for fitting in (known_pools.fitting, read)
    ]
    assert rows[0] == rows[1]


@pytest.mark.parametrize(
    "other",
    [
        baseline_facts("albedo", "a" * 64, "b" * 64, Sampling(), range(7, 71)),
        baseline_facts("depth", "c" * 64, "b" * 64, Sampling(), range(7, 71)),
        baseline_facts("depth", "a" * 64, "c" * 64, Sampling(), range(7, 71)),
        baseline_facts("depth", "a" * 64, "b" * 64, replace(Sampling(), psi=0.5), range(7, 71)),
        baseline_facts("depth", "a" * 64, "b" * 64, Sampling(), range(7, 72)),
        baseline_facts("depth", "a" * 64, "b" * 64, Sampling(), range(8, 72)),
    ],
)
def test_everything_that_the_fit_depends_on_selects_the_file(tmp_path, known_pools, other):
    cache = BaselinesCache(tmp_path)
    cache.store(FACTS, FittedBaselines.fit(known_pools.fitting, "depth"))
    assert cache.load(other) is None


def flipped(data: bytes) -> bytes:
    return data[:-10] + bytes([data[-10] ^ 1]) + data[-9:]


@pytest.mark.parametrize("damage", [flipped, lambda data: data[:-100], lambda data: b"", lambda data: b"text" * 9])
def test_a_damaged_file_is_warned_of_and_counts_as_missing(tmp_path, known_pools, damage):
    cache = BaselinesCache(tmp_path)
    cache.store(FACTS, FittedBaselines.fit(known_pools.fitting, "depth"))
    path = cache.path(FACTS)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(UserWarning, match="cached baselines are fitted again"):
        assert cache.load(FACTS) is None


def test_a_folder_that_cannot_be_written_is_warned_of(tmp_path, known_pools):
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="were not kept"):
        BaselinesCache(tmp_path / "file").store(FACTS, FittedBaselines.fit(known_pools.fitting, "depth"))


class CountingTeacher:
    """A teacher that counts the pictures it computes maps of."""

    def __init__(self, teacher):
        self._teacher, self.pictures = teacher, 0

    def __getattr__(self, name):
        return getattr(self._teacher, name)

    def __call__(self, image, types):
        self.pictures += len(image)
        return self._teacher(image, types)


@pytest.fixture
def scored(tmp_path, generator, teacher, known_offset, monkeypatch):
    """A function that scores an offset fitted on 40 pictures, and the teacher's number of pictures."""
    counting = CountingTeacher(teacher)
    monkeypatch.setattr(teachers, "load_teacher", lambda spec, device: counting)
    save_generator(tmp_path / "tiny.safetensors", generator)
    tensors = {key: tensor.numpy() for key, tensor in known_offset.items()}
    path = tmp_path / "depth.safetensors"
    Offset("depth", "w+", tensors, generator_sha256(generator), fit={"images": 40, "seed": 0}).save(path)

    def call(**options):
        counting.pictures = 0
        torch.manual_seed(0)
        [report] = score_offsets([path], generator=tmp_path / "tiny.safetensors", holdout=8, **options)
        return report.score, counting.pictures

    return call


def test_a_second_score_computes_the_held_out_pictures_only(scored, user_cache):
    first, pictures = scored()
    assert pictures == 48
    assert list((user_cache / "sgi-engine" / "baselines").iterdir())
    assert scored() == (first, 8)


def test_a_score_after_train_computes_the_held_out_pictures_only(generator, teacher, tmp_path, monkeypatch):
    counting = CountingTeacher(teacher)
    monkeypatch.setattr(teachers, "load_teacher", lambda spec, device: counting)
    save_generator(tmp_path / "tiny.safetensors", generator)
    [trained] = train_offsets(
        ["depth"], generator=tmp_path / "tiny.safetensors", steps=2, images=40, holdout=8, out=tmp_path, preview=False
    )
    assert counting.pictures == 48
    [report] = score_offsets([trained.path], generator=tmp_path / "tiny.safetensors", holdout=8)
    assert counting.pictures == 48 + 8
    assert report.score == trained.offset.score


def test_a_cache_of_the_users_own_is_used_instead(scored, user_cache, tmp_path):
    scored(cache=tmp_path / "own")
    assert not any(user_cache.iterdir())
    assert scored(cache=tmp_path / "own")[1] == 0
    assert scored()[1] == 48


def test_the_work_is_announced_before_it(scored, monkeypatch):
    recorded_progress = RecordedProgress()
    monkeypatch.setattr(rescore, "_WORTH_TIMING", 1)
    scored(progress=recorded_progress)
    assert recorded_progress.messages[0].startswith("8 pictures to score on and 40 to fit the baselines of depth on")
    assert recorded_progress.messages[1] == "about 1 min on an idle machine"
    recorded_progress.messages.clear()
    scored(progress=recorded_progress)
    assert recorded_progress.messages == [
        f"8 pictures to score on; the baselines are read from {user_cache() / 'baselines'}"
    ]
