"""The cache of exported models: limits, damage, several processes, and folders that cannot be written."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import subprocess
import sys
import threading
import time

import pytest
from recorded_progress import RecordedProgress

from sgi.engine import doctor
from sgi.engine.errors import UserError
from sgi.engine.generator_model import ModelCache

KEYS = [hashlib.sha256(bytes([i])).hexdigest() for i in range(4)]


@pytest.fixture
def cache(tmp_path):
    return ModelCache(tmp_path / "models", limit=250)


@pytest.fixture
def made():
    """A function that writes a model of 100 bytes, and the number of its calls."""
    calls = []

    def make(path):
        calls.append(path)
        path.write_bytes(b"m" * 100)

    return make, calls


def put(cache, key, make, age=0):
    path, _ = cache.get(key, make)
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_a_model_is_made_once(cache, made):
    make, calls = made
    path, sha256 = cache.get(KEYS[0], make)
    assert cache.get(KEYS[0], make) == (path, sha256)
    assert len(calls) == 1
    assert path.name == f"{KEYS[0]}-{sha256}.onnx"
    assert sha256 == hashlib.sha256(b"m" * 100).hexdigest()
    assert [entry.name for entry in cache.folder.iterdir()] == [path.name]


def test_a_damaged_model_is_made_again(cache, made):
    make, calls = made
    path, _ = cache.get(KEYS[0], make)
    for damage in (b"", b"m" * 99, b"n" * 100):
        path.write_bytes(damage)
        assert cache.get(KEYS[0], make)[0].read_bytes() == b"m" * 100
    assert len(calls) == 4


def test_the_least_recently_used_models_are_removed(cache, made):
    make, _ = made
    first, second = put(cache, KEYS[0], make, age=50), put(cache, KEYS[1], make, age=40)
    cache.get(KEYS[0], make)  # used again
    third = put(cache, KEYS[2], make)
    assert set(cache.models()) == {first, third}
    assert not second.exists()
    assert cache.size() == 200


def test_a_model_above_the_limit_is_kept_while_it_is_in_use(cache, made):
    make, _ = made
    put(cache, KEYS[0], make, age=50)
    large, _ = cache.get(KEYS[1], lambda path: path.write_bytes(b"m" * 300))
    assert cache.models() == [large]
    small, _ = cache.get(KEYS[2], make)
    assert cache.models() == [small]


def test_a_failed_export_leaves_nothing(cache, made):
    def fail(path):
        path.write_bytes(b"half")
        raise UserError("the export failed")

    with pytest.raises(UserError, match="the export failed"):
        cache.get(KEYS[0], fail)
    assert not list(cache.folder.iterdir())


def left_over(cache, key):
    """Files as an export that was killed leaves them: two temporary names, one inside the other, and the lock."""
    names = (f".{key}.part-01234567.onnx", f"..{key}.part-01234567.onnx.part-89abcdef.onnx", f".{key}.lock")
    for name in names:
        (cache.folder / name).write_bytes(b"x")
    return set(names)


def test_clearing_removes_models_and_what_killed_exports_left(cache, made):
    make, _ = made
    put(cache, KEYS[0], make)
    put(cache, KEYS[1], make)
    (cache.folder / "notes.txt").write_bytes(b"x")
    left_over(cache, KEYS[0])
    used = left_over(cache, KEYS[1])
    with open(cache.folder / f".{KEYS[1]}.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # its export goes on
        assert cache.clear() == (2, 200)
        assert {path.name for path in cache.folder.iterdir()} == {"notes.txt", *used}
    assert cache.clear() == (0, 0)
    assert {path.name for path in cache.folder.iterdir()} == {"notes.txt"}
    assert ModelCache(cache.folder / "none").clear() == (0, 0)


def test_an_export_removes_what_killed_ones_left(cache, made):
    cache.folder.mkdir()
    for key in KEYS[:2]:
        left_over(cache, key)
    path, _ = cache.get(KEYS[0], made[0])
    assert list(cache.folder.iterdir()) == [path]


def test_without_locks_the_age_tells_what_is_left_over(cache, made, monkeypatch):
    cache.folder.mkdir()
    names = left_over(cache, KEYS[0])
    old = f".{KEYS[0]}.part-fedcba98.onnx"
    (cache.folder / old).write_bytes(b"x")
    os.utime(cache.folder / old, (0, 0))

    def refuse(*_arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    cache.clear()
    assert {path.name for path in cache.folder.iterdir()} == names
    assert cache.get(KEYS[1], made[0])[0].exists()


def test_a_lock_that_was_removed_meanwhile_is_taken_again(cache, made, monkeypatch):
    """The process before removes the file between opening and locking it: a lock on it would keep nobody out."""
    cache.folder.mkdir()
    lock, calls, flock = cache.folder / f".{KEYS[0]}.lock", [], fcntl.flock

    def first_removed(descriptor, operation):
        calls.append(lock.exists())
        if len(calls) == 1:
            lock.unlink()
        flock(descriptor, operation)

    def make(path):
        with open(lock) as other, pytest.raises(BlockingIOError):
            flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        made[0](path)

    monkeypatch.setattr(fcntl, "flock", first_removed)
    cache.get(KEYS[0], make)
    assert calls[:2] == [True, True]


@pytest.mark.parametrize(
    ("text", "limit"),
    [("1000", 1000), ("2GiB", 2 << 30), ("1.5 GB", 3 << 29), ("500m", 500 << 20), ("", 4 << 30), ("0", 0)],
)
def test_the_limit_of_the_user(monkeypatch, user_cache, text, limit):
    monkeypatch.setenv("SGI_CACHE_SIZE", text)
    assert ModelCache.of_user() == ModelCache(user_cache / "sgi-engine" / "models", limit)


@pytest.mark.parametrize("text", ["much", "-1", "4 XiB", "1e9"])
def test_a_wrong_limit_is_one_line(monkeypatch, text):
    monkeypatch.setenv("SGI_CACHE_SIZE", text)
    with pytest.raises(UserError, match=f"SGI_CACHE_SIZE={text}: write a size such as 4GiB"):
        ModelCache.of_user()
    assert doctor.check_generators()[1].state == "no"


def test_doctor_states_folder_and_size(monkeypatch, user_cache, made):
    monkeypatch.setenv("SGI_CACHE_SIZE", "3GiB")
    ModelCache.of_user().get(KEYS[0], lambda path: path.write_bytes(bytes(3 << 20)))
    detail = doctor.check_generators()[1].detail
    assert detail.startswith(f"1 in {user_cache / 'sgi-engine' / 'models'}: 3.0 MiB of 3.00 GiB; ")
    assert "--clear-cache" in detail


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, made):
    (tmp_path / "models").write_bytes(b"a file")
    with pytest.raises(
        UserError, match=r"the cache of models .*models cannot be written \(File exists\).*`cache=False`"
    ):
        ModelCache(tmp_path / "models").get(KEYS[0], made[0])


@pytest.mark.parametrize("options", ["ro,size=1m", "size=64k"])
def test_a_full_or_read_only_disk_is_one_line(tmp_path, options):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        reason = "Read-only file system" if "ro" in options else "No space left on device"
        with pytest.raises(UserError, match=rf"cannot be written \({reason}\): free space there, .*`cache=False`"):
            ModelCache(disk / "models").get(KEYS[0], lambda path: path.write_bytes(bytes(1 << 18)))
        folder = disk / "models"
        assert not folder.exists() or not list(folder.iterdir())
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_kept_model_is_found_in_a_read_only_folder(cache, made, monkeypatch):
    make, calls = made
    path, _ = cache.get(KEYS[0], make)

    def refuse(*arguments):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "utime", refuse)
    assert cache.get(KEYS[0], make)[0] == path
    assert len(calls) == 1


FILLING = """
import sys, time
from pathlib import Path
from sgi.engine.generator_model import ModelCache
def make(path):
    with open(sys.argv[3], "a") as log:
        log.write("made\\n")
    time.sleep(0.5)
    path.write_bytes(b"m" * 100)
print(*ModelCache(Path(sys.argv[1])).get(sys.argv[2], make))
"""


def test_two_processes_make_a_model_once(cache, tmp_path):
    call = [sys.executable, "-c", FILLING, str(cache.folder), KEYS[0], str(tmp_path / "log")]
    processes = [subprocess.Popen(call, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = {process.communicate()[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert len(printed) == 1
    assert (tmp_path / "log").read_text() == "made\n"
    assert len(list(cache.folder.iterdir())) == 1


def test_waiting_for_another_process_is_reported(cache, made):
    started, reported = threading.Event(), threading.Event()
    make, calls = made

    def make_slowly(path):
        started.set()
        assert reported.wait(30)
        make(path)

    class Reported(RecordedProgress):
        def message(self, text):
            super().message(text)
            reported.set()

    progress = Reported()
    first = threading.Thread(target=cache.get, args=(KEYS[0], make_slowly))
    first.start()
    assert started.wait(30)
    path, _ = cache.get(KEYS[0], make, progress)
    first.join()
    assert progress.messages == ["waiting for another process, which exports the same model"]
    assert len(calls) == 1
    assert path.read_bytes() == b"m" * 100
