"""The cache of targets: the same pool with and without it, one teacher call per picture, and keys that change."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from sgi.engine.errors import UserError
from sgi.engine.generator import random_generator
from sgi.trainer.offsets import code_cache
from sgi.trainer.offsets.code_cache import BLOCK, FACTS, CodeCache, blocks
from sgi.trainer.offsets.pool import Sampling, build_pool
from sgi.trainer.teachers.joint_teacher import JointTeacher

SEEDS = range(2 * BLOCK - 3, 3 * BLOCK + 5)  # the end of a block, a whole one, the beginning of another


class Counting:
    """A teacher that returns darkened pictures and counts its pictures by type."""

    name = "counting"
    sha256 = "c" * 64
    types = ("depth", "albedo")
    classes = ()
    input_range = (0.0, 1.0)
    resolution = None

    def __init__(self) -> None:
        self.pictures = dict.fromkeys(self.types, 0)

    def __call__(self, image, types):
        for name in types:
            self.pictures[name] += len(image)
        return {name: image[:, :1] / 2 if name == "depth" else image / 3 for name in types}

    def features(self, image):
        raise UserError("no features")


@pytest.fixture
def counting():
    return Counting()


def pool_of(generator, teacher, cache, types=("depth",), seeds=SEEDS, sampling=None):
    return build_pool(generator, teacher, types, seeds, sampling or Sampling(), cache=cache)


def test_blocks_cover_the_seeds_and_end_at_multiples():
    assert [(b.start, b.stop) for b in blocks(SEEDS)] == [(125, 128), (128, 192), (192, 197)]
    assert [(b.start, b.stop) for b in blocks(range(64, 128))] == [(64, 128)]
    assert [(b.start, b.stop) for b in blocks(range(3, 5))] == [(3, 5)]


def test_the_teacher_runs_once_and_the_pool_is_the_same(generator, counting, tmp_path):
    plain = pool_of(generator, counting, None, counting.types)
    assert counting.pictures == {"depth": len(SEEDS), "albedo": len(SEEDS)}
    for _ in range(2):
        cached = pool_of(generator, counting, tmp_path / "new" / "cache", counting.types)
        for name in counting.types:
            assert torch.equal(cached.codes[name], plain.codes[name])
        assert torch.equal(cached.images, plain.images)
        assert torch.equal(cached.ws, plain.ws)
    assert counting.pictures == {"depth": 2 * len(SEEDS), "albedo": 2 * len(SEEDS)}


def test_the_teacher_runs_for_new_types_and_new_seeds_only(generator, counting, tmp_path):
    pool_of(generator, counting, tmp_path)
    pool_of(generator, counting, tmp_path, counting.types)
    assert counting.pictures == {"depth": len(SEEDS), "albedo": len(SEEDS)}
    pool_of(generator, counting, tmp_path, seeds=range(BLOCK * 2, BLOCK * 4))
    assert counting.pictures["depth"] == len(SEEDS) + BLOCK  # the whole middle block was cached, the last was not
    inside = range(2 * BLOCK + 5, 2 * BLOCK + 9)
    part = pool_of(generator, counting, tmp_path, seeds=inside)
    assert counting.pictures["depth"] == len(SEEDS) + BLOCK
    assert torch.equal(part.codes["depth"], pool_of(generator, counting, None, seeds=inside).codes["depth"])


@pytest.mark.parametrize("change", ["generator", "teacher", "psi", "cutoff", "noise mode"])
def test_a_change_of_any_key_runs_the_teacher_again(change, generator, counting, tmp_path):
    seeds = range(4)
    pool_of(generator, counting, tmp_path, seeds=seeds)
    sampling = {"psi": Sampling(psi=0.5), "cutoff": Sampling(cutoff=1), "noise mode": Sampling(noise_mode="const")}
    if change == "generator":
        generator = random_generator(generator.config, seed=4)
    if change == "teacher":
        counting.sha256 = "d" * 64
    pool_of(generator, counting, tmp_path, seeds=seeds, sampling=sampling.get(change))
    assert counting.pictures["depth"] == 2 * len(seeds)


def test_a_joint_teacher_reuses_the_cache_of_its_members(generator, counting, tmp_path):
    pool_of(generator, counting, tmp_path, seeds=range(4))
    pool_of(generator, JointTeacher([Counting(), counting]), tmp_path, seeds=range(4))
    assert counting.pictures["depth"] == 4
    other = Counting()
    other.sha256 = "d" * 64
    pool_of(generator, JointTeacher([other, counting]), tmp_path, seeds=range(4))
    assert other.pictures["depth"] == 4


def test_facts_describe_the_content_of_a_folder(generator, counting, tmp_path):
    pool_of(generator, counting, tmp_path, seeds=range(2), sampling=Sampling(psi=0.25))
    (folder,) = tmp_path.iterdir()
    facts = json.loads((folder / FACTS).read_text())
    assert facts["type"] == "depth"
    assert facts["teacher"] == counting.sha256
    assert facts["sampling"]["psi"] == 0.25
    assert sorted(path.name for path in folder.iterdir()) == ["0-2.npy", FACTS]


def test_an_interrupted_write_leaves_no_file(generator, counting, tmp_path, monkeypatch):
    def dies(file, codes, **_):
        file.write_bytes(b"half of an array")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(code_cache.np, "save", dies)
        with pytest.raises(KeyboardInterrupt):
            pool_of(generator, counting, tmp_path)
    assert not list(tmp_path.rglob("*.npy"))
    pool_of(generator, counting, tmp_path)
    pool_of(generator, counting, tmp_path)
    assert counting.pictures["depth"] == len(SEEDS) + len(blocks(SEEDS)[0])


@pytest.mark.parametrize("damage", ["cut short", "empty", "other shape", "other type", "pickle"])
def test_a_damaged_file_is_replaced(damage, generator, counting, tmp_path):
    good = pool_of(generator, counting, tmp_path, seeds=range(4)).codes["depth"]
    (path,) = tmp_path.rglob("*.npy")
    if damage == "other shape":
        np.save(path, np.zeros((4, 1, 8, 8), np.float16))
    elif damage == "other type":
        np.save(path, np.zeros((4, 1, 16, 16), np.float32))
    elif damage == "pickle":
        np.save(path, np.array([{}], object), allow_pickle=True)
    else:
        path.write_bytes(path.read_bytes()[: 100 if damage == "cut short" else 0])
    for _ in range(2):
        assert torch.equal(pool_of(generator, counting, tmp_path, seeds=range(4)).codes["depth"], good)
    assert counting.pictures["depth"] == 8


def test_a_folder_that_cannot_be_created_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"`cache=.*file/cache`: cannot create the folder"):
        CodeCache(tmp_path / "file" / "cache", "depth", {})


def test_a_failed_write_names_the_cache(tmp_path, monkeypatch):
    def full(file, codes, **_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(code_cache.np, "save", full)
    with pytest.raises(UserError, match=r"`cache=.*`: cannot write \(No space left on device\)"):
        CodeCache(tmp_path, "depth", {}).store(range(2), torch.zeros(2, 1, 4, 4, dtype=torch.float16))
