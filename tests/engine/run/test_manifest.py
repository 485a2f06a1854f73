"""manifest.jsonl: truncated lines, the order of seeds, and one run at a time."""

from __future__ import annotations

import fcntl
import json
import os

import pytest

from sgi.engine.errors import UserError
from sgi.engine.run.manifest import Line, Manifest


def lines(path):
    return [json.loads(line)["seed"] for line in path.read_text().splitlines()]


def line(seed):
    return Line(seed, {"depth": f"seed{seed:06d}_depth.png"}, {"depth": 10}, {"depth": f"{seed:064x}"})


def write(path, *seeds):
    with Manifest(path) as manifest:
        for seed in seeds:
            manifest.append(line(seed))


def test_sort_orders_lines_by_seed_without_duplicates(tmp_path):
    path = tmp_path / "manifest.jsonl"
    write(path, 5, 1, 5)
    assert lines(path) == [5, 1, 5]
    with Manifest(path) as manifest:
        assert 5 in manifest
        assert 2 not in manifest
        manifest.append(line(2))
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
            manifest.append(line(3))
        assert path.read_bytes() == data
        path.write_bytes(data[:length])
        Manifest(path).close()
        assert path.read_bytes() == data[:last]


def test_sort_drops_invalid_lines(tmp_path):
    path = tmp_path / "manifest.jsonl"
    write(path, 1, 2)
    data = path.read_bytes()
    path.write_bytes(b'garbage\n[]\n{"seed":1}\n' + data)
    with Manifest(path) as manifest:
        manifest.sort()
    assert path.read_bytes() == data


def test_a_lock_of_a_moment_does_not_refuse_a_run(tmp_path, monkeypatch):
    lock = fcntl.flock
    refused: list[int] = []

    def once(file, how):
        if not refused:
            refused.append(how)
            raise BlockingIOError
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", once)
    with Manifest(tmp_path / "manifest.jsonl"):
        pass
    assert len(refused) == 1


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
        monkeypatch.setattr("sgi.engine.run.line_file.os.pwrite", full)
        with pytest.raises(OSError, match="No space"):
            manifest.append(line(2))
    assert path.read_bytes() == before


def test_a_manifest_can_be_read_while_a_run_appends_to_it(tmp_path):
    path = tmp_path / "manifest.jsonl"
    write(path, 3, 1)
    with Manifest(path) as writer:
        path.write_bytes(path.read_bytes() + b'{"seed":2')
        with Manifest(path, read_only=True) as reader:
            assert [entry.seed for entry in reader] == [1, 3]
            assert reader[3] == line(3)
        assert path.read_bytes().endswith(b'{"seed":2')
        writer.sort()


def test_metadata_has_a_row_for_each_seed_with_a_file_name_for_each_type(tmp_path):
    with Manifest(tmp_path / "manifest.jsonl") as manifest:
        names = {"image": "00001/seed001042_image.png", "depth": "00001/seed001042_depth.png"}
        manifest.append(Line(1042, names, {}, {}))
        manifest.append(line(7))
        manifest.write_metadata()
    rows = [json.loads(row) for row in (tmp_path / "metadata.jsonl").read_text().splitlines()]
    assert rows == [
        {"depth_file_name": "seed000007_depth.png", "seed": 7},
        {"image_file_name": names["image"], "depth_file_name": names["depth"], "seed": 1042},
    ]


def test_lines_that_another_run_appends_are_followed(tmp_path):
    path = tmp_path / "manifest.jsonl"
    with Manifest(path) as writer, Manifest(path, read_only=True) as reader:
        assert not reader.follow()
        for seed in (3, 1, 2):
            writer.append(Line(seed, {}, {}, {}))
        assert reader.follow()
        assert list(reader.numbers) == [1, 2, 3]
        with path.open("ab") as file:
            file.write(b'{"seed":4,"files":{},"by')  # a line that is being written
        assert not reader.follow()
        with path.open("ab") as file:
            file.write(b'tes":{},"sha256":{}}\n')
        assert reader.follow()
        assert reader[4].seed == 4
        os.truncate(path, 10)
        with pytest.raises(OSError, match="was cut"):
            reader.follow()
        path.unlink()
        with pytest.raises(OSError, match="removed or replaced"):
            reader.follow()
