"""The bundle: its files match the manifest and each other, and their scores match the README."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sgi.engine import bundle, intrinsics
from sgi.engine.artifact import Artifact
from sgi.engine.bundle import contents
from sgi.engine.files import sha256_file
from sgi.engine.offsets import Offset

ROOT = Path(__file__).parents[2]
MAX_BYTES = 40 * 1024**2


def test_files_match_the_manifest():
    manifest = json.loads((bundle.FOLDER / contents.MANIFEST).read_text())
    found = {p.relative_to(bundle.FOLDER).as_posix(): p for p in contents.data_files()}
    assert set(found) == set(manifest)
    assert {name: sha256_file(path) for name, path in found.items()} == {n: e["sha256"] for n, e in manifest.items()}
    assert sum(entry["bytes"] for entry in manifest.values()) < MAX_BYTES


def test_all_files_have_one_generator_and_one_teacher():
    generator = contents.header(bundle.GENERATOR, "sgi_generator")["sha256"]
    teacher = contents.header(bundle.TEACHER, "sgi_teacher")["sha256"]
    artifact = Artifact.read(bundle.MODEL)
    assert artifact.generator["sha256"] == generator
    assert artifact.type_names == (intrinsics.IMAGE, *intrinsics.MAP_TYPES)
    for name in intrinsics.MAP_TYPES:
        offset = Offset.load(bundle.offset(name))
        offset.check_generator(generator)
        assert offset.teacher["sha256"] == teacher
        assert artifact.offsets[name]["sha256"] == offset.sha256


@pytest.mark.parametrize("name", intrinsics.MAP_TYPES)
def test_every_offset_is_better_than_its_baselines(name):
    rows = Offset.load(bundle.offset(name)).score["rows"]
    ours = rows.pop("offset")["fvu"]
    assert all(ours < row["fvu"] for row in rows.values())


def test_the_score_in_the_file_can_be_measured_again():
    """On a quarter of the held-out seeds, with the teacher and the generator of the bundle."""
    from sgi.engine.generator import load_generator
    from sgi.trainer.measures.by_type import fvu
    from sgi.trainer.offsets.job import sampling_of
    from sgi.trainer.offsets.pool import build_pool
    from sgi.trainer.offsets.readout import clamped_readout
    from sgi.trainer.offsets.seed_splits import scoring_seeds
    from sgi.trainer.teachers import load_teacher

    offset = Offset.load(bundle.offset("depth"))
    network = load_generator(bundle.GENERATOR)
    pool = build_pool(network, load_teacher("bundled"), ["depth"], scoring_seeds(64), sampling_of(offset))
    import torch

    with torch.no_grad():
        rows = torch.from_numpy(np.array(offset.rows(network.config.num_ws)))
        shown = clamped_readout(network.synthesize(pool.ws + rows, offset.noise_mode), offset.intrinsic)
    target = pool.codes["depth"].float()
    again = fvu(shown, target, target.mean(dim=0, keepdim=True))
    assert again == pytest.approx(offset.score["rows"]["offset"]["fvu_about_holdout"], abs=0.08)


def test_card_and_readme_match_the_files(tmp_path):
    card = (bundle.FOLDER / contents.CARD).read_text()
    assert contents.offset_table([Offset.load(p) for p in sorted(bundle.OFFSETS.glob("*.safetensors"))]) in card
    command = [sys.executable, str(ROOT / "benchmarks/readme.py"), "--check"]
    assert subprocess.run(command, check=False).returncode == 0, "run `python benchmarks/readme.py`"
