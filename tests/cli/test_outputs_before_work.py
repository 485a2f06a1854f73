"""Every command checks that its output can be written before it loads or computes anything."""

from __future__ import annotations

import pytest

from sgi.engine import bundle

DEPTH = bundle.offset("depth")
COMMANDS = {
    "interpolate": (("interpolate", "--seeds", "0,1"), "--out", ".mp4", False),
    "interpolate to a folder": (("interpolate", "--seeds", "0,1"), "--out", "", True),
    "train": (("train", "--type", "depth"), "--out", ".safetensors", True),
    "train --workdir": (("train", "--type", "depth"), "--workdir", "", True),
    "combine": (("combine", DEPTH, DEPTH), "--out", ".safetensors", False),
    "export": (("export", "--type", "depth"), "--out", ".onnx", False),
    "export a repository": (("export", "--type", "depth", "--format", "triton-server"), "--out", "", False),
    "import": (("import", "missing.pkl"), "--out", ".safetensors", False),
    "eval": (("eval", "--type", "depth"), "--out", "", True),
    "ablate": (("ablate", "--what", "alpha"), "--out", "", True),
    "relight": (("relight",), "--out", "", True),
    "invert": (("invert", "missing.png"), "--out", "", True),
    "score": (("score", "--type", "depth", "--holdout", "16"), "--cache", "", True),
    "bundle": (("bundle", "--workdir", "w"), "--out", "", True),
    "train-generator": (("train-generator",), "--workdir", "", True),
    "train-teacher": (("train-teacher", "--out", "t.safetensors", "--data", "d"), "--workdir", "", True),
}
"""Arguments, the flag of the output, its suffix (none for a folder), and whether missing folders are made."""


@pytest.mark.parametrize("name", COMMANDS)
def test_an_output_below_a_file_is_refused_before_the_work(command, tmp_path, monkeypatch, name):
    """Permission bits do not stop root, so a file stands where a folder is needed."""
    arguments, flag, suffix, _ = COMMANDS[name]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    code, _, error = command(*arguments, flag, f"file/result{suffix}")
    assert code == 2
    assert error.startswith(f"error: {flag} file/result{suffix}: ")
    assert "is not a folder" in error
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", COMMANDS)
def test_an_output_in_a_folder_that_takes_no_files_is_refused(command, tmp_path, monkeypatch, name):
    arguments, flag, suffix, _ = COMMANDS[name]
    monkeypatch.chdir(tmp_path)
    code, _, error = command(*arguments, flag, f"/proc/result{suffix}")
    assert code == 2
    assert error.startswith(f"error: {flag} /proc/result{suffix}: cannot write there")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", [name for name in COMMANDS if not COMMANDS[name][3]])
def test_an_output_in_a_missing_folder_is_refused(command, tmp_path, monkeypatch, name):
    arguments, flag, suffix, _ = COMMANDS[name]
    monkeypatch.chdir(tmp_path)
    code, _, error = command(*arguments, flag, f"missing/result{suffix}")
    assert (code, error) == (
        2,
        f"error: {flag} missing/result{suffix}: there is no folder missing; make it first\n",
    )
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", COMMANDS)
def test_an_output_of_the_wrong_kind_is_refused(command, tmp_path, monkeypatch, name):
    arguments, flag, suffix, _ = COMMANDS[name]
    monkeypatch.chdir(tmp_path)
    there = tmp_path / f"result{suffix}"
    there.mkdir() if suffix else there.touch()
    code, _, error = command(*arguments, flag, there.name)
    assert code == 2
    assert error.startswith(f"error: {flag} {there.name}: ")
    assert ("this is a folder" if suffix else "this is a file") in error
