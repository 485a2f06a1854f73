"""Folders of runs in which another program left empty, forged or special files: named, kept aside and made again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest
from recorded_progress import RecordedProgress
from tiny_models import describe, write_model

from sgi.engine.errors import UserError
from sgi.engine.run import run_seeds, verify_folder
from sgi.engine.run.manifest import MAX_LINE


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "tiny.onnx", describe())


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    """The files of a run that nothing disturbed, by name."""
    folder = tmp_path_factory.mktemp("whole")
    run(model, folder)
    return files(folder)


def run(model: Path, folder: Path, **options):
    options = {"seeds_per_folder": 2, "file_format": "npy", **options}
    return run_seeds("0-3", model=model, outdir=folder, backend="onnxruntime", device="cpu", **options)


def files(folder: Path) -> dict[str, bytes]:
    kept = (path for path in folder.rglob("*") if path.is_file() and ".set-aside" not in str(path))
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept}


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def empty(folder: Path, name: str) -> None:
    """An empty map and a line of the manifest that agrees with it."""
    (folder / name).write_bytes(b"")
    forged = lines(folder)
    for line in forged:
        for kind, file in line["files"].items():
            if file == name:
                line["bytes"][kind] = 0
                line["sha256"][kind] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in forged))


@pytest.mark.parametrize("file_format", ["npy", "png"])
@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"\x89PNG\r\n\x1a\n", b"hello"])
def test_a_map_of_the_preview_that_is_no_map_is_made_again(model, tmp_path, file_format, content):
    run(model, tmp_path, file_format=file_format)
    before = files(tmp_path)
    name = f"seed000001_depth.{file_format}"
    empty(tmp_path, name)
    (tmp_path / name).write_bytes(content)
    progress = RecordedProgress()
    report = run(model, tmp_path, file_format=file_format, progress=progress)
    assert report.written == 1
    assert [path.name for path in report.set_aside] == [f"{name}.set-aside"]
    assert any(name in message for message in progress.messages)
    assert files(tmp_path) == before


SPECIAL = {
    "link": lambda path, outside: path.symlink_to(outside),
    "dangling link": lambda path, outside: path.symlink_to(path.with_name("nowhere")),
    "pipe": lambda path, outside: os.mkfifo(path),
    "folder": lambda path, outside: path.mkdir(),
}


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", ["manifest.jsonl", "metadata.jsonl", "seed000001_depth.npy", "00001"])
def test_special_files_are_set_aside_and_never_followed(model, whole, tmp_path, name, kind):
    folder, outside = tmp_path / "run", tmp_path / "outside"
    run(model, folder)
    if (folder / name).is_dir():
        outside.mkdir()
        for path in (folder / name).iterdir():
            path.rename(outside / path.name)
        (folder / name).rmdir()
        if kind == "folder":
            return
    else:
        (folder / name).rename(outside)
    before = files(outside) if outside.is_dir() else outside.read_bytes()
    SPECIAL[kind](folder / name, outside)
    progress = RecordedProgress()
    report = run(model, folder, progress=progress)
    assert f"{name}.set-aside" in [path.name for path in report.set_aside]
    assert any(name in message for message in progress.messages)
    assert files(folder) == whole
    assert (files(outside) if outside.is_dir() else outside.read_bytes()) == before
    assert verify_folder(folder).is_complete


@pytest.mark.parametrize("kind", SPECIAL)
def test_a_special_run_file_is_never_followed(model, tmp_path, kind):
    folder, outside = tmp_path / "run", tmp_path / "outside"
    run(model, folder)
    (folder / "run.json").rename(outside)
    SPECIAL[kind](folder / "run.json", outside)
    with pytest.raises(UserError, match=r"run.json cannot be read \(it is a|it has no run.json"):
        verify_folder(folder)
    with pytest.raises(UserError, match="contains maps .* and no run.json"):
        run(model, folder)
    assert (folder / "run.json.set-aside").is_symlink() == ("link" in kind)


def test_a_special_run_file_of_a_new_folder_is_made_again(model, whole, tmp_path):
    os.mkfifo(tmp_path / "run.json")
    run(model, tmp_path)
    assert files(tmp_path) == whole


WRONG_LINES = {
    "foreign": b"hello\n",
    "empty": b"\n",
    "not UTF-8": b"\xff\xfe\n",
    "long": b"[" * (3 * MAX_LINE) + b"\n",
    "a negative seed": b'{"seed":-1,"files":{},"bytes":{},"sha256":{}}\n',
    "a huge seed": b'{"seed":1' + b"0" * 400 + b',"files":{},"bytes":{},"sha256":{}}\n',
    "a seed of no run": b'{"seed":77,"files":{"image":"seed000077_image.npy","depth":"seed000077_depth.npy"},'
    b'"bytes":{"image":0,"depth":0},"sha256":{"image":"","depth":""}}\n',
    "a file outside": b'{"seed":1,"files":{"image":"../../etc/passwd"},"bytes":{},"sha256":{}}\n',
    "a size of text": b'{"seed":1,"files":{},"bytes":{"image":"1"},"sha256":{}}\n',
    "NaN": b'{"seed":NaN,"files":{},"bytes":{},"sha256":{}}\n',
    "nested": b'{"seed":1,"files":' + b"[" * 60_000 + b"\n",
}


@pytest.mark.parametrize("case", WRONG_LINES)
def test_wrong_lines_of_a_manifest_are_kept_aside_and_dropped(model, whole, tmp_path, case):
    run(model, tmp_path)
    manifest = tmp_path / "manifest.jsonl"
    good = manifest.read_bytes()
    manifest.write_bytes(WRONG_LINES[case] + good + WRONG_LINES[case])
    assert verify_folder(tmp_path).wrong_lines == 2
    progress = RecordedProgress()
    report = run(model, tmp_path, progress=progress)
    assert report.found == 4
    assert (tmp_path / "manifest.jsonl.set-aside").read_bytes() == WRONG_LINES[case] + good + WRONG_LINES[case]
    assert any("manifest.jsonl" in message for message in progress.messages)
    assert files(tmp_path) == whole


WRONG_RUNS = {
    "digits": 3_000_000_000, "types": ["../x"], "psi": 1e300, "seeds": "0-1,0-1,,", "file_format": "exe",
    "seeds_per_folder": -1, "class_index": -1, "model_sha256": "a" * 100, "format": "2",
}  # fmt: skip


@pytest.mark.parametrize("field", WRONG_RUNS)
def test_a_wrong_run_file_is_named(model, tmp_path, field):
    run(model, tmp_path)
    path = tmp_path / "run.json"
    path.write_bytes(msgspec.json.encode({**json.loads(path.read_text()), field: WRONG_RUNS[field]}))
    for call in (lambda: run(model, tmp_path), lambda: verify_folder(tmp_path)):
        with pytest.raises(UserError, match=r"its run.json was not written by this version"):
            call()


def test_billions_of_seeds_in_a_run_file_are_not_visited(model, tmp_path):
    run(model, tmp_path)
    path = tmp_path / "run.json"
    path.write_text(path.read_text().replace('"seeds": "0-3"', '"seeds": "0-4294967295"'))
    report = verify_folder(tmp_path)
    assert (report.finished, str(report.unfinished)) == (4, "4-4294967295")


def test_a_line_with_a_damaged_end_is_kept_aside_and_written_again(model, whole, tmp_path):
    """Such a line is found when the run asks for it, not when the manifest is opened."""
    run(model, tmp_path)
    manifest = tmp_path / "manifest.jsonl"
    good = manifest.read_bytes()
    damaged = good.replace(b'"sha256":{"', b'"sha256":{5"', 1)
    manifest.write_bytes(damaged)
    assert verify_folder(tmp_path).wrong_lines == 1
    progress = RecordedProgress()
    report = run(model, tmp_path, progress=progress)
    assert (report.found, report.written) == (3, 1)
    assert (tmp_path / "manifest.jsonl.set-aside").read_bytes().startswith(damaged)
    assert any("manifest.jsonl" in message for message in progress.messages)
    assert files(tmp_path) == whole
