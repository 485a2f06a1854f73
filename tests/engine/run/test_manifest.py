"""run.json and manifest.jsonl: comparison of settings, truncated lines, and the order of seeds."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from sgi.engine.errors import UserError
from sgi.engine.run.manifest import Manifest, RunRecord, claim_folder

RECORD = RunRecord("a" * 64, ("image", "depth"), 0.7, None, "png", 4)


def lines(path):
    return [json.loads(line)["seed"] for line in path.read_text().splitlines()]


def write(path, *seeds):
    with Manifest(path) as manifest:
        for seed in seeds:
            manifest.append(seed, {"depth": f"seed{seed:04d}_depth.png"}, {"depth": f"{seed:064x}"})


def test_sort_orders_lines_by_seed_without_duplicates(tmp_path):
    path = tmp_path / "manifest.jsonl"
    write(path, 5, 1, 5)
    assert lines(path) == [5, 1, 5]
    with Manifest(path) as manifest:
        assert 5 in manifest
        assert 2 not in manifest
        manifest.append(2, {}, {})
        manifest.sort()
    assert lines(path) == [1, 2, 5]
    assert [p.name for p in tmp_path.iterdir()] == ["manifest.jsonl"]


def test_a_sorted_file_is_not_written_again(tmp_path):
    path = tmp_path / "manifest.jsonl"
    write(path, 1, 2, 3)
    before = path.stat().st_ino
    with Manifest(path) as manifest:
        manifest.sort()
    assert path.stat().st_ino == before


def test_a_truncated_last_line_is_dropped(tmp_path):
    whole = tmp_path / "whole.jsonl"
    write(whole, 1, 2, 3)
    data = whole.read_bytes()
    last = data[:-1].rindex(b"\n") + 1
    for length in range(last, len(data)):
        path = tmp_path / "truncated.jsonl"
        path.write_bytes(data[:length])
        with Manifest(path) as manifest:
            assert 3 not in manifest
            manifest.append(3, {"depth": "seed0003_depth.png"}, {"depth": f"{3:064x}"})
        assert path.read_bytes() == data
        path.write_bytes(data[:length])
        Manifest(path).close()
        assert path.read_bytes() == data[:last]


def test_sort_drops_invalid_lines(tmp_path):
    path = tmp_path / "manifest.jsonl"
    write(path, 1, 2)
    data = path.read_bytes()
    path.write_bytes(b"garbage\n[]\n" + data)
    with Manifest(path) as manifest:
        manifest.sort()
    assert path.read_bytes() == data


def test_only_one_run_can_open_a_manifest(tmp_path):
    path = tmp_path / "manifest.jsonl"
    with Manifest(path), pytest.raises(UserError, match=f"`outdir={tmp_path}`: another run is writing there"):
        Manifest(path)
    Manifest(path).close()


def test_a_failed_append_leaves_no_incomplete_line(tmp_path, monkeypatch):
    path = tmp_path / "manifest.jsonl"
    write(path, 1)
    before = path.read_bytes()
    pwrite = os.pwrite
    calls = []

    def full(file, data, position):
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return pwrite(file, data[:10], position)

    with Manifest(path) as manifest:
        monkeypatch.setattr("sgi.engine.run.manifest.os.pwrite", full)
        with pytest.raises(OSError, match="No space"):
            manifest.append(2, {}, {})
    assert path.read_bytes() == before


def test_a_folder_can_be_claimed_again_with_the_same_settings(tmp_path):
    assert claim_folder(tmp_path, RECORD) == RECORD
    data = (tmp_path / "run.json").read_bytes()
    assert claim_folder(tmp_path, RECORD) == RECORD
    assert (tmp_path / "run.json").read_bytes() == data


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"model_sha256": "b" * 64}, "`model`"),
        ({"types": ("depth",)}, "`types`"),
        ({"psi": 0.5}, "`psi`"),
        ({"class_index": 1}, "`class_index`"),
        ({"file_format": "npy"}, "`file_format`"),
        ({"precision": "bf16"}, "`precision`"),
        ({"psi": 0.5, "file_format": "npy"}, "`psi`, `file_format`"),
    ],
)
def test_other_settings_are_refused(tmp_path, change, names):
    claim_folder(tmp_path, RECORD)
    with pytest.raises(UserError, match=f"it contains maps of another {names}; choose another `outdir`"):
        claim_folder(tmp_path, replace(RECORD, **change))


def test_the_number_of_digits_is_that_of_the_folder(tmp_path):
    claim_folder(tmp_path, replace(RECORD, digits=5))
    assert claim_folder(tmp_path, RECORD).digits == 5
    with pytest.raises(UserError, match="its file names have 5 digits for the seed and these seeds need 6"):
        claim_folder(tmp_path, replace(RECORD, digits=6))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 2}', '{"format": 1}', "[" * 100_000])
def test_another_run_file_is_refused(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match=r"its run.json was not written by this version"):
        claim_folder(tmp_path, RECORD)
