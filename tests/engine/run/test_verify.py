"""`verify_folder`: hashes, missing seeds, foreign maps, and merging the manifests of parts."""

from __future__ import annotations

import pytest

from sgi.engine.errors import UserError
from sgi.engine.run import run_seeds, verify_folder
from sgi.engine.run.manifest import Manifest
from sgi.engine.seeds import parse_seeds


def write(model, outdir, seeds="0-9", **options):
    run_seeds(seeds, model=model, outdir=outdir, preview=False, backend="onnxruntime", **options)


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_complete_folder_is_unchanged(model, tmp_path):
    write(model, tmp_path)
    before = contents(tmp_path)
    report = verify_folder(tmp_path)
    assert report.is_complete
    assert (report.finished, report.seeds, report.foreign, report.merged) == (10, parse_seeds("0-9"), (), 0)
    assert contents(tmp_path) == before


def test_shards_are_merged_to_the_folder_of_one_run(model, tmp_path):
    for k in (2, 3):
        write(model, tmp_path / "shards", "0-5,1500-1503", shard=f"{k}/3")
    report = verify_folder(tmp_path / "shards")
    assert not report.is_complete
    assert (report.finished, report.unfinished, report.merged) == (7, parse_seeds("0-2"), 0)
    assert (tmp_path / "shards" / "manifest-2-of-3.jsonl").exists()
    write(model, tmp_path / "shards", "0-5,1500-1503", shard="1/3")
    report = verify_folder(tmp_path / "shards")
    assert report.is_complete
    assert report.merged == 3
    write(model, tmp_path / "whole", "0-5,1500-1503")
    assert contents(tmp_path / "shards") == contents(tmp_path / "whole")


def test_changed_missing_and_foreign_files_are_listed(model, tmp_path):
    write(model, tmp_path, file_format="npy")
    path = tmp_path / "seed000003_depth.npy"
    path.write_bytes((tmp_path / "seed000004_depth.npy").read_bytes())
    (tmp_path / "seed000007_image.npy").unlink()
    (tmp_path / "00005").mkdir()
    for name in ("seed000099_depth.npy", "seed0001_depth.npy", "00005/seed000001_depth.npy"):
        (tmp_path / name).write_bytes(b"foreign")
    report = verify_folder(tmp_path)
    assert not report.is_complete
    assert (report.finished, report.damaged) == (8, parse_seeds("3,7"))
    assert report.foreign == ("00005/seed000001_depth.npy", "seed000099_depth.npy", "seed0001_depth.npy")
    write(model, tmp_path, file_format="npy", verify=True)
    assert verify_folder(tmp_path).is_complete


def test_a_folder_in_use_and_a_folder_of_others_are_refused(model, tmp_path):
    with pytest.raises(UserError, match="none`: no such folder; name a folder that `sgi-engine run` wrote"):
        verify_folder(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file`: it is no folder but an empty file"):
        verify_folder(tmp_path / "file")
    with pytest.raises(UserError, match="it has no run.json; name a folder that `sgi-engine run` wrote"):
        verify_folder(tmp_path)
    (tmp_path / "file").unlink()
    write(model, tmp_path, shard="1/2")
    with Manifest(tmp_path / "manifest-1-of-2.jsonl"), pytest.raises(UserError, match="another run is writing there"):
        verify_folder(tmp_path)


def test_the_folder_above_those_of_classes_names_one_of_them(model, tmp_path):
    write(model, tmp_path / "mix000100")
    with pytest.raises(UserError, match=r"no run.json; verify its folders one by one, such as .*mix000100$"):
        verify_folder(tmp_path)
