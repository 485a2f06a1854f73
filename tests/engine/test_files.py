"""Atomic writing, and the hash of a file."""

from __future__ import annotations

import errno
import hashlib
import os

import pytest

from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write, check_writable, sha256_file, write_atomically


def test_the_file_appears_only_after_the_body(tmp_path):
    target = tmp_path / "room.png"
    with atomic_write(target) as temporary:
        temporary.write_bytes(b"pixels")
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".png"
        assert not target.exists()
    assert target.read_bytes() == b"pixels"
    assert [path.name for path in tmp_path.iterdir()] == ["room.png"]


def _fail_writing(target, data, error):
    with atomic_write(target) as temporary:
        if data:
            temporary.write_bytes(data)
        raise error


@pytest.mark.parametrize("data", [b"half", b""])
@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt()])
def test_a_failure_keeps_the_old_file_and_removes_the_temporary_one(tmp_path, data, error):
    target = tmp_path / "room.png"
    target.write_bytes(b"old")
    with pytest.raises(type(error)):
        _fail_writing(target, data, error)
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["room.png"]


def test_bytes_replace_a_file_at_once(tmp_path, monkeypatch):
    target = tmp_path / "room.png"
    target.write_bytes(b"old")
    write, parts = os.write, []

    def few(descriptor, data):
        assert target.read_bytes() == b"old"
        parts.append(write(descriptor, data[:3]))  # as a signal or a full pipe cuts a write
        return parts[-1]

    monkeypatch.setattr(os, "write", few)
    write_atomically(target, b"pixels!")
    assert parts == [3, 3, 1]
    assert target.read_bytes() == b"pixels!"
    assert [path.name for path in tmp_path.iterdir()] == ["room.png"]


def test_bytes_that_cannot_be_written_keep_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "room.png"
    target.write_bytes(b"old")

    def full(descriptor, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(target, b"pixels")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["room.png"]


def test_sha256_of_a_file_longer_than_one_chunk(tmp_path):
    data = bytes(range(256)) * 5000
    (tmp_path / "data.bin").write_bytes(data)
    assert sha256_file(tmp_path / "data.bin") == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("a.png", {}),
        ("old.png", {}),
        ("folder", {"folder": True}),
        ("new", {"folder": True}),
        ("new/deep/a.png", {"make": True}),
        ("new/deep", {"folder": True, "make": True}),
    ],
)
def test_places_that_can_be_written_pass_and_stay_unchanged(tmp_path, path, options):
    (tmp_path / "folder").mkdir()
    (tmp_path / "old.png").write_bytes(b"old")
    check_writable(tmp_path / path, **options)
    assert {path.name for path in tmp_path.rglob("*")} == {"folder", "old.png"}
    assert (tmp_path / "old.png").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("missing/a.png", {}, "there is no folder"),
        ("missing/a", {"folder": True}, "there is no folder"),
        ("file/a.png", {}, "is not a folder"),
        ("file/a/b.png", {"make": True}, "is not a folder"),
        ("file", {"folder": True}, "this is a file"),
        (".", {}, "this is a folder"),
        ("/proc/a.png", {}, "cannot write there"),
        ("/proc/a/b", {"folder": True, "make": True}, "cannot write there"),
    ],
)
def test_places_that_cannot_be_written_name_the_parameter(tmp_path, path, options, message):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=message) as caught:
        check_writable(tmp_path / path, "cache", **options)
    assert str(caught.value).startswith(f"`cache={tmp_path / path}`: ")


def test_a_failed_write_names_the_file_and_not_the_temporary_one(tmp_path):
    target = tmp_path / "a.png"
    with pytest.raises(OSError, match="No space") as caught, atomic_write(target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.filename == str(target)
    with pytest.raises(OSError, match="No space") as caught, atomic_write(target) as temporary:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(temporary))
    assert caught.value.filename == str(target)
    with pytest.raises(FileNotFoundError) as caught, atomic_write(target):
        (tmp_path / "other").read_bytes()
    assert caught.value.filename == str(tmp_path / "other")
