"""`sgi-engine sheet`: what it writes and prints, and its errors on one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from sgi.cli import desktop

FEW = ("--backend", "onnxruntime", "--device", "cpu", "--threads", "1", "--quiet")


def test_a_sheet_of_the_bundled_model(command, tmp_path):
    out = tmp_path / "sheet.png"
    out.write_text("older")
    arguments = ("--seeds", "0,5", "--rows", "psi", "--trunc", "0,1", "--type", "image,depth", "--out", out)
    code, printed, error = command("sheet", *arguments, *FEW)
    assert (code, error) == (0, "")
    assert printed.startswith(f"wrote {out}: 2 rows of image, depth in ")
    assert printed.endswith(" s (onnxruntime, cpu)\n")
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        assert picture.height < 3 * 200 < 4 * 200 < picture.width
    assert list(tmp_path.iterdir()) == [out]


def test_the_progress_counts_images(command, tmp_path, model, monkeypatch):
    monkeypatch.setattr("sgi.cli.progress.LINE_SECONDS", 0)
    code, _, error = command("sheet", "--model", model, "--seeds", "0-9", "--out", tmp_path / "s.png", *FEW[:-1])
    assert code == 0
    assert "maps: 10 images in " in error


def test_open_hands_the_picture_to_the_desktop(command, tmp_path, model, monkeypatch):
    opened: list[Path] = []

    def open_file(path):
        opened.append(path)
        return True

    monkeypatch.setattr("sgi.cli.sheet.open_file", open_file)
    out = tmp_path / "sheet.png"
    code, printed, error = command("sheet", "--model", model, "--seeds", "0", "--out", out, "--open", *FEW)
    assert (code, error, opened) == (0, "", [out])
    assert printed.startswith(f"wrote {out}: 1 row of ")
    monkeypatch.setattr("sgi.cli.sheet.open_file", lambda path: False)
    code, _, error = command("sheet", "--model", model, "--seeds", "0", "--out", out, "--open", *FEW)
    assert (code, error) == (0, f"warning: no program opened {out}; open it yourself\n")


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="xdg-open is a program of other systems")
def test_a_file_is_opened_where_there_is_a_display(tmp_path, monkeypatch):
    shown = tmp_path / "shown"
    program = tmp_path / "xdg-open"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":7")
    assert not desktop.open_file(tmp_path / "a b.png") or not program.exists()

    def write(script):
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    write(f'echo "$1" > {shown}')
    assert desktop.open_file(tmp_path / "a b.png")
    assert shown.read_text() == f"{tmp_path}/a b.png\n"
    write("echo no browser >&2; exit 3")
    assert not desktop.open_file(tmp_path / "a b.png")
    write("exec sleep 30")  # a program that shows the file until it is closed
    monkeypatch.setattr(desktop, "_SECONDS", 0.1)
    assert desktop.open_file(tmp_path / "a b.png")
    monkeypatch.delenv("DISPLAY")
    assert not desktop.open_file(tmp_path / "a b.png")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rows", "types"), "--rows types: choose from seeds, psi, alpha"),
        (("--trunc", "0,1"), "--trunc 0,1: several values are the rows of the picture: --rows psi"),
        (("--trunc", "half"), "--trunc half: write numbers such as 0.7 or 0,0.5,1"),
        (("--alpha", "0,,1"), "--alpha 0,,1: write numbers such as 0.7 or 0,0.5,1"),
        (("--rows", "alpha", "--type", "image"), "--alpha: none of the types image has an offset"),
        (("--seeds", "a"), "--seeds a: "),
        (("--seeds", "0-9999"), "--seeds: the picture would have 50000 maps, more than 1024; choose fewer seeds or"),
        (("--type", "sky"), "--type sky: the model has image, depth"),
        (("--class", "1"), "--class: the model has no classes"),
        (("--model", "none.onnx"), "none.onnx: no such file"),
        (("--generator", "none.pkl"), "--generator none.pkl: no such file"),
        (("--offset", "d.safetensors"), "--offset d.safetensors has no effect without --generator"),
        (("--out", "sheet.jpg"), "--out sheet.jpg: choose a name with .png"),
        (("--out", "none/sheet.png"), "--out none/sheet.png: "),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(command, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, printed, error = command("sheet", *arguments)
    assert (code, printed) == (2, "")
    assert error.startswith(f"error: {message}")
    assert error.count("\n") == 1
    assert not any(tmp_path.iterdir())


def test_a_sheet_imports_no_torch(tmp_path):
    code = (
        "import sys\nfor name in ('torch', 'onnx', 'starlette'): sys.modules[name] = None\n"
        "from sgi.engine.live.sheet import write_grid\n"
        f"write_grid({str(tmp_path / 's.png')!r}, rows='alpha', types='depth', backend='onnxruntime', threads=1)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
